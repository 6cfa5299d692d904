//! Where the phases of every output lie in a chunk's buffer, and where in the output a tile's lanes are stored.
//!
//! It knows no bias and writes nothing.

use crate::engine::panel::Samples;
use crate::engine::phases::Phases;
use crate::engine::schedule::{BlockPlan, Run, TilePlan};
use crate::engine::weights::WeightLayout;
use crate::kernel::merge::MergePattern;
use crate::kernel::scatter::{Places, samples_per_place};
use crate::kernel::vector::MAX_LANES;

/// Where the rows of a phase lie in a chunk's buffer: row `first + channel · step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PhaseRow {
    pub(super) first: usize,
    pub(super) step: usize,
}

/// A piece of an output row in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Landing {
    /// `[sample, depth, height, width]`.
    pub(super) at: [usize; 4],
    /// Outputs of the run that come before the piece and do not exist.
    pub(super) lead: usize,
    pub(super) count: usize,
}

/// Where the rows of all phases lie in a chunk's buffer, and which outputs they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowMap {
    /// Per phase, the gather along the width fastest; `None` for phases that no tap reaches.
    pub(super) rows: Vec<Option<PhaseRow>>,
    /// Number of gathers per axis. Gather number q computes the outputs `step · j + q`.
    pub(super) phases: [usize; 3],
    /// Step of the output per position.
    steps: [usize; 3],
    /// How the phases of a row are merged.
    pub(super) pattern: MergePattern,
    /// How a row of a single phase is "merged": copied.
    pub(super) alone: MergePattern,
}

impl RowMap {
    pub(crate) fn new(phases: &Phases, weights: &WeightLayout, lanes: usize) -> Self {
        let counts: [usize; 3] = std::array::from_fn(|i| phases.axes[i].gathers.len());
        let mut rows = vec![None; counts.iter().product()];
        for (number, of_group) in weights.rows.iter().enumerate().filter(|(_, of_group)| of_group.tiles > 0) {
            let axes = phases.axis_groups(number);
            let mut member = 0;
            for &d in &axes[0].members {
                for &h in &axes[1].members {
                    for &w in &axes[2].members {
                        rows[(d * counts[1] + h) * counts[2] + w] =
                            Some(PhaseRow { first: of_group.first + member, step: phases.groups[number].phases });
                        member += 1;
                    }
                }
            }
        }
        Self {
            rows,
            steps: phases.axes.each_ref().map(|axis| axis.output_step),
            pattern: MergePattern::new(counts[2], lanes),
            alone: MergePattern::new(1, lanes),
            phases: counts,
        }
    }

    /// Whether there are phases that no tap reaches.
    pub(crate) fn has_gaps(&self) -> bool {
        self.rows.contains(&None)
    }

    /// Phases along the width.
    pub(crate) fn width_phases(&self) -> usize {
        self.phases[2]
    }

    /// Outputs of a block of `lens` positions along each axis.
    pub(crate) fn outputs(&self, lens: [usize; 3]) -> [usize; 3] {
        // An axis has `step` phases, one for each residue of an output index, unless its output is shorter than `step`.
        // Then it has as many phases as outputs, and a single position.
        std::array::from_fn(|i| lens[i] * self.phases[i])
    }

    /// Where a run's piece of an output row lies in a cell that begins behind `skip` outputs, in phase (d, h) of depth and height;
    /// `None` if all of it lies outside of the cell.
    #[inline(always)]
    pub(super) fn landing(
        &self,
        run: &Run,
        [phase_d, phase_h]: [usize; 2],
        [skip_d, skip_h, skip_w]: [usize; 3],
        shape: [usize; 5],
    ) -> Option<Landing> {
        let [samples, _, depth, height, width] = shape;
        let d = (run.d * self.steps[0] + phase_d).checked_sub(skip_d)?;
        let h = (run.h * self.steps[1] + phase_h).checked_sub(skip_h)?;
        let (start, end) = (run.x * self.steps[2], run.x * self.steps[2] + run.len * self.phases[2]);
        let (lead, w) = (skip_w.saturating_sub(start), start.saturating_sub(skip_w));
        let end = end.saturating_sub(skip_w).min(width);
        let is_inside = run.s < samples && d < depth && h < height && w < end;
        is_inside.then(|| Landing { at: [run.s, d, h, w], lead, count: end - w })
    }

    /// Where the elements of a tile's buffer go in contiguous planes of outputs, or `None` if these are too large.
    pub(crate) fn places(
        &self,
        plan: &BlockPlan,
        tile: &TilePlan,
        phases: &Phases,
        [pitch, lanes]: [usize; 2],
    ) -> Option<Places> {
        let [_, height, width] = phases.axes.each_ref().map(|axis| axis.output);
        let strides = [height * width, width, 1].map(|stride| stride as isize);
        let Samples { interleaved, .. } = plan.panel.samples;
        let shape = [plan.panel.samples.count(), plan.outputs[0], plan.outputs[1], plan.outputs[2]];
        let runs = &plan.runs[tile.runs.clone()];
        let side = samples_per_place(interleaved, lanes);
        // `side` divides the interleaved samples, at multiples of which rows begin, and the lanes of a vector, at
        // multiples of which rows are cut into runs.
        assert!(runs.iter().all(|run| run.x.is_multiple_of(side) && run.len.is_multiple_of(side)), "a side is cut");
        let first_samples = runs.iter().flat_map(|run| (0..run.len).step_by(side).map(move |i| (run, i)));
        let elements = first_samples.flat_map(|(run, i)| {
            let (column, s) = ((run.x + i) / interleaved, run.s + (run.x + i) % interleaved);
            let numbers = ndarray::indices(self.phases).into_iter();
            numbers.zip(&self.rows).filter_map(move |((phase_d, phase_h, phase_w), row)| {
                let (position, phase) = ([run.d, run.h, column], [phase_d, phase_h, phase_w]);
                let of_axis = |i: usize| (position[i] * self.steps[i] + phase[i]).checked_sub(plan.skip[i]);
                let (d, h, w) = (of_axis(0)?, of_axis(1)?, of_axis(2)?);
                let source = row.map(|row| (row.first * pitch + run.lane + i, row.step * pitch));
                (d < shape[1] && h < shape[2] && w < shape[3]).then_some(([s, d, h, w], source))
            })
        });
        Places::new(shape, strides, side, elements)
    }

    /// Elements of a stage: outputs of one chunk for a block of `lens` positions and all samples side by side.
    pub(crate) fn stage_len(&self, lens: [usize; 3], chunk: usize, samples: usize) -> usize {
        samples * self.stage_strides(lens, chunk)[0]
    }

    /// Elements from one sample of a stage to the next, and from one of its channels to the next: a plane, and what vectors read
    /// beyond it.
    pub(super) fn stage_strides(&self, lens: [usize; 3], channels: usize) -> [usize; 2] {
        let plane = self.outputs(lens).iter().product::<usize>() + MAX_LANES;
        // Sorting writes to all samples in turn. An odd number of cache lines apart, they lie in different sets of a
        // cache.
        let sample = ((plane * channels).div_ceil(MAX_LANES) | 1) * MAX_LANES;
        [sample, plane]
    }
}
