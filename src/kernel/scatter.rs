//! Stores the elements of a buffer into a cell by a list of places. Where rows are short, to follow a list takes less
//! time than to set out for every row. A list is made and checked once, and serves all channels and all cells of one
//! shape. It knows no convolution.
//!
//! Where samples lie side by side in the buffer, a vector holds one element of each sample. The vectors of outputs that
//! are neighbours in a row may come from anywhere in the buffer. They form a square, which is transposed in registers
//! and becomes a short row of every sample.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::affine::Affine;
use super::dispatch::Available;
use super::grid::Cell;
use super::vector::{MAX_LANES, Vector, interleave_all};
use crate::scalar::Scalar;

/// Most elements that are finished in one call, and most elements of a square's row.
const TOGETHER: usize = MAX_LANES;
/// Fewest samples side by side for which squares pay.
const FEWEST_SAMPLES: usize = 4;
/// Fewest neighbours in a row that are stored by vectors; fewer are stored one by one.
pub(crate) const SHORTEST_LINE: usize = 8;

/// Where elements of a buffer go in every channel of cells of one shape.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Samples, depth, height and width of the cells, and the strides of their planes along depth, height and width.
    pub(super) shape: [usize; 4],
    pub(super) strides: [isize; 3],
    /// Number of samples that a place stands for: its own and those after it, which lie side by side in the buffer.
    side: usize,
    /// Group by group, and in each in the order of the output's memory.
    places: Vec<Place>,
    groups: Vec<Group>,
    /// For every step from channel to channel that occurs, the end of what places of that step read for the first
    /// channel.
    ends: Vec<(usize, usize)>,
}

/// Places of the same samples and, if `side` is 1, of the same step from channel to channel.
#[derive(Clone, Debug)]
struct Group {
    /// First sample.
    sample: usize,
    pieces: Vec<Piece>,
}

/// Places that are stored together.
#[derive(Clone, Debug)]
struct Piece {
    places: Range<usize>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Neighbours in a row, of several samples.
    Square,
    /// Neighbours in the buffer and in the output.
    Line,
    /// Places that need not be neighbours.
    Single,
}

/// An element of the first channel, and where it goes.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Its index in the buffer.
    from: u32,
    /// Elements of the buffer from channel to channel, or [`NOTHING`].
    step: u32,
    /// Distance in the output from the first element of its sample's plane to its place.
    to: u32,
}

/// The step of places whose sum is zero: they read nothing.
const NOTHING: u32 = u32::MAX;

/// How many samples a place stands for, where `interleaved` samples lie side by side: the largest power of two that
/// divides `interleaved` and fits in a vector, or 1 if that is too few for squares to pay.
pub(crate) fn samples_per_place(interleaved: usize, lanes: usize) -> usize {
    let side = (1 << interleaved.trailing_zeros().min(16)).min(lanes);
    if side < FEWEST_SAMPLES { 1 } else { side }
}

impl Places {
    /// The places of `elements`: each has its `[sample, depth, height, width]` in cells of a shape, and the index in
    /// the buffer of its first channel with the step from channel to channel, or `None` where the sum is zero. Elements
    /// of `side` samples lie side by side, and only the first sample's place is given. `None` if offsets do not fit in
    /// 32 bits.
    ///
    /// A place outside of the shape is a broken internal contract and stops the program.
    pub(crate) fn new(
        shape: [usize; 4],
        strides: [isize; 3],
        side: usize,
        elements: impl Iterator<Item = ([usize; 4], Option<(usize, usize)>)>,
    ) -> Option<Self> {
        let [_, _, of_w] = strides;
        let (mut places, mut ends) = (Vec::new(), Vec::<(usize, usize)>::new());
        for (at, source) in elements {
            let [s, rest @ ..] = at;
            let is_inside = s < shape[0] && side <= shape[0] - s && (0..3).all(|i| rest[i] < shape[i + 1]);
            assert!(is_inside, "a place at {at:?} for {side} samples in a cell of {shape:?}");
            let to: isize = rest.iter().zip(strides).map(|(&at, stride)| at as isize * stride).sum();
            let (mut from, mut step) = (0, NOTHING);
            if let Some((first, to_next)) = source {
                match ends.iter_mut().find(|(known, _)| *known == to_next) {
                    Some((_, end)) => *end = (*end).max(first.checked_add(side)?),
                    None => ends.push((to_next, first.checked_add(side)?)),
                }
                from = first.try_into().ok()?;
                step = to_next.try_into().ok().filter(|&step| step != NOTHING)?;
            }
            let place = Place { from, step, to: to.try_into().ok()? };
            places.push(((s, if side > 1 { 0 } else { step }), place));
        }
        places.sort_unstable_by_key(|(group, place)| (*group, place.to));
        let follows = |before: &Place, place: &Place| {
            let is_next = before.to + 1 == place.to;
            is_next && (side > 1 && of_w == 1 || side == 1 && (place.step == NOTHING || before.from + 1 == place.from))
        };
        let mut groups: Vec<Group> = Vec::new();
        let mut end = 0;
        for of_group in places.chunk_by(|(group, _), (next, _)| group == next) {
            let mut pieces: Vec<Piece> = Vec::new();
            for neighbours in of_group.chunk_by(|(_, before), (_, place)| follows(before, place)) {
                let start = end;
                end += neighbours.len();
                if side > 1 {
                    let starts = (start..end).step_by(TOGETHER);
                    pieces.extend(
                        starts.map(|start| Piece { places: start..end.min(start + TOGETHER), kind: Kind::Square }),
                    );
                    continue;
                }
                let kind = if neighbours.len() < SHORTEST_LINE { Kind::Single } else { Kind::Line };
                match pieces.last_mut() {
                    Some(last) if (last.kind, kind) == (Kind::Single, Kind::Single) => last.places.end = end,
                    _ => pieces.push(Piece { places: start..end, kind }),
                }
            }
            groups.push(Group { sample: of_group[0].0.0, pieces });
        }
        let places = places.into_iter().map(|(_, place)| place).collect();
        Some(Self { shape, strides, side, places, groups, ends })
    }
}

impl<T: Scalar> Cell<'_, T> {
    /// Stores `channels` channels from `first` on. Each element becomes what `affine` makes of it in its channel,
    /// counted from `first`; then `finish` is applied for that channel, if there is one. The buffer is read by whole
    /// vectors.
    ///
    /// Places for other cells, channels that leave the cell and elements that leave the buffer are a broken internal
    /// contract and stop the program before any memory outside is touched.
    #[inline(always)]
    pub(crate) fn scatter<V: Vector<T>>(
        &mut self,
        _: Available<V>,
        places: &Places,
        buffer: &[T],
        [first, channels]: [usize; 2],
        affine: impl Fn(usize) -> Affine<T>,
        finish: Option<impl Fn(usize, &mut [T])>,
    ) {
        assert!(self.suits(places), "places for other cells");
        assert!(first <= self.shape[1] && channels <= self.shape[1] - first, "channels leave the cell");
        let side = places.side;
        assert!(side <= V::LANES, "{side} samples are not in one vector of {}", V::LANES);
        // The last vector of a line, or of `side` samples, reaches up to so many elements beyond the last one in use.
        let more = V::LANES - side;
        for (step, end) in &places.ends {
            let end = channels.saturating_sub(1).checked_mul(*step).and_then(|offset| offset.checked_add(end + more));
            assert!(end.is_some_and(|end| end <= buffer.len()), "an element leaves the buffer");
        }
        let samples = self.shape[0];
        // Samples are the outer loop and channels the inner one, because channels follow each other in memory, whereas
        // samples may lie a multiple of a page apart, so that a cache holds few of them at a time.
        for group in places.groups.iter().filter(|group| group.sample < samples) {
            for channel in 0..channels {
                let ((to, of_sample), affine) = (self.plane_start(group.sample, first + channel), affine(channel));
                let present = (side.min(samples - group.sample), of_sample);
                for piece in &group.pieces {
                    let kind = piece.kind;
                    let places = &places.places[piece.places.clone()];
                    let piece = Elements { buffer, places, channel, affine, finish: &finish, to };
                    // SAFETY: `Available` proves that the instruction set is available. Reads: `ends` bounds what
                    // places read for the first channel, and the assertion on it above found the last channel's last
                    // element, and the rest of its vector, in the buffer. Writes: `Places::new` asserted that places
                    // lie inside of a shape, and `suits` says that this cell has that shape, with planes of these
                    // strides, but maybe fewer samples. `group.sample` is one of them, and squares are written for
                    // `present` samples only. So every place is an element of every channel of the cell, which is
                    // borrowed mutably.
                    // `Places::new` makes lines and squares of neighbours in memory, and gives a square at most
                    // TOGETHER of them; the match gives it a Q of at least and less than twice their number.
                    unsafe {
                        match (kind, piece.places.len()) {
                            (Kind::Single, _) => piece.one_by_one::<V>(),
                            (Kind::Line, _) => piece.line::<V>(),
                            (_, 1) => piece.square::<V, 1>(present),
                            (_, 2) => piece.square::<V, 2>(present),
                            (_, 3..=4) => piece.square::<V, 4>(present),
                            (_, 5..=8) => piece.square::<V, 8>(present),
                            _ => piece.square::<V, TOGETHER>(present),
                        }
                    }
                }
            }
        }
    }
}

/// A piece of one channel.
struct Elements<'a, T, F> {
    buffer: &'a [T],
    places: &'a [Place],
    channel: usize,
    affine: Affine<T>,
    finish: &'a Option<F>,
    /// The first element of the channel's plane.
    to: *mut T,
}

impl<T: Scalar, F: Fn(usize, &mut [T])> Elements<'_, T, F> {
    /// Stores places of one step, one by one.
    ///
    /// # Safety
    /// With `step` that of the first place: unless it is [`NOTHING`], `channel · step + from` is an index of the buffer
    /// for every place. `self.to + to` may be written for every place.
    #[inline(always)]
    unsafe fn one_by_one<V: Vector<T>>(&self) {
        let step = self.places[0].step;
        if step == NOTHING {
            let mut value = self.affine.bias;
            if let Some(finish) = self.finish {
                finish(self.channel, std::slice::from_mut(&mut value));
            }
            for place in self.places {
                // SAFETY: `self.to + to` may be written, as `# Safety` demands.
                unsafe { *self.to.add(place.to as usize) = value };
            }
            return;
        }
        let first = self.channel * step as usize;
        let Some(finish) = self.finish else {
            for place in self.places {
                // SAFETY: the index is one of the buffer, because the step is not `NOTHING`, and `self.to + to` may be
                // written, as `# Safety` demands.
                unsafe {
                    let element = *self.buffer.get_unchecked(first + place.from as usize);
                    *self.to.add(place.to as usize) = self.affine.of::<V>(element);
                }
            }
            return;
        };
        for places in self.places.chunks(TOGETHER) {
            let mut values = [self.affine.bias; TOGETHER];
            for (value, place) in values.iter_mut().zip(places) {
                // SAFETY: the index is one of the buffer, as above.
                *value = self.affine.of::<V>(unsafe { *self.buffer.get_unchecked(first + place.from as usize) });
            }
            finish(self.channel, &mut values[..places.len()]);
            for (&value, place) in values.iter().zip(places) {
                // SAFETY: `self.to + to` may be written, as `# Safety` demands.
                unsafe { *self.to.add(place.to as usize) = value };
            }
        }
    }

    /// Stores neighbours of one step, by vectors.
    ///
    /// # Safety
    /// * The instruction set is available.
    /// * With `from`, `step` and `to` those of the first place: unless `step` is [`NOTHING`], as many vectors as hold
    ///   all places lie in the buffer from `channel · step + from` on.
    /// * As many elements as there are places may be written from `self.to + to` on.
    #[inline(always)]
    unsafe fn line<V: Vector<T>>(&self) {
        let Place { from, step, to } = self.places[0];
        let count = self.places.len();
        // SAFETY: the instruction set is available, and `# Safety` demands the memory: vector after vector is read from
        // `channel · step + from` on, and of the last one only the lanes of places are written. `block` holds MAX_LANES
        // elements.
        unsafe {
            let (scale, bias) = (V::splat(self.affine.scale), V::splat(self.affine.bias));
            let mut i = 0;
            while i < count {
                let mut values = bias;
                if step != NOTHING {
                    let from = self.channel * step as usize + from as usize + i;
                    values = scale.mul_add(V::load(self.buffer.as_ptr().add(from)), bias);
                }
                if let Some(finish) = self.finish {
                    let mut block = [self.affine.bias; MAX_LANES];
                    values.store(block.as_mut_ptr());
                    finish(self.channel, &mut block[..V::LANES]);
                    values = V::load(block.as_ptr());
                }
                let to = self.to.add(to as usize + i);
                match count - i {
                    rest if rest < V::LANES => values.store_first(to, rest),
                    _ => values.store(to),
                }
                i += V::LANES;
            }
        }
    }

    /// The vectors of at most Q places, scaled and with bias; the bias alone where nothing is read.
    ///
    /// # Safety
    /// The instruction set is available. For every place whose step is not [`NOTHING`], a vector lies in the buffer from
    /// `channel · step + from` on.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "other loops are not always unrolled")]
    unsafe fn rows<V: Vector<T>, const Q: usize>(&self, scale: V) -> [V; Q] {
        // SAFETY: the instruction set is available, and the vectors lie in the buffer, as `# Safety` demands.
        unsafe {
            let bias = V::splat(self.affine.bias);
            let mut rows = [bias; Q];
            for q in 0..Q {
                if let Some(place) = self.places.get(q).filter(|place| place.step != NOTHING) {
                    let from = self.channel * place.step as usize + place.from as usize;
                    rows[q] = scale.mul_add(V::load(self.buffer.as_ptr().add(from)), bias);
                }
            }
            rows
        }
    }

    /// Stores at most Q places as a row of each of `samples` samples, which lie `of_sample` apart in the output.
    ///
    /// # Safety
    /// * The instruction set is available.
    /// * Q is a power of two, at most TOGETHER, and there are more than Q / 2 and at most Q places; `samples` is at
    ///   most the number of lanes.
    /// * For every place whose step is not [`NOTHING`], a vector lies in the buffer from `channel · step + from` on.
    /// * Places are neighbours in the output: as many elements as there are places may be written from `self.to + to`
    ///   on, `to` being that of the first place, and the same elements of every sample.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "other loops are not always unrolled")]
    unsafe fn square<V: Vector<T>, const Q: usize>(&self, (samples, of_sample): (usize, isize)) {
        // Q vectors are stored here one after the other, and read back as rows of Q elements.
        let mut block = [const { MaybeUninit::<T>::uninit() }; TOGETHER * MAX_LANES + MAX_LANES];
        let block = block.as_mut_ptr().cast::<T>();
        // SAFETY: the instruction set is available, and `# Safety` demands the vectors in the buffer and the elements
        // of the output. The block has room for Q vectors, Q ≤ TOGETHER. All Q vectors are written before any element
        // is read: `finish` gets these Q · LANES elements, and row `s` is Q of them from `s · Q` on, `s < LANES`.
        unsafe {
            // With a scale that the compiler knows to be 1 these are additions, and the square keeps a register: without
            // this distinction layers of short sums took 4 % longer on Zen 4.
            let mut rows = match self.affine.scale {
                scale if scale == T::one() => self.rows::<V, Q>(V::splat(T::one())),
                scale => self.rows::<V, Q>(V::splat(scale)),
            };
            if let Some(finish) = self.finish {
                for q in 0..Q {
                    rows[q].store(block.add(q * V::LANES));
                }
                finish(self.channel, std::slice::from_raw_parts_mut(block, Q * V::LANES));
                for q in 0..Q {
                    rows[q] = V::load(block.add(q * V::LANES));
                }
            }
            let rows = interleave_all(rows);
            let count = self.places.len();
            let to = self.to.add(self.places[0].to as usize);
            if Q == V::LANES {
                for s in 0..V::LANES {
                    if s == samples {
                        break;
                    }
                    let to = to.offset(s as isize * of_sample);
                    if count == Q {
                        rows[s].store(to);
                    } else {
                        rows[s].store_first(to, count);
                    }
                }
                return;
            }
            for q in 0..Q {
                rows[q].store(block.add(q * V::LANES));
            }
            for s in 0..samples {
                let (from, to) = (block.add(s * Q), to.offset(s as isize * of_sample));
                if count == Q {
                    to.copy_from_nonoverlapping(from, Q);
                } else {
                    // Two copies of Q / 2 elements, a length that the compiler knows, overlap: there are more than Q /
                    // 2.
                    let second = count - Q / 2;
                    to.copy_from_nonoverlapping(from, Q / 2);
                    to.add(second).copy_from_nonoverlapping(from.add(second), Q / 2);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
