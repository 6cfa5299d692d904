//! Elements of a buffer stored where they belong in a cell, from lists: where rows are short, that takes less than to begin each
//! of them. Places are found and checked once, for all channels and cells alike. It knows no convolution.
//!
//! Where samples lie side by side in the buffer, a vector holds one element of each. Neighbouring elements of the output are
//! then a square that is transposed in registers: their vectors come from anywhere in the buffer, and become a short row of
//! every sample.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::dispatch::Available;
use super::grid::Cell;
use super::vector::{MAX_LANES, Vector, interleave_all};
use crate::scalar::Scalar;

/// Elements that are finished together, and longest row of a square.
const TOGETHER: usize = MAX_LANES;
/// Fewest samples side by side that are worth a square.
const FEWEST_SAMPLES: usize = 4;
/// Fewest neighbours in a row that are worth a piece of their own.
pub(crate) const SHORTEST_LINE: usize = 8;

/// Where elements of a buffer go in every channel of cells of one shape.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Samples, depth, height and width of the cells, and the strides of their output.
    pub(super) shape: [usize; 4],
    pub(super) strides: [isize; 5],
    /// Samples that a place stands for: from its own on, side by side in the buffer.
    side: usize,
    /// In the order of memory.
    places: Vec<Place>,
    groups: Vec<Group>,
    /// For every step from channel to channel, the end of the elements of the first channel.
    ends: Vec<(usize, usize)>,
}

/// Places of `side` samples and, if that is 1, of one step from channel to channel.
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
    /// Neighbours in a row of every one of several samples.
    Square,
    /// Neighbours in the buffer and in the output.
    Line,
    /// Any.
    Single,
}

/// An element of the first channel.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// In the buffer.
    from: u32,
    /// Elements of the buffer from channel to channel, or [`NOTHING`].
    step: u32,
    /// From the cell's first element.
    to: u32,
}

/// The step of places where nothing is read and the sum is zero.
const NOTHING: u32 = u32::MAX;

/// How many samples a place stands for, where so many lie side by side: a power of two that divides them and fits in a vector.
pub(crate) fn samples_per_place(interleaved: usize, lanes: usize) -> usize {
    let side = (1 << interleaved.trailing_zeros().min(16)).min(lanes);
    if side < FEWEST_SAMPLES { 1 } else { side }
}

impl Places {
    /// Places at `[sample, depth, height, width]` in cells of a shape, with the element of the first channel and the step from
    /// channel to channel, or nothing where the sum is zero. Elements of `side` samples lie side by side: only places of the
    /// first one of so many are listed. `None` if offsets do not fit in 32 bits.
    ///
    /// A place outside of the shape is a broken internal contract and stops the program.
    pub(crate) fn new(
        shape: [usize; 4],
        strides: [isize; 5],
        side: usize,
        elements: impl Iterator<Item = ([usize; 4], Option<(usize, usize)>)>,
    ) -> Option<Self> {
        let [of_s, _, of_d, of_h, of_w] = strides;
        let (mut places, mut ends) = (Vec::new(), Vec::<(usize, usize)>::new());
        for (at, source) in elements {
            let [s, rest @ ..] = at;
            let is_inside = s < shape[0] && side <= shape[0] - s && (0..3).all(|i| rest[i] < shape[i + 1]);
            assert!(is_inside, "a place at {at:?} for {side} samples in a cell of {shape:?}");
            let to: isize = at.iter().zip([of_s, of_d, of_h, of_w]).map(|(&at, stride)| at as isize * stride).sum();
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
    /// Stores `channels` channels from `first` on: each element with the bias of its channel, by its number from there, and after
    /// `finish`, if there is one. Vectors of the buffer are read whole.
    ///
    /// What does not fit is a broken internal contract and stops the program before any memory outside is touched.
    #[inline(always)]
    pub(crate) fn scatter<V: Vector<T>>(
        &mut self,
        _: Available<V>,
        places: &Places,
        buffer: &[T],
        [first, channels]: [usize; 2],
        bias: impl Fn(usize) -> T,
        finish: Option<impl Fn(&mut [T])>,
    ) {
        assert!(self.suits(places), "places for other cells");
        assert!(first <= self.shape[1] && channels <= self.shape[1] - first, "channels leave the cell");
        let side = places.side;
        assert!(side <= V::LANES, "{side} samples are not in one vector of {}", V::LANES);
        // The last vector that is read for `side` samples, or for a line, may hold more.
        let more = V::LANES - side;
        for (step, end) in &places.ends {
            let end = channels.saturating_sub(1).checked_mul(*step).and_then(|offset| offset.checked_add(end + more));
            assert!(end.is_some_and(|end| end <= buffer.len()), "an element leaves the buffer");
        }
        let samples = self.shape[0];
        // Channels follow each other in memory; samples may lie so that a cache holds few of them at a time.
        for group in places.groups.iter().filter(|group| group.sample < samples) {
            let present = (side.min(samples - group.sample), places.strides[0]);
            for channel in 0..channels {
                let (to, bias) = (self.channel_start(first + channel), bias(channel));
                for piece in &group.pieces {
                    let kind = piece.kind;
                    let places = &places.places[piece.places.clone()];
                    let piece = Elements { buffer, places, channel, bias, finish: &finish, to };
                    // SAFETY: the instruction set is available by the proof; the last channel's last element, with what its
                    // vector holds beyond, was just found to lie in the buffer. Places were checked against a shape and strides,
                    // which are this cell's, but that it may have fewer samples, of which only those that it has are written:
                    // each is an element of every channel of the cell, which this borrow of it alone may write. Those of a line
                    // and of a square touch, and those of a square are at most as many as its rows are long.
                    unsafe {
                        match (kind, piece.places.len()) {
                            (Kind::Single, _) => piece.one_by_one(),
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
    bias: T,
    finish: &'a Option<F>,
    /// The channel's first element.
    to: *mut T,
}

impl<T: Scalar, F: Fn(&mut [T])> Elements<'_, T, F> {
    /// Places of one step.
    ///
    /// # Safety
    /// Places lie in the buffer, and they may be written.
    #[inline(always)]
    unsafe fn one_by_one(&self) {
        let step = self.places[0].step;
        // SAFETY: the caller vouches for both.
        let sum = |place: &Place| unsafe {
            *self.buffer.get_unchecked(self.channel * step as usize + place.from as usize) + self.bias
        };
        // SAFETY: as above.
        let store = |place: &Place, value| unsafe { *self.to.add(place.to as usize) = value };
        match self.finish {
            _ if step == NOTHING => {
                let mut value = self.bias;
                if let Some(finish) = self.finish {
                    finish(std::slice::from_mut(&mut value));
                }
                self.places.iter().for_each(|place| store(place, value));
            }
            None => self.places.iter().for_each(|place| store(place, sum(place))),
            Some(finish) => {
                for places in self.places.chunks(TOGETHER) {
                    let mut values = [self.bias; TOGETHER];
                    values.iter_mut().zip(places).for_each(|(value, place)| *value = sum(place));
                    finish(&mut values[..places.len()]);
                    places.iter().zip(values).for_each(|(place, value)| store(place, value));
                }
            }
        }
    }

    /// Neighbours of one step.
    ///
    /// # Safety
    /// The instruction set is available. Vectors from the first place on, as many as hold all places, lie in the buffer, and the
    /// places may be written.
    #[inline(always)]
    unsafe fn line<V: Vector<T>>(&self) {
        let Place { from, step, to } = self.places[0];
        let count = self.places.len();
        // SAFETY: the caller vouches for it.
        unsafe {
            let (one, bias) = (V::splat(T::one()), V::splat(self.bias));
            let mut i = 0;
            while i < count {
                let mut values = bias;
                if step != NOTHING {
                    let from = self.channel * step as usize + from as usize + i;
                    values = one.mul_add(V::load(self.buffer.as_ptr().add(from)), bias);
                }
                if let Some(finish) = self.finish {
                    let mut block = [self.bias; MAX_LANES];
                    values.store(block.as_mut_ptr());
                    finish(&mut block[..V::LANES]);
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

    /// At most Q places as a row of every sample: so many of them, `of_sample` apart in the output.
    ///
    /// # Safety
    /// The instruction set is available. Vectors from all places lie in the buffer, places touch in the output, and they may be
    /// written in so many samples.
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "other loops are not always unrolled")]
    unsafe fn square<V: Vector<T>, const Q: usize>(&self, (samples, of_sample): (usize, isize)) {
        // Vectors are stored beside each other, and read from the start of any row.
        let mut block = [const { MaybeUninit::<T>::uninit() }; TOGETHER * MAX_LANES + MAX_LANES];
        let block = block.as_mut_ptr().cast::<T>();
        // SAFETY: the caller vouches for the instruction set, the buffer and the output; the block has room for Q vectors, and
        // what is read of it has been written but for lanes that are not stored.
        unsafe {
            let (one, bias) = (V::splat(T::one()), V::splat(self.bias));
            let mut rows = [bias; Q];
            for q in 0..Q {
                if let Some(place) = self.places.get(q).filter(|place| place.step != NOTHING) {
                    let from = self.channel * place.step as usize + place.from as usize;
                    rows[q] = one.mul_add(V::load(self.buffer.as_ptr().add(from)), bias);
                }
            }
            if let Some(finish) = self.finish {
                for q in 0..Q {
                    rows[q].store(block.add(q * V::LANES));
                }
                finish(std::slice::from_raw_parts_mut(block, Q * V::LANES));
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
                    // More than half of them: two copies of a length that the compiler knows.
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
