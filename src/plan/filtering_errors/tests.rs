use super::*;

/// The figures that are in the table, by places.
fn measured(nest: &[(usize, usize)], inputs: usize, block: usize) -> Excess {
    let (_, rms, largest) = ROWS.iter().find(|(sets, ..)| *sets == nest).unwrap();
    let of = |hundredths: &[&[u16]; 3]| f32::from(hundredths[block][inputs]) / 100.0;
    Excess { rms: of(rms), largest: of(largest) }
}

fn is_no_better(a: Excess, b: Excess) -> bool {
    a.rms >= b.rms && a.largest >= b.largest
}

#[test]
fn measured_numbers_have_their_own_figures() {
    for (nest, rms, _) in ROWS {
        for (i, &inputs) in INPUTS.iter().enumerate().take(rms[0].len()) {
            for (j, &block) in BLOCKS.iter().enumerate().filter(|&(_, &block)| block <= inputs) {
                assert_eq!(excess(nest, inputs, block), Some(measured(nest, i, j)), "{nest:?} {inputs} {block}");
            }
        }
    }
}

#[test]
fn between_numbers_it_is_the_worse_side() {
    for (nest, rms, _) in ROWS {
        for i in 1..rms[0].len() {
            let inputs = (INPUTS[i - 1] + INPUTS[i]) / 2;
            for j in 1..BLOCKS.len() {
                let block = (BLOCKS[j - 1] + BLOCKS[j]) / 2;
                let all = [(i - 1, j - 1), (i - 1, j), (i, j - 1), (i, j)].map(|(i, j)| measured(nest, i, j));
                // Blocks are no larger than all input channels.
                if block <= inputs {
                    let found = excess(nest, inputs, block).unwrap();
                    assert!(all.iter().all(|&side| is_no_better(found, side)), "{nest:?} {inputs} {block}");
                    assert!(all.iter().any(|side| side.rms == found.rms), "{nest:?} {inputs} {block}");
                    assert!(all.iter().any(|side| side.largest == found.largest), "{nest:?} {inputs} {block}");
                }
                let found = excess(nest, inputs, BLOCKS[j]).unwrap();
                assert!(is_no_better(found, measured(nest, i, j)), "{nest:?} {inputs} {block}");
            }
        }
    }
}

#[test]
fn many_input_channels_have_the_last_figures_and_one_block_has_all() {
    for (nest, rms, _) in ROWS {
        let last = rms[0].len() - 1;
        for inputs in [INPUTS[last] + 1, usize::MAX] {
            assert_eq!(excess(nest, inputs, 64), Some(measured(nest, last, 1)), "{nest:?}");
        }
        assert_eq!(excess(nest, 64, 64), excess(nest, 64, usize::MAX));
        assert_eq!(excess(nest, 100, 100), excess(nest, 100, 128));
    }
}

#[test]
fn axes_have_no_order() {
    assert_eq!(excess(&[(4, 3), (3, 2)], 128, 64).unwrap(), excess(&[(3, 2), (4, 3)], 128, 64).unwrap());
    let found = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].map(|order| {
        let sets = [(2, 3), (3, 2), (4, 3)];
        excess(&order.map(|axis| sets[axis]), 256, 32).unwrap()
    });
    assert!(found.iter().all(|one| *one == found[0]));
}

#[test]
fn what_was_not_measured_is_not_known() {
    for nest in [&[][..], &[(5, 2)], &[(1, 3)], &[(4, 3), (6, 3)], &[(2, 2), (2, 2), (2, 5)], &[(2, 2); 4]] {
        assert_eq!(excess(nest, 256, 64), None, "{nest:?}");
    }
    for (inputs, block) in [(31, 31), (31, 32), (64, 31), (256, 129), (256, 256), (0, 0), (64, 0)] {
        assert_eq!(excess(&[(3, 2)], inputs, block), None, "{inputs} {block}");
    }
}

#[test]
fn all_nests_of_up_to_two_sets_are_there_in_order() {
    let sets = [(2, 2), (3, 2), (4, 2), (2, 3), (3, 3), (4, 3), (2, 4), (3, 4), (2, 5)];
    for (i, a) in sets.iter().enumerate() {
        assert!(excess(&[*a], 128, 32).is_some());
        assert!(sets[i..].iter().all(|b| excess(&[*a, *b], 128, 32).is_some()));
    }
    assert!(ROWS.iter().all(|(nest, ..)| nest.is_sorted()));
}
