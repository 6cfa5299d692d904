//! Taps of one's own as a file: a safetensors tensor `taps`, `[k, k]`, F64 or F32, and its metadata `scale`.
//!
//! Whatever is wrong with a file is found here, so that a [`Taps`] always makes an upscaler. It knows no image, and not how
//! taps are learned.

use std::collections::HashMap;
use std::path::Path;

use ndarray::Array2;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Failure, Result};
use crate::{files, tensors};

/// Most taps along an axis.
pub const MAX_KERNEL: usize = 64;
/// Most bytes of a file: the largest kernel and a generous header.
const MAX_BYTES: u64 = 1 << 20;
/// Names in the file.
const TENSOR: &str = "taps";
const SCALE: &str = "scale";

/// The taps that ship with convmat; `scripts/learn_taps.sh` makes them anew.
const COMMITTED: &[u8] = include_bytes!("taps/learned-2x.safetensors");

/// Taps of a transposed convolution with stride `scale`, the same for every channel: k × k finite numbers with k − scale even,
/// 1 ≤ scale ≤ k ≤ 64.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps {
    pub weights: Array2<f64>,
    pub scale: usize,
}

/// Whether a kernel can be centred on its stride and is within the limit, or why not.
pub fn expect_kernel(kernel: usize, scale: usize) -> std::result::Result<(), String> {
    if kernel > MAX_KERNEL {
        return Err(format!("{kernel}×{kernel} taps are more than the limit of {MAX_KERNEL}×{MAX_KERNEL}"));
    }
    if scale == 0 || kernel < scale || !(kernel - scale).is_multiple_of(2) {
        return Err(format!("{kernel}×{kernel} taps do not fit scale {scale}: k − scale must be even and at least 0"));
    }
    Ok(())
}

/// The taps that ship with convmat.
pub fn committed() -> Result<Taps> {
    parse(COMMITTED).map_err(|why| Failure::read(Path::new("the committed taps"), why))
}

/// Taps from a file.
pub fn read(path: &Path) -> Result<Taps> {
    let bytes = files::read(path, MAX_BYTES).map_err(|error| Failure::read(path, error))?;
    parse(&bytes).map_err(|why| Failure::read(path, why))
}

/// Writes taps with metadata that say where they come from, completely or not at all.
pub fn write(path: &Path, taps: &Taps, mut metadata: HashMap<String, String>, replace: bool) -> Result<()> {
    let failure = |why: &dyn std::fmt::Display| Failure::write(path, why);
    metadata.insert(SCALE.to_owned(), taps.scale.to_string());
    let data: Vec<u8> = taps.weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F64, taps.weights.shape().to_vec(), &data).map_err(|error| failure(&error))?;
    let bytes = safetensors::serialize([(TENSOR, view)], Some(metadata)).map_err(|error| failure(&error))?;
    files::write(path, &bytes, replace)
}

/// Taps from the bytes of a file.
pub fn parse(bytes: &[u8]) -> std::result::Result<Taps, String> {
    let no_file = |error| format!("it is no safetensors file: {error}");
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(no_file)?;
    let tensor = tensors::safetensor(bytes, Some(TENSOR))?;
    let kernel = match *tensor.shape() {
        [height, width] if height == width => height,
        ref shape => return Err(format!("`{TENSOR}` has shape {shape:?}, not [k, k]")),
    };
    let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get(SCALE));
    let text = text.ok_or_else(|| format!("its metadata have no `{SCALE}`"))?;
    let scale = text.parse().map_err(|_| format!("its metadata's `{SCALE}`, {text:?}, is no number of pixels"))?;
    expect_kernel(kernel, scale)?;
    if let Some((at, value)) = tensor.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(format!("tap ({}, {}) is {value}", at[0], at[1]));
    }
    let weights = tensor.into_dimensionality().map_err(|error| error.to_string())?;
    Ok(Taps { weights, scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with one tensor of zeros.
    fn file(name: &str, dtype: Dtype, shape: &[usize], scale: Option<&str>) -> Vec<u8> {
        let data = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
        let view = TensorView::new(dtype, shape.to_vec(), &data).unwrap();
        let metadata = scale.map(|scale| HashMap::from([(SCALE.to_owned(), scale.to_owned())]));
        safetensors::serialize([(name, view)], metadata).unwrap()
    }

    #[test]
    fn a_file_gives_back_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taps.safetensors");
        let weights = Array2::from_shape_fn([5, 5], |(i, j)| 1.0 / (1.0 + (i * 5 + j) as f64));
        let taps = Taps { weights, scale: 3 };
        write(&path, &taps, HashMap::from([("command".to_owned(), "by hand".to_owned())]), false).unwrap();
        assert_eq!(read(&path).unwrap(), taps);
        assert!(matches!(write(&path, &taps, HashMap::new(), false), Err(Failure::Exists(_))));
        write(&path, &taps, HashMap::new(), true).unwrap();
        assert_eq!(read(&path).unwrap(), taps);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn both_precisions_are_read() {
        for dtype in [Dtype::F32, Dtype::F64] {
            let taps = parse(&file(TENSOR, dtype, &[4, 4], Some("2"))).unwrap();
            assert_eq!(taps, Taps { weights: Array2::zeros([4, 4]), scale: 2 });
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let good = file(TENSOR, Dtype::F64, &[4, 4], Some("2"));
        let mut infinite = good.clone();
        let last = infinite.len() - 8;
        infinite[last..].copy_from_slice(&f64::NEG_INFINITY.to_le_bytes());
        let mut huge_header = good.clone();
        huge_header[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        for (bytes, complaint) in [
            (Vec::new(), "no safetensors file: header too small"),
            (b"PNG, or is it text?".to_vec(), "no safetensors file: header too large"),
            (huge_header, "no safetensors file: header too large"),
            (good[..good.len() - 1].to_vec(), "no safetensors file: incomplete metadata"),
            (file("weights", Dtype::F64, &[4, 4], Some("2")), "no tensor `taps`, but weights"),
            (file(TENSOR, Dtype::I64, &[4, 4], Some("2")), "holds I64, not F64 or F32"),
            (file(TENSOR, Dtype::F64, &[16], Some("2")), "has shape [16], not [k, k]"),
            (file(TENSOR, Dtype::F64, &[4, 6], Some("2")), "has shape [4, 6], not [k, k]"),
            (file(TENSOR, Dtype::F64, &[0, 0], Some("2")), "0×0 taps do not fit scale 2"),
            (file(TENSOR, Dtype::F64, &[5, 5], Some("2")), "5×5 taps do not fit scale 2"),
            (file(TENSOR, Dtype::F64, &[2, 2], Some("4")), "2×2 taps do not fit scale 4"),
            (file(TENSOR, Dtype::F64, &[66, 66], Some("2")), "more than the limit of 64×64"),
            (file(TENSOR, Dtype::F64, &[4, 4], None), "no `scale`"),
            (file(TENSOR, Dtype::F64, &[4, 4], Some("two")), "\"two\", is no number of pixels"),
            (file(TENSOR, Dtype::F64, &[4, 4], Some("-2")), "\"-2\", is no number of pixels"),
            (file(TENSOR, Dtype::F64, &[4, 4], Some("0")), "do not fit scale 0"),
            (file(TENSOR, Dtype::F64, &[4, 4], Some("18446744073709551615")), "do not fit scale 18446744073709551615"),
            (infinite, "tap (3, 3) is -inf"),
        ] {
            let error = parse(&bytes).expect_err(complaint);
            assert!(error.contains(complaint), "{error} lacks {complaint}");
        }
    }

    #[test]
    fn the_committed_taps_are_symmetric_and_keep_constants() {
        let Taps { weights, scale } = committed().unwrap();
        assert_eq!((weights.dim(), scale), ((12, 12), 2));
        let last = weights.nrows() - 1;
        for ((i, j), &weight) in weights.indexed_iter() {
            assert_eq!(weight, weights[[last - i, j]]);
            assert_eq!(weight, weights[[i, last - j]]);
        }
        for phase in (0..scale * scale).map(|p| [p / scale, p % scale]) {
            let picked = weights.indexed_iter().filter(|((i, j), _)| [i % scale, j % scale] == phase);
            // Nothing forces the sum to 1: this is how far learning stays from it.
            let sum: f64 = picked.map(|(_, &weight)| weight).sum();
            assert!((sum - 1.0).abs() < 2e-4, "phase {phase:?} sums to {sum}");
        }
    }
}
