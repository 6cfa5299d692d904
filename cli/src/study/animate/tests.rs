//! What each back end shows, read back and held to sums written out here.
//!
//! [`Literal`](literal::Literal) knows the convolution from its definition alone; [`read`] knows the files, not how they were made.

mod files;
mod literal;
mod read;

use clap::Parser;
use convmat::geometry::Side;
use proptest::prelude::*;

use self::literal::layers;
use self::read::{Seen, svg_frames, tikz_frames};
use super::drawing::Drawing;
use super::problem::Problem;
use super::scene::Scene;
use super::theme::Palette;
use super::{storyboard, svg, tikz};
use crate::args::{self, Cli};
use crate::error::Result;
use crate::study::Command;
use crate::study::args::AnimateArgs;

fn args(line: &str) -> AnimateArgs {
    let words = ["convmat", "animate", "-o", "x.svg"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).expect(line).command {
        args::Command::Study(Command::Animate(args)) => *args,
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
    fn columns_are_made_and_then_added(layer in layers(true)) {
        let frames = seen(&format!("{} --show im2col", layer.line()));
        let products = layer.products();
        let (made, added) = (&frames[1..=products.len()], &frames[products.len() + 2..]);
        let mut columns_end = 0;
        for (frame, products) in made.iter().zip(&products) {
            let column = of_roles(frame, &["current"]);
            prop_assert_eq!(texts(&column), words(&products.iter().map(|(_, product)| *product).collect::<Vec<_>>()));
            columns_end = columns_end.max(column[0].x);
        }
        let mut sums = std::collections::BTreeMap::new();
        for (frame, products) in added.iter().zip(products) {
            for &(place, product) in &products {
                *sums.entry(place).or_insert(0) += product;
            }
            // The sums stand to the right of the columns, of which the one that is added is marked.
            let shown = of_roles(frame, &["sum", "active"]);
            let (columns, shown): (Vec<_>, Vec<_>) = shown.into_iter().partition(|cell| cell.x <= columns_end);
            let column: Vec<_> = columns.into_iter().filter(|cell| cell.role == "active").collect();
            prop_assert_eq!(texts(&column), words(&products.iter().map(|(_, product)| *product).collect::<Vec<_>>()));
            prop_assert_eq!(texts(&shown), words(&sums.values().copied().collect::<Vec<_>>()));
            let notes: Vec<_> = shown.iter().filter(|cell| !cell.note.is_empty()).map(|cell| value(&cell.note)).collect();
            // Taps land in the order of their places.
            prop_assert_eq!(notes, products.iter().map(|(_, product)| *product).collect::<Vec<_>>());
        }
    }

    #[test]
    fn every_other_way_ends_with_the_same_output(layer in any::<bool>().prop_flat_map(layers)) {
        let result = words(&layer.result());
        let ways: &[&str] = if layer.transposed { &["gather", "im2col"] } else { &["scatter", "im2col"] };
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
    for show in ["gather", "scatter", "im2col", "zero-insertion"] {
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
    ] {
        let error = scene(line).expect_err(line).to_string();
        assert!(error.contains(complaint), "{line}: {error}");
    }
    let wide = scene("--input 200 --kernel 199 --show scatter").unwrap();
    assert!(Drawing::new(&wide).is_err_and(|error| error.to_string().contains("pixels long")));
    assert_eq!(Problem::new(&args("--transposed --input 2 --kernel 2")).unwrap().reads, Side::Small);
}
