//! `convmat check`: matrices that are right, matrices with one mistake in them made by literal loops here, and bad files.

use std::fs;

use ndarray::{Array2, Axis};
use ndarray_npy::WriteNpyExt;

use super::common::{Folder, Run};
use super::matrix::{Literal, example, listed};

/// A convolution with stride 1, "same" padding and a kernel without symmetry.
fn same() -> (Literal, Vec<&'static str>, Vec<f64>) {
    let literal = Literal {
        groups: 1,
        channels: [1, 1],
        small: [4, 4],
        large: [4, 4],
        kernel: [3, 3],
        stride: [1, 1],
        dilation: [1, 1],
        begin: [1, 1],
    };
    let options = vec!["--input", "4x4", "--kernel", "3", "--padding", "1"];
    (literal, options, (1..=9).map(f64::from).collect())
}

struct Checked(Folder);

impl Checked {
    fn new() -> Self {
        Self(Folder::new())
    }

    fn save(&self, matrix: &Array2<f64>) -> String {
        let mut bytes = Vec::new();
        matrix.write_npy(&mut bytes).unwrap();
        let path = self.0.path("m.npy");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn run(&self, matrix: &Array2<f64>, options: &[&str]) -> Run {
        let path = self.save(matrix);
        Run::of(&[&["check", &path], options].concat())
    }

    /// The causes that are named.
    #[track_caller]
    fn causes(&self, matrix: &Array2<f64>, options: &[&str]) -> Vec<String> {
        let run = self.run(matrix, options).fails(1, "is not the matrix C");
        let cause = |line: &str| {
            let rest = line.strip_prefix("likely cause  ").or_else(|| line.strip_prefix("or            "));
            rest.map(str::to_owned)
        };
        run.out.lines().filter_map(cause).collect()
    }
}

fn reversed(weights: &[f64]) -> Vec<f64> {
    weights.iter().rev().copied().collect()
}

#[test]
fn right_matrices_are_accepted_with_weights_and_without() {
    let (literal, options) = example();
    let weights: Vec<_> = (0..24).map(|i| f64::from(i) * 0.1 - 1.0).collect();
    let (matrix, checked) = (literal.matrix(&weights), Checked::new());
    let values = format!("--kernel-values={}", listed(&weights));
    let with_weights = [&options[..], &[&values]].concat();
    checked.run(&matrix, &with_weights).succeeds().says("verdict       it is the matrix C of this convolution\n");
    checked.run(&matrix, &options).succeeds().says(&format!("weights       {}\n", listed(&weights)));
    // Stored in f32, and not beyond that.
    let single = matrix.mapv(|value| f64::from(value as f32));
    checked.run(&single, &with_weights).succeeds();
    let far = matrix.mapv(|value| value * (1.0 + 1e-6));
    checked.run(&far, &with_weights).fails(1, "is not the matrix");
    checked.run(&far, &[&with_weights[..], &["--tolerance", "1e-5"]].concat()).succeeds();

    // The transposed layer applies the transpose.
    let transposed = "--transposed --input 3x4 --kernel 2x3 --stride 2x1 --dilation 1x2 --padding 1,0x0,2 --groups 2 \
                      --in-channels 2 --out-channels 4 --output-size 5x6";
    let transposed: Vec<_> = transposed.split(' ').filter(|word| !word.is_empty()).chain([&values[..]]).collect();
    checked.run(&matrix.t().to_owned(), &transposed).succeeds().says("the matrix Cᵀ of this transposed convolution");
    checked
        .run(&matrix, &transposed)
        .fails(1, "is not the matrix Cᵀ")
        .says("it is transposed: C stands where Cᵀ is asked for");
}

#[test]
fn weights_that_no_entry_shows_are_said() {
    let checked = Checked::new();
    // Kernel 3, padding 1, input 1: only the middle tap reaches anything.
    checked
        .run(&ndarray::array![[7.0]], &["--input", "1", "--kernel", "3", "--padding", "1"])
        .succeeds()
        .says("weights       0,7,0\n")
        .says("2 of them in no entry");
}

#[test]
fn the_first_wrong_entry_is_explained() {
    let (literal, options, weights) = same();
    let checked = Checked::new();
    let values = format!("--kernel-values={}", listed(&weights));
    let with_weights = [&options[..], &[&values]].concat();
    let mut matrix = literal.matrix(&weights);
    matrix[[6, 9]] = 12.5;
    matrix[[8, 8]] = 0.25;
    checked
        .run(&matrix, &with_weights)
        .fails(1, "is not the matrix C of this convolution with these weights")
        .says("first wrong   row 6, column 9, of 2 in all\n")
        .says("row 6 is output (0, 1, 2), column 9 is input (0, 2, 1): channel, then position\n")
        .says("along axis 0, 1·stride + 2·dilation − begin = 1·1 + 2·1 − 1 = 2\n")
        .says("along axis 1, 2·stride + 0·dilation − begin = 2·1 + 0·1 − 1 = 1\n")
        .says("so tap (2, 0) must stand there: w₂₀ = 7, found 12.5\n")
        .says("none of the usual mistakes");
    // Without weights the first entry of a weight says what it is.
    checked
        .run(&matrix, &options)
        .fails(1, "with any weights")
        .says("so tap (2, 0) must stand there: w₂₀ = 7 by row 1, column 4, found 12.5\n");
    let mut matrix = literal.matrix(&weights);
    matrix[[0, 15]] = 1.0;
    checked
        .run(&matrix, &with_weights)
        .fails(1, "is not")
        .says("along axis 1, 0·stride + t·dilation − begin = 0·1 + t·1 − 1 = 3 for no tap t from 0 to 2\n")
        .says("so no tap connects them: 0 must stand there, found 1\n");
    checked
        .run(&Array2::eye(9), &options)
        .fails(1, "is not")
        .says("the shape is another\nfirst wrong   16 × 16 is needed, 9 × 9 given\n");

    let (literal, options) = example();
    let mut matrix = literal.matrix(&[1.0; 24]);
    matrix[[0, 119]] = 5.0;
    checked
        .run(&matrix, &options)
        .fails(1, "is not")
        .says("the output's channel is of group 0, the input's of group 1\n");
}

#[test]
fn every_cause_that_makes_the_matrix_is_named() {
    let (literal, options, weights) = same();
    let checked = Checked::new();
    let values = format!("--kernel-values={}", listed(&weights));
    let options = [&options[..], &[&values]].concat();
    // Stride 1 and "same" padding: flipped and transposed are one matrix, and this script made it flipped.
    let causes = checked.causes(&literal.matrix(&reversed(&weights)), &options);
    assert_eq!(
        causes,
        [
            "the kernel is flipped: a true convolution, not a cross-correlation",
            "it is transposed: Cᵀ stands where C is asked for"
        ]
    );
    assert_eq!(checked.causes(&literal.matrix(&weights).t().to_owned(), &options), causes);
    // A square image and kernel: column-major everywhere is a transposed kernel.
    let across: Vec<_> = (0..9).map(|i| weights[i % 3 * 3 + i / 3]).collect();
    assert_eq!(
        checked.causes(&literal.matrix(&across), &options),
        [
            "inputs and outputs are numbered column-major, the first index fastest",
            "height and width of the kernel are exchanged"
        ]
    );
    // MATLAB's convmtx2: two mistakes at once.
    let order: Vec<_> = (0..16).map(|i| i % 4 * 4 + i / 4).collect();
    let matlab = literal.matrix(&reversed(&weights)).select(Axis(0), &order).select(Axis(1), &order);
    let causes = checked.causes(&matlab, &options);
    assert!(
        causes.iter().any(|cause| cause.contains("flipped") && cause.contains(", and inputs and outputs")),
        "{causes:?}"
    );
}

#[test]
fn channels_groups_and_pads_are_found_out() {
    let (literal, options) = example();
    let weights: Vec<_> = (1..=24).map(f64::from).collect();
    let (right, checked) = (literal.matrix(&weights), Checked::new());
    let values = format!("--kernel-values={}", listed(&weights));
    let with_weights = [&options[..], &[&values]].concat();
    let named = |matrix: &Array2<f64>, cause: &str| {
        let causes = checked.causes(matrix, &with_weights);
        assert!(causes.iter().any(|name| name.contains(cause)), "{causes:?} lack {cause}");
    };
    // Inputs with the channels last: element (h, w, c) of the file is (c, h, w).
    let last: Vec<_> = (0..120).map(|i| i % 4 * 30 + i / 4).collect();
    named(&right.select(Axis(1), &last), "inputs are numbered with the channels last");
    // Channels of groups interleaved: 0, 2, 1, 3.
    let interleaved: Vec<_> = (0..120).map(|i| [0, 2, 1, 3][i / 30] * 30 + i % 30).collect();
    named(&right.select(Axis(1), &interleaved), "groups are mixed: channels of inputs interleaved");
    // Groups ignored: both outputs read channels 0 and 1.
    let mut first = right.clone();
    for row in 12..24 {
        for column in 0..60 {
            first[[row, column]] = right[[row, column + 60]];
            first[[row, column + 60]] = 0.0;
        }
    }
    named(&first, "groups are ignored: every group uses the channels of the first");
    let exchanged = Literal { begin: [0, 2], ..example().0 };
    named(&exchanged.matrix(&weights), "padding is on the other side: begin and end are exchanged");
    // Stride and dilation exchanged: another shape, 5 × 4 outputs of a 1 × 2 stride.
    let swapped = Literal { stride: [1, 2], dilation: [2, 1], small: [4, 3], ..example().0 };
    named(&swapped.matrix(&weights), "stride and dilation are exchanged");
    // Without weights as well, where the pattern alone tells.
    let causes = checked.causes(&exchanged.matrix(&weights), &options);
    assert!(causes.iter().any(|name| name.contains("padding is on the other side")), "{causes:?}");
}

#[test]
fn files_that_cannot_be_read_are_one_line() {
    let folder = Folder::new();
    let options = ["--input", "2", "--kernel", "1"];
    let check = |path: &str| Run::of(&[&["check", path], &options[..]].concat());
    check(&folder.path("missing.npy")).fails(1, "cannot read ");
    check("matrix.csv").fails(2, "does not end in .npy, .npz or .mtx");
    for (name, contents, complaint) in [
        ("a.npy", "text", "no .npy file"),
        ("a.npz", "text", "no .npz file"),
        ("a.mtx", "text", "does not begin with `%%MatrixMarket"),
        ("cut.mtx", "%%MatrixMarket matrix coordinate real general\n% cut off\n", "no line with its size"),
        ("nan.mtx", "%%MatrixMarket matrix coordinate real general\n2 2 1\n1 2 nan\n", "entry [0, 1] is NaN"),
        (
            "far.mtx",
            "%%MatrixMarket matrix coordinate real general\n2 2 1\n3 1 1\n",
            "entry [2, 0] lies outside of 2 × 2",
        ),
        ("huge.mtx", "%%MatrixMarket matrix coordinate real general\n9999999999 2 0\n", "too many"),
    ] {
        let path = folder.path(name);
        fs::write(&path, contents).unwrap();
        check(&path).fails(1, complaint);
    }
    let mut bytes = Vec::new();
    ndarray::array![1.0, 2.0].write_npy(&mut bytes).unwrap();
    fs::write(folder.path("vector.npy"), bytes).unwrap();
    check(&folder.path("vector.npy")).fails(1, "it has 1 axes; a matrix has 2");
    Run::of(&["check", "m.npy", "--input", "100000x100000", "--kernel", "3"]).fails(1, "too large to compare");
    Run::of(&["check", "m.npy", "--input", "2", "--kernel", "1", "--tolerance=-1"]).fails(2, "--tolerance");
    Run::of(&["check", "--input", "2", "--kernel", "1"]).fails(2, "<FILE>");
}

#[test]
fn pairs_of_mistakes_that_are_not_tried_are_mentioned() {
    let folder = Folder::new();
    let path = folder.path("long.mtx");
    fs::write(&path, "%%MatrixMarket matrix coordinate real general\n140000 140000 1\n1 1 5\n").unwrap();
    let options = ["--input", "140000", "--kernel", "1", "--kernel-values", "2"];
    let run = Run::of(&[&["check", &path], &options[..]].concat());
    assert!(run.out.contains("pairs of them are not tried beyond 262,144 rows and columns"), "{}", run.out);
}
