//! Which elements of the inputs a block of an output depends on, and receptive fields: index relations composed, from an output back.
//!
//! Blocks have no holes. Where an operator leaves out elements between those that it reads, what stands before it counts them as
//! read; the ends of a block are exact unless a transposed layer of some dilation stands there.

mod motion;

use std::ops::{Range, RangeInclusive};

use self::motion::{Motion, divisor};
use super::Plan;
use crate::error::{Error, Result};
use crate::graph::ValueId;
use crate::operator::Signature;
use crate::reach::{AxisReach, Reach, common, joined};

/// How far an output of a network looks along an axis of one of its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceptiveField {
    /// The name of the output.
    pub output: String,
    /// The name of the input.
    pub input: String,
    /// The axis of the input.
    pub axis: usize,
    /// Its length.
    pub length: usize,
    /// What is seen of it.
    pub extent: Extent,
}

/// What an output depends on along an axis of an input. Positions before the first element and behind the last one are those of padding.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extent {
    /// On all positions, or on some that are not known before a run.
    Whole {
        /// The node, nearest to the output, that looks at a whole axis.
        node: String,
    },
    /// On the same positions, whatever the output's.
    Fixed(Range<i64>),
    /// On a range of positions that moves with the output's position.
    Sliding {
        /// The axis of the output.
        output_axis: usize,
        /// The smallest and the largest number of positions in the range. They differ where outputs lie denser than inputs: then an output's
        /// phase decides. Of outputs whose positions do not repeat, the first 65536 count.
        size: RangeInclusive<usize>,
        /// The first position of the range of the first output that has one.
        first: i64,
        /// By how far the range moves from output to output, in lowest terms: `(2, 1)` for every second input, `(1, 2)` for two outputs per
        /// input. Nothing where that is not the same everywhere.
        step: Option<(i64, i64)>,
    },
}

/// Most outputs that are looked at one by one.
const MOST: i64 = 1 << 16;

/// The positions along an axis of a value that are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    range: Range<i64>,
    motion: Motion,
    /// The node that needs the whole axis, if one does.
    whole: Option<usize>,
}

/// What is needed of every value: a span per axis; nothing of values that are not needed.
type Needs = Vec<Option<Vec<Span>>>;

/// What outputs of nodes depend on: for every node a list per output, of what it reaches in every input.
struct Reaches(Vec<Vec<Vec<Reach>>>);

impl Plan {
    /// How far every output of the network looks along every axis of the inputs that it depends on.
    ///
    /// ```
    /// use convmat_network::operators::convolution::Convolution;
    /// use convmat_network::{ElementType, Extent, GraphBuilder, PlanOptions};
    /// use ndarray::Array3;
    ///
    /// // Two convolutions of kernel 3 and stride 2, one after the other: 3 + 2·2 inputs, every fourth.
    /// let mut builder = GraphBuilder::new();
    /// let mut x = builder.input("x", ElementType::Float, None);
    /// for name in ["a", "b"] {
    ///     let weights = builder.constant("weights", Array3::<f32>::ones([1, 1, 3]).into_dyn());
    ///     let layer = Convolution { strides: Some(vec![2]), pads: Some(vec![1, 1]), groups: 1, ..Convolution::default() };
    ///     x = builder.node(name, layer, [x, weights]);
    /// }
    /// builder.output("y", x);
    /// let plan = builder.build()?.plan(&[vec![1, 1, 64]], &PlanOptions::new())?;
    /// let field = &plan.receptive_fields()[2];
    /// assert_eq!(field.extent, Extent::Sliding { output_axis: 2, size: 7..=7, first: -3, step: Some((4, 1)) });
    /// # Ok::<(), convmat_network::Error>(())
    /// ```
    #[must_use]
    pub fn receptive_fields(&self) -> Vec<ReceptiveField> {
        let reaches = self.reaches();
        let mut fields = Vec::new();
        for (name, value) in &self.graph.outputs {
            let Ok(Signature { shape, .. }) = self.facts.signature(*value) else { continue };
            if shape.contains(&0) {
                continue;
            }
            let inputs = self.graph.inputs.iter();
            let extents = self.extents(*value, shape, &reaches);
            for (input, extents) in inputs.zip(extents) {
                let Ok(Signature { shape, .. }) = self.facts.signature(input.value) else { continue };
                fields.extend(extents.into_iter().enumerate().map(|(axis, extent)| ReceptiveField {
                    output: name.clone(),
                    input: input.name.clone(),
                    axis,
                    length: shape[axis],
                    extent,
                }));
            }
        }
        fields
    }

    /// The block of every input that a block of an output depends on, a range per axis; nothing of inputs that it does not depend on.
    /// What lies beyond the borders is left out.
    ///
    /// # Errors
    /// [`Error::Graph`] for an output that the network has not, [`Error::Input`] for a block that is not one of the output.
    pub fn input_blocks(&self, output: usize, block: &[Range<usize>]) -> Result<Vec<Option<Vec<Range<usize>>>>> {
        let (name, value) = self
            .graph
            .outputs
            .get(output)
            .ok_or_else(|| Error::Graph(format!("output {output} of {}", self.graph.outputs.len())))?;
        let shape = &self.facts.signature(*value)?.shape;
        let is_inside = |(range, &length): (&Range<usize>, &usize)| range.start <= range.end && range.end <= length;
        if block.len() != shape.len() || !block.iter().zip(shape).all(is_inside) {
            let why = format!("{block:?} is no block of an output of shape {shape:?}");
            return Err(Error::Input { name: name.clone(), why });
        }
        let still = |range: &Range<usize>| Span {
            range: range.start as i64..range.end as i64,
            motion: Motion::Still,
            whole: None,
        };
        let needs = self.needs(*value, block.iter().map(still).collect(), &self.reaches(), true);
        let ranges =
            |spans: Vec<Span>| spans.iter().map(|span| span.range.start as usize..span.range.end as usize).collect();
        Ok(self.of_inputs(needs).into_iter().map(|spans| spans.map(ranges)).collect())
    }

    /// What all nodes' outputs depend on.
    fn reaches(&self) -> Reaches {
        let of_node = |node: &crate::graph::Node| {
            let facts = self.facts.inputs(&node.inputs);
            let outputs: Vec<Signature> =
                node.outputs.iter().filter_map(|&value| self.facts.signature(value).ok().cloned()).collect();
            let of_input = |output: usize, input: usize| match facts[input] {
                None => Reach::Nothing,
                Some(fact) if fact.value.is_some() => Reach::Nothing,
                Some(fact) => {
                    let reach = node.operator.reach(&facts, &outputs, output, input);
                    let rank = outputs.get(output).map_or(0, |output| output.shape.len());
                    // What does not fit the shapes is not believed.
                    let fits =
                        |axis: &AxisReach| !matches!(axis, AxisReach::Along(relation) if relation.axis() >= rank);
                    match &reach {
                        Reach::Axes(axes) if axes.len() != fact.shape().len() || !axes.iter().all(fits) => {
                            Reach::Everything
                        }
                        _ => reach,
                    }
                }
            };
            let of_output = |output: usize| (0..facts.len()).map(|input| of_input(output, input)).collect();
            (0..node.outputs.len()).map(of_output).collect()
        };
        Reaches(self.graph.nodes.iter().map(of_node).collect())
    }

    /// What of every value a block of one of them depends on.
    fn needs(&self, value: ValueId, block: Vec<Span>, reaches: &Reaches, is_clipped: bool) -> Needs {
        let mut needs: Needs = vec![None; self.graph.names.len()];
        if block.iter().all(|span| !span.range.is_empty()) && self.facts.value(value).is_none() {
            needs[value.0] = Some(block);
        }
        for (number, node) in self.graph.nodes.iter().enumerate().rev() {
            for (output, made) in node.outputs.iter().enumerate() {
                let Some(block) = needs[made.0].take() else { continue };
                for (input, reach) in node.inputs.iter().zip(&reaches.0[number][output]) {
                    let Some(input) = input else { continue };
                    let Ok(Signature { shape, .. }) = self.facts.signature(*input) else { continue };
                    if let Some(spans) = reached(reach, &block, shape, number, is_clipped) {
                        let known = needs[input.0].take();
                        needs[input.0] = Some(match known {
                            None => spans,
                            Some(known) => known.into_iter().zip(spans).map(|(a, b)| Span::joined(a, b)).collect(),
                        });
                    }
                }
            }
        }
        needs
    }

    /// What is needed of the inputs.
    fn of_inputs(&self, mut needs: Needs) -> Needs {
        self.graph.inputs.iter().map(|input| needs[input.value.0].take()).collect()
    }

    /// What an output depends on, for every input: an extent per axis; none of inputs that it does not depend on.
    fn extents(&self, output: ValueId, shape: &[usize], reaches: &Reaches) -> Vec<Vec<Extent>> {
        // One position along an axis, all along the others.
        let needs = |axis: usize, position: i64| {
            let span = |(of, &length): (usize, &usize)| match of == axis {
                true => Span {
                    range: position..position + 1,
                    motion: Motion::Moving { period: 1, advance: 1 },
                    whole: None,
                },
                false => Span { range: 0..length as i64, motion: Motion::Still, whole: None },
            };
            self.needs(output, shape.iter().enumerate().map(span).collect(), reaches, false)
        };
        let still = |&length: &usize| Span { range: 0..length as i64, motion: Motion::Still, whole: None };
        let of_all = self.of_inputs(self.needs(output, shape.iter().map(still).collect(), reaches, false));
        // Of every axis the first position that depends on an input: gaps and concatenations have others before it.
        let firsts: Vec<Vec<Option<Vec<Span>>>> = (0..shape.len())
            .map(|axis| {
                let mut firsts = vec![None; of_all.len()];
                for position in 0..MOST.min(shape[axis] as i64) {
                    for (first, spans) in firsts.iter_mut().zip(self.of_inputs(needs(axis, position))) {
                        *first = first.take().or(spans);
                    }
                    if firsts.iter().zip(&of_all).all(|(first, all)| first.is_some() || all.is_none()) {
                        break;
                    }
                }
                firsts
            })
            .collect();
        let mut sliding: Vec<Vec<Slide>> = vec![Vec::new(); shape.len()];
        let mut all = Vec::new();
        for (input, of_all) in of_all.iter().enumerate() {
            let mut extents = Vec::new();
            for (axis, span) in of_all.iter().flatten().enumerate() {
                if let Some(node) = span.whole {
                    extents.push(Extent::Whole { node: self.graph.nodes[node].name.clone() });
                    continue;
                }
                let moving = firsts.iter().enumerate().find_map(|(output_axis, firsts)| {
                    let motion = firsts[input].as_ref()?[axis].motion;
                    (motion != Motion::Still).then_some((output_axis, motion))
                });
                if let Some((output_axis, motion)) = moving {
                    sliding[output_axis].push(Slide::new(input, axis, motion, shape[output_axis]));
                }
                extents.push(Extent::Fixed(span.range.clone()));
            }
            all.push(extents);
        }
        for (output_axis, slides) in sliding.iter_mut().enumerate() {
            let count = slides.iter().map(|slide| slide.positions).max().unwrap_or(0);
            for position in 0..count {
                let of_inputs = self.of_inputs(needs(output_axis, position));
                for slide in slides.iter_mut().filter(|slide| position < slide.positions) {
                    slide.see(of_inputs[slide.input].as_ref().map(|spans| &spans[slide.axis].range));
                }
            }
            for slide in slides {
                all[slide.input][slide.axis] = slide.extent(output_axis);
            }
        }
        all
    }
}

/// The positions along an axis of an input, as outputs move.
#[derive(Clone, Debug)]
struct Slide {
    input: usize,
    axis: usize,
    motion: Motion,
    /// Outputs to look at, until positions repeat.
    positions: i64,
    sizes: Option<(usize, usize)>,
    first: Option<i64>,
}

impl Slide {
    fn new(input: usize, axis: usize, motion: Motion, length: usize) -> Self {
        let all = i64::try_from(length).unwrap_or(i64::MAX).min(MOST);
        let positions = if let Motion::Moving { period, .. } = motion { period.min(all) } else { all };
        Self { input, axis, motion, positions, sizes: None, first: None }
    }

    fn see(&mut self, range: Option<&Range<i64>>) {
        let size = range.map_or(0, |range| usize::try_from(range.end - range.start).unwrap_or(0));
        let (least, most) = self.sizes.unwrap_or((size, size));
        self.sizes = Some((least.min(size), most.max(size)));
        self.first = self.first.or(range.map(|range| range.start));
    }

    fn extent(&self, output_axis: usize) -> Extent {
        let (least, most) = self.sizes.unwrap_or((0, 0));
        let step = match self.motion {
            Motion::Moving { period, advance } => {
                let common = divisor(period, advance);
                Some((advance / common, period / common))
            }
            _ => None,
        };
        Extent::Sliding { output_axis, size: least..=most, first: self.first.unwrap_or(0), step }
    }
}

/// What a block of an output needs of an input.
fn reached(reach: &Reach, block: &[Span], shape: &[usize], node: usize, is_clipped: bool) -> Option<Vec<Span>> {
    // An axis of one element is seen as a whole in any case.
    let whole =
        |length: usize| Span { range: 0..length as i64, motion: Motion::Still, whole: (length > 1).then_some(node) };
    if shape.contains(&0) {
        return None;
    }
    match reach {
        Reach::Nothing => None,
        Reach::Everything => Some(shape.iter().map(|&length| whole(length)).collect()),
        Reach::Axes(axes) => axes
            .iter()
            .zip(shape)
            .map(|(axis, &length)| match axis {
                AxisReach::Whole => Some(whole(length)),
                AxisReach::Fixed(range) => {
                    Some(Span { range: range.start as i64..range.end as i64, motion: Motion::Still, whole: None })
                }
                AxisReach::Along(relation) => {
                    let Span { range, motion, whole } = block.get(relation.axis())?.clone();
                    let reached = match is_clipped {
                        true => relation.reach_within(range).and_then(|range| common(&range, &(0..length as i64)))?,
                        false => relation.reach(range)?,
                    };
                    Some(Span { range: reached, motion: motion.through(relation.period()), whole })
                }
            })
            .collect(),
    }
}

impl Span {
    /// What two readers of a value need.
    fn joined(self, other: Self) -> Self {
        let motion = self.motion.joined(other.motion, self.range == other.range);
        Self { range: joined(self.range, other.range), motion, whole: self.whole.or(other.whole) }
    }
}
