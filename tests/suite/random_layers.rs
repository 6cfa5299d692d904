//! Random layers of ordinary widths, and as many checks and timings of them as asked for, by `scripts/random_layers.sh`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use convmat::geometry::Side;
use convmat::{Formulation, Isa, Workspace};
use ndarray::Array5;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rayon::ThreadPoolBuilder;

use crate::common::{Case, Ranges, case_within, with_batch};
use crate::engine::{
    BATCHES, Engine, THREADS, Towards, layouts_do_not_matter, plan, poison_reaches_what_reads_it,
    right_and_reproducible, shapes,
};
use crate::values::reals;
use crate::views::Layout;

/// Layers of one to three dimensions with at most so many products per sample, padding counted.
pub fn layers(terms: usize) -> impl Strategy<Value = Case<3>> {
    fn of_rank<const N: usize>(ranges: Ranges, terms: usize) -> BoxedStrategy<Case<3>> {
        case_within::<N>(ranges, move |case| products(&case.lift()) <= terms).prop_map(|case| case.lift()).boxed()
    }
    let ranges = |[length, kernel, stride, dilation, pad]: [usize; 5]| Ranges {
        length,
        kernel,
        stride,
        dilation,
        pad,
        groups: 3,
        channels: 40,
    };
    let (line, plane, space) = (ranges([200, 16, 9, 3, 8]), ranges([28, 7, 4, 3, 3]), ranges([10, 4, 3, 2, 2]));
    // Many groups of few channels.
    let depthwise = Ranges { groups: 40, channels: 2, ..plane };
    prop_oneof![
        2 => of_rank::<1>(line, terms),
        4 => of_rank::<2>(plane, terms),
        2 => of_rank::<3>(space, terms),
        1 => of_rank::<2>(depthwise, terms),
    ]
}

fn products(case: &Case<3>) -> usize {
    let small: usize = match case.transposed {
        true => case.input.iter().product(),
        false => case.output().iter().map(|&length| length as usize).product(),
    };
    small * case.kernel.iter().product::<usize>() * case.groups * case.small * case.large
}

#[test]
fn the_generator_reaches_what_is_easily_got_wrong() {
    let mut runner = TestRunner::deterministic();
    let strategy = layers(150_000);
    let cases: Vec<Case<3>> = (0..400).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    type Kind<'a> = (&'a str, &'a dyn Fn(&Case<3>) -> bool);
    let kinds: [Kind; 8] = [
        ("convolutions", &|case| !case.transposed),
        ("transposed convolutions", &|case| case.transposed),
        ("a depth", &|case| case.input[0] > 1),
        ("a stride beyond the kernel", &|case| (0..3).any(|i| case.stride[i] > case.kernel[i])),
        ("asymmetric padding", &|case| case.pads.iter().any(|pads| pads.0 != pads.1)),
        ("output padding", &|case| case.output_padding != [0; 3]),
        ("more rows than a register tile has", &|case| case.small > 8 && case.large > 8),
        ("many groups", &|case| case.groups > 8),
    ];
    for (what, is_one) in kinds {
        let count = cases.iter().filter(|case| is_one(case)).count();
        assert!(count >= 20, "{what}: {count}");
    }
}

/// The numbers that the script passes on.
fn number(name: &str) -> u64 {
    let text = std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; see scripts/random_layers.sh"));
    text.parse().unwrap_or_else(|_| panic!("{name} is \"{text}\", no whole number"))
}

/// A stream of random values that a seed determines.
fn runner(seed: u64) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

#[test]
#[ignore = "as many layers as scripts/random_layers.sh asks for"]
fn are_right() {
    let (seed, count) = (number("SEED"), number("COUNT"));
    let mut runner = runner(seed);
    let any_layout = || select(Layout::ALL.to_vec());
    let poison = select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
    let strategy =
        (layers(1_000_000), any::<u64>(), 1..10usize, (any_layout(), any_layout()), poison, any::<(Index, Index)>());
    let mut wrong = 0;
    for number in 0..count {
        let (case, seed, batch, layouts, poison, place) = strategy.new_tree(&mut runner).unwrap().current();
        let check = || {
            right_and_reproducible::<f32>(&case, seed);
            right_and_reproducible::<f64>(&case, seed);
            layouts_do_not_matter::<f32>(&case, batch, seed, layouts);
            poison_reaches_what_reads_it::<f32>(&case, batch, seed, poison, place);
        };
        if catch_unwind(AssertUnwindSafe(check)).is_err() {
            wrong += 1;
            println!("layer {number} is wrong: {case:?}");
        }
    }
    let [batches, threads] = [&BATCHES[..], &THREADS[..]].map(|list| list.iter().map(usize::to_string));
    let [batches, threads] = [batches, threads].map(|words| words.collect::<Vec<_>>().join(" "));
    for (what, is_available) in [("here", true), ("missing", false)] {
        let sets: Vec<_> =
            Isa::ALL.iter().copied().filter(|isa| isa.is_available() == is_available).map(Isa::name).collect();
        println!("instruction sets {what}: {}", if sets.is_empty() { "none".to_owned() } else { sets.join(" ") });
    }
    println!("{count} layers, batch {batches}, threads {threads}: {wrong} wrong");
    assert_eq!(wrong, 0);
}

/// Seconds per call of one engine and of another, in turns, so that a busy machine treats both alike: medians.
fn medians(engines: [&dyn Engine<f32>; 2], x: &Array5<f32>, y: &mut Array5<f32>) -> [f64; 2] {
    let mut workspaces = [Workspace::new(), Workspace::new()];
    let mut seconds = [Vec::new(), Vec::new()];
    let start = Instant::now();
    for round in 0.. {
        for ((engine, workspace), seconds) in engines.iter().zip(&mut workspaces).zip(&mut seconds) {
            let start = Instant::now();
            engine.run(x.view(), y.view_mut(), workspace);
            // The first round warms up.
            if round > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        if round >= 7 && start.elapsed() > Duration::from_millis(40) {
            break;
        }
    }
    seconds.map(|seconds| convmat_measure::median(&seconds))
}

#[test]
#[ignore = "as many layers as scripts/random_layers.sh --time asks for"]
fn are_fast() {
    let (seed, count) = (number("SEED"), number("COUNT"));
    let mut runner = runner(seed);
    let strategy = layers(4_000_000);
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut ratios = BATCHES.map(|_| Vec::new());
    for _ in 0..count {
        let case = strategy.new_tree(&mut runner).unwrap().current();
        let (literal, output) = (case.literal(), if case.transposed { Side::Large } else { Side::Small });
        let weights = reals::<f32>(literal.weight_shape(), seed);
        let plan = plan(&case, &weights, Isa::best());
        let operator = case.convolution(&weights).formulate(Formulation::Im2col).unwrap();
        let lowered = Towards { operator, output };
        let [input, output] = shapes(&literal, output);
        for (batch, ratios) in BATCHES.into_iter().zip(&mut ratios) {
            let x = reals::<f32>(with_batch(batch, input), seed);
            let mut y = Array5::zeros(with_batch(batch, output));
            let [planned, lowered] = pool.install(|| medians([&*plan, &lowered], &x, &mut y));
            ratios.push((lowered / planned, planned, case.clone()));
        }
    }
    println!("time of im2col over time of the plan, one thread, {count} layers:");
    for (batch, mut ratios) in BATCHES.into_iter().zip(ratios) {
        ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
        let share = ratios.iter().filter(|ratio| ratio.0 >= 0.95).count() as f64 / count as f64;
        let mean = (ratios.iter().map(|ratio| ratio.0.ln()).sum::<f64>() / count as f64).exp();
        println!("batch {batch}: {:.1} % at 0.95 and more, geometric mean {mean:.2}, the worst:", 100.0 * share);
        for (ratio, seconds, case) in ratios.iter().take(3) {
            println!("  {ratio:.2} ({:.1} µs): {case:?}", 1e6 * seconds);
        }
    }
}
