use ndarray::{Array5, s};

use super::*;

#[test]
fn cells_cover_every_element_once() {
    let mut tensor = Array5::<f32>::zeros([3, 5, 1, 4, 14]);
    let view = tensor.slice_mut(s![.., .., .., ..;-1, ..;2]);
    let cuts = [Cuts::Every(2), Cuts::At(&[0, 2, 4]), Cuts::Every(1), Cuts::At(&[0, 3]), Cuts::Every(3)];
    let grid = Grid::new(view, cuts);
    assert_eq!(grid.len(), 2 * 3 * 2 * 3);
    let mut count = 0.0;
    while let Some(mut cell) = grid.take() {
        count += 1.0;
        let [batch, channels, depth, height, width] = cell.shape;
        for at in ndarray::indices([batch, channels, depth, height]) {
            let (s, c, d, h) = at;
            assert!(cell.row([s, c, d, h, 0], 1).is_none(), "the stride is 2");
            cell.write([s, c, d, h, 0], Plane::of(&vec![count; width], [1, width], [width, 1]));
        }
    }
    assert_eq!(count as usize, grid.len());
    assert!(tensor.slice(s![.., .., .., .., ..;2]).iter().all(|&value| value > 0.0));
    assert!(tensor.slice(s![.., .., .., .., 1..;2]).iter().all(|&value| value == 0.0));
}

#[test]
fn rows_are_slices_where_elements_touch() {
    let mut tensor = Array5::<f32>::zeros([1, 1, 1, 2, 6]);
    let grid = Grid::new(tensor.view_mut(), [Cuts::Every(1); 5].map(|_| Cuts::Every(6)));
    let mut cell = grid.take().unwrap();
    assert!(grid.take().is_none());
    cell.row([0, 0, 0, 1, 2], 4).unwrap().fill(7.0);
    assert_eq!(tensor.as_slice().unwrap(), [0., 0., 0., 0., 0., 0., 0., 0., 7., 7., 7., 7.]);
}

/// One column more than a row has, or one row more than a plane has, is a gap.
#[test]
fn planes_are_slices_where_rows_touch() {
    let is_slice = |stored: [usize; 3], [d, h, w]: [usize; 3]| {
        let mut tensor = Array5::<f32>::zeros([1, 1, stored[0], stored[1], stored[2]]);
        let grid = Grid::new(tensor.slice_mut(s![.., .., ..d, ..h, ..w]), [Cuts::Every(8); 5]);
        let mut cell = grid.take().unwrap();
        let plane = cell.plane(0, 0).map(|plane| plane.len());
        assert!(plane.is_none_or(|len| len == d * h * w));
        plane.is_some()
    };
    for shape in [[2, 3, 4], [1, 3, 4], [2, 1, 4], [1, 1, 4], [2, 3, 1]] {
        assert!(is_slice(shape, shape), "{shape:?}");
    }
    // Nothing follows the gap behind a single row or a single plane.
    assert!(is_slice([1, 3, 4], [1, 1, 3]) && is_slice([3, 3, 4], [1, 2, 4]));
    for (stored, shape) in [([2, 3, 5], [2, 3, 4]), ([1, 3, 5], [1, 3, 4]), ([2, 4, 4], [2, 3, 4])] {
        assert!(!is_slice(stored, shape), "{shape:?} of {stored:?}");
    }
    assert!(!is_slice([2, 1, 5], [2, 1, 4]) && !is_slice([2, 2, 4], [2, 1, 4]) && !is_slice([2, 1, 2], [2, 1, 1]));
}

#[test]
fn rows_are_written_however_their_elements_lie() {
    for is_channels_last in [true, false] {
        for (channels, count) in (1..10).flat_map(|channels| (1..19).map(move |count| (channels, count))) {
            let lens = if is_channels_last {
                [1, 2, 3, 2 * count + 6, channels + 2]
            } else {
                [1, channels + 2, 2, 3, count + 3]
            };
            let mut memory = Array5::from_elem(lens, -1.0f64);
            let mut tensor = if is_channels_last {
                memory.slice_mut(s![.., .., ..2, ..;2, ..]).permuted_axes([0, 4, 1, 2, 3])
            } else {
                memory.slice_mut(s![.., .., .., ..2, ..])
            };
            let shape: [usize; 5] = tensor.dim().into();
            let grid = Grid::new(tensor.view_mut(), shape.map(Cuts::Every));
            let values: Vec<f64> = (0..channels * count).map(|value| value as f64).collect();
            grid.take().unwrap().write([0, 1, 0, 1, 2], Plane::of(&values, [1, count], [count, channels]));
            for ((_, c, d, h, w), &value) in tensor.indexed_iter() {
                let is_written = (1..=channels).contains(&c) && d == 0 && h == 1 && (2..2 + count).contains(&w);
                assert_eq!(value, if is_written { ((c - 1) * count + w - 2) as f64 } else { -1.0 });
            }
        }
    }
}

#[test]
#[should_panic(expected = "leave a cell")]
fn channels_stay_inside() {
    let mut tensor = Array5::<f32>::zeros([1, 2, 1, 1, 6]);
    let grid = Grid::new(tensor.view_mut(), [Cuts::Every(6); 5]);
    grid.take().unwrap().write([0, 1, 0, 0, 0], Plane::of(&[0.0; 6], [1, 3], [3, 2]));
}

#[test]
#[should_panic(expected = "leave a slice")]
fn rows_of_a_slice_stay_inside() {
    RowsMut::of(&mut [0.0; 10], 4, 3, 3);
}

#[test]
#[should_panic(expected = "leave a slice")]
fn rows_that_no_memory_could_hold_stay_inside() {
    RowsMut::of(&mut [0.0; 10], usize::MAX, 3, 3);
}

#[test]
fn nothing_is_beside_a_cell() {
    let lens = [2, 3, 4, 5, 6];
    let mut tensor = Array5::<f32>::zeros(lens);
    let grid = Grid::new(tensor.view_mut(), [Cuts::Every(6); 5]);
    let mut cell = grid.take().unwrap();
    let last = lens.map(|len| len - 1);
    assert_eq!(cell.row(last, 1).unwrap().len(), 1);
    for axis in 0..5 {
        let mut beside = last;
        beside[axis] += 1;
        let row = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cell.row(beside, 0).is_some()));
        assert!(row.is_err(), "a row at {beside:?}");
    }
}

#[test]
#[should_panic(expected = "leave a cell")]
fn rows_stay_inside() {
    let mut tensor = Array5::<f32>::zeros([1, 1, 1, 2, 6]);
    let grid = Grid::new(tensor.view_mut(), [Cuts::Every(6); 5]);
    grid.take().unwrap().row([0, 0, 0, 0, 3], 4);
}

#[test]
fn cuts_are_those_of_the_axis() {
    let is_cut = |length: usize, starts: &[usize]| {
        let mut tensor = Array5::<f32>::zeros([1, 1, 1, length, 1]);
        let cuts = [Cuts::Every(1), Cuts::Every(1), Cuts::Every(1), Cuts::At(starts), Cuts::Every(1)];
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Grid::new(tensor.view_mut(), cuts).len())).ok()
    };
    assert_eq!(is_cut(0, &[]), Some(0));
    assert_eq!([is_cut(6, &[0]), is_cut(6, &[0, 5])], [Some(1), Some(2)]);
    assert_eq!([is_cut(6, &[]), is_cut(6, &[1, 5]), is_cut(6, &[0, 6]), is_cut(6, &[0, 0])], [None; 4]);
}

#[test]
#[should_panic(expected = "do not cut")]
fn unsorted_cuts_are_refused() {
    let mut tensor = Array5::<f32>::zeros([1, 1, 1, 2, 6]);
    Grid::new(tensor.view_mut(), [Cuts::Every(6), Cuts::Every(6), Cuts::Every(6), Cuts::At(&[0, 0]), Cuts::Every(6)]);
}
