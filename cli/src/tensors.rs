//! Tensors of safetensors files, F32 or F64, read as f64. It knows the format, not what a tensor means.

use ndarray::{ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensors};

/// A tensor of a safetensors file: the named one, or the only one.
pub fn safetensor(bytes: &[u8], name: Option<&str>) -> std::result::Result<ArrayD<f64>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| format!("it is no safetensors file: {error}"))?;
    let mut names = file.names();
    names.sort_unstable();
    let name = match (name, &names[..]) {
        (Some(name), _) => name,
        (None, [only]) => only,
        (None, []) => return Err("it has no tensor".to_owned()),
        (None, names) => return Err(format!("it has several tensors: name one of {}", names.join(", "))),
    };
    let tensor = file.tensor(name).map_err(|_| {
        let others = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("it has no tensor `{name}`, but {others}")
    })?;
    let values: Vec<f64> = match tensor.dtype() {
        Dtype::F64 => tensor.data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
        Dtype::F32 => tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into()).collect(),
        other => return Err(format!("`{name}` holds {other:?}, not F64 or F32")),
    };
    ArrayD::from_shape_vec(IxDyn(tensor.shape()), values).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let floats = TensorView::new(Dtype::F32, vec![2], &[0; 8]).unwrap();
        let bits = TensorView::new(Dtype::U8, vec![1], &[0]).unwrap();
        let two = safetensors::serialize([("a", floats), ("b", bits)], None).unwrap();
        assert_eq!(safetensor(&two, Some("a")).unwrap().shape(), [2]);
        for (result, complaint) in [
            (safetensor(b"text", None), "no safetensors file"),
            (safetensor(&two, None), "several tensors: name one of a, b"),
            (safetensor(&two, Some("c")), "no tensor `c`, but a, b"),
            (safetensor(&two, Some("b")), "`b` holds U8"),
        ] {
            let error = result.expect_err(complaint);
            assert!(error.contains(complaint), "{error} lacks {complaint}");
        }
    }
}
