//! Places for the boxes and lines of a graph without cycles, in layers from top to bottom (Sugiyama, Tagawa and Toda 1981, *Methods for
//! visual understanding of hierarchical system structures*).
//!
//! Every box lies one layer below the lowest box that it reads; a line that passes layers has a place of its own in each of them, so that
//! it crosses no box. Neighbours are ordered by the mean places of what they are connected with, and then moved as near to it as their
//! widths allow. It knows no network and no picture.

use std::collections::BTreeMap;

/// Space between neighbours.
const GAP: f64 = 24.0;
/// Sweeps over all layers, down and up.
const SWEEPS: usize = 12;

/// Where boxes and lines lie.
pub struct Layout {
    /// Of every box the middle, from the left, and the layer, from the top.
    pub boxes: Vec<(f64, usize)>,
    /// Of every line, in the order of the edges: the middles of what it passes, layer by layer, both ends included.
    pub lines: Vec<Vec<(f64, usize)>>,
    pub width: f64,
    pub layers: usize,
}

/// A box, or the place where lines from one box pass a layer.
struct Place {
    layer: usize,
    width: f64,
    /// Places of the layers above and below that it is connected with.
    above: Vec<usize>,
    below: Vec<usize>,
    x: f64,
}

/// Lays out boxes of given widths; an edge leads from a box to one with a greater number.
pub fn lay_out(widths: &[f64], edges: &[(usize, usize)]) -> Layout {
    let mut layers_of = vec![0usize; widths.len()];
    let mut sorted = edges.to_vec();
    sorted.sort_unstable_by_key(|&(from, to)| (to, from));
    for &(from, to) in &sorted {
        layers_of[to] = layers_of[to].max(layers_of[from] + 1);
    }
    let mut places: Vec<Place> = widths
        .iter()
        .zip(&layers_of)
        .map(|(&width, &layer)| Place { layer, width, above: Vec::new(), below: Vec::new(), x: 0.0 })
        .collect();
    // Lines from one box are one line as far as they pass the same layers.
    let mut passing: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut paths = Vec::with_capacity(edges.len());
    for &(from, to) in edges {
        let mut path = vec![from];
        for layer in layers_of[from] + 1..layers_of[to] {
            let number = *passing.entry((from, layer)).or_insert_with(|| {
                places.push(Place { layer, width: 0.0, above: Vec::new(), below: Vec::new(), x: 0.0 });
                places.len() - 1
            });
            path.push(number);
        }
        path.push(to);
        for pair in path.windows(2) {
            if !places[pair[0]].below.contains(&pair[1]) {
                places[pair[0]].below.push(pair[1]);
                places[pair[1]].above.push(pair[0]);
            }
        }
        paths.push(path);
    }
    let count = places.iter().map(|place| place.layer + 1).max().unwrap_or(0);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (number, place) in places.iter().enumerate() {
        layers[place.layer].push(number);
    }
    arrange(&mut places, &mut layers);
    let left = places.iter().map(|place| place.x - place.width / 2.0).fold(f64::INFINITY, f64::min);
    let right = places.iter().map(|place| place.x + place.width / 2.0).fold(f64::NEG_INFINITY, f64::max);
    let at = |&number: &usize| (places[number].x - left, places[number].layer);
    Layout {
        boxes: (0..widths.len()).map(|number| at(&number)).collect(),
        lines: paths.iter().map(|path| path.iter().map(at).collect()).collect(),
        width: (right - left).max(0.0),
        layers: count,
    }
}

/// Orders and places all layers.
fn arrange(places: &mut [Place], layers: &mut [Vec<usize>]) {
    for layer in &*layers {
        settle(places, layer, &vec![0.0; layer.len()]);
    }
    for sweep in 0..SWEEPS {
        let is_down = sweep % 2 == 0;
        // The last sweeps keep the order and straighten lines.
        let is_ordering = sweep + 4 < SWEEPS;
        let order: Vec<usize> = if is_down { (0..layers.len()).collect() } else { (0..layers.len()).rev().collect() };
        for number in order {
            let wish = |place: &Place| {
                let near = if is_down { &place.above } else { &place.below };
                let all = if is_ordering { near.clone() } else { [&place.above[..], &place.below].concat() };
                match all.len() {
                    0 => place.x,
                    n => all.iter().map(|&other| places[other].x).sum::<f64>() / n as f64,
                }
            };
            if is_ordering {
                let mut wishes: Vec<(f64, usize)> =
                    layers[number].iter().map(|&place| (wish(&places[place]), place)).collect();
                wishes.sort_by(|a, b| a.0.total_cmp(&b.0));
                layers[number] = wishes.into_iter().map(|(_, place)| place).collect();
            }
            let wishes: Vec<f64> = layers[number].iter().map(|&place| wish(&places[place])).collect();
            settle(places, &layers[number], &wishes);
        }
    }
}

/// Places a layer's neighbours as near to where they wish to be as their widths allow, in the sense of least squares: distances beyond the
/// least ones have to be monotone, and pools of those that are not have their mean (Ayer et al. 1955).
fn settle(places: &mut [Place], layer: &[usize], wishes: &[f64]) {
    let mut offset = 0.0;
    let mut offsets = Vec::with_capacity(layer.len());
    // The sum and the number of a pool's wishes.
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (i, &number) in layer.iter().enumerate() {
        if let Some(&before) = i.checked_sub(1).and_then(|i| layer.get(i)) {
            offset += (places[before].width + places[number].width) / 2.0 + GAP;
        }
        offsets.push(offset);
        pools.push((wishes[i] - offset, 1));
        while let [.., (a, n), (b, m)] = pools[..] {
            if a / n as f64 <= b / m as f64 {
                break;
            }
            pools.truncate(pools.len() - 2);
            pools.push((a + b, n + m));
        }
    }
    let means = pools.iter().flat_map(|&(sum, count)| std::iter::repeat_n(sum / count as f64, count));
    for ((&number, offset), mean) in layer.iter().zip(offsets).zip(means) {
        places[number].x = offset + mean;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No two boxes of a layer, and no line and box, come nearer than the gap.
    fn assert_apart(widths: &[f64], edges: &[(usize, usize)]) -> Layout {
        let layout = lay_out(widths, edges);
        let mut spans: Vec<(usize, f64, f64)> = layout
            .boxes
            .iter()
            .zip(widths)
            .map(|(&(x, layer), width)| (layer, x - width / 2.0, x + width / 2.0))
            .collect();
        for (line, &(from, to)) in layout.lines.iter().zip(edges) {
            assert_eq!((line[0], line[line.len() - 1]), (layout.boxes[from], layout.boxes[to]));
            assert!(line.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1), "{line:?}");
            spans.extend(line[1..line.len() - 1].iter().map(|&(x, layer)| (layer, x, x)));
        }
        spans.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
        // Lines of one box share their places.
        spans.dedup();
        for pair in spans.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            assert!(pair[1].1 - pair[0].2 > GAP - 1e-6, "{pair:?}");
        }
        assert!(
            spans
                .iter()
                .all(|&(layer, left, right)| { layer < layout.layers && left > -1e-6 && right < layout.width + 1e-6 })
        );
        layout
    }

    #[test]
    fn chains_are_straight() {
        let layout = assert_apart(&[100.0, 60.0, 80.0], &[(0, 1), (1, 2)]);
        assert_eq!(layout.layers, 3);
        assert!(layout.boxes.iter().all(|&(x, _)| (x - layout.boxes[0].0).abs() < 1e-9), "{:?}", layout.boxes);
    }

    #[test]
    fn lines_that_pass_layers_go_around_boxes() {
        let layout = assert_apart(&[50.0; 5], &[(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (0, 3)]);
        assert_eq!(layout.lines[4].len(), 5);
        assert_eq!(layout.lines[4][1..3], layout.lines[5][1..3]);
    }

    #[test]
    fn branches_do_not_cross() {
        // Two chains that start in the order of their ends.
        let layout = assert_apart(&[40.0; 6], &[(0, 2), (1, 3), (0, 4), (1, 5)]);
        let x = |number: usize| layout.boxes[number].0;
        assert_eq!(x(0) < x(1), x(2).max(x(4)) < x(3).min(x(5)));
    }

    #[test]
    fn any_graph_is_laid_out() {
        let mut state = 7u64;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for count in 1..40 {
            let widths: Vec<f64> = (0..count).map(|_| 20.0 + below(200) as f64).collect();
            let edges: Vec<(usize, usize)> =
                (1..count).flat_map(|to| (0..1 + to % 3).map(move |_| to)).map(|to| (below(to), to)).collect();
            assert_apart(&widths, &edges);
        }
        assert_eq!(assert_apart(&[], &[]).layers, 0);
    }
}
