//! How positions move: periods and advances of index relations, composed and taken together. It knows no graph.

/// How positions along an axis of a value follow those along the output's axis that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Motion {
    /// Not at all.
    Still,
    /// So many outputs on, they are moved by so many.
    Moving { period: i64, advance: i64 },
    /// Differently from place to place.
    Uneven,
}

impl Motion {
    /// The motion of what moving positions depend on, by a relation of some period and advance.
    pub(super) fn through(self, period: Option<(usize, i64)>) -> Self {
        let Self::Moving { period: own, advance: moved } = self else { return self };
        let next = || -> Option<Self> {
            let (period, advance) = period?;
            let period = i64::try_from(period).ok().filter(|&period| period > 0)?;
            // As many periods of one as make whole ones of the other.
            let times = period / divisor(period, moved);
            let advance = (moved.checked_mul(times)? / period).checked_mul(advance)?;
            Some(match advance {
                0 => Self::Uneven,
                _ => Self::Moving { period: own.checked_mul(times)?, advance },
            })
        };
        next().unwrap_or(Self::Uneven)
    }

    /// The motion of what two readers need, whether or not they need the same positions.
    pub(super) fn joined(self, other: Self, is_same: bool) -> Self {
        let both = || -> Option<Self> {
            let (Self::Moving { period, advance }, Self::Moving { period: another, advance: by }) = (self, other)
            else {
                return None;
            };
            let is_parallel = i128::from(advance) * i128::from(another) == i128::from(by) * i128::from(period);
            let times = another / divisor(period, another);
            let joined = Self::Moving { period: period.checked_mul(times)?, advance: advance.checked_mul(times)? };
            is_parallel.then_some(joined)
        };
        match (self, other) {
            (Self::Still, Self::Still) => Self::Still,
            _ if self == other && is_same => self,
            _ => both().unwrap_or(Self::Uneven),
        }
    }
}

/// The greatest common divisor of two numbers that are not both 0.
pub(super) fn divisor(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).unwrap_or(1).max(1)
}
