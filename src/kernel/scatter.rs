//! Elements of a buffer stored one by one where they belong in a cell: where rows are short, that takes less than to begin each
//! of them. Places are found and checked once, for all channels and cells alike. It knows no convolution.

use super::grid::Cell;

/// Elements that are finished together.
const TOGETHER: usize = 16;

/// Where elements of a buffer go in every channel of cells of one shape.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Samples, depth, height and width of the cells, and the strides of their output.
    pub(super) shape: [usize; 4],
    pub(super) strides: [isize; 5],
    lists: Vec<List>,
}

/// Places whose elements lie equally far apart from channel to channel.
#[derive(Clone, Debug)]
struct List {
    /// None where nothing is read and the sum is zero.
    step: Option<usize>,
    /// All elements of the first channel lie before it.
    end: usize,
    places: Vec<Place>,
}

/// An element of the first channel: in the buffer, and from the cell's first element.
#[derive(Clone, Copy, Debug)]
struct Place {
    from: u32,
    to: u32,
}

impl Places {
    /// Places at `[sample, depth, height, width]` in cells of a shape, with the element of the first channel and the step from
    /// channel to channel, or nothing where the sum is zero. `None` if offsets do not fit in 32 bits.
    ///
    /// A place outside of the shape is a broken internal contract and stops the program.
    pub(crate) fn new(
        shape: [usize; 4],
        strides: [isize; 5],
        elements: impl Iterator<Item = ([usize; 4], Option<(usize, usize)>)>,
    ) -> Option<Self> {
        let mut lists: Vec<List> = Vec::new();
        for (at, source) in elements {
            assert!((0..4).all(|i| at[i] < shape[i]), "a place at {at:?} in a cell of {shape:?}");
            let [of_s, _, of_d, of_h, of_w] = strides;
            let to: isize = at.iter().zip([of_s, of_d, of_h, of_w]).map(|(&at, stride)| at as isize * stride).sum();
            let (from, step) = source.map_or((0, None), |(from, step)| (from, Some(step)));
            let place = Place { from: from.try_into().ok()?, to: to.try_into().ok()? };
            let list = match lists.iter_mut().find(|list| list.step == step) {
                Some(list) => list,
                None => {
                    lists.push(List { step, end: 0, places: Vec::new() });
                    lists.last_mut()?
                }
            };
            list.end = list.end.max(from + 1);
            list.places.push(place);
        }
        // In the order of memory.
        lists.iter_mut().for_each(|list| list.places.sort_unstable_by_key(|place| place.to));
        Some(Self { shape, strides, lists })
    }
}

impl<T: Copy + Default> Cell<'_, T> {
    /// Stores `channels` channels from `first` on, each finished by `finish`, which gets the channel's number from there.
    ///
    /// What does not fit is a broken internal contract and stops the program before any memory outside is touched.
    pub(crate) fn scatter(
        &mut self,
        places: &Places,
        buffer: &[T],
        [first, channels]: [usize; 2],
        finish: impl Fn(usize, &mut [T]),
    ) {
        assert!(self.suits(places), "places for other cells");
        assert!(first <= self.shape[1] && channels <= self.shape[1] - first, "channels leave the cell");
        for list in &places.lists {
            let step = list.step.unwrap_or(0);
            let end = channels.saturating_sub(1).checked_mul(step).and_then(|offset| offset.checked_add(list.end));
            assert!(list.step.is_none() || end.is_some_and(|end| end <= buffer.len()), "an element leaves the buffer");
            for channel in 0..channels {
                let to = self.channel_start(first + channel);
                for places in list.places.chunks(TOGETHER) {
                    let mut values = [T::default(); TOGETHER];
                    let values = &mut values[..places.len()];
                    if list.step.is_some() {
                        for (value, place) in values.iter_mut().zip(places) {
                            // SAFETY: the last channel's last element was just found to lie in the buffer.
                            *value = unsafe { *buffer.get_unchecked(channel * step + place.from as usize) };
                        }
                    }
                    finish(channel, values);
                    for (&value, place) in values.iter().zip(places) {
                        // SAFETY: places were checked against a shape and strides, which are this cell's: each is an element of
                        // every channel of the cell, which this borrow of it alone may write.
                        unsafe { *to.add(place.to as usize) = value };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array5;

    use super::super::grid::{Cuts, Grid};
    use super::*;

    #[test]
    fn elements_go_to_their_places_in_every_channel() {
        let mut tensor = Array5::<f32>::from_elem([2, 5, 2, 3, 40], f32::NAN);
        let strides = [5 * 240, 240, 120, 40, 1];
        let every = [Cuts::Every(2), Cuts::At(&[0, 2]), Cuts::Every(2), Cuts::Every(3), Cuts::At(&[0, 7])];
        let grid = Grid::new(tensor.view_mut(), every);
        while let Some(mut cell) = grid.take() {
            let [samples, channels, depth, height, width] = cell.shape;
            let all = ndarray::indices([samples, depth, height, width]).into_iter();
            // Every third one is zero, the others come from two places in turns.
            let elements = all.enumerate().map(|(i, (s, d, h, w))| {
                let source = [None, Some((2 * i, 1)), Some((i, 3))][i % 3];
                ([s, d, h, w], source)
            });
            let places = Places::new([samples, depth, height, width], strides, elements).unwrap();
            let buffer: Vec<f32> = (0..2000u16).map(f32::from).collect();
            cell.scatter(&places, &buffer, [1, channels - 1], |channel, values| {
                values.iter_mut().for_each(|value| *value += 0.5 * channel as f32);
            });
        }
        for ((s, c, d, h, w), &value) in tensor.indexed_iter() {
            let (channel, first_channel) = if c < 2 { (c, 0) } else { (c - 2, 2) };
            let (column, width) = if w < 7 { (w, 7) } else { (w - 7, 33) };
            if c == first_channel {
                assert!(value.is_nan());
                continue;
            }
            let (i, channel) = (((s * 2 + d) * 3 + h) * width + column, channel - 1);
            let want = [0, 2 * i + channel, i + 3 * channel][i % 3] as f32 + 0.5 * channel as f32;
            assert_eq!(value, want, "{s} {c} {d} {h} {w}");
        }
    }

    #[test]
    #[should_panic(expected = "an element leaves the buffer")]
    fn elements_lie_in_the_buffer() {
        let mut tensor = Array5::<f32>::zeros([1, 2, 1, 1, 2]);
        let grid = Grid::new(tensor.view_mut(), [Cuts::Every(2); 5]);
        let elements = [([0, 0, 0, 1], Some((3, 2)))].into_iter();
        let places = Places::new([1, 1, 1, 2], [4, 2, 2, 2, 1], elements).unwrap();
        grid.take().unwrap().scatter(&places, &[0.0; 5], [0, 2], |_, _| ());
    }

    #[test]
    #[should_panic(expected = "places for other cells")]
    fn cells_have_the_shape_that_was_checked() {
        let mut tensor = Array5::<f32>::zeros([1, 1, 1, 1, 2]);
        let grid = Grid::new(tensor.view_mut(), [Cuts::Every(2); 5]);
        let elements = [([0, 0, 0, 2], Some((0, 1)))].into_iter();
        let places = Places::new([1, 1, 1, 3], [3, 3, 3, 3, 1], elements).unwrap();
        grid.take().unwrap().scatter(&places, &[0.0; 4], [0, 1], |_, _| ());
    }
}
