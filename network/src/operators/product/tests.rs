//! Products against sums index by index, in f64.

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn, array};

use super::*;
use crate::attributes::{Attribute, Attributes};
use crate::operators::testing::{assert_close, noise, output, outputs};
use crate::tensor::{Tensor, TensorView, TensorViewMut};

/// An element of a tensor that is broadcast: the last axes of an index, 0 where there is one element.
fn broadcast_at(x: &ArrayD<f32>, index: &[usize]) -> f64 {
    let lengths = x.shape().iter().zip(&index[index.len() - x.ndim()..]);
    x[&lengths.map(|(&n, &i)| if n == 1 { 0 } else { i }).collect::<Vec<_>>()[..]].into()
}

#[test]
fn stacks_of_matrices_as_in_numpy() {
    let cases: [(&[usize], &[usize], &[usize]); 15] = [
        (&[3, 4], &[4, 5], &[3, 5]),
        (&[4], &[4], &[]),
        (&[4], &[4, 5], &[5]),
        (&[3, 4], &[4], &[3]),
        (&[2, 3, 4], &[4], &[2, 3]),
        (&[4], &[2, 4, 5], &[2, 5]),
        (&[2, 3, 4], &[4, 5], &[2, 3, 5]),
        (&[3, 4], &[2, 4, 5], &[2, 3, 5]),
        (&[2, 1, 3, 4], &[5, 4, 2], &[2, 5, 3, 2]),
        (&[2, 3, 0], &[0, 5], &[2, 3, 5]),
        (&[0, 3, 2], &[2, 5], &[0, 3, 5]),
        (&[1, 1], &[1, 1], &[1, 1]),
        // Several blocks of rows, of columns, and one row.
        (&[150, 40], &[40, 70], &[150, 70]),
        (&[2, 7, 33], &[2, 33, 600], &[2, 7, 600]),
        (&[1, 500], &[500, 300], &[1, 300]),
    ];
    for (i, (a, b, y)) in cases.into_iter().enumerate() {
        let (left, right) = (noise(a, i as u64), noise(b, 100 + i as u64));
        let k = a[a.len() - 1];
        let expected = ArrayD::from_shape_fn(y, |at| {
            // The index with the axes of vectors back in.
            let mut index = ndarray::Dimension::slice(&at).to_vec();
            if a.len() == 1 {
                index.insert(index.len() - usize::from(b.len() > 1), 0);
            }
            if b.len() == 1 {
                index.push(0);
            }
            let (outer, last) = index.split_at(index.len() - 2);
            let term = |k: usize| {
                let left =
                    broadcast_at(&left, &[outer, &if a.len() == 1 { vec![k] } else { vec![last[0], k] }].concat());
                left * broadcast_at(&right, &[outer, &if b.len() == 1 { vec![k] } else { vec![k, last[1]] }].concat())
            };
            (0..k).map(term).sum()
        });
        let made = output(&MatMul, [left.into(), right.into()]).unwrap();
        assert_close(&made, &expected, 1e-5);
    }
    let refused = |a: &[usize], b: &[usize]| output(&MatMul, [noise(a, 1).into(), noise(b, 2).into()]).is_err();
    assert!(refused(&[3, 4], &[3, 4]) && refused(&[], &[1]) && refused(&[2, 3, 4], &[3, 4, 5]));
    assert!(output(&MatMul, [Tensor::integers([1]), Tensor::integers([1])]).is_err());
}

#[test]
fn outputs_and_inputs_of_any_strides() {
    use crate::operator::{Operator, Scratch};
    let (a, b) = (noise(&[2, 4, 3], 1), noise(&[2, 5, 4], 2));
    let mut y = ArrayD::from_elem(IxDyn(&[5, 3, 2]), f32::NAN);
    // Views of [2, 3, 4], [2, 4, 5] and [2, 3, 5].
    let turned = |x: &ArrayD<f32>| x.view().permuted_axes(&[0, 2, 1][..]).to_owned();
    let views = [a.view().permuted_axes(&[0, 2, 1][..]), b.view().permuted_axes(&[0, 2, 1][..])];
    let views = views.map(|view| Some(TensorView::Float(view)));
    let to = TensorViewMut::Float(y.view_mut().reversed_axes());
    MatMul.run(&views, &mut [to], &mut Scratch::default()).unwrap();
    let expected = output(&MatMul, [turned(&a).into(), turned(&b).into()]).unwrap();
    let Tensor::Float(expected) = expected else { unreachable!() };
    assert_close(&y.reversed_axes().into(), &expected.mapv(f64::from).to_owned(), 1e-6);
}

#[test]
fn scaled_products_with_a_matrix_added() {
    for (m, k, n) in [(3, 4, 5), (1, 700, 300), (130, 20, 9), (2, 0, 3), (1, 1, 1)] {
        for transposes in 0..4 {
            let (transpose_a, transpose_b) = (transposes & 1 == 1, transposes & 2 == 2);
            let turned = |rows, columns, turns| if turns { [columns, rows] } else { [rows, columns] };
            let (a, b) = (noise(&turned(m, k, transpose_a), 1), noise(&turned(k, n, transpose_b), 2));
            let at = |x: &ArrayD<f32>, i, j, turns| f64::from(if turns { x[[j, i]] } else { x[[i, j]] });
            for shape in [None, Some(vec![]), Some(vec![n]), Some(vec![m, 1]), Some(vec![m, n])] {
                let c = shape.map(|shape| noise(&shape, 3));
                let gemm = Gemm { alpha: 0.5, beta: -2.0, transpose_a, transpose_b };
                let expected = ArrayD::from_shape_fn(IxDyn(&[m, n]), |y| {
                    let term = |k| at(&a, y[0], k, transpose_a) * at(&b, k, y[1], transpose_b);
                    let sum: f64 = (0..k).map(term).sum();
                    0.5 * sum - 2.0 * c.as_ref().map_or(0.0, |c| broadcast_at(c, &[y[0], y[1]]))
                });
                let inputs = [Some(a.clone().into()), Some(b.clone().into()), c.map(Tensor::from)];
                assert_close(&outputs(&gemm, &inputs, 1).unwrap()[0], &expected, 1e-5);
            }
        }
    }
    let gemm = Gemm { alpha: 1.0, beta: 0.0, transpose_a: false, transpose_b: false };
    let matrix = || Tensor::from(array![[2.0f32]].into_dyn());
    let ignored = Tensor::from(array![f32::NAN].into_dyn());
    assert_eq!(output(&gemm, [matrix(), matrix(), ignored]).unwrap().to_floats().unwrap(), [4.0]);
    assert!(output(&gemm, [matrix(), noise(&[2, 1], 1).into()]).is_err());
    assert!(output(&gemm, [matrix(), noise(&[1], 1).into()]).is_err());
    assert!(output(&gemm, [matrix(), matrix(), noise(&[2], 1).into()]).is_err());
}

#[test]
fn threads_change_no_bit() {
    for (m, k, n) in [(200, 90, 130), (3, 300, 1000), (1, 700, 900)] {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| output(&MatMul, [noise(&[m, k], 1).into(), noise(&[k, n], 2).into()]).unwrap())
        };
        assert_eq!(run(1), run(3));
    }
}

#[test]
fn stacks_are_multiplied_matrix_by_matrix() {
    // Numbers of matrices that are no power of two, more rows and columns than a block has, and a matrix for all.
    for (a, b) in [([5, 3, 7], [5, 7, 4]), ([3, 130, 9], [1, 9, 5]), ([1, 2, 9], [3, 9, 600])] {
        let (x, w) = (noise(&a, 1), noise(&b, 2));
        let Tensor::Float(all) = output(&MatMul, [x.clone().into(), w.clone().into()]).unwrap() else {
            panic!("floats")
        };
        for (number, y) in all.outer_iter().enumerate() {
            let [x, w] = [&x, &w].map(|of| of.index_axis(ndarray::Axis(0), number.min(of.shape()[0] - 1)).to_owned());
            assert_eq!(output(&MatMul, [x.into(), w.into()]).unwrap(), y.to_owned().into());
        }
    }
}

/// The sum of an equation over all values of all letters.
fn literal(equation: &str, tensors: &[ArrayD<f32>]) -> ArrayD<f64> {
    let (from, to) = equation.split_once("->").unwrap();
    let operands: Vec<Vec<char>> = from.split(',').map(|operand| operand.chars().collect()).collect();
    let mut lengths: BTreeMap<char, usize> = BTreeMap::new();
    for (letters, tensor) in operands.iter().zip(tensors) {
        letters.iter().zip(tensor.shape()).for_each(|(&letter, &n)| {
            lengths.insert(letter, n);
        });
    }
    let mut y = ArrayD::zeros(to.chars().map(|letter| lengths[&letter]).collect::<Vec<_>>());
    for all in ndarray::indices(lengths.values().copied().collect::<Vec<_>>()) {
        let at = |letter: char| all[lengths.keys().position(|&other| other == letter).unwrap()];
        let value = |(letters, tensor): (&Vec<char>, &ArrayD<f32>)| {
            f64::from(tensor[&letters.iter().map(|&letter| at(letter)).collect::<Vec<_>>()[..]])
        };
        y[&to.chars().map(at).collect::<Vec<_>>()[..]] += operands.iter().zip(tensors).map(value).product::<f64>();
    }
    y
}

#[test]
fn sums_that_are_products() {
    let length = |letter: char| 2 + letter as usize % 4;
    for equation in [
        "ij,jk->ik",
        "bij,bjk->bik",
        "bhid,bhjd->bhij",
        "bij,bjk->kbi",
        "ij,ij->",
        "i,j->ij",
        "bnqd,bnkd->bqnk",
        "ij,kj->ki",
        "ij->ji",
        "ij->i",
        "ijk->",
        "i->i",
        "bchw,bkhw->bck",
        "ibj,jbk->bik",
        "ab,ab->ab",
    ] {
        let (from, _) = equation.split_once("->").unwrap();
        let shapes = from.split(',').map(|letters| letters.chars().map(length).collect::<Vec<_>>());
        let tensors: Vec<_> = shapes.enumerate().map(|(i, shape)| noise(&shape, i as u64 + 7)).collect();
        let inputs: Vec<_> = tensors.iter().map(|tensor| Some(tensor.clone().into())).collect();
        let spaced = equation.replace(',', " , ").replace("->", " -> ");
        let made = outputs(&Einsum::new(&spaced).unwrap(), &inputs, 1).unwrap();
        assert_close(&made[0], &literal(equation, &tensors), 1e-5);
    }
    assert_eq!(Einsum::new("jk,ij").unwrap(), Einsum::new("jk,ij->ik").unwrap());
    for refused in ["ii->i", "...ij,jk->ik", "ij,jk,kl->il", "ij,jk->im", "ij,kl->il", "i1->i", "ij->ii", "ij,jk->i,k"]
    {
        assert!(Einsum::new(refused).is_err(), "{refused}");
    }
    let sum = Einsum::new("ij,jk->ik").unwrap();
    assert!(output(&sum, [noise(&[2, 3], 1).into(), noise(&[2, 3], 1).into()]).is_err(), "lengths of j");
    assert!(output(&sum, [noise(&[2, 3], 1).into()]).is_err(), "one tensor");
    assert!(output(&sum, [noise(&[2, 3], 1).into(), noise(&[3], 1).into()]).is_err(), "axes");
    let empty = output(&sum, [noise(&[2, 0], 1).into(), noise(&[0, 3], 1).into()]).unwrap();
    assert_eq!(empty.to_floats().unwrap(), [0.0; 6]);
}

#[test]
fn attributes_are_read() {
    let mut attributes = Attributes::default();
    let made = |name, attributes: &Attributes| {
        let operator = make(&Description { name, attributes, opset: 13, outputs: 1 });
        operator.map(|operator| operator.map(|operator| format!("{operator:?}")))
    };
    let gemm = Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: false };
    assert_eq!(made("Gemm", &attributes).unwrap(), Some(format!("{gemm:?}")));
    assert!(made("Einsum", &attributes).is_err());
    attributes.insert("transB", Attribute::Integer(1));
    attributes.insert("alpha", Attribute::Float(0.25));
    attributes.insert("equation", Attribute::Text("ij->ji".into()));
    let gemm = Gemm { alpha: 0.25, transpose_b: true, ..gemm };
    assert_eq!(made("Gemm", &attributes).unwrap(), Some(format!("{gemm:?}")));
    assert_eq!(made("MatMul", &attributes).unwrap(), Some("MatMul".into()));
    assert!(made("Einsum", &attributes).unwrap().is_some());
    assert_eq!(made("Relu", &attributes).unwrap(), None);
    attributes.insert("transA", Attribute::Integer(2));
    assert!(made("Gemm", &attributes).is_err());
}
