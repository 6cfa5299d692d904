//! Max pooling at its edges: values that are no numbers, single elements, indices that point nowhere.

use convmat::{Conv2d, ConvTranspose2d, Error, IndexBase, MaxPool, Options};
use ndarray::{Array, Array1, Array2, Array3, Array4, Array5, array};

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
            assert_eq!(pool.unpool(&x, &indices, Some([4])).unwrap_err(), refused, "{base:?}");
            assert_eq!(pool.index_size([4]).unpool(&x, &indices, None).unwrap_err(), refused, "{base:?}");
            if base == IndexBase::Plane {
                assert_eq!(pool.unpool(&x, &indices, None).unwrap_err(), refused);
            }
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
    // 2⁵⁹ elements in each of 64 planes are counted in, although few are asked for.
    let pool = MaxPool::new([1 << 59]).index_base(IndexBase::Tensor).index_size([1 << 59]);
    let (many, indices) = (Array2::<f32>::ones([64, 1]), Array2::zeros([64, 1]));
    assert_eq!(pool.unpool(&many, &indices, Some([1])).unwrap().dim(), (64, 1));
}

/// Zeros but for a maximum in each window, far from the largest value that is not one.
fn sparse<const N: usize>(pool: [usize; N], shape: [usize; 5], seed: usize) -> Array5<f64> {
    let mut x = Array5::zeros(shape);
    let mut state = seed as u64 * 2 + 1;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let kernel: [usize; 3] = std::array::from_fn(|i| if i < 3 - N { 1 } else { pool[i + N - 3] });
    let windows: [usize; 3] = std::array::from_fn(|i| shape[i + 2] / kernel[i]);
    for (b, c, d, h, w) in ndarray::indices([shape[0], shape[1], windows[0], windows[1], windows[2]]) {
        let at: [usize; 3] = std::array::from_fn(|i| [d, h, w][i] * kernel[i] + draw(kernel[i]));
        x[[b, c, at[0], at[1], at[2]]] = (1 + draw(1000)) as f64;
    }
    x
}

#[test]
fn pooling_is_undone_where_windows_do_not_fill_the_input() {
    // By hand: a fifth row and column that no window reads.
    let mut x = Array4::<f64>::zeros([1, 1, 5, 5]);
    for (value, [i, j]) in [(1.0, [0, 0]), (2.0, [0, 2]), (3.0, [2, 1]), (4.0, [2, 3])] {
        x[[0, 0, i, j]] = value;
    }
    for (base, known) in BASES.into_iter().zip([[0, 2, 11, 13], [0, 2, 11, 13], [0, 10, 7, 17]]) {
        let pool = MaxPool::new([2, 2]).index_base(base);
        let (y, indices) = pool.forward(&x).unwrap();
        assert_eq!(
            (&y, &indices),
            (&array![[[[1., 2.], [3., 4.]]]], &Array::from_iter(known).into_shape_with_order((1, 1, 2, 2)).unwrap())
        );
        assert_eq!(pool.unpool(&y, &indices, Some([5, 5])).unwrap(), x, "{base:?}");
        assert_eq!(pool.index_size([5, 5]).unpool(&y, &indices, None).unwrap(), x, "{base:?}");
        assert_eq!(pool.unpool_backward(&indices, &x).unwrap(), y, "{base:?}");
        if base != IndexBase::Plane {
            let refused = pool.unpool(&y, &indices, None).unwrap_err();
            assert!(matches!(&refused, Error::OutsideWindow { sizes, .. } if sizes == &[vec![4, 4]]), "{refused}");
            assert!(refused.to_string().contains("give the size that was pooled"), "{refused}");
        }
    }
    // Every remainder, in 1-D, 2-D and 3-D, several samples and channels: what is not said is found or refused, never guessed.
    let mut refused = 0;
    for seed in 0..200 {
        let size: [usize; 3] = std::array::from_fn(|i| 4 + (seed / [1, 3, 9][i]) % 5);
        let (batch, channels) = (1 + seed % 2, 1 + seed % 3);
        let x = sparse([2, 3, 2], [batch, channels, size[0], size[1], size[2]], seed);
        for base in BASES {
            let pool = MaxPool::new([2, 3, 2]).index_base(base);
            let (y, indices) = pool.forward(&x).unwrap();
            assert_eq!(pool.index_size(size).unpool(&y, &indices, None).unwrap(), x);
            assert_eq!(pool.index_size(size).unpool_backward(&indices, &x).unwrap(), y);
            match pool.unpool(&y, &indices, Some(size)) {
                Ok(found) => assert_eq!(found, x, "{base:?} {size:?}"),
                Err(Error::AmbiguousIndex { sizes, .. }) => {
                    assert!(base != IndexBase::Plane && sizes[0] == size && sizes[1] != size);
                    refused += 1;
                }
                Err(error) => panic!("{base:?} {size:?}: {error}"),
            }
        }
    }
    assert!(refused < 30, "{refused} of 600: two sizes rarely suit every index");
    // Overlapping windows with padding and dilation are undone as well.
    let pool = MaxPool::new([3]).stride([2]).dilation([2]).padding([(1, 1)]).index_base(IndexBase::Tensor);
    let x = array![[5.0, 0.0, 7.0, 0.0, 0.0, 6.0, 0.0, 0.0], [0.0, 9.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0]]
        .insert_axis(ndarray::Axis(0));
    let (y, indices) = pool.forward(&x).unwrap();
    assert_eq!(y.dim(), (1, 2, 3));
    let back = pool.unpool(&y, &indices, Some([8])).unwrap();
    assert_eq!(pool.forward(&back).unwrap(), (y, indices));
}

#[test]
fn indices_of_a_whole_tensor_count_in_one_size_or_in_none() {
    let pool = MaxPool::new([2, 2]).index_base(IndexBase::Tensor);
    // The example of ONNX's definition counts in the usual size, 4 × 4, and wants 5 × 5.
    let (x, indices) = (array![[[5., 6.], [7., 8.]]], array![[[5, 7], [13, 15]]]);
    let mut want = Array3::<f64>::zeros([1, 5, 5]);
    (want[[0, 1, 1]], want[[0, 1, 3]], want[[0, 3, 1]], want[[0, 3, 3]]) = (5., 6., 7., 8.);
    assert_eq!(pool.unpool(&x, &indices, Some([5, 5])).unwrap(), want);
    assert_eq!(pool.index_size([4, 4]).unpool(&x, &indices, Some([5, 5])).unwrap(), want);
    assert_eq!(pool.unpool_backward(&indices, &want).unwrap(), x);
    // One window: 3 is its last element in 2 × 2, and the first of its second row in 3 × 3.
    let (x, indices) = (array![[[1.]]], array![[[3]]]);
    let refused = pool.unpool(&x, &indices, Some([3, 3])).unwrap_err();
    assert_eq!(refused, Error::AmbiguousIndex { index: 3, sizes: vec![vec![3, 3], vec![2, 2]] });
    assert!(refused.to_string().contains("[3, 3] or [2, 2]; give the one that was pooled as index_size"), "{refused}");
    for (size, place) in [([3, 3], [0, 1, 0]), ([2, 2], [0, 1, 1])] {
        assert_eq!(pool.index_size(size).unpool(&x, &indices, Some([3, 3])).unwrap()[place], 1.);
    }
    // An index that both sizes give the same place is no question.
    assert_eq!(pool.unpool(&x, &array![[[1]]], Some([3, 3])).unwrap()[[0, 0, 1]], 1.);
    // One that is in neither.
    let refused = pool.unpool(&x, &array![[[8]]], Some([3, 3])).unwrap_err();
    assert_eq!(refused, Error::OutsideWindow { index: 8, sizes: vec![vec![3, 3], vec![2, 2]] });
    // Another channel's plane is another window.
    let (x, indices) = (array![[[1.]], [[2.]]], array![[[0]], [[0]]]);
    assert!(matches!(pool.unpool(&x, &indices, None), Err(Error::OutsideWindow { index: 0, .. })));
    assert_eq!(pool.index_size([2, 2]).unpool(&x, &indices, None).unwrap()[[0, 0, 0]], 2.);
    // What is pooled is what was said to be.
    let said = pool.index_size([4, 4]);
    assert!(matches!(said.forward(&want), Err(Error::Shape { expected, .. }) if expected == [4, 4]));
    assert!(said.backward(&want, &indices, &x).is_err());
}

#[test]
fn errors_carry_the_numbers_of_the_caller() {
    // Windows of extent 5 (kernel 3, dilation 2) over 4 elements and 5 of padding: the first lies before them.
    let pool = MaxPool::new([1, 3]).stride([1, 1]).dilation([1, 2]).padding([(0, 0), (5, 1)]);
    let refused = pool.forward(&Array3::<f32>::ones([2, 7, 4])).unwrap_err();
    assert_eq!(refused, Error::EmptyOutput { axis: 1, input: 4, padding: 6, extent: 5 });
    let refused = MaxPool::new([2, 6]).forward(&Array3::<f32>::ones([2, 7, 4])).unwrap_err();
    assert_eq!(refused, Error::EmptyOutput { axis: 1, input: 4, padding: 0, extent: 6 });
    let refused = MaxPool::new([2, 2]).stride([1, 0]).forward(&Array3::<f32>::ones([2, 7, 4])).unwrap_err();
    assert_eq!(refused, Error::Zero { what: "stride", axis: 1 });
    // A window that steps over the input: taps at −1 and 3, then at 1 and 5 around nothing.
    let refused = MaxPool::new([2]).stride([1]).dilation([4]).padding([(1, 3)]).forward(&array![[1., 2.]]).unwrap_err();
    assert_eq!(refused, Error::EmptyOutput { axis: 0, input: 2, padding: 4, extent: 5 });
    // Shapes are the caller's, without the axes that are absent.
    let pool = MaxPool::new([2]);
    let (x, y) = (array![[1., 2., 3., 4.]], array![[1., 2.]]);
    let shape = |what, expected: &[usize], actual: &[usize]| Error::Shape {
        what,
        expected: expected.to_vec(),
        actual: actual.to_vec(),
    };
    assert_eq!(pool.unpool(&y, &array![[0]], None).unwrap_err(), shape("the indices", &[1, 2], &[1, 1]));
    assert_eq!(pool.backward(&x, &array![[0]], &y).unwrap_err(), shape("the indices", &[1, 2], &[1, 1]));
    let two = array![[0, 2], [0, 2]];
    assert_eq!(pool.unpool_backward(&two, &x).unwrap_err(), shape("the indices", &[1, 2], &[2, 2]));
    assert_eq!(
        pool.unpool(&y, &array![[0, 2]], Some([6])).unwrap_err(),
        Error::OutputSize { axis: 0, size: 6, min: 3, max: 5 }
    );
}

#[test]
fn windows_are_those_of_their_definition() {
    // One long axis, whose outputs are shared among tasks, and dilated windows that leave gaps.
    let x = Array1::from_shape_fn(70_000, |i| ((i * 7919) % 10_007) as f32).insert_axis(ndarray::Axis(0));
    for (kernel, stride, dilation, pad) in [(40, 1, 1, 0), (3, 2, 5, 4), (2, 7, 300, 1)] {
        let pool = MaxPool::new([kernel]).stride([stride]).dilation([dilation]).padding([(pad, pad)]);
        let (y, indices) = pool.forward(&x).unwrap();
        for (i, (&value, &index)) in y.iter().zip(&indices).enumerate() {
            let places =
                (0..kernel).filter_map(|t| (i * stride + t * dilation).checked_sub(pad)).filter(|&p| p < x.len());
            let best = places.clone().fold(f32::NEG_INFINITY, |best, place| best.max(x[[0, place]]));
            let first = places.clone().find(|&place| x[[0, place]] == best);
            assert_eq!((value, Some(index)), (best, first), "{kernel} {stride} {dilation} {i}");
        }
    }
}

#[test]
fn requests_beyond_all_memory_are_refused_at_once() {
    // So many windows that nothing can list them.
    let wide = MaxPool::new([1 << 59]).stride([1]).padding([((1 << 59) - 1, (1 << 59) - 1)]);
    assert!(matches!(wide.forward(&array![[1.0f32]]), Err(Error::Memory { .. } | Error::Overflow { .. })));
    let far = MaxPool::new([1]).stride([1 << 50]);
    let (y, indices) = (Array2::<f64>::ones([1, 512]), Array2::zeros([1, 512]));
    assert!(matches!(far.unpool(&y, &indices, None), Err(Error::Memory { .. } | Error::Overflow { .. })));
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
