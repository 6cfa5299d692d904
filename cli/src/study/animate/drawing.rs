//! From a scene to marks with places: what every back end draws in its own way.
//!
//! Lengths are pixels of an SVG or a GIF, y grows downwards. It knows no colour and no file format.

use super::scene::{Cell, Frame, Panel, Place, Role, Scene};
use crate::error::{Failure, Result};

/// Side of a cell.
pub const CELL: i32 = 44;
/// Side of a cell in the legend.
const SWATCH: i32 = 16;
/// Longest side of a picture.
const MAX_SIDE: usize = 8000;

const MARGIN: i32 = 20;
const LINE: i32 = 24;
const PANEL_TITLE: i32 = 22;
const LABELS: [i32; 2] = [16, 20];
const STACK_GAP: i32 = 16;
const SLOT_GAP: [i32; 2] = [34, 46];
/// Between a title and the single row that it stands beside.
const BESIDE: i32 = 14;

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    Title,
    Step,
    PanelTitle,
    Sign,
    Label,
    Caption,
    Relation,
    Legend,
}

impl Style {
    pub const ALL: [Self; 8] = [
        Self::Title,
        Self::Step,
        Self::PanelTitle,
        Self::Sign,
        Self::Label,
        Self::Caption,
        Self::Relation,
        Self::Legend,
    ];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Step => "step",
            Self::PanelTitle => "panel",
            Self::Sign => "sign",
            Self::Label => "label",
            Self::Caption => "caption",
            Self::Relation => "relation",
            Self::Legend => "legend",
        }
    }

    /// Height of its letters in an SVG.
    pub const fn size(self) -> i32 {
        match self {
            Self::Title => 17,
            Self::Sign => 24,
            Self::PanelTitle => 14,
            Self::Step | Self::Legend => 13,
            Self::Label => 11,
            Self::Caption => 16,
            Self::Relation => 15,
        }
    }

    /// Room for one character.
    const fn advance(self) -> i32 {
        match self {
            Self::Title => 11,
            Self::Caption | Self::Relation => 9,
            Self::Sign => 10,
            Self::PanelTitle => 8,
            Self::Step | Self::Legend => 7,
            Self::Label => 6,
        }
    }

    fn width(self, text: &str) -> i32 {
        i32::try_from(text.chars().count()).map_or(i32::MAX, |count| count.saturating_mul(self.advance()))
    }

    /// Whether it is of less importance.
    pub const fn is_muted(self) -> bool {
        matches!(self, Self::Step | Self::Label | Self::Relation | Self::Legend)
    }

    pub const fn is_bold(self) -> bool {
        matches!(self, Self::Title | Self::PanelTitle)
    }
}

/// Where a text's x stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// One thing to draw.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// A square, its text in the middle and its note at the lower right; x and y are its upper left corner.
    Cell {
        x: i32,
        y: i32,
        side: i32,
        role: Role,
        text: String,
        note: String,
    },
    /// A text; y is its middle.
    Text {
        x: i32,
        y: i32,
        anchor: Anchor,
        style: Style,
        text: String,
    },
    /// An empty frame.
    Outline {
        x: i32,
        y: i32,
        width: i32,
        height: i32,
    },
    Arrow {
        from: [i32; 2],
        to: [i32; 2],
    },
}

impl Mark {
    /// What lies above what.
    pub const fn layer(&self) -> u8 {
        match self {
            Self::Cell { .. } => 0,
            Self::Outline { .. } => 1,
            Self::Arrow { .. } => 2,
            Self::Text { .. } => 3,
        }
    }
}

/// A scene with places: marks per frame, lower ones first.
pub struct Drawing {
    pub title: String,
    pub width: i32,
    pub height: i32,
    pub frames: Vec<Vec<Mark>>,
    /// How many steps each frame is shown.
    pub holds: Vec<u32>,
    /// The last caption, for those who do not see the picture.
    pub ending: String,
}

impl Drawing {
    pub fn new(scene: &Scene) -> Result<Self> {
        let layout = Layout::new(scene);
        for side in [layout.width, layout.height] {
            if usize::try_from(side).is_ok_and(|side| side > MAX_SIDE) {
                return Err(Failure::Refused(format!("the picture would be {side} pixels long; at most {MAX_SIDE}")));
            }
        }
        Ok(Self {
            title: scene.title.clone(),
            frames: scene.frames.iter().enumerate().map(|(i, frame)| layout.marks(scene, i, frame)).collect(),
            holds: scene.frames.iter().map(|frame| frame.hold).collect(),
            ending: scene.frames.last().and_then(|frame| frame.captions.first()).cloned().unwrap_or_default(),
            width: layout.width,
            height: layout.height,
        })
    }
}

/// Where things lie.
struct Layout {
    width: i32,
    height: i32,
    /// Upper left corner of the cells of every panel, and the middle of its title.
    panels: Vec<([i32; 2], [i32; 2])>,
    /// Place and text of the signs between slots.
    signs: Vec<([i32; 2], &'static str)>,
    captions: i32,
    /// The legend: place of the swatch, and role.
    legend: Vec<([i32; 2], Role)>,
}

/// Whether a panel's title stands to the left of its cells: above a line of indexed elements arrows pass.
const fn is_beside(panel: &Panel) -> bool {
    matches!(panel.first, [None, Some(_)])
}

/// Room that a panel takes: left and top of its cells, then width and height of all.
fn room(panel: &Panel, titles: i32) -> [i32; 4] {
    let length = |count: usize| i32::try_from(count).unwrap_or(i32::MAX).saturating_mul(CELL);
    let cells = length(panel.columns);
    let labels = if panel.first[1].is_some() { LABELS[0] } else { 4 };
    let (left, above, width) = if is_beside(panel) {
        (titles + BESIDE, labels, cells)
    } else {
        let left = if panel.first[0].is_some() { LABELS[1] } else { 0 };
        (left, PANEL_TITLE + labels, cells.max(Style::PanelTitle.width(&panel.title)))
    };
    [left, above, width.saturating_add(left), length(panel.rows).saturating_add(above)]
}

impl Layout {
    fn new(scene: &Scene) -> Self {
        let beside = scene.panels.iter().filter(|panel| is_beside(panel));
        let titles = beside.map(|panel| Style::PanelTitle.width(&panel.title)).max().unwrap_or(0);
        let room = |panel: &Panel| room(panel, titles);
        let slots = |axis: usize| scene.panels.iter().map(|panel| panel.slot[axis] + 1).max().unwrap_or(0);
        // Widths of the columns and heights of the rows of slots.
        let mut lengths = [vec![0i32; slots(0)], vec![0i32; slots(1)]];
        let stack = |slot: [usize; 2]| scene.panels.iter().enumerate().filter(move |(_, panel)| panel.slot == slot);
        let stack_height = |slot: [usize; 2]| {
            let heights: Vec<i32> = stack(slot).map(|(_, panel)| room(panel)[3]).collect();
            heights.iter().fold(-STACK_GAP, |sum, height| sum.saturating_add(*height).saturating_add(STACK_GAP)).max(0)
        };
        for panel in &scene.panels {
            let [row, column] = panel.slot;
            lengths[0][row] = lengths[0][row].max(stack_height(panel.slot));
            lengths[1][column] = lengths[1][column].max(room(panel)[2]);
        }
        let total = |axis: usize| {
            lengths[axis]
                .iter()
                .fold(-SLOT_GAP[axis], |sum, n| sum.saturating_add(*n).saturating_add(SLOT_GAP[axis]))
                .max(0)
        };
        let captions = scene.frames.iter().flat_map(|frame| &frame.captions);
        let step = Style::Step.width("step 000 of 000");
        let widest = captions.map(|text| Style::Caption.width(text)).max().unwrap_or(0);
        let inner = total(1).max(widest).max(Style::Title.width(&scene.title).saturating_add(step + 20));
        let width = inner.saturating_add(2 * MARGIN);

        let mut panels = vec![([0; 2], [0; 2]); scene.panels.len()];
        let mut signs = Vec::new();
        let mut y = MARGIN + LINE + 6;
        for (row, &height) in lengths[0].iter().enumerate() {
            let mut x = MARGIN.saturating_add((inner - total(1)) / 2);
            for (column, &slot_width) in lengths[1].iter().enumerate() {
                let slot = [row, column];
                let mut top = y.saturating_add((height - stack_height(slot)) / 2);
                for (i, panel) in stack(slot) {
                    let [left, above, _, panel_height] = room(panel);
                    let cells = i32::try_from(panel.columns).unwrap_or(i32::MAX).saturating_mul(CELL);
                    let cells_left = x.saturating_add((slot_width - left - cells) / 2).saturating_add(left);
                    let cells_top = top.saturating_add(above);
                    let title = if is_beside(panel) {
                        [x.saturating_add(left - BESIDE), cells_top.saturating_add(CELL / 2)]
                    } else {
                        [cells_left.saturating_add(cells / 2), top.saturating_add(PANEL_TITLE / 2)]
                    };
                    panels[i] = ([cells_left, cells_top], title);
                    top = top.saturating_add(panel_height).saturating_add(STACK_GAP);
                }
                if let Some((_, panel)) = stack(slot).next()
                    && !panel.sign.is_empty()
                {
                    let above = room(panel)[1];
                    let middle = y.saturating_add(height / 2).saturating_add(above / 2);
                    signs.push(([x.saturating_sub(SLOT_GAP[1] / 2), middle], panel.sign));
                }
                x = x.saturating_add(slot_width).saturating_add(SLOT_GAP[1]);
            }
            y = y.saturating_add(height).saturating_add(SLOT_GAP[0]);
        }
        let lines = scene.frames.iter().map(|frame| frame.captions.len()).max().unwrap_or(0);
        let captions = y.saturating_add(LINE / 2);
        let mut place = [MARGIN, captions.saturating_add(i32::try_from(lines).unwrap_or(0) * LINE + LINE / 3)];
        let mut legend = Vec::new();
        for role in Role::ALL {
            let mut cells = scene.frames.iter().flat_map(|frame| frame.grids.iter().flatten());
            if role == Role::Absent || !cells.any(|cell| cell.role == role) {
                continue;
            }
            let item = SWATCH + 7 + Style::Legend.width(role.words()) + 22;
            if place[0] + item > MARGIN + inner && place[0] > MARGIN {
                place = [MARGIN, place[1].saturating_add(LINE)];
            }
            legend.push((place, role));
            place[0] += item;
        }
        Self { width, height: place[1].saturating_add(SWATCH / 2 + MARGIN), panels, signs, captions, legend }
    }

    /// The marks of a frame, lower ones first.
    fn marks(&self, scene: &Scene, number: usize, frame: &Frame) -> Vec<Mark> {
        let mut marks = Vec::new();
        let text = |x, y, anchor, style, text: &str| Mark::Text { x, y, anchor, style, text: text.to_owned() };
        let first_line = MARGIN + LINE / 2;
        marks.push(text(MARGIN, first_line, Anchor::Start, Style::Title, &scene.title));
        let step = format!("step {} of {}", number + 1, scene.frames.len());
        marks.push(text(self.width - MARGIN, first_line, Anchor::End, Style::Step, &step));
        for &([x, y], sign) in &self.signs {
            marks.push(text(x, y, Anchor::Middle, Style::Sign, sign));
        }
        for (i, (panel, cells)) in scene.panels.iter().zip(&frame.grids).enumerate() {
            self.panel(i, panel, cells, &mut marks);
        }
        for outline in &frame.outlines {
            let [x, y] = self.corner(scene, Place { panel: outline.panel, cell: 0 });
            let length = |count: usize| i32::try_from(count).unwrap_or(0) * CELL;
            marks.push(Mark::Outline {
                x: x + length(outline.columns.start),
                y: y + length(outline.rows.start),
                width: length(outline.columns.len()),
                height: length(outline.rows.len()),
            });
        }
        for arrow in &frame.arrows {
            let [from, to] = [arrow.from, arrow.to].map(|place| self.corner(scene, place));
            marks.push(Mark::Arrow {
                from: [from[0] + CELL / 2, from[1] + CELL + 2],
                to: [to[0] + CELL / 2, to[1] - LABELS[0] - 2],
            });
        }
        for (line, caption) in frame.captions.iter().enumerate() {
            let style = if line == 1 { Style::Relation } else { Style::Caption };
            let y = self.captions + i32::try_from(line).unwrap_or(0) * LINE;
            marks.push(text(MARGIN, y, Anchor::Start, style, caption));
        }
        for &([x, y], role) in &self.legend {
            let empty = String::new;
            let corner = y - SWATCH / 2;
            marks.push(Mark::Cell { x, y: corner, side: SWATCH, role, text: empty(), note: empty() });
            marks.push(text(x + SWATCH + 7, y, Anchor::Start, Style::Legend, role.words()));
        }
        marks.sort_by_key(Mark::layer);
        marks
    }

    fn panel(&self, number: usize, panel: &Panel, cells: &[Cell], marks: &mut Vec<Mark>) {
        if cells.iter().all(|cell| cell.role == Role::Absent) {
            return;
        }
        let ([left, top], title) = self.panels[number];
        let text = |x, y, anchor, style, text: String| Mark::Text { x, y, anchor, style, text };
        let anchor = if is_beside(panel) { Anchor::End } else { Anchor::Middle };
        marks.push(text(title[0], title[1], anchor, Style::PanelTitle, panel.title.clone()));
        let lengths = [panel.rows, panel.columns];
        for (axis, first) in panel.first.iter().enumerate() {
            let Some(first) = first else { continue };
            for i in 0..lengths[axis] {
                let along = i32::try_from(i).unwrap_or(0) * CELL + CELL / 2;
                let (x, y, anchor) = match axis {
                    0 => (left - 6, top + along, Anchor::End),
                    _ => (left + along, top - LABELS[0] / 2, Anchor::Middle),
                };
                let index = (first + i as isize).to_string().replace('-', "−");
                marks.push(text(x, y, anchor, Style::Label, index));
            }
        }
        for (i, cell) in cells.iter().enumerate().filter(|(_, cell)| cell.role != Role::Absent) {
            let [row, column] = [i / panel.columns, i % panel.columns].map(|n| i32::try_from(n).unwrap_or(0) * CELL);
            marks.push(Mark::Cell {
                x: left + column,
                y: top + row,
                side: CELL,
                role: cell.role,
                text: cell.text.clone(),
                note: cell.note.clone(),
            });
        }
    }

    /// The upper left corner of a cell.
    fn corner(&self, scene: &Scene, place: Place) -> [i32; 2] {
        let ([left, top], _) = self.panels[place.panel];
        let columns = scene.panels[place.panel].columns.max(1);
        let [row, column] = [place.cell / columns, place.cell % columns].map(|n| i32::try_from(n).unwrap_or(0) * CELL);
        [left + column, top + row]
    }
}
