//! Max pooling at its edges: values that are no numbers, single elements, indices that point nowhere.

use convmat::{Conv2d, ConvTranspose2d, Error, IndexBase, MaxPool, Options};
use ndarray::{Array2, Array3, Array4, array};

const BASES: [IndexBase; 3] = [IndexBase::Plane, IndexBase::Tensor, IndexBase::TensorColumnMajor];

#[test]
fn what_is_no_number_is_the_maximum_of_its_windows_and_of_no_others() {
    let pool = MaxPool::new([2, 3]).stride([1, 2]).padding([(1, 0), (0, 2)]);
    let x = Array3::from_shape_fn([2, 5, 6], |(c, i, j)| ((c * 7 + i * 5 + j * 3) % 11) as f64);
    let (plain, places) = pool.forward(&x).unwrap();
    for (channel, row, column) in [(0, 0, 0), (0, 4, 5), (1, 2, 3), (1, 3, 4)] {
        let mut x = x.clone();
        x[[channel, row, column]] = f64::NAN;
        let (y, indices) = pool.forward(&x).unwrap();
        for ((c, i, j), &value) in y.indexed_iter() {
            // The window of output (i, j) has the rows i − 1 and i, and the columns 2j to 2j + 2.
            let reads = c == channel && (i == row || i == row + 1) && (2 * j..2 * j + 3).contains(&column);
            let at = [c, i, j];
            assert_eq!(value.is_nan(), reads, "{at:?}");
            assert_eq!(indices[at], if reads { row * 6 + column } else { places[at] }, "{at:?}");
            assert!(reads || value == plain[at]);
        }
    }
    // As PyTorch 2.15 answers: of several the last one.
    let nan = f32::NAN;
    let (_, indices) = MaxPool::new([2, 2]).forward(&array![[[1., nan], [nan, 2.]]]).unwrap();
    assert_eq!(indices, array![[[2]]]);
    // Values are copied, not computed with.
    let unpooled = MaxPool::new([2]).unpool(&array![[nan, 1.]], &array![[1, 2]], None).unwrap();
    assert!(unpooled[[0, 1]].is_nan() && unpooled[[0, 2]] == 1. && unpooled[[0, 0]] == 0. && unpooled[[0, 3]] == 0.);
}

#[test]
fn single_elements_and_lines_are_pooled() {
    for base in BASES {
        let x = array![[[[3.0f32]]], [[[-1.0]]]];
        let pool = MaxPool::new([1, 1]).index_base(base);
        let (y, indices) = pool.forward(&x).unwrap();
        assert_eq!(y, x);
        assert_eq!(indices[[1, 0, 0, 0]], usize::from(base != IndexBase::Plane));
        assert_eq!(pool.unpool(&y, &indices, None).unwrap(), x);
        let line = array![[[1.0f32, 5.0, 2.0, 4.0]]];
        let (y, indices) = MaxPool::new([1, 2]).index_base(base).forward(&line).unwrap();
        assert_eq!((y, indices), (array![[[5., 4.]]], array![[[1, 3]]]), "{base:?}");
        assert!(MaxPool::new([2, 1]).forward(&line).is_err(), "a window higher than the line");
        assert!(MaxPool::new([1, 5]).forward(&line).is_err(), "a window longer than the line");
        // No samples, and no channels.
        assert!(pool.forward(&Array4::<f32>::zeros([0, 2, 3, 3])).unwrap().0.is_empty());
        assert!(pool.forward(&Array4::<f32>::zeros([2, 0, 3, 3])).unwrap().1.is_empty());
        assert!(pool.forward(&Array4::<f32>::zeros([2, 1, 0, 3])).is_err());
    }
}

#[test]
fn indices_that_point_nowhere_are_refused_in_every_base() {
    for base in BASES {
        let pool = MaxPool::new([2]).index_base(base);
        let x = Array3::<f32>::ones([2, 3, 2]);
        let limit = if base == IndexBase::Plane { 4 } else { 24 };
        for index in [limit, limit + 1, usize::MAX] {
            let mut indices = Array3::zeros(x.dim());
            indices[[1, 2, 1]] = index;
            let refused = Error::Index { index, limit };
            assert_eq!(pool.unpool(&x, &indices, None).unwrap_err(), refused, "{base:?}");
            assert_eq!(pool.unpool_backward(&indices, &Array3::<f32>::ones([2, 3, 4])).unwrap_err(), refused);
            assert_eq!(pool.backward(&Array3::<f32>::ones([2, 3, 4]), &indices, &x).unwrap_err(), refused);
        }
        // Indices of more samples or channels than there are.
        let indices = Array3::zeros(x.dim());
        for shape in [[1, 3, 4], [2, 2, 4]] {
            let few = Array3::<f32>::ones(shape);
            assert!(matches!(pool.backward(&few, &indices, &x), Err(Error::Shape { .. })), "{base:?}");
            assert!(matches!(pool.unpool_backward(&indices, &few), Err(Error::Shape { .. })), "{base:?}");
        }
        assert!(matches!(pool.unpool(&x, &Array3::zeros([2, 3, 3]), None), Err(Error::Shape { .. })));
    }
}

#[test]
fn sizes_beyond_reach_are_refused() {
    let x = Array2::<f32>::ones([1, 1]);
    let indices = Array2::zeros([1, 1]);
    for huge in [usize::MAX, isize::MAX as usize, 1 << 60, 1 << 57] {
        for base in BASES {
            let pool = MaxPool::new([1]).index_base(base);
            for pool in [
                MaxPool::new([huge]).index_base(base),
                pool.stride([huge]),
                pool.dilation([huge]),
                pool.padding([(huge, 0)]),
                pool.padding([(huge, huge)]),
            ] {
                // Whatever is not refused has to be small.
                for size in [None, Some([1]), Some([huge])] {
                    assert!(pool.unpool(&x, &indices, size).map_or(0, |y| y.len()) <= 1, "{pool:?} {size:?}");
                }
                assert!(pool.forward(&x).map_or(0, |(y, _)| y.len()) <= 1, "{pool:?}");
                assert!(pool.unpool_backward(&indices, &x).map_or(0, |y| y.len()) <= 1, "{pool:?}");
            }
        }
    }
    // The usual size is counted in, although another one is asked for: 2⁵⁹ elements in each of 64 planes.
    let pool = MaxPool::new([1 << 59]).index_base(IndexBase::Tensor);
    let (many, indices) = (Array2::<f32>::ones([64, 1]), Array2::zeros([64, 1]));
    assert_eq!(pool.unpool(&many, &indices, Some([1])).unwrap().dim(), (64, 1));
}

#[test]
fn initialisers_take_any_factor_and_any_kernel() {
    for scale in [[0, 0], [1, 1], [7, 9], [usize::MAX, usize::MAX]] {
        let options = Options::new().groups(2);
        let conv = Conv2d::<f64>::zeros(2, 6, [1, 3], options).unwrap().init_default(1).init_icnr(scale);
        let transposed = ConvTranspose2d::<f64>::zeros(2, 6, [3, 1], options).unwrap().init_default(1).init_icnr(scale);
        // Every weight is one of those drawn.
        for weights in [conv.weights(), transposed.weights()] {
            assert!(weights.iter().all(|w| w.abs() <= 1.0 && *w != 0.0), "{scale:?}");
        }
        if scale[0] == usize::MAX {
            assert!(transposed.weights().iter().take(3).all(|w| w == transposed.weights().first().unwrap()));
        }
    }
    let one = ConvTranspose2d::<f32>::zeros(1, 1, [1, 1], Options::new()).unwrap().init_bilinear();
    assert_eq!(one.weights().first(), Some(&1.0));
}
