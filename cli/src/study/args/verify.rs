//! Arguments of `verify`.

use clap::Args;
use convmat::Accuracy;

use super::LayerArgs;
use crate::values::Bytes;

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub layer: LayerArgs,
    /// Samples
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub batch: usize,
    /// Seed of the random numbers (ChaCha8)
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Limit on what a formulation holds and on one thread's scratch memory: bytes, or with KiB, MiB, GiB
    #[arg(long, value_name = "BYTES", default_value_t = Bytes(convmat::DEFAULT_MEMORY_LIMIT))]
    pub memory_limit: Bytes,
    /// How far the sums of a plan may be from the definition's: strict, or fast, which checks filtered beside planned, by a bound of its own
    #[arg(long, default_value_t = Accuracy::Strict)]
    pub accuracy: Accuracy,
}

const EXAMPLES: &str = "\
Examples:
  convmat verify --input 6x6 --kernel 3x3 --stride 2
  convmat verify --input 9 --kernel 4 --padding 1,2 --dilation 2 --groups 2
  convmat verify --transposed --input 4x5 --kernel 3 --stride 2 --padding 1 \\
      --output-padding 1
  convmat verify --transposed --input 3x3x3 --kernel 2 --stride 2 \\
      --output-shape 7
  convmat verify --input 24x24 --kernel 3 --in-channels 32 --out-channels 32 \\
      --batch 1 --accuracy fast";
