//! The roofline: useful operations per second over useful operations per byte, below what the machine can do.

use super::super::record::{Candidate, Ceiling, Record, Run};
use super::super::series::Series;
use super::super::words::{capitalised, rate, significant};
use super::canvas::{Axes, Canvas, Label, Panel, Plot, Scale};
use super::ink::Ink;
use super::{MUTED, TEXT, extent, heading, plain};

const HEIGHT: u32 = 490;

pub fn draw(run: &Run) -> Result<String, String> {
    let series = run.series();
    let heights = vec![HEIGHT; series.len()];
    let canvas = Canvas::new("Roofline", &run.header.processor, &heights);
    canvas.draw(|panel, i| draw_panel(panel, &series[i]))
}

fn draw_panel(panel: &Panel<'_, '_>, series: &Series<'_>) -> Result<(), String> {
    let records = || series.points.iter().flat_map(|point| point.records.iter().copied());
    let measured = || records().filter(|record| record.work.intensity() > 0.0 && record.rate().is_some());
    // Peak and bandwidth are those of a number of threads.
    let mut ceilings: Vec<(usize, Ceiling)> = Vec::new();
    for record in records() {
        if ceilings.iter().all(|(threads, _)| *threads != record.problem.threads) {
            ceilings.push((record.problem.threads, record.ceiling));
        }
    }
    let intensities = measured().map(|record| record.work.intensity());
    let ridges = ceilings.iter().map(|(_, ceiling)| ceiling.ridge());
    let Some((low, high)) = extent(intensities.chain(ridges)) else { return Ok(()) };
    let (low, high) = (low / 1.5, high * 2.0);
    let rates = measured().filter_map(Record::rate);
    let roofs = ceilings.iter().map(|(_, ceiling)| ceiling.flops_peak);
    let Some((least, most)) = extent(rates.chain(roofs)) else { return Ok(()) };
    let axes = Axes {
        heading: capitalised(&heading(series)),
        x: Scale::powers((low, high), 10.0, "intensity (useful FLOP per byte)", plain),
        y: Scale::powers((least / 2.0, most * 1.3), 10.0, "useful GFLOP/s", |flops| plain(flops / 1e9)),
        left: None,
        notes: Vec::new(),
    };
    let plot = panel.axes(&axes)?;
    for (threads, ceiling) in &ceilings {
        draw_roof(&plot, &axes, *threads, ceiling, ceilings.len() > 1)?;
    }
    let mut labels = Vec::new();
    for candidate in Candidate::ALL {
        let ink = Ink::of(candidate);
        let pixels: Vec<_> = measured()
            .filter(|record| record.candidate == candidate)
            .filter_map(|record| Some((record, plot.pixel(record.work.intensity().log10(), record.rate()?.log10()))))
            .collect();
        if pixels.is_empty() {
            continue;
        }
        if series.sweep.is_some() {
            plot.line(&pixels.iter().map(|(_, pixel)| *pixel).collect::<Vec<_>>(), ink.colour, 1, false)?;
        }
        for (_, pixel) in &pixels {
            plot.marker(ink, *pixel)?;
        }
        // The ends of a sweep tell which way it runs.
        for (record, (x, y)) in [pixels.first(), pixels.last()].into_iter().flatten() {
            if let Some(swept) = record.problem.swept {
                plot.text(&swept.to_string(), (x + 9, y + 9), ink.colour, false)?;
            }
        }
        labels.push(Label { text: candidate.name().to_owned(), ink, target: None });
    }
    plot.labels(labels)
}

/// Both lines of a roof, from one end of the axis to the other.
fn draw_roof(
    plot: &Plot<'_, '_>,
    axes: &Axes,
    threads: usize,
    ceiling: &Ceiling,
    names_threads: bool,
) -> Result<(), String> {
    let at = |intensity: f64| (intensity, ceiling.roof(10f64.powf(intensity)).log10());
    // The slope begins where it enters the axes from below.
    let enters = axes.y.low - ceiling.bandwidth.log10();
    let corners = [at(axes.x.low.max(enters)), at(ceiling.ridge().log10()), at(axes.x.high)];
    let [left, ridge, right] = corners.map(|(x, y)| plot.pixel(x, y));
    plot.line(&[left, ridge, right], TEXT, 2, false)?;
    let threads = if names_threads { format!(", {threads} threads") } else { String::new() };
    let peak = format!("peak {}{threads}", rate(ceiling.flops_peak));
    plot.text(&peak, (right.0 - 4, right.1 - 9), MUTED, true)?;
    let bandwidth = format!("{} GB/s", significant(ceiling.bandwidth / 1e9, 3));
    let middle = ((left.0 + ridge.0) / 2, (left.1 + ridge.1) / 2);
    plot.text(&bandwidth, (middle.0 - 8, middle.1 - 9), MUTED, true)
}
