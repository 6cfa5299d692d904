//! What an unfinished run has measured so far: a file that grows by a line per problem and round. `--resume` reads it
//! and goes on.
//!
//! The first line holds the header and the settings that must not change, every other one the trials of a problem after
//! a round. A last line that was cut short is ignored, so that its problem is measured again.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::Header;
use super::trials::Trial;
use crate::error::{Failure, Result};
use crate::files;

/// The file in a folder of results.
pub const FILE: &str = "journal.jsonl";
/// Limit on a journal.
const MAX_BYTES: u64 = 256 << 20;

/// What must be the same when a run is resumed: pairs of name and text.
pub type Settings = Vec<(String, String)>;

#[derive(Serialize, Deserialize)]
struct Start {
    settings: Settings,
    header: Header,
}

/// An open journal.
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Begins a new journal.
    pub fn create(folder: &Path, settings: &Settings, header: &Header) -> Result<Self> {
        let path = folder.join(FILE);
        let file = File::create(&path).map_err(|error| Failure::write(&path, error))?;
        let mut journal = Self { path, file };
        journal.line(&Start { settings: settings.clone(), header: header.clone() })?;
        Ok(journal)
    }

    /// Opens a journal to go on with. Returns it, its header and, in order, the trials that it holds.
    pub fn resume(folder: &Path, settings: &Settings) -> Result<(Self, Header, Vec<Vec<Trial>>)> {
        let path = folder.join(FILE);
        let bytes = files::read(&path, MAX_BYTES).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Failure::Refused(format!("{} has no interrupted run to go on with", folder.display()))
            }
            _ => Failure::read(&path, error),
        })?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut lines = bytes[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let broken = |error: serde_json::Error| Failure::read(&path, error);
        let first = lines.next().ok_or_else(|| Failure::read(&path, "it is empty; --force starts again"))?;
        let Start { settings: old, header } = serde_json::from_slice(first).map_err(broken)?;
        expect_same(folder, &old, settings)?;
        let trials = lines.map(|line| serde_json::from_slice(line).map_err(broken)).collect::<Result<Vec<_>>>()?;
        let cannot = |error| Failure::write(&path, error);
        let file = OpenOptions::new().append(true).open(&path).map_err(cannot)?;
        file.set_len(whole as u64).map_err(cannot)?;
        Ok((Self { path, file }, header, trials))
    }

    /// Writes the trials of a problem.
    pub fn add(&mut self, trials: &[Trial]) -> Result<()> {
        self.line(&trials)
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value).map_err(|error| Failure::write(&self.path, error))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|error| Failure::write(&self.path, error))
    }

    /// Removes the file. To be called when the results are written.
    pub fn finish(self) -> Result<()> {
        fs::remove_file(&self.path).map_err(|error| Failure::write(&self.path, error))
    }
}

fn expect_same(folder: &Path, old: &Settings, new: &Settings) -> Result<()> {
    let changed = new.iter().find(|setting| !old.contains(setting));
    let Some((name, value)) = changed else { return Ok(()) };
    let before = old.iter().find(|(old, _)| old == name).map_or("nothing", |(_, value)| value);
    let short = |text: &str| if text.chars().count() > 60 { "others".to_owned() } else { text.to_owned() };
    Err(Failure::Refused(format!(
        "{} was begun with {name} {} and cannot go on with {}",
        folder.display(),
        short(before),
        short(value)
    )))
}
