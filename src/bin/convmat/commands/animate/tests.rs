//! What each back end shows, read back and held to sums written out here.
//!
//! [`Literal`] knows the convolution from its definition alone; [`read`] knows the files, not how they were made.

mod read;

use clap::Parser;
use convmat::geometry::Side;
use proptest::prelude::*;

use self::read::{Seen, gif_frames, svg_frames, tikz_frames};
use super::drawing::{CELL, Drawing};
use super::problem::Problem;
use super::scene::{Role, Scene};
use super::theme::Palette;
use super::{gif, storyboard, svg, tikz};
use crate::args::{AnimateArgs, Cli, Command};
use crate::error::Result;

fn args(line: &str) -> AnimateArgs {
    let words = ["convmat", "animate", "-o", "x.svg"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).expect(line).command {
        Command::Animate(args) => args,
        other => panic!("{other:?}"),
    }
}

fn scene(line: &str) -> Result<Scene> {
    let args = args(line);
    storyboard::scene(&Problem::new(&args)?, args.show)
}

fn drawing(line: &str) -> Drawing {
    Drawing::new(&scene(line).unwrap()).unwrap()
}

/// What is seen in every frame of the SVG; the TikZ frames show the same.
fn seen(line: &str) -> Vec<Vec<Seen>> {
    let drawing = drawing(line);
    let frames = svg_frames(&svg::encode(&drawing, &[Palette::LIGHT, Palette::DARK], 500), drawing.frames.len());
    assert_eq!(frames, tikz_frames(&tikz::encode(&drawing, &Palette::LIGHT)), "{line}");
    frames
}

/// A layer with one channel on either side and two axes, as numbers per axis.
#[derive(Clone, Debug)]
struct Literal {
    transposed: bool,
    input: [i64; 2],
    kernel: [i64; 2],
    stride: [i64; 2],
    dilation: [i64; 2],
    padding: [i64; 2],
    output_padding: [i64; 2],
    x: Vec<i64>,
    w: Vec<i64>,
}

impl Literal {
    fn line(&self) -> String {
        let by = |lengths: [i64; 2]| format!("{}x{}", lengths[0], lengths[1]);
        let list = |values: &[i64]| values.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        let mut line = format!(
            "--input {} --kernel {} --stride {} --dilation {} --padding {} --values={} --kernel-values={}",
            by(self.input),
            by(self.kernel),
            by(self.stride),
            by(self.dilation),
            by(self.padding),
            list(&self.x),
            list(&self.w)
        );
        if self.transposed {
            line += &format!(" --transposed --output-padding {}", by(self.output_padding));
        }
        line
    }

    /// PyTorch's output sizes.
    fn output(&self) -> [i64; 2] {
        [0, 1].map(|i| {
            let extent = self.dilation[i] * (self.kernel[i] - 1);
            if self.transposed {
                (self.input[i] - 1) * self.stride[i] - 2 * self.padding[i] + extent + self.output_padding[i] + 1
            } else {
                (self.input[i] + 2 * self.padding[i] - extent - 1).div_euclid(self.stride[i]) + 1
            }
        })
    }

    /// All products: place in the output, value; by input for a transposed convolution, by output for a convolution.
    fn products(&self) -> Vec<Vec<([i64; 2], i64)>> {
        let from = if self.transposed { self.input } else { self.output() };
        let to = if self.transposed { self.output() } else { self.input };
        let mut all = Vec::new();
        for (i, j) in (0..from[0]).flat_map(|i| (0..from[1]).map(move |j| (i, j))) {
            let mut products = Vec::new();
            for (a, b) in (0..self.kernel[0]).flat_map(|a| (0..self.kernel[1]).map(move |b| (a, b))) {
                let h = i * self.stride[0] + a * self.dilation[0] - self.padding[0];
                let w = j * self.stride[1] + b * self.dilation[1] - self.padding[1];
                let weight = self.w[(a * self.kernel[1] + b) as usize];
                let inside = (0..to[0]).contains(&h) && (0..to[1]).contains(&w);
                if self.transposed {
                    products.push(([h, w], weight * self.x[(i * from[1] + j) as usize]));
                } else if inside {
                    products.push(([i, j], weight * self.x[(h * to[1] + w) as usize]));
                }
            }
            all.push(products);
        }
        all
    }

    /// The output, row-major.
    fn result(&self) -> Vec<i64> {
        let [rows, columns] = self.output();
        let mut result = vec![0; (rows * columns) as usize];
        for ([h, w], product) in self.products().into_iter().flatten() {
            if (0..rows).contains(&h) && (0..columns).contains(&w) {
                result[(h * columns + w) as usize] += product;
            }
        }
        result
    }
}

/// Cells of some roles, in reading order.
fn of_roles<'a>(frame: &'a [Seen], roles: &[&str]) -> Vec<&'a Seen> {
    let mut cells: Vec<_> = frame.iter().filter(|cell| roles.contains(&cell.role.as_str())).collect();
    cells.sort_by_key(|cell| (cell.y, cell.x));
    cells
}

fn texts(cells: &[&Seen]) -> Vec<String> {
    cells.iter().map(|cell| cell.text.clone()).collect()
}

fn words(values: &[i64]) -> Vec<String> {
    values.iter().map(|value| value.to_string().replace('-', "−")).collect()
}

fn value(text: &str) -> i64 {
    text.trim_start_matches(['×', '+']).replace('−', "-").parse().unwrap()
}

/// The output cells of the last frame that belong to its rightmost panel.
fn last_output(frames: &[Vec<Seen>]) -> Vec<String> {
    texts(&of_roles(frames.last().unwrap(), &["output", "output-padding"]))
}

fn layers(transposed: bool) -> impl Strategy<Value = Literal> {
    let pair = |from: i64, to: i64| [from..=to, from..=to];
    let sizes = (pair(1, 4), pair(1, 3), pair(1, 3), pair(1, 2), pair(0, 2), pair(0, 2));
    let values = (prop::collection::vec(-9i64..=9, 16), prop::collection::vec(-9i64..=9, 9));
    (sizes, values).prop_filter_map("no output", move |((input, kernel, stride, dilation, padding, extra), (x, w))| {
        let layer = Literal {
            transposed,
            x: x[..(input[0] * input[1]) as usize].to_vec(),
            w: w[..(kernel[0] * kernel[1]) as usize].to_vec(),
            output_padding: [0, 1].map(|i| if transposed { extra[i].min(stride[i].max(dilation[i]) - 1) } else { 0 }),
            input,
            kernel,
            stride,
            dilation,
            padding,
        };
        layer.output().iter().all(|&length| length > 0).then_some(layer)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn gathering_shows_every_sum(layer in layers(false)) {
        let frames = seen(&layer.line());
        let result = layer.result();
        prop_assert_eq!(frames.len(), result.len() + 2);
        for (frame, (&sum, products)) in frames[1..].iter().zip(result.iter().zip(layer.products())) {
            let current = of_roles(frame, &["current"]);
            prop_assert_eq!(texts(&current), words(&[sum]));
            // What is read, times what its note says. Padding is among it, kernel taps have no note.
            let read: Vec<_> = of_roles(frame, &["active"]).into_iter().filter(|cell| !cell.note.is_empty()).collect();
            prop_assert_eq!(read.len() as i64, layer.kernel[0] * layer.kernel[1]);
            let shown: i64 = read.iter().map(|cell| value(&cell.text) * value(&cell.note)).sum();
            prop_assert_eq!(shown, products.iter().map(|(_, product)| product).sum::<i64>());
        }
        prop_assert_eq!(last_output(&frames), words(&result));
    }

    #[test]
    fn scattering_shows_every_partial_sum(layer in layers(true)) {
        let frames = seen(&layer.line());
        let mut sums = std::collections::BTreeMap::new();
        for (frame, products) in frames[1..].iter().zip(layer.products()) {
            let mut touched = std::collections::BTreeMap::new();
            for (place, product) in products {
                *sums.entry(place).or_insert(0) += product;
                *touched.entry(place).or_insert(0) += product;
            }
            // Input and kernel are active without a note.
            let mut shown = of_roles(frame, &["sum", "active"]);
            shown.retain(|cell| cell.role == "sum" || !cell.note.is_empty());
            prop_assert_eq!(texts(&shown), words(&sums.values().copied().collect::<Vec<_>>()));
            let added: Vec<_> = shown.iter().filter(|cell| cell.role == "active").map(|cell| value(&cell.note)).collect();
            prop_assert_eq!(added, touched.into_values().collect::<Vec<_>>());
        }
        prop_assert_eq!(last_output(&frames), words(&layer.result()));
        let added = of_roles(frames.last().unwrap(), &["output-padding"]).len() as i64;
        let ([rows, columns], [extra_rows, extra_columns]) = (layer.output(), layer.output_padding);
        prop_assert_eq!(added, rows * columns - (rows - extra_rows).max(0) * (columns - extra_columns).max(0));
    }

    #[test]
    fn every_other_way_ends_with_the_same_output(layer in any::<bool>().prop_flat_map(layers)) {
        let result = words(&layer.result());
        let ways: &[&str] = if layer.transposed { &["gather"] } else { &["scatter", "im2col"] };
        for way in ways {
            prop_assert_eq!(last_output(&seen(&format!("{} --show {way}", layer.line()))), result.clone());
        }
        let frames = seen(&format!("{} --show zero-insertion", layer.line()));
        if layer.transposed {
            prop_assert_eq!(last_output(&frames), result.clone());
            // One sum per output, of what stands below the flipped kernel.
            for (frame, sum) in frames[4..].iter().zip(layer.result()) {
                let read = of_roles(frame, &["active"]).into_iter().filter(|cell| !cell.note.is_empty());
                prop_assert_eq!(read.map(|cell| value(&cell.text) * value(&cell.note)).sum::<i64>(), sum);
            }
        } else {
            // Two panels show it: the sums that stay, and they alone.
            let kept: Vec<_> = of_roles(&frames[frames.len() - 2], &["output"]);
            prop_assert_eq!(texts(&kept), result);
        }
    }
}

#[test]
fn columns_are_patches() {
    // 3×3 under a 2×2 kernel with padding 1 before and stride 2: four patches, by hand.
    let line = "--input 3x3 --kernel 2 --padding 1,0 --stride 2 --show im2col --values 1,2,3,4,5,6,7,8,9 --kernel-values 1,2,3,4";
    let frames = seen(line);
    assert_eq!(frames.len(), 1 + 4 + 1 + 4 + 1);
    let columns = [[0, 0, 0, 1], [0, 0, 2, 3], [0, 4, 0, 7], [5, 6, 8, 9]];
    for (i, column) in columns.iter().enumerate() {
        let active = of_roles(&frames[1 + i], &["active"]);
        // The patch's four cells stand left of the column's.
        let right = active.iter().map(|cell| cell.x).max().unwrap();
        let shown: Vec<_> = active.into_iter().filter(|cell| cell.x == right).collect();
        assert_eq!(texts(&shown), words(column));
    }
    let sum = |column: &[i64; 4]| (1..=4).zip(column).map(|(w, x)| w * x).sum::<i64>();
    for (i, column) in columns.iter().enumerate() {
        assert_eq!(texts(&of_roles(&frames[6 + i], &["current"])), words(&[sum(column)]));
    }
    assert_eq!(last_output(&frames), words(&columns.each_ref().map(sum)));
}

#[test]
fn channels_of_the_group_are_summed() {
    // Two groups of two input channels and one output channel each; 1-D, kernel 1: y = w₀·x₀ + w₁·x₁.
    let line = "--input 2 --kernel 1 --groups 2 --in-channels 4 --values 1,2,3,4,5,6,7,8 --kernel-values 1,10,100,1000";
    for show in ["gather", "scatter", "im2col", "zero-insertion"] {
        let shown = |channel| {
            let frames = seen(&format!("{line} --channel {channel} --show {show}"));
            let output = last_output(&frames);
            output[output.len() - 2..].to_vec()
        };
        assert_eq!(shown(0), words(&[1 + 30, 2 + 40]), "{show}");
        assert_eq!(shown(1), words(&[500 + 7000, 600 + 8000]), "{show}");
    }
    // Transposed: x[co] = Σ w[ci, co]·y[ci].
    let line =
        "--transposed --input 1 --kernel 1 --in-channels 2 --out-channels 2 --values 3,5 --kernel-values 1,10,100,1000";
    for show in ["gather", "scatter", "zero-insertion"] {
        for (channel, sum) in [(0, 3 + 500), (1, 30 + 5000)] {
            let frames = seen(&format!("{line} --channel {channel} --show {show}"));
            assert_eq!(last_output(&frames), words(&[sum]), "{show}");
        }
    }
}

#[test]
fn captions_say_the_numbers_of_their_step() {
    let scene = scene("--input 4x4 --kernel 2x3 --stride 2x1 --padding 0x1").unwrap();
    let third = &scene.frames[3].captions;
    assert_eq!(third[0], "output (0, 2) = Σ w·x = 1·2 + 2·3 + 3·4 + 4·6 + 5·7 + 1·8 = 87");
    assert_eq!(third[2..], ["rows:  0·2 + {0, 1}·1 − 0 = {0, 1}", "columns:  2·1 + {0, 1, 2}·1 − 1 = {1, 2, 3}"]);
    let scene = self::scene("--transposed --input 3 --kernel 3 --stride 2 --padding 1").unwrap();
    assert_eq!(scene.frames[2].captions[2], "1·2 + {0, 1, 2}·1 − 1 = {1, 2, 3}");
}

#[test]
fn padding_grown_by_an_output_shape_is_shown() {
    // ONNX's output shape makes the output longer than any tap reaches: zeros at the end.
    let frames = seen("--transposed --input 2 --kernel 2 --output-shape 6 --values 1,2 --kernel-values 1,1");
    assert_eq!(last_output(&frames).iter().map(|text| value(text)).sum::<i64>(), 1 + 1 + 2 + 2);
    assert_eq!(last_output(&frames).len(), 6);
}

#[test]
fn a_gif_shows_every_cell_in_its_colour() {
    for (line, palette) in [
        ("--input 3x3 --kernel 2 --padding 1,0", Palette::LIGHT),
        ("--transposed --input 2x2 --kernel 3 --stride 2 --padding 1 --output-padding 1", Palette::DARK),
        ("--transposed --input 3 --kernel 2 --stride 3 --show zero-insertion", Palette::LIGHT),
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

#[test]
fn what_is_too_much_is_refused_before_it_is_made() {
    for (line, complaint) in [
        ("--input 2x2x2 --kernel 1", "3 spatial axes"),
        ("--input 30x30 --kernel 3", "frames are too many"),
        ("--input 100x100 --kernel 3", "10000 elements of the input are too many"),
        ("--input 1 --kernel 1 --padding 4000000000000", "elements of the output are too many"),
        ("--input 2 --kernel 3000000 --padding 3000000", "are too many"),
        ("--input 45x45 --kernel 40", "cells in a frame are too many"),
        ("--input 19x19 --kernel 1 --padding 3 --show scatter", "cells in all frames are too many"),
        ("--input 4 --kernel 2 --values 1,2,3", "--values gives 3 numbers, but the input has 4 elements"),
        ("--input 2 --kernel 2 --values 1,inf", "number 1 is inf"),
        ("--input 4 --kernel 2 --channel 1", "--channel is 1, but the output has 1 channels"),
        ("--transposed --input 4 --kernel 2 --show im2col", "im2col draws convolutions"),
    ] {
        let error = scene(line).expect_err(line).to_string();
        assert!(error.contains(complaint), "{line}: {error}");
    }
    let wide = scene("--input 200 --kernel 199 --show scatter").unwrap();
    assert!(Drawing::new(&wide).is_err_and(|error| error.to_string().contains("pixels long")));
    assert_eq!(Problem::new(&args("--transposed --input 2 --kernel 2")).unwrap().reads, Side::Small);
}
