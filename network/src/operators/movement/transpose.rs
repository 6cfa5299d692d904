//! Axes in another order, and channels that become pixels.

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::operators::common::{Few, axes, elements, optional, required, strides};
use crate::operators::loops::{Walk, gather, of_same};
use crate::operators::slices::{fill, in_order};
use crate::reach::{AxisReach, Reach, Relation, Taps};
use crate::tensor::{TensorView, TensorViewMut};

/// `y[i_p₀, i_p₁, …] = x[i₀, i₁, …]` for a permutation p of the axes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transpose {
    /// The axes of the input in the order of the output; all of them in reverse if absent.
    pub permutation: Option<Vec<i64>>,
}

impl Transpose {
    /// The permutation for a rank.
    fn order(&self, rank: usize) -> Result<Few<usize>> {
        let Some(permutation) = &self.permutation else { return Ok((0..rank).rev().collect()) };
        if axes(permutation, rank)?.len() != rank {
            return Err(invalid!("{permutation:?} is no permutation of {rank} axes"));
        }
        Ok(permutation.iter().map(|&axis| (if axis < 0 { axis + rank as i64 } else { axis }) as usize).collect())
    }
}

impl Operator for Transpose {
    fn name(&self) -> &'static str {
        "Transpose"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        let order = self.order(input.shape().len())?;
        let shape: Vec<usize> = order.iter().map(|&axis| input.shape()[axis]).collect();
        Ok(vec![Signature::new(input.element(), shape)])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let Some(fact) = optional(inputs, input) else { return Reach::Everything };
        let Ok(order) = self.order(fact.shape().len()) else { return Reach::Everything };
        let mut axes = vec![AxisReach::Whole; order.len()];
        for (to, &from) in order.iter().enumerate() {
            axes[from] = AxisReach::same(to, fact.shape()[from]);
        }
        Reach::Axes(axes)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        of_same!(inputs.first(), outputs.first_mut(), (from, to) => {
            let strides = strides(from.shape());
            let order = self.order(strides.len())?;
            let walk = Walk::new([0], order.iter().map(|&axis| (from.shape()[axis], [strides[axis]])));
            let from = in_order(&from.view());
            fill(to.view_mut(), |to| gather(&walk, &from, to));
            Ok(())
        })
    }
}

/// Where the position within a block stands among the channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BlockOrder {
    /// Channel `(bᵧ·block + bₓ)·C + c` is pixel (bᵧ, bₓ) of channel c: ONNX's `DCR`.
    #[default]
    DepthLast,
    /// Channel `c·block² + bᵧ·block + bₓ` is pixel (bᵧ, bₓ) of channel c: ONNX's `CRD`, PyTorch's pixel shuffle.
    DepthFirst,
}

/// `y[n, c, h·block + bᵧ, w·block + bₓ] = x[n, channel of (c, bᵧ, bₓ), h, w]`: [N, C·block², H, W] becomes
/// [N, C, H·block, W·block].
///
/// ```
/// use convmat_network::operators::movement::{BlockOrder, DepthToSpace};
/// use convmat_network::{ElementType, Fact, Operator, Signature};
///
/// let fact = |shape: &[usize]| Fact { signature: Signature::new(ElementType::Float, shape), value: None };
/// let shuffle = DepthToSpace { block: 4, order: BlockOrder::DepthFirst };
/// assert_eq!(shuffle.infer(&[Some(&fact(&[1, 48, 20, 30]))], 1)?[0].shape, [1, 3, 80, 120]);
/// # Ok::<(), convmat_network::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthToSpace {
    /// Pixels along each side of a block.
    pub block: usize,
    /// The order of channels.
    pub order: BlockOrder,
}

/// The inverse of [`DepthToSpace`]: [N, C, H·block, W·block] becomes [N, C·block², H, W].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceToDepth {
    /// Pixels along each side of a block.
    pub block: usize,
    /// The order of channels.
    pub order: BlockOrder,
}

/// Batch, channels, height and width of an input.
fn sides(fact: &Fact) -> Result<[usize; 4]> {
    let sides = fact.shape().try_into();
    sides.map_err(|_| invalid!("an input of shape {:?}, which is not [N, C, H, W]", fact.shape()))
}

/// What pixels depend on, all channels taken together.
fn reach_of_blocks(fact: Option<&Fact>, relation: impl Fn(usize, usize) -> Relation) -> Reach {
    let Some(Ok([n, c, h, w])) = fact.map(sides) else { return Reach::Everything };
    let [rows, columns] = [(2, h), (3, w)].map(|(axis, length)| AxisReach::Along(relation(axis, length)));
    Reach::Axes(vec![AxisReach::same(0, n), AxisReach::Fixed(0..c), rows, columns])
}

impl Operator for DepthToSpace {
    fn name(&self) -> &'static str {
        "DepthToSpace"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        let [n, c, h, w] = sides(input)?;
        let area = self.block.checked_mul(self.block).filter(|&area| area > 0 && c.is_multiple_of(area));
        let area = area.ok_or_else(|| invalid!("{c} channels are no blocks of {0}×{0}", self.block))?;
        let (Some(height), Some(width)) = (h.checked_mul(self.block), w.checked_mul(self.block)) else {
            return Err(invalid!("blocks of {0}×{0} make the output too large", self.block));
        };
        let shape = [n, c / area, height, width];
        elements(&shape)?;
        Ok(vec![Signature::new(input.element(), shape)])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let one = vec![Taps { first: 0, step: 1, count: 1 }; self.block];
        reach_of_blocks(optional(inputs, input), |axis, length| Relation::new(axis, length, 1, one.clone()))
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        of_same!(inputs.first(), outputs.first_mut(), (from, to) => {
            let &[n, c, h, w] = from.shape() else { return Err(invalid!("an input of another rank than was announced")) };
            let b = self.block;
            let (depth, plane) = (c / (b * b), (h * w) as isize);
            // Distances between channels and between rows and columns of a block.
            let (channel, row, column) = match self.order {
                BlockOrder::DepthLast => (plane, plane * (b * depth) as isize, plane * depth as isize),
                BlockOrder::DepthFirst => (plane * (b * b) as isize, plane * b as isize, plane),
            };
            let axes = [
                (n, [plane * c as isize]),
                (depth, [channel]),
                (h, [w as isize]),
                (b, [row]),
                (w, [1]),
                (b, [column]),
            ];
            let walk = Walk::new([0], axes);
            let from = in_order(&from.view());
            fill(to.view_mut(), |to| gather(&walk, &from, to));
            Ok(())
        })
    }
}

impl Operator for SpaceToDepth {
    fn name(&self) -> &'static str {
        "SpaceToDepth"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        let [n, c, h, w] = sides(input)?;
        let b = self.block;
        if b == 0 || !h.is_multiple_of(b) || !w.is_multiple_of(b) {
            return Err(invalid!("{h}×{w} pixels are no blocks of {b}×{b}"));
        }
        let channels = c.checked_mul(b).and_then(|c| c.checked_mul(b));
        let channels = channels.ok_or_else(|| invalid!("blocks of {b}×{b} make the output too large"))?;
        let shape = [n, channels, h / b, w / b];
        elements(&shape)?;
        Ok(vec![Signature::new(input.element(), shape)])
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        let block = Taps { first: 0, step: 1, count: self.block };
        reach_of_blocks(optional(inputs, input), |axis, length| {
            Relation::new(axis, length, self.block as i64, vec![block])
        })
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        of_same!(inputs.first(), outputs.first_mut(), (from, to) => {
            let &[n, c, h, w] = from.shape() else { return Err(invalid!("an input of another rank than was announced")) };
            let b = self.block;
            let (plane, line, step) = ((h * w) as isize, w as isize, b as isize);
            let (channel, row, column) = ((c, [plane]), (b, [line]), (b, [1]));
            let [first, second, third] = match self.order {
                BlockOrder::DepthLast => [row, column, channel],
                BlockOrder::DepthFirst => [channel, row, column],
            };
            let batch = (n, [plane * c as isize]);
            let walk = Walk::new([0], [batch, first, second, third, (h / b, [line * step]), (w / b, [step])]);
            let from = in_order(&from.view());
            fill(to.view_mut(), |to| gather(&walk, &from, to));
            Ok(())
        })
    }
}
