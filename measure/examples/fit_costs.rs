//! Times the recipes that layers may run, and fits the costs of the planner's estimates to the times.
//!
//! ```text
//! fit_costs time LAYERS.json TIMINGS.csv [--isa NAME] [--candidates N] [--millis N]
//! fit_costs fit TIMINGS.csv
//! ```
//!
//! **Timing.** For every layer, at its own batch, `Layer::candidates` lists recipes with their estimates. The plan's own choice and
//! up to N (16) others are timed: the cheaper half of these by estimate, and as many of the rest, evenly spread up to twice the least
//! estimate, so that recipes wrongly held for slow are seen too. They take 9 turns in f32 on one thread, N (60) milliseconds or 9 calls
//! each, and the least time counts, of the processor for this thread, so that other work of the machine can add to it only by what it
//! leaves in the caches. TIMINGS.csv has a row per recipe: the layer, whether it is the
//! plan's own choice, seconds of a call, the estimate in cycles, the recipe as text, and the amount of every kind of work that the
//! estimate counts. Lines with `#` say where it was made and what a unit of each kind costs so far.
//!
//! **Fitting.** An estimate is Σ amount·cost, so that costs are fitted by linear least squares. What counts is the order of the
//! recipes of one layer, not whether one layer as a whole takes longer than estimated (its data may lie in another cache): each layer l
//! has a factor s_l of its own, and costs c ≥ 0 minimise
//!
//! ```text
//! Σ_l Σ_i (amounts_i·c / (s_l·time_i) − 1)²  +  λ·n·Σ_k (c_k / c⁰_k − 1)²
//! ```
//!
//! over the n recipes of the layers with even numbers. The second sum, λ = 0.001, keeps a cost near the one so far, c⁰, where the times
//! say little about it. c and s take turns: s_l is the mean of amounts·c / time over the layer, c is found by coordinate descent on the
//! normal equations, which keeps every cost from falling below zero (V. Franc et al., *Sequential coordinate-wise algorithm for the
//! non-negative least squares problem*, 2005). All s begin as they are for c⁰, and the costs are scaled in the end so that the mean of
//! ln s stays what it was: a cycle remains a cycle.
//!
//! **Judging.** Of every layer the recipe with the least estimate is picked; its time over the best one's is the loss. Mean and worst
//! loss are printed for both halves of the layers, with the costs so far and the fitted ones. Fitted costs are good if they lose less
//! on the layers with odd numbers, which they have not seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use convmat::{Caches, Candidate, Direction, Forward, Isa, Layer, Plan, PlanOptions, Result, Transposed, Workspace};
use convmat_measure::{Workload, geometric_mean, layer_file, pool, processor};

const USAGE: &str = "usage: fit_costs time LAYERS.json TIMINGS.csv [--isa NAME] [--candidates N] [--millis N]\n       \
                     fit_costs fit TIMINGS.csv";
/// Turns of every recipe.
const ROUNDS: usize = 9;
/// Weight of what is known beside the times.
const LAMBDA: f64 = 1e-3;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["time", layers, to, ref options @ ..] => Timing::parse(options).and_then(|timing| timing.run(layers, to)),
        ["fit", from] => fit(from),
        _ => Err(USAGE.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("fit_costs: {why}");
            ExitCode::from(1)
        }
    }
}

/// Seconds that the processor has worked for this thread; where the system does not say, seconds.
fn processor_seconds() -> f64 {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    }
    #[cfg(not(unix))]
    {
        use std::sync::LazyLock;
        static START: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
        START.elapsed().as_secs_f64()
    }
}

/// How candidates are timed.
struct Timing {
    isa: Isa,
    candidates: usize,
    millis: u64,
}

impl Timing {
    fn parse(words: &[&str]) -> std::result::Result<Self, String> {
        let mut timing = Self { isa: Isa::best(), candidates: 16, millis: 60 };
        for pair in words.chunks(2) {
            let &[option, value] = pair else { return Err(USAGE.to_string()) };
            let number =
                || value.parse().ok().filter(|&n: &u64| n > 0).ok_or(format!("\"{value}\" is no number from 1 on"));
            match option {
                "--isa" => timing.isa = value.parse().map_err(|error| format!("{error}"))?,
                "--candidates" => timing.candidates = number()? as usize,
                "--millis" => timing.millis = number()?,
                _ => return Err(USAGE.to_string()),
            }
        }
        Ok(timing)
    }

    fn run(&self, layers: &str, to: &str) -> std::result::Result<(), String> {
        let (mut rows, mut costs) = (String::new(), BTreeMap::new());
        let one = pool(1)?;
        for (name, layer) in layer_file(layers)? {
            let layer = layer.map_err(|why| format!("{name}: {why}"))?;
            let timed = one.install(|| match layer.transposed {
                true => self.times::<Transposed>(&layer),
                false => self.times::<Forward>(&layer),
            });
            let timed = timed.map_err(|why| format!("{name}: {why}"))?;
            eprintln!("{name}: {} recipes", timed.len());
            for (number, (candidate, seconds)) in timed.iter().enumerate() {
                let cycles = candidate.cycles.unwrap_or(f64::NAN);
                let recipe = candidate.recipe.for_batch(layer.batch);
                let work: Vec<String> =
                    candidate.work.iter().map(|work| format!("{}={}", work.kind, digits(work.amount))).collect();
                costs.extend(candidate.work.iter().map(|work| (work.kind, work.cycles)));
                let is_own = usize::from(number == 0);
                let _ = writeln!(rows, "{name},{is_own},{seconds:.4e},{},{recipe},{}", digits(cycles), work.join(" "));
            }
        }
        let caches = Caches::detected();
        let costs: Vec<String> = costs.iter().map(|(kind, cycles)| format!("{kind}={cycles}")).collect();
        let head = format!(
            "# {}; f32, one thread\n# isa {}\n# caches {} {}\n# costs {}\nlayer,own,seconds,cycles,recipe,work\n",
            processor(),
            self.isa,
            caches.first_level(),
            caches.second_level(),
            costs.join(" ")
        );
        std::fs::write(to, head + &rows).map_err(|error| format!("cannot write {to}: {error}"))
    }

    /// Candidates of a layer with the seconds of each.
    fn times<D: Direction>(&self, workload: &Workload) -> Result<Vec<(Candidate, f64)>> {
        let layer = Layer::<D, f32, 3>::from_shared(workload.weights(1)?, None, workload.options)?;
        let options = PlanOptions::new().isa(self.isa).expected_batch(workload.batch);
        let candidates = self.chosen(layer.candidates(workload.input, &options)?);
        let plan = |candidate: &Candidate| layer.plan_from(workload.input, &candidate.recipe, &options);
        let plans: Vec<Plan<D, f32, 3>> = candidates.iter().map(plan).collect::<Result<_>>()?;
        let x = workload.tensor(D::INPUT, 2)?;
        let (mut y, mut workspace) = (workload.tensor(D::OUTPUT, 3)?, Workspace::new());
        let (mut least, mut calls) = (vec![f64::INFINITY; plans.len()], vec![1; plans.len()]);
        for round in 0..=ROUNDS {
            for (number, plan) in plans.iter().enumerate() {
                // Calls that are short find their data in the caches of the one before, as in a loop.
                let mut time = |calls: u64| -> Result<f64> {
                    let start = processor_seconds();
                    (0..calls).try_for_each(|_| plan.run_into(&x, &mut y, &mut workspace))?;
                    Ok((processor_seconds() - start) / calls as f64)
                };
                let first = time(1)?;
                match round {
                    0 => calls[number] = (self.millis as f64 * 1e-3 / (ROUNDS as f64 * first.max(1e-7))).ceil() as u64,
                    _ if calls[number] > 1 => least[number] = least[number].min(time(calls[number])?),
                    _ => least[number] = least[number].min(first),
                }
            }
        }
        Ok(candidates.into_iter().zip(least).collect())
    }

    /// The own choice, the cheaper half, and a spread of the others.
    fn chosen(&self, mut all: Vec<Candidate>) -> Vec<Candidate> {
        let cycles = |candidate: &Candidate| candidate.cycles.unwrap_or(f64::INFINITY);
        let least = all.iter().map(cycles).fold(f64::INFINITY, f64::min);
        let mut others = all.split_off(1);
        others.retain(|other| cycles(other) <= 2.0 * least);
        let cheap = (self.candidates / 2).min(others.len());
        let rest = others.split_off(cheap);
        let step = rest.len().div_ceil((self.candidates - self.candidates / 2).max(1)).max(1);
        all.extend(others);
        all.extend(rest.into_iter().step_by(step));
        all
    }
}

/// A number with as many digits as it is good for.
fn digits(value: f64) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    format!("{rounded}")
}

/// One timed recipe.
struct Row {
    layer: usize,
    is_own: bool,
    seconds: f64,
    amounts: Vec<f64>,
}

/// Timings of a file.
struct Timings {
    layers: Vec<String>,
    kinds: Vec<String>,
    /// The costs so far.
    costs: Vec<f64>,
    rows: Vec<Row>,
}

impl Timings {
    fn parse(text: &str) -> Option<Self> {
        let pairs = |text: &str| {
            let pairs = text.split_whitespace().map(|pair| {
                let (kind, number) = pair.split_once('=')?;
                Some((kind.to_string(), number.parse::<f64>().ok()?))
            });
            pairs.collect::<Option<Vec<_>>>()
        };
        let (kinds, costs): (Vec<_>, Vec<_>) =
            pairs(text.lines().find_map(|line| line.strip_prefix("# costs "))?)?.into_iter().unzip();
        let (mut layers, mut rows) = (Vec::new(), Vec::new());
        for line in text.lines().filter(|line| !line.starts_with('#')).skip(1) {
            let [layer, own, seconds, _, _, work] = line.split(',').collect::<Vec<_>>()[..] else { return None };
            let work = pairs(work)?;
            if layers.last().is_none_or(|last| last != layer) {
                layers.push(layer.to_string());
            }
            let amount = |kind: &String| work.iter().find(|(of, _)| of == kind).map_or(0.0, |&(_, amount)| amount);
            rows.push(Row {
                layer: layers.len() - 1,
                is_own: own == "1",
                seconds: seconds.parse().ok()?,
                amounts: kinds.iter().map(amount).collect(),
            });
        }
        // A recipe that is not estimated, as a lowered one, says nothing about costs.
        rows.retain(|row| row.amounts.iter().sum::<f64>() > 0.0);
        Some(Self { layers, kinds, costs, rows })
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn fit(from: &str) -> std::result::Result<(), String> {
    let text = std::fs::read_to_string(from).map_err(|error| format!("cannot read {from}: {error}"))?;
    let timings = Timings::parse(&text).ok_or_else(|| format!("{from} holds no timings"))?;
    let fitted = timings.fitted(|layer| layer % 2 == 0);
    println!("{:<18} {:>10} {:>10}", "cycles", "so far", "fitted");
    for ((kind, before), after) in timings.kinds.iter().zip(&timings.costs).zip(&fitted) {
        println!("{kind:<18} {before:>10.3} {after:>10.3}");
    }
    println!("\n{:<10} {:<18} {:>8} {:>8}  worst layer", "layers", "pick by", "mean", "worst");
    for (name, parity) in [("fitted", 0), ("judged", 1)] {
        let is_in = |layer: usize| layer % 2 == parity;
        timings.report(name, "the plan itself", is_in, |row| if row.is_own { 0.0 } else { 1.0 });
        timings.report(name, "costs so far", is_in, |row| dot(&row.amounts, &timings.costs));
        timings.report(name, "fitted costs", is_in, |row| dot(&row.amounts, &fitted));
    }
    Ok(())
}

impl Timings {
    /// Costs that fit the times of some layers.
    fn fitted(&self, is_in: impl Fn(usize) -> bool) -> Vec<f64> {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| is_in(row.layer)).collect();
        let ratio = |row: &Row, costs: &[f64]| dot(&row.amounts, costs) / row.seconds;
        let factors = |costs: &[f64]| {
            let mut sums = vec![(0.0, 0.0); self.layers.len()];
            for row in &rows {
                sums[row.layer].0 += ratio(row, costs);
                sums[row.layer].1 += 1.0;
            }
            sums.into_iter().map(|(sum, count): (f64, f64)| sum / count.max(1.0)).collect::<Vec<f64>>()
        };
        let level = |factors: &[f64]| {
            let logarithms: Vec<f64> =
                factors.iter().filter(|&&factor| factor > 0.0).map(|factor| factor.ln()).collect();
            logarithms.iter().sum::<f64>() / logarithms.len().max(1) as f64
        };
        let start = factors(&self.costs);
        let (mut costs, mut of_layers) = (self.costs.clone(), start.clone());
        for _ in 0..50 {
            // Unknowns are costs over those so far, so that all are of about one size.
            let scaled = |row: &Row| -> Vec<f64> {
                let target = of_layers[row.layer] * row.seconds;
                row.amounts.iter().zip(&self.costs).map(|(amount, cost)| amount * cost / target).collect()
            };
            let prior = LAMBDA * rows.len() as f64;
            let kinds = self.kinds.len();
            let mut matrix = vec![vec![0.0; kinds]; kinds];
            let mut right = vec![prior; kinds];
            for (kind, row) in matrix.iter_mut().enumerate() {
                row[kind] = prior;
            }
            for row in rows.iter().map(|row| scaled(row)) {
                for (i, a) in row.iter().enumerate() {
                    right[i] += a;
                    row.iter().enumerate().for_each(|(j, b)| matrix[i][j] += a * b);
                }
            }
            let mut unknowns = vec![1.0; kinds];
            for _ in 0..500 {
                for k in 0..kinds {
                    let others = dot(&matrix[k], &unknowns) - matrix[k][k] * unknowns[k];
                    unknowns[k] = ((right[k] - others) / matrix[k][k]).max(0.0);
                }
            }
            costs = self.costs.iter().zip(&unknowns).map(|(cost, unknown)| cost * unknown).collect();
            of_layers = factors(&costs);
            let scale = (level(&start) - level(&of_layers)).exp();
            costs.iter_mut().chain(&mut of_layers).for_each(|value| *value *= scale);
        }
        costs
    }

    /// Prints what is lost by picking the recipe with the least score of every layer.
    fn report(&self, half: &str, by: &str, is_in: impl Fn(usize) -> bool, score: impl Fn(&Row) -> f64) {
        let mut losses = Vec::new();
        for number in (0..self.layers.len()).filter(|&layer| is_in(layer)) {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.layer == number).collect();
            let best = rows.iter().map(|row| row.seconds).fold(f64::INFINITY, f64::min);
            if let Some(pick) = rows.iter().min_by(|a, b| score(a).total_cmp(&score(b))) {
                losses.push((pick.seconds / best, number));
            }
        }
        let mean = geometric_mean(&losses.iter().map(|&(loss, _)| loss).collect::<Vec<_>>());
        if let Some(&(worst, layer)) = losses.iter().max_by(|a, b| a.0.total_cmp(&b.0)) {
            println!("{half:<10} {by:<18} {mean:>8.3} {worst:>8.3}  {}", self.layers[layer]);
        }
    }
}
