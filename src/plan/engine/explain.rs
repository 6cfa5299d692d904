//! Why an implicit GEMM computes as it does, in sentences. It reads what was designed and decides nothing.

use crate::engine::filtered::Filtered;
use crate::engine::implicit_gemm::ImplicitGemm;
use crate::engine::phases::Phases;
use crate::kernel::micro::lanes;
use crate::plan::recipe::Way;
use crate::scalar::Scalar;

/// A sentence for every choice.
pub(super) fn implicit_gemm<'a, T: Scalar>(gemm: &ImplicitGemm, ways: impl Iterator<Item = &'a Way> + Clone) -> String {
    let mut sentences = vec![of_phases(&gemm.phases), of_blocks::<T>(gemm)];
    sentences.extend(ways.clone().map(|way| of_way(way, &gemm.phases)));
    sentences.push(of_estimate(ways));
    sentences.join(" ")
}

/// A sentence for every choice.
pub(super) fn filtered<'a, T: Scalar>(filtered: &Filtered, ways: impl Iterator<Item = &'a Way> + Clone) -> String {
    let (layout, products) = (&filtered.filter.layout, &filtered.filter.products);
    let [d, h, w] = filtered.filter.axes.each_ref().map(|axis| axis.steps[0]);
    let outputs = d * h * w;
    let terms = products.all_terms();
    let taps: usize = filtered.exact.products.all_terms() * outputs / filtered.exact.products.of_phase.len().max(1);
    let mut sentences = vec![format!(
        "Minimal filtering: a tile of {d}×{h}×{w} outputs takes {terms} products per input and output channel where the \
         definition takes {taps}. Tiles are counted from the first output; one with an input that is not finite, or so large that a sum \
         might overflow, is computed by the definition."
    )];
    sentences.push(format!(
        "{} of {} output channels are computed at a time, in register tiles of {} rows by up to {} vectors of {} lanes; lanes run \
         along tiles. {} of {} input channels are summed at a time, each block from zero.",
        layout.chunk,
        layout.outputs,
        layout.per_tile,
        filtered.tiled.tile.vectors,
        lanes::<T>(filtered.tiled.level.isa()),
        layout.inputs_per_block.min(layout.inputs),
        layout.inputs,
    ));
    sentences.extend(ways.clone().map(|way| of_way(way, &filtered.tiled.phases)));
    sentences.push(of_estimate(ways));
    sentences.join(" ")
}

/// Different values in order of their first appearance.
fn listed(values: impl Iterator<Item = usize>) -> String {
    let mut different: Vec<String> = Vec::new();
    for value in values.map(|value| value.to_string()) {
        if !different.contains(&value) {
            different.push(value);
        }
    }
    different.join(" or ")
}

/// What the rows of the product are.
fn of_phases(phases: &Phases) -> String {
    let taps = listed(phases.groups.iter().map(|group| group.taps));
    match (phases.phases(), phases.groups.len()) {
        (1, _) => {
            format!("Every output is one sum over {taps} taps, so that all outputs are the columns of one product.")
        }
        (count, groups) => format!(
            "The stride makes {count} phases in {groups} groups that read alike: each phase is a correlation of {taps} taps \
             without stride, so that no inserted zero is multiplied and no output is written twice."
        ),
    }
}

/// What is computed at a time.
fn of_blocks<T: Scalar>(gemm: &ImplicitGemm) -> String {
    let weights = &gemm.weights;
    let rows = listed(weights.rows.iter().map(|rows| rows.per_tile));
    let inputs = match weights.blocks() {
        1 => format!("all {} input channels are summed at once, because what a tile reads of them", weights.inputs),
        _ => format!(
            "{} of {} input channels are summed at a time, so that what a tile reads of them",
            weights.inputs_per_block, weights.inputs
        ),
    };
    format!(
        "{} of {} output channels are computed at a time, with all their phases: they fill register tiles of {rows} rows by up \
         to {} vectors of {} lanes best; {inputs} stays in the first-level cache.",
        weights.chunk,
        weights.outputs,
        gemm.tile.vectors,
        lanes::<T>(gemm.level.isa()),
    )
}

/// How positions are cut.
fn of_way(way: &Way, phases: &Phases) -> String {
    let [d, h, w] = way.cut.block;
    let positions = phases.axes.each_ref().map(|axis| axis.positions);
    let samples = &way.cut.samples;
    let who = match (samples.stacked, samples.interleaved) {
        (1, 1) => "One sample fills a panel".to_owned(),
        (stacked, 1) => format!("{stacked} samples share a panel, because one has too few positions to fill vectors"),
        (_, interleaved) => {
            format!("{interleaved} samples lie side by side in the lanes, because rows of one are shorter than vectors")
        }
    };
    let mut text =
        format!("{who}, {d}×{h}×{w} of {}×{}×{} positions at a time", positions[0], positions[1], positions[2]);
    if way.cut.by_valid_taps.contains(&true) {
        text += "; borders are computed apart, without the taps that lie outside";
    }
    if way.is_listed {
        text += "; a list says where the inputs of a panel go, because their rows are short and read with a stride";
    }
    if way.is_scattered {
        text += "; outputs go to listed places, because their rows are short";
    }
    text + "."
}

/// What the ways to cut a batch are estimated to take.
fn of_estimate<'a>(ways: impl Iterator<Item = &'a Way>) -> String {
    let cycles = ways.map(|way| match way.cut.samples.count() {
        1 => format!("{:.0}", way.cycles),
        count => format!("{:.0} in panels of {count}", way.cycles / count as f64),
    });
    let cycles: Vec<String> = cycles.collect();
    format!(
        "By estimate a sample takes {} cycles of one thread; every other cut that was weighed takes longer.",
        cycles.join(" or ")
    )
}
