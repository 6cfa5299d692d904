//! The steps of a run in time, as a picture: a row for each, a bar as wide as its time, and all of them in one row on top.

use std::collections::BTreeMap;

use super::{Row, share};
use crate::markup::{Svg, escaped};
use crate::network::picture::{self, Kind, LINE, Legend, MARGIN, shortened, text_width};
use crate::report::{duration, lengths, percent, rate};

/// Width of all steps together.
const WIDTH: f64 = 860.0;
/// Heights of a row and of its bar.
const ROW: f64 = 18.0;
const BAR: f64 = 12.0;
/// Most characters of a step's name.
const MOST: usize = 44;
/// Space for the time behind a bar, and above it for the times of the axis.
const BEHIND: f64 = 170.0;
const AXIS: f64 = 24.0;
/// Lines of the axis, at most.
const TICKS: f64 = 8.0;

/// What a picture says of the whole run.
pub struct Whole {
    /// Seconds of a run, of which steps take a part.
    pub wall: f64,
    /// Operations per second that the processor could make.
    pub peak: f64,
    pub repeat: u16,
}

/// The picture of all steps in order.
pub fn draw(rows: &[Row], whole: &Whole) -> String {
    let sum: f64 = rows.iter().map(|row| row.seconds).sum();
    let operations: u128 = rows.iter().map(|row| row.operations).sum();
    let labels: Vec<String> = rows.iter().map(|row| shortened(&row.name, MOST)).collect();
    let label_width = labels.iter().map(|label| text_width(label)).fold(60.0, f64::max) + 12.0;
    let width = label_width + WIDTH + BEHIND + 2.0 * MARGIN;
    let title = format!(
        "{} in {} steps, {} of a run of {}, at {}, {} of the measured peak of {}; medians of {} runs",
        duration(sum),
        rows.len(),
        percent(share(sum, whole.wall)),
        duration(whole.wall),
        rate(share(operations as f64, whole.wall)),
        percent(share(share(operations as f64, whole.wall), whole.peak)),
        rate(whole.peak),
        whole.repeat,
    );
    // What a kind takes stands in the legend.
    let mut kinds: BTreeMap<Kind, f64> = BTreeMap::new();
    for row in rows {
        *kinds.entry(row.kind).or_default() += row.seconds;
    }
    let mark = |(kind, seconds): (&Kind, &f64)| {
        (kind.class().to_owned(), format!("{} {}, {}", kind.name(), duration(*seconds), percent(share(*seconds, sum))))
    };
    let legend = Legend::new(kinds.iter().map(mark), width - 2.0 * MARGIN);
    let strip = MARGIN + LINE + 10.0 + legend.height + 8.0 + AXIS;
    let first = strip + ROW + 14.0;
    let bottom = first + rows.len() as f64 * ROW;
    let (left, scale) = (MARGIN + label_width, if sum > 0.0 { WIDTH / sum } else { 0.0 });

    let mut svg = picture::start(width.max(text_width(&title) + 2.0 * MARGIN), bottom + MARGIN, &title);
    svg.line(format_args!(r#"<text class="h" x="{MARGIN}" y="{:.1}">{}</text>"#, MARGIN + 12.0, escaped(&title)));
    legend.draw(&mut svg, MARGIN, MARGIN + LINE + 10.0);
    axis(&mut svg, sum, scale, [left, strip, bottom]);
    svg.line(format_args!(r#"<text x="{MARGIN}" y="{:.1}">all steps</text>"#, strip + 10.5));
    let mut start = 0.0;
    for ((number, row), label) in rows.iter().enumerate().zip(&labels) {
        let (x, y, own) = (left + start * scale, first + number as f64 * ROW, row.seconds * scale);
        let text = note(row, sum, whole.peak);
        let bar = |y: f64, class: &str, width: f64| {
            let class = format!("{} {class}", row.kind.class());
            format!(r#"<rect class="{class}" x="{x:.2}" y="{y:.1}" width="{width:.2}" height="{BAR}"/>"#)
        };
        svg.line(format_args!("<g><title>{}</title>{}</g>", escaped(&text), bar(strip, "all", own)));
        // A bar of no width at all would not be seen.
        svg.line(format_args!(
            r#"<g class="step"><title>{}</title><text x="{MARGIN}" y="{:.1}">{}</text>{}<text class="s" x="{:.1}" y="{:.1}">{}, {}</text></g>"#,
            escaped(&text),
            y + 10.5,
            escaped(label),
            bar(y, "own", own.max(1.0)),
            x + own.max(1.0) + 6.0,
            y + 10.5,
            duration(row.seconds),
            percent(share(row.seconds, sum)),
        ));
        start += row.seconds;
    }
    svg.finish()
}

/// What is told of a step where it is pointed at.
fn note(row: &Row, sum: f64, peak: f64) -> String {
    let mut lines = vec![
        row.name.clone(),
        row.operators.clone(),
        format!("{}, {} of all steps", duration(row.seconds), percent(share(row.seconds, sum))),
        format!("output {}", lengths(&row.shape)),
    ];
    if let Some(flops) = row.rate() {
        lines.push(format!("{}, {} of the peak", rate(flops), percent(share(flops, peak))));
    }
    if !row.recipe.is_empty() {
        lines.push(row.recipe.clone());
    }
    lines.join("\n")
}

/// Lines at round times, with the times above them.
fn axis(svg: &mut Svg, sum: f64, scale: f64, [left, top, bottom]: [f64; 3]) {
    if scale <= 0.0 {
        return;
    }
    let step = round_step(sum / TICKS);
    let count = (sum / step + 1e-9).floor() as usize;
    for tick in 0..=count {
        let (seconds, x) = (tick as f64 * step, left + tick as f64 * step * scale);
        svg.line(format_args!(r#"<path class="l" stroke-opacity=".35" d="M{x:.1} {:.1}V{bottom:.1}"/>"#, top - 4.0));
        let text = if tick == 0 { "0".to_owned() } else { duration(seconds) };
        svg.line(format_args!(r#"<text class="s mid" x="{x:.1}" y="{:.1}">{text}</text>"#, top - 10.0));
    }
}

/// The smallest of 1, 2, 5, 10, … times a power of ten that is not below a step.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|&round| round >= step).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_stand_at_round_times() {
        for (step, round) in [(0.3, 0.5), (1.0, 1.0), (2.1e-4, 5e-4), (6.0, 10.0)] {
            assert!((round_step(step) / round - 1.0).abs() < 1e-9, "{step}");
        }
    }

    #[test]
    fn bars_follow_one_another_and_are_as_wide_as_their_times() {
        let row = |name: &str, operators: &str, seconds: f64| Row {
            name: name.to_owned(),
            kind: Kind::of(operators.split(' ').next().expect("an operator")),
            operators: operators.to_owned(),
            shape: vec![1, 3, 8, 8],
            seconds,
            operations: 1_000_000,
            bytes: 768,
            packed_bytes: 0,
            recipe: "a <recipe>".to_owned(),
        };
        let rows = [row("a & b", "Conv + Relu", 3e-3), row("none", "Reshape", 0.0), row("c", "Resize", 1e-3)];
        let svg = draw(&rows, &Whole { wall: 5e-3, peak: 1e10, repeat: 3 });
        let bars: Vec<(f64, f64)> = svg
            .split("<rect class=\"")
            .filter(|part| part.split('"').next().is_some_and(|class| class.ends_with(" all")))
            .map(|part| {
                let of = |name: &str| part.split_once(&format!(" {name}=\"")).expect("there").1.split('"').next();
                let number = |name: &str| of(name).expect("a value").parse::<f64>().expect("a number");
                (number("x"), number("width"))
            })
            .collect();
        let [(a, wide), (b, none), (c, narrow)] = bars[..] else { panic!("{bars:?}") };
        assert!((wide - 0.75 * WIDTH).abs() < 0.01 && none == 0.0 && (narrow - 0.25 * WIDTH).abs() < 0.01);
        assert!((a + wide - b).abs() < 0.02 && (b - c).abs() < 0.02);
        for part in [
            "a &amp; b",
            "a &lt;recipe&gt;",
            "4.00 ms in 3 steps, 80 % of a run of 5.00 ms",
            "convolution 3.00 ms, 75 %",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }
}
