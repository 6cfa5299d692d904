//! What the segments of a JPEG file say before its first scan: pixels per length, and further pictures behind the first.
//! It knows no pixel.

use super::metadata::Density;

const START_OF_SCAN: u8 = 0xDA;
const JFIF: u8 = 0xE0;
const MULTI_PICTURE: u8 = 0xE2;
/// The tag of the number of pictures in a multi-picture index (CIPA DC-007).
const NUMBER_OF_IMAGES: u16 = 0xB001;

/// Marker and contents of the segments between the start of the image and its first scan.
fn segments(file: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = file.strip_prefix(&[0xFF, 0xD8]).unwrap_or_default();
    std::iter::from_fn(move || {
        let ([0xFF, marker], after) = rest.split_first_chunk()? else { return None };
        let length = usize::from(u16::from_be_bytes(*after.first_chunk()?));
        let (segment, after) = after.split_at_checked(length)?;
        rest = after;
        (*marker != START_OF_SCAN).then_some((*marker, segment.get(2..)?))
    })
}

/// What JFIF says of the pixels per inch or centimetre, or of their shape.
pub fn density(file: &[u8]) -> Option<Density> {
    let (_, segment) = segments(file).find(|&(marker, segment)| marker == JFIF && segment.starts_with(b"JFIF\0"))?;
    let [unit, x0, x1, y0, y1] = *segment.get(7..)?.first_chunk()?;
    let [x, y] = [[x0, x1], [y0, y1]].map(|bytes| f64::from(u16::from_be_bytes(bytes)));
    match unit {
        // Square pixels of any size: nothing.
        0 if x == y => None,
        0 => Some(Density { x, y, is_per_metre: false }),
        1 => Some(Density { x, y, is_per_metre: true }.times(1.0 / Density::METRES_PER_INCH)),
        2 => Some(Density { x, y, is_per_metre: true }.times(100.0)),
        _ => None,
    }
}

/// How many pictures the file holds, by its index of them.
pub fn pictures(file: &[u8]) -> Option<u32> {
    let index = segments(file)
        .find_map(|(marker, segment)| segment.strip_prefix(b"MPF\0").filter(|_| marker == MULTI_PICTURE))?;
    let is_little = index.starts_with(b"II");
    let short = |at: usize| {
        let bytes = *index.get(at..)?.first_chunk()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes = *index.get(at..)?.first_chunk()?;
        Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = usize::try_from(long(4)?).ok()?;
    let entries = (0..usize::from(short(directory)?)).map(|i| directory.saturating_add(2 + 12 * i));
    entries.into_iter().find(|&entry| short(entry) == Some(NUMBER_OF_IMAGES)).and_then(|entry| long(entry + 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_say_density_and_pictures() {
        let mut file = b"\xFF\xD8\xFF\xE0\x00\x10JFIF\0\x01\x02\x02\x00\x64\x00\x32\0\0".to_vec();
        assert_eq!(density(&file), Some(Density { x: 10_000.0, y: 5_000.0, is_per_metre: true }));
        assert_eq!(pictures(&file), None);
        file.extend(b"\xFF\xE2\x00\x20MPF\0MM\0*\0\0\0\x08\0\x01\xB0\x01\0\x04\0\0\0\x01\0\0\0\x03\0\0\0\0");
        assert_eq!(pictures(&file), Some(3));
        // Behind the first scan there are pixels.
        let hidden = [&b"\xFF\xD8\xFF\xDA\x00\x02"[..], &file[2..]].concat();
        assert_eq!((density(&hidden), pictures(&hidden)), (None, None));
        assert_eq!((density(b"no JPEG"), pictures(&file[..40])), (None, None));
        // A picture index that points nowhere.
        let at = file.len() - 22;
        file[at] = 0xFF;
        assert_eq!(pictures(&file), None);
    }
}
