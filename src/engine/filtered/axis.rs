//! One axis in tiles: what a tile reads, how its inputs become points, and which points are multiplied by which weights.
//!
//! The outputs of one residue class are a correlation of step α on the inputs, so that n neighbouring ones with r taps are an
//! F(n, r). A dilation d falls into d such correlations, one for every residue of the output modulo d. A stride s that is no multiple of
//! the taps' distance falls into s, one for every residue of the input, and a long row of taps into several short ones; their products
//! are added before they are transformed back. It knows no channels and no other axis.

use std::ops::Range;

use crate::geometry::{Axis, Side};
use crate::kernel::filtering::{AxisViews, InputTransform, MOST_POINTS, OutputTransform, View, filter_matrix};

/// Taps of a class, with the offset of the input that each reads.
type Taps = [(isize, usize)];

/// One part of a product: a point, and the weights that it is multiplied by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Term {
    /// Number of the point among those of all views.
    pub(crate) point: usize,
    /// `Σ coefficient·weight[tap]`.
    pub(crate) taps: Vec<(usize, f64)>,
}

/// The outputs of one residue class in a tile.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PhaseFilter {
    pub(crate) transform: OutputTransform,
    /// Per product, what is added.
    pub(crate) products: Vec<Vec<Term>>,
}

/// Phases that share views which no other phase reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) views: Range<usize>,
    /// First point of the first view.
    pub(crate) first_point: usize,
    pub(crate) phases: Vec<usize>,
}

/// One axis of a direction, in tiles.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AxisFilter {
    /// Outputs of a tile in each residue class.
    pub(crate) tile: usize,
    /// Step of the output, and of the input, from one tile to the next.
    pub(crate) steps: [usize; 2],
    /// Outputs of the first tile that come before the first output.
    pub(crate) skip: usize,
    /// Number of tiles.
    pub(crate) tiles: usize,
    /// Offsets of the inputs that the first tile reads, ascending.
    pub(crate) window: Vec<isize>,
    views: Vec<View>,
    pub(crate) classes: Vec<Class>,
    /// Output number `i·phases + q` of a tile is output i of phase q.
    pub(crate) phases: Vec<PhaseFilter>,
}

impl AxisFilter {
    /// An axis in tiles of `tile` outputs in each residue class that are counted from `origin` outputs before the first; `None` if taps
    /// do not have one distance that suits the stride, or if there is no set of so many outputs and taps. With `tile` 1 nothing
    /// is filtered, and any axis suits.
    pub(crate) fn new(axis: &Axis, output: Side, tile: usize, origin: usize) -> Option<Self> {
        let [step, input_step] = axis.class_steps(output);
        let (parts, correlation_step) = match tile {
            0 => return None,
            1 => (1, input_step),
            _ => {
                parts(input_step, axis.classes(output, 0).iter().find_map(|taps| distance(taps)).unwrap_or(input_step))?
            }
        };
        let period = step.checked_mul(parts)?.checked_mul(tile)?;
        let skip = origin % period;
        let classes = axis.classes(output, skip);
        // Class q of part e has the outputs `parts·step·j + step·e + q`, which read from `input_step·e` on.
        let of_parts = (0..parts).flat_map(|part| {
            classes.iter().map(move |taps| {
                taps.iter().map(|&(offset, tap)| (offset + (input_step * part) as isize, tap)).collect::<Vec<_>>()
            })
        });
        let phases: Vec<Vec<(isize, usize)>> = of_parts.collect();
        let mut builder = Builder { step: correlation_step as isize, tile, ..Builder::default() };
        let filters = phases.iter().map(|taps| builder.phase(taps)).collect::<Option<Vec<_>>>()?;
        let length = axis.length(output);
        Some(Self {
            tile,
            steps: [period, correlation_step.checked_mul(tile)?],
            skip,
            tiles: length.checked_add(skip)?.div_ceil(period),
            window: builder.window(),
            classes: builder.classes(&filters),
            views: builder.numbered_views(),
            phases: filters,
        })
    }

    /// The views of a class.
    pub(crate) fn views_of(&self, class: &Class) -> AxisViews<'_> {
        AxisViews { window: self.window.len(), views: &self.views[class.views.clone()] }
    }

    /// All views.
    pub(crate) fn views(&self) -> AxisViews<'_> {
        AxisViews { window: self.window.len(), views: &self.views }
    }

    /// The set F(n, r) by which it is filtered, if it is.
    pub(crate) fn set(&self) -> Option<(usize, usize)> {
        let points = self.phases.iter().map(|phase| phase.transform.points).max()?;
        (self.tile > 1 && points > self.tile).then_some((self.tile, points - self.tile + 1))
    }

    /// The offset that a point reads of an axis that is not filtered.
    pub(crate) fn offset_of_point(&self, point: usize) -> isize {
        self.window[self.views[0].elements[point]]
    }

    /// The outputs of whole tiles that hold a range of outputs, as far as they exist, and the inputs that these tiles read, of
    /// `input` inputs.
    pub(crate) fn inputs_of_tiles(&self, outputs: &Range<usize>, input: usize) -> Range<usize> {
        let [period, input_period] = self.steps;
        let (first, end) = ((outputs.start + self.skip) / period, (outputs.end + self.skip).div_ceil(period));
        let (Some(&low), Some(&high)) = (self.window.first(), self.window.last()) else { return 0..0 };
        if outputs.is_empty() {
            return 0..0;
        }
        let at =
            |tile: usize, offset: isize| ((tile * input_period) as isize + offset).clamp(0, input as isize) as usize;
        let range = at(first, low)..at(end - 1, high + 1);
        if range.is_empty() { 0..0 } else { range }
    }
}

/// The distance of the taps of a class, if it has two.
fn distance(taps: &Taps) -> Option<usize> {
    let [(first, _), (second, _), ..] = taps else { return None };
    Some((second - first) as usize)
}

/// Into how many correlations outputs fall by their residue, and the step of each on the inputs.
fn parts(input_step: usize, distance: usize) -> Option<(usize, usize)> {
    if distance.is_multiple_of(input_step) {
        Some((distance / input_step, distance))
    } else if input_step.is_multiple_of(distance) {
        Some((1, input_step))
    } else {
        None
    }
}

/// Collects the views of all phases of an axis.
#[derive(Default)]
struct Builder {
    step: isize,
    tile: usize,
    /// Offsets of the inputs of each view.
    views: Vec<(InputTransform, Vec<isize>)>,
}

impl Builder {
    fn phase(&mut self, taps: &Taps) -> Option<PhaseFilter> {
        if taps.is_empty() {
            return Some(PhaseFilter {
                transform: OutputTransform { points: 0, outputs: self.tile },
                products: Vec::new(),
            });
        }
        if self.tile == 1 {
            // The view of all inputs is completed by further phases.
            let (_, offsets) = match self.views.first_mut() {
                Some(view) => view,
                None => {
                    self.views.push((InputTransform::Identity, Vec::new()));
                    self.views.first_mut()?
                }
            };
            let term = |&(offset, tap): &(isize, usize)| {
                let point = offsets.iter().position(|&known| known == offset).unwrap_or_else(|| {
                    offsets.push(offset);
                    offsets.len() - 1
                });
                Term { point, taps: vec![(tap, 1.0)] }
            };
            let products = vec![taps.iter().map(term).collect()];
            return Some(PhaseFilter { transform: OutputTransform { points: 1, outputs: 1 }, products });
        }
        // By the residue of the input, of which there are several where the stride is no multiple of the taps' distance.
        let mut residues: Vec<(isize, Vec<(isize, usize)>)> = Vec::new();
        for &(offset, tap) in taps {
            let residue = offset.rem_euclid(self.step);
            match residues.iter_mut().find(|(known, _)| *known == residue) {
                Some((_, taps)) => taps.push((offset, tap)),
                None => residues.push((residue, vec![(offset, tap)])),
            }
        }
        let is_regular = |taps: &Vec<(isize, usize)>| taps.windows(2).all(|pair| pair[1].0 - pair[0].0 == self.step);
        if !residues.iter().all(|(_, taps)| is_regular(taps)) {
            return None;
        }
        // More taps than there are sets for are several correlations, too.
        let longest = residues.iter().map(|(_, taps)| taps.len()).max()?;
        let length = longest.div_ceil(longest.div_ceil((MOST_POINTS + 1).checked_sub(self.tile)?.max(1)));
        let (points, matrix) = match length {
            1 if longest > 1 => return None,
            1 => (self.tile, None),
            _ => (self.tile + length - 1, Some(filter_matrix(self.tile, length)?)),
        };
        let mut products = vec![Vec::new(); points];
        for taps in residues.iter().flat_map(|(_, taps)| taps.chunks(length)) {
            let first_point = self.view(taps[0].0, points, matrix.is_some());
            for (number, product) in products.iter_mut().enumerate() {
                let coefficient = |tau: usize| match matrix {
                    None => 1.0,
                    Some(matrix) => matrix[number][tau].0 as f64 / matrix[number][tau].1 as f64,
                };
                let weights = taps.iter().enumerate().map(|(tau, &(_, tap))| (tap, coefficient(tau)));
                let taps = weights.filter(|&(_, coefficient)| coefficient != 0.0).collect();
                product.push(Term { point: first_point + number, taps });
            }
        }
        Some(PhaseFilter { transform: OutputTransform { points, outputs: self.tile }, products })
    }

    /// The first point of a view of so many inputs from an offset on.
    fn view(&mut self, first: isize, points: usize, is_transformed: bool) -> usize {
        let offsets: Vec<isize> = (0..points as isize).map(|m| first + self.step * m).collect();
        let transform = if is_transformed { InputTransform::Points } else { InputTransform::Identity };
        let view = (transform, offsets);
        let number = self.views.iter().position(|known| *known == view).unwrap_or_else(|| {
            self.views.push(view);
            self.views.len() - 1
        });
        self.views[..number].iter().map(|(_, offsets)| offsets.len()).sum()
    }

    fn window(&self) -> Vec<isize> {
        let mut window: Vec<isize> = self.views.iter().flat_map(|(_, offsets)| offsets.iter().copied()).collect();
        window.sort_unstable();
        window.dedup();
        window
    }

    fn numbered_views(&self) -> Vec<View> {
        let window = self.window();
        let number = |offset: &isize| window.binary_search(offset).unwrap_or(0);
        let view = |(transform, offsets): &(InputTransform, Vec<isize>)| View {
            transform: *transform,
            elements: offsets.iter().map(number).collect(),
        };
        self.views.iter().map(view).collect()
    }

    /// A class for each view, if every phase reads one of them, or one class of all. Phases without taps belong to the first.
    fn classes(&self, phases: &[PhaseFilter]) -> Vec<Class> {
        let mut first_point = 0;
        let of_view = |(number, (_, offsets)): (usize, &(InputTransform, Vec<isize>))| {
            let points = first_point..first_point + offsets.len();
            first_point = points.end;
            let reads = |phase: &PhaseFilter| {
                let mut read = phase.products.iter().flatten().peekable();
                if read.peek().is_none() { number == 0 } else { read.all(|term| points.contains(&term.point)) }
            };
            let phases = (0..phases.len()).filter(|&phase| reads(&phases[phase])).collect();
            Class { views: number..number + 1, first_point: points.start, phases }
        };
        let classes: Vec<Class> = self.views.iter().enumerate().map(of_view).collect();
        if classes.iter().map(|class| class.phases.len()).sum::<usize>() == phases.len() {
            return classes;
        }
        vec![Class { views: 0..self.views.len(), first_point: 0, phases: (0..phases.len()).collect() }]
    }
}
