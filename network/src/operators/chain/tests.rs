//! Chains against their operators one by one, and blocks against index loops.

use super::*;
use crate::operators::arithmetic::{Binary, Operation, Reduction, Variadic, Where};
use crate::operators::elementwise::{Function, Unary};
use crate::operators::normalization::BatchNormalization;
use crate::operators::testing::{Noise, output};
use crate::tensor::Tensor;

fn operand(tensor: &Tensor, is_per_channel: bool) -> Operand {
    Operand { signature: Signature::new(tensor.element(), tensor.shape()), is_per_channel }
}

fn link(operator: impl Operator, inputs: &[Source], element: ElementType) -> Link {
    Link { operator: Arc::new(operator), inputs: inputs.iter().copied().map(Some).collect(), element }
}

/// Shapes around the length of a block, of one axis to four.
fn shapes() -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 20 * BLOCK + 3].map(|n| vec![n]).into();
    all.extend([
        vec![3, 5, 700],
        vec![2, 3000, 2],
        vec![70, 3, 7, 5],
        vec![1, 1, 1],
        vec![2, 3, 65, 64],
        vec![1, 4096],
    ]);
    all.extend([vec![1, 6, 1, 900], vec![5, 1, 3], vec![40_000, 2], vec![2, 40_000], vec![]]);
    all
}

/// A shape that is broadcast to another one: some lengths are 1, the first of those may be absent.
fn less(shape: &[usize], noise: &mut Noise) -> Vec<usize> {
    let kept: Vec<usize> = shape.iter().map(|&n| if noise.below(2) == 0 { 1 } else { n }).collect();
    let ones = kept.iter().take_while(|&&n| n == 1).count();
    kept[noise.below(ones + 1)..].to_vec()
}

/// A tensor of such a shape.
fn some(shape: &[usize], noise: &mut Noise) -> Tensor {
    let shape = less(shape, noise);
    noise.floats(&shape)
}

#[test]
fn blocks_have_each_element_once() {
    let mut noise = Noise(1);
    for _ in 0..300 {
        let rank = 1 + noise.below(5);
        let shape: Vec<usize> = (0..rank).map(|_| 1 + noise.below([40_000, 300, 40, 16, 9][rank - 1])).collect();
        let has_channels = rank > 1 && noise.below(3) == 0;
        let mut operands: Vec<Vec<usize>> = (0..3)
            .map(|_| {
                let kept = less(&shape, &mut noise);
                vec![1; rank - kept.len()].into_iter().chain(kept).collect()
            })
            .collect();
        operands.push(shape.clone());
        let layout = Layout::new(&shape, &operands, has_channels);
        let mut next = 0;
        for number in 0..layout.count() {
            let block = layout.block(number);
            assert_eq!((layout.start(number), block.len), (next, block.shape.iter().product()), "{shape:?}");
            assert!((1..=BLOCK).contains(&block.len));
            assert!(!has_channels || block.shape.len() > 1);
            let parts: Vec<_> = (0..operands.len()).map(|operand| layout.part(operand, &block)).collect();
            for i in 0..block.len {
                for ((range, of_part), operand) in parts.iter().zip(&operands) {
                    // The place in the whole tensor, and the element of the operand there.
                    let (mut rest, mut expected, mut stride) = (next + i, 0, 1);
                    for (&n, &length) in shape.iter().zip(operand).rev() {
                        expected += if length == 1 { 0 } else { rest % n * stride };
                        (rest, stride) = (rest / n, stride * length);
                    }
                    let (mut rest, mut element, mut stride) = (i, range.start, 1);
                    for (&n, &length) in block.shape.iter().zip(of_part).rev() {
                        element += if length == 1 { 0 } else { rest % n * stride };
                        (rest, stride) = (rest / n, stride * length);
                    }
                    assert!(element == expected && range.contains(&element), "{shape:?} {operand:?} {number}");
                }
            }
            next += block.len;
        }
        assert_eq!(next, shape.iter().product::<usize>());
    }
}

#[test]
fn values_are_those_of_the_operators_one_by_one() {
    let mut noise = Noise(2);
    let pools =
        [1, 2, 3].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("a pool of few threads"));
    let (float, truth) = (ElementType::Float, ElementType::Bool);
    let (mul, greater) = (Binary { operation: Operation::Mul }, Binary { operation: Operation::Greater });
    let (abs, sigmoid) = (Unary { function: Function::Abs }, Unary { function: Function::Sigmoid });
    for shape in shapes() {
        let x = noise.floats(&shape);
        let (a, b) = (some(&shape, &mut noise), some(&shape, &mut noise));
        // |x > b ? x·a : sigmoid(x)|
        let [of_x, of_a, of_b] = [0, 1, 2].map(Source::Operand);
        let links = vec![
            link(mul, &[of_x, of_a], float),
            link(greater, &[of_x, of_b], truth),
            link(sigmoid, &[of_x], float),
            link(Where, &[Source::Link(1), Source::Link(0), Source::Link(2)], float),
            link(abs, &[Source::Link(3)], float),
        ];
        let operands = [&x, &a, &b].map(|tensor| operand(tensor, false)).to_vec();
        let chain = Chain::new(&shape, operands, links).expect("a chain that can be made");
        let product = output(&mul, [x.clone(), a.clone()]).unwrap();
        let condition = output(&greater, [x.clone(), b.clone()]).unwrap();
        let gate = output(&sigmoid, [x.clone()]).unwrap();
        let expected = output(&abs, [output(&Where, [condition, product, gate]).unwrap()]).unwrap();
        for pool in &pools {
            let values = pool.install(|| output(&chain, [x.clone(), a.clone(), b.clone()])).unwrap();
            assert_eq!(values, expected, "{shape:?}");
        }
    }
}

#[test]
fn parameters_per_channel_are_cut_with_the_channels() {
    let mut noise = Noise(3);
    let norm = BatchNormalization { epsilon: 1e-3, spatial: true };
    let (neg, add) = (Unary { function: Function::Neg }, Binary { operation: Operation::Add });
    let (float, of) = (ElementType::Float, [0, 1, 2, 3, 4, 5].map(Source::Operand));
    for shape in shapes().into_iter().filter(|shape| shape.len() > 1) {
        let (x, residual) = (noise.floats(&shape), some(&shape, &mut noise));
        let [gain, bias, mean] = [(); 3].map(|()| noise.floats(&shape[1..2]));
        let variance = output(&Unary { function: Function::Abs }, [noise.floats(&shape[1..2])]).unwrap();
        let parameters = [gain, bias, mean, variance];
        let operands = [(&x, false), (&residual, false)].into_iter().chain(parameters.iter().map(|of| (of, true)));
        let links = vec![
            link(neg, &of[..1], float),
            link(norm, &[Source::Link(0), of[2], of[3], of[4], of[5]], float),
            link(add, &[Source::Link(1), of[1]], float),
        ];
        let chain = Chain::new(&shape, operands.map(|(tensor, of)| operand(tensor, of)).collect(), links);
        let chain = chain.expect("a chain that can be made");
        let negative = output(&neg, [x.clone()]).unwrap();
        let normal = output(&norm, [negative].into_iter().chain(parameters.clone())).unwrap();
        let expected = output(&add, [normal, residual.clone()]).unwrap();
        let values = output(&chain, [x, residual].into_iter().chain(parameters)).unwrap();
        assert_eq!(values, expected, "{shape:?}");
    }
}

#[test]
fn first_axes_may_lie_apart() {
    let mut noise = Noise(4);
    let norm = BatchNormalization { epsilon: 1e-3, spatial: true };
    let (add, abs) = (Binary { operation: Operation::Add }, Unary { function: Function::Abs });
    let (float, of) = (ElementType::Float, [0, 1, 2, 3, 4, 5].map(Source::Operand));
    // Some columns of a matrix of samples, some of the rows of every plane, every other element.
    for (shape, axis, whole) in [([4, 3, 20, 30], 1, 5), ([2, 3, 30, 40], 2, 50), ([2, 30, 20, 9], 3, 10)] {
        let wide: Vec<usize> = (0..4).map(|i| if i == axis { whole } else { shape[i] }).collect();
        let (x, mut y) = (noise.floats(&wide), Tensor::zeros(float, &wide));
        let residual = some(&shape, &mut noise);
        let [gain, bias, mean] = [(); 3].map(|()| noise.floats(&shape[1..2]));
        let variance = output(&Unary { function: Function::Abs }, [noise.floats(&shape[1..2])]).unwrap();
        let parameters = [gain, bias, mean, variance];
        let part = (1..1 + shape[axis] as isize).into();
        let (Tensor::Float(of_x), Tensor::Float(of_y)) = (&x, &mut y) else { unreachable!("floats") };
        let of_x = of_x.slice_axis(ndarray::Axis(axis), part);
        let x: Tensor = of_x.to_owned().into();
        let operands = [(&x, false), (&residual, false)].into_iter().chain(parameters.iter().map(|of| (of, true)));
        let links = vec![
            link(norm, &[of[0], of[2], of[3], of[4], of[5]], float),
            link(add, &[Source::Link(0), of[1]], float),
            link(abs, &[Source::Link(1)], float),
        ];
        let chain = Chain::new(&shape, operands.map(|(tensor, of)| operand(tensor, of)).collect(), links);
        let chain = chain.expect("a chain that can be made");
        let expected = output(&chain, [x, residual.clone()].into_iter().chain(parameters.clone())).unwrap();
        let others = [&residual].into_iter().chain(&parameters).map(|tensor| Some(tensor.view()));
        let inputs: Vec<_> = [Some(TensorView::Float(of_x))].into_iter().chain(others).collect();
        let mut to = of_y.slice_axis_mut(ndarray::Axis(axis), part);
        let mut outputs = [TensorViewMut::Float(to.view_mut())];
        chain.run(&inputs, &mut outputs, &mut Scratch::default()).unwrap();
        assert_eq!(Tensor::from(to.to_owned()), expected, "{shape:?}");
        // Nothing else is written.
        assert_eq!(of_y.iter().filter(|&&y| y == 0.0).count(), of_y.len() - shape.iter().product::<usize>());
    }
}

#[test]
fn what_cannot_be_a_chain_is_none() {
    let neg = Unary { function: Function::Neg };
    let x = |shape: &[usize], element| Operand { signature: Signature::new(element, shape), is_per_channel: false };
    let (float, of_x) = (ElementType::Float, Source::Operand(0));
    let one = |shape: &[usize], operand: Operand, source, element| {
        Chain::new(shape, vec![operand], vec![link(neg, &[source], element)]).is_some()
    };
    assert!(one(&[4, 5], x(&[4, 5], float), of_x, float));
    assert!(one(&[4], x(&[1, 1, 1], float), of_x, float), "a scalar of more axes");
    assert!(!one(&[4], x(&[2, 4], float), of_x, float));
    assert!(!one(&[4, 5], x(&[4], float), of_x, float));
    assert!(!one(&[4, 0], x(&[4, 0], float), of_x, float));
    assert!(!one(&[usize::MAX, 4], x(&[4], float), of_x, float));
    assert!(!one(&[4], x(&[4], ElementType::Integer), of_x, float));
    assert!(!one(&[4], x(&[4], float), of_x, ElementType::Integer));
    assert!(!one(&[4], x(&[4], float), Source::Operand(1), float));
    assert!(!one(&[4], x(&[4], float), Source::Link(0), float), "a link that reads itself");
    let vector = |n| Operand { signature: Signature::new(float, [n]), is_per_channel: true };
    assert!(one(&[2, 5], vector(5), of_x, float) && !one(&[2, 5], vector(2), of_x, float));
    assert!(!one(&[5], vector(5), of_x, float), "a vector without channels");
    assert!(Chain::new(&[4], vec![], vec![]).is_none());

    // As many values at the same time as there are buffers beside the output's, and one more.
    let sum = |count: usize| {
        let mut links: Vec<Link> = (0..count).map(|_| link(neg, &[of_x], float)).collect();
        let read: Vec<Source> = (0..count).map(Source::Link).collect();
        links.push(link(Variadic { reduction: Reduction::Sum }, &read, float));
        Chain::new(&[4], vec![x(&[4], float)], links)
    };
    assert!(sum(BUFFERS).is_some() && sum(BUFFERS + 1).is_none());

    let chain = sum(2).unwrap();
    let fact = |shape: [usize; 1]| Fact { signature: Signature::new(float, shape), value: None };
    assert!(chain.infer(&[Some(&fact([4]))], 1).is_ok());
    assert!(chain.infer(&[Some(&fact([3]))], 1).is_err() && chain.infer(&[None], 1).is_err());
    assert!(chain.run(&[None], &mut [], &mut Scratch::default()).is_err());
}
