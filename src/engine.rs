//! The fast path: convolution and transposed convolution as one implicit GEMM.
//!
//! # Method
//! For one axis the index relation is `small·s + tap·d − p = large` (kernel k, stride s, dilation d, `begin` p).
//!
//! 1. **Phases.** C gathers into `small`: output j reads `large = s·j + d·τ − p`. Cᵀ gathers into `large`: with g = gcd(s, d), the
//!    outputs `o = s·j + b` of one residue class read `small = j + (b + p − d·tap)/s` for the taps with
//!    `d·tap ≡ b + p (mod s)`, an arithmetic progression of step s/g; from one such tap to the next lower one the input
//!    index grows by d/g. Both directions are lists of affine gathers `out[a·j + b] += Σ_τ w[tap(τ)]·in[α·j + β·τ + γ]`, and
//!    so are both input gradients. A *phase* is one gather per axis; no output is visited twice and nothing is scattered.
//!    ([`phases`]; the algebra is in the geometry.)
//! 2. **GEMM.** A phase is a GEMM of M = output channels, N = positions j, K = taps × input channels. Phases with the same offsets
//!    `β·τ + γ` differ only in their weights: they are stacked as further rows. With kernel = stride that is all of them, so
//!    that a layer of one output channel and stride 256 (an inverse STFT) is a GEMM of 256 rows, and with a 1×1 input the
//!    weights' own order.
//! 3. **Panels.** B is never formed. Of each block of positions and input channels the part of the input that it reads is packed
//!    once, zeros around it, and every tap of every phase reads the panel at an offset: element (channel, j, τ) lies at
//!    `base(j) + shift(τ) + channel·pitch`. For α > 1 the panel is split by residue modulo α, so that this holds for strided
//!    convolutions too ([`panel`]); where that leaves rows of a few elements, they are copied from a list of places.
//! 4. **Register tiles.** The microkernel keeps rows × vectors of sums in registers and walks over taps and channels; each of its
//!    vectors has its own base, so a tile may continue on the next row, plane or sample ([`schedule`]).
//! 5. **Blocking.** A tile's part of the panel stays in the first-level cache while the packed weights stream by, in the order
//!    of use ([`weights`]); a cell's weights stay in the second level while its tiles pass ([`implicit_gemm`]). The loops are
//!    those of K. Goto and R. van de Geijn, *Anatomy of high-performance matrix multiplication*, 2008, section 4, with the
//!    small operand broadcast.
//! 6. **Writing.** Phases of an output row meet in a buffer in the first-level cache and are stored as whole lines, with scale,
//!    bias, residual and activation ([`writer`], [`epilogue`]); their vectors are interleaved by perfect shuffles where their number is a power of two.
//!    Where rows have a few outputs only, that would mean to begin a line for each of them: there, outputs go to places that were
//!    listed beforehand, one by one, or, where samples lie side by side, by squares of neighbouring outputs × samples that are
//!    transposed in registers.
//!
//! # Small planes
//! On an 8×8 plane a quarter of the taps of a padded tile meet zeros, and vectors hang over the ends of rows. There, samples are
//! interleaved (lanes run over the batch) and positions are grouped by their valid taps, along all axes or along those where
//! ranges of the same taps stay long.
//!
//! # Depthwise layers
//! Groups of one input channel multiply each value a few times only; packing it would take longer. Their rows are summed in
//! registers straight from the input instead, phase by phase as above ([`depthwise`]), unless rows are so short, or outputs per group so
//! many, that a GEMM is estimated to be faster.
//!
//! # Fewer multiplications
//! Where a plan may round otherwise than the definition does, tiles of outputs are computed from fewer products ([`filtered`]). A tile is a
//! position to panels, schedules and writers, so that these serve both.
//!
//! # What holds
//! Every sum runs over taps in ascending order of what they read, then channels, from zero in every block of input channels, and
//! then over blocks: the same for every tile shape, block, thread count and batch, so the bits are the same. Skipped taps and taps that meet a zero of the panel
//! give the same sum (sums start at +0, and −0 is cleared by adding the bias to it). Non-finite inputs reach the outputs that read
//! them: a lane never mixes with another, and lanes that belong to no output are not stored.
//!
//! The engine makes no choice: block sizes come from a recipe. It knows no layers.

pub(crate) mod depthwise;
pub(crate) mod epilogue;
pub(crate) mod filtered;
pub(crate) mod implicit_gemm;
pub(crate) mod panel;
pub(crate) mod phases;
#[cfg(test)]
pub(crate) mod random;
pub(crate) mod schedule;
pub(crate) mod weights;
pub(crate) mod writer;

pub use epilogue::{Activation, Epilogue, ResidualPosition};
