//! Whole files: read to the end within a limit, written completely or not at all. It knows no format.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use convmat::bytes_in_words;

use crate::error::{Failure, Result};

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
    let mut builder = tempfile::Builder::new();
    builder.prefix(".convmat-");
    // Temporary files are private by default. This one becomes an ordinary file: the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder(path))?;
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

/// The folder that a path lies in.
pub fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
