//! What files say of a resizing, from opset 7 on.

use std::sync::Arc;

use convmat::{Coordinates, Rounding};

use super::super::{Description, Made};
use super::{AspectRatio, Interpolation, Mapping, Resize, Sizes};
use crate::error::{Result, invalid};

pub(in super::super) fn make(d: &Description) -> Made {
    let resize = match (d.name, d.opset) {
        ("Upsample", ..9) => {
            let scales = d.attributes.floats("scales")?.ok_or_else(|| invalid!("attribute scales is missing"))?;
            simple(d, Sizes::Scales(scales.clone()), Interpolation::Nearest(Rounding::Floor))?
        }
        ("Upsample", _) => simple(d, Sizes::Second, Interpolation::Nearest(Rounding::Floor))?,
        ("Resize", ..11) => simple(d, Sizes::Second, Interpolation::Near)?,
        ("Resize", _) => full(d)?,
        _ => return Ok(None),
    };
    Ok(Some(Arc::new(resize)))
}

/// The operators before opset 11: a mode, and outputs that lie at `o / scale`.
fn simple(d: &Description, sizes: Sizes, nearest: Interpolation) -> Result<Resize> {
    let interpolation = match d.attributes.text_or("mode", "nearest")? {
        "nearest" => nearest,
        "linear" | "bilinear" => Interpolation::Linear,
        other => return Err(invalid!("attribute mode is {other}")),
    };
    Ok(Resize {
        is_upsample: d.name == "Upsample",
        interpolation,
        mapping: Mapping::Whole(Coordinates::Asymmetric),
        sizes,
        aspect_ratio: AspectRatio::Stretch,
        axes: None,
        antialias: false,
        exclude_outside: false,
    })
}

fn full(d: &Description) -> Result<Resize> {
    let mapping = match d.attributes.text_or("coordinate_transformation_mode", "half_pixel")? {
        "half_pixel" => Mapping::Whole(Coordinates::HalfPixel),
        "pytorch_half_pixel" => Mapping::Whole(Coordinates::PytorchHalfPixel),
        "half_pixel_symmetric" => Mapping::Whole(Coordinates::HalfPixelSymmetric),
        "align_corners" => Mapping::Whole(Coordinates::AlignCorners),
        "asymmetric" => Mapping::Whole(Coordinates::Asymmetric),
        "tf_crop_and_resize" => Mapping::Crop { outside: d.attributes.float_or("extrapolation_value", 0.0)? },
        // Of opset 11 alone: nearest elements as TensorFlow once chose them.
        other => return Err(invalid!("attribute coordinate_transformation_mode is {other}")),
    };
    let interpolation = match d.attributes.text_or("mode", "nearest")? {
        "nearest" => Interpolation::Nearest(match d.attributes.text_or("nearest_mode", "round_prefer_floor")? {
            "round_prefer_floor" => Rounding::PreferFloor,
            "round_prefer_ceil" => Rounding::PreferCeil,
            "floor" => Rounding::Floor,
            "ceil" => Rounding::Ceil,
            other => return Err(invalid!("attribute nearest_mode is {other}")),
        }),
        "linear" => Interpolation::Linear,
        "cubic" => Interpolation::Cubic { a: d.attributes.float_or("cubic_coeff_a", -0.75)? },
        other => return Err(invalid!("attribute mode is {other}")),
    };
    let aspect_ratio = match d.attributes.text_or("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => AspectRatio::Stretch,
        "not_larger" => AspectRatio::NotLarger,
        "not_smaller" => AspectRatio::NotSmaller,
        other => return Err(invalid!("attribute keep_aspect_ratio_policy is {other}")),
    };
    Ok(Resize {
        is_upsample: false,
        interpolation,
        mapping,
        sizes: Sizes::Fourth,
        aspect_ratio,
        axes: d.attributes.integers("axes")?.cloned(),
        antialias: d.attributes.switch_or("antialias", false)?,
        exclude_outside: d.attributes.switch_or("exclude_outside", false)?,
    })
}
