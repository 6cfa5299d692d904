//! A first lesson in transposed convolution: the worked examples of the literature, printed in order and verified on the
//! way.
//!
//! ```text
//! cargo run --example first_steps
//! ```
//!
//! The numbers are those of Zhang, Lipton, Li and Smola, *Dive into Deep Learning*, section 14.10 (Transposed
//! Convolution), and of Dumoulin and Visin, *A guide to convolution arithmetic for deep learning* (2016).

use convmat::{
    Channels, Conv2d, ConvTranspose2d, Convolution, Geometry, LinearOperator, Options, Result, dot_test, trans_conv,
};
use ndarray::{Array2, Array4, ArrayView2, Axis, array, concatenate, s};

fn main() -> Result<()> {
    by_hand()?;
    by_a_layer()?;
    padding_and_stride()?;
    channels()?;
    shapes()?;
    the_matrix()?;
    the_swap()?;
    println!("\nEvery number above was verified.");
    Ok(())
}

fn heading(text: &str) {
    println!("\n{text}\n{}", "─".repeat(text.chars().count()));
}

/// A matrix as a batch of one sample with one channel.
fn image(matrix: &Array2<f64>) -> Array4<f64> {
    matrix.clone().insert_axis(Axis(0)).insert_axis(Axis(0))
}

/// The matrix in a batch of one sample with one channel.
fn plane(images: &Array4<f64>) -> ArrayView2<'_, f64> {
    images.slice(s![0, 0, .., ..])
}

/// X and K of the book.
fn x_and_k() -> (Array2<f64>, Array2<f64>) {
    (array![[0., 1.], [2., 3.]], array![[0., 1.], [2., 3.]])
}

fn by_hand() -> Result<()> {
    heading("1. Transposed convolution by hand");
    let (x, k) = x_and_k();
    println!("X =\n{x}\nK =\n{k}");
    println!("Every element of X is multiplied by the whole kernel and added where it stands:");
    let mut y = Array2::zeros((3, 3));
    for ((i, j), &value) in x.indexed_iter() {
        let mut part = Array2::zeros((3, 3));
        part.slice_mut(s![i..i + 2, j..j + 2]).scaled_add(value, &k);
        println!("X[{i}, {j}]·K at [{i}.., {j}..] =\n{part}");
        y += &part;
    }
    println!("The sum is Y =\n{y}");
    assert_eq!(y, array![[0., 0., 1.], [0., 4., 6.], [4., 12., 9.]]);
    println!("trans_conv(X, K) does the same.");
    assert_eq!(trans_conv(&x, &k)?, y);
    Ok(())
}

fn by_a_layer() -> Result<()> {
    heading("2. The same from a layer");
    let (x, k) = x_and_k();
    // Weights are (in, out, height, width), as in PyTorch.
    let layer = ConvTranspose2d::new(image(&k), None, Options::new())?;
    let y = layer.forward(&image(&x))?;
    println!("ConvTranspose2d(1→1, kernel 2) gives\n{}", plane(&y));
    assert_eq!(plane(&y), trans_conv(&x, &k)?);
    Ok(())
}

fn padding_and_stride() -> Result<()> {
    heading("3. Padding and stride");
    let (x, k) = x_and_k();
    let layer = ConvTranspose2d::new(image(&k), None, Options::new().padding([1, 1]))?;
    let y = layer.forward(&image(&x))?;
    println!("Padding belongs to the output, from which it is cut off. Padding 1 leaves\n{}", plane(&y));
    assert_eq!(plane(&y), array![[4.]]);

    let layer = ConvTranspose2d::new(image(&k), None, Options::new().stride([2, 2]))?;
    let y = layer.forward(&image(&x))?;
    println!("The stride is the step on the output. Stride 2 moves the four copies of K apart:\n{}", plane(&y));
    assert_eq!(plane(&y), array![[0., 0., 0., 1.], [0., 0., 2., 3.], [0., 2., 0., 3.], [4., 6., 6., 9.]]);
    Ok(())
}

fn channels() -> Result<()> {
    heading("4. Several channels");
    let (x, k) = x_and_k();
    // Input channels X and 2X; one kernel per pair of input and output channel.
    let input = concatenate![Axis(1), image(&x), image(&(&x * 2.0))];
    let from_first = concatenate![Axis(1), image(&k), image(&(&k + 1.0))];
    let from_second = concatenate![Axis(1), image(&(&k + 2.0)), image(&(&k + 3.0))];
    let weights = concatenate![Axis(0), from_first, from_second];
    println!("Input {:?}, weights (in, out, height, width) {:?}.", input.shape(), weights.shape());
    let layer = ConvTranspose2d::new(weights, None, Options::new())?;
    let y = layer.forward(&input)?;
    println!("Every output channel sums a transposed convolution per input channel:");
    for (o, channel) in y.index_axis(Axis(0), 0).outer_iter().enumerate() {
        println!("Y[{o}] =\n{channel}");
        let shift = o as f64;
        assert_eq!(channel, trans_conv(&x, &(&k + shift))? + trans_conv(&(&x * 2.0), &(&k + 2.0 + shift))?);
    }
    Ok(())
}

fn shapes() -> Result<()> {
    heading("5. The shape that comes back");
    let options = Options::new().stride([3, 3]).padding([2, 2]);
    let down = Conv2d::<f64>::zeros(10, 20, [5, 5], options)?;
    let up = ConvTranspose2d::<f64>::zeros(20, 10, [5, 5], options)?;
    let x = Array4::zeros([1, 10, 16, 16]);
    let y = down.forward(&x)?;
    let back = up.forward(&y)?;
    println!("Conv2d(10→20, kernel 5, padding 2, stride 3) takes {:?} to {:?};", x.shape(), y.shape());
    println!("ConvTranspose2d(20→10) with the same options takes it to {:?}.", back.shape());
    assert_eq!((y.shape(), back.shape()), (&[1, 20, 6, 6][..], x.shape()));

    println!("But stride 3 maps three sizes to one:");
    for (size, missing) in [(16, 0), (17, 1), (18, 2)] {
        assert_eq!(down.geometry([size; 2])?.small_size(), [6, 6]);
        let output_padding = options.output_padding_to_restore([size; 2], [5, 5])?;
        println!("  {size} → 6, and back with output padding {}", output_padding[0]);
        assert_eq!(output_padding, [missing; 2]);
        let up = ConvTranspose2d::<f64>::zeros(20, 10, [5, 5], options.output_padding(output_padding))?;
        assert_eq!(up.forward(&y)?.shape(), [1, 10, size, size]);
    }
    println!("Or name the size: forward_to(y, [17, 18]) gives {:?}.", up.forward_to(&y, [17, 18])?.shape());
    assert_eq!(up.forward_to(&y, [17, 18])?.shape(), [1, 10, 17, 18]);
    Ok(())
}

/// The book's convolution of a 3×3 image with a 2×2 kernel.
fn c_of_the_book() -> Result<(Array4<f64>, Convolution<f64, 2>)> {
    let x = Array4::from_shape_fn([1, 1, 3, 3], |(.., i, j)| (3 * i + j) as f64);
    let k = array![[1., 2.], [3., 4.]];
    let geometry = Geometry::convolution([3, 3], [2, 2], Channels { small: 1, large: 1 }, &Options::new())?;
    Ok((x, Convolution::new(geometry, image(&k))?))
}

fn the_matrix() -> Result<()> {
    heading("6. The matrix");
    let (x, c) = c_of_the_book()?;
    let y = c.apply(&x)?;
    println!("X =\n{}\nand K = [[1, 2], [3, 4]] give Y =\n{}", plane(&x), plane(&y));
    assert_eq!(plane(&y), array![[27., 37.], [57., 67.]]);

    let matrix = c.dense(1 << 20)?;
    println!("Convolution is linear, so it is a matrix. C =\n{matrix}");
    let expected = array![
        [1., 2., 0., 3., 4., 0., 0., 0., 0.],
        [0., 1., 2., 0., 3., 4., 0., 0., 0.],
        [0., 0., 0., 1., 2., 0., 3., 4., 0.],
        [0., 0., 0., 0., 1., 2., 0., 3., 4.],
    ];
    assert_eq!(matrix, expected);
    let (flat_x, flat_y) = (x.flatten(), y.flatten());
    println!("y = C·x = {}", matrix.dot(&flat_x));
    assert_eq!(matrix.dot(&flat_x), flat_y);

    let back = matrix.t().dot(&flat_y);
    println!("Cᵀ·y is the transposed convolution of Y with K:\n{}", plane(&c.apply_adjoint(&y)?));
    assert_eq!(c.apply_adjoint(&y)?.flatten(), back);
    assert_eq!((c.matvec(flat_x.view())?, c.rmatvec(flat_y.view())?), (flat_y.to_owned(), back.clone()));
    let scattered = trans_conv(&plane(&y), &c.weights().slice(s![0, 0, .., ..]))?;
    assert_eq!(scattered.flatten(), back);
    println!("It has the shape of X, not its values: Cᵀ is no inverse.");
    assert_ne!(back, flat_x);
    Ok(())
}

fn the_swap() -> Result<()> {
    heading("7. The swap");
    println!("The forward pass of the one is the backward pass of the other.");
    let (x, c) = c_of_the_book()?;
    let k = array![[1., 2.], [3., 4.]];
    let conv = Conv2d::new(image(&k), None, Options::new())?;
    let transposed = ConvTranspose2d::new(image(&k), None, Options::new())?;
    let grad = image(&array![[1., -1.], [2., 0.]]);
    let backward = conv.backward(&x, &grad)?.input;
    println!("Conv2d's backward pass of G =\n{}\nis\n{}", plane(&grad), plane(&backward));
    println!("and ConvTranspose2d's forward pass of G is\n{}", plane(&transposed.forward(&grad)?));
    assert_eq!(backward, transposed.forward(&grad)?);
    let backward = transposed.backward(&grad, &x)?.input;
    println!("The other way round: ConvTranspose2d's backward pass of X is\n{}", plane(&backward));
    assert_eq!(backward, conv.forward(&x)?);

    // All of it is one equation.
    let left = (c.apply(&x)? * &grad).sum();
    let right = (&x * c.apply_adjoint(&grad)?).sum();
    println!("⟨C·x, y⟩ = {left}, ⟨x, Cᵀ·y⟩ = {right}.");
    assert_eq!((left, right), (104., 104.));
    let test = dot_test::<f64, _>(&c, 3, 2016)?;
    println!("On random x and y the two differ by {:.0e}.", (test.forward - test.adjoint).abs());
    assert!(test.passed());
    Ok(())
}
