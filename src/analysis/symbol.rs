//! The symbol of a convolution without borders: a small complex matrix per frequency.
//!
//! On an endless grid C commutes with shifts by the stride, so Fourier series turn it into a multiplication with a matrix
//! E(φ) of Cout rows and Cin·∏stride columns per group, a column for each input channel and residue class of its positions:
//!
//! ```text
//! E[co, (ci, r)](φ) = Σ_j w[co, ci, r + j·step] · e^{i·j·φ}        step = stride / gcd(stride, dilation)
//! ```
//!
//! Taps r + j·step are those of one residue class ([`Axis::tap_step`](crate::geometry::Axis::tap_step)). Two things are left
//! out because they multiply columns by phases, which singular values do not see: `begin` and the offset of each class. Within a
//! class consecutive taps lie dilation / gcd small steps apart, so at the frequency θ of the small grid φ = θ·dilation/gcd.
//! Classes that no tap reaches are columns of zeros and left out.
//!
//! The usual form for a stride is the *aliased* symbol: the frequencies of x that fold onto one of y side by side, times
//! 1/√∏stride. It is E times a unitary matrix (the Fourier transform over residue classes), hence has the same singular values,
//! but trigonometric polynomials of a degree up to ∏stride times as high.

use ndarray::Array5;

use super::dense::complex_values;
use crate::convolution::Convolution;
use crate::error::Result;
use crate::geometry::{Axis, Side};
use crate::operator::{Unit, expect_bytes};

pub(super) struct Symbol {
    /// In their unit, and so is everything that comes of them here.
    weights: Array5<f64>,
    unit: Unit,
    groups: usize,
    axes: [Axis; 3],
    /// `[rows, input channels]` of one group.
    channels: [usize; 2],
    /// Taps apart within a class, and classes that taps reach, per axis.
    steps: [usize; 3],
    classes: [usize; 3],
}

impl Symbol {
    /// [`Error::NotFinite`](crate::Error::NotFinite) for weights that are not.
    pub(super) fn new(convolution: &Convolution<f64, 3>) -> Result<Self> {
        let geometry = convolution.geometry();
        let axes = geometry.spatial();
        let steps = axes.map(|axis| axis.tap_step());
        let weights = convolution.weights5();
        let unit = Unit::of(weights.iter().copied(), "every weight")?;
        Ok(Self {
            weights: weights.mapv(|weight| unit.of_value(weight)),
            unit,
            groups: geometry.groups(),
            axes,
            channels: [Side::Small, Side::Large].map(|side| geometry.channels_per_group(side)),
            steps,
            classes: std::array::from_fn(|i| steps[i].min(axes[i].kernel())),
        })
    }

    /// What the singular values are multiples of.
    pub(super) fn unit(&self) -> Unit {
        self.unit
    }

    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    /// Rows and columns of one group's matrix, columns of zeros left out.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.channels[0], self.channels[1] * self.classes.iter().product::<usize>())
    }

    /// Per axis the degree of E's elements as trigonometric polynomials in φ.
    pub(super) fn degrees(&self) -> [usize; 3] {
        std::array::from_fn(|i| (self.axes[i].kernel() - 1) / self.steps[i])
    }

    /// Refuses matrices beyond a limit: each of them, its copies while it is decomposed, and `values` numbers beside them.
    pub(super) fn expect_bytes(&self, values: u128, memory_limit: u128) -> Result<()> {
        let (rows, columns) = self.shape();
        let bytes = (rows as u128 * columns as u128).saturating_mul(4 * 16).saturating_add(values.saturating_mul(8));
        expect_bytes("the symbol and its singular values", bytes, memory_limit, "singular_values")
    }

    /// Singular values of one group's E(φ) in the [`unit`](Self::unit), descending; those of columns of zeros left out.
    pub(super) fn values(&self, group: usize, phi: [f64; 3]) -> Result<Vec<f64>> {
        let [rows, inputs] = self.channels;
        let [_, class_h, class_w] = self.classes;
        // e^{i·j·φ} for all j and every axis.
        let phases: [Vec<(f64, f64)>; 3] = std::array::from_fn(|i| {
            (0..=self.degrees()[i]).map(|j| (j as f64 * phi[i]).sin_cos()).map(|(sin, cos)| (cos, sin)).collect()
        });
        let (kernel, classes) = (self.axes.map(|axis| axis.kernel()), self.classes.iter().product::<usize>());
        complex_values((rows, inputs * classes), |row, column| {
            let (input, class) = (column / classes, column % classes);
            let first = [class / (class_h * class_w), class / class_w % class_h, class % class_w];
            let mut sum = (0.0, 0.0);
            for (d, phase_d) in (first[0]..kernel[0]).step_by(self.steps[0]).zip(&phases[0]) {
                for (h, phase_h) in (first[1]..kernel[1]).step_by(self.steps[1]).zip(&phases[1]) {
                    let phase = times(*phase_d, *phase_h);
                    for (w, phase_w) in (first[2]..kernel[2]).step_by(self.steps[2]).zip(&phases[2]) {
                        let (re, im) = times(phase, *phase_w);
                        let weight = self.weights[[group * rows + row, input, d, h, w]];
                        sum = (sum.0 + weight * re, sum.1 + weight * im);
                    }
                }
            }
            sum
        })
    }
}

fn times(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

/// Of the points of a periodic grid, one of each pair f and −f, with how many of the two there are: weights are real, so that E at
/// both has the same singular values.
pub(super) fn half_grid(lengths: [usize; 3]) -> impl Iterator<Item = ([usize; 3], usize)> {
    let [depth, height, width] = lengths;
    (0..depth).flat_map(move |d| (0..height).flat_map(move |h| (0..width).map(move |w| [d, h, w]))).filter_map(
        move |point| {
            let mirror: [usize; 3] = std::array::from_fn(|i| (lengths[i] - point[i]) % lengths[i]);
            (point <= mirror).then_some((point, if point == mirror { 1 } else { 2 }))
        },
    )
}
