//! Loops against ndarray's own broadcasting and views.

use ndarray::{ArrayD, Axis};

use super::*;
use crate::operators::testing::Noise;

/// A tensor of one to four axes of such lengths, some of them 1.
fn shapes(noise: &mut Noise) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    let rank = 1 + noise.below(4);
    let shape: Vec<usize> = (0..rank).map(|_| 1 + noise.below(5)).collect();
    let mut less = || {
        let kept: Vec<usize> = shape.iter().map(|&n| if noise.below(3) == 0 { 1 } else { n }).collect();
        let ones = kept.iter().take_while(|&&n| n == 1).count();
        kept[noise.below(ones + 1)..].to_vec()
    };
    let (a, b) = (less(), less());
    (shape, a, b)
}

#[test]
fn zips_what_is_broadcast() {
    let mut noise = Noise(1);
    for _ in 0..500 {
        let (shape, a, b) = shapes(&mut noise);
        let mut count = 0;
        let mut number = || {
            count += 1;
            count
        };
        let a = ArrayD::from_shape_simple_fn(a, &mut number);
        let b = ArrayD::from_shape_simple_fn(b, &mut number);
        let mut to = ArrayD::from_elem(&shape[..], -1);
        zip(a.view(), b.view(), to.view_mut(), |a, b| 1000 * a + b);
        let (wide_a, wide_b) = (a.broadcast(&shape[..]).unwrap(), b.broadcast(&shape[..]).unwrap());
        for (index, &value) in to.indexed_iter() {
            assert_eq!(value, 1000 * wide_a[&index] + wide_b[&index], "{a:?} {b:?} {index:?}");
        }
    }
}

#[test]
fn large_tensors_are_those_of_one_part() {
    let shape = [3, 7, 5000];
    let a = ArrayD::from_shape_fn(&shape[..], |i| (i[0] * 1_000_000 + i[1] * 10_000 + i[2]) as i64);
    for channel in [vec![7, 1], vec![3, 1, 1], vec![5000], vec![1, 7, 5000], vec![1]] {
        let b = ArrayD::from_shape_fn(&channel[..], |i| 3 * i[0] as i64 + 1);
        let mut to = ArrayD::zeros(&shape[..]);
        zip(a.view(), b.view(), to.view_mut(), |a, b| a + b);
        assert_eq!(to, &a + &b, "{channel:?}");
    }
    let mut to = ArrayD::zeros(&shape[..]);
    map(a.view(), to.view_mut(), |a| -a);
    assert_eq!(to, -&a);
}

#[test]
fn other_strides_are_read_and_written() {
    let a = ArrayD::from_shape_fn(&[4, 6][..], |i| (10 * i[0] + i[1]) as i64);
    let mut to = ArrayD::zeros(&[6, 4][..]);
    map(a.t(), to.view_mut(), |a| 2 * a);
    assert_eq!(to, 2 * &a.t());
    let mut to = ArrayD::zeros(&[6, 4][..]);
    map(a.view(), to.view_mut().reversed_axes(), |a| 2 * a);
    assert_eq!(to, 2 * &a.t());
}

#[test]
fn planes_are_transposed() {
    for (planes, rows, columns) in [
        (1, 16, 16),
        (3, 17, 40),
        (2, 300, 129),
        (5, 16, 2000),
        (3, 30_000, 2),
        (2, 20_000, 3),
        (7, 40, 4),
        (4, 9000, 5),
        (3, 16, 15),
    ] {
        let from = ArrayD::from_shape_fn(&[planes, columns, rows][..], |i| (i[0] * columns + i[1]) * rows + i[2]);
        let walk = Walk::new([0], [(planes, [(rows * columns) as isize]), (rows, [1]), (columns, [rows as isize])]);
        let mut to = vec![0; from.len()];
        gather(&walk, from.as_slice().unwrap(), &mut to);
        let turned = from.permuted_axes(&[0, 2, 1][..]);
        assert!(turned.iter().eq(&to), "{planes} {rows} {columns}");
    }
}

#[test]
fn elements_are_repeated() {
    let from: Vec<usize> = (0..200).collect();
    for columns in [2, 5, 16] {
        let walk = Walk::new([0], [(200, [1]), (columns, [0])]);
        let mut to = vec![0; 200 * columns];
        gather(&walk, &from, &mut to);
        assert!(to.iter().enumerate().all(|(i, &value)| value == i / columns));
    }
}

#[test]
fn walks_gather_in_any_direction() {
    let from: Vec<usize> = (0..24).collect();
    let mut turned = ArrayD::from_shape_vec(&[4, 6][..], from.clone()).unwrap();
    turned.invert_axis(Axis(1));
    let walk = Walk::new([5], [(4, [6]), (6, [-1])]);
    let mut to = vec![0; 24];
    gather(&walk, &from, &mut to);
    assert_eq!(to, turned.iter().copied().collect::<Vec<_>>());
    let walk = Walk::new([0], [(6, [1]), (2, [0]), (4, [6])]);
    let mut to = vec![0; 48];
    gather(&walk, &from, &mut to);
    for (i, &value) in to.iter().enumerate() {
        assert_eq!(value, i / 8 + 6 * (i % 4));
    }
}
