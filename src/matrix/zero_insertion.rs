//! The textbook picture: both directions as stride-1 convolutions.
//!
//! * C: convolve with stride 1, then keep every `stride`-th value.
//! * Cᵀ: insert `stride − 1` zeros between the elements of y, pad `dilation·(kernel − 1) − begin` before and
//!   `large − 1 − (small − 1)·stride + begin` after (negative amounts crop), then convolve with stride 1 with the kernel
//!   flipped and its channels transposed within each group.
//!
//! It does ∏stride times the multiplications, most of them with zeros; it is here to be understood and compared, not to be
//! fast.

use ndarray::{Array5, ArrayView4, ArrayView5, ArrayViewMut5, Axis, Slice};

use super::im2col_gemm::Im2col;
use crate::error::{Error, Result};
use crate::geometry::{Channels, Geometry, Shape, Side};
use crate::kernel::GemmBackend;
use crate::operator::{Method, Needs, Weights, bytes_of, collected, expect_bytes, flat, with_batch};
use crate::scalar::Scalar;

/// The formulation by zero insertion (Dumoulin & Visin 2016, section 4).
///
/// **Cost.** `2 · ∏weights · ∏((small − 1)·stride + 1)` operations for C, `2 · ∏weights · ∏large` for Cᵀ. It holds a flipped
/// copy of the weights; a call takes one intermediate tensor of `∏((small − 1)·stride + 1)` elements per channel and sample,
/// and the tiles of [`Im2col`].
/// **Non-finite data** reach exactly the outputs that read them, as long as the weights are finite: an infinite weight
/// meets the inserted zeros and yields NaN.
/// **Bits** as for [`Im2col`], which runs the stride-1 convolutions.
#[derive(Clone, Debug)]
pub(crate) struct ZeroInsertion<T> {
    geometry: Geometry<3>,
    /// Shape of the small side with zeros inserted.
    inserted: Shape,
    /// The convolution at every position; C keeps every `stride`-th.
    unit_stride: Im2col<T>,
    /// The convolution with the flipped and transposed kernel.
    flipped: Im2col<T>,
}

impl<T: Scalar> ZeroInsertion<T> {
    /// Prepares both stride-1 convolutions and the flipped copy of the weights.
    ///
    /// # Errors
    /// [`Error::Overflow`] if a tensor with its zeros inserted cannot be addressed; [`Error::MemoryLimit`] before anything is
    /// allocated if what [`needs`](Self::needs) says is over the limit.
    pub(crate) fn new(
        geometry: Geometry<3>,
        weights: Weights<T>,
        backend: GemmBackend,
        memory_limit: u128,
    ) -> Result<Self> {
        let unflipped = Self::unflipped(geometry, weights, backend)?;
        let bytes = unflipped.needs().bytes();
        expect_bytes("the tensor with zeros inserted", bytes, memory_limit, "any other formulation")?;
        let kernel = flip_and_transpose(&unflipped.flipped.weights, geometry.groups())?;
        Ok(Self { flipped: unflipped.flipped.with_weights(kernel), ..unflipped })
    }

    /// All but the flipping of the weights: nothing is allocated.
    fn unflipped(geometry: Geometry<3>, weights: Weights<T>, backend: GemmBackend) -> Result<Self> {
        let Channels { small, large } = geometry.channels();
        let [mut positions, mut flipped] = [*geometry.axes(); 2];
        for (i, axis) in geometry.axes().iter().enumerate() {
            positions[i] = axis.with_unit_stride()?;
            flipped[i] = axis.flipped_unit_stride()?;
        }
        let positions = Geometry::new(positions, geometry.channels(), geometry.groups())?;
        let flipped = Geometry::new(flipped, Channels { small: large, large: small }, geometry.groups())?;
        Ok(Self {
            inserted: positions.small_shape(),
            unit_stride: Im2col::new(&positions, weights.clone(), backend),
            flipped: Im2col::new(&flipped, weights, backend),
            geometry,
        })
    }

    /// What the formulation takes.
    ///
    /// # Errors
    /// [`Error::Overflow`] if a tensor with its zeros inserted cannot be addressed.
    pub(crate) fn needs_of(geometry: Geometry<3>, weights: &Weights<T>) -> Result<Needs> {
        Ok(Self::unflipped(geometry, weights.clone(), GemmBackend::default())?.needs())
    }

    fn needs(&self) -> Needs {
        let tiles = [&self.unit_stride, &self.flipped].map(|method| method.scratch_per_worker(Side::Small, 1));
        let scratch = self.inserted_len().saturating_add(tiles[0].max(tiles[1]));
        let weights = self.geometry.weight_shape().iter().product::<usize>();
        Needs { held: bytes_of::<T>(weights as u128), scratch: bytes_of::<T>(scratch as u128) }
    }

    /// Elements of the small side of one sample with zeros inserted.
    fn inserted_len(&self) -> usize {
        self.inserted.iter().product()
    }

    /// Every `stride`-th element of the small side with zeros inserted.
    fn every_stride<'a>(&self, batch: usize, inserted: &'a mut [T]) -> Result<ArrayViewMut5<'a, T>> {
        let view = view_mut(batch, self.inserted, inserted)?;
        let strides = self.geometry.axes().map(|axis| axis.stride() as isize);
        Ok(strides
            .into_iter()
            .enumerate()
            .fold(view, |view, (axis, stride)| view.slice_axis_move(Axis(axis + 2), Slice::new(0, None, stride))))
    }
}

/// `flipped[large, small, tap] = weights[small, large, kernel − 1 − tap]` within each group.
fn flip_and_transpose<T: Scalar>(weights: &Weights<T>, groups: usize) -> Result<Weights<T>> {
    let (small, large, d, h, w) = weights.dim();
    let small = small / groups;
    let overflow = |_| Error::Overflow { what: "the number of weights" };
    let grouped = ArrayView4::from_shape((groups, small, large, d * h * w), flat(weights)).map_err(overflow)?;
    let mut flipped = grouped.permuted_axes([0, 2, 1, 3]);
    flipped.invert_axis(Axis(3));
    let values = collected(flipped.iter().copied(), "the flipped weights")?;
    Array5::from_shape_vec([groups * large, small, d, h, w], values).map(Array5::into_shared).map_err(overflow)
}

impl<T: Scalar> Method<T> for ZeroInsertion<T> {
    fn scratch_len(&self, output: Side, batch: usize) -> usize {
        let unit_stride = match output {
            Side::Small => &self.unit_stride,
            Side::Large => &self.flipped,
        };
        self.inserted_len().saturating_mul(batch).saturating_add(unit_stride.scratch_len(Side::Small, batch))
    }

    fn run(&self, output: Side, batch: usize, from: &[T], to: &mut [T], scratch: &mut [T]) -> Result<()> {
        let (inserted, scratch) = scratch.split_at_mut(self.inserted_len() * batch);
        match output {
            Side::Small => {
                self.unit_stride.run(Side::Small, batch, from, inserted, scratch)?;
                let kept = self.every_stride(batch, inserted)?;
                view_mut(batch, self.geometry.small_shape(), to)?.assign(&kept);
                Ok(())
            }
            Side::Large => {
                inserted.fill(T::zero());
                let from = ArrayView5::from_shape(with_batch(batch, self.geometry.small_shape()), from);
                self.every_stride(batch, inserted)?.assign(&from.map_err(|_| BATCH)?);
                self.flipped.run(Side::Small, batch, inserted, to, scratch)
            }
        }
    }
}

const BATCH: Error = Error::Overflow { what: "the batch" };

fn view_mut<T>(batch: usize, shape: Shape, slice: &mut [T]) -> Result<ArrayViewMut5<'_, T>> {
    ArrayViewMut5::from_shape(with_batch(batch, shape), slice).map_err(|_| BATCH)
}
