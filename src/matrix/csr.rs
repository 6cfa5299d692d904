//! The explicit sparse matrix in CSR form, C or Cᵀ, built from the pattern. It multiplies nothing.

use sprs::CsMat;

use super::entries::Pattern;
use crate::error::{Error, Result};
use crate::geometry::{Geometry, Side};
use crate::operator::{Weights, csr_bytes, expect_available, expect_bytes, flat, reserved};
use crate::scalar::Scalar;

const WHAT: &str = "the sparse matrix";
pub(super) const INSTEAD: &str = "im2col, which needs no matrix";

/// C (rows on the small side) or Cᵀ (rows on the large side) in CSR form, columns ascending within a row. Entries are
/// structural: every tap inside its range is stored, whatever its value.
///
/// **Cost.** One pass over the entries with exact capacity.
///
/// # Errors
/// [`Error::MemoryLimit`] before anything is allocated if it would exceed `memory_limit` bytes; [`Error::Overflow`] if it cannot
/// be addressed, [`Error::Memory`] if there is none for it.
pub(crate) fn csr<T: Scalar>(
    geometry: &Geometry<3>,
    weights: &Weights<T>,
    rows: Side,
    memory_limit: u128,
) -> Result<CsMat<T>> {
    let count = geometry.shape(rows).iter().product();
    let bytes = csr_bytes::<T>(count, geometry.entries());
    expect_bytes(WHAT, bytes, memory_limit, INSTEAD)?;
    if bytes > isize::MAX as u128 {
        return Err(Error::Overflow { what: "the number of entries of the sparse matrix" });
    }
    let pattern = Pattern::new(geometry, rows);
    let entries = geometry.entries() as usize;
    // All at once, so that what does not fit is refused before any of it is written.
    expect_available(bytes, WHAT)?;
    let mut offsets = reserved(count + 1, WHAT)?;
    let (mut indices, mut values) = (reserved(entries, WHAT)?, reserved(entries, WHAT)?);
    let weights = flat(weights);
    offsets.push(0);
    for row in 0..count {
        pattern.for_each_run(row, |column, weight, links| {
            indices.extend(links.clone().map(|link| column + link.other));
            values.extend(links.map(|link| weights[weight + link.tap]));
        });
        offsets.push(indices.len());
    }
    Ok(CsMat::new((count, pattern.columns()), offsets, indices, values))
}
