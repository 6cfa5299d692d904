//! How minimal filtering works: a page to read, without code of its own.
//!
//! [`Accuracy::Fast`](crate::Accuracy) lets a plan multiply less often than the definition does. What follows derives the smallest
//! case by hand, finds it in a transposed convolution, and says what it costs.
//!
//! # Three outputs of two taps by four products
//! A correlation with the taps g₀, g₁ has the outputs
//!
//! ```text
//! y₀ = g₀·d₀ + g₁·d₁
//! y₁ = g₀·d₁ + g₁·d₂
//! y₂ = g₀·d₂ + g₁·d₃
//! ```
//!
//! which are six products. Read backwards it is a product of polynomials: the coefficients of `(g₀ + g₁x)·(a + bx + cx²)`, a cubic, are
//! determined by its values at four points, and each value is one product. With the points 0, 1, −1 and ∞ (the leading coefficient), and
//! inputs and outputs exchanged by transposition, that gives four products
//!
//! ```text
//! m₀ = g₀·(d₀ − d₂)        m₁ = ½(g₀ + g₁)·(d₁ + d₂)        m₂ = ½(g₀ − g₁)·(d₂ − d₁)        m₃ = g₁·(d₃ − d₁)
//! ```
//!
//! and the outputs
//!
//! ```text
//! y₀ = m₀ + m₁ + m₂        y₁ = m₁ − m₂        y₂ = m₁ + m₂ + m₃
//! ```
//!
//! as multiplying out shows: `m₁ + m₂ = g₀·d₂ + g₁·d₁` and `m₁ − m₂ = g₀·d₁ + g₁·d₂`. This is F(3, 2). In general F(n, r) takes
//! n + r − 1 products where the definition takes n·r; fewer are impossible (S. Winograd, *Arithmetic complexity of computations*,
//! 1980, chapter V). The sums of taps are made once, when weights are packed; the sums of inputs and products are additions, and over many
//! channels they are few beside the products: `y = Aᵀ[(G·g) ⊙ (Bᵀ·d)]`, with the sum over input channels inside of the brackets.
//! Along two axes the transforms are nested, and F(3, 2) × F(3, 2) takes 16 products where the definition takes 36 (A. Lavin and
//! S. Gray, *Fast algorithms for convolutional neural networks*, 2015, section 4).
//!
//! # Four correlations in a transposed convolution
//! A transposed convolution with a 4×4 kernel, stride 2 and padding 1 adds `x[j]·w[t]` to output `o = 2·j + t − 1`. Along one axis an
//! even output is reached by the odd taps alone, and an odd output by the even ones:
//!
//! ```text
//! y[2·j]     = w₃·x[j − 1] + w₁·x[j]
//! y[2·j + 1] = w₂·x[j]     + w₀·x[j + 1]
//! ```
//!
//! Each is a correlation with two taps and without stride. So in 2-D the layer is four correlations of 2×2 taps, one for each
//! parity of row and column, written to every second row and column; no zero is inserted and no output is visited twice. Each is tiled
//! with F(n, 2) × F(n, 2): with n = 4 a tile of 8×8 outputs takes 4·25 products where the definition takes 256.
//!
//! ```
//! use convmat::{ConvTranspose1d, Options};
//! use ndarray::array;
//! # fn main() -> convmat::Result<()> {
//! let w = array![[[1.0, 2.0, 3.0, 4.0]]];
//! let layer = ConvTranspose1d::new(w, None, Options::new().stride(2).padding(1))?;
//! let y = layer.forward(&array![[[5.0, -1.0, 2.0, 7.0]]])?;
//! // The outputs 2, 4 and 6 are three outputs of the taps w₃, w₁ on four inputs.
//! let (d, [g0, g1]) = ([5.0, -1.0, 2.0, 7.0], [4.0, 2.0]);
//! let m = [g0 * (d[0] - d[2]), (g0 + g1) / 2.0 * (d[1] + d[2]), (g0 - g1) / 2.0 * (d[2] - d[1]), g1 * (d[3] - d[1])];
//! assert_eq!([m[0] + m[1] + m[2], m[1] - m[2], m[1] + m[2] + m[3]], [y[[0, 0, 2]], y[[0, 0, 4]], y[[0, 0, 6]]]);
//! # Ok(())
//! # }
//! ```
//!
//! Three taps (3×3 without stride) are F(n, 3); a dilation of d makes d correlations along its axis, a convolution with stride 2 makes two,
//! whose products are added; more taps than five are cut into short rows.
//!
//! # What it costs
//! * **Rounding.** A product holds several inputs, so that an output rounds with all inputs of its tile. Where the points are chosen
//!   well and sums are made in blocks, the error is that of the plain loop or less: the sums are shorter. Plans go by a table of
//!   measured errors, and a set is taken only within the bound of [`Accuracy`](crate::Accuracy). The error is relative to the largest inputs
//!   of a neighbourhood: where inputs of one tile differ by a factor of 10⁶, small outputs lose as many digits beside large ones, and
//!   [`Accuracy::Strict`](crate::Accuracy) is the right choice. So it is where bits have to agree with another program's.
//! * **What is not finite.** A NaN would spread over its tile. Tiles that hold one, or an input so large that a sum might overflow, are
//!   computed by the definition's sums instead, so that exactly the outputs that read it are NaN; that is slow, and for the exception.
//! * **Memory.** Packed weights are (n + r − 1)/r times as many along each axis, 6¼ times with F(4, 2) × F(4, 2), and the
//!   definition's are kept beside them. [`PlanOptions::memory_limit`](crate::PlanOptions) counts both; over the limit plans take
//!   smaller tiles or the definition.
//! * **Windows.** [`Plan::window`](crate::Plan::window) returns inputs of whole tiles. Tiles are counted from the first output of the whole,
//!   so that windows have its bits; [`Plan::alignment`](crate::Plan::alignment) says where windows compute nothing twice.
//! * **When it does not pay.** With kernel = stride there is one tap per output and nothing to save. With few channels on either
//!   side transforms take longer than the products that they save; on few outputs tiles stay empty. Plans estimate all of that and
//!   take the definition then.
