//! The matrix that is shown: which entry stands where, in which order, and what it is called. It knows no file and no picture.

use convmat::Geometry;
use convmat::geometry::Side;
use convmat::matrix::Pattern;
use sprs::CsMat;

use crate::study::layer::Studied;
use crate::study::symbols::Symbols;

/// A matrix whose entries carry labels: flat indices into the weights, or into the input where the weights are the variable.
pub struct Shown {
    pub name: String,
    pub rows: Lines,
    pub columns: Lines,
    /// Number of entries.
    pub entries: u128,
    /// What labels are called.
    pub symbols: Symbols,
    /// The number behind each label, if there are numbers.
    pub values: Option<Vec<f64>>,
    pattern: Pattern,
    in_weights: bool,
}

/// An entry of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labelled {
    pub column: usize,
    pub label: usize,
}

/// The rows or the columns in their order, and where their blocks begin.
pub struct Lines {
    count: usize,
    /// `order[place]` is the row-major index, `place` its inverse; none where the order is row-major.
    permutation: Option<Permutation>,
    starts: Vec<usize>,
}

struct Permutation {
    order: Vec<usize>,
    place: Vec<usize>,
}

impl Lines {
    /// Row-major, in blocks of one length.
    fn natural(count: usize, block: usize) -> Self {
        Self { count, permutation: None, starts: (0..count).step_by(block.max(1)).collect() }
    }

    fn polyphase(geometry: &Geometry<3>, side: Side) -> convmat::Result<Self> {
        let phases = geometry.polyphase(side)?;
        let order = phases.order().to_vec();
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(at, &index)| place[index] = at);
        let starts = phases.starts().to_vec();
        Ok(Self { count: order.len(), permutation: Some(Permutation { order, place }), starts })
    }

    pub const fn len(&self) -> usize {
        self.count
    }

    /// Where the blocks begin, the first at 0.
    pub fn starts(&self) -> &[usize] {
        &self.starts
    }

    fn index_at(&self, place: usize) -> usize {
        self.permutation.as_ref().map_or(place, |permutation| permutation.order[place])
    }

    fn place_of(&self, index: usize) -> usize {
        self.permutation.as_ref().map_or(index, |permutation| permutation.place[index])
    }
}

/// What the matrix is called.
pub fn name(layer: &Studied, in_weights: bool) -> String {
    match (in_weights, layer.side) {
        (false, _) => layer.matrix_name().to_owned(),
        (true, Side::Large) => "w ↦ C(w)·x".to_owned(),
        (true, Side::Small) => "w ↦ C(w)ᵀ·y".to_owned(),
    }
}

impl Shown {
    /// The matrix that a layer applies to its input or, with `in_weights`, to its weights.
    pub fn new(layer: &Studied, in_weights: bool, polyphase: bool, values: Option<Vec<f64>>) -> convmat::Result<Self> {
        let (geometry, [input, output]) = (&layer.geometry, [layer.side, layer.side.other()]);
        let [small, large, taps @ ..] = geometry.weight_shape();
        let lines = |side: Side| {
            let [channels, size @ ..] = geometry.shape(side);
            let plane = size.iter().product::<usize>();
            if polyphase { Lines::polyphase(geometry, side) } else { Ok(Lines::natural(channels * plane, plane)) }
        };
        let (columns, symbols) = if in_weights {
            let taps_per_channels = taps.iter().product::<usize>();
            let [channels, size @ ..] = geometry.shape(input);
            let letter = if input == Side::Large { 'x' } else { 'y' };
            let columns = Lines::natural(small * large * taps_per_channels, taps_per_channels);
            (columns, Symbols::new(letter, &[channels], size, layer.axes))
        } else {
            (lines(input)?, Symbols::new('w', &[small, large], taps, layer.axes))
        };
        Ok(Self {
            name: name(layer, in_weights),
            rows: lines(output)?,
            columns,
            entries: geometry.entries(),
            symbols,
            values,
            pattern: Pattern::new(geometry, output),
            in_weights,
        })
    }

    /// The entries of the row at one place, columns ascending.
    pub fn row(&self, place: usize, entries: &mut Vec<Labelled>) {
        entries.clear();
        self.pattern.for_each_in_row(self.rows.index_at(place), |input, weight| {
            let (column, label) = if self.in_weights { (weight, input) } else { (input, weight) };
            entries.push(Labelled { column: self.columns.place_of(column), label });
        });
        entries.sort_unstable();
    }

    /// Calls `visit(row, entry)` for every entry, row by row.
    pub fn for_each(&self, mut visit: impl FnMut(usize, Labelled)) {
        let mut entries = Vec::new();
        for row in 0..self.rows.len() {
            self.row(row, &mut entries);
            entries.iter().for_each(|&entry| visit(row, entry));
        }
    }

    /// The value of a label, if there are numbers.
    pub fn value(&self, label: usize) -> Option<f64> {
        self.values.as_ref()?.get(label).copied()
    }

    /// How far the entries lie below the diagonal at most, and above.
    pub fn bandwidth(&self) -> [usize; 2] {
        let mut widths = [0; 2];
        self.for_each(|row, Labelled { column, .. }| {
            let width = &mut widths[usize::from(column > row)];
            *width = row.abs_diff(column).max(*width);
        });
        widths
    }

    /// The matrix of the numbers in CSR form, zeros that taps give included; zeros throughout where there are no numbers.
    pub fn csr(&self) -> CsMat<f64> {
        // At most MAX_VISITED, so it fits.
        let count = self.entries as usize;
        let mut offsets = Vec::with_capacity(self.rows.len() + 1);
        let (mut indices, mut data) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut entries = Vec::new();
        offsets.push(0);
        for row in 0..self.rows.len() {
            self.row(row, &mut entries);
            indices.extend(entries.iter().map(|entry| entry.column));
            data.extend(entries.iter().map(|entry| self.value(entry.label).unwrap_or(0.0)));
            offsets.push(indices.len());
        }
        CsMat::new((self.rows.len(), self.columns.len()), offsets, indices, data)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use convmat::{Convolution, InWeights, csr_of};
    use ndarray::Array5;

    use super::*;
    use crate::args::{self, Cli};
    use crate::study::Command;

    fn layer(options: &str) -> Studied {
        let arguments = ["convmat", "matrix"].into_iter().chain(options.split(' '));
        match Cli::try_parse_from(arguments).unwrap().command {
            args::Command::Study(Command::Matrix(args)) => Studied::new(&args.layer, &args.weights).unwrap(),
            _ => panic!("another command"),
        }
    }

    #[test]
    fn matrices_are_those_that_the_library_applies() {
        for options in [
            "--input 5x4 --kernel 3x2 --stride 2x1 --padding 1,2x0 --groups 2 --in-channels 4 --out-channels 2 --seed 1",
            "--transposed --input 3x4 --kernel 2x3 --stride 3 --dilation 1x2 --output-padding 2x1 --out-channels 2 --seed 2",
            "--transposed --input 2x3x2 --kernel 2 --padding 1 --in-channels 3 --seed 3",
            "--input 9 --kernel 4 --dilation 2 --padding same --seed 4",
        ] {
            let layer = layer(options);
            let weights = layer.weights.clone().unwrap();
            let c = Convolution::new(layer.geometry, weights.clone()).unwrap().csr(1 << 20).unwrap();
            let want = if layer.side == Side::Large { c } else { c.transpose_into().to_csr() };
            let shown = Shown::new(&layer, false, false, Some(weights.iter().copied().collect())).unwrap();
            assert_eq!(shown.csr(), want, "{options}");
            assert_eq!(shown.entries, want.nnz() as u128);

            // The library probes the map of the weights with unit vectors.
            let [channels, d, h, w] = layer.geometry.shape(layer.side);
            let input = Array5::from_shape_fn([1, channels, d, h, w], |(_, c, d, h, w)| {
                (1 + c + 7 * d + 13 * h + 31 * w) as f64
            });
            let shown = Shown::new(&layer, true, false, Some(input.iter().copied().collect())).unwrap();
            let probed = csr_of(&InWeights::new(layer.geometry.lift(), layer.side, input).unwrap(), 1 << 20).unwrap();
            assert_eq!(shown.csr(), probed, "{options}");
        }
    }
}
