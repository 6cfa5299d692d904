//! Elements in other places: transposed, joined, split, cut out, padded, picked by indices.
//!
//! Nothing is computed here; all of these work for every type of elements.

mod concat;
mod gather;
mod pad;
mod slice;
#[cfg(test)]
mod tests;
mod transpose;

use std::sync::Arc;

pub use self::concat::{Concat, Split};
pub use self::gather::{Gather, GatherElements, GatherNd};
pub use self::pad::{Pad, PadMode};
pub use self::slice::Slice;
pub use self::transpose::{BlockOrder, DepthToSpace, SpaceToDepth, Transpose};
use super::{Description, Made};
use crate::error::{Result, invalid};
use crate::operator::Operator;

/// The operators of this file's modules.
pub(super) fn make(d: &Description) -> Made {
    let axis = |absent| d.attributes.integer_or("axis", absent);
    let list = |name| -> Result<Option<Vec<i64>>> { Ok(d.attributes.integers(name)?.cloned()) };
    let operator: Arc<dyn Operator> = match d.name {
        "Transpose" => Arc::new(Transpose { permutation: list("perm")? }),
        "DepthToSpace" => Arc::new(DepthToSpace { block: block(d)?, order: order(d)? }),
        "SpaceToDepth" => Arc::new(SpaceToDepth { block: block(d)?, order: order(d)? }),
        "Concat" => match d.attributes.contains("axis") {
            true => Arc::new(Concat { axis: axis(0)? }),
            false => return Err(invalid!("attribute axis is missing")),
        },
        "Split" => {
            let number = match d.attributes.integer_or("num_outputs", 0)? {
                0 if !d.attributes.contains("num_outputs") => None,
                number => Some(number),
            };
            Arc::new(Split { axis: axis(0)?, lengths: list("split")?, number })
        }
        // Bounds were attributes before they were inputs.
        "Slice" if d.opset < 10 => {
            let (Some(starts), Some(ends)) = (list("starts")?, list("ends")?) else {
                return Err(invalid!("attribute starts or ends is missing"));
            };
            Arc::new(Slice { bounds: Some((starts, ends)), axes: list("axes")? })
        }
        "Slice" => Arc::new(Slice { bounds: None, axes: None }),
        "Pad" => {
            let mode = match d.attributes.text_or("mode", "constant")? {
                "constant" => PadMode::Constant,
                "reflect" => PadMode::Reflect,
                "edge" => PadMode::Edge,
                "wrap" => PadMode::Wrap,
                other => return Err(invalid!("attribute mode is {other}, which is not known")),
            };
            let pads = if d.opset < 11 { list("pads")? } else { None };
            if d.opset < 11 && pads.is_none() {
                return Err(invalid!("attribute pads is missing"));
            }
            Arc::new(Pad { mode, pads, value: d.attributes.float_or("value", 0.0)? })
        }
        "Gather" => Arc::new(Gather { axis: axis(0)? }),
        "GatherElements" => Arc::new(GatherElements { axis: axis(0)? }),
        "GatherND" => match usize::try_from(d.attributes.integer_or("batch_dims", 0)?) {
            Ok(batch_axes) => Arc::new(GatherNd { batch_axes }),
            Err(_) => return Err(invalid!("attribute batch_dims is negative")),
        },
        _ => return Ok(None),
    };
    Ok(Some(operator))
}

/// The attribute `blocksize`.
fn block(d: &Description) -> Result<usize> {
    let size = d.attributes.integer_or("blocksize", 0)?;
    let size = usize::try_from(size).ok().filter(|&size| size > 0 && size <= u16::MAX.into());
    size.ok_or_else(|| invalid!("attribute blocksize is missing, not positive or far too large"))
}

/// The attribute `mode` of blocks.
fn order(d: &Description) -> Result<BlockOrder> {
    match d.attributes.text_or("mode", "DCR")? {
        "DCR" => Ok(BlockOrder::DepthLast),
        "CRD" => Ok(BlockOrder::DepthFirst),
        other => Err(invalid!("attribute mode is {other}, neither DCR nor CRD")),
    }
}
