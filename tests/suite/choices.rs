//! What plans choose, against the times of all that they could have chosen: `tests/timings`, written by
//! `measure/examples/fit_costs.rs`. To choose is arithmetic, so that this needs the instruction set and not the processor.

use std::collections::BTreeMap;
use std::fs;

use convmat::{Caches, Isa, PlanOptions, Recipe};
use convmat_measure::{geometric_mean, layer_file};
use ndarray::ArcArray;

/// Times of one processor and instruction set.
struct Timings {
    isa: Isa,
    caches: Caches,
    /// Seconds of every recipe, by layers.
    layers: BTreeMap<String, Vec<(Recipe, f64)>>,
}

impl Timings {
    fn read(path: &str) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let said = |what: &str| text.lines().find_map(|line| line.strip_prefix(what)).unwrap().trim();
        let bytes: Vec<usize> = said("# caches").split(' ').map(|bytes| bytes.parse().unwrap()).collect();
        let mut layers = BTreeMap::<_, Vec<_>>::new();
        for line in text.lines().filter(|line| !line.starts_with('#')).skip(1) {
            let [layer, _, seconds, _, recipe, _] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
            layers.entry(layer.to_owned()).or_default().push((recipe.parse().unwrap(), seconds.parse().unwrap()));
        }
        Self { isa: said("# isa").parse().unwrap(), caches: Caches::new(bytes[0], bytes[1]), layers }
    }

    /// Of every layer, the time of what a plan chooses over that of the best recipe.
    fn losses(&self) -> Vec<(String, f64)> {
        let mut losses = Vec::new();
        for (name, layer) in layer_file("benches/layers.json").unwrap() {
            let layer = layer.unwrap();
            let weights = ArcArray::zeros(layer.geometry().unwrap().weight_shape());
            let options = PlanOptions::new().isa(self.isa).caches(self.caches);
            let chosen = layer.planned(weights, None, &options).unwrap().recipe().for_batch(layer.batch);
            let timed = &self.layers[&name];
            let of = |recipe: &Recipe| timed.iter().find(|(other, _)| other == recipe).map(|(_, seconds)| *seconds);
            let chosen = of(&chosen).unwrap_or_else(|| panic!("{name}: nobody timed {chosen}; see fit_costs"));
            let best = timed.iter().map(|(_, seconds)| *seconds).fold(f64::INFINITY, f64::min);
            losses.push((name, chosen / best));
        }
        losses
    }
}

/// All timings there are, and those that this processor has no instruction set for, which cannot be planned for here.
fn timings() -> Vec<(String, Timings)> {
    let mut files: Vec<_> = fs::read_dir("tests/timings").unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    let read = |path: std::path::PathBuf| {
        let path = path.to_str().unwrap().to_owned();
        (path.clone(), Timings::read(&path))
    };
    let (here, missing): (Vec<_>, Vec<_>) =
        files.into_iter().map(read).partition(|(_, timings)| timings.isa.is_available());
    missing.iter().for_each(|(path, timings)| println!("{path}: not checked, {} is missing here", timings.isa));
    here
}

/// Costs are as they were before these times were taken; none was fitted to them. Measured when this was written: mean 1.013, worst
/// 1.056 (unet-up1).
#[test]
fn what_is_chosen_takes_little_longer_than_the_best_recipe_that_was_timed() {
    for (path, timings) in timings() {
        let losses = timings.losses();
        losses.iter().for_each(|(name, loss)| println!("{path}: {name:24} {loss:.3}"));
        let mean = geometric_mean(&losses.iter().map(|(_, loss)| *loss).collect::<Vec<_>>());
        assert!(mean <= 1.03, "{path}: {mean:.3} in the geometric mean");
        for (name, loss) in losses {
            assert!(loss <= 1.1, "{path}: {name} is planned {loss:.3} times as slow as it could be");
        }
    }
}
