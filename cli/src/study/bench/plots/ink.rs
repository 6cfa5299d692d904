//! The colour and the marker of every formulation, the same in all plots. No two share either.

use plotters::prelude::RGBColor;

use super::super::record::Candidate;

/// How a curve looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ink {
    pub colour: RGBColor,
    pub marker: Marker,
    /// Other programs' curves are dashed and their markers hollow.
    pub dashed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
    Left,
    Right,
    Pentagon,
    Star,
    Plus,
    Hexagon,
}

/// Colours of other programs.
const PEERS: [RGBColor; 4] =
    [RGBColor(0x8b, 0x5e, 0x34), RGBColor(0x4d, 0x5b, 0x7c), RGBColor(0x9d, 0x4e, 0xdd), RGBColor(0x3a, 0x7d, 0x44)];
const PEER_MARKERS: [Marker; 4] = [Marker::Circle, Marker::Square, Marker::Diamond, Marker::Up];

impl Ink {
    pub const fn of(candidate: Candidate) -> Self {
        let (colour, marker) = match candidate {
            Candidate::Gather => (0x6b_7a_00, Marker::Left),
            Candidate::Scatter => (0x0f_76_6e, Marker::Right),
            Candidate::Dense => (0xc8_1e_1e, Marker::Square),
            Candidate::SparseCsr => (0x1d_4e_d8, Marker::Up),
            Candidate::SparseCsc => (0x02_84_c7, Marker::Down),
            Candidate::TransposedCsr => (0x6d_28_d9, Marker::Pentagon),
            Candidate::Im2colGemm => (0xb4_53_09, Marker::Diamond),
            Candidate::Im2colMatrixmultiply => (0xbe_18_5d, Marker::Star),
            Candidate::ZeroInsertion => (0x6b_72_80, Marker::Plus),
            Candidate::Planned => (0x11_18_27, Marker::Circle),
            Candidate::Filtered => (0xa2_1c_af, Marker::Hexagon),
        };
        let [_, red, green, blue] = u32::to_be_bytes(colour);
        Self { colour: RGBColor(red, green, blue), marker, dashed: false }
    }

    pub const fn of_peer(i: usize) -> Self {
        Self { colour: PEERS[i % PEERS.len()], marker: PEER_MARKERS[i % PEER_MARKERS.len()], dashed: true }
    }
}

impl Marker {
    /// The outline about the origin, within 100 of it; none for a circle.
    pub fn outline(self) -> Option<Vec<(i32, i32)>> {
        Some(match self {
            Self::Circle => return None,
            Self::Square => vec![(-85, -85), (85, -85), (85, 85), (-85, 85)],
            Self::Diamond => vec![(0, -120), (120, 0), (0, 120), (-120, 0)],
            Self::Up => vec![(0, -110), (105, 80), (-105, 80)],
            Self::Down => vec![(0, 110), (105, -80), (-105, -80)],
            Self::Left => vec![(-110, 0), (80, -105), (80, 105)],
            Self::Right => vec![(110, 0), (-80, -105), (-80, 105)],
            Self::Pentagon => spokes(5, 110, 110),
            Self::Hexagon => spokes(6, 110, 110),
            Self::Star => spokes(10, 130, 55),
            Self::Plus => vec![
                (-40, -110),
                (40, -110),
                (40, -40),
                (110, -40),
                (110, 40),
                (40, 40),
                (40, 110),
                (-40, 110),
                (-40, 40),
                (-110, 40),
                (-110, -40),
                (-40, -40),
            ],
        })
    }
}

/// A polygon around the origin, whose corners are at the distances `even` and `odd` in turns, the first one at the top.
fn spokes(corners: u32, even: i32, odd: i32) -> Vec<(i32, i32)> {
    let corner = |i: u32| {
        let (sine, cosine) = (std::f64::consts::TAU * f64::from(i) / f64::from(corners)).sin_cos();
        let radius = f64::from(if i.is_multiple_of(2) { even } else { odd });
        ((radius * sine).round() as i32, (-radius * cosine).round() as i32)
    };
    (0..corners).map(corner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast to white (WCAG 2.2, 1.4.11 asks for 3).
    fn contrast(RGBColor(red, green, blue): RGBColor) -> f64 {
        let linear = |channel: u8| match f64::from(channel) / 255.0 {
            low if low <= 0.040_45 => low / 12.92,
            high => ((high + 0.055) / 1.055).powf(2.4),
        };
        1.05 / (0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue) + 0.05)
    }

    #[test]
    fn curves_are_seen_and_told_apart() {
        let inks = Candidate::ALL.map(Ink::of);
        for (i, a) in inks.iter().enumerate() {
            assert!(contrast(a.colour) >= 3.0, "{a:?} {}", contrast(a.colour));
            for b in &inks[i + 1..] {
                assert!(a.colour != b.colour && a.marker != b.marker, "{a:?} {b:?}");
            }
        }
        for peer in (0..PEERS.len()).map(Ink::of_peer) {
            assert!(contrast(peer.colour) >= 3.0 && inks.iter().all(|ink| ink.colour != peer.colour), "{peer:?}");
        }
    }
}
