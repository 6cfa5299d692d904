//! Poolings whose window is all of a plane.

use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::reach::Reach;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

use super::super::{common, slices};
use super::rules::Ordered;

/// What a global pooling makes of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalRule {
    /// The mean of all elements.
    Average,
    /// The greatest element.
    Max,
    /// `(Σ |x|ᵖ)^(1/p)`.
    Lp(u32),
}

/// `GlobalAveragePool`, `GlobalMaxPool`, `GlobalLpPool`: `[batch, channels, spatial…]` → `[batch, channels, 1…]`.
///
/// Sums are in f64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalPool {
    /// What becomes of a plane.
    pub rule: GlobalRule,
}

impl GlobalPool {
    fn of(&self, plane: &[f32]) -> f32 {
        match self.rule {
            GlobalRule::Average => (slices::sum(plane, |x| x) / plane.len() as f64) as f32,
            GlobalRule::Max => plane.iter().fold(f32::LEAST, |a, &b| if b.exceeds(a) { b } else { a }),
            GlobalRule::Lp(1) => slices::sum(plane, f64::abs) as f32,
            GlobalRule::Lp(2) => slices::sum(plane, |x| x * x).sqrt() as f32,
            GlobalRule::Lp(p) => slices::sum(plane, |x| x.abs().powi(p as i32)).powf(1.0 / f64::from(p)) as f32,
        }
    }
}

impl Operator for GlobalPool {
    fn name(&self) -> &'static str {
        match self.rule {
            GlobalRule::Average => "GlobalAveragePool",
            GlobalRule::Max => "GlobalMaxPool",
            GlobalRule::Lp(_) => "GlobalLpPool",
        }
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let x = common::required(inputs, 0)?;
        common::expect_element(x, ElementType::Float, "input 0")?;
        let [batch, channels, spatial @ ..] = x.shape() else {
            return Err(invalid!("a tensor of shape {:?} has no planes", x.shape()));
        };
        if spatial.contains(&0) {
            return Err(invalid!("planes of size {spatial:?} have no elements to pool"));
        }
        if self.rule == GlobalRule::Lp(0) {
            return Err(invalid!("there is no norm for p = 0"));
        }
        let mut shape = vec![*batch, *channels];
        shape.resize(x.shape().len(), 1);
        common::only_output(outputs, ElementType::Float, shape)
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], _outputs: &[Signature], _output: usize, input: usize) -> Reach {
        common::reach_all_but(inputs, input, |axis| axis >= 2)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let x = common::floats(inputs, 0)?;
        let plane: usize = x.shape().iter().skip(2).product();
        // Samples or planes may lie apart.
        slices::in_pieces(x, common::floats_mut(outputs, 0)?, 2, &|x: &[f32], y: &mut [f32]| {
            // Sixteen planes a task: a plane may be small.
            slices::for_chunks(y, 16, x.len(), |number, y| {
                let planes = x[number * 16 * plane..].chunks_exact(plane);
                y.iter_mut().zip(planes).for_each(|(y, plane)| *y = self.of(plane));
            });
        });
        Ok(())
    }

    fn takes_rows_apart(&self) -> bool {
        true
    }

    fn operations(&self, inputs: &[Option<&Fact>], _: &[Signature]) -> u128 {
        inputs.iter().flatten().next().map_or(0, |x| x.shape().iter().fold(1, |product, &n| product * n as u128))
    }
}
