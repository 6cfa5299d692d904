//! `convmat matrix`: what it draws and what it writes for papers, held to literal loops.

use std::collections::BTreeMap;
use std::fs;

use ndarray::Array2;

use super::common::{Folder, decode};
use super::matrix::{example, export};

#[test]
fn pictures_show_which_tap_stands_where() {
    let (literal, options) = example();
    let (folder, taps) = (Folder::new(), 6);
    let report = export(&folder, &[&options[..], &["--with-transpose"]].concat(), &["c.png", "c.svg"]);
    let want = literal.labels().mapv(|label| if label == 0 { 0 } else { (label - 1) % taps + 1 });

    // Pixels: 9 to an entry, one more after each channel; the transpose beside it; the legend below has the kernel's shape.
    report.says("9 per entry; C, 24 × 120 at (16, 16), Cᵀ, 120 × 24 at (1115, 16); legend at (16, 1115)");
    let image = decode(folder.path("c.png")).into_rgb8();
    let pixel = |x: usize, y: usize| image.get_pixel(x as u32, y as u32).0;
    let legend: Vec<_> = (0..taps).map(|tap| pixel(16 + tap % 3 * 14 + 7, 1115 + tap / 3 * 14 + 7)).collect();
    let tap = |colour: [u8; 3]| legend.iter().position(|&of| of == colour).map_or(0, |tap| tap + 1);
    let (row_at, column_at) =
        (|row: usize| 16 + 9 * row + row / 12 + 4, |column: usize| 16 + 9 * column + column / 30 + 4);
    let shown = Array2::from_shape_fn(want.dim(), |(row, column)| tap(pixel(column_at(column), row_at(row))));
    assert_eq!(shown, want);
    let transposed =
        Array2::from_shape_fn(want.dim(), |(row, column)| tap(pixel(1099 + row_at(row), column_at(column))));
    assert_eq!(transposed, want);

    // Squares at (column, row), by colour; the legend's rectangles in order.
    let svg = fs::read_to_string(folder.path("c.svg")).unwrap();
    let attribute = |line: &str, name: &str| -> String {
        line.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let groups: Vec<_> = svg.split("<g ").collect();
    assert_eq!(groups.len(), 5, "C, its transpose, text and the legend");
    let legend: Vec<_> =
        groups[4].lines().filter(|line| line.starts_with("<rect")).map(|line| attribute(line, "fill")).collect();
    assert_eq!(legend.len(), taps);
    for (group, transposed) in [(groups[1], false), (groups[2], true)] {
        let mut shown = Array2::zeros(want.dim());
        for line in group.lines().filter(|line| line.starts_with("<path") && line.contains("<title>")) {
            let tap = legend.iter().position(|fill| *fill == attribute(line, "fill")).unwrap() + 1;
            for square in attribute(line, "d").trim_end_matches("h1v1h-1z").split("h1v1h-1zM") {
                let (x, y) = square.trim_start_matches('M').split_once(' ').unwrap();
                let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
                shown[if transposed { [x, y] } else { [y, x] }] = tap;
            }
        }
        assert_eq!(shown, want);
    }
}

#[test]
fn the_readmes_picture_is_what_the_command_draws() {
    let folder = Folder::new();
    let options = "--input 5x5 --kernel 3x3 --stride 2 --padding 1 --with-transpose".split(' ').collect::<Vec<_>>();
    export(&folder, &options, &["matrix.svg"]);
    let committed = include_str!("../../../docs/matrix.svg");
    assert_eq!(fs::read_to_string(folder.path("matrix.svg")).unwrap(), committed);
}

#[test]
fn papers_get_an_array() {
    let folder = Folder::new();
    let options = "--input 2x2 --kernel 1x2 --padding 0x1,0 --in-channels 2".split(' ').collect::<Vec<_>>();
    export(&folder, &options, &["symbols.tex"]);
    let text = fs::read_to_string(folder.path("symbols.tex")).unwrap();
    let want = r"% C, 4 × 8. convolution y = C·x: 2×2×2 → 1×2×2
\left[\begin{array}{@{}*{4}{c}|*{4}{c}@{}}
w_{00,01} & \cdot & \cdot & \cdot & w_{01,01} & \cdot & \cdot & \cdot \\
w_{00,00} & w_{00,01} & \cdot & \cdot & w_{01,00} & w_{01,01} & \cdot & \cdot \\
\cdot & \cdot & w_{00,01} & \cdot & \cdot & \cdot & w_{01,01} & \cdot \\
\cdot & \cdot & w_{00,00} & w_{00,01} & \cdot & \cdot & w_{01,00} & w_{01,01} \\
\end{array}\right]
";
    assert_eq!(text, want);
    export(
        &folder,
        &["--input", "1", "--kernel", "1", "--out-channels", "2", "--kernel-values", "2e-9,-3"],
        &["v.tex"],
    );
    let text = fs::read_to_string(folder.path("v.tex")).unwrap();
    assert!(text.ends_with("\n2\\cdot 10^{-9} \\\\\n\\hline\n-3 \\\\\n\\end{array}\\right]\n"), "{text}");
}

#[test]
fn colours_are_one_per_tap() {
    let folder = Folder::new();
    export(&folder, &["--input", "9x9", "--kernel", "7x7"], &["c.svg"]);
    let svg = fs::read_to_string(folder.path("c.svg")).unwrap();
    let mut fills = BTreeMap::new();
    for line in svg.lines().filter(|line| line.starts_with("<path") && line.contains("<title>")) {
        let fill = line.split('"').nth(1).unwrap();
        *fills.entry(fill).or_insert(0) += 1;
    }
    assert_eq!(fills.len(), 49);
    assert!(fills.values().all(|&count| count == 1));
}
