//! Convolutions and poolings by their definitions: loops over every output and every element of its window.

use super::values::{Values, cells, roundings, three};

/// Where windows lie along each spatial axis.
#[derive(Clone, Debug)]
pub struct Windows {
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    /// Before and after each axis.
    pub pads: Vec<(usize, usize)>,
}

impl Windows {
    /// The element of the input that element `tap` of window `at` is, if it is none of the padding.
    fn reads(&self, at: [usize; 3], tap: [usize; 3], size: [usize; 3]) -> Option<[usize; 3]> {
        let (strides, dilations, pads) =
            (three(&self.strides, 1), three(&self.dilations, 1), three(&self.pads, (0, 0)));
        let mut place = [0; 3];
        for axis in 0..3 {
            let padded = at[axis] * strides[axis] + tap[axis] * dilations[axis];
            place[axis] = padded.checked_sub(pads[axis].0).filter(|&place| place < size[axis])?;
        }
        Some(place)
    }

    /// How many windows fit along each axis of a size.
    fn count(&self, size: &[usize]) -> Option<Vec<usize>> {
        let along = |(axis, length): (usize, &usize)| {
            let extent = (self.kernel[axis] - 1) * self.dilations[axis] + 1;
            let padded = length + self.pads[axis].0 + self.pads[axis].1;
            Some(padded.checked_sub(extent)? / self.strides[axis] + 1)
        };
        size.iter().enumerate().map(along).collect()
    }

    /// How long an axis has to be for so many windows.
    fn covered(&self, count: &[usize], more: &[usize]) -> Option<Vec<usize>> {
        let along = |(axis, windows): (usize, &usize)| {
            let extent = (self.kernel[axis] - 1) * self.dilations[axis] + 1;
            let length = (windows - 1) * self.strides[axis] + extent + more[axis];
            length.checked_sub(self.pads[axis].0 + self.pads[axis].1).filter(|&length| length > 0)
        };
        count.iter().enumerate().map(along).collect()
    }
}

/// A convolution or a transposed one.
#[derive(Clone, Debug)]
pub struct Layer {
    pub is_transposed: bool,
    pub groups: usize,
    pub windows: Windows,
    /// Of a transposed one.
    pub output_padding: Vec<usize>,
    /// `[out, in / groups, kernel…]`, transposed `[in, out / groups, kernel…]`.
    pub shape: Vec<usize>,
    pub weights: Vec<f32>,
    pub bias: Option<Vec<f32>>,
}

/// A sum in the making: itself, that of its terms' sizes, and how far it is off by what its terms are.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: f64,
    size: f64,
    error: f64,
}

impl Sum {
    fn add(&mut self, factor: f64, (x, error): (f64, f64)) {
        self.value += factor * x;
        self.size += (factor * x).abs();
        self.error += factor.abs() * error;
    }

    /// The sum of so many terms, whatever their order.
    fn rounded(self, terms: usize) -> (f64, f64) {
        (self.value, self.error + roundings(terms, self.size + self.error))
    }
}

impl Layer {
    /// Multiplications of a sample.
    pub fn work(&self, x: &Values) -> usize {
        let places = match self.is_transposed {
            true => Some(x.spatial().to_vec()),
            false => self.windows.count(x.spatial()),
        };
        self.weights.len() * places.map_or(0, |places| places.iter().product())
    }

    /// The output; nothing if there is none of this size.
    pub fn evaluate(&self, x: &Values) -> Option<Values> {
        if self.is_transposed { self.scattered(x) } else { self.gathered(x) }
    }

    fn weight(&self, first: usize, second: usize, tap: [usize; 3]) -> f64 {
        let [_, height, width] = three(&self.windows.kernel, 1);
        let volume = self.windows.kernel.iter().product::<usize>();
        let place = (first * self.shape[1] + second) * volume + (tap[0] * height + tap[1]) * width + tap[2];
        self.weights[place].into()
    }

    fn sum(&self, channel: usize) -> Sum {
        let mut sum = Sum::default();
        if let Some(bias) = &self.bias {
            sum.add(1.0, (bias[channel].into(), 0.0));
        }
        sum
    }

    /// `y[o, p] = b[o] + Σ w[o, i, t] · x[i, p·stride + t·dilation − pad]`.
    fn gathered(&self, x: &Values) -> Option<Values> {
        let (of_group, made) = (self.shape[1], self.shape[0] / self.groups);
        let kernel = three(&self.windows.kernel, 1);
        let shape: Vec<usize> =
            [x.shape[0], self.shape[0]].into_iter().chain(self.windows.count(x.spatial())?).collect();
        let terms = of_group * self.windows.kernel.iter().product::<usize>() + 6;
        Some(Values::from_fn(&shape, |[n, o, i, j, k]| {
            let mut sum = self.sum(o);
            for c in 0..of_group {
                for tap in cells(kernel) {
                    if let Some([i, j, k]) = self.windows.reads([i, j, k], tap, x.size()) {
                        sum.add(self.weight(o, c, tap), x.at([n, o / made * of_group + c, i, j, k]));
                    }
                }
            }
            sum.rounded(terms)
        }))
    }

    /// `y[o, p·stride + t·dilation − pad] += w[i, o, t] · x[i, p]`.
    fn scattered(&self, x: &Values) -> Option<Values> {
        let of_group = self.shape[1];
        let per_group = self.shape[0] / self.groups;
        let kernel = three(&self.windows.kernel, 1);
        let lengths = self.windows.covered(x.spatial(), &self.output_padding)?;
        let shape: Vec<usize> = [x.shape[0], of_group * self.groups].into_iter().chain(lengths).collect();
        let mut y = Values::from_fn(&shape, |_| (0.0, 0.0));
        let size = y.size();
        let mut sums = vec![Sum::default(); y.numbers.len()];
        for n in 0..x.shape[0] {
            for o in 0..shape[1] {
                for [i, j, k] in cells(size) {
                    sums[y.place([n, o, i, j, k])] = self.sum(o);
                }
            }
            for c in 0..x.shape[1] {
                for o in 0..of_group {
                    for at in cells(x.size()) {
                        for tap in cells(kernel) {
                            if let Some([i, j, k]) = self.windows.reads(at, tap, size) {
                                let place = y.place([n, c / per_group * of_group + o, i, j, k]);
                                sums[place].add(self.weight(c, o, tap), x.at([n, c, at[0], at[1], at[2]]));
                            }
                        }
                    }
                }
            }
        }
        let terms = per_group * self.windows.kernel.iter().product::<usize>() + 6;
        for (place, sum) in sums.into_iter().enumerate() {
            (y.numbers[place], y.errors[place]) = sum.rounded(terms);
        }
        Some(y)
    }
}

/// What becomes of the elements of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolRule {
    Max,
    Mean,
    /// The padding counts as zeros.
    MeanWithPadding,
}

/// The pooling of every plane; nothing if no window fits.
pub fn pooled(x: &Values, windows: &Windows, rule: PoolRule) -> Option<Values> {
    let kernel = three(&windows.kernel, 1);
    let volume: usize = windows.kernel.iter().product();
    let shape: Vec<usize> = x.planes().into_iter().chain(windows.count(x.spatial())?).collect();
    Some(Values::from_fn(&shape, |[n, c, i, j, k]| {
        let reads = cells(kernel).filter_map(|tap| windows.reads([i, j, k], tap, x.size()));
        let elements: Vec<(f64, f64)> = reads.map(|[i, j, k]| x.at([n, c, i, j, k])).collect();
        match rule {
            // Of windows without elements nothing is known.
            _ if elements.is_empty() => (f64::INFINITY, 0.0),
            PoolRule::Max => largest(elements),
            PoolRule::Mean => {
                let count = elements.len();
                mean(elements, count)
            }
            PoolRule::MeanWithPadding => mean(elements, volume),
        }
    }))
}

/// The largest number: it is off by no more than any of them.
pub fn largest(of: Vec<(f64, f64)>) -> (f64, f64) {
    let none = (f64::NEG_INFINITY, 0.0);
    of.into_iter().fold(none, |(largest, error), (x, of_x)| (largest.max(x), f64::max(error, of_x)))
}

/// The sum over a count.
pub fn mean(of: Vec<(f64, f64)>, count: usize) -> (f64, f64) {
    let terms = of.len() + 2;
    let mut sum = Sum::default();
    of.into_iter().for_each(|element| sum.add(1.0 / count as f64, element));
    sum.rounded(terms)
}
