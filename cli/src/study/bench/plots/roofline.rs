//! The roofline: useful operations per second over useful operations per byte, below what the machine can do.
//!
//! How many bytes other programs move is not known: they are drawn at the intensity of the formulation that they are
//! compared with.

use super::super::family::Family;
use super::super::peers::Peer;
use super::super::record::{Candidate, Ceiling, Record, Run};
use super::super::series::Series;
use super::super::words::capitalised;
use super::canvas::{Axes, Canvas, Label, Panel, Plot, Scale};
use super::ink::Ink;
use super::{MUTED, TEXT, extent, heading, plain};
use crate::report::{rate, significant};

const HEIGHT: u32 = 490;
const OTHERS: &str = "dashed: other programs, at the intensity of the formulation that they are compared with";

pub fn draw(run: &Run, peers: &[Peer]) -> Result<String, String> {
    let series = run.series();
    let heights = vec![HEIGHT; series.len()];
    let canvas = Canvas::new("Roofline", &run.header.processor, &heights);
    canvas.draw(|panel, i| draw_panel(panel, &series[i], peers))
}

/// A formulation or another program, at several places of the roofline.
struct Curve {
    name: String,
    ink: Ink,
    places: Vec<Place>,
}

struct Place {
    swept: Option<f64>,
    intensity: f64,
    rate: f64,
}

fn curves(series: &Series<'_>, peers: &[Peer]) -> Vec<Curve> {
    let ours = Candidate::ALL.into_iter().map(|candidate| {
        let of = |record: &&&Record| record.candidate == candidate;
        let places = series.points.iter().filter_map(|point| {
            let record = point.records.iter().find(of)?;
            Some(Place { swept: record.problem.swept, intensity: record.work.intensity(), rate: record.rate()? })
        });
        Curve { name: candidate.name().to_owned(), ink: Ink::of(candidate), places: places.collect() }
    });
    let others = peers.iter().enumerate().map(|(i, peer)| {
        let places = series.points.iter().filter_map(|point| {
            let record = Family::of(peer.beside).fastest(&point.records)?;
            let rate = record.work.useful_flops as f64 / peer.figure(point.problem)?.run.median;
            Some(Place { swept: point.problem.swept, intensity: record.work.intensity(), rate })
        });
        Curve { name: peer.name.clone(), ink: Ink::of_peer(i), places: places.collect() }
    });
    let mut curves: Vec<_> = ours.chain(others).collect();
    // Logarithmic axes have no place for an intensity of 0.
    curves.iter_mut().for_each(|curve| curve.places.retain(|place| place.intensity > 0.0));
    curves.retain(|curve| !curve.places.is_empty());
    curves
}

fn draw_panel(panel: &Panel<'_, '_>, series: &Series<'_>, peers: &[Peer]) -> Result<(), String> {
    let curves = curves(series, peers);
    let places = || curves.iter().flat_map(|curve| &curve.places);
    // Peak and bandwidth depend on the number of threads: each number has a roof of its own.
    let mut ceilings: Vec<(usize, Ceiling)> = Vec::new();
    for record in series.points.iter().flat_map(|point| &point.records) {
        if ceilings.iter().all(|(threads, _)| *threads != record.problem.threads) {
            ceilings.push((record.problem.threads, record.ceiling));
        }
    }
    let intensities = places().map(|place| place.intensity);
    let ridges = ceilings.iter().map(|(_, ceiling)| ceiling.ridge());
    let Some((low, high)) = extent(intensities.chain(ridges)) else { return Ok(()) };
    let (low, high) = (low / 1.5, high * 2.0);
    let rates = places().map(|place| place.rate);
    let roofs = ceilings.iter().map(|(_, ceiling)| ceiling.flops_peak);
    let Some((least, most)) = extent(rates.chain(roofs)) else { return Ok(()) };
    let axes = Axes {
        heading: capitalised(&heading(series)),
        x: Scale::powers((low, high), 10.0, "intensity (useful FLOP per byte)", plain),
        y: Scale::powers((least / 2.0, most * 1.3), 10.0, "useful GFLOP/s", |flops| plain(flops / 1e9)),
        left: None,
        notes: curves.iter().find(|curve| curve.ink.dashed).map(|_| OTHERS.to_owned()).into_iter().collect(),
    };
    let plot = panel.axes(&axes)?;
    for (threads, ceiling) in &ceilings {
        draw_roof(&plot, &axes, *threads, ceiling, ceilings.len() > 1)?;
    }
    let mut labels = Vec::new();
    for Curve { name, ink, places } in curves {
        let pixel = |place: &Place| plot.pixel(place.intensity.log10(), place.rate.log10());
        if series.sweep.is_some() {
            plot.line(&places.iter().map(pixel).collect::<Vec<_>>(), ink.colour, 1, ink.dashed)?;
        }
        for place in &places {
            plot.marker(ink, pixel(place))?;
        }
        // The first and the last value are written beside their places, to show in which direction the sweep runs.
        for place in [places.first(), places.last()].into_iter().flatten() {
            if let Some(swept) = place.swept {
                let (x, y) = pixel(place);
                plot.text(&swept.to_string(), (x + 9, y + 9), ink.colour, false)?;
            }
        }
        labels.push(Label { text: name, ink, target: None });
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
