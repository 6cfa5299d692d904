//! Operands that do not fit stop the program before anything is written.

use super::*;

/// A run that has to panic with a message.
fn assert_refused(message: &str, run: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap();
    assert!(text.contains(message), "{text}");
}

/// Inputs that `break_it` makes unfit stop the program before anything is written.
fn inputs_are_refused(message: &str, break_it: impl Fn(&mut Inputs<f32>)) {
    for level in levels() {
        let mut random = ChaCha8Rng::seed_from_u64(4);
        let all = all_views();
        let axes = [all[4].clone(), all[2].clone(), all[5].clone()];
        let mut inputs = Inputs::<f32>::new(lanes::<f32>(level.isa()), axes, [2, 2], &mut random);
        break_it(&mut inputs);
        assert_refused(message, || inputs.run(level));
        assert!(inputs.to.iter().chain(&inputs.scratch).all(|value| value.is_nan()), "written before the check");
    }
}

/// As [`inputs_are_refused`].
fn sums_are_refused(message: &str, break_it: impl Fn(&mut Sums<f32>)) {
    for level in levels() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let axes = [(3, 2), (6, 4), (4, 3)].map(|(points, outputs)| OutputTransform { points, outputs });
        let mut sums = Sums::<f32>::new(lanes::<f32>(level.isa()), axes, 2, &mut random);
        break_it(&mut sums);
        assert_refused(message, || sums.run(level));
        assert!(sums.to.iter().chain(&sums.scratch).all(|value| value.is_nan()), "written before the check");
    }
}

#[test]
fn operands_that_are_too_short_are_refused() {
    inputs_are_refused("a tile leaves its panel", |inputs| inputs.panel.truncate(inputs.panel.len() - 1));
    inputs_are_refused("a tile leaves its panel", |inputs| inputs.panel.clear());
    inputs_are_refused("points leave their memory", |inputs| inputs.to.truncate(inputs.to.len() - 1));
    inputs_are_refused("scratch memory is too small", |inputs| inputs.scratch.truncate(inputs.scratch.len() - 1));
    sums_are_refused("points leave the sums", |sums| sums.sums.truncate(sums.sums.len() - 1));
    sums_are_refused("outputs leave their memory", |sums| sums.to.truncate(sums.to.len() - 1));
    sums_are_refused("scratch memory is too small", |sums| sums.scratch.truncate(sums.scratch.len() - 1));
}

#[test]
fn distances_that_are_too_long_are_refused() {
    inputs_are_refused("a tile leaves its panel", |inputs| inputs.bases[1] = inputs.panel.len() as u32);
    // The last values wrap around to small ends in 64 bits.
    for more in [1, 1 << 62, 1 << 63] {
        inputs_are_refused("a tile leaves its panel", |inputs| {
            inputs.channel_step = inputs.channel_step.wrapping_add(more)
        });
        inputs_are_refused("points leave their memory", |inputs| inputs.pitch = inputs.pitch.wrapping_add(more));
        inputs_are_refused("points leave their memory", |inputs| {
            inputs.point_step = inputs.point_step.wrapping_add(more)
        });
        sums_are_refused("points leave the sums", |sums| sums.point_step = sums.point_step.wrapping_add(more));
        for axis in 0..3 {
            sums_are_refused("outputs leave their memory", |sums| {
                sums.steps[axis] = sums.steps[axis].wrapping_add(more)
            });
        }
    }
    inputs_are_refused("a tile leaves its panel", |inputs| inputs.channels = usize::MAX / 2);
    sums_are_refused("points leave the sums", |sums| sums.vectors = usize::MAX / 16 + 1);
}

#[test]
fn views_and_transforms_that_there_are_not_are_refused() {
    inputs_are_refused("a view leaves its window", |inputs| inputs.axes[2].1[0].elements[0] = 5);
    inputs_are_refused("a view leaves its window", |inputs| inputs.axes[2].1[0].elements = vec![0, 1]);
    inputs_are_refused("a view leaves its window", |inputs| inputs.axes[2].1[0].elements = vec![0; 7]);
    inputs_are_refused("has its place", |inputs| inputs.axes[1].0 += 1);
    for (points, outputs) in [(2, 1), (3, 1), (7, 2), (4, 5), (0, 2)] {
        sums_are_refused("no such transform", |sums| sums.axes[1] = OutputTransform { points, outputs });
    }
}
