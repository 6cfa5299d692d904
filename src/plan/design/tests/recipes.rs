//! Recipes that are given: which of them suit a layer, and which of their ways a batch takes.

use super::*;

/// A group of one input may have many phases along the height, and be summed in place then, but not as a product: 4096 are the most.
#[test]
fn a_product_of_too_many_phases_is_refused() {
    let channels = Channels { small: 2, large: 2 };
    let geometry = |rows: usize, stride: usize| {
        let options = Options::new().stride([1, stride, 1]).groups(2);
        Geometry::transposed([1, rows, 16], [1, 2, 1], channels, &options).unwrap()
    };
    let machine = Machine::new::<f32>(Level::new(Isa::Portable).unwrap(), Caches::new(32 << 10, 1 << 20));
    let text = "implicit-gemm portable out 1 in 1 | samples 1×1 positions 1×1×16 chunks 1 cycles 1 packing 0";
    let recipe: Recipe = text.parse().unwrap();
    for like in [Like::Exactly(&recipe), Like::Family(&recipe)] {
        for (rows, stride, is_possible) in [(1, 5000, true), (2, 4096, true), (2, 4097, false), (2, 5000, false)] {
            let designed = designed((&geometry(rows, stride), Side::Large), &machine, None, like);
            assert_eq!(designed.is_some(), is_possible, "{like}, {rows} rows with a stride of {stride}");
        }
    }
    let (geometry, options) = (geometry(2, 5000), PlanOptions::new());
    let phases = Phases::new(&geometry, Side::Large);
    let families = candidates::<f32>(&(geometry, Side::Large).into(), &phases, &machine, &options, 1);
    assert!(families.len() == 1, "rows in place alone");
}

/// 4 MiB are the most: 8 channels of 360² elements, but not of 380².
#[test]
fn a_recipe_that_takes_too_much_scratch_memory_is_refused() {
    let suits = |size: usize| {
        let channels = Channels { small: 1, large: 8 };
        let geometry = Geometry::convolution([1, size, size], [1, 1, 1], channels, &Options::new()).unwrap();
        let machine = Machine::new::<f32>(Level::new(Isa::Portable).unwrap(), Caches::new(32 << 10, 1 << 20));
        let text = format!(
            "implicit-gemm portable out 1 in 8 | samples 1×1 positions 1×{size}×{size} chunks 1 cycles 1 packing 0"
        );
        let recipe: Recipe = text.parse().unwrap();
        designed((&geometry, Side::Small), &machine, None, Like::Exactly(&recipe)).is_some()
    };
    assert!(suits(360) && !suits(380) && !suits(700));
}

/// A recipe may have been written by hand, or for a layer of other channels: here there are 2 outputs and 3 inputs.
#[test]
fn recipes_with_numbers_of_other_layers_are_refused() {
    let channels = Channels { small: 2, large: 3 };
    let geometry = Geometry::convolution([1, 5, 5], [1, 1, 1], channels, &Options::new()).unwrap();
    let machine = Machine::new::<f32>(Level::new(Isa::Portable).unwrap(), Caches::new(32 << 10, 1 << 20));
    let suits = |[out, inputs, chunks]: [usize; 3], [stacked, interleaved]: [usize; 2]| {
        let text = format!(
            "implicit-gemm portable out {out} in {inputs} | samples {stacked}×{interleaved} positions 1×5×5 chunks {chunks} \
             cycles 1 packing 0"
        );
        let recipe: Recipe = text.parse().unwrap();
        designed((&geometry, Side::Small), &machine, None, Like::Exactly(&recipe)).is_some()
    };
    for possible in [[1, 1, 1], [1, 3, 2], [2, 3, 1]] {
        assert!(suits(possible, [1, 1]), "{possible:?}");
    }
    for impossible in [[3, 3, 1], [2, 4, 1], [1, 3, 3], [2, 3, 2]] {
        assert!(!suits(impossible, [1, 1]), "{impossible:?}");
    }
    // 48 samples are the most of a panel, all of them stacked or all side by side.
    for possible in [[48, 1], [1, 48], [2, 1], [1, 5]] {
        assert!(suits([1, 3, 2], possible), "{possible:?}");
    }
    for impossible in [[49, 1], [1, 49], [2, 2], [48, 48]] {
        assert!(!suits([1, 3, 2], impossible), "{impossible:?}");
    }
}

/// Lists are for rows that are read with a stride, in blocks of all positions.
#[test]
fn recipes_with_lists_suit_where_lists_pay() {
    let suits = |stride: usize, rows: usize, listed: &str| {
        let options = Options::new().stride([1, stride, stride]);
        let geometry = Geometry::convolution([1, 9, 9], [1, 3, 3], Channels { small: 1, large: 1 }, &options).unwrap();
        let machine = Machine::new::<f32>(Level::new(Isa::Portable).unwrap(), Caches::new(32 << 10, 1 << 20));
        let text = format!(
            "implicit-gemm portable out 1 in 1 | samples 1×2 positions 1×{rows}×9 chunks 1{listed} cycles 1 packing 0"
        );
        let recipe: Recipe = text.parse().unwrap();
        designed((&geometry, Side::Small), &machine, None, Like::Exactly(&recipe)).is_some()
    };
    assert!(suits(1, 9, "") && suits(2, 9, "") && suits(2, 9, " listed"));
    assert!(!suits(1, 9, " listed"));
    assert!(suits(2, 2, "") && !suits(2, 2, " listed"));
}

#[test]
fn a_batch_runs_where_it_takes_fewest_cycles() {
    let text = "implicit-gemm portable out 1 in 1 | samples 1×1 positions 1×1×1 chunks 1 cycles 100 packing 0 \
                | samples 4×1 positions 1×1×1 chunks 1 cycles 250 packing 0 \
                | samples 1×16 positions 1×1×1 chunks 1 cycles 800 packing 0";
    let recipe: Recipe = text.parse().unwrap();
    // 1 to 16 samples: single ones, or panels of 4 or 16 that are not full.
    let counts = [(1, 1), (2, 1), (3, 4), (4, 4), (5, 1), (12, 4), (13, 16), (16, 16), (17, 4)];
    let literal = |batch: usize| [(1, 100), (4, 250), (16, 800)].map(|(n, cycles)| batch.div_ceil(n) * cycles);
    for (batch, samples) in counts {
        let Recipe::ImplicitGemm(ImplicitGemmRecipe { ways, .. }) = recipe.for_batch(batch) else { unreachable!() };
        let [way] = ways[..] else { panic!("{ways:?}") };
        let least = literal(batch).into_iter().min().unwrap();
        assert_eq!(batch.div_ceil(way.cut.samples.count()) as f64 * way.cycles, least as f64, "{batch}");
        assert_eq!(way.cut.samples.count(), samples, "{batch}");
    }
    assert_eq!(Recipe::Lowered.for_batch(7), Recipe::Lowered);
}

/// Cycles to a whole one, packing to a thousandth of a chunk, whichever is nearest.
#[test]
fn estimates_are_rounded_to_what_they_are_good_for() {
    let planned = square(8, 6, 7);
    let exact = ways::<f32>(&planned.engine().unwrap(), &planned.machine, planned.batch);
    assert_eq!(exact.len(), planned.ways().len());
    for (exact, rounded) in exact.iter().zip(planned.ways()) {
        assert_eq!(rounded.cycles.fract(), 0.0);
        assert!((rounded.cycles - exact.cycles).abs() <= 0.5, "{} for {}", rounded.cycles, exact.cycles);
        let thousandths = rounded.packing * 1000.0;
        assert!((thousandths - thousandths.round()).abs() <= 1e-9, "{}", rounded.packing);
        assert!((rounded.packing - exact.packing).abs() <= 0.0005, "{} for {}", rounded.packing, exact.packing);
    }
    for (cycles, packing, rounded) in [(1234.4, 0.1234, (1234.0, 0.123)), (1234.6, 2.7186, (1235.0, 2.719))] {
        let mut way = Way { cycles, packing, ..exact[0] };
        way.round();
        assert_eq!((way.cycles, way.packing), rounded);
    }
}

/// Where one cell has all chunks, a panel is packed once: `packing` says for how many of them it could have computed instead.
#[test]
fn packing_is_told_in_chunks() {
    let planned = square(40, 8, 64);
    let (mut count, machine) = (0, &planned.machine);
    for Weighed { recipe, work, .. } in planned.families.iter().flatten() {
        let Recipe::ImplicitGemm(ImplicitGemmRecipe { channels_per_chunk, ways, .. }) = recipe else { continue };
        let chunks = 40usize.div_ceil(*channels_per_chunk);
        if ways[0].chunks_per_cell != chunks {
            continue;
        }
        let kinds = ["plane", "copied", "gathered", "listed", "listed_together", "cell"];
        let (mut packing, mut others) = (0.0, 0.0);
        for (kind, amount, cycles) in work.listed(machine.costs) {
            *if kinds.contains(&kind) { &mut packing } else { &mut others } += amount * cycles;
        }
        let told = packing / (others / chunks as f64);
        assert!((ways[0].packing - told).abs() <= 0.00051, "{told} for {recipe}");
        count += 1;
    }
    assert!(count > 20, "{count} candidates");
}
