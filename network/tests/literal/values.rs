//! Numbers in f64, each with how far a computation in f32 may be from it. They know no operator.

/// Half a unit in the last place of an f32 of size 1: what a rounding changes at most.
const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// What so many roundings, one after the other, change at most in a number of a size.
pub fn roundings(count: usize, size: f64) -> f64 {
    // The hundredth is for their products, the rest for numbers that are too small to be rounded relatively.
    1.01 * count as f64 * UNIT * size + 1e-37
}

/// A tensor `[batch, channels, spatial…]` of one to three spatial axes.
#[derive(Clone, Debug)]
pub struct Values {
    pub shape: Vec<usize>,
    pub numbers: Vec<f64>,
    /// How far off the same numbers may be in f32.
    pub errors: Vec<f64>,
}

impl Values {
    /// Numbers that are right.
    pub fn exact(shape: &[usize], numbers: impl IntoIterator<Item = f32>) -> Self {
        let numbers: Vec<f64> = numbers.into_iter().map(f64::from).collect();
        assert_eq!(numbers.len(), shape.iter().product::<usize>());
        Self { shape: shape.to_vec(), errors: vec![0.0; numbers.len()], numbers }
    }

    /// A number and its error at every index.
    pub fn from_fn(shape: &[usize], mut of: impl FnMut([usize; 5]) -> (f64, f64)) -> Self {
        let [batch, channels, spatial @ ..] = five(shape);
        let (mut numbers, mut errors) = (Vec::new(), Vec::new());
        for n in 0..batch {
            for c in 0..channels {
                for [i, j, k] in cells(spatial) {
                    let (number, error) = of([n, c, i, j, k]);
                    numbers.push(number);
                    errors.push(error);
                }
            }
        }
        Self { shape: shape.to_vec(), numbers, errors }
    }

    /// A function of every number and its error.
    pub fn map(&self, of: impl Fn(f64, f64) -> (f64, f64)) -> Self {
        let made = self.numbers.iter().zip(&self.errors).map(|(&x, &error)| of(x, error));
        let (numbers, errors) = made.unzip();
        Self { shape: self.shape.clone(), numbers, errors }
    }

    /// The lengths of the spatial axes.
    pub fn spatial(&self) -> &[usize] {
        &self.shape[2..]
    }

    /// The same as three lengths; absent axes come first and have length 1.
    pub fn size(&self) -> [usize; 3] {
        let [_, _, size @ ..] = five(&self.shape);
        size
    }

    /// Batch and channels.
    pub fn planes(&self) -> [usize; 2] {
        [self.shape[0], self.shape[1]]
    }

    /// Where a number stands.
    pub fn place(&self, [n, c, i, j, k]: [usize; 5]) -> usize {
        let [_, channels, depth, height, width] = five(&self.shape);
        (((n * channels + c) * depth + i) * height + j) * width + k
    }

    /// A number and its error.
    pub fn at(&self, index: [usize; 5]) -> (f64, f64) {
        let place = self.place(index);
        (self.numbers[place], self.errors[place])
    }

    /// The largest number, whatever its sign.
    pub fn largest(&self) -> f64 {
        self.numbers.iter().fold(0.0, |largest, x| largest.max(x.abs()))
    }

    /// The largest error.
    pub fn largest_error(&self) -> f64 {
        self.errors.iter().copied().fold(0.0, f64::max)
    }
}

/// A shape with three spatial axes.
fn five(shape: &[usize]) -> [usize; 5] {
    let spatial = three(&shape[2..], 1);
    [shape[0], shape[1], spatial[0], spatial[1], spatial[2]]
}

/// Numbers per axis for three axes.
pub fn three<T: Copy>(of: &[T], neutral: T) -> [T; 3] {
    let mut all = [neutral; 3];
    all[3 - of.len()..].copy_from_slice(of);
    all
}

/// All indices of three axes, in order.
pub fn cells([depth, height, width]: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..depth * height * width).map(move |cell| [cell / (height * width), cell / width % height, cell % width])
}
