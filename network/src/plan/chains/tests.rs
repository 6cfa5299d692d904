//! Joined steps against operators one by one.

use ndarray::{ArrayD, Axis, IxDyn};

use super::super::steps::{KnownLayers, Stepper, UnpackedLayer};
use super::super::tests::literal;
use super::super::{Memory, Plan, PlanOptions};
use crate::attributes::Attribute;
use crate::graph::{Dimension, Graph, GraphBuilder, Node, ValueId};
use crate::operator::Operator;
use crate::operators::arithmetic::{Binary, Operation, Reduction, Variadic, Where};
use crate::operators::cast::{Cast, Target};
use crate::operators::elementwise::{Clip, Function, PRelu, Unary};
use crate::operators::normalization::BatchNormalization;
use crate::operators::testing::{Noise, made};
use crate::tensor::{ElementType, Tensor, TensorView};

const ADD: Binary = Binary { operation: Operation::Add };
const MUL: Binary = Binary { operation: Operation::Mul };

/// A graph of elementwise operators that is built node after node; all values have the input's shape, but for the batch.
struct Random {
    noise: Noise,
    builder: GraphBuilder,
    shape: Vec<usize>,
    floats: Vec<ValueId>,
    bools: Vec<ValueId>,
    nodes: usize,
}

impl Random {
    fn new(seed: u64) -> Self {
        let (mut noise, mut builder) = (Noise(seed), GraphBuilder::new());
        let rank = 1 + noise.below(5);
        let most = [9000, 5000, 80, 20, 10][rank - 1];
        let shape: Vec<usize> = (0..rank)
            .map(|axis| match axis {
                0 if rank > 1 => 1,
                1 if rank > 2 => 1 + noise.below(8),
                _ => 1 + noise.below(most),
            })
            .collect();
        let lengths = shape.iter().enumerate().map(|(axis, &length)| match axis {
            0 if rank > 1 => Dimension::Named("batch".into()),
            _ => Dimension::Fixed(length),
        });
        let x = builder.input("x", ElementType::Float, Some(lengths.collect()));
        Self { noise, builder, shape, floats: vec![x], bools: Vec::new(), nodes: 0 }
    }

    /// One of the last values, so that graphs are long and branch.
    fn some(&mut self) -> ValueId {
        let back = self.noise.below(self.floats.len().min(3));
        self.floats[self.floats.len() - 1 - back]
    }

    fn push(&mut self, operator: impl Operator, inputs: impl IntoIterator<Item = ValueId>, element: ElementType) {
        self.nodes += 1;
        let value = self.builder.node(format!("node{}", self.nodes), operator, inputs);
        if element == ElementType::Bool { self.bools.push(value) } else { self.floats.push(value) }
    }

    fn float(&mut self, operator: impl Operator, inputs: impl IntoIterator<Item = ValueId>) {
        self.push(operator, inputs, ElementType::Float);
    }

    fn constant(&mut self, shape: &[usize]) -> ValueId {
        let Tensor::Float(array) = self.noise.floats(shape) else { unreachable!("floats") };
        // Not near zero, as a divisor may not be.
        let array = array.mapv(|value| value + 0.5f32.copysign(value));
        self.builder.constant("constant", array.into_dyn())
    }

    /// A constant that is broadcast: a number, a number per channel, per place, or for some axes.
    fn broadcast(&mut self) -> ValueId {
        let shape = self.shape.clone();
        let per_channel = || [shape[1]].into_iter().chain(vec![1; shape.len() - 2]).collect::<Vec<usize>>();
        match self.noise.below(5) {
            0 => self.constant(&[]),
            1 if shape.len() > 1 => self.constant(&per_channel()),
            2 => self.constant(&shape),
            3 => {
                let from = self.noise.below(shape.len());
                self.constant(&shape[from..])
            }
            _ => {
                let some: Vec<usize> = shape.iter().map(|&n| if self.noise.below(2) == 0 { 1 } else { n }).collect();
                self.constant(&some)
            }
        }
    }

    fn grow(&mut self) {
        let (x, y) = (self.some(), self.some());
        match self.noise.below(14) {
            0..3 => {
                let functions = [
                    Function::Abs,
                    Function::Tanh,
                    Function::LeakyRelu { alpha: 0.1 },
                    Function::Sin,
                    Function::HardSwish,
                ];
                let function = functions[self.noise.below(functions.len())];
                self.float(Unary { function }, [x]);
            }
            3..6 => {
                let constant = self.broadcast();
                let operations = [Operation::Add, Operation::Sub, Operation::Mul, Operation::Div];
                let operation = operations[self.noise.below(4)];
                let is_first = operation != Operation::Div && self.noise.below(3) == 0;
                self.float(Binary { operation }, if is_first { [constant, x] } else { [x, constant] });
            }
            6 => {
                let operation = if self.noise.below(2) == 0 { Operation::Add } else { Operation::Mul };
                self.float(Binary { operation }, [x, y]);
            }
            7 => {
                let constant = self.broadcast();
                let operation = [Operation::Less, Operation::GreaterOrEqual][self.noise.below(2)];
                let other = if self.noise.below(2) == 0 { y } else { constant };
                self.push(Binary { operation }, [x, other], ElementType::Bool);
            }
            8 => match self.bools.last().copied() {
                Some(last) if self.noise.below(2) == 0 => self.float(Where, [last, x, y]),
                Some(last) if self.noise.below(2) == 0 => self.float(Cast { to: Target::Float }, [last]),
                Some(last) => self.push(Unary { function: Function::Not }, [last], ElementType::Bool),
                None => {}
            },
            9 => {
                let slopes = self.broadcast();
                self.float(PRelu, [x, slopes]);
            }
            10 => {
                let low = self.builder.constant("low", ArrayD::from_elem(IxDyn(&[1, 1]), -0.5f32));
                self.float(Clip, [x, low]);
            }
            11 => {
                let reductions = [Reduction::Min, Reduction::Max, Reduction::Sum, Reduction::Mean];
                let (reduction, constant) = (reductions[self.noise.below(4)], self.broadcast());
                self.float(Variadic { reduction }, [x, y, constant]);
            }
            12 if self.shape.len() > 1 => {
                let channels = [self.shape[1]];
                let parameters = [(); 3].map(|()| self.constant(&channels));
                let variance = self.builder.constant("variance", ArrayD::from_elem(IxDyn(&channels), 0.7f32));
                let norm = BatchNormalization { epsilon: 1e-3, spatial: true };
                self.float(norm, [x].into_iter().chain(parameters).chain([variance]));
            }
            12 => {
                let exponent = self.builder.constant("two", ArrayD::from_elem(IxDyn(&[1]), 2.0f32));
                self.float(Binary { operation: Operation::Pow }, [x, exponent]);
            }
            _ => self.other(x),
        }
    }

    /// An operator that is not elementwise.
    fn other(&mut self, x: ValueId) {
        let (name, attributes): (_, &[(&str, Attribute)]) = match self.shape.len() {
            1 => ("Identity", &[]),
            _ => ("Softmax", &[("axis", Attribute::Integer(-1))]),
        };
        let output = self.builder.value(name);
        let operator = made(name, 13, attributes).unwrap();
        self.builder.push(Node { name: name.into(), operator, inputs: vec![Some(x)], outputs: vec![output] });
        self.floats.push(output);
    }

    fn build(mut self) -> Graph {
        for _ in 0..3 + self.noise.below(18) {
            self.grow();
        }
        let mut outputs = vec![self.floats[self.floats.len() - 1]];
        outputs.extend((0..self.noise.below(3)).map(|_| self.floats[self.noise.below(self.floats.len())]));
        outputs.extend(self.bools.last().copied().filter(|_| self.noise.below(2) == 0));
        outputs.into_iter().enumerate().for_each(|(i, value)| self.builder.output(format!("y{i}"), value));
        self.builder.build().unwrap()
    }
}

/// The bits of all elements.
fn bits(tensor: &Tensor) -> Vec<u32> {
    match tensor {
        Tensor::Float(array) => array.iter().map(|x| x.to_bits()).collect(),
        Tensor::Integer(array) => array.iter().map(|&x| x as u32).collect(),
        Tensor::Bool(array) => array.iter().map(|&x| x.into()).collect(),
    }
}

/// The operators of all steps, sorted.
fn operators<'a>(steps: impl Iterator<Item = &'a [&'static str]>) -> Vec<&'static str> {
    let mut all: Vec<&str> = steps.flatten().copied().collect();
    all.sort_unstable();
    all
}

/// The steps of a plan's network, had none been joined.
fn separate(plan: &Plan) -> Vec<super::Step<UnpackedLayer>> {
    Stepper::new(&plan.graph, &plan.facts, false, &KnownLayers::new()).steps().unwrap()
}

/// The outputs of a plan in memory that is dirty.
fn run(plan: &Plan, x: &TensorView, memory: &mut Memory) -> Vec<Tensor> {
    memory.floats.fill(f32::NAN);
    memory.bools.fill(true);
    let mut outputs: Vec<Tensor> = plan.outputs().map(|(_, of)| Tensor::zeros(of.element, &of.shape)).collect();
    let mut views: Vec<_> = outputs.iter_mut().map(Tensor::view_mut).collect();
    plan.run_into(std::slice::from_ref(x), &mut views, memory).unwrap();
    drop(views);
    outputs
}

#[test]
fn random_graphs_have_the_bits_of_operators_one_by_one() {
    let pools: Vec<_> =
        [1, 2, 3].iter().map(|&n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap()).collect();
    let (mut steps, mut fewer, mut longest) = (0, 0, 0);
    for seed in 0..250 {
        let random = Random::new(seed);
        let one = random.shape.clone();
        let graph = random.build();
        let of_one = graph.plan(std::slice::from_ref(&one), &PlanOptions::new()).unwrap();
        let mut memory = Memory::new();
        for batch in [1, 3] {
            let mut shape = one.clone();
            if shape.len() > 1 {
                shape[0] = batch;
            }
            let plan = of_one.resize(&[shape.clone()]).unwrap();
            let x = Noise(seed ^ 77).floats(&shape);
            let expected: Vec<_> = literal(&plan.graph, &x).iter().map(bits).collect();
            for pool in &pools {
                let outputs: Vec<_> = pool.install(|| run(&plan, &x.view(), &mut memory)).iter().map(bits).collect();
                assert!(outputs == expected, "seed {seed}, batch {batch}\n{}", plan.explain());
            }
            // One sample at a time.
            let Tensor::Float(x) = &x else { unreachable!("floats") };
            for sample in 0..if shape.len() > 1 { batch } else { 0 } {
                let x = TensorView::Float(x.slice_axis(Axis(0), (sample..sample + 1).into()));
                for (output, all) in of_one.run(&[x]).unwrap().iter().map(bits).zip(&expected) {
                    assert!(output == all[sample * output.len()..][..output.len()], "seed {seed}, sample {sample}");
                }
            }
            // Nothing is lost.
            let apart = separate(&plan);
            let named = operators(plan.steps().map(|step| step.operators));
            assert_eq!(named, operators(apart.iter().map(|step| &step.operators[..])), "seed {seed}");
            assert_eq!(plan.operations(), apart.iter().map(|step| step.operations).sum::<u128>());
            (steps, fewer) = (steps + apart.len(), fewer + apart.len() - plan.steps.len());
            longest = plan.steps().map(|step| step.operators.len()).max().unwrap_or(0).max(longest);
        }
    }
    assert!(fewer * 3 > steps && longest > 7, "{fewer} of {steps} steps less, {longest} operators in one");
}

/// What steps of a plan do.
fn parts(plan: &Plan) -> Vec<String> {
    plan.steps().map(|step| step.operators.join(" + ")).collect()
}

/// A network of an input `[batch, 3, 50, 60]`.
fn planned(build: impl FnOnce(&mut GraphBuilder, ValueId) -> Vec<ValueId>) -> Plan {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", ElementType::Float, None);
    let outputs = build(&mut builder, x);
    outputs.into_iter().enumerate().for_each(|(i, value)| builder.output(format!("y{i}"), value));
    builder.build().unwrap().plan(&[vec![1, 3, 50, 60]], &PlanOptions::new()).unwrap()
}

fn per_channel(builder: &mut GraphBuilder) -> ValueId {
    builder.constant("factors", Noise(1).floats(&[3, 1, 1]))
}

#[test]
fn what_lies_between_takes_no_memory() {
    let plan = planned(|builder, x| {
        let factors = per_channel(builder);
        let y = builder.node("scaled", MUL, [x, factors]);
        let y = builder.node("moved", ADD, [factors, y]);
        let y = builder.function("bent", y, Function::Tanh);
        vec![builder.node("summed", ADD, [y, x])]
    });
    assert_eq!(plan.value_bytes(), 4 * 3 * 50 * 60);
    assert_eq!(plan.operations(), 4 * 3 * 50 * 60);
    let explained = plan.explain();
    assert!(
        explained
            .starts_with("scaled (Mul + Add + Tanh + Add): [1, 3, 50, 60], 0.036 million operations, in one pass\n"),
        "{explained}"
    );
    assert_eq!(parts(&plan.resize(&[vec![2, 3, 7, 1]]).unwrap()), ["Mul + Add + Tanh + Add"]);
}

#[test]
fn chains_end_where_somebody_else_reads() {
    // An output of the network in the middle.
    let plan = planned(|builder, x| {
        let first = builder.function("first", x, Function::Abs);
        let second = builder.function("second", first, Function::Tanh);
        let third = builder.function("third", second, Function::Neg);
        vec![third, second]
    });
    assert_eq!(parts(&plan), ["Abs + Tanh", "Neg"]);
    // Two readers inside are no others; two chains are.
    let plan = planned(|builder, x| {
        let shared = builder.function("shared", x, Function::Abs);
        let [a, b] = [Function::Tanh, Function::Neg].map(|function| builder.function("inside", shared, function));
        let sum = builder.node("sum", ADD, [a, b]);
        let [a, b] = [Function::Tanh, Function::Neg].map(|function| builder.function("outside", sum, function));
        vec![a, b]
    });
    assert_eq!(parts(&plan), ["Abs + Tanh + Neg + Add", "Tanh", "Neg"]);
    // Another shape.
    let plan = planned(|builder, x| {
        let (factors, mean) = (per_channel(builder), made("GlobalAveragePool", 13, &[]).unwrap());
        let gate = builder.value("mean");
        builder.push(Node { name: "mean".into(), operator: mean, inputs: vec![Some(x)], outputs: vec![gate] });
        let gate = builder.node("scaled", MUL, [gate, factors]);
        let gate = builder.function("gate", gate, Function::Sigmoid);
        let y = builder.node("gated", MUL, [x, gate]);
        vec![builder.function("bent", y, Function::Abs)]
    });
    assert_eq!(parts(&plan), ["GlobalAveragePool", "Mul + Sigmoid", "Mul + Abs"]);
}

#[test]
fn more_values_at_a_time_than_buffers_are_several_chains() {
    let plan = planned(|builder, x| {
        let functions = [Function::Abs, Function::Tanh, Function::Neg, Function::Sin, Function::Cos, Function::Exp];
        let all: Vec<ValueId> = functions.map(|function| builder.function("part", x, function)).into();
        vec![builder.node("sum", Variadic { reduction: Reduction::Sum }, all)]
    });
    assert_eq!(parts(&plan), ["Abs", "Tanh", "Neg", "Sin + Cos + Exp + Sum"]);
    let x = Noise(5).floats(&[1, 3, 50, 60]);
    assert_eq!(plan.run(&[x.view()]).unwrap(), literal(&plan.graph, &x));
}

#[test]
fn nothing_is_kept_longer_than_before() {
    let softmax = |builder: &mut GraphBuilder, x: ValueId| {
        let y = builder.value("softmax");
        let operator = made("Softmax", 13, &[]).unwrap();
        builder.push(Node { name: "softmax".into(), operator, inputs: vec![Some(x)], outputs: vec![y] });
        y
    };
    let network = |is_product: bool| {
        planned(|builder, x| {
            let (a, b) = (softmax(builder, x), softmax(builder, x));
            let early = match is_product {
                true => {
                    let product = builder.node("product", MUL, [a, b]);
                    builder.function("early", product, Function::Abs)
                }
                false => builder.function("early", a, Function::Abs),
            };
            let late = softmax(builder, x);
            vec![builder.node("sum", ADD, [late, early])]
        })
    };
    // Of two tensors one is made early; one tensor may as well be read late.
    assert_eq!(parts(&network(true)), ["Softmax", "Softmax", "Mul", "Softmax", "Abs + Add"]);
    assert_eq!(parts(&network(false)), ["Softmax", "Softmax", "Abs + Add"]);
}
