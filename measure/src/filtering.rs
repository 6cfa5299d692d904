//! How much minimal filtering rounds, beside the plain loop of the definition. It computes single tiles by matrices, and knows no
//! kernel of the library.
//!
//! A nest is a set F(n, r) per filtered axis: of a tile of n outputs per axis
//!
//! ```text
//! y_i = Σ_c Σ_k g_ck·d_c,i+k,    p = n + r − 1 products per axis,    y = Aᵀ[Σ_c (G g_c) ⊙ (Bᵀ d_c)]
//! ```
//!
//! **Filtered.** G is applied in `f64` and its results are rounded to the element type; Bᵀ and Aᵀ are applied in the element type, with
//! the operations of the library's transforms, axis after axis, the first one first. Each block of input channels is summed from zero,
//! channel after channel, fused; the sums of the blocks are added in order, and transformed back.
//! **Loop.** Fused multiplications and additions in the definition's order: input channels, within them taps, the last axis fastest.
//! **Error.** The difference from the same sum in `f64`, or, for `f64`, in twice its digits. What is measured is the quotient of both
//! ways' errors, of their root mean squares and of their largest, over the outputs of many tiles with fresh weights each.
//! **Borders.** Inputs beyond a border are zero; see [`Plane`]. Outputs that read no others do not count.

mod number;
mod set;

pub use number::Number;
use number::{LANES, Lanes, lanes};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use set::Set;

/// Numbers of input channels that errors are measured at.
pub const INPUTS: [usize; 8] = [32, 64, 128, 256, 512, 1024, 2048, 8192];
/// Input channels that are summed from zero. With fewer input channels there is one block.
pub const BLOCKS: [usize; 3] = [32, 64, 128];
/// All sets (n, r) with up to six products and four outputs.
pub const SETS: [(usize, usize); 9] = [(2, 2), (3, 2), (4, 2), (2, 3), (3, 3), (4, 3), (2, 4), (3, 4), (2, 5)];
/// The largest error is the mean of those of so many parts of the tiles: it depends less on chance than a single one.
const PARTS: usize = 8;
/// Normal numbers to draw from: each draw takes the next ones from a random place on, as many as it needs.
const POOL: usize = 1 << 17;

/// What inputs are like. Weights are normal in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Normal, as after a normalization.
    Normal,
    /// Normal numbers, zero where they are negative.
    Rectified,
    /// Normal with mean 1 and deviation ½.
    Offset,
}

impl Data {
    pub const ALL: [Self; 3] = [Self::Normal, Self::Rectified, Self::Offset];

    /// The element made of a normal number.
    pub fn of(self, normal: f64) -> f64 {
        match self {
            Self::Normal => normal,
            Self::Rectified => normal.max(0.0),
            Self::Offset => 1.0 + 0.5 * normal,
        }
    }
}

/// Where tiles lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plane {
    /// One tile in four stands at a border: the first or the last half of its window, along one axis, is zero.
    Large,
    /// All tiles stand in corners: along each axis the first or the last input of the window is zero.
    Small,
}

impl Plane {
    pub const ALL: [Self; 2] = [Self::Large, Self::Small];

    /// How many inputs at the beginning and at the end of a window of `products` inputs are zero, along each axis.
    fn borders(self, products: &[usize], tile: usize, random: &mut ChaCha8Rng) -> Vec<[usize; 2]> {
        let chosen = (self == Self::Large).then(|| random.random_range(0..products.len()));
        let of_axis = |(axis, products): (usize, &usize)| {
            let zeros = match chosen {
                None => 1,
                Some(chosen) if chosen == axis && tile.is_multiple_of(4) => products / 2,
                Some(_) => 0,
            };
            if random.random() { [zeros, 0] } else { [0, zeros] }
        };
        products.iter().enumerate().map(of_axis).collect()
    }
}

/// Errors of filtering over those of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Excess {
    /// Root mean squares.
    pub rms: f64,
    /// Largest errors.
    pub largest: f64,
}

impl Excess {
    /// The worse of both in each figure.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { rms: self.rms.max(other.rms), largest: self.largest.max(other.largest) }
    }
}

/// Applies `f`, which pushes `length` values for those of one line, to all lines of x along an axis.
fn along<A: Copy>(
    x: &mut Vec<A>,
    shape: &mut [usize],
    axis: usize,
    length: usize,
    mut f: impl FnMut(&[A], &mut Vec<A>),
) {
    let (before, after) = (shape[..axis].iter().product::<usize>(), shape[axis + 1..].iter().product::<usize>());
    let (from, mut line, mut results) = (shape[axis], Vec::new(), Vec::with_capacity(length));
    let mut y = vec![x[0]; before * length * after];
    for (outer, inner) in (0..before).flat_map(|outer| (0..after).map(move |inner| (outer, inner))) {
        line.clear();
        line.extend((0..from).map(|i| x[(outer * from + i) * after + inner]));
        results.clear();
        f(&line, &mut results);
        for (i, &value) in results.iter().enumerate() {
            y[(outer * length + i) * after + inner] = value;
        }
    }
    shape[axis] = length;
    *x = y;
}

/// All index tuples of a shape, the last one fastest.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let longer = |all: Vec<Vec<usize>>, &length: &usize| {
        all.iter().flat_map(|index| (0..length).map(move |i| [&index[..], &[i]].concat())).collect()
    };
    shape.iter().fold(vec![Vec::new()], longer)
}

/// Errors that were seen: their squares' sum and the largest of each part of the tiles.
#[derive(Clone, Copy, Default)]
struct Errors {
    squares: f64,
    largest: [f64; PARTS],
}

impl Errors {
    fn add(&mut self, part: usize, error: f64) {
        self.squares += error * error;
        self.largest[part] = self.largest[part].max(error.abs());
    }

    fn over(&self, other: &Self) -> Excess {
        let sum = |errors: &Self| errors.largest.iter().sum::<f64>();
        Excess { rms: (self.squares / other.squares).sqrt(), largest: sum(self) / sum(other) }
    }
}

/// Tiles that are computed side by side, one per lane, each with weights of its own.
struct Tiles<'a> {
    sets: &'a [Set],
    data: Data,
    pool: &'a [f64],
    /// For every output the inputs of its taps.
    reads: Vec<Vec<usize>>,
    /// Whether a tile's input lies beyond a border.
    is_zero: Vec<Lanes<bool>>,
    part: usize,
}

impl<'a> Tiles<'a> {
    fn new(sets: &'a [Set], study: &Study, pool: &'a [f64], part: usize, random: &mut ChaCha8Rng) -> Self {
        let shape = |of: fn(&Set) -> usize| sets.iter().map(of).collect::<Vec<_>>();
        let products = shape(Set::products);
        let (outputs, taps) = (indices(&shape(|set| set.outputs)), indices(&shape(|set| set.taps)));
        let place = |output: &[usize], tap: &[usize]| {
            let axes = output.iter().zip(tap).zip(&products);
            axes.fold(0, |place, ((output, tap), length)| place * length + output + tap)
        };
        let reads = outputs.iter().map(|output| taps.iter().map(|tap| place(output, tap)).collect()).collect();
        let borders = lanes(|l| study.plane.borders(&products, l, random));
        let beyond = |index: &[usize], borders: &[[usize; 2]]| {
            let mut axes = index.iter().zip(borders).zip(&products);
            axes.any(|((&i, &[first, last]), &length)| i < first || i + last >= length)
        };
        let is_zero = indices(&products).iter().map(|index| lanes(|l| beyond(index, &borders[l]))).collect();
        Self { sets, data: study.data, pool, reads, is_zero, part }
    }

    /// `count` numbers per lane from random places of the pool on.
    fn draw(&self, count: usize, random: &mut ChaCha8Rng) -> Vec<Lanes<f64>> {
        let starts: Lanes<usize> = lanes(|_| random.random_range(0..POOL - count));
        (0..count).map(|i| lanes(|l| self.pool[starts[l] + i])).collect()
    }

    /// Adds the errors at every number of input channels: the loop's, and those with each block.
    fn run<T: Number>(&self, errors: &mut [(Errors, [Errors; BLOCKS.len()])], random: &mut ChaCha8Rng) {
        let inputs = self.is_zero.len();
        let taps = self.reads[0].len();
        let mut sums = vec![(Lanes::<T>::default(), Lanes::<T::Exact>::default()); self.reads.len()];
        let mut in_block = [(); BLOCKS.len()].map(|()| vec![Lanes::<T>::default(); inputs]);
        let mut of_blocks = in_block.clone();
        let last = INPUTS[..errors.len()].last();
        for channel in 0..last.copied().unwrap_or(0) {
            let mut weights = self.draw(taps, random);
            weights.iter_mut().flatten().for_each(|weight| *weight = T::of(*weight).to_f64());
            let numbers = self.draw(inputs, random);
            let read = |i: usize, l: usize| if self.is_zero[i][l] { 0.0 } else { self.data.of(numbers[i][l]) };
            let x: Vec<Lanes<T>> = (0..inputs).map(|i| lanes(|l| T::of(read(i, l)))).collect();
            let g: Vec<Lanes<T>> = weights.iter().map(|weight| lanes(|l| T::of(weight[l]))).collect();
            for (reads, (sum, exact)) in self.reads.iter().zip(&mut sums) {
                for (&i, g) in reads.iter().zip(&g) {
                    for l in 0..LANES {
                        sum[l] = x[i][l].mul_add(g[l], sum[l]);
                        x[i][l].accumulate(g[l], &mut exact[l]);
                    }
                }
            }
            let g = self.transform(weights, |set| set.taps, Set::products, Set::filter);
            let x = self.transform(x, Set::products, Set::products, Set::evaluate);
            for ((block, in_block), of_blocks) in BLOCKS.iter().zip(&mut in_block).zip(&mut of_blocks) {
                for ((sum, x), g) in in_block.iter_mut().zip(&x).zip(&g) {
                    for l in 0..LANES {
                        sum[l] = x[l].mul_add(T::of(g[l]), sum[l]);
                    }
                }
                if (channel + 1).is_multiple_of(*block) {
                    for (total, sum) in of_blocks.iter_mut().zip(in_block) {
                        *total = lanes(|l| sum[l].mul_add(T::of(1.0), total[l]));
                        *sum = Lanes::default();
                    }
                }
            }
            if let Some(k) = INPUTS[..errors.len()].iter().position(|&inputs| inputs == channel + 1) {
                self.collect(&sums, &in_block, &of_blocks, &mut errors[k]);
            }
        }
    }

    /// Applies a transform along all axes.
    fn transform<A: Copy>(
        &self,
        mut x: Vec<A>,
        from: fn(&Set) -> usize,
        to: fn(&Set) -> usize,
        f: impl Fn(&Set, &[A], &mut Vec<A>),
    ) -> Vec<A> {
        let mut shape: Vec<usize> = self.sets.iter().map(from).collect();
        for (axis, set) in self.sets.iter().enumerate() {
            along(&mut x, &mut shape, axis, to(set), |line, results| f(set, line, results));
        }
        x
    }

    fn collect<T: Number>(
        &self,
        sums: &[(Lanes<T>, Lanes<T::Exact>)],
        in_block: &[Vec<Lanes<T>>],
        of_blocks: &[Vec<Lanes<T>>],
        errors: &mut (Errors, [Errors; BLOCKS.len()]),
    ) {
        let counts = |output: usize, l: usize| self.reads[output].iter().any(|&i| !self.is_zero[i][l]);
        let mut all = |y: Option<(usize, Vec<Lanes<T>>)>| {
            for (output, (sum, exact)) in sums.iter().enumerate() {
                for l in (0..LANES).filter(|&l| counts(output, l)) {
                    match &y {
                        None => errors.0.add(self.part, sum[l].minus(exact[l])),
                        Some((block, y)) => errors.1[*block].add(self.part, y[output][l].minus(exact[l])),
                    }
                }
            }
        };
        all(None);
        for (block, (in_block, of_blocks)) in in_block.iter().zip(of_blocks).enumerate() {
            // What is left of the last block; nothing where all are whole.
            let rest = of_blocks.iter().zip(in_block);
            let total: Vec<_> = rest.map(|(total, sum)| lanes(|l| sum[l].mul_add(T::of(1.0), total[l]))).collect();
            let y = self.transform(total, Set::products, |set| set.outputs, Set::interpolate);
            all(Some((block, y)));
        }
    }
}

/// What errors are measured on.
#[derive(Clone, Copy, Debug)]
pub struct Study {
    pub data: Data,
    pub plane: Plane,
    /// Numbers in [`INPUTS`] up to this one are measured.
    pub most_inputs: usize,
    /// Number of tiles, rounded up to a multiple of 64.
    pub tiles: usize,
    pub seed: u64,
}

impl Study {
    /// Errors of a nest over those of the loop, a row per number of input channels in [`INPUTS`], a column per size in [`BLOCKS`].
    /// `None` for an empty nest and for a set that is none of [`SETS`].
    #[must_use]
    pub fn errors<T: Number>(&self, nest: &[(usize, usize)]) -> Option<Vec<[Excess; BLOCKS.len()]>> {
        let sets: Vec<Set> = nest.iter().map(|&set| Set::new(set)).collect::<Option<_>>()?;
        if sets.is_empty() {
            return None;
        }
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let pool: Vec<f64> = (0..POOL).map(|_| normal(&mut random)).collect();
        let rows = INPUTS.iter().filter(|&&inputs| inputs <= self.most_inputs).count();
        let mut errors = vec![<(Errors, [Errors; BLOCKS.len()])>::default(); rows];
        let per_part = self.tiles.div_ceil(LANES * PARTS).max(1);
        for part in (0..PARTS).flat_map(|part| std::iter::repeat_n(part, per_part)) {
            Tiles::new(&sets, self, &pool, part, &mut random).run::<T>(&mut errors, &mut random);
        }
        Some(errors.iter().map(|(of_loop, filtered)| filtered.map(|filtered| filtered.over(of_loop))).collect())
    }
}

/// A normal number after G. Box and M. Muller (1958).
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (radius, angle): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: Study = Study { data: Data::Normal, plane: Plane::Small, most_inputs: 64, tiles: 64, seed: 1 };

    /// A wrong transform's errors would be thousands of times those of rounding.
    #[test]
    fn errors_are_those_of_rounding() {
        for set in SETS {
            for nest in [&[set][..], &[set, (2, 2)]] {
                let found = STUDY.errors::<f32>(nest).unwrap();
                assert_eq!(found.len(), 2);
                for excess in found.iter().flatten() {
                    assert!((0.3..3.0).contains(&excess.rms), "{nest:?}: {excess:?}");
                    assert!((0.2..4.0).contains(&excess.largest), "{nest:?}: {excess:?}");
                }
                // One block of all 32 input channels, whatever is the most.
                assert_eq!(found[0], [found[0][0]; 3]);
                assert!(found[1][0].rms < found[1][1].rms);
            }
        }
    }

    #[test]
    fn other_nests_have_none() {
        assert_eq!(STUDY.errors::<f32>(&[]), None);
        assert_eq!(STUDY.errors::<f32>(&[(3, 2), (6, 3)]), None);
        assert_eq!(Study { most_inputs: 31, ..STUDY }.errors::<f32>(&[(3, 2)]), Some(Vec::new()));
    }

    /// Outputs, and half of what they read, at one border.
    #[test]
    fn large_planes_have_one_border_in_four_tiles() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for tile in 0..8 {
            let zeros = Plane::Large.borders(&[5, 6], tile, &mut random);
            let of_axes: Vec<usize> = zeros.iter().map(|[first, last]| first + last).collect();
            match tile % 4 {
                0 => assert!(of_axes == [2, 0] || of_axes == [0, 3], "{zeros:?}"),
                _ => assert_eq!(of_axes, [0, 0]),
            }
            assert!(Plane::Small.borders(&[5, 6], tile, &mut random).iter().all(|[first, last]| first + last == 1));
        }
    }
}
