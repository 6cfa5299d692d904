//! `convmat matrix`: what it prints and exports, held to literal loops and to matrices that torch made.

use std::fs;
use std::io::{Cursor, Read};

use ndarray::{Array1, Array2, ArrayD, array};
use ndarray_npy::{ReadNpyExt, WriteNpyExt};
use serde_json::Value;

use super::common::{Folder, Run, decode};

/// A layer of at most two axes, height and width, and its matrix C by literal loops.
pub struct Literal {
    pub groups: usize,
    /// Channels of the convolution's output and input.
    pub channels: [usize; 2],
    pub small: [usize; 2],
    pub large: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub begin: [usize; 2],
}

impl Literal {
    /// C with the index of a weight plus 1 at every entry, 0 elsewhere.
    pub fn labels(&self) -> Array2<usize> {
        let [outputs, inputs] = self.channels;
        let ([h, w], [height, width], [kh, kw]) = (self.small, self.large, self.kernel);
        let per_input = inputs / self.groups;
        let mut labels = Array2::zeros((outputs * h * w, inputs * height * width));
        for co in 0..outputs {
            for ci in 0..per_input {
                let channel = co / (outputs / self.groups) * per_input + ci;
                for (i, j) in (0..h).flat_map(|i| (0..w).map(move |j| (i, j))) {
                    for (u, v) in (0..kh).flat_map(|u| (0..kw).map(move |v| (u, v))) {
                        let y = (i * self.stride[0] + u * self.dilation[0]).checked_sub(self.begin[0]);
                        let x = (j * self.stride[1] + v * self.dilation[1]).checked_sub(self.begin[1]);
                        let (Some(y), Some(x)) = (y, x) else { continue };
                        if y < height && x < width {
                            let at = [(co * h + i) * w + j, (channel * height + y) * width + x];
                            labels[at] = ((co * per_input + ci) * kh + u) * kw + v + 1;
                        }
                    }
                }
            }
        }
        labels
    }

    pub fn matrix(&self, weights: &[f64]) -> Array2<f64> {
        self.labels().mapv(|label| if label == 0 { 0.0 } else { weights[label - 1] })
    }
}

/// A grouped, dilated, strided convolution with different pads at both ends, and its options.
pub fn example() -> (Literal, Vec<&'static str>) {
    let options = "--conv --input 5x6 --kernel 2x3 --stride 2x1 --dilation 1x2 --padding 1,0x0,2 --groups 2 --in-channels 4 \
                   --out-channels 2";
    let literal = Literal {
        groups: 2,
        channels: [2, 4],
        small: [3, 4],
        large: [5, 6],
        kernel: [2, 3],
        stride: [2, 1],
        dilation: [1, 2],
        begin: [1, 0],
    };
    (literal, options.split(' ').filter(|word| !word.is_empty()).collect())
}

pub fn listed(weights: &[f64]) -> String {
    weights.iter().map(f64::to_string).collect::<Vec<_>>().join(",")
}

fn npy(bytes: &[u8]) -> Array2<f64> {
    Array2::read_npy(bytes).expect("a matrix of f64")
}

/// SciPy's CSR, made dense.
fn npz(bytes: Vec<u8>) -> (Array2<f64>, usize) {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).expect("an archive");
    let mut member = |name: &str| {
        let mut bytes = Vec::new();
        archive.by_name(name).expect(name).read_to_end(&mut bytes).expect("it is whole");
        bytes
    };
    assert!(member("format.npy").ends_with(b"\ncsr"));
    let shape = Array1::<i64>::read_npy(&member("shape.npy")[..]).expect("shape");
    let data = Array1::<f64>::read_npy(&member("data.npy")[..]).expect("data");
    let [indices, offsets] =
        ["indices.npy", "indptr.npy"].map(|name| Array1::<i32>::read_npy(&member(name)[..]).expect(name));
    let mut dense = Array2::zeros((shape[0] as usize, shape[1] as usize));
    for row in 0..dense.nrows() {
        for i in offsets[row]..offsets[row + 1] {
            dense[[row, indices[i as usize] as usize]] = data[i as usize];
        }
    }
    (dense, data.len())
}

fn mtx(text: &str) -> Array2<f64> {
    let mut lines = text.lines().filter(|line| !line.starts_with('%'));
    let numbers = |line: &str| line.split(' ').map(|word| word.parse::<f64>().expect("a number")).collect::<Vec<_>>();
    let size = numbers(lines.next().expect("a size"));
    let mut dense = Array2::zeros((size[0] as usize, size[1] as usize));
    for line in lines {
        let entry = numbers(line);
        dense[[entry[0] as usize - 1, entry[1] as usize - 1]] = entry[2];
    }
    dense
}

/// Runs `matrix` with outputs in a folder.
pub fn export(folder: &Folder, options: &[&str], names: &[&str]) -> Run {
    let paths: Vec<_> = names.iter().map(|name| folder.path(name)).collect();
    let mut arguments = [&["matrix"], options].concat();
    paths.iter().for_each(|path| arguments.extend(["-o", path]));
    Run::of(&arguments).succeeds()
}

#[test]
fn small_matrices_are_printed() {
    let says = |options: &str, text: &str| {
        let arguments: Vec<_> = ["matrix"].into_iter().chain(options.split(' ')).collect();
        Run::of(&arguments).succeeds().says(text)
    };
    says("--input 4 --kernel 2", "\n  w₀ w₁  ·  ·\n   · w₀ w₁  ·\n   ·  · w₀ w₁\n")
        .says("matrix        C, 3 × 4, 6 nonzeros, density 5.00e-1\n")
        .says("bandwidth     0 below the diagonal, 1 above\n")
        .says("storage       dense 96 B, CSR 128 B\n");
    says(
        "--transposed --input 2 --kernel 3 --stride 2 --padding 1 --output-padding 1",
        "Cᵀ, 4 × 2, 5 nonzeros, density 6.25e-1\n",
    )
    .says("\n  w₁  ·\n  w₂ w₀\n   · w₁\n   · w₂\n");
    says("--input 2 --kernel 2 --kernel-values -0.5,12345678", "\n     -0.5 1.235e7\n");
    says("--input 2 --kernel 2 --kernel-values 1,0.123456789 --digits 6", "\n         1 0.123457\n");
    says(
        "--input 2 --kernel 1 --groups 2 --out-channels 2 --in-channels 4",
        "\n  w₀₀,₀     · │ w₀₁,₀     · │     ·     · │     ·     ·\n",
    )
    .says("\n──────────────┼─────────────┼─────────────┼────────────\n");
    says("--input 5 --kernel 3 --stride 2 --permute polyphase", "\n  w₀ w₂  · │ w₁  ·\n   · w₀ w₂ │  · w₁\n")
        .says("polyphase     1 × 2 blocks");
    says("--input 3 --kernel 2 --wrt weights", "w ↦ C(w)·x, 2 × 2").says("\n  x₀ x₁\n  x₁ x₂\n");
    says("--transposed --input 2x1 --kernel 1x2 --wrt weights", "w ↦ C(w)ᵀ·y, 4 × 2")
        .says("\n  y₀₀   ·\n    · y₀₀\n  y₁₀   ·\n    · y₁₀\n");
    says("--input 65 --kernel 1", "\nToo large to print (more than 64 rows or 200 characters a row)");
    says("--input 20000x20000 --kernel 3", "\nNeither bandwidth nor entries");
}

#[test]
fn exports_are_the_literal_matrix() {
    let (literal, options) = example();
    let weights: Vec<_> = (0..2 * 2 * 6).map(|i| f64::from(i) / 3.0 - 2.0).collect();
    let (values, want, folder) =
        (format!("--kernel-values={}", listed(&weights)), literal.matrix(&weights), Folder::new());
    let options = [&options[..], &[&values]].concat();
    export(&folder, &options, &["c.npy", "c.npz", "c.mtx"]);
    assert_eq!(npy(&fs::read(folder.path("c.npy")).unwrap()), want);
    let (dense, stored) = npz(fs::read(folder.path("c.npz")).unwrap());
    // A weight of 0 is stored: it is structural.
    assert_eq!((dense, stored), (want.clone(), literal.labels().iter().filter(|&&label| label > 0).count()));
    assert_eq!(mtx(&fs::read_to_string(folder.path("c.mtx")).unwrap()), want);
}

#[test]
fn exports_are_what_torch_computed() {
    let goldens: Value = serde_json::from_str(include_str!("matrices/cases.json")).unwrap();
    for (i, golden) in goldens.as_array().unwrap().iter().enumerate() {
        let numbers = |value: &Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
        };
        let rows: Vec<_> = golden["matrix"].as_array().unwrap().iter().map(numbers).collect();
        let want = Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column]);
        let values = format!("--kernel-values={}", listed(&numbers(&golden["weights"])));
        let mut options: Vec<_> =
            golden["arguments"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();
        options.push(&values);
        let folder = Folder::new();
        export(&folder, &options, &["c.npy", "c.npz", "c.mtx"]);
        assert_eq!(npy(&fs::read(folder.path("c.npy")).unwrap()), want, "golden {i}");
        assert_eq!(npz(fs::read(folder.path("c.npz")).unwrap()).0, want, "golden {i}");
        assert_eq!(mtx(&fs::read_to_string(folder.path("c.mtx")).unwrap()), want, "golden {i}");

        let file = format!("{}/tests/cli/matrices/{}", env!("CARGO_MANIFEST_DIR"), golden["file"].as_str().unwrap());
        Run::of(&[&["check", &file], &options[..]].concat()).succeeds().says("verdict       it is the matrix C");
    }
}

#[test]
fn polyphase_sorts_by_residue() {
    let folder = Folder::new();
    let (literal, options) = example();
    let weights: Vec<_> = (1..=24).map(f64::from).collect();
    let values = format!("--kernel-values={}", listed(&weights));
    export(&folder, &[&options[..], &[&values, "--permute", "polyphase"]].concat(), &["p.npy"]);
    let got = npy(&fs::read(folder.path("p.npy")).unwrap());
    // Height: stride 2, dilation 1; rows stay, columns by parity. Width: stride 1, dilation 2; both by parity.
    let sorted = |channels: usize, [height, width]: [usize; 2], rows: usize, columns: usize| {
        let mut order: Vec<_> = (0..channels * height * width).collect();
        order.sort_by_key(|i| {
            let (c, h, w) = (i / (height * width), i / width % height, i % width);
            (c, h % rows, w % columns, h, w)
        });
        order
    };
    let (rows, columns) = (sorted(2, [3, 4], 1, 2), sorted(4, [5, 6], 2, 2));
    let c = literal.matrix(&weights);
    assert_eq!(got, Array2::from_shape_fn(c.dim(), |(i, j)| c[[rows[i], columns[j]]]));
}

#[test]
fn the_matrix_wrt_weights_holds_the_input() {
    let folder = Folder::new();
    let (literal, options) = example();
    let x = ArrayD::from_shape_fn(&[4, 5, 6][..], |i| (i[0] * 100 + i[1] * 10 + i[2]) as f64 + 0.5);
    let write = |name: &str, x: &ArrayD<f64>| {
        let mut bytes = Vec::new();
        x.write_npy(&mut bytes).unwrap();
        fs::write(folder.path(name), bytes).unwrap();
        folder.path(name)
    };
    let path = write("x.npy", &x);
    export(&folder, &[&options[..], &["--wrt", "weights", "--x", &path]].concat(), &["a.npy", "a.mtx"]);
    let mut want = Array2::zeros((24, 24));
    for ((row, column), &label) in literal.labels().indexed_iter().filter(|(_, label)| **label > 0) {
        want[[row, label - 1]] = x.as_slice().unwrap()[column];
    }
    assert_eq!(npy(&fs::read(folder.path("a.npy")).unwrap()), want);
    assert_eq!(mtx(&fs::read_to_string(folder.path("a.mtx")).unwrap()), want);

    // With a batch axis of one sample, and not with another shape.
    let one = write("one.npy", &x.clone().insert_axis(ndarray::Axis(0)));
    Run::of(&[&["matrix"], &options[..], &["--wrt", "weights", "--x", &one]].concat()).succeeds();
    let wrong = write("wrong.npy", &array![[[1.0]]].into_dyn());
    let run = Run::of(&[&["matrix"], &options[..], &["--wrt", "weights", "--x", &wrong]].concat());
    run.fails(1, "x has shape [1, 1, 1]; the layer's input has [4, 5, 6]");
    let seeded = |seed: &str| {
        export(&folder, &["--input", "3", "--kernel", "2", "--wrt", "weights", "--seed", seed, "--force"], &["s.npy"]);
        npy(&fs::read(folder.path("s.npy")).unwrap())
    };
    assert!(seeded("1") == seeded("1") && seeded("1") != seeded("2"));
    assert_eq!(seeded("1")[[0, 1]], seeded("1")[[1, 0]]);
}

#[test]
fn weights_files_set_kernel_and_channels() {
    let folder = Folder::new();
    let mut bytes = Vec::new();
    let weights = ndarray::Array4::from_shape_fn([2, 1, 1, 3], |(o, _, _, k)| (10 * o + k) as f64);
    weights.write_npy(&mut bytes).unwrap();
    fs::write(folder.path("w.npy"), bytes).unwrap();
    Run::of(&["matrix", "--input", "1x3", "--weights", &folder.path("w.npy")])
        .succeeds()
        .says("1×1×3 → 2×1×1")
        .says("\n   0  1  2\n──────────\n  10 11 12\n");
}

#[test]
fn wrong_requests_are_one_line_and_leave_nothing() {
    let folder = Folder::new();
    let [npy, npz, png, svg, tex] = ["c.npy", "c.npz", "c.png", "c.svg", "c.tex"].map(|name| folder.path(name));
    let layer = ["matrix", "--input", "6x6", "--kernel", "3"];
    for (arguments, code, complaint) in [
        (&["-o", "c.csv"][..], 2, "does not end in .npy, .npz, .mtx, .png, .svg or .tex"),
        (&["-o", &npy], 2, "c.npy needs numbers: --weights, --kernel-values or --seed"),
        (&["-o", &npy, "--wrt", "weights"], 2, "c.npy needs numbers: --x or --seed"),
        (&["--seed", "1", "-o", &npy, "-o", &npy], 2, "c.npy is given twice"),
        (&["--with-transpose", "-o", &tex], 2, "--with-transpose needs"),
        (&["--x", "x.npy"], 2, "--wrt weights"),
        (&["--wrt", "weights", "--permute", "polyphase"], 2, "--permute"),
        (&["--wrt", "weights", "--kernel-values", "1"], 2, "--wrt weights leaves the weights open"),
        (&["--wrt", "weights", "--x", "missing.npy"], 1, "cannot read missing.npy"),
        (&["--kernel-values", "1,2"], 2, "gives 2 numbers, but the layer has 9 weights"),
        (&["--kernel-values", "1,2,3,4,inf,6,7,8,9"], 2, "number 4 is inf"),
        (&["--digits", "18"], 2, "18 is not in 1..=17"),
        (
            &["--seed", "1", "-o", &npy, "--memory-limit", "1KiB"],
            1,
            "the dense matrix would need 4.5 KiB > 1 KiB; use .npz",
        ),
        (&["--seed", "1", "-o", &npz, "--memory-limit", "1KiB"], 1, "the sparse matrix would need"),
        (&["-o", &svg, "-o", &png, "--memory-limit", "1KiB"], 1, "the picture would need"),
        (&["-o", "/nowhere/at/all/c.png"], 1, "cannot write /nowhere/at/all/c.png"),
    ] {
        Run::of(&[&layer, arguments].concat()).fails(code, complaint);
    }
    Run::of(&["matrix", "--input", "40000x40000", "--kernel", "3", "-o", &png]).fails(1, "too large to write");
    Run::of(&["matrix", "--input", "400x400", "--kernel", "3", "-o", &svg]).fails(1, "too many to draw one by one");
    Run::of(&["matrix", "--input", "400x400", "--kernel", "3", "-o", &tex]).fails(1, "too many for a paper");
    Run::of(&["matrix", "--input", "400x400", "--kernel", "3", "-o", &png]).fails(1, "the picture would need");
    Run::of(&["matrix", "--input", "9x9", "--kernel", "99999x99999", "--padding", "99999"]).fails(1, "are too many");
    assert!(folder.names().is_empty());

    fs::write(&png, "precious").unwrap();
    Run::of(&[&layer[..], &["-o", &png]].concat()).fails(1, "exists; --force replaces it");
    assert_eq!(fs::read(&png).unwrap(), b"precious");
    Run::of(&[&layer[..], &["-o", &png, "--force"]].concat()).succeeds().says("wrote ");
    assert_eq!(decode(&png).width(), 36 * 14 + 32);
}

#[cfg(target_os = "linux")]
#[test]
fn read_only_folders_are_one_line() {
    // /proc refuses new files whoever asks.
    Run::of(&["matrix", "--input", "4", "--kernel", "2", "-o", "/proc/c.svg"]).fails(1, "cannot write /proc/c.svg");
}
