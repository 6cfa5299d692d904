//! The files themselves: pixels of a GIF, the style sheet of an SVG, the commands of a TikZ document.

use super::super::drawing::CELL;
use super::super::scene::Role;
use super::super::theme::Palette;
use super::super::{gif, svg, tikz};
use super::read::gif_frames;
use super::{drawing, seen};

#[test]
fn a_gif_shows_every_cell_in_its_colour() {
    for (line, palette) in [
        ("--input 3x3 --kernel 2 --padding 1,0", Palette::LIGHT),
        ("--transposed --input 2x2 --kernel 3 --stride 2 --padding 1 --output-padding 1", Palette::DARK),
        ("--transposed --input 3 --kernel 2 --stride 3 --show zero-insertion", Palette::LIGHT),
        ("--transposed --input 2x2 --kernel 2 --stride 1 --padding 1,0 --show im2col", Palette::DARK),
    ] {
        let drawing = drawing(line);
        let file = gif_frames(&gif::encode(&drawing, &palette, 250).unwrap());
        assert_eq!(file.size, [drawing.width, drawing.height].map(|side| side as usize));
        assert!(file.loops);
        assert_eq!(file.delays, drawing.holds.iter().map(|hold| hold * 25).collect::<Vec<_>>());
        let seen = seen(line);
        assert_eq!(file.frames.len(), seen.len());
        // The pictures of cells are told apart by role, text and note, and by nothing else.
        let mut pictures = std::collections::HashMap::new();
        for (pixels, cells) in file.frames.iter().zip(&seen) {
            let at = |x: i32, y: i32| pixels[y as usize * file.size[0] + x as usize];
            for cell in cells {
                let role = Role::ALL.into_iter().find(|role| role.name() == cell.role).unwrap();
                // Outlines cover no more than two pixels of a cell, and its border one.
                assert_eq!(at(cell.x + 5, cell.y + 5), palette.ink(role).fill.channels(), "{cell:?}");
                let inside = (4..CELL - 4).flat_map(|y| (4..CELL - 4).map(move |x| (x, y)));
                let picture: Vec<_> = inside.map(|(x, y)| at(cell.x + x, cell.y + y)).collect();
                let written = picture.contains(&palette.ink(role).text.channels());
                assert_eq!(written, !cell.text.is_empty(), "{cell:?}");
                let key = (cell.role.clone(), cell.text.clone(), cell.note.clone());
                assert_eq!(pictures.entry(picture).or_insert_with(|| key.clone()), &key);
            }
        }
        assert_eq!(pictures.len(), pictures.values().collect::<std::collections::HashSet<_>>().len());
    }
}

#[test]
fn an_svg_moves_and_rests() {
    let drawing = drawing("--input 3 --kernel 2");
    let both = svg::encode(&drawing, &[Palette::LIGHT, Palette::DARK], 500);
    for part in ["prefers-color-scheme:dark", "prefers-reduced-motion:reduce", "infinite", "<title>Convolution"] {
        assert!(both.contains(part), "{part}");
    }
    let dark = svg::encode(&drawing, &[Palette::DARK], 500);
    assert!(
        !dark.contains("prefers-color-scheme")
            && dark.contains(&format!(".page{{fill:#{}}}", Palette::DARK.page.hex()))
    );
    // Without animation the last frame is visible, and it alone.
    let frames = drawing.frames.len();
    let moving = both.lines().filter(|line| line.starts_with(".t") && !line.starts_with(".title"));
    for rule in moving {
        let end: usize = rule.split(['-', '{']).nth(1).unwrap().parse().unwrap();
        let still = if end == frames { "{visibility:visible;" } else { "{visibility:hidden;" };
        assert!(rule.contains(still), "{rule}");
    }
    // First and last frame are held: 2 + 2 + 4 steps of half a second.
    assert_eq!(drawing.holds, [2, 1, 1, 4]);
    assert!(both.contains(" 4s step-end -0s infinite") || both.contains(" 4s step-end -4s infinite"), "{both}");
}

#[test]
fn a_tikz_document_is_whole() {
    let text =
        tikz::encode(&drawing("--transposed --input 2x2 --kernel 2 --padding 1 --output-padding 0"), &Palette::LIGHT);
    assert!(text.is_ascii());
    assert!(text.matches('{').count() == text.matches('}').count());
    for (begin, end) in [("\\begin{document}", "\\end{document}"), ("\\begin{tikzpicture}", "\\end{tikzpicture}")] {
        assert_eq!(text.matches(begin).count(), text.matches(end).count());
    }
    let body = &text[text.find("\\begin{document}").unwrap()..];
    for line in body.lines() {
        // Every path ends, every mathematical text is closed, every command is one that is known.
        assert!(
            !line.starts_with("\\draw") && !line.starts_with("\\node") && !line.starts_with("\\fill")
                || line.ends_with(';'),
            "{line}"
        );
        assert!(line.matches('$').count() % 2 == 0, "{line}");
        let known = ["\\begin", "\\end", "\\conv", "\\node", "\\draw", "\\fill", "%"];
        assert!(known.iter().any(|start| line.starts_with(start)), "{line}");
    }
}
