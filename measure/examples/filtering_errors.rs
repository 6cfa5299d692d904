//! Measures how much nests of minimal filtering sets round, beside the plain loop, and writes the table that plans are chosen by.
//!
//! ```text
//! filtering_errors TABLE.rs
//! ```
//!
//! [`Study`] says what is measured. The nests are all of one and two sets F(n, r) of [`SETS`], and of three that have two or three taps
//! each or the same number of taps; nests of three sets are measured up to 1024 input channels. Figures are the worst ones over inputs
//! that are normal and that are rectified, on large planes and on small ones. Inputs with an offset, and `f64`, are summed up in the
//! table's head. It takes some minutes.

use std::fmt::Write as _;
use std::process::ExitCode;

use convmat_measure::filtering::{BLOCKS, Data, Excess, INPUTS, Number, Plane, SETS, Study};

type Nest = Vec<(usize, usize)>;
type Table = Vec<[Excess; BLOCKS.len()]>;

/// Up to so many input channels many tiles are measured, above it some.
const MANY_TILES: usize = 512;
/// Tiles of one, two and three axes: more outputs make up for fewer tiles.
const TILES: [usize; 3] = [2048, 768, 128];
const FEW_TILES: [usize; 3] = [256, 64, 64];
/// Most input channels of nests of three sets.
const MOST_OF_THREE: usize = 1024;
/// Nests with a larger error than this at 128 input channels are left out.
const HOPELESS: f64 = 6.0;
/// Nests that are measured in `f64` too, and up to how many input channels.
const DOUBLE: [&[(usize, usize)]; 3] = [&[(3, 2), (3, 2)], &[(4, 2), (4, 2)], &[(4, 3)]];
const MOST_OF_DOUBLE: usize = 128;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [path] = &words[..] else {
        eprintln!("usage: filtering_errors TABLE.rs");
        return ExitCode::from(2);
    };
    match std::fs::write(path, table()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("filtering_errors: cannot write {path}: {error}");
            ExitCode::from(1)
        }
    }
}

/// All nests, each in ascending order.
fn nests() -> Vec<Nest> {
    let mut sets = SETS;
    sets.sort_unstable();
    let mut all: Vec<Nest> = vec![Vec::new()];
    let mut longer = all.clone();
    for _ in 0..3 {
        let with = |nest: &Nest| {
            let last = nest.last().copied().unwrap_or_default();
            let next = sets.iter().filter(move |&&set| set >= last);
            next.map(|&set| [&nest[..], &[set]].concat()).collect::<Vec<_>>()
        };
        longer = longer.iter().flat_map(with).collect();
        all.extend_from_slice(&longer);
    }
    let is_measured = |nest: &Nest| match nest[..] {
        [] => false,
        [(_, a), (_, b), (_, c)] => (a == b && b == c) || a.max(b).max(c) <= 3,
        _ => true,
    };
    all.retain(is_measured);
    all
}

/// The worst figures of some kinds of data, on planes of all kinds.
fn worst<T: Number>(nest: &Nest, data: &[Data], most_inputs: usize, tiles: usize) -> Table {
    let mut worst: Table = Vec::new();
    for (i, &data) in data.iter().enumerate() {
        for (j, plane) in Plane::ALL.into_iter().enumerate() {
            let study = Study { data, plane, most_inputs, tiles, seed: (2 * i + j) as u64 };
            let table = study.errors::<T>(nest).unwrap_or_default();
            worst.resize(table.len(), Default::default());
            for (worst, excess) in worst.iter_mut().flatten().zip(table.into_iter().flatten()) {
                *worst = worst.or(excess);
            }
        }
    }
    worst
}

/// The same up to the most input channels that there are figures for.
fn worst_of_all(nest: &Nest) -> Table {
    let data = [Data::Normal, Data::Rectified];
    let most = if nest.len() == 3 { MOST_OF_THREE } else { INPUTS[INPUTS.len() - 1] };
    let mut table = worst::<f32>(nest, &data, MANY_TILES, TILES[nest.len() - 1]);
    let rest = worst::<f32>(nest, &data, most, FEW_TILES[nest.len() - 1]);
    table.extend_from_slice(&rest[table.len()..]);
    table
}

fn table() -> String {
    let (mut rows, mut with_offset, mut left_out) = (String::new(), Excess::default(), Vec::new());
    let nests = nests();
    for (number, nest) in nests.iter().enumerate() {
        eprintln!("{} of {}: {nest:?}", number + 1, nests.len());
        let table = worst_of_all(nest);
        let at_128 = INPUTS.iter().position(|&inputs| inputs == 128).unwrap_or(0);
        if table[at_128][0].rms > HOPELESS {
            left_out.push(format!("{nest:?}"));
            continue;
        }
        let offset = worst::<f32>(nest, &[Data::Offset], MANY_TILES, FEW_TILES[nest.len() - 1]);
        for (offset, excess) in offset.iter().flatten().zip(table.iter().flatten()) {
            let over = Excess { rms: offset.rms / excess.rms, largest: offset.largest / excess.largest };
            with_offset = with_offset.or(over);
        }
        let column = |block: usize, of: fn(&Excess) -> f64| {
            let hundredths = table.iter().map(|row| format!("{:.0}", (100.0 * of(&row[block])).ceil()));
            format!("&[{}]", hundredths.collect::<Vec<_>>().join(", "))
        };
        let columns = |of| (0..BLOCKS.len()).map(|block| column(block, of)).collect::<Vec<_>>().join(", ");
        let (rms, largest) = (columns(|excess| excess.rms), columns(|excess| excess.largest));
        let _ = writeln!(rows, "    (&{nest:?}, [{rms}], [{largest}]),");
    }
    let head = "\
//! Errors of nests of minimal filtering sets over those of the plain loop, in hundredths.
//!
//! Generated: `cargo run --release -p convmat-measure --example filtering_errors -- src/plan/filtering_errors/table.rs`,
//! whose documentation says what they are.
//!
";
    let left_out = match left_out.len() {
        0 => "No nest was left out.".to_string(),
        _ => format!(
            "Left out, with more than {HOPELESS} times the error at 128 input channels: {}.",
            left_out.join(", ")
        ),
    };
    let with_offset = format!(
        "Inputs with an offset, of mean 1 and deviation ½: at most {:.2} times the root mean square here, {:.2} times the largest error.",
        with_offset.rms, with_offset.largest
    );
    let double = double();
    let lines = [
        with_offset,
        left_out,
        "In `f64`, where the filter's transform has no more digits than the rest (normal inputs, large planes, root mean squares):"
            .to_string(),
    ];
    let notes: String = lines.iter().map(|line| wrapped(line)).collect();
    format!(
        "{head}{notes}//!\n{double}\n\
         /// Input channels of the figures, as far as they go.\n\
         pub(super) const INPUTS: [usize; {}] = {INPUTS:?};\n\
         /// Input channels that are summed from zero.\n\
         pub(super) const BLOCKS: [usize; {}] = {BLOCKS:?};\n\n\
         /// Sets (n, r) in ascending order; a list per block, with a figure per number of input channels, of root mean squares and of\n\
         /// largest errors.\n\
         pub(super) type Row = (&'static [(usize, usize)], [&'static [u16]; {}], [&'static [u16]; {}]);\n\n\
         #[rustfmt::skip]\n\
         pub(super) const ROWS: &[Row] = &[\n{rows}];\n",
        INPUTS.len(),
        BLOCKS.len(),
        BLOCKS.len(),
        BLOCKS.len(),
    )
}

/// A comment in lines of up to 130 characters.
fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::from("//!"));
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > 130 {
            let _ = writeln!(lines, "{line}");
            line = String::from("//!");
        }
        line += " ";
        line += word;
    }
    lines + &line + "\n"
}

/// A table of figures in `f64` beside those in `f32`.
fn double() -> String {
    let mut text = String::from("//! | nest | input channels, block | `f64` | `f32` |\n//! |---|---|---|---|\n");
    for nest in DOUBLE {
        let study = Study {
            data: Data::Normal,
            plane: Plane::Large,
            most_inputs: MOST_OF_DOUBLE,
            tiles: TILES[nest.len() - 1],
            seed: 9,
        };
        let (double, single) =
            (study.errors::<f64>(nest).unwrap_or_default(), study.errors::<f32>(nest).unwrap_or_default());
        for ((inputs, double), single) in INPUTS.iter().zip(double).zip(single) {
            let (double, single) = (double[0].rms, single[0].rms);
            let _ = writeln!(text, "//! | {nest:?} | {inputs}, {} | {double:.2} | {single:.2} |", BLOCKS[0]);
        }
    }
    text
}
