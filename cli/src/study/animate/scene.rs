//! What is shown, before any drawing: panels of cells whose text and role change from frame to frame.
//!
//! It knows no convolution, no position on the page and no colour.

use std::ops::Range;

use crate::error::{Failure, Result};

/// Most frames of a scene.
const MAX_FRAMES: u128 = 400;
/// Most cells of a frame.
pub const MAX_CELLS: u128 = 2500;
/// Most cells of all frames.
const MAX_STATES: u128 = 300_000;

/// What a cell stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Not there (yet, or any more).
    Absent,
    /// An element of the layer's input.
    Input,
    /// A zero beyond the border.
    Padding,
    /// A zero between the elements of the input.
    Inserted,
    /// A tap of the kernel.
    Tap,
    /// What this step reads, or adds to.
    Active,
    /// An output or sum that nothing has reached.
    Pending,
    /// A sum that may still grow.
    Sum,
    /// An output that is complete.
    Output,
    /// The output that this step completes.
    Current,
    /// What is cut off.
    Cropped,
    /// An element of the output that output padding adds.
    OutputPadding,
}

impl Role {
    pub const ALL: [Self; 12] = [
        Self::Absent,
        Self::Input,
        Self::Padding,
        Self::Inserted,
        Self::Tap,
        Self::Active,
        Self::Pending,
        Self::Sum,
        Self::Output,
        Self::Current,
        Self::Cropped,
        Self::OutputPadding,
    ];

    /// Its words in the legend.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Absent => "",
            Self::Input => "input",
            Self::Padding => "padding",
            Self::Inserted => "inserted zero",
            Self::Tap => "kernel",
            Self::Active => "this step",
            Self::Pending => "not reached",
            Self::Sum => "partial sum",
            Self::Output => "output",
            Self::Current => "computed now",
            Self::Cropped => "cut off",
            Self::OutputPadding => "output padding",
        }
    }

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Input => "input",
            Self::Padding => "padding",
            Self::Inserted => "inserted",
            Self::Tap => "tap",
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Sum => "sum",
            Self::Output => "output",
            Self::Current => "current",
            Self::Cropped => "cropped",
            Self::OutputPadding => "output-padding",
        }
    }
}

/// One element of a panel in one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    /// What this step does with it, in small print.
    pub note: String,
    pub role: Role,
}

impl Cell {
    pub fn new(text: impl Into<String>, role: Role) -> Self {
        Self { text: text.into(), note: String::new(), role }
    }

    pub fn noted(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    pub fn absent() -> Self {
        Self::new("", Role::Absent)
    }
}

/// A grid of cells with a title.
#[derive(Clone, Debug)]
pub struct Panel {
    pub title: String,
    /// Row and column of the slot that it lies in; panels of one slot are stacked.
    pub slot: [usize; 2],
    /// The sign between the slot and the one before it.
    pub sign: &'static str,
    pub rows: usize,
    pub columns: usize,
    /// Indices of the first row and column; none where they are not written.
    pub first: [Option<isize>; 2],
}

/// One cell of one panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub panel: usize,
    pub cell: usize,
}

/// A frame around cells of a panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    pub panel: usize,
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrow {
    pub from: Place,
    pub to: Place,
}

/// One step.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The cells of every panel, row-major.
    pub grids: Vec<Vec<Cell>>,
    pub outlines: Vec<Outline>,
    pub arrows: Vec<Arrow>,
    pub captions: Vec<String>,
    /// How many steps long it is shown.
    pub hold: u32,
}

impl Frame {
    /// The same cells with other captions, shown for one step; nothing is outlined.
    pub fn next(&self, captions: Vec<String>) -> Self {
        Self { grids: self.grids.clone(), captions, hold: 1, ..Self::default() }
    }

    pub fn cell_mut(&mut self, place: Place) -> Option<&mut Cell> {
        self.grids.get_mut(place.panel)?.get_mut(place.cell)
    }

    /// Gives a cell another role.
    pub fn paint(&mut self, place: Place, role: Role) {
        if let Some(cell) = self.cell_mut(place) {
            cell.role = role;
        }
    }

    pub fn put(&mut self, place: Place, new: Cell) {
        if let Some(cell) = self.cell_mut(place) {
            *cell = new;
        }
    }

    /// Outlines the smallest block of a panel of `columns` columns that holds the given cells.
    pub fn outline(&mut self, panel: usize, columns: usize, cells: impl IntoIterator<Item = usize>) {
        let mut block: Option<[usize; 4]> = None;
        for cell in cells {
            let (row, column) = (cell / columns.max(1), cell % columns.max(1));
            let [top, bottom, left, right] = block.unwrap_or([row, row, column, column]);
            block = Some([top.min(row), bottom.max(row), left.min(column), right.max(column)]);
        }
        if let Some([top, bottom, left, right]) = block {
            self.outlines.push(Outline { panel, rows: top..bottom + 1, columns: left..right + 1 });
        }
    }
}

/// A whole animation.
#[derive(Clone, Debug)]
pub struct Scene {
    pub title: String,
    pub panels: Vec<Panel>,
    pub frames: Vec<Frame>,
}

impl Scene {
    /// An empty scene, if so many frames of these panels are few enough to be drawn and looked at.
    pub fn new(title: String, panels: Vec<Panel>, frames: u128) -> Result<Self> {
        let cells = panels.iter().fold(0u128, |sum, panel| sum + panel.rows as u128 * panel.columns as u128);
        for (what, count, limit) in [
            ("frames", frames, MAX_FRAMES),
            ("cells in a frame", cells, MAX_CELLS),
            ("cells in all frames", frames.saturating_mul(cells), MAX_STATES),
        ] {
            expect_few(what, count, limit)?;
        }
        Ok(Self { title, panels, frames: Vec::with_capacity(frames as usize) })
    }

    /// How long all frames are shown, in steps.
    pub fn steps(&self) -> u32 {
        self.frames.iter().map(|frame| frame.hold).sum()
    }
}

/// Refuses more than can be drawn.
pub fn expect_few(what: &str, count: u128, limit: u128) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    Err(Failure::Refused(format!("{count} {what} are too many to animate; at most {limit}")))
}
