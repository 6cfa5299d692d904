use ndarray::{Array4, array};

use super::*;

#[test]
fn maxima_are_the_first_of_the_window_and_padding_is_none() {
    let pool = MaxPool::new([2, 2]).stride([1, 2]).padding([(1, 0), (0, 1)]);
    let x = array![[[-5., -5., -3.], [-7., f64::NEG_INFINITY, -4.]]];
    let (y, indices) = pool.forward(&x).unwrap();
    assert_eq!(y, array![[[-5., -3.], [-5., -3.]]]);
    assert_eq!(indices, array![[[0, 2], [0, 2]]]);
    // A window with nothing but −∞ still has a place.
    let (y, indices) = MaxPool::new([2]).forward(&array![[f64::NEG_INFINITY, f64::NEG_INFINITY]]).unwrap();
    assert_eq!((y[[0, 0]], indices[[0, 0]]), (f64::NEG_INFINITY, 0));
    let (y, indices) = MaxPool::new([3]).forward(&array![[1., f64::NAN, f64::NAN]]).unwrap();
    assert!(y[[0, 0]].is_nan());
    assert_eq!(indices[[0, 0]], 2, "the last of them, as in PyTorch");
}

#[test]
fn indices_count_what_their_base_says() {
    let x = Array4::from_shape_fn([2, 2, 2, 3], |(n, c, i, j)| f64::from(n == 1 && c == 1 && i == 1 && j == 2));
    let index = |base| MaxPool::new([2, 3]).index_base(base).forward(&x).unwrap().1[[1, 1, 0, 0]];
    assert_eq!(index(IndexBase::Plane), 5);
    assert_eq!(index(IndexBase::Tensor), 3 * 6 + 5);
    assert_eq!(index(IndexBase::TensorColumnMajor), 3 * 6 + 2 * 2 + 1);
}

#[test]
fn unpooling_is_undone_by_pooling_in_every_base() {
    for base in [IndexBase::Plane, IndexBase::Tensor, IndexBase::TensorColumnMajor] {
        let pool = MaxPool::new([2, 3]).index_base(base);
        let x =
            Array4::from_shape_fn([2, 3, 4, 6], |(n, c, i, j)| ((n * 31 + c * 17 + i * 13 + j * 7) % 23 + 1) as f64);
        let (y, indices) = pool.forward(&x).unwrap();
        let unpooled = pool.unpool(&y, &indices, None).unwrap();
        assert_eq!(pool.forward(&unpooled).unwrap().0, y, "{base:?}");
        assert_eq!(unpooled.sum(), y.sum());
        // The gradients are the adjoints of the 0/1 matrices: ⟨unpool(y), x⟩ = ⟨y, unpool_backward(x)⟩.
        let back = pool.unpool_backward(&indices, &x).unwrap();
        assert_eq!((&unpooled * &x).sum(), (&y * &back).sum(), "{base:?}");
        assert_eq!(back, y, "reading at the maxima gives the maxima");
        let grad = pool.backward(&x, &indices, &y).unwrap();
        assert_eq!(grad, unpooled, "windows that do not overlap put every gradient where its value was");
    }
}

#[test]
fn planes_are_pooled_alike_on_any_number_of_threads() {
    let x = Array4::from_shape_fn([3, 7, 60, 50], |(n, c, i, j)| (n * 31 + c * 17 + i * 13 + j * j * 7) % 101);
    let x = x.mapv(|value| value as f32);
    let pool = MaxPool::new([5, 4]).stride([2, 1]).padding([(2, 1), (0, 3)]).index_base(IndexBase::Tensor);
    let on = |threads: usize| {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        threads.install(|| pool.forward(&x).unwrap())
    };
    let (y, indices) = on(1);
    for (value, &index) in y.iter().zip(&indices) {
        assert_eq!(*value, x.as_slice().unwrap()[index]);
    }
    for threads in [2, 3, 16] {
        assert_eq!(on(threads), (y.clone(), indices.clone()), "{threads} threads");
    }
    let views = x.slice(ndarray::s![.., ..;-2, .., ..;2]);
    assert_eq!(pool.forward(&views).unwrap(), pool.forward(&views.to_owned()).unwrap());
}

#[test]
fn overlapping_windows_add_their_gradients() {
    let pool = MaxPool::new([3]).stride([1]);
    let x = array![[0., 9., 1., 2.]];
    let (_, indices) = pool.forward(&x).unwrap();
    assert_eq!(pool.backward(&x, &indices, &array![[10., 100.]]).unwrap(), array![[0., 110., 0., 0.]]);
}

#[test]
fn sizes_and_indices_out_of_range_are_refused() {
    let pool = MaxPool::new([2]).stride([2]);
    let x = array![[1.0f32, 2.0]];
    let unpool = |index: usize, size: Option<[usize; 1]>| pool.unpool(&x, &array![[index, 0]], size);
    assert_eq!(unpool(3, None).unwrap(), array![[2., 0., 0., 1.]]);
    assert_eq!(unpool(4, None), Err(Error::Index { index: 4, limit: 4 }));
    assert_eq!(unpool(4, Some([5])).unwrap().len(), 5);
    assert_eq!(unpool(0, Some([3])).unwrap().len(), 3);
    assert_eq!(unpool(0, Some([6])), Err(Error::OutputSize { axis: 0, size: 6, min: 3, max: 5 }));
    assert_eq!(unpool(0, Some([2])), Err(Error::OutputSize { axis: 0, size: 2, min: 3, max: 5 }));
    assert!(pool.unpool(&x, &array![[0usize]], None).is_err());
    assert!(pool.unpool_backward(&array![[9usize]], &array![[1.0f32, 2.0]]).is_err());
    assert!(pool.backward(&x, &array![[2usize]], &array![[1.0]]).is_err());
    assert!(MaxPool::new([3]).forward(&x).is_err());
    // A window that lies in the padding altogether has no maximum.
    assert!(MaxPool::new([1]).stride([1]).padding([(1, 0)]).forward(&x).is_err());
}
