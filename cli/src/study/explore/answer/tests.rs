use serde_json::Value;

use super::*;

/// The JSON that the page gets.
fn json(query: &str) -> Value {
    serde_json::to_value(Answer::to(&Question::parse(query).unwrap()).unwrap()).unwrap()
}

fn integers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect()
}

/// The entries (row, column, tap) as the page decodes them.
fn entries(answer: &Value) -> Vec<[i64; 3]> {
    let mut entries = Vec::new();
    for (row, place) in integers(&answer["rows"]).chunks(3).enumerate() {
        for run in integers(&answer["patterns"][place[0] as usize]).chunks(5) {
            entries.extend(
                (0..run[2]).map(|i| [row as i64, place[1] + run[0] + i * run[3], place[2] + run[1] + i * run[4]]),
            );
        }
    }
    entries
}

/// A 2-D layer's matrix by the definition, with loops over every pair of pixels: (channel pairs, sizes, one axis each).
struct Literal {
    /// Small and large size, kernel, stride, dilation, padding before: height, then width.
    axes: [[i64; 6]; 2],
    small_channels: i64,
    large_channels: i64,
    groups: i64,
}

impl Literal {
    fn entries(&self) -> Vec<[i64; 3]> {
        let [[sh, lh, kh, ..], [sw, lw, kw, ..]] = self.axes;
        let per_group = [self.small_channels / self.groups, self.large_channels / self.groups];
        let mut entries = Vec::new();
        for row in 0..self.small_channels * sh * sw {
            for column in 0..self.large_channels * lh * lw {
                let (cs, cl) = (row / (sh * sw), column / (lh * lw));
                if cs / per_group[0] != cl / per_group[1] {
                    continue;
                }
                let small = [row / sw % sh, row % sw];
                let large = [column / lw % lh, column % lw];
                for tap in 0..kh * kw {
                    let taps = [tap / kw, tap % kw];
                    let reached = (0..2).all(|i| {
                        let [_, _, _, stride, dilation, begin] = self.axes[i];
                        small[i] * stride + taps[i] * dilation - begin == large[i]
                    });
                    if reached {
                        entries.push([row, column, (cs * per_group[1] + cl % per_group[1]) * kh * kw + tap]);
                    }
                }
            }
        }
        entries
    }
}

fn literal_layers() -> [(&'static str, Literal); 4] {
    let one = |axes| Literal { axes, small_channels: 1, large_channels: 1, groups: 1 };
    [
        ("input=4x4&kernel=3", one([[2, 4, 3, 1, 1, 0]; 2])),
        ("input=5x6&kernel=3x2&stride=2x1&padding=1,0x2", one([[2, 5, 3, 2, 1, 1], [9, 6, 2, 1, 1, 2]])),
        (
            "transposed&input=3x2&kernel=2&stride=3&dilation=2&output-padding=1x2&kernel-values=1,-2,0.5,0",
            one([[3, 10, 2, 3, 2, 0], [2, 8, 2, 3, 2, 0]]),
        ),
        (
            "input=4x3&kernel=2&groups=2&in-channels=4&out-channels=6&seed=5",
            Literal { axes: [[3, 4, 2, 1, 1, 0], [2, 3, 2, 1, 1, 0]], small_channels: 6, large_channels: 4, groups: 2 },
        ),
    ]
}

#[test]
fn entries_and_shapes_are_the_definitions() {
    for (query, literal) in literal_layers() {
        let answer = json(query);
        assert_eq!(entries(&answer), literal.entries(), "{query}");
        assert_eq!(answer["entries"], literal.entries().len());
        let [[sh, lh, ..], [sw, lw, ..]] = literal.axes;
        assert_eq!(integers(&answer["small"]), [literal.small_channels, 1, sh, sw]);
        assert_eq!(integers(&answer["large"]), [literal.large_channels, 1, lh, lw]);
        let of_axes = |i: usize| [i64::from(i != 5), literal.axes[0][i], literal.axes[1][i]];
        for (name, i) in [("stride", 3), ("dilation", 4), ("begin", 5)] {
            assert_eq!(integers(&answer[name]), of_axes(i), "{query} {name}");
        }
    }
}

#[test]
fn values_are_sums_over_the_entries() {
    for (query, literal) in literal_layers() {
        let answer = json(query);
        let tensor = |name: &str| -> Vec<f64> {
            answer[name].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
        };
        let (w, x, y, back, partial) = (tensor("w"), tensor("x"), tensor("y"), tensor("back"), tensor("partial"));
        let (mut want_y, mut want_back) = (vec![0.0; y.len()], vec![0.0; x.len()]);
        for [row, column, tap] in literal.entries().map_usize() {
            want_y[row] += w[tap] * x[column];
        }
        // Weights are multiples of 2⁻²³ and few: these sums are exact, in any order.
        assert_eq!(y, want_y, "{query}");
        for ([row, column, tap], partial) in literal.entries().map_usize().zip(partial) {
            want_back[column] += w[tap] * y[row];
            assert!((partial - want_back[column]).abs() <= 1e-12 * (1.0 + partial.abs()), "{query}");
        }
        for (got, want) in back.iter().zip(want_back) {
            assert!((got - want).abs() <= 1e-12 * (1.0 + want.abs()), "{query}");
        }
    }
}

trait MapUsize {
    fn map_usize(self) -> impl Iterator<Item = [usize; 3]>;
}

impl MapUsize for Vec<[i64; 3]> {
    fn map_usize(self) -> impl Iterator<Item = [usize; 3]> {
        self.into_iter().map(|entry| entry.map(|index| index as usize))
    }
}

#[test]
fn overlap_counts_the_entries_of_one_channel_pair() {
    for (query, literal) in literal_layers() {
        let [[_, lh, ..], [_, lw, ..]] = literal.axes;
        let mut counts = vec![0; (lh * lw) as usize];
        for [_, column, _] in literal.entries() {
            counts[(column % (lh * lw)) as usize] += 1;
        }
        let pairs = literal.small_channels * literal.large_channels / literal.groups;
        counts.iter_mut().for_each(|count| *count /= pairs);
        assert_eq!(integers(&json(query)["overlap"]), counts, "{query}");
    }
}

#[test]
fn whole_numbers_have_no_point() {
    let text = serde_json::to_string(&[3.0, -0.5, 1e300].map(Number)).unwrap();
    assert_eq!(text, "[3,-0.5,1e+300]");
}

#[test]
fn large_matrices_come_without_partial_sums_and_larger_ones_not_at_all() {
    let answer = json("input=32x32&kernel=63&padding=31");
    assert_eq!((&answer["entries"], &answer["partial"]), (&Value::from(1 << 20), &Value::Null));
    let weights = |query: &str| Answer::to(&Question::parse(query).unwrap()).unwrap().operator.shortened().w;
    assert_eq!(weights("input=32x32&kernel=64&padding=32,31").map(|w| w.len()), Some(4096));
    assert_eq!(weights("input=32x32&kernel=65x64&padding=32x32,31"), None);
    for (query, complaint) in [
        ("input=33x32&kernel=1", "a matrix of 1056 × 1056 is too large to explore; at most 1024 × 1024"),
        ("input=4&kernel=2000000&padding=999999", "weights are too many to explore"),
        ("input=3&kernel=5", "the output is empty along axis 0"),
        ("input=6&kernel=3&output-padding=1", "output_padding has no meaning for a convolution"),
        ("input=6&kernel=2&kernel-values=1", "--kernel-values gives 1 numbers"),
    ] {
        let error = Answer::to(&Question::parse(query).unwrap()).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error} lacks {complaint}");
    }
}
