//! Archives of arrays, as `numpy.savez` and `numpy.savez_compressed` write them and `numpy.load` reads them.

use std::io::{Cursor, Write};

use convmat_network::Tensor;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::arrays::{Parsed, chosen, npy_bytes, npy_tensor};
use crate::npy::unpacked;

/// What the names of arrays end in within the archive.
const ENDING: &str = ".npy";

/// The archive of named arrays, not compressed.
pub fn bytes(tensors: &[(&str, &Tensor)]) -> Parsed<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, tensor) in tensors {
        let array = npy_bytes(tensor)?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(array.len() as u64 >= u64::from(u32::MAX));
        archive.start_file(format!("{name}{ENDING}"), options).map_err(|error| error.to_string())?;
        archive.write_all(&array).map_err(|error| error.to_string())?;
    }
    archive.finish().map(Cursor::into_inner).map_err(|error| error.to_string())
}

/// An array of the archive and its name: the named one, else the only one, else the first of the likely ones.
pub fn tensor(bytes: Vec<u8>, name: Option<&str>, likely: &[&str]) -> Parsed<(Option<String>, Tensor)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| format!("it is no .npz file: {error}"))?;
    let files: Vec<String> = archive.file_names().map(str::to_owned).collect();
    let mut names: Vec<&str> = files.iter().filter_map(|file| file.strip_suffix(ENDING)).collect();
    names.sort_unstable();
    let name = chosen(name, likely, &names)?;
    let file = archive.by_name(&format!("{name}{ENDING}")).map_err(|error| format!("`{name}`: {error}"))?;
    let array = unpacked(file).and_then(|array| npy_tensor(&array)).map_err(|why| format!("`{name}`: {why}"))?;
    Ok((Some(name.to_owned()), array))
}
