//! What stands before the numbers of a file in NumPy's format: read before anything is allocated. It reads no number.

use std::io::Read;

/// Most numbers of an array: 1 GiB as f64, whatever type the file has.
const MAX_VALUES: usize = 1 << 27;
/// Bytes of an array in an archive that are read before its header is believed: headers of NumPy are shorter.
const HEAD: u64 = 1 << 16;
/// Most bytes of a number that is read: of what is no number, as a character of four bytes, there are few.
const MOST_OF_NUMBER: u64 = 8;

/// The header of an array in NumPy's format and the values behind it; none of bytes that do not begin as one.
pub fn npy_parts(bytes: &[u8]) -> std::result::Result<Option<[&[u8]; 2]>, &'static str> {
    if !bytes.starts_with(b"\x93NUMPY") {
        return Ok(None);
    }
    let length = |digits: &[u8]| digits.iter().rev().fold(0usize, |length, &digit| length << 8 | usize::from(digit));
    // Magic and version, then the header's length in 2 bytes (version 1) or 4.
    let (rest, length) = match (bytes.get(6), bytes.get(8..10), bytes.get(8..12)) {
        (Some(1), Some(digits), _) => (&bytes[10..], length(digits)),
        (Some(2 | 3), _, Some(digits)) => (&bytes[12..], length(digits)),
        _ => return Ok(None),
    };
    let parts = rest.split_at_checked(length).ok_or("it ends within its header")?;
    Ok(Some(parts.into()))
}

/// Refuses a header in NumPy's format that claims more numbers than the file has bytes: ndarray-npy allocates what is claimed before
/// it reads, and an allocation that fails ends the program. Anything else that may be wrong is for ndarray-npy to say.
pub fn expect_whole(bytes: &[u8]) -> std::result::Result<(), String> {
    let Some([header, _]) = npy_parts(bytes)? else { return Ok(()) };
    for (shape, count) in claimed(&String::from_utf8_lossy(header)) {
        if count > bytes.len() as u128 {
            return Err(format!("it claims more numbers, {shape}, than it has bytes"));
        }
        expect_few(count)?;
    }
    Ok(())
}

/// The shapes that a header holds and how many numbers they are of: the shape is the tuple of numbers; no other tuple holds any.
fn claimed(header: &str) -> impl Iterator<Item = (&str, u128)> {
    header.split('(').skip(1).map(|tuple| {
        let shape = tuple.split(')').next().unwrap_or_default();
        let numbers = shape.split(',').map(str::trim);
        let lengths = numbers.filter(|text| text.starts_with(|first: char| first.is_ascii_digit() || first == '+'));
        (shape, lengths.map(|text| text.parse::<u128>().unwrap_or(u128::MAX)).fold(1, u128::saturating_mul))
    })
}

fn expect_few(count: u128) -> std::result::Result<(), String> {
    match count <= MAX_VALUES as u128 {
        true => Ok(()),
        false => Err(format!("it holds {count} numbers; at most {MAX_VALUES} are read")),
    }
}

/// An array in NumPy's format of an archive, however many bytes it unpacks to: no more of them are unpacked than its header claims, and
/// claims are limited.
pub fn unpacked(mut file: impl Read) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut read =
        |bytes: &mut Vec<u8>, most: u64| file.by_ref().take(most).read_to_end(bytes).map_err(|error| error.to_string());
    read(&mut bytes, HEAD)?;
    let Some([header, _]) = npy_parts(&bytes)? else { return Ok(bytes) };
    let mut most = HEAD;
    for (_, count) in claimed(&String::from_utf8_lossy(header)) {
        expect_few(count)?;
        most = most.max(MOST_OF_NUMBER * u64::try_from(count).unwrap_or(0));
    }
    // All that it claims, behind its header.
    read(&mut bytes, most)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of floats of a shape, and zeros without end.
    fn endless(shape: &str) -> impl Read {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        let mut start = b"\x93NUMPY\x01\x00".to_vec();
        start.extend((header.len() as u16).to_le_bytes());
        start.extend(header.bytes());
        std::io::Cursor::new(start).chain(std::io::repeat(0))
    }

    #[test]
    fn no_more_is_unpacked_than_a_header_claims() {
        assert!(unpacked(endless("(100, 3)")).unwrap().len() as u64 <= 2 * HEAD);
        let large = unpacked(endless("(1000, 1000)")).unwrap().len() as u64;
        assert!((4_000_000..=8_000_000 + 2 * HEAD).contains(&large), "{large}");
        assert!(unpacked(endless("(100000, 100000)")).unwrap_err().contains("10000000000 numbers"));
        assert!(unpacked(endless("(99999999999999999999, 99999999999999999999)")).is_err());
        // What is no array is for others to refuse.
        assert_eq!(unpacked(std::io::repeat(7)).unwrap().len() as u64, HEAD);
        assert_eq!(unpacked(&b"text"[..]).unwrap(), b"text");
    }
}
