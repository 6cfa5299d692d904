use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array4, ArrayD, IxDyn};

use super::*;
use crate::graph::{Dimension, GraphBuilder};
use crate::operators::convolution::Convolution;
use crate::operators::shape::{Constant, ConstantOfShape, Reshape, Shape};
use crate::operators::softmax::{Rule, Softmax};
use crate::plan::PlanOptions;
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// Adds 1 to whole numbers, says that this takes long, and counts how often it is done.
#[derive(Clone, Debug)]
struct Costly {
    operations: u128,
    runs: Arc<AtomicUsize>,
}

impl Costly {
    fn new(operations: u128) -> Self {
        Self { operations, runs: Arc::default() }
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }
}

impl Operator for Costly {
    fn name(&self) -> &'static str {
        "Costly"
    }

    fn infer(&self, inputs: &[Option<&Fact>], _: usize) -> Result<Vec<Signature>> {
        Ok(vec![inputs[0].unwrap().signature.clone()])
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let (Some(TensorView::Integer(x)), TensorViewMut::Integer(y)) = (&inputs[0], &mut outputs[0]) else {
            panic!("whole numbers")
        };
        y.zip_mut_with(x, |y, x| *y = x + 1);
        Ok(())
    }

    fn operations(&self, _: &[Option<&Fact>], _: &[Signature]) -> u128 {
        self.operations
    }
}

/// A chain of so many costly nodes behind a value.
fn chain(builder: &mut GraphBuilder, first: ValueId, costly: &Costly, count: usize) -> ValueId {
    (0..count).fold(first, |x, number| builder.node(format!("costly{number}"), costly.clone(), [x]))
}

/// A sum of the input and 50 tensors of 1000 floats that are made of constants.
fn sums(builder: &mut GraphBuilder) -> ValueId {
    let x = builder.input("x", ElementType::Float, Some(vec![Dimension::Fixed(1000)]));
    (0..50).fold(x, |sum, number| {
        let shape = builder.constant("shape", Tensor::integers([1000]));
        let value = ArrayD::from_elem(IxDyn(&[1]), number as f32).into();
        let filled = builder.node(format!("fill{number}"), ConstantOfShape { value }, [shape]);
        builder.add(&format!("sum{number}"), sum, filled)
    })
}

#[test]
fn constants_that_live_together_stay_within_the_limit() {
    let mut builder = GraphBuilder::new();
    let sum = sums(&mut builder);
    builder.output("sum", sum);
    let graph = builder.build().unwrap();
    let limits = Limits::default().memory(60_000);
    let folded = graph.clone().folded(&limits).unwrap();
    let bytes = bytes_of(folded.constants.values());
    assert!((20_000..=40_000).contains(&bytes), "{bytes}");
    // What did not fit is computed in a run.
    let plan = graph.plan(&[vec![1000]], &PlanOptions::new().limits(limits)).unwrap();
    let fills = plan.steps().filter(|step| step.operators == ["ConstantOfShape"]).count();
    assert!((40..50).contains(&fills), "{fills}");
    let x = ArrayD::<f32>::ones(vec![1000]);
    let y = plan.run(&[TensorView::Float(x.view())]).unwrap().swap_remove(0);
    assert_eq!(y, ArrayD::<f32>::from_elem(vec![1000], 1.0 + 49.0 * 25.0).into());
}

#[test]
fn constants_of_the_network_are_limited_too() {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", ElementType::Float, None);
    let constants = [(); 3].map(|()| builder.constant("c", ArrayD::<f32>::ones(vec![1000])));
    let sum = constants.into_iter().fold(x, |sum, constant| builder.add("sum", sum, constant));
    builder.output("sum", sum);
    let graph = builder.build().unwrap();
    let plan = |memory| graph.plan(&[vec![1000]], &PlanOptions::new().limits(Limits::default().memory(memory)));
    let needed = plan(1 << 20).unwrap().bytes();
    assert_eq!(plan(1 << 20).unwrap().constant_bytes(), 12_000);
    assert!(plan(u64::try_from(needed).unwrap()).is_ok());
    assert!(matches!(plan(u64::try_from(needed).unwrap() - 1), Err(Error::Limit { .. })));
    assert_eq!(plan(11_999).unwrap_err(), Error::Limit { what: "bytes of constants", needed: 12_000, limit: 11_999 });
}

#[test]
fn values_that_nothing_reads_any_more_make_room() {
    let (mut builder, costly) = (GraphBuilder::new(), Costly::new(1));
    let first = builder.constant("c", ArrayD::<i64>::zeros(vec![1000]));
    let last = chain(&mut builder, first, &costly, 100);
    builder.output("y", last);
    let folded = builder.build().unwrap().folded(&Limits::default().memory(50_000)).unwrap();
    assert_eq!((folded.nodes.len(), folded.constants.len(), costly.runs()), (0, 1, 100));
    assert_eq!(folded.constants.values().next(), Some(&ArrayD::from_elem(IxDyn(&[1000]), 100i64).into()));
}

#[test]
fn work_on_constants_is_limited() {
    let (mut builder, costly) = (GraphBuilder::new(), Costly::new(1_000_000_000));
    let first = builder.constant("c", Tensor::integers([5]));
    let last = chain(&mut builder, first, &costly, 30);
    builder.output("y", last);
    let graph = builder.build().unwrap();
    let plan = graph.plan(&[], &PlanOptions::new()).unwrap();
    // Nine when constants are folded, and as many when values are looked for.
    assert_eq!((costly.runs(), plan.steps().count()), (18, 12));
    assert_eq!(plan.run(&[]).unwrap(), [Tensor::integers([35])]);
    // The limit of a run is the one of planning too.
    let before = costly.runs();
    let limited = PlanOptions::new().limits(Limits::default().operations(3_500_000_000));
    let error = graph.plan(&[], &limited).unwrap_err();
    assert!(matches!(error, Error::Limit { what: "operations", needed: 24_000_000_000, .. }), "{error:?}");
    assert_eq!(costly.runs() - before, 6);
}

#[test]
fn work_on_shapes_is_limited() {
    let (mut builder, costly) = (GraphBuilder::new(), Costly::new(1_000_000_000));
    let x = builder.input("x", ElementType::Float, None);
    let shape = builder.node("shape", Shape::default(), [x]);
    let last = chain(&mut builder, shape, &costly, 30);
    builder.output("y", last);
    let plan = builder.build().unwrap().plan(&[vec![3, 2]], &PlanOptions::new()).unwrap();
    assert_eq!((costly.runs(), plan.steps().count()), (9, 21));
    let x = ArrayD::<f32>::zeros(vec![3, 2]);
    assert_eq!(plan.run(&[TensorView::Float(x.view())]).unwrap(), [Tensor::integers([33, 32])]);
}

#[test]
fn a_layer_of_constants_runs_later_where_it_takes_too_much() {
    let mut builder = GraphBuilder::new();
    let x = builder.constant("x", Array4::<f32>::ones([1, 8, 16, 16]).into_dyn());
    let w = builder.constant("w", Array4::<f32>::ones([8, 8, 3, 3]).into_dyn());
    let y = builder.node("layer", Convolution { groups: 1, ..Convolution::default() }, [x, w]);
    builder.output("y", y);
    let graph = builder.build().unwrap();
    let left = |limits: Limits| graph.clone().folded(&limits).unwrap().nodes.len();
    // 2 · 8 · 8 · 9 · 14 · 14 operations; 8 KiB in, 2 KiB of weights, 6 KiB out, and a panel.
    assert_eq!(left(Limits::default()), 0);
    assert_eq!(left(Limits::default().operations(225_792)), 1);
    assert_eq!(left(Limits::default().memory(12_000)), 1);
    assert_eq!(left(Limits::default().memory(28_000)), 1);
    assert_eq!(left(Limits::default().memory(1 << 20)), 0);
}

#[test]
fn what_no_output_depends_on_is_left_out() {
    let (mut builder, costly) = (GraphBuilder::new(), Costly::new(1));
    let x = builder.constant("x", Tensor::integers([1]));
    chain(&mut builder, x, &costly, 3);
    let input = builder.input("input", ElementType::Integer, None);
    chain(&mut builder, input, &costly, 3);
    let y = builder.node("y", costly.clone(), [x]);
    builder.output("y", y);
    let folded = builder.build().unwrap().folded(&Limits::default()).unwrap();
    assert_eq!((folded.nodes.len(), folded.constants.len(), costly.runs()), (0, 1, 1));
}

#[test]
fn elements_are_shared_where_they_are_the_same() {
    let value: Tensor = ArrayD::<f32>::ones(vec![2, 3]).into();
    let mut builder = GraphBuilder::new();
    let constant = builder.node("constant", Constant { value: value.clone() }, []);
    let shape = builder.constant("shape", Tensor::integers([3, 2]));
    let reshaped = builder.node("reshaped", Reshape::default(), [constant, shape]);
    builder.output("a", constant);
    builder.output("b", reshaped);
    let folded = builder.build().unwrap().folded(&Limits::default()).unwrap();
    let first = |tensor: &Tensor| if let Tensor::Float(array) = tensor { array.as_ptr() } else { panic!("floats") };
    assert_eq!(folded.constant(reshaped).unwrap().shape(), [3, 2]);
    assert_eq!([constant, reshaped].map(|of| first(folded.constant(of).unwrap())), [first(&value); 2]);
    assert_eq!(bytes_of(folded.constants.values()), 24);
}

#[test]
fn lengths_whose_product_cannot_be_counted_are_refused() {
    let mut builder = GraphBuilder::new();
    let lengths = [1 << 62, 1 << 62, 1 << 62, 0];
    let x = builder.input("x", ElementType::Float, Some(lengths.map(Dimension::Fixed).to_vec()));
    let y = builder.node("y", Softmax { rule: Rule::Softmax, axis: -1, flattens: false }, [x]);
    builder.output("y", y);
    let graph = builder.build().unwrap();
    assert!(matches!(graph.plan(&[lengths.to_vec()], &PlanOptions::new()), Err(Error::Operator(_))));
    // As many axes as no file may have.
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", ElementType::Float, None);
    builder.output("x", x);
    assert!(builder.build().unwrap().plan(&[vec![1; 65]], &PlanOptions::new()).is_err());
}
