//! Whole files: read to the end within a limit, written completely or not at all. It knows no format.
//!
//! A program that is ended while it writes leaves a temporary file. It was locked, and a lock ends with its program: the next program
//! that writes into the folder removes what is locked no more.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use convmat::bytes_in_words;
use tempfile::NamedTempFile;

use crate::error::{Failure, Result};

/// Names of temporary files: this, and so many letters or digits.
const TEMPORARY: &str = ".convmat-";
const LETTERS: usize = 6;

/// What a file name ends in, in small letters.
pub fn extension(path: &Path) -> Option<String> {
    path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase)
}

/// The whole file, or why not.
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("it is a directory"));
    }
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("it has more than {}", bytes_in_words(max_bytes.into()))));
    }
    Ok(bytes)
}

/// Finds out early what would make [`write`] fail.
pub fn expect_writable(path: &Path, replace: bool) -> Result<()> {
    if path.is_dir() {
        return Err(Failure::write(path, "it is a directory"));
    }
    // A link that leads nowhere is in the way as well.
    if !replace && path.symlink_metadata().is_ok() {
        return Err(Failure::Exists(path.to_owned()));
    }
    // A file without a name shows whether the folder can be written to and leaves no trace.
    tempfile::tempfile_in(folder(path)).map_err(|error| Failure::write(path, error))?;
    Ok(())
}

/// Writes a temporary file beside the target and renames it; an existing file is in the way unless `replace`.
pub fn write(path: &Path, bytes: &[u8], replace: bool) -> Result<()> {
    persist(path, bytes, replace).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::Exists(path.to_owned()),
        _ => Failure::write(path, error),
    })
}

fn persist(path: &Path, bytes: &[u8], replace: bool) -> io::Result<()> {
    let mut file = temporary(folder(path))?;
    file.write_all(bytes)?;
    if replace {
        // A private file stays private when its contents are replaced.
        if let Ok(old) = fs::metadata(path) {
            file.as_file().set_permissions(old.permissions())?;
        }
        file.persist(path)?;
    } else {
        file.persist_noclobber(path)?;
    }
    Ok(())
}

/// A temporary file that is locked, in a folder without those that nobody writes any more.
fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    static SWEPT: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if swept.get_or_insert_default().insert(folder.to_owned()) {
        sweep(folder);
    }
    drop(swept);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY).rand_bytes(LETTERS);
    // Temporary files are private by default. This one becomes an ordinary file: the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let file = builder.tempfile_in(folder)?;
        // Where files cannot be locked, nobody removes them either. One that another program has removed before it was locked is made
        // again.
        if file.as_file().lock().is_err() || file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes temporary files that are not locked.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|of| of.is_file());
        if !is_file || !entry.file_name().to_str().is_some_and(is_temporary) {
            continue;
        }
        let path = entry.path();
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() {
            // What cannot be removed does no harm.
            let _ = fs::remove_file(path);
        }
    }
}

fn is_temporary(name: &str) -> bool {
    let letters = name.strip_prefix(TEMPORARY);
    letters.is_some_and(|letters| letters.len() == LETTERS && letters.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// The folder that a path lies in.
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_ended_programs_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (left, written) = (folder.path().join(".convmat-aB3xYz"), folder.path().join(".convmat-000000"));
        let others = [".convmat-notes.txt", ".convmat-abcde", "convmat-abcdef", ".convmat-abc-ef"];
        for path in [&left, &written].into_iter().cloned().chain(others.map(|name| folder.path().join(name))) {
            fs::write(path, "half").unwrap();
        }
        fs::create_dir(folder.path().join(".convmat-folder")).unwrap();
        // As another program does that writes right now.
        let held = File::open(&written).unwrap();
        held.lock().unwrap();
        write(&folder.path().join("a.txt"), b"a", false).unwrap();
        let mut kept = [&others[..], &[".convmat-000000", ".convmat-folder", "a.txt"]].concat();
        kept.sort_unstable();
        assert_eq!(names(folder.path()), kept);
    }

    #[test]
    fn files_are_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write(&path, b"first", false).unwrap();
        assert!(matches!(write(&path, b"second", false), Err(Failure::Exists(_))));
        write(&path, b"third", true).unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"third".to_vec(), vec!["a.txt".to_owned()]));
        assert!(matches!(write(&path.join("b.txt"), b"", true), Err(Failure::Write(..))));
        assert!(read(&path, 4).is_err() && read(&path, 5).is_ok() && read(folder.path(), 5).is_err());
    }
}
