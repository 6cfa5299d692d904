use proptest::prelude::*;

use super::*;

/// Every (output, tap, input) triple of the gathers, sorted.
fn triples(axis: &Axis, output: Side) -> Vec<(usize, usize, usize)> {
    let inputs = axis.length(output.other());
    let mut triples = Vec::new();
    let mut reached = vec![0; axis.length(output)];
    for gather in axis.gathers(output) {
        assert!(gather.output_first < gather.output_step);
        for j in 0..gather.outputs {
            let out = gather.output_step * j + gather.output_first;
            reached[out] += 1;
            let valid = gather.valid_taps(j, inputs);
            for tau in 0..gather.taps {
                let input = (gather.input_step * j) as isize + gather.offset(tau);
                let exists = (0..inputs as isize).contains(&input);
                assert_eq!(valid.contains(&tau), exists);
                if exists {
                    triples.push((out, gather.tap(tau), input as usize));
                }
            }
        }
    }
    assert!(reached.iter().all(|&count| count == 1), "every output belongs to one gather");
    triples.sort_unstable();
    triples
}

/// The same from the relation, by trying everything.
fn enumerated(axis: &Axis, output: Side) -> Vec<(usize, usize, usize)> {
    let mut triples = Vec::new();
    for out in 0..axis.length(output) {
        for tap in 0..axis.kernel() {
            let input = match output {
                Side::Small => axis.large_at(out, tap),
                Side::Large => axis.small_at(out, tap),
            };
            triples.extend(input.map(|input| (out, tap, input)));
        }
    }
    triples.sort_unstable();
    triples
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn gathers_are_the_relation(
        small in 0usize..9, large in 0usize..24, kernel in 1usize..9, stride in 1usize..9, dilation in 1usize..7,
        begin in -6isize..12,
    ) {
        let axis = Axis::new(small, large, kernel, stride, dilation, begin).unwrap();
        for output in [Side::Small, Side::Large] {
            prop_assert_eq!(triples(&axis, output), enumerated(&axis, output));
        }
    }
}

#[test]
fn classes_without_taps_are_there() {
    // gcd(4, 2) = 2: odd residues are reached by no tap.
    let axis = Axis::new(3, 12, 2, 4, 2, 1).unwrap();
    let taps: Vec<_> = axis.gathers(Side::Large).iter().map(|gather| gather.taps).collect();
    assert_eq!(taps, [0, 1, 0, 1]);
}

#[test]
fn a_single_input_makes_every_output_a_class() {
    // Nothing repeats along one element, so no stride forces outputs to share a class.
    let axis = Axis::new(1, 4, 4, 1, 1, 0).unwrap();
    let gathers = axis.gathers(Side::Large);
    assert_eq!(gathers.len(), 4);
    assert!(gathers.iter().all(|gather| gather.taps == 1 && gather.input_first == 0 && gather.outputs == 1));
}
