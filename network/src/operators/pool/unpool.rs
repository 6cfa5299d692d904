//! `MaxUnpool`: values put back to where they were the maxima.

use convmat::{IndexBase, MaxPool};
use ndarray::Array5;

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::tensor::{ElementType, TensorView, TensorViewMut};

use super::super::common;

/// Values put where indices point, in a tensor of zeros: `y[indices[i]] = x[i]`, indices counting in the whole tensor.
///
/// **Shapes.** `[batch, channels, spatial…]` twice, and the output's shape, if that is not `(in − 1)·stride + kernel − pads`. Where
/// both differ, indices count in the one in which each lies within its own window ([`MaxPool::unpool`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxUnpool {
    /// Elements of a window along each axis.
    pub kernel: Vec<usize>,
    /// Distances from window to window.
    pub strides: Vec<usize>,
    /// Padding before and after each axis of what was pooled.
    pub pads: Vec<(usize, usize)>,
}

/// Kernel, stride, and padding before and after.
type AxisOfPooling = (usize, usize, (usize, usize));

impl MaxUnpool {
    /// Kernel, stride and padding along three axes, absent ones in front.
    fn lifted(&self) -> Result<[AxisOfPooling; 3]> {
        let n = self.kernel.len();
        if !(1..=3).contains(&n) || self.strides.len() != n || self.pads.len() != n {
            return Err(invalid!("a kernel of {n} axes; one to three are known, and as many strides and pads"));
        }
        let mut axes = [(1, 1, (0, 0)); 3];
        for (i, axis) in axes[3 - n..].iter_mut().enumerate() {
            *axis = (self.kernel[i], self.strides[i], self.pads[i]);
        }
        Ok(axes)
    }

    /// The size that a pooled axis usually had.
    fn usual(&self, i: usize, input: usize) -> Option<usize> {
        let end = input.checked_sub(1)?.checked_mul(self.strides[i])?.checked_add(self.kernel[i])?;
        end.checked_sub(self.pads[i].0)?.checked_sub(self.pads[i].1).filter(|&n| n > 0)
    }
}

/// `[batch, channels, D, H, W]` of a shape whose rank is known to be three to five.
fn five(shape: &[usize]) -> [usize; 5] {
    let mut five = [1; 5];
    five[..2].copy_from_slice(&shape[..2]);
    five[7 - shape.len()..].copy_from_slice(&shape[2..]);
    five
}

impl Operator for MaxUnpool {
    fn name(&self) -> &'static str {
        "MaxUnpool"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let (x, indices) = (common::required(inputs, 0)?, common::required(inputs, 1)?);
        common::expect_element(x, ElementType::Float, "input 0")?;
        common::expect_element(indices, ElementType::Integer, "the indices")?;
        let (n, from) = (self.lifted().map(|_| self.kernel.len())?, x.shape());
        if from.len() != n + 2 || indices.shape() != from {
            return Err(invalid!("values {from:?} and indices {:?} with a kernel of {n} axes", indices.shape()));
        }
        let usual = |(i, &input): (usize, &usize)| {
            self.usual(i, input).ok_or_else(|| invalid!("spatial axis {i} of {input} elements was made by no pooling"))
        };
        let usual = from[2..].iter().enumerate().map(usual).collect::<Result<Vec<_>>>()?;
        let mut shape = from[..2].to_vec();
        match common::optional(inputs, 2) {
            None => shape.extend(usual),
            Some(wanted) => {
                let wanted = common::known_integers(wanted, "the shape of the output")?;
                let wanted: Option<Vec<usize>> = wanted.iter().map(|&n| usize::try_from(n).ok()).collect();
                shape = match wanted {
                    // Some files give the spatial axes alone.
                    Some(spatial) if spatial.len() == n => [&from[..2], &spatial].concat(),
                    Some(all) if all.len() == n + 2 && all[..2] == from[..2] => all,
                    other => return Err(invalid!("an output of shape {other:?} from one of shape {from:?}")),
                };
                for (i, (&size, &usual)) in shape[2..].iter().zip(&usual).enumerate() {
                    if size == 0 || size.abs_diff(usual) >= self.strides[i] {
                        return Err(invalid!("spatial axis {i} of {size} elements is not pooled to {}", from[i + 2]));
                    }
                }
            }
        }
        common::elements(&shape)?;
        common::only_output(outputs, ElementType::Float, shape)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let (x, indices) = (common::floats(inputs, 0)?, common::integers(inputs, 1)?);
        let mut y = common::floats_mut(outputs, 0)?;
        if y.is_empty() {
            return Ok(());
        }
        let axes = self.lifted()?;
        let pool =
            MaxPool::new(axes.map(|axis| axis.0)).stride(axes.map(|axis| axis.1)).padding(axes.map(|axis| axis.2));
        let at = |index: &i64| usize::try_from(*index).map_err(|_| invalid!("index {index} is negative"));
        let indices = indices.iter().map(at).collect::<Result<Vec<_>>>()?;
        let shape = five(x.shape());
        let wrong = |error: ndarray::ShapeError| invalid!("{error}");
        let indices = Array5::from_shape_vec(shape, indices).map_err(wrong)?;
        let x = x.to_shape(shape).map_err(wrong)?;
        let [.., d, h, w] = five(y.shape());
        let made = pool.index_base(IndexBase::Tensor).unpool(&x, &indices, Some([d, h, w]))?;
        y.iter_mut().zip(&made).for_each(|(to, &value)| *to = value);
        Ok(())
    }
}
