//! `convmat bench`: what it leaves behind, and what goes wrong. No test looks at a time.

use std::fs;
use std::path::Path;

use super::common::{Folder, Run, convmat, finish};

/// A sweep of two values, as short as it can be.
const TINY: [&str; 15] = [
    "bench",
    "--sweep",
    "channels",
    "--values",
    "2,1",
    "--input",
    "4x4",
    "--batch",
    "2",
    "--threads",
    "1",
    "--time",
    "0.01",
    "--formulations",
    "gather,sparse,planned",
];

fn bench(arguments: &[&str], output: &str) -> Run {
    Run::of(&[arguments, &["-o", output]].concat())
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is read");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// The cells of some columns of results.csv, row by row.
fn cells(folder: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let text = fs::read_to_string(Path::new(folder).join("results.csv")).expect("the table");
    let mut rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(','));
    let header: Vec<_> = rows.next().expect("a header").collect();
    let at = |name: &&str| header.iter().position(|column| column == name).expect("the column");
    let places: Vec<_> = columns.iter().map(at).collect();
    rows.map(|row| row.map(str::to_owned).collect::<Vec<_>>())
        .map(|row| places.iter().map(|&place| row[place].clone()).collect())
        .collect()
}

const FILES: [&str; 7] =
    ["memory.svg", "report.html", "report.md", "results.csv", "results.json", "roofline.svg", "time.svg"];

#[test]
fn a_sweep_leaves_a_table_plots_and_a_report() {
    let folder = Folder::new();
    let output = &folder.path("out");
    bench(&TINY, output).succeeds().says("channels 1").says("results, plots and report are in");
    assert_eq!(names(output), FILES);
    let rows = cells(output, &["swept", "formulation", "outcome", "useful_flops", "threads"]);
    let of = |swept: &str, name: &str, flops: &str| [swept, name, "measured", flops, "1"].map(str::to_owned).to_vec();
    // 2 · (2·3·2 + 2·3·2 − 2)² per pair of channels and sample: taps of 3 on 4 elements with padding 1 meet 10 times per axis.
    let flops = ["400", "1600"];
    let expected: Vec<_> = [("1.0", flops[0]), ("2.0", flops[1])]
        .iter()
        .flat_map(|(swept, flops)| ["gather", "sparse-csr", "planned"].map(|name| of(swept, name, flops)))
        .collect();
    assert_eq!(rows, expected);
    // A folder with results is not written to again, unless that is asked for.
    bench(&TINY, output).fails(1, "--force replaces it");
    bench(&[&TINY[..], &["--force"]].concat(), output).succeeds();
    assert_eq!(names(output), FILES);
    Run::of(&["bench", "--compare", output, &format!("{output}/results.csv")]).succeeds().says("channels 2");
}

#[test]
fn all_directions_and_both_operations_are_measured() {
    let folder = Folder::new();
    for (kind, forward, adjoint) in
        [("--conv", "sparse-csr", "transposed-csr"), ("--transposed", "transposed-csr", "sparse-csr")]
    {
        let output = &folder.path(kind);
        let tiny = [&TINY[..13], &[kind, "--stride", "2", "--groups", "1", "--direction", "all"]].concat();
        bench(&tiny, output).succeeds();
        let rows = cells(output, &["direction", "formulation", "outcome"]);
        assert!(rows.iter().all(|row| row[2] == "measured"), "{rows:?}");
        let count = |direction: &str| rows.iter().filter(|row| row[0] == direction).count();
        let has = |direction: &str, name: &str| rows.iter().any(|row| row[0] == direction && row[1] == name);
        assert!(has("forward", forward) && has("adjoint", adjoint) && has("weight-gradient", "im2col-gemm"));
        assert_eq!([count("forward") + count("adjoint"), count("weight-gradient")], [2 * 17, 2]);
    }
}

#[test]
fn what_takes_too_much_memory_is_shown_as_refused() {
    let folder = Folder::new();
    let output = &folder.path("out");
    let limited = [&TINY[..13], &["--formulations", "dense,planned", "--memory-limit", "3KiB"]].concat();
    bench(&limited, output).succeeds().says("refused: ");
    let rows = cells(output, &["swept", "formulation", "outcome"]);
    // 16·channels squared elements of the dense matrix: 1 KiB, and 4 KiB.
    assert!(rows.contains(&["2.0", "dense", "refused"].map(str::to_owned).to_vec()), "{rows:?}");
    assert!(rows.contains(&["1.0", "dense", "measured"].map(str::to_owned).to_vec()), "{rows:?}");
}

#[test]
fn impossible_layers_are_named_and_the_rest_goes_on() {
    let folder = Folder::new();
    let (layers, output) = (&folder.path("layers.json"), &folder.path("out"));
    let layer = |name: &str, kernel: usize| {
        format!(
            r#"{{"name": "{name}", "op": "conv", "batch": 1, "in_channels": 2, "out_channels": 3, "input": [5], "kernel": [{kernel}],
            "stride": [1], "padding": [0], "output_padding": [0], "dilation": [1], "groups": 1}}"#
        )
    };
    let all = [layer("good", 3), layer("too large", 9), r#"{"name": "vague"}"#.to_owned(), layer("good", 2)];
    fs::write(layers, format!("[{}]", all.join(","))).expect("a layer file");
    let run = bench(&["bench", "--layers", layers, "--time", "0.01", "--threads", "1"], output);
    let lines: Vec<_> = run.err.lines().collect();
    assert_eq!((run.code, lines.len()), (1, 4), "{}", run.err);
    for (line, complaint) in lines.iter().zip([
        "layer \"too large\" is impossible: the output is empty along axis",
        "layer \"vague\" is impossible: \"input\" is no list",
        "layer \"good\" is impossible: its name is not the first of its kind",
        "3 of 4 layers failed",
    ]) {
        assert!(line.starts_with("error: ") && line.contains(complaint), "{line} lacks {complaint}");
    }
    assert!(cells(output, &["layer"]).iter().all(|row| row[0] == "good"));
    assert_eq!(names(output), FILES);
    // Without a possible layer nothing is left behind.
    fs::write(layers, format!("[{}]", layer("too large", 9))).expect("a layer file");
    let nothing = folder.path("nothing");
    let run = bench(&["bench", "--layers", layers], &nothing);
    assert!(run.code == 1 && run.err.contains("1 of 1 layers failed") && !Path::new(&nothing).exists(), "{}", run.err);
}

#[test]
fn wrong_arguments_are_one_line_and_leave_nothing() {
    let folder = Folder::new();
    let output = &folder.path("out");
    let file = folder.path("file");
    fs::write(&file, "[]").expect("a file");
    for (arguments, code, complaint) in [
        (&["--sweep", "channels", "--formulations", "magic"][..], 2, "unknown formulation \"magic\""),
        (&["--sweep", "channels", "--values", ""], 2, "--values is empty"),
        (&["--sweep", "channels", "--values", "4,x"], 2, "\"x\" is not a whole number"),
        (&["--sweep", "colour"], 2, "colour"),
        (&["--sweep", "batch", "--batch", "2"], 2, "--batch cannot be given where it is swept"),
        (&["--sweep", "batch", "--values", "0"], 2, "the batch of 0"),
        (&["--sweep", "channels", "--kernel", "3x3x3"], 2, "--kernel has 3 axes"),
        (&["--sweep", "channels", "--formulations", "sparse-csc"], 2, "compute nothing of forward"),
        (&["--sweep", "channels", "--time", "0"], 2, "expected a number"),
        (&["--sweep", "channels", "--layers", &file], 2, "cannot be used with"),
        (&["--layers", &file, "--values", "1"], 2, "--values"),
        (&["--layers", &file], 1, "it lists no layers"),
        (&["--layers", &folder.path("missing")], 1, "cannot read"),
        (&["--sweep", "size", "--peers", &file], 1, "cannot read"),
        (&["--sweep", "channels", "--resume"], 1, "no interrupted run"),
        (&[], 2, "--sweep"),
    ] {
        let arguments = [&["bench"], arguments].concat();
        bench(&arguments, output).fails(code, complaint);
        assert!(!Path::new(output).exists(), "{arguments:?}");
    }
    Run::of(&["bench", "--compare", &file, &file]).fails(1, "cannot read");
    // A file is no folder, whoever runs the tests.
    bench(&TINY, &format!("{file}/out")).fails(1, "cannot write");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_one_line() {
    let folder = Folder::new();
    let output = &folder.path("out");
    fs::create_dir(output).expect("a folder");
    std::os::unix::fs::symlink("/dev/full", format!("{output}/journal.jsonl")).expect("a link");
    bench(&[&TINY[..], &["--force"]].concat(), output).fails(1, "cannot write").fails(1, "No space left");
    assert_eq!(names(output), ["journal.jsonl"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_measured_and_resume_goes_on() {
    use std::process::{Command, Stdio};
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    let folder = Folder::new();
    let output = &folder.path("out");
    let sweep = |seconds: &'static str| {
        let tiny = [&TINY[..4], &["1,2,3,4,5,6", "--input", "4x4", "--threads", "1", "--time", seconds]].concat();
        [&tiny[..], &["--formulations", "gather,planned"]].concat()
    };
    let mut child = Command::new(convmat().get_program())
        .args([&sweep("0.4")[..], &["-o", output]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // A line for the beginning and one for each problem of a round.
    let journal = Path::new(output).join("journal.jsonl");
    let lines = || fs::read(&journal).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count());
    let start = Instant::now();
    while lines() < 3 && start.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_millis(5));
    }
    let signal = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(signal.success());
    let code = child.wait().expect("it ends").code();
    assert_eq!(code, Some(1));
    let columns = ["layer", "formulation", "outcome", "run_least", "runs", "rounds"];
    let kept = cells(output, &columns);
    let measured = |rows: &[Vec<String>]| rows.iter().filter(|row| row[2] == "measured").count();
    // Six problems of two formulations; the journal has a line for each of them in each round.
    let done = lines() - 1;
    assert!((2..15 * 6).contains(&done), "{done} problems");
    assert_eq!(measured(&kept), 2 * done.min(6), "{kept:?}");
    let rounds = |i: usize| done / 6 + usize::from(i < done % 6);
    for (i, row) in kept.iter().enumerate().take(2 * done.min(6)) {
        assert_eq!(row[5], rounds(i / 2).to_string(), "{row:?}");
    }
    // Other settings would not compare.
    finish(convmat().args([&sweep("0.01")[..], &["-o", output, "--resume"]].concat())).fails(1, "with --time 0.4");
    // A line that was cut short counts for nothing.
    let mut text = fs::read(&journal).expect("the journal");
    text.extend(b"[{\"layer\": \"cha");
    fs::write(&journal, text).expect("a longer journal");
    finish(convmat().args([&sweep("0.4")[..], &["-o", output, "--resume"]].concat())).succeeds();
    let all = cells(output, &columns);
    assert_eq!((all.len(), measured(&all)), (12, 12));
    assert!(all.iter().all(|row| row[5] == "15"), "{all:?}");
    // What was kept still counts.
    let number = |cell: &str| cell.parse::<f64>().expect("a number");
    for (kept, all) in kept.iter().zip(&all).take(2 * done.min(6)) {
        assert_eq!(kept[..2], all[..2]);
        assert!(number(&all[3]) <= number(&kept[3]) && number(&all[4]) > number(&kept[4]), "{kept:?} {all:?}");
    }
    assert_eq!(names(output), FILES);
    finish(convmat().args([&sweep("0.4")[..], &["-o", output, "--resume"]].concat())).fails(1, "no interrupted run");
}

#[test]
fn a_round_of_nothing_is_one_line() {
    let refuses = |input: &str| finish(convmat().arg("bench-round").write_stdin(input.to_owned()));
    for rubbish in ["", "{}", "[1, 2", "rubbish"] {
        refuses(rubbish).fails(1, "standard input holds no round of a benchmark");
    }
    refuses(r#"{"number": 0, "settings": {"candidates": [], "memory_limit": 1, "time": {"secs": 1, "nanos": 0}}, "tasks": []}"#)
        .succeeds();
    assert!(!Run::of(&["--help"]).out.contains("bench-round"));
    Run::of(&["bench-round", "1"]).fails(2, "unexpected argument");
}

/// Sweeps and the programs that they start.
#[cfg(target_os = "linux")]
mod executions {
    use std::fs;
    use std::os::unix::process::CommandExt;
    use std::path::Path;
    use std::process::{Child, Command, Output, Stdio};
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use super::super::common::{Folder, convmat};
    use super::{FILES, TINY, names};

    /// A sweep in a group of its own, as a shell starts it; a round takes a seventh of the seconds.
    fn sweep(seconds: &str, output: &str) -> Child {
        let mut command = Command::new(convmat().get_program());
        command.args([&TINY[..11], &["--time", seconds, "--formulations", "gather,planned", "-o", output]].concat());
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts")
    }

    fn eventually<T>(mut found: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "nothing after a minute");
            sleep(Duration::from_millis(5));
        }
    }

    /// The round that a sweep measures.
    fn round(sweep: &Child) -> String {
        let children = format!("/proc/{0}/task/{0}/children", sweep.id());
        eventually(|| fs::read_to_string(&children).ok()?.split_whitespace().next().map(str::to_owned))
    }

    /// Waits until the journal has a problem.
    fn expect_measured(output: &str) {
        let journal = Path::new(output).join("journal.jsonl");
        eventually(|| (fs::read_to_string(&journal).ok()?.lines().count() > 1).then_some(()));
    }

    /// Whether a program runs: one that has ended has no command line, even if nobody has asked how.
    fn runs(id: &str) -> bool {
        fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|words| !words.is_empty())
    }

    fn signal(name: &str, to: &str) {
        assert!(Command::new("kill").args([name, "--", to]).status().expect("kill runs").success());
    }

    #[track_caller]
    fn expect_error(output: Output, complaint: &str) {
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.starts_with(&format!("error: {complaint}")), "{error}");
    }

    #[test]
    fn a_killed_round_is_one_line() {
        let folder = Folder::new();
        let output = &folder.path("out");
        let sweep = sweep("600", output);
        signal("-KILL", &round(&sweep));
        expect_error(sweep.wait_with_output().expect("it ends"), "round 1 of 15 failed: it ended early, signal: 9");
        assert_eq!(names(output), ["journal.jsonl"]);
    }

    #[test]
    fn no_round_outlives_its_sweep() {
        let folder = Folder::new();
        for name in ["-INT", "-KILL"] {
            let output = &folder.path(name);
            let mut sweep = sweep("3", output);
            expect_measured(output);
            let round = round(&sweep);
            signal(name, &sweep.id().to_string());
            sweep.wait().expect("it ends");
            eventually(|| (!runs(&round)).then_some(()));
            assert_eq!(names(output) == ["journal.jsonl"], name == "-KILL");
        }
    }

    /// As a terminal does it: every program of the group is told.
    #[test]
    fn ctrl_c_for_sweep_and_round_keeps_what_was_measured() {
        let folder = Folder::new();
        let output = &folder.path("out");
        let sweep = sweep("3", output);
        expect_measured(output);
        signal("-INT", &format!("-{}", sweep.id()));
        expect_error(sweep.wait_with_output().expect("it ends"), "interrupted after ");
        assert_eq!(names(output).len(), FILES.len() + 1);
    }
}

#[test]
fn accuracy_fast_measures_filtered_in_the_place_of_planned() {
    let folder = Folder::new();
    let tiny = &TINY[..TINY.len() - 2];
    let measured = |more: &[&str], name: &str| {
        let output = folder.path(name);
        bench(&[tiny, &["--direction", "all"], more].concat(), &output).succeeds();
        let mut found = cells(&output, &["formulation", "outcome"]);
        found.retain(|row| ["planned", "filtered"].contains(&&*row[0]));
        assert!(found.iter().all(|row| row[1] == "measured"), "{found:?}");
        found.sort();
        found.dedup();
        found.into_iter().map(|mut row| row.swap_remove(0)).collect::<Vec<_>>()
    };
    assert_eq!(measured(&["--formulations", "gather,planned,filtered"], "both"), ["filtered", "planned"]);
    assert_eq!(measured(&["--formulations", "gather,planned", "--accuracy", "fast"], "fast"), ["filtered"]);
}
