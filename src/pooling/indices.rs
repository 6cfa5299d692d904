//! What an index counts, and where it points. Knows no window and no value.

/// What an index counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexBase {
    /// Elements of one plane, row-major: PyTorch.
    #[default]
    Plane,
    /// Elements of the whole `[batch, channels, spatial…]` tensor, row-major: ONNX.
    Tensor,
    /// As `Tensor`, but each plane is numbered with its first spatial axis running fastest: ONNX's `storage_order = 1`.
    TensorColumnMajor,
}

/// The numbers of the elements of a tensor of the given planes and spatial size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexNumbering {
    pub(super) base: IndexBase,
    pub(super) batch: usize,
    pub(super) channels: usize,
    pub(super) size: [usize; 3],
}

impl IndexNumbering {
    /// The tensor need not exist, so that its number of elements may be beyond a `usize`.
    fn plane(&self) -> usize {
        self.size.iter().fold(1, |product, &length| product.saturating_mul(length))
    }

    /// Indices stay below this.
    pub(super) fn limit(&self) -> usize {
        match self.base {
            IndexBase::Plane => self.plane(),
            _ => self.plane().saturating_mul(self.batch).saturating_mul(self.channels),
        }
    }

    /// The number of an element that exists.
    pub(super) fn index(&self, b: usize, c: usize, [d, h, w]: [usize; 3]) -> usize {
        let [depth, height, width] = self.size;
        let row_major = (d * height + h) * width + w;
        let first = (b * self.channels + c) * self.plane();
        match self.base {
            IndexBase::Plane => row_major,
            IndexBase::Tensor => first + row_major,
            IndexBase::TensorColumnMajor => first + (w * height + h) * depth + d,
        }
    }

    /// Sample, channel and position of an index that stands in plane (b, c); none for one out of range.
    pub(super) fn place(&self, index: usize, (b, c): (usize, usize)) -> Option<[usize; 5]> {
        if index >= self.limit() {
            return None;
        }
        let [depth, height, width] = self.size;
        let (plane, within) = (index / self.plane(), index % self.plane());
        let (b, c) = match self.base {
            IndexBase::Plane => (b, c),
            _ => (plane / self.channels, plane % self.channels),
        };
        Some(match self.base {
            IndexBase::TensorColumnMajor => [b, c, within % depth, within / depth % height, within / (depth * height)],
            _ => [b, c, within / (height * width), within / width % height, within % width],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_numbered_in_order_and_found_again() {
        let size = [2, 3, 4];
        for base in [IndexBase::Plane, IndexBase::Tensor, IndexBase::TensorColumnMajor] {
            let numbering = IndexNumbering { base, batch: 2, channels: 5, size };
            let planes = ndarray::indices((2, 5)).into_iter();
            let mut found: Vec<usize> = Vec::new();
            for (b, c) in planes {
                for (d, h, w) in ndarray::indices((2, 3, 4)) {
                    let index = numbering.index(b, c, [d, h, w]);
                    assert_eq!(numbering.place(index, (b, c)), Some([b, c, d, h, w]), "{base:?}");
                    found.push(index);
                }
            }
            assert_eq!(numbering.place(numbering.limit(), (0, 0)), None);
            match base {
                IndexBase::Plane => assert!(numbering.limit() == 24 && found.chunks(24).all(|plane| plane.is_sorted())),
                IndexBase::Tensor => assert!(found.iter().copied().eq(0..240)),
                // The first axis runs fastest: neighbours along depth are neighbours in number.
                IndexBase::TensorColumnMajor => {
                    assert_eq!((found[0], found[12], found[4], found[1]), (0, 1, 2, 6));
                    found.sort_unstable();
                    assert!(found.iter().copied().eq(0..240));
                }
            }
        }
    }

    #[test]
    fn tensors_too_large_to_exist_are_counted_in() {
        let numbering = IndexNumbering { base: IndexBase::Tensor, batch: 64, channels: 64, size: [1, 1, 1 << 59] };
        assert_eq!(numbering.limit(), usize::MAX);
        assert_eq!(numbering.place((1 << 59) + 3, (0, 0)), Some([0, 1, 0, 0, 3]));
    }
}
