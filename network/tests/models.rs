//! Whole networks from `../shared/models`, against what other engines computed. Where the files are missing, the tests say so.

use std::path::{Path, PathBuf};

use convmat_network::{Graph, Limits, Memory, PlanOptions, Result, StateDict, Tensor};
use safetensors::Dtype;
use safetensors::tensor::TensorView as Bytes;

#[path = "../examples/dcgan.rs"]
#[expect(dead_code, reason = "the generator alone is tested")]
mod dcgan;

/// A file of the folder, if it is there.
fn model(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/models").join(name);
    let is_there = path.exists();
    if !is_there {
        eprintln!("SKIPPED: {} is not here", path.display());
    }
    is_there.then_some(path)
}

/// The largest difference over the largest reference value.
fn error(values: &Tensor, reference: &Tensor) -> f32 {
    assert_eq!(values.shape(), reference.shape());
    let (values, reference) = (values.to_floats().unwrap(), reference.to_floats().unwrap());
    let largest = reference.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    values.iter().zip(&reference).fold(0.0f32, |error, (a, b)| error.max((a - b).abs())) / largest
}

#[test]
fn networks_give_what_other_engines_give() -> Result<()> {
    for name in ["dcgan-faces", "unet-random", "hifigan-random", "ch_PP-OCRv4_det_infer"] {
        let (Some(file), Some(data)) = (model(&format!("{name}.onnx")), model(&format!("{name}.safetensors"))) else {
            continue;
        };
        let graph = Graph::from_onnx_file(file, &Limits::default())?;
        let state = StateDict::from_file(data, &Limits::default())?;
        let (x, y) = (state.get("input")?, state.get("output")?);
        for fuse in [true, false] {
            let plan = graph.plan(&[x.shape().to_vec()], &PlanOptions::new().fuse(fuse))?;
            let values = plan.run(&[x.view()])?.swap_remove(0);
            assert!(error(&values, y) <= 1e-4, "{name}: {}", error(&values, y));
            let mut again = Tensor::zeros(y.element(), y.shape());
            plan.run_into(&[x.view()], &mut [again.view_mut()], &mut Memory::new())?;
            assert_eq!(again, values, "{name}");
        }
    }
    Ok(())
}

#[test]
fn a_generator_built_in_rust_is_the_one_of_the_file() -> Result<()> {
    let (Some(file), Some(data)) = (model("dcgan-faces.onnx"), model("dcgan-faces.safetensors")) else { return Ok(()) };
    let constants = Graph::from_onnx_file(file, &Limits::default())?;
    let bytes = |tensor: &Tensor| tensor.to_floats().unwrap().iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let parameters: Vec<(String, Vec<usize>, Vec<u8>)> = constants
        .constants()
        .map(|(name, tensor)| (name.to_string(), tensor.shape().to_vec(), bytes(tensor)))
        .collect();
    let views =
        parameters.iter().map(|(name, shape, bytes)| (name, Bytes::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dcgan.safetensors");
    safetensors::serialize_to_file(views, None, &path).unwrap();

    let graph = dcgan::generator(&StateDict::from_file(&path, &Limits::default())?)?;
    let state = StateDict::from_file(data, &Limits::default())?;
    let (x, y) = (state.get("input")?, state.get("output")?);
    let plan = graph.plan(&[x.shape().to_vec()], &PlanOptions::new())?;
    let values = plan.run(&[x.view()])?.swap_remove(0);
    assert!(error(&values, y) <= 1e-5, "{}", error(&values, y));
    assert_eq!(plan.steps().count(), 5, "every layer takes over what follows it");
    Ok(())
}
