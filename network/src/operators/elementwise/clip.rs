//! Functions of single elements whose parameters are tensors: Clip and PRelu.

use crate::error::{Result, invalid};
use crate::operator::{Alignment, Fact, Operator, Pointwise, Row, Scratch, Signature};
use crate::operators::common::{broadcast, elements, expect_element, optional, per_channel, reach_elements, required};
use crate::operators::elementwise::Function;
use crate::operators::elementwise::functions::clamped;
use crate::operators::loops::{map, map_row, zip, zip_row};
use crate::reach::Reach;
use crate::tensor::{ElementType, Tensor, TensorView, TensorViewMut};

/// `y = min(max(x, low), high)` for the inputs x, low and high, of which the last two are scalars and may be absent.
///
/// Where the bounds contradict each other, the upper one wins. Floats and integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clip;

impl Clip {
    /// The function that a clamp of floats is, once its bounds are known.
    ///
    /// ```
    /// use convmat_network::operators::elementwise::{Clip, Function};
    /// use convmat_network::{Tensor, ndarray};
    ///
    /// let six: Tensor = ndarray::arr0(6.0f32).into_dyn().into();
    /// assert_eq!(Clip.function(None, Some(&six)), Some(Function::Clip { low: f32::NEG_INFINITY, high: 6.0 }));
    /// ```
    #[must_use]
    pub fn function(self, low: Option<&Tensor>, high: Option<&Tensor>) -> Option<Function> {
        let bound = |bound: Option<&Tensor>, absent| match bound {
            None => Some(absent),
            Some(Tensor::Float(array)) if array.len() == 1 => array.first().copied(),
            Some(_) => None,
        };
        Some(Function::Clip { low: bound(low, f32::NEG_INFINITY)?, high: bound(high, f32::INFINITY)? })
    }
}

impl Operator for Clip {
    fn name(&self) -> &'static str {
        "Clip"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let input = required(inputs, 0)?;
        if input.element() == ElementType::Bool {
            return Err(invalid!("truth values have no bounds"));
        }
        for number in [1, 2] {
            let Some(bound) = optional(inputs, number) else { continue };
            expect_element(bound, input.element(), "a bound")?;
            if elements(bound.shape())? != 1 {
                return Err(invalid!("a bound of shape {:?}, which is no scalar", bound.shape()));
            }
        }
        Ok(vec![input.signature.clone()])
    }

    fn pointwise(&self, inputs: &[Option<&Fact>]) -> Option<Pointwise> {
        let bound = |number: usize| optional(inputs, number).map(|fact| fact.value.as_ref());
        // A bound that is there and not known is no constant.
        let (low, high) = match (bound(1), bound(2)) {
            (Some(None), _) | (_, Some(None)) => return None,
            (low, high) => (low.flatten(), high.flatten()),
        };
        self.function(low, high)?.activation().map(Pointwise::Activation)
    }

    fn takes_rows_apart(&self) -> bool {
        true
    }

    fn alignment(&self, _inputs: &[Option<&Fact>]) -> Option<Alignment> {
        Some(Alignment::Broadcast)
    }

    fn run_row(&self, inputs: &[Option<Row>], to: &mut [f32]) -> bool {
        let bound = |number: usize, absent| match inputs.get(number) {
            Some(Some(Row::One(bound))) => Some(*bound),
            Some(Some(Row::Each(_))) => None,
            _ => Some(absent),
        };
        let (Some(Some(from)), Some(low), Some(high)) =
            (inputs.first(), bound(1, f32::NEG_INFINITY), bound(2, f32::INFINITY))
        else {
            return false;
        };
        map_row(*from, to, move |x| clamped(x, low, high));
        true
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        reach_elements(inputs, outputs, output, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        macro_rules! bound {
            ($variant:ident, $number:literal, $absent:expr) => {
                match inputs.get($number) {
                    Some(Some(TensorView::$variant(bound))) => bound.first().copied().unwrap_or($absent),
                    _ => $absent,
                }
            };
        }
        match (inputs.first(), outputs.first_mut()) {
            (Some(Some(TensorView::Float(from))), Some(TensorViewMut::Float(to))) => {
                let (low, high) = (bound!(Float, 1, f32::NEG_INFINITY), bound!(Float, 2, f32::INFINITY));
                map(from.view(), to.view_mut(), move |x| clamped(x, low, high));
            }
            (Some(Some(TensorView::Integer(from))), Some(TensorViewMut::Integer(to))) => {
                let (low, high) = (bound!(Integer, 1, i64::MIN), bound!(Integer, 2, i64::MAX));
                map(from.view(), to.view_mut(), move |x| x.max(low).min(high));
            }
            _ => return Err(invalid!("elements of other types than were announced")),
        }
        Ok(())
    }
}

/// `y = x` where x ≥ 0, `slope · x` elsewhere, for the inputs x and slope, the second broadcast to the shape of the first.
///
/// Floats and integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PRelu;

impl Operator for PRelu {
    fn name(&self) -> &'static str {
        "PRelu"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _outputs: usize) -> Result<Vec<Signature>> {
        let (input, slope) = (required(inputs, 0)?, required(inputs, 1)?);
        if input.element() == ElementType::Bool {
            return Err(invalid!("truth values have no sign"));
        }
        expect_element(slope, input.element(), "the slope")?;
        if broadcast(&[input.shape(), slope.shape()])? != input.shape() {
            return Err(invalid!("slopes of shape {:?} for an input of shape {:?}", slope.shape(), input.shape()));
        }
        Ok(vec![input.signature.clone()])
    }

    fn pointwise(&self, inputs: &[Option<&Fact>]) -> Option<Pointwise> {
        let [Some(x), Some(slope), ..] = inputs[..] else { return None };
        let slopes = per_channel(slope, x.shape().len())?;
        Some(Pointwise::PRelu(slopes.into_iter().map(|slope| slope as f32).collect()))
    }

    fn takes_rows_apart(&self) -> bool {
        true
    }

    fn alignment(&self, _inputs: &[Option<&Fact>]) -> Option<Alignment> {
        Some(Alignment::Broadcast)
    }

    fn run_row(&self, inputs: &[Option<Row>], to: &mut [f32]) -> bool {
        let &[Some(x), Some(slope)] = inputs else { return false };
        zip_row(x, slope, to, bent);
        true
    }

    fn treats_samples_alike(&self, _inputs: &[Option<&Fact>], _outputs: &[Signature]) -> bool {
        true
    }

    fn reach(&self, inputs: &[Option<&Fact>], outputs: &[Signature], output: usize, input: usize) -> Reach {
        reach_elements(inputs, outputs, output, input)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _scratch: &mut Scratch) -> Result<()> {
        match (inputs, outputs) {
            ([Some(TensorView::Float(x)), Some(TensorView::Float(slope)), ..], [TensorViewMut::Float(to), ..]) => {
                zip(x.view(), slope.view(), to.view_mut(), bent);
            }
            (
                [Some(TensorView::Integer(x)), Some(TensorView::Integer(slope)), ..],
                [TensorViewMut::Integer(to), ..],
            ) => {
                zip(x.view(), slope.view(), to.view_mut(), |x, slope| if x < 0 { slope.wrapping_mul(x) } else { x });
            }
            _ => return Err(invalid!("elements of other types than were announced")),
        }
        Ok(())
    }
}

fn bent(x: f32, slope: f32) -> f32 {
    if x < 0.0 { slope * x } else { x }
}
