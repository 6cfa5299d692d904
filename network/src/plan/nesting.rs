//! Which values lie within others, before any of them has a place: reshaped tensors are where the tensor is, parts of concatenations
//! where they belong. It knows no steps and no addresses.
//!
//! A part of a concatenation along an axis is columns of a matrix: its rows are the indices of the axes before that one, all of length 1
//! where there is one row.

use crate::graph::ValueId;

/// How a value lies in an outer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It is all of it.
    Whole,
    /// It is columns of a matrix of so many rows; the axis is that of the columns, 0 if there is one row.
    Columns { rows: usize, axis: usize },
    /// It is columns of columns of matrices with different rows.
    Mixed,
}

impl Cut {
    /// The columns of a concatenation along an axis of a shape.
    pub(super) fn along(axis: usize, shape: &[usize]) -> Self {
        match shape[..axis].iter().product() {
            1 => Self::Columns { rows: 1, axis: 0 },
            rows => Self::Columns { rows, axis },
        }
    }

    fn of(self, outer: Self) -> Self {
        match (self, outer) {
            (cut, Self::Whole) | (Self::Whole, cut) => cut,
            (inner, outer) if inner == outer => inner,
            _ => Self::Mixed,
        }
    }
}

/// A value's place in an outer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) outer: ValueId,
    /// The first of its columns.
    pub(super) column: usize,
    pub(super) cut: Cut,
}

/// Links from values to outer ones. They form trees, whose roots lie in none.
pub(super) struct Nesting {
    links: Vec<Option<Link>>,
    /// The same with links over several levels, so that a root is found in O(log n), amortized.
    short: Vec<Option<Link>>,
    /// How all parts of a root lie in it.
    parts: Vec<Cut>,
}

impl Nesting {
    /// No links among so many values.
    pub(super) fn new(values: usize) -> Self {
        Self { links: vec![None; values], short: vec![None; values], parts: vec![Cut::Whole; values] }
    }

    /// Puts a root into another value.
    pub(super) fn put(&mut self, root: ValueId, link: Link) {
        self.links[root.0] = Some(link);
        self.short[root.0] = Some(link);
        self.parts[link.outer.0] = link.cut.of(self.parts[link.outer.0]);
    }

    /// The outer value that a value lies in directly.
    pub(super) fn link(&self, value: ValueId) -> Option<Link> {
        self.links[value.0]
    }

    /// How all parts of a root lie in it: [`Cut::Whole`] if it has none.
    pub(super) fn parts(&self, root: ValueId) -> Cut {
        self.parts[root.0]
    }

    /// The place of a value in its root, which is the value itself where that lies in none.
    pub(super) fn find(&mut self, value: ValueId) -> Link {
        let (mut path, mut root) = (Vec::new(), value);
        while let Some(link) = self.short[root.0] {
            path.push(root);
            root = link.outer;
        }
        let mut place = Link { outer: root, column: 0, cut: Cut::Whole };
        for value in path.into_iter().rev() {
            if let Some(link) = self.short[value.0] {
                // The column is of no use where matrices are mixed.
                place.column = place.column.saturating_add(link.column);
                place.cut = link.cut.of(place.cut);
                self.short[value.0] = Some(place);
            }
        }
        place
    }
}
