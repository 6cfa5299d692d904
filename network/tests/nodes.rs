//! ONNX's own tests of operators (`nodes.safetensors`, made by `scripts/node_tests.py`): models of a node or a few, their inputs and
//! outputs. Each is read, inferred and run, node after node.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use convmat_network::ndarray::{ArrayD, IxDyn};
use convmat_network::{Error, Fact, Graph, Limits, PlanOptions, Scratch, Signature, Tensor, ValueId};
use safetensors::{Dtype, SafeTensors};

/// What became of a case.
#[derive(Debug)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// A case that ends before its outputs are compared.
enum End {
    /// Something that is not supported, and said to be so.
    Unsupported(String),
    Wrong(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Unsupported(nodes) => Self::Unsupported(
                nodes.first().map_or_else(String::new, |node| format!("{}: {}", node.operator, node.why)),
            ),
            Error::UnsupportedPart { why, .. } => Self::Unsupported(why),
            error => Self::Wrong(error),
        }
    }
}

/// How far numbers may be off: relative, and absolute.
type Tolerance = (f64, f64);

#[test]
fn every_case() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nodes.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut by_operator: BTreeMap<String, Vec<(&str, Outcome)>> = BTreeMap::new();
    for name in file.names() {
        let Some(case) = name.strip_suffix("/model") else { continue };
        let model = file.tensor(name).unwrap().data();
        by_operator.entry(operators(model)).or_default().push((case, outcome(&file, case, model)));
    }
    let mut failures = Vec::new();
    let mut total = [0; 3];
    for (operator, cases) in &by_operator {
        let mut counts = [0; 3];
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for (case, outcome) in cases {
            match outcome {
                Outcome::Passed => counts[0] += 1,
                Outcome::Failed(why) => {
                    counts[1] += 1;
                    failures.push(format!("{case}: {why}"));
                }
                Outcome::Skipped(why) => {
                    counts[2] += 1;
                    *reasons.entry(why).or_default() += 1;
                }
            }
        }
        let [passed, failed, skipped] = counts;
        println!("{operator}: {passed} passed, {failed} failed, {skipped} skipped");
        reasons.iter().for_each(|(why, count)| println!("    {count} skipped: {why}"));
        total.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
    }
    println!("all: {} passed, {} failed, {} skipped", total[0], total[1], total[2]);
    assert_eq!(total.iter().sum::<usize>(), file.names().iter().filter(|name| name.ends_with("/model")).count());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    let mut skipped = by_operator.values().flatten().filter_map(|(case, outcome)| match outcome {
        Outcome::Skipped(why) => Some((case, why)),
        _ => None,
    });
    assert!(skipped.all(|(_, why)| !why.contains("no operator of this name")), "operators are missing");
}

/// A plan gives what the operators give one by one, wherever shapes do not depend on values of inputs.
#[test]
fn plans_of_every_case() {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nodes.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut planned_cases = 0;
    for case in file.names().into_iter().filter_map(|name| name.strip_suffix("/model")) {
        let model = file.tensor(&format!("{case}/model")).unwrap().data();
        let inputs: Vec<Tensor> = tensors(&file, case, "input").into_iter().map(|(tensor, _)| tensor).collect();
        let Ok(expected) = run(model, inputs.clone()) else { continue };
        let outputs = match planned(model, &inputs) {
            Ok(outputs) => outputs,
            Err(error) => {
                let error = error.to_string();
                // Of what these cases feed in, files of networks have constants.
                assert!(error.contains("not known") || error.contains("training"), "{case}: {error}");
                continue;
            }
        };
        planned_cases += 1;
        assert_eq!(outputs.len(), expected.len(), "{case}");
        for (is, should) in outputs.iter().zip(&expected) {
            assert_eq!(difference(is, should, (1e-5, 1e-6)), None, "{case}");
        }
    }
    println!("{planned_cases} cases planned");
    assert!(planned_cases > 600, "{planned_cases}");
}

/// The outputs of a plan.
fn planned(model: &[u8], inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    let limits = Limits::default().memory(1 << 28).operations(10_000_000);
    let graph = Graph::from_onnx(model, &limits)?;
    let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape().to_vec()).collect();
    let plan = graph.plan(&shapes, &PlanOptions::new().limits(limits))?;
    plan.run(&inputs.iter().map(Tensor::view).collect::<Vec<_>>())
}

/// Whatever stands in a file, what comes of it is outputs or an error: of reading, of shapes, or of a run.
#[test]
fn no_change_of_a_model_makes_it_panic() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nodes.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    let mut chance = 21u64;
    // A fixed sequence of numbers (splitmix64).
    let mut below = |n: usize| {
        chance = chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (chance ^ chance >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) as usize % n
    };
    let (mut panics, mut ran) = (Vec::new(), 0);
    for case in names.iter().filter_map(|name| name.strip_suffix("/model")) {
        let model = file.tensor(&format!("{case}/model")).unwrap().data();
        for _ in 0..20 {
            let mut changed = model.to_vec();
            for _ in 0..=below(3) {
                let at = below(changed.len());
                changed[at] = match below(4) {
                    0 => below(256) as u8,
                    1 => changed[at] ^ 1 << below(8),
                    2 => changed[at].wrapping_add(1),
                    _ => changed[at].wrapping_sub(1),
                };
            }
            let inputs: Vec<Tensor> = tensors(&file, case, "input").into_iter().map(|(tensor, _)| tensor).collect();
            let both = || planned(&changed, &inputs).is_ok() | run(&changed, inputs.clone()).is_ok();
            match catch_unwind(AssertUnwindSafe(both)) {
                Ok(is_right) => ran += usize::from(is_right),
                Err(_) => panics.push(format!("{case}, changed: {changed:?}")),
            }
        }
    }
    println!("{ran} changed models ran");
    assert!(panics.is_empty(), "{} panics:\n{}", panics.len(), panics.join("\n"));
}

/// The operators of a model, by its messages.
fn operators(model: &[u8]) -> String {
    let graph = rten_onnx::onnx::ModelProto::parse_buf(model).unwrap().graph.unwrap();
    let mut names: Vec<String> = graph.node.into_iter().filter_map(|node| node.op_type).collect();
    // Constants are where others take their inputs from.
    if names.iter().any(|name| name != "Constant") {
        names.retain(|name| name != "Constant");
    }
    names.dedup();
    names.join("+")
}

/// The inputs or the outputs of a case.
fn tensors(file: &SafeTensors, case: &str, what: &str) -> Vec<(Tensor, Tolerance)> {
    let tensors = (0..).map_while(|number| file.tensor(&format!("{case}/{what}_{number}")).ok());
    tensors.map(|view| (tensor(view.dtype(), view.shape(), view.data()), tolerance(view.dtype()))).collect()
}

fn outcome(file: &SafeTensors, case: &str, model: &[u8]) -> Outcome {
    let inputs = tensors(file, case, "input").into_iter().map(|(tensor, _)| tensor).collect();
    let expected = tensors(file, case, "output");
    let outputs = match catch_unwind(AssertUnwindSafe(|| run(model, inputs))) {
        Ok(Ok(outputs)) => outputs,
        Ok(Err(End::Unsupported(why))) => return Outcome::Skipped(why),
        Ok(Err(End::Wrong(error))) => return Outcome::Failed(error.to_string()),
        Err(_) => return Outcome::Failed("panicked".into()),
    };
    if outputs.len() != expected.len() {
        return Outcome::Failed(format!("{} outputs, not {}", outputs.len(), expected.len()));
    }
    let differences = outputs.iter().zip(&expected).enumerate();
    let differences = differences.filter_map(|(number, (is, (should, tolerance)))| {
        difference(is, should, *tolerance).map(|why| format!("output {number}: {why}"))
    });
    match differences.reduce(|all, one| format!("{all}; {one}")) {
        None => Outcome::Passed,
        Some(why) => Outcome::Failed(why),
    }
}

/// The outputs of a model, node after node, every shape as it was inferred.
fn run(model: &[u8], inputs: Vec<Tensor>) -> Result<Vec<Tensor>, End> {
    let graph = Graph::from_onnx(model, &Limits::default())?;
    let wrong = |why: String| End::Wrong(Error::Graph(why));
    if graph.inputs().len() != inputs.len() {
        return Err(wrong(format!("{} inputs, not {}", graph.inputs().len(), inputs.len())));
    }
    let mut values: HashMap<ValueId, Tensor> = HashMap::new();
    for (input, tensor) in graph.inputs().iter().zip(inputs) {
        if input.element != tensor.element() {
            return Err(wrong(format!("input {} is of type {}", input.name, input.element)));
        }
        values.insert(input.value, tensor);
    }
    let mut scratch = Scratch::default();
    for node in graph.nodes() {
        let tensors: Vec<Option<Tensor>> = node
            .inputs
            .iter()
            .map(|value| value.map(|value| graph.constant(value).unwrap_or_else(|| &values[&value]).clone()))
            .collect();
        let facts: Vec<Option<Fact>> = tensors.iter().map(|tensor| tensor.as_ref().map(Fact::from)).collect();
        let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
        let at = |error: Error| error.at(&node.name, node.operator.name());
        let signatures = node.operator.infer(&facts, node.outputs.len()).map_err(at)?;
        if signatures.len() != node.outputs.len() {
            return Err(wrong(format!("{} outputs were inferred, not {}", signatures.len(), node.outputs.len())));
        }
        // What a plan would refuse before it asked for memory.
        let elements = |signature: &Signature| signature.shape.iter().fold(1u128, |n, &m| n.saturating_mul(m as u128));
        let size = signatures.iter().map(elements).fold(node.operator.operations(&facts, &signatures), u128::max);
        if size > 10_000_000 {
            return Err(End::Unsupported(format!("{size} elements or operations")));
        }
        let zeros = |signature: &Signature| Tensor::zeros(signature.element, &signature.shape);
        let mut made: Vec<Tensor> = signatures.iter().map(zeros).collect();
        let views: Vec<_> = tensors.iter().map(|tensor| tensor.as_ref().map(Tensor::view)).collect();
        let mut to: Vec<_> = made.iter_mut().map(Tensor::view_mut).collect();
        node.operator.run(&views, &mut to, &mut scratch).map_err(at)?;
        drop(to);
        if let Some(value) =
            node.operator.value(&facts).filter(|value| difference(&made[0], value, (0.0, 0.0)).is_some())
        {
            return Err(wrong(format!("it says that it is {value:?} and computes {:?}", made[0])));
        }
        values.extend(node.outputs.iter().copied().zip(made));
    }
    let output = |(_, value): &(String, ValueId)| graph.constant(*value).unwrap_or_else(|| &values[value]).clone();
    Ok(graph.outputs().iter().map(output).collect())
}

/// How two tensors differ, if they do.
fn difference(is: &Tensor, should: &Tensor, (relative, absolute): Tolerance) -> Option<String> {
    if (is.element(), is.shape()) != (should.element(), should.shape()) {
        let named = |tensor: &Tensor| format!("{} {:?}", tensor.element(), tensor.shape());
        return Some(format!("{}, not {}", named(is), named(should)));
    }
    let (Tensor::Float(is), Tensor::Float(should)) = (is, should) else {
        return (is != should).then(|| format!("{is:?}, not {should:?}"));
    };
    let near = |is: f32, should: f32| {
        let (is, should) = (f64::from(is), f64::from(should));
        is == should || is.is_nan() && should.is_nan() || (is - should).abs() <= absolute + relative * should.abs()
    };
    let mut differing = is.iter().zip(should).filter(|(is, should)| !near(**is, **should));
    let (first_is, first_should) = differing.next()?;
    Some(format!("{} of {} elements, as {first_is}, not {first_should}", 1 + differing.count(), is.len()))
}

/// Numbers of fewer bits were rounded before and after: by a unit of their last place or two.
const fn tolerance(dtype: Dtype) -> Tolerance {
    match dtype {
        Dtype::F16 => (2e-3, 1e-3),
        Dtype::BF16 => (1.6e-2, 1e-2),
        _ => (1e-3, 1e-5),
    }
}

/// Elements of any type as those of this crate.
fn tensor(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Tensor {
    /// Every group of bytes as an element.
    macro_rules! each {
        ($type:ty, $element:expr) => {{
            let (groups, rest) = bytes.as_chunks::<{ size_of::<$type>() }>();
            assert!(rest.is_empty());
            let elements = groups.iter().map(|group| $element(<$type>::from_le_bytes(*group))).collect();
            ArrayD::from_shape_vec(IxDyn(shape), elements).unwrap().into()
        }};
    }
    match dtype {
        Dtype::BOOL => each!(u8, |byte| byte == 1),
        Dtype::U8 => each!(u8, i64::from),
        Dtype::I8 => each!(i8, i64::from),
        Dtype::U16 => each!(u16, i64::from),
        Dtype::I16 => each!(i16, i64::from),
        Dtype::U32 => each!(u32, i64::from),
        Dtype::I32 => each!(i32, i64::from),
        Dtype::U64 => each!(u64, |number| i64::try_from(number).unwrap()),
        Dtype::I64 => each!(i64, i64::from),
        Dtype::F16 => each!(u16, half),
        Dtype::BF16 => each!(u16, |bits| f32::from_bits(u32::from(bits) << 16)),
        Dtype::F32 => each!(f32, f32::from),
        Dtype::F64 => each!(f64, |number| number as f32),
        other => panic!("{other:?}"),
    }
}

/// A number of 16 bits, from its definition: sign, 5 bits of exponent, 10 of fraction.
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff) / 1024.0);
    match (exponent, fraction) {
        (0, fraction) => sign * fraction * 2f32.powi(-14),
        (31, 0.0) => sign * f32::INFINITY,
        (31, _) => f32::NAN,
        (exponent, fraction) => sign * (1.0 + fraction) * 2f32.powi(exponent - 15),
    }
}
