use crate::graph::{Dimension, Graph, GraphBuilder, ValueId};
use crate::operators::arithmetic::{Binary, Operation};
use crate::operators::convolution::Convolution;
use crate::operators::elementwise::{Function, Unary};
use crate::operators::testing::Noise;
use crate::plan::{Plan, PlanOptions};
use crate::tensor::{ElementType, Tensor};

/// A convolution of eight channels by three taps that keeps the length.
fn layer(builder: &mut GraphBuilder, noise: &mut Noise, name: &str, x: ValueId, groups: usize) -> ValueId {
    let weights = builder.constant("weights", noise.floats(&[8, 8 / groups, 3]));
    let convolution = Convolution { groups, pads: Some(vec![1, 1]), ..Convolution::default() };
    builder.node(name, convolution, [x, weights])
}

fn function(builder: &mut GraphBuilder, name: &str, function: Function, x: ValueId) -> ValueId {
    builder.node(name, Unary { function }, [x])
}

const LEAKY: Function = Function::LeakyRelu { alpha: 0.1 };

/// A network of an input `[batch, 8, length]`, whose outputs are what `body` makes of it.
fn network(body: impl Fn(&mut GraphBuilder, &mut Noise, ValueId) -> Vec<ValueId>) -> Graph {
    let (mut builder, mut noise) = (GraphBuilder::new(), Noise(7));
    let named = |name: &str| Dimension::Named(name.into());
    let x = builder.input("x", ElementType::Float, Some(vec![named("batch"), Dimension::Fixed(8), named("length")]));
    for (number, value) in body(&mut builder, &mut noise, x).into_iter().enumerate() {
        builder.output(format!("y{number}"), value);
    }
    builder.build().unwrap()
}

/// The operators of every step, where functions are left to layers; outputs and those of other sizes have the bits of separate steps.
fn steps(graph: &Graph) -> Vec<String> {
    let plans =
        [true, false].map(|is_fused| graph.plan(&[vec![2, 8, 40]], &PlanOptions::new().fuse(is_fused)).unwrap());
    let x = Noise(9).floats(&[2, 8, 40]);
    let run = |plan: &Plan, x: &Tensor| plan.run(&[x.view()]).unwrap();
    assert_eq!(run(&plans[0], &x), run(&plans[1], &x));
    let [wider, plain] = plans.each_ref().map(|plan| plan.resize(&[vec![3, 8, 57]]).unwrap());
    let x = Noise(10).floats(&[3, 8, 57]);
    assert_eq!(run(&wider, &x), run(&plain, &x));
    plans[0].steps().map(|step| step.operators.join(" + ")).collect()
}

/// A residual block with the function first: the sum is read by both branches as it is.
#[test]
fn layers_bend_what_they_read() {
    let graph = network(|builder, noise, x| {
        let first = layer(builder, noise, "first", x, 1);
        let mut sums = Vec::new();
        for branch in ["a", "b"] {
            let bent = function(builder, &format!("before {branch}"), LEAKY, first);
            let inner = layer(builder, noise, &format!("inner {branch}"), bent, 1);
            let inner = function(builder, &format!("between {branch}"), LEAKY, inner);
            let outer = layer(builder, noise, &format!("outer {branch}"), inner, 1);
            sums.push(builder.node(format!("sum {branch}"), Binary { operation: Operation::Add }, [outer, first]));
        }
        sums
    });
    let (inner, outer) = ("LeakyRelu + Conv + LeakyRelu", "Conv + Add");
    assert_eq!(steps(&graph), ["Conv", inner, outer, inner, outer]);
}

/// One function for several layers, of an input of the network.
#[test]
fn several_layers_bend_the_same_values() {
    let graph = network(|builder, noise, x| {
        let bent = function(builder, "bent", Function::Tanh, x);
        vec![layer(builder, noise, "a", bent, 1), layer(builder, noise, "b", bent, 2)]
    });
    assert_eq!(steps(&graph), ["Tanh + Conv", "Tanh + Conv"]);
}

#[test]
fn what_others_read_and_what_layers_cannot_bend_stays_a_step() {
    // Read by a product too; an output of the network; not 0 at 0; before a layer that packs nothing.
    let of_product = network(|builder, noise, x| {
        let bent = function(builder, "bent", LEAKY, x);
        let y = layer(builder, noise, "layer", bent, 1);
        vec![builder.node("product", Binary { operation: Operation::Mul }, [y, bent])]
    });
    assert_eq!(steps(&of_product)[..2], ["LeakyRelu", "Conv"]);
    let of_output = network(|builder, noise, x| {
        let bent = function(builder, "bent", LEAKY, x);
        vec![layer(builder, noise, "layer", bent, 1), bent]
    });
    assert_eq!(steps(&of_output), ["LeakyRelu", "Conv"]);
    let of_sigmoid = network(|builder, noise, x| {
        let bent = function(builder, "bent", Function::Sigmoid, x);
        vec![layer(builder, noise, "layer", bent, 1)]
    });
    assert_eq!(steps(&of_sigmoid), ["Sigmoid", "Conv"]);
    let of_depthwise = network(|builder, noise, x| {
        let bent = function(builder, "bent", LEAKY, x);
        vec![layer(builder, noise, "layer", bent, 8)]
    });
    assert_eq!(steps(&of_depthwise), ["LeakyRelu", "Conv"]);
    // What nothing reads does not run.
    let of_nothing = network(|builder, noise, x| {
        let bent = function(builder, "bent", LEAKY, x);
        function(builder, "unread", Function::Sigmoid, bent);
        vec![layer(builder, noise, "layer", bent, 1)]
    });
    assert_eq!(steps(&of_nothing), ["LeakyRelu + Conv"]);
}
