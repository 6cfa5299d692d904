//! What is written is read back to the bit, and what cannot have been written is refused.

use proptest::prelude::*;

use super::*;

fn lengths(text: &str) -> Lengths {
    text.parse().expect("lengths")
}

fn problem(layer: &str, swept: Option<f64>) -> Problem {
    Problem {
        layer: layer.to_owned(),
        swept,
        op: Op::ConvTranspose,
        batch: 4,
        in_channels: 8,
        out_channels: 16,
        input: lengths("5x6"),
        kernel: lengths("3x3"),
        stride: lengths("2x1"),
        padding: "1,2x0".parse().expect("pads"),
        output_padding: lengths("0x0"),
        dilation: lengths("1x1"),
        groups: 2,
        threads: 2,
        direction: Direction::WeightGradient,
    }
}

fn header(sweep: Option<Sweep>) -> Header {
    Header {
        format: FORMAT,
        date: "2026-11-27T04:00:00Z".to_owned(),
        version: "0.1.0".to_owned(),
        command: "convmat bench --layers \"a: b.json\"".to_owned(),
        processor: "Some processor, 2 cores: fast # and loud".to_owned(),
        cores: 2,
        system: "linux x86_64".to_owned(),
        threads: 2,
        isa: "avx512".to_owned(),
        memory_by: "counting allocator".to_owned(),
        memory_limit: 1 << 30,
        sweep,
        warnings: vec!["the machine was busy\nonce".to_owned()],
    }
}

fn record(outcome: Outcome) -> Record {
    Record {
        problem: problem("# a, \"layer\"", None),
        candidate: Candidate::SparseCsr,
        work: Work { useful_flops: 123, executed_flops: None, bytes: 456 },
        ceiling: Ceiling { flops_peak: 1e11, bandwidth: 1.5e10 },
        outcome,
        warnings: Vec::new(),
    }
}

fn measured() -> Measured {
    let run = Spread { median: 0.3, low: 0.1 + 0.1, high: 1.0 / 3.0, least: 0.1, count: 11, rounds: 9 };
    Measured { build_seconds: 0.0, builds: 3, run, held_bytes: 10, peak_bytes: 20 }
}

fn every_outcome() -> Run {
    let outcomes = [
        Outcome::Measured(measured()),
        Outcome::Refused { reason: "it needs 3.0 GiB, more than 1.0 GiB".to_owned(), bytes: Some(3 << 30) },
        Outcome::Refused { reason: "no such formulation, here".to_owned(), bytes: None },
        Outcome::Failed("\"quoted\",\nin two lines".to_owned()),
        Outcome::Interrupted,
    ];
    Run { header: header(None), records: outcomes.map(record).into() }
}

#[test]
fn every_outcome_is_read_back() {
    let run = every_outcome();
    assert_eq!(Run::from_csv(&run.to_csv().expect("CSV")), Ok(run.clone()));
    assert_eq!(Run::from_json(&run.to_json().expect("JSON")), Ok(run));
}

#[test]
fn a_run_without_records_is_read_back() {
    let run = Run { header: header(Some(Sweep::Channels)), records: Vec::new() };
    assert_eq!(Run::from_csv(&run.to_csv().expect("CSV")), Ok(run.clone()));
    assert_eq!(Run::from_json(&run.to_json().expect("JSON")), Ok(run));
}

#[test]
fn the_table_has_one_line_per_record_and_facts_above() {
    let mut run = every_outcome();
    run.records.truncate(1);
    let csv = run.to_csv().expect("CSV");
    let (facts, table): (Vec<_>, Vec<_>) = csv.lines().partition(|line| line.starts_with("# "));
    assert!(facts.contains(&"# isa: \"avx512\""), "{facts:?}");
    assert_eq!(table.len(), 2, "{table:?}");
    assert!(table[0].starts_with("layer,swept,op,batch,in_channels,out_channels,input,kernel,"), "{}", table[0]);
    assert!(
        table[1].contains(",5x6,3x3,2x1,\"1,2x0\",0x0,1x1,2,2,weight-gradient,sparse-csr,measured,,"),
        "{}",
        table[1]
    );
}

#[test]
fn names_are_those_that_are_stored() {
    for candidate in Candidate::ALL {
        assert_eq!(serde_json::to_value(candidate).expect("a word"), candidate.name());
        assert_eq!(candidate.name().parse(), Ok(candidate));
    }
    for sweep in [Sweep::Size, Sweep::Channels, Sweep::Kernel, Sweep::Stride, Sweep::Batch, Sweep::Threads] {
        assert_eq!(serde_json::to_value(sweep).expect("a word"), sweep.name());
    }
    for direction in [Direction::Forward, Direction::Adjoint, Direction::WeightGradient] {
        assert_eq!(serde_json::to_value(direction).expect("a word"), direction.name());
    }
    for op in [Op::Conv, Op::ConvTranspose] {
        assert_eq!(serde_json::to_value(op).expect("a word"), op.name());
    }
    assert!("sparse".parse::<Candidate>().is_err_and(|why| why.contains("sparse-csr, sparse-csc")));
}

#[test]
fn impossible_figures_are_refused() {
    let json = |change: &dyn Fn(&mut Value)| {
        let mut run = every_outcome();
        run.records.truncate(1);
        let mut value = serde_json::to_value(&run).expect("JSON");
        change(&mut value);
        Run::from_json(&value.to_string()).expect_err("it is impossible")
    };
    let cell = |column: &str, value: Value| json(&|run| run["records"][0][column] = value.clone());
    for (column, value, why) in [
        ("run_seconds", Value::Null, "run_seconds is missing"),
        ("run_seconds", Value::from(0.5), "not in order"),
        ("run_least", Value::from(0.0), "not in order"),
        ("build_seconds", Value::from(-1.0), "a time to build"),
        ("bandwidth", Value::from(0.0), "not both positive"),
        ("swept", Value::from(3.0), "nothing was swept"),
        ("formulation", Value::from("fast"), "fast"),
        ("input", Value::from("5y6"), "not a length"),
        ("direction", Value::from("back"), "back"),
    ] {
        let error = cell(column, value);
        assert!(error.contains(why), "{column}: {error}");
    }
    assert!(json(&|run| run["header"]["format"] = 1.into()).contains("format is 1"));
    assert!(json(&|run| run["header"]["sweep"] = "size".into()).contains("no swept value"));
    assert!(Run::from_json("[1]").is_err_and(|why| why.contains("no results")));
    assert!(Run::from_json("{").is_err());
    assert!(Run::from_csv("layer,swept\n").is_err_and(|why| why.contains("no results")));
    assert!(Run::from_csv("# format\n").is_err_and(|why| why.contains("key: value")));
    assert!(Run::from_csv("# format: 1x\n").is_err());
}

#[test]
fn warnings_keep_apart() {
    let mut run = every_outcome();
    run.records[0].warnings = vec!["busy; slow".to_owned(), "3 outliers".to_owned()];
    let read = Run::from_csv(&run.to_csv().expect("CSV")).expect("it was just written");
    assert_eq!(read.records[0].warnings, ["busy, slow", "3 outliers"]);
}

#[test]
fn problems_keep_their_order() {
    let of = |layer: &str, candidate| {
        let mut record = record(Outcome::Interrupted);
        (record.problem.layer, record.candidate) = (layer.to_owned(), candidate);
        record
    };
    let records = vec![
        of("b", Candidate::Dense),
        of("a", Candidate::Dense),
        of("b", Candidate::Planned),
        of("a", Candidate::Gather),
    ];
    let run = Run { header: header(None), records };
    let problems = run.problems();
    let names: Vec<_> = problems.iter().map(|(problem, _)| problem.layer.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(problems[0].1[1].candidate, Candidate::Planned);
}

#[test]
fn folders_and_files_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = every_outcome();
    std::fs::write(folder.path().join(JSON_FILE), run.to_json().expect("JSON")).expect("written");
    std::fs::write(folder.path().join(CSV_FILE), run.to_csv().expect("CSV")).expect("written");
    for path in [folder.path().to_owned(), folder.path().join(JSON_FILE), folder.path().join(CSV_FILE)] {
        assert_eq!(Run::read(&path).expect("it was just written"), run);
    }
    let missing = Run::read(&folder.path().join("other.json")).expect_err("there is none");
    assert!(missing.to_string().contains("other.json"), "{missing}");
}

proptest! {
    /// Every number survives, whatever its digits.
    #[test]
    fn numbers_are_read_back_to_the_bit(
        mut seconds in prop::array::uniform4(f64::MIN_POSITIVE..1e300),
        build_seconds in 0.0..1e300f64,
        swept in prop::num::f64::NORMAL,
        bytes in any::<u64>(),
        count in any::<usize>(),
    ) {
        seconds.sort_by(f64::total_cmp);
        let [least, low, median, high] = seconds;
        let run = Spread { median, low, high, least, count, rounds: count };
        let outcome = Outcome::Measured(Measured { build_seconds, builds: count, run, held_bytes: bytes, peak_bytes: bytes });
        let mut record = record(outcome);
        record.problem.swept = Some(swept);
        record.work = Work { useful_flops: bytes, executed_flops: Some(bytes), bytes };
        let run = Run { header: header(Some(Sweep::Size)), records: vec![record] };
        prop_assert_eq!(Run::from_csv(&run.to_csv().expect("CSV")), Ok(run.clone()));
        prop_assert_eq!(Run::from_json(&run.to_json().expect("JSON")), Ok(run));
    }
}
