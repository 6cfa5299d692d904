//! Poolings: the maximum, the mean or a norm of windows or whole planes, and maxima put back to where they were.
//!
//! Windows are laid out by `window`, rows of outputs computed by `rows`; planes are shared among threads.

mod global;
mod rows;
mod rules;
mod unpool;
mod window;

use std::sync::Arc;

pub use global::{GlobalPool, GlobalRule};
pub use unpool::MaxUnpool;
pub use window::{Padding, Windows};

use super::{Description, Made, common, slices};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::reach::{AxisReach, Reach, Relation};
use crate::tensor::{ElementType, TensorView, TensorViewMut};
use rows::Rule;
use rules::{Maximum, Mean, Norm, Ordered};
use window::Axis;

/// `y = max x` over each window, padding never being it; of floats or whole numbers. A NaN is greater than any number.
///
/// **Shapes.** `[batch, channels, spatial…]` → the same with spatial sizes `⌊(in + pads − extent) / stride⌋ + 1`, the extent of a
/// window being `(kernel − 1)·dilation + 1`. A second output, of whole numbers, says where each maximum lies, of equal ones the
/// first, counting all elements of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// The windows.
    pub windows: Windows,
    /// Whether indices count with the first spatial axis fastest, instead of the last one.
    pub column_major: bool,
}

/// `y = Σ x / n` over each window of n elements: of the input, or of the padding as well.
///
/// **Shapes** as those of [`MaxPool`]. Sums are in f32, of rows first and within a row after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// The windows.
    pub windows: Windows,
    /// Whether elements of the padding count; those beyond it, where `ceil_mode` adds a window, never do.
    pub count_include_pad: bool,
}

/// `y = (Σ |x|ᵖ)^(1/p)` over each window.
///
/// **Shapes** as those of [`MaxPool`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LpPool {
    /// The windows.
    pub windows: Windows,
    /// The power, at least 1.
    pub p: u32,
}

pub(super) fn make(d: &Description) -> Made {
    let power = || {
        let p = d.attributes.integer_or("p", 2)?;
        u32::try_from(p).ok().filter(|p| (1..=1 << 20).contains(p)).ok_or_else(|| invalid!("attribute p is {p}"))
    };
    Ok(Some(match d.name {
        "MaxPool" => Arc::new(MaxPool {
            windows: Windows::parse(d)?,
            column_major: d.attributes.switch_or("storage_order", false)?,
        }),
        "AveragePool" => Arc::new(AveragePool {
            windows: Windows::parse(d)?,
            count_include_pad: d.attributes.switch_or("count_include_pad", false)?,
        }),
        "LpPool" => Arc::new(LpPool { windows: Windows::parse(d)?, p: power()? }),
        "GlobalAveragePool" => Arc::new(GlobalPool { rule: GlobalRule::Average }),
        "GlobalMaxPool" => Arc::new(GlobalPool { rule: GlobalRule::Max }),
        "GlobalLpPool" => Arc::new(GlobalPool { rule: GlobalRule::Lp(power()?) }),
        "MaxUnpool" => {
            let Windows { kernel, strides, padding, .. } = Windows::parse(d)?;
            let Padding::Explicit(pads) = padding else { return Err(invalid!("attribute auto_pad is unknown")) };
            Arc::new(MaxUnpool { kernel, strides, pads })
        }
        _ => return Ok(None),
    }))
}

/// The input's axes and the output's shape.
fn inferred(windows: &Windows, inputs: &[Option<&Fact>], covered: bool) -> Result<Vec<usize>> {
    let x = common::required(inputs, 0)?;
    common::elements(x.shape())?;
    Ok(windows.on(x.shape(), covered)?.1)
}

fn comparisons(windows: &Windows, outputs: &[Signature]) -> u128 {
    let of = |shape: &[usize]| shape.iter().fold(1u128, |product, &n| product.saturating_mul(n as u128));
    outputs.first().map_or(0, |y| of(&y.shape)).saturating_mul(of(&windows.kernel))
}

/// The windows that outputs are made of.
fn reach(windows: &Windows, inputs: &[Option<&Fact>], input: usize) -> Reach {
    let (0, Some(x)) = (input, common::optional(inputs, 0)) else { return Reach::Everything };
    let Ok((axes, _)) = windows.on(x.shape(), false) else { return Reach::Everything };
    let (before, lengths) = x.shape().split_at(2);
    let first = before.iter().enumerate().map(|(axis, &length)| AxisReach::same(axis, length));
    let windows = (axes[3 - lengths.len()..].iter().zip(lengths).enumerate()).map(|(i, (axis, &length))| {
        AxisReach::Along(Relation::new(2 + i, length, axis.stride as i64, vec![axis.window()]))
    });
    Reach::Axes(first.chain(windows).collect())
}

/// Planes for one task: enough that starting it does not count.
fn planes_per_task(plane: usize) -> usize {
    (8192 / plane.max(1)).max(1)
}

fn pool<T: Copy + Send + Sync, R: Rule<T>>(
    axes: &[Axis; 3],
    rule: &R,
    x: ndarray::ArrayViewD<T>,
    y: ndarray::ArrayViewMutD<T>,
) {
    let (from, to) = planes_of(axes);
    let planes = planes_per_task(to);
    // Samples or planes may lie apart.
    slices::in_pieces(x, y, 2, &|x: &[T], y: &mut [T]| {
        slices::for_chunks(y, planes * to, x.len(), |number, y| {
            rows::planes(axes, rule, &x[number * planes * from..], y);
        });
    });
}

/// Elements of a plane before and after pooling.
fn planes_of(axes: &[Axis; 3]) -> (usize, usize) {
    (axes.iter().map(|axis| axis.input).product(), axes.iter().map(|axis| axis.output).product())
}

impl MaxPool {
    fn compute<T: Ordered>(
        &self,
        axes: &[Axis; 3],
        x: ndarray::ArrayViewD<T>,
        y: ndarray::ArrayViewMutD<T>,
        indices: Option<ndarray::ArrayViewMutD<i64>>,
    ) {
        let Some(indices) = indices else { return pool(axes, &Maximum, x, y) };
        let x = slices::in_order(&x);
        let (from, to) = planes_of(axes);
        let [depth, height, width] = axes.map(|axis| axis.input);
        slices::fill(y, |y| {
            slices::fill(indices, |indices| {
                slices::for_pairs((y, to), (indices, to), x.len(), |number, y, indices| {
                    let x = &x[number * from..(number + 1) * from];
                    rows::maxima(axes, T::exceeds, x, y, |output, [d, h, w]| {
                        let within = match self.column_major {
                            false => (d * height + h) * width + w,
                            true => d + depth * (h + height * w),
                        };
                        indices[output] = (number * from + within) as i64;
                    });
                });
            });
        });
    }
}

impl Operator for MaxPool {
    fn name(&self) -> &'static str {
        "MaxPool"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let shape = inferred(&self.windows, inputs, true)?;
        let element = common::required(inputs, 0)?.element();
        let y = Signature::new(element, shape.clone());
        match (element, outputs) {
            (ElementType::Bool, _) => Err(invalid!("truth values have no maximum")),
            (_, 1) => Ok(vec![y]),
            (_, 2) => Ok(vec![y, Signature::new(ElementType::Integer, shape)]),
            _ => Err(invalid!("{outputs} outputs where there are one or two")),
        }
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], outputs: &[Signature]) -> bool {
        // Indices count the elements of all samples.
        outputs.len() == 1
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        reach(&self.windows, inputs, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let (y, others) = outputs.split_at_mut(1);
        let indices = if others.is_empty() { None } else { Some(common::integers_mut(others, 0)?) };
        match inputs.first() {
            Some(Some(TensorView::Float(x))) => {
                let axes = self.windows.axes(x.shape())?;
                self.compute(&axes, x.view(), common::floats_mut(y, 0)?, indices);
            }
            _ => {
                let x = common::integers(inputs, 0)?;
                let axes = self.windows.axes(x.shape())?;
                self.compute(&axes, x, common::integers_mut(y, 0)?, indices);
            }
        }
        Ok(())
    }

    fn takes_rows_apart(&self) -> bool {
        true
    }

    fn operations(&self, _: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        comparisons(&self.windows, outputs)
    }
}

impl Operator for AveragePool {
    fn name(&self) -> &'static str {
        "AveragePool"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        common::expect_element(common::required(inputs, 0)?, ElementType::Float, "input 0")?;
        let shape = inferred(&self.windows, inputs, !self.count_include_pad)?;
        common::only_output(outputs, ElementType::Float, shape)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        reach(&self.windows, inputs, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let x = common::floats(inputs, 0)?;
        let axes = self.windows.axes(x.shape())?;
        pool(&axes, &Mean { with_padding: self.count_include_pad }, x, common::floats_mut(outputs, 0)?);
        Ok(())
    }

    fn takes_rows_apart(&self) -> bool {
        true
    }

    fn operations(&self, _: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        comparisons(&self.windows, outputs)
    }
}

impl Operator for LpPool {
    fn name(&self) -> &'static str {
        "LpPool"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        common::expect_element(common::required(inputs, 0)?, ElementType::Float, "input 0")?;
        if self.p == 0 {
            return Err(invalid!("there is no norm for p = 0"));
        }
        common::only_output(outputs, ElementType::Float, inferred(&self.windows, inputs, false)?)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        reach(&self.windows, inputs, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let x = common::floats(inputs, 0)?;
        let axes = self.windows.axes(x.shape())?;
        pool(&axes, &Norm { p: self.p }, x, common::floats_mut(outputs, 0)?);
        Ok(())
    }

    fn takes_rows_apart(&self) -> bool {
        true
    }

    fn operations(&self, _: &[Option<&Fact>], outputs: &[Signature]) -> u128 {
        comparisons(&self.windows, outputs)
    }
}

#[cfg(test)]
mod tests;
