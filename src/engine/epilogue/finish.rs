//! An epilogue at work on the rows of a call: what the engines do to finished sums. It knows no taps.

use ndarray::{ArrayView5, ArrayViewMut5, Axis, s};

use super::{Activation, Epilogue, Function, ResidualPosition};
use crate::kernel::affine::Affine;
use crate::kernel::dispatch::{Available, Job, Level};
use crate::kernel::vector::Vector;
use crate::scalar::Scalar;

/// What is done to the sums of a call. Kernels do the first step, [`affine`](Self::affine), on their way to the output;
/// [`after`](Self::after) does the others, in rows.
pub(crate) struct Finish<'a, T> {
    /// One number per output channel, of all channel groups.
    bias: Option<&'a [T]>,
    scale: Option<&'a [T]>,
    slopes: Option<&'a [T]>,
    /// The function without slopes.
    activation: Activation,
    residual: Option<Residual<'a, T>>,
}

/// A tensor of the output's shape that is added.
struct Residual<'a, T> {
    tensor: ArrayView5<'a, T>,
    /// All of it, if its elements lie in the order of their indices.
    all: Option<&'a [T]>,
    position: ResidualPosition,
    scale: T,
}

impl<T: Scalar> Epilogue<T> {
    /// This epilogue, which has a number for every channel, with the bias of a layer and the residual of a call.
    pub(crate) fn finish<'a>(&'a self, bias: Option<&'a [T]>, residual: Option<ArrayView5<'a, T>>) -> Finish<'a, T> {
        let (slopes, activation) = match &self.function {
            Function::Same(activation) => (None, *activation),
            Function::PRelu(slopes) => (Some(&**slopes), Activation::Identity),
        };
        let (position, scale) = (self.residual_position, self.residual_scale);
        let residual = residual.map(|tensor| Residual { tensor, all: tensor.to_slice(), position, scale });
        Finish { bias, scale: self.scale.as_deref(), slopes, activation, residual }
    }
}

impl<T: Scalar> Finish<'_, T> {
    /// Leaves sums as they are.
    pub(crate) const fn none() -> Self {
        Self { bias: None, scale: None, slopes: None, activation: Activation::Identity, residual: None }
    }

    /// Scale and bias of a channel, the bias with −0 turned into 0: some outputs without terms are the bias alone, others the scaled
    /// sum 0 plus the bias, and these differ for a bias of −0 and for no other.
    pub(in crate::engine) fn affine(&self, channel: usize) -> Affine<T> {
        Affine {
            scale: self.scale.map_or(T::one(), |scale| scale[channel]),
            bias: self.bias.map_or(T::zero(), |bias| bias[channel] + T::zero()),
        }
    }

    /// The function of a channel's outputs.
    pub(in crate::engine) fn activation(&self, channel: usize) -> Activation {
        match self.slopes {
            Some(slopes) => Activation::LeakyRelu { slope: slopes[channel].to_f64() },
            None => self.activation,
        }
    }

    /// Applies the function of a channel.
    pub(in crate::engine) fn activate(&self, level: Level, channel: usize, values: &mut [T]) {
        self.activation(channel).apply(level, values);
    }

    /// What is added, as it was given.
    pub(crate) fn residual(&self) -> Option<&ArrayView5<'_, T>> {
        self.residual.as_ref().map(|residual| &residual.tensor)
    }

    /// Whether any output changes by its function.
    pub(in crate::engine) fn activates(&self) -> bool {
        self.slopes.is_some() || self.activation != Activation::Identity
    }

    /// Whether there is nothing to do after [`affine`](Self::affine).
    pub(in crate::engine) fn is_plain(&self) -> bool {
        self.residual.is_none() && !self.activates()
    }

    /// Applies residual and activation to a row of outputs, of which the first is that at `[s, c, d, h, w]`.
    #[inline(never)]
    pub(in crate::engine) fn after(&self, level: Level, first: [usize; 5], out: &mut [T]) {
        match &self.residual {
            None => self.activate(level, first[1], out),
            Some(residual) => {
                if residual.position == ResidualPosition::BeforeActivation {
                    residual.add(level, first, out);
                }
                self.activate(level, first[1], out);
                if residual.position == ResidualPosition::AfterActivation {
                    residual.add(level, first, out);
                }
            }
        }
    }

    /// [`after`](Self::after) for whole rows of a channel that lie one after the other, `height` of them in each plane.
    pub(in crate::engine) fn after_rows(
        &self,
        level: Level,
        first: [usize; 5],
        [height, width]: [usize; 2],
        out: &mut [T],
    ) {
        if self.residual.is_none() {
            // One long row: a function needs no index but the channel.
            return self.after(level, first, out);
        }
        let [s, c, d, h, w] = first;
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            self.after(level, [s, c, d + row / height, h + row % height, w], out);
        }
    }

    /// All that is done to sums, for outputs that hold bare ones.
    pub(crate) fn apply(&self, level: Level, mut y: ArrayViewMut5<T>) {
        for (s, mut sample) in y.outer_iter_mut().enumerate() {
            for (c, mut channel) in sample.outer_iter_mut().enumerate() {
                for (d, mut plane) in channel.outer_iter_mut().enumerate() {
                    for (h, mut row) in plane.outer_iter_mut().enumerate() {
                        if let Some(row) = row.as_slice_mut() {
                            self.complete(level, [s, c, d, h, 0], row);
                            continue;
                        }
                        for (number, mut piece) in row.axis_chunks_iter_mut(Axis(0), BLOCK).enumerate() {
                            let mut block = [T::zero(); BLOCK];
                            let block = &mut block[..piece.len()];
                            block.iter_mut().zip(&piece).for_each(|(to, &from)| *to = from);
                            self.complete(level, [s, c, d, h, number * BLOCK], block);
                            piece.iter_mut().zip(block).for_each(|(to, from)| *to = *from);
                        }
                    }
                }
            }
        }
    }

    /// All that is done to the sums of a row, of which the first is that at `[s, c, d, h, w]`.
    pub(in crate::engine) fn complete(&self, level: Level, first: [usize; 5], sums: &mut [T]) {
        level.run(Transform { affine: self.affine(first[1]), values: &mut *sums });
        self.after(level, first, sums);
    }
}

/// Elements of a row that are completed together where they do not lie side by side.
const BLOCK: usize = 64;

impl<T: Scalar> Residual<'_, T> {
    /// Adds the elements from `[s, c, d, h, w]` on along the width.
    fn add(&self, level: Level, [s, c, d, h, w]: [usize; 5], out: &mut [T]) {
        if let Some(all) = self.all {
            let (_, channels, depth, height, width) = self.tensor.dim();
            let start = (((s * channels + c) * depth + d) * height + h) * width + w;
            let from = &all[start..start + out.len()];
            return level.run(Add { scale: self.scale, from, to: out });
        }
        let row = self.tensor.slice(s![s, c, d, h, w..w + out.len()]);
        match row.to_slice() {
            Some(from) => level.run(Add { scale: self.scale, from, to: out }),
            None => out.iter_mut().zip(row).for_each(|(to, &from)| *to += self.scale * from),
        }
    }
}

/// Scale and bias of a row.
struct Transform<'a, T> {
    affine: Affine<T>,
    values: &'a mut [T],
}

impl<T: Scalar> Job<T> for Transform<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        for value in self.values {
            *value = self.affine.of::<V>(*value);
        }
    }
}

/// A row of a residual, scaled, on its way to a row of outputs. Products are rounded before they are added, under every instruction
/// set.
struct Add<'a, T> {
    scale: T,
    from: &'a [T],
    to: &'a mut [T],
}

impl<T: Scalar> Job<T> for Add<'_, T> {
    #[inline(always)]
    fn run<V: Vector<T>>(self, _: Available<V>) {
        for (to, &from) in self.to.iter_mut().zip(self.from) {
            *to += self.scale * from;
        }
    }
}
