//! What stands before the numbers of a file in NumPy's format: read before anything is allocated. It reads no number.

/// Most numbers of an array: 1 GiB as f64, whatever type the file has.
const MAX_VALUES: usize = 1 << 27;

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
    // The shape is the tuple of numbers; no other tuple of a header holds any.
    for tuple in String::from_utf8_lossy(header).split('(').skip(1) {
        let numbers = tuple.split(')').next().unwrap_or_default().split(',').map(str::trim);
        let lengths = numbers.filter(|text| text.starts_with(|first: char| first.is_ascii_digit() || first == '+'));
        let count = lengths.map(|text| text.parse::<u128>().unwrap_or(u128::MAX)).fold(1, u128::saturating_mul);
        if count > bytes.len() as u128 {
            return Err(format!(
                "it claims more numbers, {}, than it has bytes",
                tuple.split(')').next().unwrap_or("")
            ));
        }
        if count > MAX_VALUES as u128 {
            return Err(format!("it holds {count} numbers; at most {MAX_VALUES} are read"));
        }
    }
    Ok(())
}
