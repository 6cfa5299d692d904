//! The one error type: what was wrong with a file, a graph, an input or a limit, with the node where it was found.

use std::borrow::Cow;
use std::fmt;

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// A node of a file that no operator of this crate computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedNode {
    /// Its name; its first output's where it has none.
    pub node: String,
    /// Its operator, with the domain before it where that is not ONNX's own.
    pub operator: String,
    /// Why it is not supported.
    pub why: String,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are no file of the format.
    Format {
        /// The format.
        format: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A file that cannot be read.
    File {
        /// The file.
        path: String,
        /// The system's reason.
        why: String,
    },
    /// Nodes that are not supported: all of them.
    Unsupported(Vec<UnsupportedNode>),
    /// Something else in a file that is not supported, as elements of a type.
    UnsupportedPart {
        /// What it is in.
        part: String,
        /// What it is.
        why: String,
    },
    /// A graph that contradicts itself: a cycle, a name without a value, two values of one name.
    Graph(String),
    /// An attribute or an input of an operator that it cannot work with.
    Operator(String),
    /// A layer that convmat refuses.
    Layer(convmat::Error),
    /// An error at a node.
    Node {
        /// The node's name.
        node: String,
        /// Its operator.
        operator: Cow<'static, str>,
        /// What is wrong there.
        source: Box<Error>,
    },
    /// An input that the network does not expect.
    Input {
        /// The input's name.
        name: String,
        /// What it is, and what is expected.
        why: String,
    },
    /// More than a limit allows.
    Limit {
        /// What is limited.
        what: &'static str,
        /// What would be needed.
        needed: u128,
        /// The limit.
        limit: u128,
    },
}

impl Error {
    /// The error, at a node.
    #[must_use]
    pub fn at(self, node: &str, operator: impl Into<Cow<'static, str>>) -> Self {
        match self {
            Self::Node { .. } => self,
            source => Self::Node { node: node.into(), operator: operator.into(), source: Box::new(source) },
        }
    }
}

impl From<convmat::Error> for Error {
    fn from(error: convmat::Error) -> Self {
        Self::Layer(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format { format, why } => write!(f, "this is no {format} file: {why}"),
            Self::File { path, why } => write!(f, "{path}: {why}"),
            Self::Unsupported(nodes) => {
                // Nodes of one operator are refused for one reason, mostly.
                let mut groups: Vec<(&str, &str, Vec<&str>)> = Vec::new();
                for UnsupportedNode { node, operator, why } in nodes {
                    match groups.iter_mut().find(|(known, reason, _)| known == operator && reason == why) {
                        Some((.., names)) => names.push(node),
                        None => groups.push((operator, why, vec![node])),
                    }
                }
                let text = |(operator, why, names): &(&str, &str, Vec<&str>)| {
                    format!("{operator} ({}): {why}", names.join(", "))
                };
                let groups: Vec<String> = groups.iter().map(text).collect();
                write!(
                    f,
                    "{} not supported: {}",
                    if nodes.len() == 1 { "a node is" } else { "nodes are" },
                    groups.join("; ")
                )
            }
            Self::UnsupportedPart { part, why } => write!(f, "{part} is not supported: {why}"),
            Self::Graph(why) | Self::Operator(why) => f.write_str(why),
            Self::Layer(error) => error.fmt(f),
            Self::Node { node, operator, source } => write!(f, "node {node} ({operator}): {source}"),
            Self::Input { name, why } => write!(f, "input {name}: {why}"),
            Self::Limit { what, needed, limit } => write!(f, "{what}: {needed} needed, {limit} allowed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Layer(error) => Some(error),
            Self::Node { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// An [`Error::Operator`] with a formatted text.
macro_rules! invalid {
    ($($text:tt)*) => { $crate::Error::Operator(format!($($text)*)) };
}
pub(crate) use invalid;
