//! `Col2Im`: overlapping blocks, summed to an image, with [`convmat::matrix::col2im()`].

use std::sync::Arc;

use convmat::matrix::col2im;
use convmat::{Channels, Geometry, Options};
use ndarray::Ix3;

use super::{Description, Made, common};
use crate::error::{Result, invalid};
use crate::operator::{Fact, Operator, Scratch, Signature};
use crate::tensor::{ElementType, TensorView, TensorViewMut};

/// `y = Σ` of the blocks' elements that lie at a place: element t of block s lies at `s·stride + t·dilation − begin`.
///
/// **Inputs.** Blocks `[batch, channels · ∏block, ∏blocks]`, the image's size and a block's, of one to three axes.
/// **Output.** `[batch, channels, image…]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnsToImage {
    /// Distances from element to element in a block; 1 if there are none.
    pub dilations: Vec<usize>,
    /// Elements of the padding before all axes, and after all axes; 0 if there are none.
    pub pads: Vec<usize>,
    /// Distances from block to block; 1 if there are none.
    pub strides: Vec<usize>,
}

pub(super) fn make(d: &Description) -> Made {
    if d.name != "Col2Im" {
        return Ok(None);
    }
    let numbers = |name| -> Result<Vec<usize>> {
        let values = d.attributes.integers(name)?.map_or(&[][..], Vec::as_slice);
        let values: Option<_> = values.iter().map(|&value| usize::try_from(value).ok()).collect();
        values.ok_or_else(|| invalid!("attribute {name} has a negative number"))
    };
    Ok(Some(Arc::new(ColumnsToImage {
        dilations: numbers("dilations")?,
        pads: numbers("pads")?,
        strides: numbers("strides")?,
    })))
}

/// Sizes and options along three axes, absent ones in front.
struct Lifted {
    image: [usize; 3],
    block: [usize; 3],
    options: Options<3>,
}

impl ColumnsToImage {
    fn lift(&self, image: &[i64], block: &[i64]) -> Result<Lifted> {
        let n = image.len();
        let fits = |list: &[usize], n: usize| list.is_empty() || list.len() == n;
        let is_one_per_axis = block.len() == n && fits(&self.dilations, n) && fits(&self.strides, n);
        if !(1..=3).contains(&n) || !is_one_per_axis || !fits(&self.pads, 2 * n) {
            return Err(invalid!(
                "an image of {n} axes; one to three are known, and as many lengths, strides and pads"
            ));
        }
        let lifted = |absent: usize, of: &dyn Fn(usize) -> Option<usize>| -> Result<[usize; 3]> {
            let mut all = [absent; 3];
            for i in 0..n {
                all[3 - n + i] = of(i).ok_or_else(|| invalid!("a length is negative"))?;
            }
            Ok(all)
        };
        let length = |of: &[i64], i: usize| of.get(i).and_then(|&n| usize::try_from(n).ok());
        let or = |list: &[usize], i: usize, absent| Some(list.get(i).copied().unwrap_or(absent));
        let begin = lifted(0, &|i| or(&self.pads, i, 0))?;
        let end = lifted(0, &|i| or(&self.pads, n + i, 0))?;
        Ok(Lifted {
            image: lifted(1, &|i| length(image, i))?,
            block: lifted(1, &|i| length(block, i))?,
            options: Options::new()
                .stride(lifted(1, &|i| or(&self.strides, i, 1))?)
                .dilation(lifted(1, &|i| or(&self.dilations, i, 1))?)
                .padding([0, 1, 2].map(|i| (begin[i], end[i]))),
        })
    }
}

impl Operator for ColumnsToImage {
    fn name(&self) -> &'static str {
        "Col2Im"
    }

    fn infer(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<Vec<Signature>> {
        let x = common::required(inputs, 0)?;
        common::expect_element(x, ElementType::Float, "input 0")?;
        let image = common::known_integers(common::required(inputs, 1)?, "the size of the image")?;
        let block = common::known_integers(common::required(inputs, 2)?, "the size of a block")?;
        let lifted = self.lift(&image, &block)?;
        let &[batch, rows, columns] = x.shape() else {
            return Err(invalid!("blocks of shape {:?}; three axes are known", x.shape()));
        };
        let taps = common::elements(&lifted.block)?;
        let one = Channels { small: 1, large: 1 };
        let geometry = Geometry::convolution(lifted.image, lifted.block, one, &lifted.options)?;
        let blocks: usize = common::elements(&geometry.small_shape())?;
        if !rows.is_multiple_of(taps) || columns != blocks {
            return Err(invalid!(
                "{rows} rows of {columns} blocks, where blocks of {taps} elements fit {blocks} times"
            ));
        }
        let mut shape = vec![batch, rows / taps];
        shape.extend(&lifted.image[3 - image.len()..]);
        common::elements(&shape)?;
        common::only_output(outputs, ElementType::Float, shape)
    }

    fn run(&self, inputs: &[Option<TensorView>], outputs: &mut [TensorViewMut], _: &mut Scratch) -> Result<()> {
        let sizes =
            [1, 2].map(|number| common::integers(inputs, number).map(|n| n.iter().copied().collect::<Vec<_>>()));
        let [image, block] = sizes;
        let Lifted { image, block, options } = self.lift(&image?, &block?)?;
        let mut y = common::floats_mut(outputs, 0)?;
        if y.is_empty() {
            return Ok(());
        }
        let x = common::floats(inputs, 0)?.into_dimensionality::<Ix3>().map_err(|error| invalid!("{error}"))?;
        let made = col2im(&x, image, block, &options)?;
        y.iter_mut().zip(&made).for_each(|(to, &value)| *to = value);
        Ok(())
    }

    fn operations(&self, inputs: &[Option<&Fact>], _: &[Signature]) -> u128 {
        inputs.iter().flatten().next().map_or(0, |x| x.shape().iter().fold(1, |product, &n| product * n as u128))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};

    use super::*;
    use crate::attributes::{Attribute, Attributes};
    use crate::operators::testing::{assert_close, noise, output};
    use crate::tensor::Tensor;

    /// A size and a block with strides, dilations and pads of each axis.
    type Axis = (usize, usize, usize, usize, (usize, usize));

    #[test]
    fn blocks_add_up_where_they_lie() {
        let cases: [&[Axis]; 5] = [
            &[(7, 3, 2, 1, (1, 1))],
            &[(5, 1, 1, 1, (0, 0)), (5, 5, 1, 1, (0, 0))],
            &[(6, 2, 1, 2, (1, 0)), (5, 3, 2, 1, (0, 2))],
            &[(4, 2, 3, 1, (0, 0)), (4, 2, 2, 1, (1, 1))],
            &[(3, 2, 1, 1, (0, 1)), (4, 2, 2, 1, (0, 0)), (5, 3, 1, 1, (2, 2))],
        ];
        for axes in cases {
            let counts: Vec<usize> =
                axes.iter().map(|&(n, k, s, d, (b, e))| (n + b + e - (k - 1) * d - 1) / s + 1).collect();
            let (taps, blocks) = (axes.iter().map(|axis| axis.1).product::<usize>(), counts.iter().product::<usize>());
            let (batch, channels) = (2, 3);
            let x = noise(&[batch, channels * taps, blocks], 4);
            let image: Vec<usize> = axes.iter().map(|axis| axis.0).collect();
            let kernel: Vec<usize> = axes.iter().map(|axis| axis.1).collect();
            let mut expected = ArrayD::<f64>::zeros([&[batch, channels][..], &image].concat());
            for (block, s) in ndarray::indices(&counts[..]).into_iter().enumerate() {
                for (tap, t) in ndarray::indices(&kernel[..]).into_iter().enumerate() {
                    let at = |i: usize| (s[i] * axes[i].2 + t[i] * axes[i].3).checked_sub(axes[i].4.0);
                    let Some(at) = (0..axes.len()).map(at).collect::<Option<Vec<_>>>() else { continue };
                    if at.iter().zip(&image).any(|(at, n)| at >= n) {
                        continue;
                    }
                    for (b, c) in (0..batch).flat_map(|b| (0..channels).map(move |c| (b, c))) {
                        expected[&[&[b, c][..], &at].concat()[..]] += f64::from(x[[b, c * taps + tap, block]]);
                    }
                }
            }
            let operator = ColumnsToImage {
                dilations: axes.iter().map(|axis| axis.3).collect(),
                pads: axes.iter().map(|axis| axis.4.0).chain(axes.iter().map(|axis| axis.4.1)).collect(),
                strides: axes.iter().map(|axis| axis.2).collect(),
            };
            let sizes = [image, kernel].map(|size| Tensor::integers(size.into_iter().map(|n| n as i64)));
            let [image, kernel] = sizes;
            assert_close(&output(&operator, [x.into(), image, kernel]).unwrap(), &expected, 1e-6);
        }
    }

    #[test]
    fn the_example_of_the_documentation() {
        let x = ArrayD::from_shape_fn(IxDyn(&[1, 5, 5]), |at| (1 + at[2] + 5 * at[1]) as f32);
        let sizes = [Tensor::integers([5, 5]), Tensor::integers([1, 5])];
        let [image, block] = sizes;
        let y = output(&ColumnsToImage::default(), [x.into(), image, block]).unwrap();
        assert_eq!(y.shape(), [1, 1, 5, 5]);
        assert_eq!(y.to_floats().unwrap()[..7], [1.0, 6.0, 11.0, 16.0, 21.0, 2.0, 7.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let image = |x: &[usize], image: &[i64], block: &[i64]| {
            let sizes = [image, block].map(|size| Tensor::integers(size.iter().copied()));
            let [image, block] = sizes;
            output(&ColumnsToImage::default(), [noise(x, 1).into(), image, block])
        };
        assert!(image(&[1, 4, 4], &[3, 3], &[2, 2]).is_ok());
        assert_eq!(image(&[0, 4, 4], &[3, 3], &[2, 2]).unwrap().shape(), [0, 1, 3, 3]);
        assert!(image(&[1, 4, 5], &[3, 3], &[2, 2]).is_err(), "blocks");
        assert!(image(&[1, 5, 4], &[3, 3], &[2, 2]).is_err(), "elements of a block");
        assert!(image(&[1, 4, 4], &[3, -3], &[2, 2]).is_err());
        assert!(image(&[1, 4, 4], &[3, 3], &[0, 2]).is_err());
        assert!(image(&[1, 4, 4], &[3, 3], &[2]).is_err());
        assert!(image(&[1, 4], &[3, 3], &[2, 2]).is_err());
        assert!(image(&[1, 1, 1], &[1; 4], &[1; 4]).is_err());
        assert!(image(&[1, 4, 4], &[i64::MAX, i64::MAX], &[2, 2]).is_err());
        let mut attributes = Attributes::default();
        attributes.insert("pads", Attribute::Integers(vec![-1, 0]));
        let of = |name| make(&Description { name, attributes: &attributes, opset: 18, outputs: 1 });
        assert!(of("Col2Im").is_err());
        assert!(of("Im2Col").unwrap().is_none());
    }
}
