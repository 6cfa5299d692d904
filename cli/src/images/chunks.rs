//! Chunks of PNG files: read one after the other, and put into a file that an encoder has written.
//!
//! The decoder that is used hands out some chunks only, and the encoder writes fewer. A chunk here is a name and bytes, whatever
//! they mean; [`metadata`](super::metadata) knows that.

/// Bytes before the first chunk.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Bytes of a chunk beside its data: length, name, checksum.
const FRAME: usize = 12;
/// Bytes of the signature and of IHDR, which is the first chunk of every file and has 13 bytes of data.
const HEADER: usize = SIGNATURE.len() + FRAME + 13;

/// A name and the data that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk<B> {
    pub name: [u8; 4],
    pub data: B,
}

/// The chunks of a PNG file in their order, up to the first that is incomplete; none of another file. One whose checksum is wrong is
/// left out, as decoders leave it out.
pub fn of(file: &[u8]) -> impl Iterator<Item = Chunk<&[u8]>> {
    let mut rest = file.strip_prefix(SIGNATURE).unwrap_or_default();
    let next = move || {
        let (length, after) = rest.split_first_chunk()?;
        let length = u32::from_be_bytes(*length) as usize;
        let (name, after) = after.split_first_chunk()?;
        let (data, after) = after.split_at_checked(length)?;
        let (checksum, after) = after.split_first_chunk()?;
        rest = after;
        Some((Chunk { name: *name, data }, u32::from_be_bytes(*checksum)))
    };
    // Pixels are the decoder's business, and most of the file.
    let is_whole = |(chunk, checksum): &(Chunk<&[u8]>, u32)| chunk.is_pixels() || chunk.checksum() == *checksum;
    std::iter::from_fn(next).filter(is_whole).map(|(chunk, _)| chunk)
}

impl<B: AsRef<[u8]>> Chunk<B> {
    /// Whether this is a part of the picture's pixels.
    pub fn is_pixels(&self) -> bool {
        &self.name == b"IDAT"
    }

    fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.name);
        hasher.update(self.data.as_ref());
        hasher.finalize()
    }
}

/// The file with more chunks, behind its header: before palette and pixels, where all that says what the pixels mean has to be.
pub fn insert<'a>(mut file: Vec<u8>, chunks: impl IntoIterator<Item = &'a Chunk<Vec<u8>>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in chunks {
        // What was read as a chunk has a length of 32 bits.
        bytes.extend((chunk.data.len() as u32).to_be_bytes());
        bytes.extend(chunk.name);
        bytes.extend(&chunk.data);
        bytes.extend(chunk.checksum().to_be_bytes());
    }
    let end = HEADER.min(file.len());
    file.splice(end..end, bytes);
    file
}

/// How many frames an animated file has, and whether the picture that every decoder shows is the first of them.
pub fn animation(file: &[u8]) -> Option<(u32, bool)> {
    let mut frames = None;
    let mut is_first = false;
    for chunk in of(file).take_while(|chunk| !chunk.is_pixels()) {
        match (&chunk.name, chunk.data.first_chunk()) {
            (b"acTL", Some(count)) => frames = Some(u32::from_be_bytes(*count)),
            (b"fcTL", _) => is_first = true,
            _ => {}
        }
    }
    frames.map(|frames| (frames, is_first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare() -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = png::Encoder::new(&mut file, 1, 1).write_header().unwrap();
        writer.write_image_data(&[7]).unwrap();
        writer.finish().unwrap();
        file
    }

    fn names(file: &[u8]) -> Vec<String> {
        of(file).map(|chunk| String::from_utf8_lossy(&chunk.name).into_owned()).collect()
    }

    #[test]
    fn chunks_are_read_and_put_in() {
        let bare = bare();
        assert_eq!(names(&bare), ["IHDR", "IDAT", "IEND"]);
        let gamma = Chunk { name: *b"gAMA", data: 45455u32.to_be_bytes().to_vec() };
        let mut file = insert(bare, [&gamma]);
        assert_eq!(names(&file), ["IHDR", "gAMA", "IDAT", "IEND"]);
        // The decoder finds the checksum right.
        let reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
        assert_eq!(reader.info().gama_chunk.map(png::ScaledFloat::into_scaled), Some(45455));
        file[HEADER + 8] ^= 1;
        assert_eq!(names(&file), ["IHDR", "IDAT", "IEND"], "a wrong checksum");
        file.truncate(HEADER + 5);
        assert_eq!(names(&file), ["IHDR"]);
        assert_eq!(names(b"no PNG"), [""; 0]);
    }
}
