//! Placeholder until the measured table is here.

pub(super) fn error(nest: &[(usize, usize)], _inputs: usize, _block: usize) -> Option<[f64; 2]> {
    (!nest.is_empty() && nest.iter().all(|&(n, r)| n + r <= 7 && n <= 4)).then_some([1.0, 2.0])
}
