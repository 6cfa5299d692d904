//! Tensors that are read where they lie, whatever their strides.
//!
//! Between the elements of a view there may be others that somebody else writes at the same time, as where a tensor is
//! some channels of a larger one, or a window of it. No slice may span them, not even one whose elements between
//! nobody reads: a slice is made of neighbours alone, and what lies apart is read by its own address. It knows no
//! convolution.

use std::marker::PhantomData;

use ndarray::ArrayView5;

use super::prefetch::prefetch;

/// A tensor `[batch, channels, D, H, W]`.
#[derive(Debug)]
pub(crate) struct Strided<'a, T> {
    start: *const T,
    shape: [usize; 5],
    strides: [isize; 5],
    tensor: PhantomData<&'a [T]>,
}

// SAFETY: a tensor gives shared access to elements that it borrows as `&'a [T]` does, which T: Sync lets threads share.
unsafe impl<T: Sync> Send for Strided<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Strided<'_, T> {}

impl<'a, T> Strided<'a, T> {
    pub(crate) fn new(view: ArrayView5<'a, T>) -> Self {
        let shape = view.dim().into();
        let strides = strides(shape, std::array::from_fn(|i| view.strides()[i]));
        Self { start: view.as_ptr(), shape, strides, tensor: PhantomData }
    }

    pub(crate) fn shape(&self) -> [usize; 5] {
        self.shape
    }

    pub(crate) fn strides(&self) -> [isize; 5] {
        self.strides
    }

    /// The address of an element. Asserts that the block of `lens` elements along every axis from there on lies in the
    /// tensor.
    #[inline(always)]
    pub(super) fn address(&self, first: [usize; 5], lens: [usize; 5]) -> *const T {
        let is_inside = (0..5).all(|i| first[i] <= self.shape[i] && lens[i] <= self.shape[i] - first[i]);
        assert!(is_inside, "{lens:?} elements from {first:?} leave a tensor of {:?}", self.shape);
        let offset: isize = (0..5).map(|i| first[i] as isize * self.strides[i]).sum();
        self.start.wrapping_offset(offset)
    }

    /// An element.
    #[inline(always)]
    pub(crate) fn element(&self, at: [usize; 5]) -> T
    where
        T: Copy,
    {
        let address = self.address(at, [1; 5]);
        // SAFETY: `address` asserted that the element lies in the tensor, which the view borrows for 'a.
        unsafe { *address }
    }

    /// Whether the channels of a position lie side by side, and its columns do not.
    pub(crate) fn has_channels_beside(&self) -> bool {
        let ([.., of_channel, _, _, of_width], [.., width]) = (self.strides, self.shape);
        of_channel == 1 && (of_width != 1 || width == 1)
    }

    /// All elements of a channel of a sample, if they lie side by side.
    #[inline(always)]
    pub(crate) fn plane(&self, sample: usize, channel: usize) -> Option<&'a [T]> {
        let [_, _, depth, height, width] = self.shape;
        let start = self.address([sample, channel, 0, 0, 0], [1, 1, depth, height, width]);
        // SAFETY: `address` asserted that there are these elements, and `has_planes` says that each row begins where
        // the row before ends, and each plane where the plane before ends: they are contiguous. The view borrows them
        // for 'a.
        self.has_planes().then(|| unsafe { std::slice::from_raw_parts(start, depth * height * width) })
    }

    /// All elements of a sample, if they lie side by side.
    #[inline(always)]
    pub(crate) fn sample(&self, sample: usize) -> Option<&'a [T]> {
        let [_, channels, depth, height, width] = self.shape;
        let len = depth * height * width;
        let start = self.address([sample, 0, 0, 0, 0], [1, channels, depth, height, width]);
        let is_joined = self.has_planes() && self.strides[1] == len as isize;
        // SAFETY: `address` asserted that there are these elements; `is_joined` says that planes are contiguous and
        // that each channel begins where the one before it ends. The view borrows them for 'a.
        is_joined.then(|| unsafe { std::slice::from_raw_parts(start, channels * len) })
    }

    /// Whether the elements of a channel of a sample lie side by side, in order.
    #[inline(always)]
    pub(crate) fn has_planes(&self) -> bool {
        let [_, _, _, height, width] = self.shape;
        let [_, _, of_d, of_h, of_w] = self.strides;
        [of_d, of_h, of_w] == [(height * width) as isize, width as isize, 1]
    }
}

/// Strides, where an axis of one element, which never takes a step, has that of a contiguous tensor. A view may have any
/// there, such as 0, so that tensors that lie alike would seem to differ.
pub(super) fn strides(shape: [usize; 5], mut strides: [isize; 5]) -> [isize; 5] {
    let mut contiguous = 1usize;
    for (stride, len) in strides.iter_mut().zip(shape).rev() {
        if len <= 1 {
            *stride = contiguous as isize;
        }
        contiguous = contiguous.saturating_mul(len.max(1));
    }
    strides
}

/// Elements (i, j) of a tensor or a slice, in lines along i.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plane<'a, T> {
    start: *const T,
    strides: [isize; 2],
    lens: [usize; 2],
    elements: PhantomData<&'a [T]>,
}

impl<'a, T: Copy> Plane<'a, T> {
    /// Element (i, j) is number `i · strides[0] + j · strides[1]` of a slice.
    #[inline(always)]
    pub(crate) fn of(slice: &'a [T], strides: [usize; 2], lens: [usize; 2]) -> Self {
        let last = |i: usize| lens[i].saturating_sub(1).checked_mul(strides[i]);
        let last = last(0).zip(last(1)).and_then(|(a, b)| a.checked_add(b));
        let is_inside = lens.contains(&0) || last.is_some_and(|last| last < slice.len());
        assert!(is_inside, "{lens:?} elements {strides:?} apart leave a slice of {}", slice.len());
        let strides = strides.map(|stride| stride as isize);
        Self { start: slice.as_ptr(), strides, lens, elements: PhantomData }
    }

    /// # Safety
    /// For all i and j below `lens`, the element `i · strides[0] + j · strides[1]` from `start` on may be read for 'a.
    #[inline(always)]
    pub(super) unsafe fn new(start: *const T, strides: [isize; 2], lens: [usize; 2]) -> Self {
        Self { start, strides, lens, elements: PhantomData }
    }

    #[inline(always)]
    pub(crate) fn lens(&self) -> [usize; 2] {
        self.lens
    }

    #[inline(always)]
    pub(crate) fn get(&self, i: usize, j: usize) -> T {
        assert!(i < self.lens[0] && j < self.lens[1], "element ({i}, {j}) of {:?}", self.lens);
        // SAFETY: there is an element (i, j), as was just asserted, and it may be read: `new` demands that, and `of`
        // asserted it.
        unsafe { *self.start.offset(i as isize * self.strides[0] + j as isize * self.strides[1]) }
    }

    /// Prefetches element (i, j), which may lie beyond the plane.
    #[inline(always)]
    pub(crate) fn prefetch(&self, i: usize, j: usize) {
        let offset =
            (i as isize).wrapping_mul(self.strides[0]).wrapping_add((j as isize).wrapping_mul(self.strides[1]));
        prefetch(self.start.wrapping_offset(offset));
    }

    /// Whether the elements of a line lie side by side.
    #[inline(always)]
    pub(crate) fn has_lines(&self) -> bool {
        self.strides[0] == 1
    }

    /// The elements (0.., j), which lie side by side.
    #[inline(always)]
    pub(crate) fn line(&self, j: usize) -> &'a [T] {
        assert!(self.has_lines() && j < self.lens[1], "line {j} of {:?}, {:?} apart", self.lens, self.strides);
        // SAFETY: a line of neighbours and the number of one of the lines were just asserted. Its elements may be read
        // for 'a: `new` demands that, and `of` asserted it.
        unsafe { std::slice::from_raw_parts(self.start.offset(j as isize * self.strides[1]), self.lens[0]) }
    }

    /// All lines, if they follow each other without a gap.
    #[inline(always)]
    pub(crate) fn joined(&self) -> Option<&'a [T]> {
        let is_joined = self.strides == [1, self.lens[0] as isize];
        // SAFETY: every line begins where the one before it ends, so that all elements are contiguous; they may be read
        // for 'a: `new` demands that, and `of` asserted it.
        is_joined.then(|| unsafe { std::slice::from_raw_parts(self.start, self.lens[0] * self.lens[1]) })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array5, s};

    use super::*;

    fn tensor() -> Array5<u32> {
        Array5::from_shape_fn([2, 3, 2, 4, 5], |(s, c, d, h, w)| (((s * 3 + c) * 2 + d) * 4 + h) as u32 * 5 + w as u32)
    }

    #[test]
    fn samples_and_planes_are_slices_of_neighbours() {
        let all = tensor();
        let whole = Strided::new(all.view());
        assert_eq!(whole.plane(1, 2).unwrap(), all.slice(s![1, 2, .., .., ..]).as_slice().unwrap());
        assert_eq!(whole.sample(1).unwrap(), all.slice(s![1, .., .., .., ..]).as_slice().unwrap());
        let channels = all.slice(s![.., 1.., .., .., ..]);
        assert_eq!(Strided::new(channels).plane(1, 0).unwrap(), all.slice(s![1, 1, .., .., ..]).as_slice().unwrap());
        assert_eq!(Strided::new(channels).sample(1).unwrap(), all.slice(s![1, 1.., .., .., ..]).as_slice().unwrap());
        let apart = Strided::new(all.slice(s![.., ..;2, .., .., ..]));
        assert_eq!(apart.plane(0, 1).unwrap(), all.slice(s![0, 2, .., .., ..]).as_slice().unwrap());
        assert!(apart.sample(0).is_none());
        for view in [all.slice(s![.., .., .., 1..3, ..]), all.slice(s![.., .., .., .., 1..4])] {
            let window = Strided::new(view);
            assert!(window.plane(0, 0).is_none() && window.sample(1).is_none());
        }
        let sparse = Strided::new(all.slice(s![.., .., .., .., ..;2]));
        assert!(sparse.plane(0, 0).is_none());
        let reversed = Strided::new(all.slice(s![.., .., ..;-1, .., ..]));
        assert!(reversed.plane(0, 0).is_none());
        let row = Strided::new(all.slice(s![.., .., ..1, ..1, 1..]));
        assert_eq!(row.plane(0, 1).unwrap(), [41, 42, 43, 44], "single rows have no stride");
    }

    #[test]
    #[should_panic(expected = "leave a tensor")]
    fn samples_stay_inside() {
        let tensor = tensor();
        let tensor = Strided::new(tensor.view());
        tensor.plane(1, 3);
    }

    #[test]
    fn no_block_leaves_a_tensor_along_any_axis() {
        let tensor = tensor();
        let whole = Strided::new(tensor.view());
        assert_eq!(whole.address([0; 5], whole.shape()), tensor.as_ptr());
        for axis in 0..5 {
            for (first, len) in [(0, 1), (1, 0), (usize::MAX, 2)] {
                let (mut at, mut lens) = ([0; 5], whole.shape());
                (at[axis], lens[axis]) = (first, lens[axis] + len);
                let address = std::panic::catch_unwind(|| whole.address(at, lens).is_null());
                assert!(address.is_err(), "{lens:?} from {at:?}");
            }
        }
    }

    #[test]
    fn planes_find_their_elements() {
        let slice: Vec<u32> = (0..20).collect();
        let plane = Plane::of(&slice, [1, 6], [5, 3]);
        assert_eq!((plane.get(4, 2), plane.line(1), plane.joined()), (16, &slice[6..11], None));
        assert_eq!(Plane::of(&slice, [1, 5], [5, 4]).joined().unwrap(), slice);
        assert!(!Plane::of(&slice, [2, 5], [2, 4]).has_lines());
        assert_eq!(Plane::of(&slice, [7, 99], [0, 4]).lens(), [0, 4]);
    }

    #[test]
    #[should_panic(expected = "leave a slice")]
    fn planes_that_no_memory_could_hold_stay_inside() {
        Plane::of(&[0; 10], [usize::MAX, 1], [3, 3]);
    }

    #[test]
    #[should_panic(expected = "leave a slice")]
    fn planes_stay_inside() {
        Plane::of(&[0; 10], [1, 4], [3, 3]);
    }
}
