//! Arguments that describe one layer and its weights, shared by the commands about a single layer.

use clap::Args;

use crate::values::{Lengths, Pads};

/// A layer of a fixed size.
#[derive(Args, Clone, Debug)]
pub struct LayerArgs {
    /// The options are a convolution's, and --input its input [default]
    #[arg(long, conflicts_with = "transposed")]
    pub conv: bool,
    /// The options are a transposed convolution's, and --input its input
    #[arg(long)]
    pub transposed: bool,
    /// Spatial size of the input, 1 to 3 axes
    #[arg(long, value_name = "LENGTHS")]
    pub input: Lengths,
    /// Kernel size; not needed where weights are given that have one
    #[arg(long, value_name = "LENGTHS")]
    pub kernel: Option<Lengths>,
    /// Stride
    #[arg(long, value_name = "LENGTHS", default_value = "1")]
    pub stride: Lengths,
    /// Zeros at the borders: P or BEGIN,END per axis (1,2x0 is 1 before and 2 after along axis 0), or same, valid, same-upper,
    /// same-lower
    #[arg(long, value_name = "PADDING", default_value = "0")]
    pub padding: Pads,
    /// Dilation
    #[arg(long, value_name = "LENGTHS", default_value = "1")]
    pub dilation: Lengths,
    /// Extra length at the end of a transposed convolution's output
    #[arg(long, value_name = "LENGTHS", default_value = "0")]
    pub output_padding: Lengths,
    /// PyTorch's output_size of a transposed convolution: the pads stay
    #[arg(long, value_name = "LENGTHS", conflicts_with = "output_shape")]
    pub output_size: Option<Lengths>,
    /// ONNX's output_shape of a transposed convolution: the pads are recomputed
    #[arg(long, value_name = "LENGTHS")]
    pub output_shape: Option<Lengths>,
    /// Groups
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub groups: usize,
    /// Channels of the input [default: 1 per group, 2 in verify]
    #[arg(long, value_name = "COUNT")]
    pub in_channels: Option<usize>,
    /// Channels of the output [default: 1 per group, 3 in verify]
    #[arg(long, value_name = "COUNT")]
    pub out_channels: Option<usize>,
}

/// The weights of a layer: from a file, listed, random, or none.
#[derive(Args, Clone, Debug)]
pub struct WeightArgs {
    /// Weights in PyTorch's layout, whose shape sets kernel and channels: FILE.npy, or FILE.safetensors, with :NAME where it has
    /// several tensors
    #[arg(long, value_name = "FILE[:NAME]", conflicts_with_all = ["kernel_values", "seed"])]
    pub weights: Option<String>,
    /// Weights as a list, row-major in PyTorch's layout
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',', allow_hyphen_values = true, conflicts_with = "seed")]
    pub kernel_values: Option<Vec<f64>>,
    /// Random weights in [-1, 1) from this seed (ChaCha8)
    #[arg(long)]
    pub seed: Option<u64>,
}
