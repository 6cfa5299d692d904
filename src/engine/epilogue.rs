//! What happens to an output after its sum: bias, activation, residual.

use crate::error::{Error, Result};
use crate::scalar::Scalar;

/// A function of every output.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// The output itself.
    #[default]
    Identity,
    /// `max(y, 0)`; NaN stays NaN.
    Relu,
    /// `y` where y > 0, `slope · y` elsewhere.
    LeakyRelu {
        /// Slope for negative outputs.
        slope: f64,
    },
    /// `min(max(y, low), high)`; NaN stays NaN.
    Clamp {
        /// Least value, −∞ for none.
        low: f64,
        /// Largest value, not below `low`; ∞ for none.
        high: f64,
    },
}

impl Activation {
    /// Applies the function to every element.
    pub(crate) fn apply<T: Scalar>(self, values: &mut [T]) {
        match self {
            Self::Identity => {}
            // A choice between values becomes vector instructions; a condition on the store would not.
            Self::Relu => values.iter_mut().for_each(|y| *y = if *y < T::zero() { T::zero() } else { *y }),
            Self::LeakyRelu { slope } => {
                let slope = T::from_f64(slope);
                values.iter_mut().for_each(|y| *y = if *y < T::zero() { slope * *y } else { *y });
            }
            Self::Clamp { low, high } => {
                let (low, high) = (T::from_f64(low), T::from_f64(high));
                values.iter_mut().for_each(|y| {
                    *y = if *y < low {
                        low
                    } else if *y > high {
                        high
                    } else {
                        *y
                    }
                });
            }
        }
    }
}

/// Refuses parameters that are NaN, and a clamp to nothing. Infinite ones are fine: a bound at ∞ is none.
pub(crate) fn validate(activation: Activation) -> Result<()> {
    let is_nan = match activation {
        Activation::Identity | Activation::Relu => false,
        Activation::LeakyRelu { slope } => slope.is_nan(),
        Activation::Clamp { low, high } => low.is_nan() || high.is_nan(),
    };
    match activation {
        _ if is_nan => Err(Error::NotFinite { what: "a parameter of the activation" }),
        Activation::Clamp { low, high } if low > high => Err(Error::Clamp { low, high }),
        _ => Ok(()),
    }
}
