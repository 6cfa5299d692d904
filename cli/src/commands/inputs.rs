//! Which files are meant, and where each result goes: files, folders and patterns → pairs of paths.
//!
//! It knows the file system and names, but opens no file.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Failure, Result};
use crate::files::folder;
use crate::images::is_image_name;

/// The files that were asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Inputs {
    /// One file, named.
    One(PathBuf),
    /// Several, or a folder's or a pattern's, however many these are.
    Several(Vec<PathBuf>),
}

impl Inputs {
    /// Folders stand for the images in them, patterns for what a shell would put in their place.
    pub fn find(arguments: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::new();
        for argument in arguments {
            match matches(argument)? {
                Some(found) => {
                    for path in found {
                        expand(path, &mut files)?;
                    }
                }
                None => expand(argument.clone(), &mut files)?,
            }
        }
        Ok(match (arguments, files.as_slice()) {
            ([argument], [file]) if argument == file => Self::One(files.remove(0)),
            _ => Self::Several(files),
        })
    }

    pub fn into_files(self) -> Vec<PathBuf> {
        match self {
            Self::One(file) => vec![file],
            Self::Several(files) => files,
        }
    }
}

/// What a pattern matches; `None` for a path that exists or has no `*`, `?` or `[`.
fn matches(argument: &Path) -> Result<Option<Vec<PathBuf>>> {
    let Some(pattern) = argument.to_str().filter(|text| text.contains(['*', '?', '['])) else { return Ok(None) };
    if argument.symlink_metadata().is_ok() {
        return Ok(None);
    }
    let wrong = |error: glob::PatternError| Failure::Usage(format!("the pattern {pattern} is wrong: {error}"));
    // As in a shell: a leading point must be written.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let found = glob::glob_with(pattern, options)
        .map_err(wrong)?
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| Failure::read(error.path(), error.error()))?;
    if found.is_empty() {
        return Err(Failure::Refused(format!("nothing matches {pattern}")));
    }
    Ok(Some(found))
}

/// A file, or the images in a folder by name.
fn expand(path: PathBuf, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path);
        return Ok(());
    }
    let entries = fs::read_dir(&path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut found: Vec<_> = entries
        .map_err(|error| Failure::read(&path, error))?
        .into_iter()
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|entry| entry.path())
        .filter(|path| is_image_name(path) && path.is_file())
        .collect();
    if found.is_empty() {
        return Err(Failure::read(&path, "the folder has no file that ends in .png, .jpg or .jpeg"));
    }
    found.sort();
    files.append(&mut found);
    Ok(())
}

/// Where the results go.
#[derive(Debug, PartialEq, Eq)]
pub enum Destination {
    /// Beside each input.
    Beside,
    /// Into a folder.
    Folder(PathBuf),
    /// To this file.
    File(PathBuf),
}

impl Destination {
    /// `-o`: a folder if it is one or ends like one, and for several inputs; else a file.
    pub fn new(output: Option<&Path>, inputs: &Inputs) -> Result<Self> {
        let Some(path) = output else { return Ok(Self::Beside) };
        let ends_like_a_folder = path.to_string_lossy().ends_with(std::path::is_separator);
        if path.is_dir() || ends_like_a_folder {
            return Ok(Self::Folder(path.to_owned()));
        }
        match inputs {
            Inputs::One(_) => Ok(Self::File(path.to_owned())),
            Inputs::Several(_) if path.exists() || is_image_name(path) => {
                Err(Failure::Usage(format!("{} is no folder; several inputs need one", path.display())))
            }
            Inputs::Several(_) => Ok(Self::Folder(path.to_owned())),
        }
    }

    /// `photo.jpg` → `photo-2x.png`, where `-2x.png` is the ending, beside it or in the folder.
    pub fn of(&self, input: &Path, ending: &str) -> PathBuf {
        let mut name = OsString::from(input.file_stem().unwrap_or_default());
        name.push(ending);
        match self {
            Self::Beside => input.with_file_name(name),
            Self::Folder(folder) => folder.join(name),
            Self::File(path) => path.clone(),
        }
    }

    /// Creates the folder if it is missing.
    pub fn create(&self) -> Result<MadeFolders> {
        let Self::Folder(folder) = self else { return Ok(MadeFolders::default()) };
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made = MadeFolders(folder.ancestors().take_while(is_missing).map(Path::to_owned).collect());
        fs::create_dir_all(folder).map_err(|error| Failure::write(folder, error))?;
        Ok(made)
    }
}

/// Folders that were missing and made, the inner before the outer. On being dropped, those that nothing was put into go again.
#[derive(Debug, Default)]
pub struct MadeFolders(Vec<PathBuf>);

impl Drop for MadeFolders {
    fn drop(&mut self) {
        for folder in &self.0 {
            // Only empty folders can be removed so.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// An input and where its result goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Assignment {
    pub input: PathBuf,
    pub output: PathBuf,
}

/// Gives every input its output. Inputs that are outputs of other inputs, left by an earlier run, are left out; they
/// come second. Two inputs with one output are an error.
pub fn assign(files: Vec<PathBuf>, destination: &Destination, ending: &str) -> Result<(Vec<Assignment>, Vec<PathBuf>)> {
    let outputs: HashSet<PathBuf> = files.iter().map(|input| identity(&destination.of(input, ending))).collect();
    let (left_out, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|input| outputs.contains(&identity(input)));
    let mut writers: HashMap<PathBuf, &Path> = HashMap::new();
    for input in &files {
        let output = destination.of(input, ending);
        if let Some(other) = writers.insert(identity(&output), input) {
            let (other, input, output) = (other.display(), input.display(), output.display());
            return Err(Failure::Refused(format!("{other} and {input} would both become {output}")));
        }
    }
    let assign = |input: PathBuf| Assignment { output: destination.of(&input, ending), input };
    Ok((files.into_iter().map(assign).collect(), left_out))
}

/// The same for all spellings of a path whose folder exists.
fn identity(path: &Path) -> PathBuf {
    match (folder(path).canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn the_default_output_lies_beside_the_input() {
        let output = Destination::Beside.of(Path::new("a/photo.of.me.jpg"), "-3x.png");
        assert_eq!(output, Path::new("a/photo.of.me-3x.png"));
        assert_eq!(Destination::Folder("b".into()).of(Path::new("a/c.png"), "-2x.png"), Path::new("b/c-2x.png"));
    }

    #[test]
    fn outputs_of_an_earlier_run_are_no_inputs() {
        let files = paths(&["a-2x-2x.png", "a-2x.png", "a.png", "b-2x.png"]);
        let (assigned, left_out) = assign(files, &Destination::Beside, "-2x.png").unwrap();
        assert_eq!(left_out, paths(&["a-2x-2x.png", "a-2x.png"]));
        let outputs: Vec<_> = assigned.into_iter().map(|one| one.output).collect();
        assert_eq!(outputs, paths(&["a-2x.png", "b-2x-2x.png"]));
    }

    #[test]
    fn two_inputs_with_one_output_are_refused() {
        for files in [["a.png", "a.jpg"], ["a.png", "./a.png"]] {
            let message = assign(paths(&files), &Destination::Beside, "-2x.png").unwrap_err().to_string();
            assert!(message.contains("would both become"), "{message}");
        }
        assert!(assign(paths(&["x/a.png", "y/a.png"]), &Destination::Folder("out".into()), "-2x.png").is_err());
        assert!(assign(paths(&["x/a.png", "y/a.png"]), &Destination::Beside, "-2x.png").is_ok());
    }

    #[test]
    fn several_inputs_need_a_folder() {
        let several = Inputs::Several(paths(&["a.png"]));
        assert!(matches!(Destination::new(Some(Path::new("out.png")), &several), Err(Failure::Usage(_))));
        let folder = Destination::new(Some(Path::new("out")), &several).unwrap();
        assert_eq!(folder, Destination::Folder("out".into()));
        let one = Inputs::One("a.png".into());
        assert_eq!(Destination::new(Some(Path::new("out")), &one).unwrap(), Destination::File("out".into()));
        assert_eq!(Destination::new(Some(Path::new("out/")), &one).unwrap(), Destination::Folder("out/".into()));
    }
}
