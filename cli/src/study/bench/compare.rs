//! Two runs beside each other: what became faster or slower, and what cannot be compared.
//!
//! ```text
//! compare::print(&old, &new, out)
//! ```

use std::cmp::Ordering;
use std::io::{self, Write};

use super::record::{Candidate, Header, Outcome, Record, Run};
use super::verdict::compare;
use crate::report::{Table, duration, field, significant};

/// Prints the ratio of the medians for each record that both runs measured, the records that only one has, and how the
/// machines of the runs differ.
pub fn print(old: &Run, new: &Run, out: &mut dyn Write) -> io::Result<()> {
    field(out, "old", &old.header.date)?;
    field(out, "new", &new.header.date)?;
    for difference in differences(&old.header, &new.header) {
        field(out, "changed", difference)?;
    }
    writeln!(out)?;

    let pairs: Vec<_> = old.records.iter().filter_map(|record| Some((record, partner(record, new)?))).collect();
    let mut table = Table::new(["layer", "direction", "formulation", ">old", ">new", ">old / new", ""]);
    let (mut counts, mut ratios) = ([0; 3], Vec::new());
    for (before, after) in &pairs {
        let Some((a, b)) = before.measured().zip(after.measured()) else { continue };
        let ratio = a.run.median / b.run.median;
        let (index, verdict) = match compare(&b.run, &a.run) {
            Ordering::Less => (0, "faster"),
            Ordering::Equal => (1, ""),
            Ordering::Greater => (2, "slower"),
        };
        counts[index] += 1;
        ratios.push((before.candidate, ratio));
        let [layer, direction, formulation] = names(before);
        let times = [duration(a.run.median), duration(b.run.median), significant(ratio, 3)];
        let [before, after, ratio] = times;
        table.row([layer, direction, formulation, before, after, ratio, verdict.to_owned()]);
    }
    write!(out, "{table}")?;
    writeln!(out)?;

    let [faster, equal, slower] = counts;
    writeln!(out, "{faster} faster, {slower} slower, {equal} equal within the spread")?;
    if let Some(mean) = geometric_mean(ratios.iter().map(|(_, ratio)| *ratio)) {
        writeln!(out, "geometric mean of old / new: {}", significant(mean, 3))?;
    }
    for candidate in Candidate::ALL {
        let of = ratios.iter().filter(|(of, _)| *of == candidate).map(|(_, ratio)| *ratio);
        if let Some(mean) = geometric_mean(of) {
            writeln!(out, "  {candidate:<22} {}", significant(mean, 3))?;
        }
    }
    for (before, after) in &pairs {
        let [before_word, after_word] = [before, after].map(|record| word(&record.outcome));
        if before_word != after_word {
            writeln!(out, "{}: {before_word}, now {after_word}", names(before).join(" "))?;
        }
    }
    for (which, run, other) in [("old", old, new), ("new", new, old)] {
        for record in run.records.iter().filter(|record| partner(record, other).is_none()) {
            writeln!(out, "only in {which}: {}", names(record).join(" "))?;
        }
    }
    Ok(())
}

/// The record of the same problem and formulation in the other run.
fn partner<'a>(record: &Record, run: &'a Run) -> Option<&'a Record> {
    run.records.iter().find(|other| other.candidate == record.candidate && other.problem == record.problem)
}

fn names(record: &Record) -> [String; 3] {
    [record.problem.layer.clone(), record.problem.direction.name().to_owned(), record.candidate.name().to_owned()]
}

const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Measured(_) => "measured",
        Outcome::Refused { .. } => "refused",
        Outcome::Failed(_) => "failed",
        Outcome::Interrupted => "interrupted",
    }
}

/// The facts in which two runs differ and which change figures whatever the code does; and the versions.
fn differences(old: &Header, new: &Header) -> Vec<String> {
    let facts = |header: &Header| {
        [
            ("processor", header.processor.clone()),
            ("cores", header.cores.to_string()),
            ("system", header.system.clone()),
            ("threads", header.threads.to_string()),
            ("instruction set", header.isa.clone()),
            ("memory counted by", header.memory_by.clone()),
            ("memory limit", header.memory_limit.to_string()),
            ("convmat", header.version.clone()),
        ]
    };
    let both = facts(old).into_iter().zip(facts(new));
    both.filter(|(old, new)| old != new).map(|((name, old), (_, new))| format!("{name}: {old} → {new}")).collect()
}

/// The geometric mean; `None` without values.
fn geometric_mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0u32, 0.0), |(count, sum), value| (count + 1, sum + value.ln()));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, run};
    use super::*;

    fn printed(old: &Run, new: &Run) -> String {
        let mut out = Vec::new();
        print(old, new, &mut out).expect("printed");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn ratios_count_beyond_the_spread() {
        let of = |dense: f64, planned: f64| {
            let planned = Sample::new("a", 0.0).candidate(Candidate::Planned).run(planned);
            run(None, &[Sample::new("a", 0.0).run(dense), planned, Sample::new("b", 0.0).run(1.0)])
        };
        let text = printed(&of(4.0, 1.0), &of(1.0, 2.0));
        assert!(text.contains("1 faster, 1 slower, 1 equal within the spread"), "{text}");
        // The cube root of 4 · 1/2 · 1.
        assert!(text.contains("geometric mean of old / new: 1.26\n"), "{text}");
        assert!(text.contains("  dense                  2.00\n  planned                0.500\n"), "{text}");
        assert!(!text.contains("changed") && !text.contains("only in"), "{text}");
    }

    #[test]
    fn what_is_missing_or_changed_is_named() {
        let old = run(None, &[Sample::new("a", 0.0), Sample::new("b", 0.0)]);
        let mut new = run(None, &[Sample::new("a", 0.0).refused(None), Sample::new("c", 0.0)]);
        new.header.processor = "Another".to_owned();
        let text = printed(&old, &new);
        assert!(text.contains("changed       processor: A <processor> & more → Another\n"), "{text}");
        assert!(text.contains("a forward dense: measured, now refused\n"), "{text}");
        assert!(text.contains("only in old: b forward dense\nonly in new: c forward dense\n"), "{text}");
        assert!(text.contains("0 faster, 0 slower, 0 equal"), "{text}");
        assert!(!text.contains("geometric"), "{text}");
    }

    #[test]
    fn layers_of_one_name_and_other_shapes_do_not_compare() {
        let old = run(None, &[Sample::new("a", 0.0)]);
        let mut new = old.clone();
        new.records[0].problem.batch = 7;
        assert!(printed(&old, &new).contains("only in new: a forward dense"));
    }
}
