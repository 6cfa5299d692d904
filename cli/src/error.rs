//! What can go wrong on the command line: a variant per kind of mistake, one line each, and its exit code.
//!
//! Exit code 2 means that the command was not understood, 1 that it was and failed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub type Result<T> = std::result::Result<T, Failure>;

#[derive(Debug)]
pub enum Failure {
    /// Arguments that make no sense, found by clap or after it.
    Usage(String),
    /// A file that cannot be read, and why.
    Read(PathBuf, String),
    /// A file that cannot be written, and why.
    Write(PathBuf, String),
    /// The output exists and `--force` was not given.
    Exists(PathBuf),
    /// An address of this machine that cannot be served on, and why.
    Listen(SocketAddr, io::Error),
    /// A request beyond a stated limit or between things that do not fit each other.
    Refused(String),
    /// A matrix that is not the one of a layer.
    NotTheMatrix(PathBuf, String),
    /// Checks that failed, out of how many.
    Checks { failed: usize, of: usize },
    /// One of several images, and what was wrong with it.
    Image(PathBuf, Box<Failure>),
    /// Images that failed while others did not, out of how many.
    Images { failures: Vec<Failure>, of: usize },
    /// Problems of a benchmark that could not be measured while others were, out of how many layers.
    Layers { failures: Vec<Failure>, of: usize },
    /// A round of a benchmark, out of how many, and what became of its execution.
    Execution { round: usize, of: usize, why: String },
    /// A benchmark that Ctrl-C ended after some of its rounds.
    Interrupted { rounds: usize, of: usize },
    /// What the network's crate refused.
    #[cfg(feature = "network")]
    Network(convmat_network::Error),
    /// What the library refused.
    Library(convmat::Error),
    /// The report could not be printed.
    Print(io::Error),
}

impl Failure {
    pub fn read(path: &Path, why: impl fmt::Display) -> Self {
        Self::Read(path.to_owned(), why.to_string())
    }

    pub fn write(path: &Path, why: impl fmt::Display) -> Self {
        Self::Write(path.to_owned(), why.to_string())
    }

    /// The failure, naming the image that it is about.
    pub fn about(self, image: &Path) -> Self {
        match self {
            Self::Read(..) | Self::Write(..) => self,
            _ => Self::Image(image.to_owned(), Box::new(self)),
        }
    }

    /// The same once more, of another image.
    pub fn again(&self) -> Self {
        Self::Refused(self.to_string())
    }

    /// The failures of some of `of` images; that of the only image needs no summary.
    pub fn of_images(mut failures: Vec<Self>, of: usize) -> Result<()> {
        match failures.len() {
            0 => Ok(()),
            1 if of == 1 => Err(failures.remove(0)),
            _ => Err(Self::Images { failures, of }),
        }
    }

    /// The failures that this one sums up.
    pub fn parts(&self) -> &[Self] {
        match self {
            Self::Images { failures, .. } | Self::Layers { failures, .. } => failures,
            _ => &[],
        }
    }

    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }

    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Print(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Usage(what) | Self::Refused(what) => what.clone(),
            Self::Read(path, why) => format!("cannot read {}: {why}", path.display()),
            Self::Write(path, why) => format!("cannot write {}: {why}", path.display()),
            Self::Listen(address, why) => format!("cannot listen on {address}: {why}; --port chooses another port"),
            Self::Exists(path) => format!("{} exists; --force replaces it", path.display()),
            Self::NotTheMatrix(path, of) => format!("{} is not the matrix {of}", path.display()),
            Self::Checks { failed, of } => format!("{failed} of {of} checks FAILED"),
            Self::Image(path, failure) => format!("{}: {failure}", path.display()),
            Self::Images { failures, of } => format!("{} of {of} images failed", failures.len()),
            Self::Layers { failures, of } => format!("{} of {of} layers failed", failures.len()),
            Self::Execution { round, of, why } => format!("round {round} of {of} failed: {why}"),
            Self::Interrupted { rounds, of } => {
                format!("interrupted after {rounds} of {of} rounds; --resume goes on")
            }
            #[cfg(feature = "network")]
            Self::Network(error) => error.to_string(),
            Self::Library(error) => error.to_string(),
            Self::Print(error) => format!("cannot print the report: {error}"),
        };
        // Other crates' messages and file names may have several lines; an error here has one.
        f.write_str(&text.split(['\n', '\r']).map(str::trim).collect::<Vec<_>>().join(" "))
    }
}

impl From<convmat::Error> for Failure {
    fn from(error: convmat::Error) -> Self {
        Self::Library(error)
    }
}

#[cfg(feature = "network")]
impl From<convmat_network::Error> for Failure {
    fn from(error: convmat_network::Error) -> Self {
        Self::Network(error)
    }
}

impl From<io::Error> for Failure {
    /// Only the report is written with a bare `?`; files name their path.
    fn from(error: io::Error) -> Self {
        Self::Print(error)
    }
}
