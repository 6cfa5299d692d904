//! How tests run an operator: shapes inferred, outputs dirty.

use crate::error::Result;
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::tensor::{ElementType, Tensor};

/// The outputs of an operator, written over elements that are neither zero nor true by chance.
pub(crate) fn outputs(operator: &dyn Operator, inputs: &[Option<Tensor>], outputs: usize) -> Result<Vec<Tensor>> {
    let facts: Vec<Option<Fact>> = inputs.iter().map(|input| input.as_ref().map(Fact::from)).collect();
    let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
    let signatures = operator.infer(&facts, outputs)?;
    assert_eq!(signatures.len(), outputs, "{operator:?}");
    let made = run(operator, inputs, &signatures, Clone::clone)?;
    // The same in memory of other strides, to the last bit.
    let turned: Vec<Option<Tensor>> = inputs.iter().map(|input| input.as_ref().map(turned)).collect();
    let again = run(operator, &turned, &signatures, self::turned)?;
    assert!(made.iter().map(bits).eq(again.iter().map(bits)), "{operator:?}: {made:?} {again:?}");
    // The same in some columns of larger tensors, as parts of concatenations lie.
    for axis in 1..3 {
        let within: Vec<Option<Tensor>> = inputs.iter().map(|input| input.as_ref().map(|of| apart(of, axis))).collect();
        let again = run(operator, &within, &signatures, |tensor| apart(tensor, axis))?;
        assert!(made.iter().map(bits).eq(again.iter().map(bits)), "{operator:?}: {made:?} {again:?}");
    }
    Ok(made)
}

/// Runs an operator on outputs that are dirty and laid out by a function.
fn run(
    operator: &dyn Operator,
    inputs: &[Option<Tensor>],
    signatures: &[Signature],
    laid_out: impl Fn(&Tensor) -> Tensor,
) -> Result<Vec<Tensor>> {
    let dirty = |signature: &Signature| {
        laid_out(&match signature.element {
            ElementType::Float => ndarray::ArrayD::from_elem(&signature.shape[..], f32::NAN).into(),
            ElementType::Integer => ndarray::ArrayD::from_elem(&signature.shape[..], i64::MIN + 7).into(),
            ElementType::Bool => ndarray::ArrayD::from_elem(&signature.shape[..], true).into(),
        })
    };
    let mut made: Vec<Tensor> = signatures.iter().map(dirty).collect();
    let views: Vec<_> = inputs.iter().map(|input| input.as_ref().map(Tensor::view)).collect();
    let mut to: Vec<_> = made.iter_mut().map(Tensor::view_mut).collect();
    operator.run(&views, &mut to, &mut Scratch::default())?;
    drop(to);
    Ok(made)
}

/// The same tensor with the first axis innermost.
fn turned(tensor: &Tensor) -> Tensor {
    fn array<T: Clone>(array: &ndarray::ArcArray<T, ndarray::IxDyn>) -> ndarray::ArcArray<T, ndarray::IxDyn> {
        array.t().as_standard_layout().into_owned().reversed_axes().into_shared()
    }
    match tensor {
        Tensor::Float(of) => Tensor::Float(array(of)),
        Tensor::Integer(of) => Tensor::Integer(array(of)),
        Tensor::Bool(of) => Tensor::Bool(array(of)),
    }
}

/// The same tensor as part of another one that is longer along an axis, if there are as many axes.
fn apart(tensor: &Tensor, axis: usize) -> Tensor {
    fn array<T: Copy>(of: &ndarray::ArcArray<T, ndarray::IxDyn>, axis: usize) -> ndarray::ArcArray<T, ndarray::IxDyn> {
        let mut shape = of.raw_dim();
        let (true, Some(&any)) = (axis < of.ndim(), of.first()) else { return of.clone() };
        shape[axis] += 1;
        let mut larger = ndarray::ArcArray::from_elem(shape, any);
        larger.slice_axis_inplace(ndarray::Axis(axis), (1..).into());
        larger.assign(of);
        larger
    }
    match tensor {
        Tensor::Float(of) => Tensor::Float(array(of, axis)),
        Tensor::Integer(of) => Tensor::Integer(array(of, axis)),
        Tensor::Bool(of) => Tensor::Bool(array(of, axis)),
    }
}

/// The bits of all elements, in order.
fn bits(tensor: &Tensor) -> Vec<u64> {
    match tensor {
        Tensor::Float(array) => array.iter().map(|x| x.to_bits().into()).collect(),
        Tensor::Integer(array) => array.iter().map(|x| x.cast_unsigned()).collect(),
        Tensor::Bool(array) => array.iter().map(|&x| x.into()).collect(),
    }
}

/// The only output of an operator whose inputs are all there.
pub(crate) fn output(operator: &dyn Operator, inputs: impl IntoIterator<Item = Tensor>) -> Result<Tensor> {
    let inputs: Vec<Option<Tensor>> = inputs.into_iter().map(Some).collect();
    Ok(outputs(operator, &inputs, 1)?.swap_remove(0))
}

/// Numbers between −1 and 1 that look random and are the same in every run (Steele, Lea and Flood's SplitMix64).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// A number between −1 and 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// A tensor of such numbers.
    pub(crate) fn floats(&mut self, shape: &[usize]) -> Tensor {
        ndarray::ArrayD::from_shape_simple_fn(shape, || self.float()).into()
    }

    /// A tensor of whole numbers from −`n` to `n`.
    pub(crate) fn integers(&mut self, shape: &[usize], n: usize) -> Tensor {
        ndarray::ArrayD::from_shape_simple_fn(shape, || self.below(2 * n + 1) as i64 - n as i64).into()
    }
}

/// A tensor of floats.
pub(crate) fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    ndarray::ArrayD::from_shape_vec(shape, values.to_vec()).expect("as many values as the shape has elements").into()
}

/// A tensor of whole numbers.
pub(crate) fn integers(shape: &[usize], values: &[i64]) -> Tensor {
    ndarray::ArrayD::from_shape_vec(shape, values.to_vec()).expect("as many values as the shape has elements").into()
}

/// A tensor of truth values.
pub(crate) fn bools(shape: &[usize], values: &[bool]) -> Tensor {
    ndarray::ArrayD::from_shape_vec(shape, values.to_vec()).expect("as many values as the shape has elements").into()
}

/// The operator of a node with these attributes and one output.
pub(crate) fn made(
    name: &str,
    opset: i64,
    attributes: &[(&str, crate::attributes::Attribute)],
) -> Result<std::sync::Arc<dyn Operator>> {
    let mut all = crate::attributes::Attributes::default();
    attributes.iter().for_each(|(name, value)| all.insert(*name, value.clone()));
    let description = super::Description { name, attributes: &all, opset, outputs: 1 };
    Ok(super::make(&description)?.expect("a family that knows the operator"))
}

/// An array of [`Noise`].
pub(crate) fn noise(shape: &[usize], seed: u64) -> ndarray::ArrayD<f32> {
    let mut noise = Noise(seed);
    ndarray::ArrayD::from_shape_simple_fn(shape, || noise.float())
}

/// Asserts that values are those of an evaluation in f64, up to a relative error.
pub(crate) fn assert_close(values: &Tensor, expected: &ndarray::ArrayD<f64>, tolerance: f64) {
    let Tensor::Float(values) = values else { panic!("{:?}", values.element()) };
    assert_eq!(values.shape(), expected.shape());
    for ((at, &value), &expected) in values.indexed_iter().zip(expected) {
        let error = (f64::from(value) - expected).abs();
        assert!(error <= tolerance * expected.abs().max(1.0), "{value} in place of {expected} at {at:?}");
    }
}
