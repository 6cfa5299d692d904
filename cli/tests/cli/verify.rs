//! `convmat verify`.

use std::time::{Duration, Instant};

use super::common::Run;

#[test]
fn certificates_of_several_geometries() {
    for arguments in [
        "--input 6x6 --kernel 3x3 --stride 2",
        "--conv --input 9 --kernel 4 --padding 1,2 --dilation 2 --groups 2",
        "--input 3x4x3 --kernel 2 --padding same-upper --stride 2x1x2",
        "--input 4 --kernel 2 --padding 7",
        "--transposed --input 4x5 --kernel 3 --stride 2 --padding 1 --output-padding 1",
        "--transposed --input 3x3 --kernel 5 --stride 3 --padding 2 --output-size 8x9",
        "--transposed --input 2x2x2 --kernel 2 --stride 2 --output-shape 5",
        "--transposed --input 4 --kernel 1 --groups 3 --in-channels 3 --out-channels 6 --seed 7",
    ] {
        let arguments: Vec<_> = ["verify"].into_iter().chain(arguments.split(' ')).collect();
        let run = Run::of(&arguments).succeeds().says(" 0 FAILED, 0 skipped").says("⟨y, C·x⟩ = ⟨∂F/∂w, w⟩, f32");
        assert!(!run.out.contains("FAILED "), "{}", run.out);
    }
}

#[test]
fn certificates_say_what_they_leave_out() {
    Run::of(&["verify", "--input", "8x8", "--kernel", "3", "--memory-limit", "20KiB"])
        .succeeds()
        .says("KiB > 20 KiB")
        .says("0 FAILED, 12 skipped");
    Run::of(&["verify", "--input", "40x40", "--kernel", "3"]).succeeds().says("256 of 6400 coordinates");
    // Grown at the end by more than a stride: no convolution has this input.
    Run::of(&["verify", "--transposed", "--input", "3", "--kernel", "2", "--output-shape", "9"])
        .succeeds()
        .says("no options of it give this geometry");
}

#[test]
fn a_formulation_without_room_is_left_out_and_the_others_are_checked() {
    // With 2⁴⁶ − 1 zeros between the elements a row of three takes 1 PiB: over the limit, or more than there is.
    for limit in ["1GiB", "1000000TiB"] {
        let run = Run::of(
            &[
                &[
                    "verify",
                    "--input",
                    "8",
                    "--kernel",
                    "3",
                    "--stride",
                    "70368744177664",
                    "--padding",
                    "70368744177663",
                ],
                &["--memory-limit", limit][..],
            ]
            .concat(),
        );
        let run = run.succeeds().says(" 0 FAILED, 8 skipped").says("gather").says("planned");
        let skipped: Vec<_> = run.out.lines().filter(|line| line.contains("skipped")).collect();
        assert!(skipped[..8].iter().all(|line| line.contains("zero-insertion") && line.contains("iB")), "{skipped:?}");
    }
    Run::of(&["verify", "--input", "8", "--kernel", "3", "--stride", "2147483648", "--padding", "2147483647"])
        .succeeds()
        .says(" 0 FAILED, 8 skipped");
}

#[test]
fn padding_that_nothing_reads_takes_no_time() {
    // A few hundred numbers behind a million zeros, for which the gradients alone were computed 3000 times.
    let arguments = "verify --conv --input 3x4x7 --kernel 4x2x2 --stride 2x2147483647x3 --padding 3,5x3,2x2,1000000 \
                     --groups 3 --in-channels 6 --out-channels 6";
    let start = Instant::now();
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    Run::of(&arguments).succeeds().says(" 0 FAILED").says("checked: x 3×4×7, y 4×1×");
    // A second or two of processor time; many minutes if every output were computed each time.
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
}

#[test]
fn certificates_depend_on_the_seed_alone() {
    let certificate = |seed: &str| Run::of(&["verify", "--input", "6", "--kernel", "3", "--seed", seed]).succeeds().out;
    assert_eq!(certificate("1"), certificate("1"));
    assert_ne!(certificate("1"), certificate("2"));
}

#[test]
fn impossible_geometries_are_one_line() {
    for (arguments, complaint) in [
        ("--input 3 --kernel 5", "the output is empty along axis 0"),
        ("--input 6 --kernel 3 --stride 0", "stride[0] is 0"),
        ("--input 6 --kernel 3 --groups 0", "groups is 0"),
        ("--input 6 --kernel 3 --groups 2 --in-channels 3", "do not divide into 2 groups"),
        ("--input 6 --kernel 3 --stride 2 --padding same", "needs stride 1"),
        ("--input 6 --kernel 3 --output-padding 1", "output_padding has no meaning for a convolution"),
        ("--transposed --input 6 --kernel 3 --output-padding 1", "output_padding[0] is 1"),
        ("--transposed --input 6 --kernel 3 --stride 2 --output-size 99", "possible are 13 to 14"),
        ("--input 9223372036854775807x9 --kernel 1", "too large"),
        ("--input 100000x100000 --kernel 3", "too many to verify"),
        ("--input 4 --kernel 999999999999 --padding 999999999999", "too many to verify"),
    ] {
        let arguments: Vec<_> = ["verify"].into_iter().chain(arguments.split(' ')).collect();
        Run::of(&arguments).fails(1, complaint);
    }
}

#[test]
fn filtered_has_a_bound_of_its_own() {
    let layer = "verify --input 20x24 --kernel 3 --padding 1 --in-channels 32 --out-channels 24 --batch 1";
    let layer: Vec<_> = layer.split(' ').collect();
    let strict = Run::of(&layer).succeeds().says(" 0 FAILED");
    assert!(!strict.out.contains("filtered"), "{}", strict.out);
    let fast = Run::of(&[&layer[..], &["--accuracy", "fast"]].concat()).succeeds().says(" 0 FAILED");
    let fast = fast.says("Bound of filtered: 3 times the largest error of a plain loop");
    let rows: Vec<Vec<&str>> = fast.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let filtered: Vec<_> =
        rows.iter().filter(|row| row.contains(&"filtered") && row.contains(&"definition,")).collect();
    assert_eq!(filtered.len(), 4, "{}", fast.out);
    for row in filtered {
        let [difference, bound] = [row.len() - 2, row.len() - 1].map(|i| row[i].parse::<f64>().expect("a number"));
        assert!(difference <= bound && bound < 1e-4, "{row:?}");
    }
    Run::of(&[&layer[..], &["--accuracy", "quick"]].concat()).fails(2, "there are strict, fast");
}
