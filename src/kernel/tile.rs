//! Disjoint tiles of an output, so that several threads can write one tensor.

use ndarray::{ArrayViewMut, Axis, Dimension};

/// Cuts a view into pieces of `size` (the last one shorter) along an axis; the pieces share no element.
pub(crate) fn split<T, D: Dimension>(
    view: ArrayViewMut<T, D>,
    axis: usize,
    size: usize,
) -> impl Iterator<Item = ArrayViewMut<T, D>> {
    let mut rest = Some(view);
    std::iter::from_fn(move || {
        let view = rest.take()?;
        if view.len_of(Axis(axis)) <= size {
            return Some(view);
        }
        let (piece, remainder) = view.split_at(Axis(axis), size);
        rest = Some(remainder);
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn pieces_cover_the_view_in_order() {
        for (length, size, want) in [(7, 3, vec![3, 3, 1]), (6, 3, vec![3, 3]), (2, 5, vec![2]), (0, 5, vec![0])] {
            let mut array = Array2::from_shape_fn((2, length), |(_, j)| j);
            let pieces: Vec<_> = split(array.view_mut(), 1, size).collect();
            assert_eq!(pieces.iter().map(|piece| piece.ncols()).collect::<Vec<_>>(), want);
            let columns: Vec<_> = pieces.iter().flat_map(|piece| piece.row(1).to_vec()).collect();
            assert_eq!(columns, (0..length).collect::<Vec<_>>());
        }
    }
}
