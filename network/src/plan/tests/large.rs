//! Graphs of a hundred thousand nodes: planned in time in proportion to that.

use super::*;
use crate::operators::arithmetic::{Reduction, Variadic};
use crate::operators::movement::Split;
use crate::operators::shape::Identity;

/// Plans a graph of one input of 16 elements, which `nodes` builds on; tells how long that takes.
fn time_to_plan(what: &str, build: impl FnOnce(&mut GraphBuilder, ValueId) -> ValueId) -> Plan {
    let mut builder = GraphBuilder::new();
    let x = builder.input("x", ElementType::Float, None);
    let y = build(&mut builder, x);
    builder.output("y", y);
    let before = std::time::Instant::now();
    let graph = builder.build().unwrap();
    let plan = graph.plan(&[vec![1, 16]], &PlanOptions::new()).unwrap();
    let spent = before.elapsed();
    eprintln!("{what}: {} steps in {spent:?}", plan.steps.len());
    // All pairs of nodes would take minutes at least.
    assert!(spent.as_secs() < 60, "{what}: {spent:?}");
    plan
}

#[test]
fn planning_takes_time_in_proportion_to_the_number_of_nodes() {
    const NODES: usize = 100_000;
    let unary = |function| Unary { function };
    let chain = |of: fn(&mut GraphBuilder, ValueId, usize) -> ValueId| {
        move |builder: &mut GraphBuilder, x| (0..NODES).fold(x, |x, i| of(builder, x, i))
    };
    let plan = time_to_plan("a chain", chain(|builder, x, _| builder.function("tanh", x, Function::Tanh)));
    assert_eq!(plan.value_bytes(), 2 * 16 * 4);
    let plan =
        time_to_plan("a chain of the same elements", chain(|builder, x, _| builder.node("identity", Identity, [x])));
    assert_eq!(plan.value_bytes(), 0);
    time_to_plan(
        "a chain of factors",
        chain(|builder, x, _| {
            let factor = builder.constant("factor", ArrayD::from_elem(IxDyn(&[]), 1.5f32));
            builder.node("mul", Binary { operation: Operation::Mul }, [x, factor])
        }),
    );
    let plan = time_to_plan(
        "a chain of concatenations",
        chain(|builder, x, i| match i < NODES / 10 {
            true => builder.concat("concat", 0, [x]),
            false => x,
        }),
    );
    assert_eq!(plan.value_bytes(), 16 * 4, "the first one copies the input, and all others are where that is");
    let plan = time_to_plan("values that all live until the end", |builder, x| {
        let all: Vec<ValueId> = (0..NODES).map(|_| builder.node("tanh", unary(Function::Tanh), [x])).collect();
        builder.concat("all", 0, all)
    });
    assert_eq!(plan.value_bytes(), NODES as u128 * 16 * 4, "parts are made in place");
    time_to_plan("values that all live until the end, each in a place of its own", |builder, x| {
        let all: Vec<ValueId> = (0..NODES).map(|_| builder.node("tanh", unary(Function::Tanh), [x])).collect();
        builder.node("sum", Variadic { reduction: Reduction::Sum }, all)
    });
    time_to_plan("a pyramid", |builder, x| {
        let down = (0..NODES / 2).fold(vec![x], |mut all, i| {
            all.push(builder.node("tanh", unary(Function::Tanh), [all[i]]));
            all
        });
        let last = down[down.len() - 1];
        down.into_iter().rev().fold(last, |up, skip| builder.add("add", up, skip))
    });
    let plan = time_to_plan("many parts", |builder, x| {
        let wide = builder.constant("wide", ArrayD::<f32>::zeros(IxDyn(&[NODES, 1])));
        let wide = builder.add("wide", x, wide);
        let parts: Vec<ValueId> = (0..NODES).map(|_| builder.value("part")).collect();
        let split = Split { axis: 0, lengths: None, number: None };
        let node =
            Node { name: "split".into(), operator: Arc::new(split), inputs: vec![Some(wide)], outputs: parts.clone() };
        builder.push(node);
        builder.concat("again", 0, parts.into_iter().rev())
    });
    let before = std::time::Instant::now();
    let x = Noise(1).floats(&[1, 16]);
    let y = plan.run(&[x.view()]).unwrap().swap_remove(0);
    assert_eq!(y.len(), 16 * NODES);
    assert!(before.elapsed().as_secs() < 60, "{:?}", before.elapsed());
}
