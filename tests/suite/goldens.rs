//! Goldens of our own making: `goldens.json` and `resize.json` in `tests/goldens`, made by `make.py` with torch 2.15.0.
//!
//! They tie the layers, their gradients, im2col, col2im, the upscaler and resizing to PyTorch without needing anything
//! outside of the repository. Every case runs in f64 and f32, and every operator in every formulation. Tolerances are
//! `max|got − want| / max(1, max|want|)`: 1e-10 in f64 (1e-12 for interpolation, whose sums are short) and 1e-5 in f32.

use convmat::layer::taps::{Interpolation, PYTORCH_BICUBIC};
use convmat::matrix::{col2im, im2col};
use convmat::{
    Coordinates, Direction, Formulation, FormulationOptions, Forward, Layer, LinearOperator, Options, PadMode, Padding,
    Precision, Resize, ResizeOptions, ResizeTo, Scalar, TensorDim, Transposed, Upscaler, WeightDim, csr_of,
};
use ndarray::{Array, Array1, Array5, ArrayD, Dimension, Ix2, Ix3, Ix4, Ix5, IxDyn};
use serde_json::Value;

/// A case and what to say of it when it fails.
struct Golden<'a> {
    name: &'a str,
    case: &'a Value,
}

impl Golden<'_> {
    fn op(&self) -> &str {
        self.case["op"].as_str().unwrap()
    }

    fn nd(&self) -> u64 {
        self.case["nd"].as_u64().unwrap()
    }

    fn axes<const N: usize>(&self, name: &str) -> [usize; N] {
        sizes(&self.case[name]).try_into().unwrap_or_else(|list| panic!("{}: {name} {list:?}", self.name))
    }

    fn has(&self, name: &str) -> bool {
        self.case["tensors"].get(name).is_some()
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        sizes(&self.case["tensors"][name]["shape"])
    }

    fn values(&self, name: &str) -> Vec<f64> {
        let list = self.case["tensors"][name]["data"].as_array();
        list.unwrap_or_else(|| panic!("{}: no {name}", self.name)).iter().map(|v| v.as_f64().unwrap()).collect()
    }

    fn tensor<T: Scalar, D: Dimension>(&self, name: &str) -> Array<T, D> {
        let values = self.values(name).into_iter().map(T::from_f64).collect();
        ArrayD::from_shape_vec(IxDyn(&self.shape(name)), values).unwrap().into_dimensionality().unwrap()
    }

    /// PyTorch's options, without `output_size`.
    fn options<const N: usize>(&self) -> Options<N> {
        let options = Options::new().stride(self.axes("stride")).dilation(self.axes("dilation"));
        match self.case["padding"].as_str() {
            Some("same") => options.padding(Padding::Same),
            Some(other) => panic!("{}: padding {other}", self.name),
            None => options.padding(self.axes("padding")),
        }
    }

    /// The values of `got`, in order, against a stored tensor. `double` is the tolerance in f64.
    fn close<T: Scalar, D: Dimension>(&self, what: &str, got: &Array<T, D>, name: &str, double: f64) {
        let (want, precision) = (self.values(name), T::PRECISION);
        assert_eq!(got.len(), want.len(), "{}: {what}", self.name);
        let tolerance = if precision == Precision::Double { double } else { 1e-5 };
        let largest = want.iter().fold(1.0f64, |max, value| max.max(value.abs()));
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let deviation = (got.to_f64() - want).abs() / largest;
            let name = self.name;
            assert!(deviation <= tolerance, "{name}: {what}[{i}] is {got}, expected {want} ({precision:?})");
        }
    }
}

fn sizes(list: &Value) -> Vec<usize> {
    list.as_array().unwrap().iter().map(|value| value.as_u64().unwrap() as usize).collect()
}

/// Calls `check` for the cases for which `wanted` holds, and finds out that there are `count`.
fn for_each(wanted: impl Fn(&Golden) -> bool, count: usize, check: impl Fn(&Golden)) {
    let files = [include_str!("../goldens/goldens.json"), include_str!("../goldens/resize.json")];
    let files = files.map(|file| serde_json::from_str::<Value>(file).unwrap());
    let cases = files.iter().flat_map(|file| file["cases"].as_array().unwrap());
    let cases = cases.map(|case| Golden { name: case["name"].as_str().unwrap(), case });
    assert_eq!(cases.filter(|golden| wanted(golden)).map(|golden| check(&golden)).count(), count);
}

fn formulations() -> impl Iterator<Item = Formulation> {
    [Formulation::Auto].into_iter().chain(Formulation::ALL.iter().copied())
}

/// A layer in one direction and precision: forward, backward, and its operator in every formulation.
fn layer<D: Direction, T: Scalar, const N: usize, I: TensorDim<N>, W: WeightDim<N>>(golden: &Golden) {
    let weights: Array<T, W> = golden.tensor("weight");
    let bias: Option<Array1<T>> = golden.has("bias").then(|| golden.tensor("bias"));
    let (x, grad): (Array<T, I>, Array<T, I>) = (golden.tensor("input"), golden.tensor("grad_output"));
    let options = golden.options::<N>().groups(golden.case["groups"].as_u64().unwrap() as usize);
    let options = options.output_padding(golden.axes("output_padding"));
    let mode: PadMode = golden.case["padding_mode"].as_str().unwrap().parse().unwrap();
    let mut layer = Layer::<D, T, N>::new(weights, bias, options).unwrap().padding_mode(mode).unwrap();
    let output = match &golden.case["output_size"] {
        Value::Null => layer.forward(&x).unwrap(),
        size => {
            let size: [usize; N] = sizes(size).try_into().unwrap();
            let output = layer.forward_to(&x, size).unwrap();
            // From here on as an option of the layer, which must be the same.
            let options = options.output_size(size);
            layer = Layer::from_shared(layer.weights5().clone(), layer.bias().cloned(), options).unwrap();
            assert_eq!(layer.forward(&x).unwrap(), output, "{}", golden.name);
            output
        }
    };
    assert_eq!(output.shape(), golden.shape("output"), "{}", golden.name);
    golden.close("output", &output, "output", 1e-10);
    let gradients = layer.backward(&x, &grad).unwrap();
    assert_eq!(gradients.input.shape(), x.shape(), "{}", golden.name);
    golden.close("grad_input", &gradients.input, "grad_input", 1e-10);
    golden.close("grad_weight", &gradients.weights, "grad_weight", 1e-10);
    assert_eq!(gradients.bias.is_some(), golden.has("grad_bias"), "{}", golden.name);
    if let Some(bias) = gradients.bias {
        golden.close("grad_bias", &bias, "grad_bias", 1e-10);
    }

    let size = std::array::from_fn(|i| x.shape()[x.ndim() - N + i]);
    let unbiased = layer.clone().without_bias();
    let biased = |mut y: Array5<T>| {
        if let Some(bias) = layer.bias() {
            y.axis_iter_mut(ndarray::Axis(1)).zip(bias).for_each(|(mut plane, &b)| plane += b);
        }
        y
    };
    for formulation in formulations() {
        let operator = unbiased.operator_with(size, formulation, &FormulationOptions::default()).unwrap();
        let what = formulation.name();
        golden.close(what, &biased(operator.apply(I::to5(x.view())).unwrap()), "output", 1e-10);
        golden.close(what, &operator.apply_adjoint(I::to5(grad.view())).unwrap(), "grad_input", 1e-10);
    }
}

/// A layer of either rank of input.
fn ranks<D: Direction, const N: usize, B: TensorDim<N>, U: TensorDim<N>, W: WeightDim<N>>(golden: &Golden) {
    if golden.shape("input").len() == N + 2 {
        layer::<D, f64, N, B, W>(golden);
        layer::<D, f32, N, B, W>(golden);
    } else {
        layer::<D, f64, N, U, W>(golden);
        layer::<D, f32, N, U, W>(golden);
    }
}

fn layers<D: Direction>(golden: &Golden) {
    match golden.nd() {
        1 => ranks::<D, 1, Ix3, Ix2, Ix3>(golden),
        2 => ranks::<D, 2, Ix4, Ix3, Ix4>(golden),
        3 => ranks::<D, 3, Ix5, Ix4, Ix5>(golden),
        nd => panic!("{nd} axes"),
    }
}

#[test]
fn convolutions() {
    for_each(|golden| golden.op() == "conv", 16, layers::<Forward>);
}

#[test]
fn transposed_convolutions() {
    for_each(|golden| golden.op() == "conv_transpose", 13, layers::<Transposed>);
}

/// im2col and col2im are each other's gradient.
fn columns<T: Scalar, I: TensorDim<2>>(golden: &Golden) {
    let (kernel, size, options) = (golden.axes("kernel"), golden.axes("size"), golden.options::<2>());
    let (image, columns) = if golden.op() == "unfold" {
        (["input", "grad_input"], ["output", "grad_output"])
    } else {
        (["grad_output", "output"], ["grad_input", "input"])
    };
    let x: Array<T, I> = golden.tensor(image[0]);
    let unfolded = im2col(&x, kernel, &options).unwrap();
    assert_eq!(unfolded.shape(), golden.shape(columns[0]), "{}", golden.name);
    golden.close("im2col", &unfolded, columns[0], 0.0);
    let y: Array<T, I::Columns> = golden.tensor(columns[1]);
    let folded = col2im(&y, size, kernel, &options).unwrap();
    assert_eq!(folded.shape(), golden.shape(image[1]), "{}", golden.name);
    golden.close("col2im", &folded, image[1], 1e-10);
}

#[test]
fn unfold_and_fold() {
    let wanted = |golden: &Golden| matches!(golden.op(), "unfold" | "fold");
    for_each(wanted, 4, |golden| {
        let image = if golden.op() == "unfold" { "input" } else { "output" };
        if golden.shape(image).len() == 4 {
            columns::<f64, Ix4>(golden);
            columns::<f32, Ix4>(golden);
        } else {
            columns::<f64, Ix3>(golden);
            columns::<f32, Ix3>(golden);
        }
    });
}

/// The upscaler is PyTorch's interpolation everywhere, borders included, and so is its gradient.
fn upscaler<T: Scalar, const N: usize, I: TensorDim<N>>(golden: &Golden) {
    let (x, grad): (Array<T, I>, Array<T, I>) = (golden.tensor("input"), golden.tensor("grad_output"));
    let kind = match golden.case["mode"].as_str().unwrap() {
        "nearest" => Interpolation::Nearest,
        "linear" | "bilinear" | "trilinear" => Interpolation::Linear,
        "bicubic" => Interpolation::Cubic { a: PYTORCH_BICUBIC },
        other => panic!("{}: mode {other}", golden.name),
    };
    let size: [usize; N] = std::array::from_fn(|i| x.shape()[2 + i]);
    let (channels, scale) = (x.shape()[1], golden.axes("scale"));
    for formulation in formulations() {
        let options = FormulationOptions::default();
        let up = Upscaler::<T, N>::with_formulation(channels, size, scale, kind, formulation, &options).unwrap();
        let output = up.apply(&x).unwrap();
        assert_eq!(output.shape(), golden.shape("output"), "{}", golden.name);
        golden.close(formulation.name(), &output, "output", 1e-12);
        let input = up.apply_adjoint(&grad).unwrap();
        golden.close(formulation.name(), &input, "grad_input", 1e-12);
    }
}

#[test]
fn interpolation() {
    for_each(
        |golden| golden.op() == "interpolate",
        11,
        |golden| match golden.nd() {
            1 => {
                upscaler::<f64, 1, Ix3>(golden);
                upscaler::<f32, 1, Ix3>(golden);
            }
            2 => {
                upscaler::<f64, 2, Ix4>(golden);
                upscaler::<f32, 2, Ix4>(golden);
            }
            nd => {
                assert_eq!(nd, 3);
                upscaler::<f64, 3, Ix5>(golden);
                upscaler::<f32, 3, Ix5>(golden);
            }
        },
    );
}

/// Resizing is PyTorch's, forward and backward, by itself and by its matrix.
fn resize<T: Scalar, const N: usize, I: TensorDim<N>>(golden: &Golden) {
    let (x, grad): (Array<T, I>, Array<T, I>) = (golden.tensor("input"), golden.tensor("grad_output"));
    let flag = |name: &str| golden.case[name].as_bool().unwrap();
    let options = match (golden.case["mode"].as_str().unwrap(), flag("antialias")) {
        ("nearest", false) => ResizeOptions::nearest(),
        ("nearest-exact", false) => ResizeOptions::nearest_exact(),
        ("linear" | "bilinear" | "trilinear", false) => ResizeOptions::linear(),
        ("bilinear", true) => ResizeOptions::antialiased_linear(),
        ("bicubic", false) => ResizeOptions::cubic(),
        ("bicubic", true) => ResizeOptions::antialiased_cubic(),
        other => panic!("{}: mode {other:?}", golden.name),
    };
    let options = if flag("aligned") { options.coordinates(Coordinates::AlignCorners) } else { options };
    let to = match golden.case["scale"].as_array() {
        None => ResizeTo::Size(golden.axes("size")),
        Some(scale) => ResizeTo::Scale(std::array::from_fn(|i| scale[i].as_f64().unwrap())),
    };
    let size: [usize; N] = std::array::from_fn(|i| x.shape()[2 + i]);
    let resize = Resize::new(x.shape()[1], size, to, options).unwrap();
    let output = I::from5(resize.apply(I::to5(x.view())).unwrap());
    assert_eq!(output.shape(), golden.shape("output"), "{}", golden.name);
    golden.close("output", &output, "output", 1e-12);
    let input = resize.apply_adjoint(I::to5(grad.view())).unwrap();
    golden.close("gradient", &input, "grad_input", 1e-12);
    let matrix = csr_of::<T, _>(&resize, 1 << 20).unwrap();
    let rows = |sample: ndarray::ArrayView4<T>| {
        let sample: Vec<T> = sample.iter().copied().collect();
        matrix.outer_iterator().map(|row| row.iter().map(|(i, &weight)| weight * sample[i]).sum()).collect::<Vec<T>>()
    };
    let product: Array1<T> = I::to5(x.view()).outer_iter().flat_map(rows).collect();
    golden.close("matrix", &product, "output", 1e-12);
}

#[test]
fn resizing() {
    for_each(
        |golden| golden.op() == "resize",
        43,
        |golden| match golden.nd() {
            1 => {
                resize::<f64, 1, Ix3>(golden);
                resize::<f32, 1, Ix3>(golden);
            }
            2 => {
                resize::<f64, 2, Ix4>(golden);
                resize::<f32, 2, Ix4>(golden);
            }
            nd => {
                assert_eq!(nd, 3);
                resize::<f64, 3, Ix5>(golden);
                resize::<f32, 3, Ix5>(golden);
            }
        },
    );
}
