//! Shapes as values, values for shapes, the same elements in other shapes.

mod fill;
mod query;
mod repeat;
mod scan;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;

pub use self::fill::{Constant, ConstantOfShape, EyeLike, OneHot, Range};
pub use self::query::{Shape, Size};
pub use self::repeat::{Expand, Tile};
pub use self::scan::{CumSum, Trilu};
pub use self::view::{Dropout, Flatten, Identity, Reshape, Squeeze, Unsqueeze};
use super::cast::Target;
use super::{Description, Made};
use crate::error::{Result, invalid};
use crate::operator::Operator;
use crate::tensor::{ElementType, Tensor};

/// The operators of this file's modules.
pub(super) fn make(d: &Description) -> Made {
    let axis = |absent| d.attributes.integer_or("axis", absent);
    let axes = || -> Result<Option<Vec<i64>>> { Ok(d.attributes.integers("axes")?.cloned()) };
    let operator: Arc<dyn Operator> = match d.name {
        "Shape" => {
            let end = match d.attributes.contains("end") {
                true => Some(d.attributes.integer_or("end", 0)?),
                false => None,
            };
            Arc::new(Shape { start: d.attributes.integer_or("start", 0)?, end })
        }
        "Size" => Arc::new(Size),
        "Reshape" => Arc::new(Reshape { allow_zero: d.attributes.switch_or("allowzero", false)? }),
        "Flatten" => Arc::new(Flatten { axis: axis(1)? }),
        "Squeeze" => Arc::new(Squeeze { axes: axes()? }),
        "Unsqueeze" => Arc::new(Unsqueeze { axes: axes()? }),
        "Identity" => Arc::new(Identity),
        "Dropout" => {
            let mask = if d.opset < 10 { ElementType::Float } else { ElementType::Bool };
            Arc::new(Dropout { mask, outputs: d.outputs })
        }
        "Expand" => Arc::new(Expand),
        "Tile" => Arc::new(Tile),
        "Constant" => Arc::new(Constant { value: constant(d)? }),
        "ConstantOfShape" => {
            let value = match d.attributes.tensor("value")? {
                None => ndarray::ArrayD::from_elem(&[1][..], 0.0f32).into(),
                Some(value) if value.len() == 1 => value.clone(),
                Some(value) => return Err(invalid!("attribute value is {} elements, not one", value.len())),
            };
            Arc::new(ConstantOfShape { value })
        }
        "Range" => Arc::new(Range),
        "EyeLike" => {
            let element = match d.attributes.integer_or("dtype", 0)? {
                0 => None,
                number => Some(Target::of_number(number)?.element()),
            };
            Arc::new(EyeLike { element, diagonal: d.attributes.integer_or("k", 0)? })
        }
        "OneHot" => Arc::new(OneHot { axis: axis(-1)? }),
        "Trilu" => Arc::new(Trilu { upper: d.attributes.switch_or("upper", true)? }),
        "CumSum" => Arc::new(CumSum {
            exclusive: d.attributes.switch_or("exclusive", false)?,
            reverse: d.attributes.switch_or("reverse", false)?,
        }),
        _ => return Ok(None),
    };
    Ok(Some(operator))
}

/// The value of a Constant, under whichever name.
fn constant(d: &Description) -> Result<Tensor> {
    let all = d.attributes;
    if let Some(value) = all.tensor("value")? {
        return Ok(value.clone());
    }
    if let Some(values) = all.floats("value_floats")? {
        return Ok(ndarray::Array1::from(values.clone()).into_dyn().into());
    }
    if let Some(values) = all.integers("value_ints")? {
        return Ok(Tensor::integers(values.iter().copied()));
    }
    if all.contains("value_float") {
        return Ok(ndarray::ArrayD::from_elem(&[][..], all.float_or("value_float", 0.0)?).into());
    }
    if all.contains("value_int") {
        return Ok(ndarray::ArrayD::from_elem(&[][..], all.integer_or("value_int", 0)?).into());
    }
    let mut names: Vec<&str> = all.names().collect();
    names.sort_unstable();
    Err(invalid!("a constant whose value is under none of the supported names, but under {names:?}"))
}
