//! What can be said on the command line about a layer and its matrix. It describes arguments, with their defaults and units, and
//! does nothing.

mod analyse;
mod animate;
mod bench;
mod check;
mod explore;
mod layer;
mod matrix;
mod verify;

pub use self::analyse::{AnalyseArgs, Blur};
pub use self::animate::{AnimateArgs, Show, Theme};
pub use self::bench::{BenchArgs, Contraction, Sweep};
pub use self::check::CheckArgs;
pub use self::explore::ExploreArgs;
pub use self::layer::{LayerArgs, WeightArgs};
pub use self::matrix::{MatrixArgs, Permutation, Variable};
pub use self::verify::VerifyArgs;
