//! How large cells, blocks of inputs and panels are, by hand and by enumeration.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

#[test]
fn many_chunks_of_few_weights_make_one_cell() {
    // 16 cells and more without cutting channels, and weights that fit in a third of the second-level cache.
    let planned = square(40, 8, 64);
    let engine = planned.engine().unwrap();
    assert!(engine.weights.chunks() > 4);
    for way in planned.ways().iter().filter(|way| way.cut.samples.count() <= 4) {
        assert_eq!(way.chunks_per_cell, engine.weights.chunks(), "{}", planned.recipe);
    }
}

/// Packing a panel pays for four chunks, though there are few cells then.
#[test]
fn cells_of_four_chunks_are_not_cut_further() {
    for channels in [32, 64] {
        let planned = square(channels, 4, 1);
        assert!(planned.engine().unwrap().weights.chunks() >= 4);
        assert!(planned.ways().iter().all(|way| way.chunks_per_cell == 4), "{}", planned.recipe);
    }
}

/// By hand, for tiles of 4 vectors of 4 lanes: a block of inputs has 256 steps at least, or what half the first-level cache holds of
/// the rows that a tile reads, and half as much more before it is cut in two.
#[test]
fn blocks_have_as_many_inputs_as_the_cache_holds() {
    let inputs_per_block = |inputs: usize, kernel: usize, first_level: usize| {
        let channels = Channels { small: 1, large: inputs };
        let geometry = Geometry::convolution([1, 9, 9], [1, kernel, kernel], channels, &Options::new()).unwrap();
        let machine = Machine::new::<f32>(Level::new(Isa::Portable).unwrap(), Caches::new(first_level, 1 << 20));
        suitable::<f32>(Phases::new(&geometry, Side::Small), &machine).weights.inputs_per_block
    };
    // 28 inputs of 9 taps, or 256 of one.
    assert_eq!([42, 43, 84, 85].map(|inputs| inputs_per_block(inputs, 3, 4 << 10)), [42, 22, 42, 29]);
    assert_eq!([384, 385].map(|inputs| inputs_per_block(inputs, 1, 4 << 10)), [384, 193]);
    // 32 KiB hold 409 rows of 16 + 4 elements, or 124 times three of 16 + 2 + 4.
    assert_eq!([613, 614].map(|inputs| inputs_per_block(inputs, 1, 64 << 10)), [613, 307]);
    assert_eq!([186, 187].map(|inputs| inputs_per_block(inputs, 3, 64 << 10)), [186, 94]);
}

/// Panels of more samples gain 3 % or are not taken. Without borders there is one set of taps to try for a number of samples, so the
/// cheapest of its candidates is what is weighed.
#[test]
fn more_samples_per_panel_are_taken_where_they_gain_three_per_cent() {
    let (mut taken, mut left) = (0, 0);
    for (channels, size, kernel, batch) in
        [4, 17].into_iter().flat_map(|c| (2..12).flat_map(move |s| [(c, s, 1, 40), (c, s + 2, 3, 48)]))
    {
        let channels = Channels { small: channels, large: 8 };
        let geometry = Geometry::convolution([1, size, size], [1, kernel, kernel], channels, &Options::new()).unwrap();
        let planned = planned(&geometry, Side::Small, Level::new(Isa::Portable).unwrap(), batch);
        let engine = planned.engine().unwrap();
        // What a sample takes at least, by samples per panel.
        let mut least = BTreeMap::<usize, f64>::new();
        for Weighed { recipe, cycles, .. } in planned.of_own_family() {
            let Recipe::ImplicitGemm(recipe) = recipe else { unreachable!() };
            let samples = recipe.ways[0].cut.samples.count();
            let per_sample = cycles / (batch.div_ceil(samples) * samples) as f64;
            let known = least.entry(samples).or_insert(per_sample);
            *known = known.min(per_sample);
        }
        let mut expected: Vec<(usize, f64)> = Vec::new();
        for (samples, per_sample) in least {
            match expected.last() {
                Some(&(_, last)) if per_sample >= 0.97 * last => left += usize::from(per_sample < last),
                _ => expected.push((samples, per_sample)),
            }
        }
        taken += expected.len() - 1;
        let ways = ways::<f32>(&engine, &planned.machine, batch);
        assert_eq!(ways.len(), expected.len(), "{}", planned.recipe);
        for (way, (samples, per_sample)) in ways.iter().zip(expected) {
            assert_eq!(way.cut.samples.count(), samples, "{}", planned.recipe);
            assert!((way.cycles_per_sample() - per_sample).abs() <= 1e-9 * per_sample, "{}", planned.recipe);
        }
    }
    assert!(taken > 20 && left > 20, "{taken} are taken, {left} gain too little");
}

/// A tile has 8 positions here, and 64 tiles are as many as matter: more samples are tried only where planes have fewer positions.
#[test]
fn small_planes_are_tried_with_many_samples() {
    let tried = |size: usize, batch: usize| {
        let planned = square(4, size, batch);
        assert_eq!(planned.engine().unwrap().tile.vectors, 2);
        let counts = planned.of_own_family().filter_map(|weighed| match &weighed.recipe {
            Recipe::ImplicitGemm(recipe) => Some(recipe.ways[0].cut.samples.count()),
            _ => None,
        });
        counts.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    // 512 positions of 64 and of 49: 8 samples, and 10 and a half.
    assert_eq!(tried(8, 64), [1, 2, 3, 4, 6, 8]);
    assert_eq!(tried(7, 64), [1, 2, 3, 4, 6, 8]);
    assert_eq!(tried(6, 64), [1, 2, 3, 4, 6, 8, 12]);
    assert_eq!(tried(6, 7), [1, 2, 3, 4, 6]);
    assert_eq!([tried(22, 64), tried(23, 64)], [vec![1, 2], vec![1]]);
}

/// 128 channels have more weights than a third of the second-level cache holds.
#[test]
fn cells_keep_their_weights_in_the_second_level() {
    let planned = square(128, 8, 64);
    let chunks = planned.engine().unwrap().weights.chunks();
    assert!(planned.ways().iter().all(|way| 1 < way.chunks_per_cell && way.chunks_per_cell < chunks));
    let options = Options::new().padding([0, 1, 1]);
    let channels = Channels { small: 128, large: 128 };
    let geometry = Geometry::convolution([1, 8, 8], [1, 3, 3], channels, &options).unwrap();
    check_limits(&geometry, Side::Small, planned.machine.level, 64);
}

/// Buffers have 256 rows at most, one for every phase of every channel of a chunk.
#[test]
fn chunks_have_few_channels_where_there_are_many_phases() {
    let machine = Machine::new::<f32>(Level::new(Isa::Portable).unwrap(), Caches::new(32 << 10, 1 << 20));
    let channels_per_chunk = |stride: usize| {
        let options = Options::new().stride([1, stride, stride]);
        let channels = Channels { small: 1, large: 40 };
        let geometry = Geometry::transposed([1, 9, 9], [1, 2 * stride, 2 * stride], channels, &options).unwrap();
        super::channels_per_chunk(&Phases::new(&geometry, Side::Large), &machine, None)
    };
    // Of 4, 64, 121 and 400 phases. A chunk has no more channels than two register tiles have rows.
    assert_eq!([2, 8, 11, 20].map(channels_per_chunk), [8, 4, 2, 1]);
}

/// By hand: 8 outputs of 10 inputs and one tap. A step of 3 or 4 rows and 2 vectors takes 8 multiply-adds.
#[test]
fn chunks_cost_their_register_tiles_and_themselves() {
    let costs = Costs {
        multiply_add: 0.5,
        step: 0.5,
        stream: 0.125,
        call: 60.0,
        chunk: 150.0,
        ..*Costs::of::<f32>(Isa::Portable)
    };
    let machine = Machine {
        level: Level::new(Isa::Portable).unwrap(),
        caches: Caches::new(32 << 10, 1 << 20),
        costs: Box::leak(Box::new(costs)),
    };
    let channels = Channels { small: 8, large: 10 };
    let geometry = Geometry::convolution([1, 9, 9], [1, 1, 1], channels, &Options::new()).unwrap();
    let phases = Phases::new(&geometry, Side::Small);
    // A register tile of 2 vectors takes 10 · 4.75 and a call; a tile of a single row may have 4 vectors.
    let of_tile = 10.0 * 4.75 + 60.0;
    let expected = [
        (8, 2.0 * of_tile / 2.0 + 150.0 / 4.0),
        (4, 2.0 * (of_tile / 2.0 + 150.0 / 4.0)),
        (3, 3.0 * (of_tile / 2.0 + 150.0 / 4.0)),
        // 9 loads in place of 8 multiply-adds, and 4 streams.
        (1, 8.0 * ((10.0 * 5.5 + 60.0) / 4.0 + 150.0 / 4.0)),
    ];
    for (chunk, cycles) in expected {
        assert_eq!(chunk_cost(&phases, &machine, chunk), cycles, "chunks of {chunk} channels");
    }
    // The same taps two columns apart: the columns between have none, and take nothing.
    let channels = Channels { small: 10, large: 8 };
    let options = Options::new().stride([1, 1, 2]);
    let geometry = Geometry::transposed([1, 9, 9], [1, 1, 1], channels, &options).unwrap();
    let phases = Phases::new(&geometry, Side::Large);
    assert_eq!(phases.groups.iter().map(|group| (group.phases, group.taps)).collect::<Vec<_>>(), [(1, 1), (1, 0)]);
    assert_eq!(chunk_cost(&phases, &machine, 8), expected[0].1);
}

/// A panel of 64³ elements takes a MiB, which is plenty, and no cell is smaller than a chunk.
#[test]
fn a_chunk_that_takes_plenty_of_scratch_memory_is_a_cell() {
    let channels = Channels { small: 1, large: 1 };
    let geometry = Geometry::convolution([64; 3], [64; 3], channels, &Options::new()).unwrap();
    let planned = planned(&geometry, Side::Small, Level::new(Isa::Portable).unwrap(), 1);
    let Some([way]) = planned.ways().first_chunk() else { panic!("{}", planned.recipe) };
    assert!(way.chunks_per_cell == 1 && 4 * way.scratch > 1 << 20, "{way:?}");
}

/// By hand: 16, 8 and 24 tiles of 8 positions are some rows of 40, or planes of 6 rows of 4 where rows are short.
#[test]
fn blocks_grow_along_the_width_first() {
    let of = |size: [usize; 3], count: usize| {
        let channels = Channels { small: 4, large: 4 };
        let geometry = Geometry::convolution(size, [1; 3], channels, &Options::new()).unwrap();
        let machine = Machine::new::<f32>(Level::new(Isa::Portable).unwrap(), Caches::new(32 << 10, 1 << 20));
        let engine = suitable::<f32>(Phases::new(&geometry, Side::Small), &machine);
        assert_eq!(engine.tile.vectors, 2);
        blocks(&engine, 4, Samples { stacked: count, interleaved: 1 })
    };
    assert_eq!(of([1, 40, 40], 1), [[1, 3, 40], [1, 1, 40], [1, 4, 40]]);
    assert_eq!(of([9, 6, 4], 1), [[5, 6, 4], [2, 6, 4], [8, 6, 4]]);
    // With 3 samples a third of it.
    assert_eq!(of([1, 40, 40], 3), [[1, 1, 40], [1, 1, 22]]);
}
