//! What the tests share: PyTorch's definitions written out with plain loops, and random layers to compare them on.
//!
//! Nothing here calls into the crate's geometry. Every index is an `i64` that may leave its range, and every range is tested
//! where it is used.

use convmat::{
    Channels, Convolution, Formulation, FormulationOptions, GemmBackend, Geometry, LinearOperator, Options, Scalar,
};
use ndarray::{Array2, Array5};
use proptest::array::uniform;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Runs a check on random values; a failure is shrunk and shown.
pub fn for_cases<S: Strategy>(cases: u32, strategy: S, check: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, max_global_rejects: 1 << 20, ..Config::default() };
    let check = |value| {
        check(value);
        Ok(())
    };
    if let Err(failure) = TestRunner::new(config).run(&strategy, check) {
        panic!("{failure}");
    }
}

/// Makes a test in one, two and three dimensions of a function that is generic over their number.
macro_rules! in_every_rank {
    ($(#[$attribute:meta])* $check:ident) => {
        mod $check {
            #[test]
            $(#[$attribute])*
            fn in_1d() {
                super::$check::<1>();
            }
            #[test]
            $(#[$attribute])*
            fn in_2d() {
                super::$check::<2>();
            }
            #[test]
            $(#[$attribute])*
            fn in_3d() {
                super::$check::<3>();
            }
        }
    };
}
pub(crate) use in_every_rank;

/// A layer and the size of its input, in the words of PyTorch.
#[derive(Clone, Debug)]
pub struct Case<const N: usize> {
    pub transposed: bool,
    pub input: [usize; N],
    pub kernel: [usize; N],
    pub stride: [usize; N],
    pub dilation: [usize; N],
    pub pads: [(usize, usize); N],
    /// Zero for convolutions.
    pub output_padding: [usize; N],
    pub groups: usize,
    /// Channels per group: of the convolution's output, and of its input.
    pub small: usize,
    pub large: usize,
}

/// The largest of everything about a random layer.
#[derive(Clone, Copy, Debug)]
pub struct Ranges {
    pub length: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub pad: usize,
    pub groups: usize,
    /// Per group.
    pub channels: usize,
}

/// Random layers with a nonempty output whose matrix has at most `cells` cells.
pub fn case<const N: usize>(cells: i64) -> impl Strategy<Value = Case<N>> {
    let [length, kernel, stride, dilation, pad]: [usize; 5] =
        [[12, 5, 6, 4, 7], [6, 4, 4, 3, 4], [3, 3, 3, 3, 3]][N - 1];
    let ranges = Ranges { length, kernel, stride, dilation, pad, groups: 3, channels: 3 };
    case_within(ranges, move |case| case.literal().cells() <= cells)
}

/// Random layers with a nonempty output that a condition accepts.
pub fn case_within<const N: usize>(
    ranges: Ranges,
    is_accepted: impl Fn(&Case<N>) -> bool,
) -> impl Strategy<Value = Case<N>> {
    let Ranges { length, kernel, stride, dilation, pad, groups, channels } = ranges;
    let spatial = (
        uniform::<_, N>(1..=length),
        uniform::<_, N>(1..=kernel),
        uniform::<_, N>(1..=stride),
        uniform::<_, N>(1..=dilation),
        uniform::<_, N>((0..=pad, 0..=pad)),
        uniform::<_, N>(0..12usize),
    );
    (any::<bool>(), spatial, 1..=groups, 1..=channels, 1..=channels).prop_filter_map(
        "an empty output or one that is not accepted",
        move |(transposed, (input, kernel, stride, dilation, pads, extra), groups, small, large)| {
            let output_padding = std::array::from_fn(|i| match transposed {
                true => extra[i] % stride[i].max(dilation[i]),
                false => 0,
            });
            let case = Case { transposed, input, kernel, stride, dilation, pads, output_padding, groups, small, large };
            let output = case.output();
            let possible = output.iter().all(|&length| length >= 1);
            (possible && is_accepted(&case)).then_some(case)
        },
    )
}

impl<const N: usize> Case<N> {
    /// PyTorch's formulas for the output lengths; below 1 where there is no output.
    pub fn output(&self) -> [i64; N] {
        std::array::from_fn(|i| {
            let [input, kernel, stride, dilation, output_padding] =
                [self.input, self.kernel, self.stride, self.dilation, self.output_padding].map(|v| v[i] as i64);
            let pads = (self.pads[i].0 + self.pads[i].1) as i64;
            match self.transposed {
                true => (input - 1) * stride - pads + dilation * (kernel - 1) + output_padding + 1,
                false => (input + pads - dilation * (kernel - 1) - 1).div_euclid(stride) + 1,
            }
        })
    }

    pub fn options(&self) -> Options<N> {
        Options::new()
            .stride(self.stride)
            .dilation(self.dilation)
            .padding(self.pads)
            .output_padding(self.output_padding)
            .groups(self.groups)
    }

    pub fn channels(&self) -> Channels {
        Channels { small: self.groups * self.small, large: self.groups * self.large }
    }

    pub fn geometry(&self) -> Geometry<N> {
        let geometry = match self.transposed {
            true => Geometry::transposed(self.input, self.kernel, self.channels(), &self.options()),
            false => Geometry::convolution(self.input, self.kernel, self.channels(), &self.options()),
        };
        geometry.unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    /// C with these weights.
    pub fn convolution<T: Scalar>(&self, weights: &Array5<T>) -> Convolution<T, N> {
        Convolution::new(self.geometry(), weights.clone()).unwrap()
    }

    /// The same layer with three spatial axes: those that are absent have length 1.
    pub fn lift(&self) -> Case<3> {
        fn lift<T: Copy, const N: usize>(values: [T; N], neutral: T) -> [T; 3] {
            std::array::from_fn(|i| if i + N < 3 { neutral } else { values[i + N - 3] })
        }
        Case {
            transposed: self.transposed,
            input: lift(self.input, 1),
            kernel: lift(self.kernel, 1),
            stride: lift(self.stride, 1),
            dilation: lift(self.dilation, 1),
            pads: lift(self.pads, (0, 0)),
            output_padding: lift(self.output_padding, 0),
            groups: self.groups,
            small: self.small,
            large: self.large,
        }
    }

    /// The definition with three spatial axes: those that are absent have length 1.
    pub fn literal(&self) -> Literal {
        let lift = |values: [i64; N]| std::array::from_fn(|i| if i + N < 3 { 1 } else { values[i + N - 3] });
        let (input, output) = (lift(self.input.map(|n| n as i64)), lift(self.output()));
        let (small_size, large_size) = if self.transposed { (input, output) } else { (output, input) };
        Literal {
            groups: self.groups as i64,
            small: self.small as i64,
            large: self.large as i64,
            small_size,
            large_size,
            kernel: lift(self.kernel.map(|n| n as i64)),
            stride: lift(self.stride.map(|n| n as i64)),
            dilation: lift(self.dilation.map(|n| n as i64)),
            padding: std::array::from_fn(|i| if i + N < 3 { 0 } else { self.pads[i + N - 3].0 as i64 }),
        }
    }
}

/// C in every formulation with every GEMM, each with its name.
pub fn every_operator<T: Scalar, const N: usize>(c: &Convolution<T, N>) -> Vec<(String, Box<dyn LinearOperator<T>>)> {
    let mut operators = Vec::new();
    for &formulation in Formulation::ALL {
        for &gemm in GemmBackend::ALL {
            let options = FormulationOptions::new().gemm(gemm);
            operators.push((format!("{formulation} with {gemm:?}"), c.formulate_with(formulation, &options).unwrap()));
        }
    }
    operators
}

/// The definitions of convolution and transposed convolution, term by term.
#[derive(Clone, Debug)]
pub struct Literal {
    pub groups: i64,
    /// Channels per group.
    pub small: i64,
    pub large: i64,
    pub small_size: [i64; 3],
    pub large_size: [i64; 3],
    pub kernel: [i64; 3],
    pub stride: [i64; 3],
    pub dilation: [i64; 3],
    pub padding: [i64; 3],
}

/// One product: an element of y, one of w and one of x, each by all its indices.
pub struct Term {
    pub small: [usize; 4],
    pub weight: [usize; 5],
    pub large: [usize; 4],
}

impl Literal {
    pub fn small_shape(&self) -> [usize; 4] {
        let [d, h, w] = self.small_size;
        [self.groups * self.small, d, h, w].map(|n| n as usize)
    }

    pub fn large_shape(&self) -> [usize; 4] {
        let [d, h, w] = self.large_size;
        [self.groups * self.large, d, h, w].map(|n| n as usize)
    }

    pub fn weight_shape(&self) -> [usize; 5] {
        let [d, h, w] = self.kernel;
        [self.groups * self.small, self.large, d, h, w].map(|n| n as usize)
    }

    /// Rows times columns of the matrix.
    pub fn cells(&self) -> i64 {
        let elements = |channels: i64, size: [i64; 3]| channels * self.groups * size.iter().product::<i64>();
        elements(self.small, self.small_size) * elements(self.large, self.large_size)
    }

    /// `out[co, o] = Σ w[co, ci, t] · x[ci, o·s + t·d − p]`, x being zero outside.
    pub fn convolution_terms(&self, mut visit: impl FnMut(Term)) {
        for output_channel in 0..self.groups * self.small {
            for o in positions(self.small_size) {
                let group = output_channel / self.small;
                for c in 0..self.large {
                    for t in positions(self.kernel) {
                        let x: [i64; 3] =
                            std::array::from_fn(|a| o[a] * self.stride[a] + t[a] * self.dilation[a] - self.padding[a]);
                        if (0..3).all(|a| x[a] >= 0 && x[a] < self.large_size[a]) {
                            visit(Term {
                                small: index(output_channel, o),
                                weight: weight_index(output_channel, c, t),
                                large: index(group * self.large + c, x),
                            });
                        }
                    }
                }
            }
        }
    }

    /// `out[co, i·s + t·d − p] += x[ci, i] · w[ci, co, t]`, dropping what falls outside.
    pub fn transposed_terms(&self, mut visit: impl FnMut(Term)) {
        for group in 0..self.groups {
            for c_in in 0..self.small {
                for c_out in 0..self.large {
                    for i in positions(self.small_size) {
                        for t in positions(self.kernel) {
                            let mut out = [0; 3];
                            let mut inside = true;
                            for a in 0..3 {
                                out[a] = i[a] * self.stride[a] + t[a] * self.dilation[a] - self.padding[a];
                                inside &= 0 <= out[a] && out[a] < self.large_size[a];
                            }
                            if inside {
                                visit(Term {
                                    small: index(group * self.small + c_in, i),
                                    weight: weight_index(group * self.small + c_in, c_out, t),
                                    large: index(group * self.large + c_out, out),
                                });
                            }
                        }
                    }
                }
            }
        }
    }

    /// The convolution of a batch.
    pub fn convolution(&self, weights: &Array5<f64>, x: &Array5<f64>) -> Array5<f64> {
        let mut y = Array5::zeros(with_batch(x.dim().0, self.small_shape()));
        for n in 0..x.dim().0 {
            self.convolution_terms(|term| {
                y[at(n, term.small)] += weights[term.weight] * x[at(n, term.large)];
            });
        }
        y
    }

    /// The transposed convolution of a batch.
    pub fn transposed(&self, weights: &Array5<f64>, y: &Array5<f64>) -> Array5<f64> {
        let mut x = Array5::zeros(with_batch(y.dim().0, self.large_shape()));
        for n in 0..y.dim().0 {
            self.transposed_terms(|term| {
                x[at(n, term.large)] += weights[term.weight] * y[at(n, term.small)];
            });
        }
        x
    }

    /// The derivative of Σ y·(C·x) with respect to the weights.
    pub fn weight_gradient(&self, large: &Array5<f64>, small: &Array5<f64>) -> Array5<f64> {
        let mut gradient = Array5::zeros(self.weight_shape());
        for n in 0..large.dim().0 {
            self.convolution_terms(|term| {
                gradient[term.weight] += small[at(n, term.small)] * large[at(n, term.large)];
            });
        }
        gradient
    }

    /// The structural nonzeros of C as (row, column, weight), all flat, in row order.
    pub fn entries(&self) -> Vec<(usize, usize, usize)> {
        let mut entries = Vec::new();
        self.convolution_terms(|term| {
            let row = flat(&self.small_shape(), &term.small);
            let column = flat(&self.large_shape(), &term.large);
            entries.push((row, column, flat(&self.weight_shape(), &term.weight)));
        });
        entries.sort_unstable();
        entries
    }

    /// C as the matrix of the convolution, and as the transpose of the matrix of the transposed convolution.
    pub fn matrices<T: Scalar>(&self, weights: &Array5<T>) -> [Array2<T>; 2] {
        let size = (self.small_shape().iter().product(), self.large_shape().iter().product());
        let [mut of_convolution, mut of_transposed] = [Array2::zeros(size), Array2::zeros(size)];
        let cell = |term: &Term| [flat(&self.small_shape(), &term.small), flat(&self.large_shape(), &term.large)];
        self.convolution_terms(|term| of_convolution[cell(&term)] = of_convolution[cell(&term)] + weights[term.weight]);
        self.transposed_terms(|term| of_transposed[cell(&term)] = of_transposed[cell(&term)] + weights[term.weight]);
        [of_convolution, of_transposed]
    }
}

fn positions([depth, height, width]: [i64; 3]) -> impl Iterator<Item = [i64; 3]> {
    (0..depth).flat_map(move |d| (0..height).flat_map(move |h| (0..width).map(move |w| [d, h, w])))
}

fn index(channel: i64, [d, h, w]: [i64; 3]) -> [usize; 4] {
    [channel, d, h, w].map(|i| i as usize)
}

fn weight_index(small: i64, large: i64, [d, h, w]: [i64; 3]) -> [usize; 5] {
    [small, large, d, h, w].map(|i| i as usize)
}

/// The index of an element within one sample, with the sample.
pub fn at(sample: usize, [c, d, h, w]: [usize; 4]) -> [usize; 5] {
    [sample, c, d, h, w]
}

/// Row-major position.
pub fn flat(shape: &[usize], index: &[usize]) -> usize {
    shape.iter().zip(index).fold(0, |position, (&length, &i)| position * length + i)
}

pub fn with_batch(batch: usize, [c, d, h, w]: [usize; 4]) -> [usize; 5] {
    [batch, c, d, h, w]
}
