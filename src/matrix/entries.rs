//! The nonzeros of C and of Cᵀ in row order: the only source of the dense and the sparse matrix.

use std::vec;

use crate::geometry::{Geometry, Links, Progression, Side};

/// One structural nonzero: `C[row, column] = weights[weight]`, whatever the weight's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Row: flat index into the small side, `[channels, D, H, W]` row-major (large side for Cᵀ).
    pub row: usize,
    /// Column: flat index into the large side (small side for Cᵀ).
    pub column: usize,
    /// Flat index into the weights.
    pub weight: usize,
}

/// The sparsity pattern of C ([`Side::Small`] indexes the rows) or of Cᵀ ([`Side::Large`] does).
///
/// ```
/// use convmat::geometry::Side;
/// use convmat::{Channels, Geometry, Options, matrix::Pattern};
/// # fn main() -> convmat::Result<()> {
/// let g = Geometry::convolution([3], [2], Channels { small: 1, large: 1 }, &Options::new())?;
/// let pattern = Pattern::new(&g, Side::Small);
/// let entries: Vec<_> = pattern.entries().map(|e| (e.row, e.column, e.weight)).collect();
/// assert_eq!(entries, [(0, 0, 0), (0, 1, 1), (1, 1, 0), (1, 2, 1)]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Pattern {
    geometry: Geometry<3>,
    rows: Side,
    links: [Links; 3],
}

impl Pattern {
    /// The pattern of C or Cᵀ. It holds a few numbers, whatever the sizes.
    pub fn new<const N: usize>(geometry: &Geometry<N>, rows: Side) -> Self {
        let geometry = geometry.lift();
        Self { geometry, rows, links: geometry.axes().map(|axis| axis.links(rows)) }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.geometry.shape(self.rows).iter().product()
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.geometry.shape(self.columns_side()).iter().product()
    }

    fn columns_side(&self) -> Side {
        self.rows.other()
    }

    /// Calls `visit(column, weight)` for every entry of one row, columns ascending. A row out of range has none.
    #[inline]
    pub fn for_each_in_row(&self, row: usize, mut visit: impl FnMut(usize, usize)) {
        self.for_each_run(row, |column, weight, links| {
            links.for_each(|link| visit(column + link.other, weight + link.tap));
        });
    }

    /// Calls `visit(column, weight, links)` for every run of entries of one row along the width: each link adds its `other` to
    /// the column and its tap to the weight.
    #[inline]
    pub(super) fn for_each_run(&self, row: usize, mut visit: impl FnMut(usize, usize, Progression)) {
        let [channels, depth, height, width] = self.geometry.shape(self.rows);
        let plane = depth * height * width;
        if plane == 0 || row >= channels * plane {
            return;
        }
        let (channel, d, h, w) = (row / plane, row / (height * width) % depth, row / width % height, row % width);
        let other = self.columns_side();
        let [_, _, other_height, other_width] = self.geometry.shape(other);
        let other_plane = self.geometry.axes().iter().map(|axis| axis.length(other)).product::<usize>();
        let [_, _, kernel_d, kernel_h, kernel_w] = self.geometry.weight_shape();
        let taps = kernel_d * kernel_h * kernel_w;
        let large_per_group = self.geometry.channels_per_group(Side::Large);
        let (own_per_group, other_per_group) =
            (self.geometry.channels_per_group(self.rows), self.geometry.channels_per_group(other));
        let group = channel / own_per_group;
        let [links_d, links_h, links_w] = [self.links[0].at(d), self.links[1].at(h), self.links[2].at(w)];
        for i in 0..other_per_group {
            let other_channel = group * other_per_group + i;
            let weight = match self.rows {
                Side::Small => channel * large_per_group + i,
                Side::Large => other_channel * large_per_group + channel % own_per_group,
            } * taps;
            let column = other_channel * other_plane;
            for link_d in links_d.clone() {
                for link_h in links_h.clone() {
                    let column = column + (link_d.other * other_height + link_h.other) * other_width;
                    let weight = weight + (link_d.tap * kernel_h + link_h.tap) * kernel_w;
                    visit(column, weight, links_w.clone());
                }
            }
        }
    }

    /// All entries, rows ascending and columns ascending within a row.
    pub fn entries(self) -> Entries {
        Entries { pattern: self, next_row: 0, current: Vec::new().into_iter() }
    }
}

/// Iterator over the entries of a [`Pattern`]; holds one row at a time.
#[derive(Clone, Debug)]
pub struct Entries {
    pattern: Pattern,
    next_row: usize,
    current: vec::IntoIter<Entry>,
}

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.current.next() {
                return Some(entry);
            }
            if self.next_row == self.pattern.rows() {
                return None;
            }
            let row = self.next_row;
            let mut entries = Vec::new();
            self.pattern.for_each_in_row(row, |column, weight| entries.push(Entry { row, column, weight }));
            self.current = entries.into_iter();
            self.next_row += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Channels, Options};

    #[test]
    fn both_sides_list_the_same_entries_sorted() {
        let o = Options::new().stride([2, 1]).dilation([1, 2]).padding([2, 1]).groups(2);
        let g = Geometry::convolution([5, 6], [3, 2], Channels { small: 4, large: 6 }, &o).unwrap();
        let of = |side| Pattern::new(&g, side);
        let mut c: Vec<_> = of(Side::Small).entries().map(|e| (e.row, e.column, e.weight)).collect();
        assert!(c.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(c.len() as u128, g.entries());
        let t: Vec<_> = of(Side::Large).entries().map(|e| (e.row, e.column, e.weight)).collect();
        assert!(t.windows(2).all(|pair| pair[0] < pair[1]));
        c.sort_unstable_by_key(|&(row, column, _)| (column, row));
        assert_eq!(c, t.iter().map(|&(row, column, weight)| (column, row, weight)).collect::<Vec<_>>());
        for side in [Side::Small, Side::Large] {
            let pattern = of(side);
            let rows = pattern.rows();
            pattern.for_each_in_row(rows, |_, _| panic!("a row out of range has no entry"));
        }
        assert_eq!((of(Side::Small).rows(), of(Side::Small).columns()), (g.rows(), g.columns()));
        assert_eq!((of(Side::Large).rows(), of(Side::Large).columns()), (g.columns(), g.rows()));
    }
}
