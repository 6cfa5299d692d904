//! Elements that stand in a file beside the model: which file it may be, and which part of it.
//!
//! A model names files. It is foreign, so only files within its own folder are opened, whatever links and dots the name has.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use rten_onnx::onnx::StringStringEntryProto;

use super::malformed;
use crate::error::{Error, Result};
use crate::limits::Budget;

/// An error with a file.
pub(super) fn unreadable(path: &Path, why: impl ToString) -> Error {
    Error::File { path: path.display().to_string(), why: why.to_string() }
}

/// A file that is one: neither a folder nor a device that never ends.
pub(super) fn open(path: &Path) -> Result<(File, u64)> {
    let found = |metadata: io::Result<fs::Metadata>| {
        let metadata = metadata.map_err(|error| unreadable(path, error))?;
        if metadata.is_file() { Ok(metadata.len()) } else { Err(unreadable(path, "this is not a regular file")) }
    };
    // Asked before it is opened too, since some that are not files wait forever to be opened.
    found(fs::metadata(path))?;
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    let length = found(file.metadata())?;
    Ok((file, length))
}

/// All of a part of a file; the caller has made sure of the memory.
pub(super) fn read(path: &Path, mut file: File, from: u64, length: u64) -> Result<Vec<u8>> {
    let too_much = |_| Error::Limit { what: "bytes of one file", needed: length.into(), limit: usize::MAX as u128 };
    let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(too_much)?);
    file.seek(SeekFrom::Start(from)).map_err(|error| unreadable(path, error))?;
    file.take(length).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
    if bytes.len() as u64 != length {
        return Err(unreadable(
            path,
            format!("it became shorter while it was read, {} of {length} bytes", bytes.len()),
        ));
    }
    Ok(bytes)
}

/// The `expected` bytes of a tensor, from a file in a folder.
///
/// # Errors
/// For a file outside the folder, a part that leaves the file or is not as long as expected, and more bytes than a budget has.
pub(super) fn elements(
    folder: &Path,
    entries: &[StringStringEntryProto],
    expected: u64,
    budget: &mut Budget,
    part: &str,
) -> Result<Vec<u8>> {
    let text = |key: &str| {
        let mut found = entries.iter().filter(|entry| entry.key.as_deref() == Some(key));
        match (found.next(), found.next()) {
            (entry, None) => Ok(entry.map(|entry| entry.value.as_deref().unwrap_or_default())),
            _ => Err(malformed(format!("{part}: its external data has two values of {key}"))),
        }
    };
    let number = |key: &str| {
        let parse = |text: &str| {
            let wrong = |_| malformed(format!("{part}: the {key} of its external data is {text:?}"));
            text.parse::<u64>().map_err(wrong)
        };
        text(key)?.map(parse).transpose()
    };
    let location = text("location")?.ok_or_else(|| malformed(format!("{part}: its external data has no location")))?;
    let path = inside(folder, location, part)?;
    let (from, length) = (number("offset")?.unwrap_or(0), number("length")?.unwrap_or(expected));
    if length != expected {
        return Err(malformed(format!("{part}: {length} bytes of external data where its shape needs {expected}")));
    }
    let (file, available) = open(&path)?;
    if from.checked_add(length).is_none_or(|to| to > available) {
        let why = format!("{part}: {length} bytes from {from} on leave {location}, which has {available}");
        return Err(malformed(why));
    }
    budget.take(length.into())?;
    read(&path, file, from, length)
}

/// The path of a location, if it is in the folder.
fn inside(folder: &Path, location: &str, part: &str) -> Result<PathBuf> {
    let is_plain = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    let relative = Path::new(location);
    let outside = || malformed(format!("{part}: its external data {location:?} is not in the model's folder"));
    if location.is_empty() || location.contains('\0') || !relative.components().all(is_plain) {
        return Err(outside());
    }
    let folder = folder.canonicalize().map_err(|error| unreadable(folder, error))?;
    let path = folder.join(relative);
    let path = path.canonicalize().map_err(|error| unreadable(&path, error))?;
    // Links have been followed: where they lead counts.
    if path.starts_with(&folder) { Ok(path) } else { Err(outside()) }
}

#[cfg(test)]
mod tests;
