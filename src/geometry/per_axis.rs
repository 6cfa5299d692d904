//! One number for every axis, or one for each.
//!
//! This file knows no stride and no kernel: only how a number becomes a number per axis.

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl<const N: usize> Sealed for [usize; N] {}
}

/// A number per spatial axis: `[usize; N]` names each of them, a `usize` stands for all. Sealed.
///
/// Strides, dilations, kernels and scales take either, as PyTorch's do. Where nothing else says how many axes there are, an
/// array does.
///
/// ```
/// use convmat::Options;
/// assert_eq!(Options::<2>::new().stride(2), Options::new().stride([2, 2]));
/// ```
pub trait PerAxis<const N: usize>: sealed::Sealed {
    /// The number of each axis.
    fn per_axis(self) -> [usize; N];
}

impl<const N: usize> PerAxis<N> for usize {
    fn per_axis(self) -> [usize; N] {
        [self; N]
    }
}

impl<const N: usize> PerAxis<N> for [usize; N] {
    fn per_axis(self) -> [usize; N] {
        self
    }
}
