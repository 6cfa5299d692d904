use ndarray::Array5;

use super::structure::probe;
use super::*;

/// Replicated padding of 70 elements, so that probing takes more than one block of 64.
fn pad() -> Pad {
    Pad::new([1, 1, 7, 10], [(0, 0), (2, 1), (1, 3)], PadMode::Replicate).unwrap()
}

#[test]
fn a_box_is_the_operator_in_it() {
    let composed = Compose::<f64, _, _>::new(Adjoint(pad()), pad()).unwrap();
    let boxed: Box<dyn LinearOperator<f64>> = Box::new(composed.clone());
    let through: &dyn LinearOperator<f64> = &boxed;
    assert_eq!((through.domain(), through.range()), ([1, 1, 7, 10], [1, 1, 7, 10]));
    assert_eq!(through.workspace_len(3), 3 * 10 * 14);
    let x = Array5::from_shape_fn([2, 1, 1, 7, 10], |i| (i.0 * 70 + i.3 * 10 + i.4) as f64);
    let (mut y, mut back) = (Array5::zeros(x.dim()), Array5::zeros(x.dim()));
    let mut workspace = Workspace::new();
    through.apply_into(x.view(), y.view_mut(), &mut workspace).unwrap();
    through.apply_adjoint_into(x.view(), back.view_mut(), &mut workspace).unwrap();
    assert_eq!(y, composed.apply(x.view()).unwrap());
    assert_eq!(y, back, "padding and adding back is symmetric");
    assert!(y.iter().any(|&value| value != 0.0));
    let matrix = csr_of(through, u128::MAX).unwrap();
    assert_eq!(matrix.to_dense(), probe::<f64>(&composed, u128::MAX).unwrap().to_dense());
}

#[test]
fn the_adjoint_exchanges_the_directions() {
    let composed = Compose::<f64, _, _>::new(Adjoint(Pad::crop([1, 1, 7, 10], [(0, 0), (2, 1), (0, 3)]).unwrap()), {
        Pad::crop([1, 1, 7, 10], [(0, 0), (2, 1), (3, 0)]).unwrap()
    })
    .unwrap();
    let adjoint = Adjoint(composed.clone());
    let x = Array5::from_shape_fn([1, 1, 1, 7, 10], |i| (i.3 * 10 + i.4) as f64);
    assert_eq!(adjoint.apply(x.view()).unwrap(), composed.apply_adjoint(x.view()).unwrap());
    assert_eq!(adjoint.apply_adjoint(x.view()).unwrap(), composed.apply(x.view()).unwrap());
    assert_ne!(composed.apply(x.view()).unwrap(), composed.apply_adjoint(x.view()).unwrap());
    assert_eq!(adjoint.workspace_len(2), 2 * 4 * 7);
    assert_eq!(csr_of(&adjoint, u128::MAX).unwrap().to_dense(), probe::<f64>(&adjoint, u128::MAX).unwrap().to_dense());
}

#[test]
fn tensors_of_another_shape_are_refused() {
    let x = |shape| Array5::<f32>::zeros(shape);
    let apply = |from: [usize; 5], to: [usize; 5]| {
        pad().apply_into(x(from).view(), x(to).view_mut(), &mut Workspace::new()).map_err(|error| error.to_string())
    };
    assert_eq!(apply([2, 1, 1, 7, 10], [2, 1, 1, 10, 14]), Ok(()));
    let wrong_input = "the input has shape [2, 1, 1, 7, 9]; expected [2, 1, 1, 7, 10]".to_owned();
    assert_eq!(apply([2, 1, 1, 7, 9], [2, 1, 1, 10, 14]), Err(wrong_input));
    let wrong_batch = "the output has shape [3, 1, 1, 10, 14]; expected [2, 1, 1, 10, 14]".to_owned();
    assert_eq!(apply([2, 1, 1, 7, 10], [3, 1, 1, 10, 14]), Err(wrong_batch));
}

#[test]
fn bytes_are_counted_before_anything_is_built() {
    assert_eq!(csr_bytes::<f32>(3, 5), 5 * (4 + 8) + 4 * 8);
    assert_eq!(csr_bytes::<f64>(0, 0), 8);
    assert_eq!(csr_bytes::<f64>(1, u128::MAX), u128::MAX);
}

#[test]
fn memory_that_is_not_there_is_an_error_with_its_size() {
    assert_eq!(allocatable::<f32, 2>([1 << 50, 2], "it"), Err(Error::Memory { what: "it", bytes: 4 << 51 }));
    assert_eq!(allocatable::<f64, 1>([1 << 55], "it"), Err(Error::Memory { what: "it", bytes: 8 << 55 }));
    assert_eq!(allocatable::<f64, 2>([3, 0], "it"), Ok([3, 0]));
    assert!(matches!(allocatable::<f32, 2>([usize::MAX, 2], "it"), Err(Error::Overflow { .. })));
}

#[test]
fn probing_works_in_blocks_of_any_size_and_keeps_to_its_limit() {
    let want = csr_of::<f64, _>(&pad(), u128::MAX).unwrap().to_dense();
    // One probed column is 70 + 140 values; the matrix holds 140 entries and 141 offsets.
    let (column, matrix) = ((70 + 140) * 8, csr_bytes::<f64>(140, 140));
    assert!(matrix > column);
    for limit in [u128::MAX, matrix, 3 * column] {
        assert_eq!(probe::<f64>(&pad(), limit).unwrap().to_dense(), want, "limit {limit}");
    }
    for limit in [0, column - 1, column, matrix - 1] {
        let error = probe::<f64>(&pad(), limit).unwrap_err();
        let Error::MemoryLimit { what, bytes, limit: found, .. } = error else { panic!("{error} under limit {limit}") };
        let want = if limit < column { ("one probed column", column) } else { ("the probed matrix", bytes) };
        assert_eq!((what, bytes, found), (want.0, want.1, limit));
    }
    let nothing = Pad::new([1, 1, 0, 3], [(0, 0); 3], PadMode::Zeros).unwrap();
    assert_eq!(probe::<f64>(&nothing, u128::MAX).unwrap().shape(), (0, 0));
}

/// Tensors of no elements that can be addressed, and that cannot be once they are joined: lengths of 0 hide nothing.
#[test]
fn stacks_that_cannot_be_addressed_are_refused() {
    let endless = Pad::new([usize::MAX / 16, 1, 0, 1], [(0, 0); 3], PadMode::Zeros).unwrap();
    let stack = |count: usize| Stacked::<f64, _>::vertical(vec![&endless; count]).map(|_| ());
    assert_eq!(stack(1), Ok(()));
    assert_eq!(stack(2), Err(Error::Overflow { what: "the number of elements of a sample" }));
}
