//! The one error type: a variant per mistake, each carrying the numbers that explain it.
//!
//! Everything a caller can get wrong (geometry, shapes, sizes, limits) is an `Err` of this type; nothing public
//! panics. This module knows no other.

use std::fmt;

/// `Result` with convmat's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What was wrong with a request, with the numbers that explain it.
///
/// Axes are counted from 0 in the order the caller gave them, so axis 1 of a 2-D layer is its width, and shapes have the
/// axes of the caller's arrays.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A stride, dilation, kernel length or input length of one axis is 0.
    Zero {
        /// Which quantity: `"stride"`, `"dilation"`, `"kernel"`, `"input"`, …
        what: &'static str,
        /// The axis.
        axis: usize,
    },
    /// A channel or group count is 0.
    NoChannels {
        /// Which count: `"groups"`, `"in channels"`, …
        what: &'static str,
    },
    /// A channel count is not a multiple of the number of groups.
    Groups {
        /// Which channels: `"in channels"`, `"out channels"`, …
        what: &'static str,
        /// Their count.
        channels: usize,
        /// The number of groups.
        groups: usize,
    },
    /// The kernel does not fit into the padded input, or the padding removes the whole output.
    EmptyOutput {
        /// The axis.
        axis: usize,
        /// Length of the input along the axis.
        input: usize,
        /// Total padding, begin plus end.
        padding: usize,
        /// Extent of the kernel, `(kernel − 1)·dilation + 1`.
        extent: usize,
    },
    /// `output_padding` is not below `max(stride, dilation)`.
    OutputPadding {
        /// The axis.
        axis: usize,
        /// The output padding asked for.
        output_padding: usize,
        /// The bound, `max(stride, dilation)`, that it must stay below.
        limit: usize,
    },
    /// `padding = same` with a stride other than 1.
    SameNeedsUnitStride {
        /// The axis.
        axis: usize,
        /// Its stride.
        stride: usize,
    },
    /// An `output_size` that no `output_padding` below the stride reaches.
    OutputSize {
        /// The axis.
        axis: usize,
        /// The size asked for.
        size: usize,
        /// The smallest size possible.
        min: usize,
        /// The largest size possible.
        max: usize,
    },
    /// An option that the requested direction does not have, such as `output_padding` on a convolution.
    Unsupported {
        /// The option.
        option: &'static str,
        /// Where it was given.
        on: &'static str,
    },
    /// A size, product of sizes or index does not fit the machine's integers.
    Overflow {
        /// What was being computed.
        what: &'static str,
    },
    /// A tensor has another shape than the operation needs.
    Shape {
        /// Which tensor.
        what: &'static str,
        /// The shape needed.
        expected: Vec<usize>,
        /// The shape given.
        actual: Vec<usize>,
    },
    /// A range of indices leaves its axis or runs backwards.
    Window {
        /// The axis.
        axis: usize,
        /// Start of the range.
        start: usize,
        /// End of the range (exclusive).
        end: usize,
        /// Length of the axis.
        length: usize,
    },
    /// A padding mode that reads the input more often than it has elements, or a crop of more than there is.
    PadLength {
        /// The axis.
        axis: usize,
        /// The padding mode or `"crop"`.
        mode: &'static str,
        /// The amount asked for.
        amount: usize,
        /// The largest amount possible for this length.
        max: usize,
    },
    /// The allocator has no memory of this size.
    Memory {
        /// What would be built.
        what: &'static str,
        /// Bytes it needs.
        bytes: u128,
    },
    /// An index points outside of what it counts in.
    Index {
        /// The index.
        index: usize,
        /// Indices must stay below this.
        limit: usize,
    },
    /// An index of a whole tensor of unknown size does not lie within its own window in any size it may have.
    OutsideWindow {
        /// The index.
        index: usize,
        /// The spatial sizes that were tried.
        sizes: Vec<Vec<usize>>,
    },
    /// Indices of a whole tensor lie within their own windows in more than one size it may have, and point elsewhere.
    AmbiguousIndex {
        /// The first index that points elsewhere.
        index: usize,
        /// The spatial sizes.
        sizes: Vec<Vec<usize>>,
    },
    /// A matrix, packed weights or scratch memory would need more bytes than the limit allows.
    MemoryLimit {
        /// What would be built.
        what: &'static str,
        /// Bytes it needs.
        bytes: u128,
        /// The limit in force.
        limit: u128,
        /// What to use instead.
        instead: &'static str,
    },
    /// A clamp whose least value is above its largest, so that no output could lie between them.
    Clamp {
        /// The least value.
        low: f64,
        /// The largest value.
        high: f64,
    },
    /// A recipe that a layer of this size cannot be planned by.
    Recipe {
        /// The recipe, as it is printed.
        recipe: String,
    },
    /// Text that is no recipe.
    RecipeText {
        /// The text.
        text: String,
        /// What should have come where it goes wrong.
        expected: &'static str,
    },
    /// A computation would take more steps than the limit allows.
    WorkLimit {
        /// What would be computed.
        what: &'static str,
        /// Steps it takes, at least.
        steps: u128,
        /// The limit in force.
        limit: u128,
    },
    /// An iteration that did not come to its end.
    NotConverged {
        /// Which iteration.
        what: &'static str,
    },
    /// A number that must be positive and finite is not.
    NotFinite {
        /// Which number.
        what: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Zero { what, axis } => write!(f, "{what}[{axis}] is 0; every {what} must be at least 1"),
            Error::NoChannels { what } => write!(f, "{what} is 0; it must be at least 1"),
            Error::Groups { what, channels, groups } => {
                write!(f, "{channels} {what} do not divide into {groups} groups")
            }
            Error::EmptyOutput { axis, input, padding, extent } => write!(
                f,
                "the output is empty along axis {axis}: input length {input}, total padding {padding}, \
                 kernel extent {extent}"
            ),
            Error::OutputPadding { axis, output_padding, limit } => write!(
                f,
                "output_padding[{axis}] is {output_padding}; it must be below max(stride, dilation) = {limit}"
            ),
            Error::SameNeedsUnitStride { axis, stride } => {
                write!(f, "padding \"same\" needs stride 1, but stride[{axis}] is {stride}")
            }
            Error::OutputSize { axis, size, min, max } => {
                write!(f, "output_size[{axis}] is {size}; possible are {min} to {max}")
            }
            Error::Unsupported { option, on } => write!(f, "{option} has no meaning for {on}"),
            Error::Overflow { what } => write!(f, "{what} is too large for this machine's integers"),
            Error::Shape { what, expected, actual } => {
                write!(f, "{what} has shape {actual:?}; expected {expected:?}")
            }
            Error::Window { axis, start, end, length } => {
                write!(f, "the range {start}..{end} is not within axis {axis} of length {length}")
            }
            Error::PadLength { axis, mode, amount, max } => {
                write!(f, "{mode} of {amount} along axis {axis} is too much; at most {max} is possible here")
            }
            Error::Memory { what, bytes } => {
                write!(f, "{what} would need {}, more than there is", bytes_in_words(*bytes))
            }
            Error::Index { index, limit } => write!(f, "index {index} is out of range; there are {limit} elements"),
            Error::OutsideWindow { index, sizes } => write!(
                f,
                "index {index} is not in the window of its value if it counts in a tensor of spatial size {}; give the size \
                 that was pooled, as output_size or as index_size",
                any_of(sizes)
            ),
            Error::AmbiguousIndex { index, sizes } => write!(
                f,
                "index {index} may count in a tensor of spatial size {}; give the one that was pooled as index_size",
                any_of(sizes)
            ),
            Error::MemoryLimit { what, bytes, limit, instead } => write!(
                f,
                "{what} would need {} > {}; use {instead}, or raise the limit",
                bytes_in_words(*bytes),
                bytes_in_words(*limit)
            ),
            Error::Recipe { recipe } => write!(f, "this layer cannot be planned for this size as asked: {recipe}"),
            Error::RecipeText { text, expected } => write!(f, "\"{text}\" is no recipe; expected {expected}"),
            Error::Clamp { low, high } => {
                write!(f, "a clamp from {low} to {high} leaves nothing; its low must not be above its high")
            }
            Error::WorkLimit { what, steps, limit } => {
                write!(f, "{what} would take {steps} steps > {limit}; raise the limit")
            }
            Error::NotConverged { what } => write!(f, "{what} did not converge"),
            Error::NotFinite { what } => write!(f, "{what} must be a finite number"),
        }
    }
}

impl std::error::Error for Error {}

/// A name that nothing has: what [`FromStr`](std::str::FromStr) of the enums with names returns.
///
/// ```
/// use convmat::Isa;
/// let error = "sse".parse::<Isa>().unwrap_err();
/// assert_eq!((error.what, error.name.as_str()), ("instruction set", "sse"));
/// assert_eq!(error.to_string(), "unknown instruction set \"sse\"; there are portable, avx2, avx512");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseNameError {
    /// What should have been named: `"formulation"`, `"instruction set"`, …
    pub what: &'static str,
    /// The name given.
    pub name: String,
    /// The names there are.
    pub allowed: Vec<&'static str>,
}

impl ParseNameError {
    /// The one of `all` that is called `name`.
    pub(crate) fn find<T: Copy>(
        what: &'static str,
        all: &[T],
        name_of: impl Fn(T) -> &'static str,
        name: &str,
    ) -> std::result::Result<T, Self> {
        all.iter().copied().find(|&candidate| name_of(candidate) == name).ok_or_else(|| Self {
            what,
            name: name.to_owned(),
            allowed: all.iter().copied().map(name_of).collect(),
        })
    }
}

impl fmt::Display for ParseNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown {} \"{}\"; there are {}", self.what, self.name, self.allowed.join(", "))
    }
}

impl std::error::Error for ParseNameError {}

fn any_of(sizes: &[Vec<usize>]) -> String {
    sizes.iter().map(|size| format!("{size:?}")).collect::<Vec<_>>().join(" or ")
}

/// A byte count in binary units: `1 GiB`, `2.6 TiB`, `512 B`; at most one decimal.
///
/// ```
/// assert_eq!(convmat::bytes_in_words(512), "512 B");
/// assert_eq!(convmat::bytes_in_words(1 << 30), "1 GiB");
/// assert_eq!(convmat::bytes_in_words(2_859_000_000_000), "2.6 TiB");
/// ```
#[must_use]
pub fn bytes_in_words(bytes: u128) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = format!("{value:.1}");
    format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), UNITS[unit])
}

impl Error {
    /// The same error, naming axis `i`.
    pub(crate) fn on_axis(self, i: usize) -> Self {
        self.map_axis(|_| i)
    }

    /// The same error with its spatial axis changed.
    pub(crate) fn map_axis(mut self, f: impl Fn(usize) -> usize) -> Self {
        if let Error::Zero { axis, .. } | Error::Window { axis, .. } | Error::PadLength { axis, .. } = &mut self {
            *axis = f(*axis);
        }
        self
    }

    /// The same error with its shapes changed.
    pub(crate) fn map_shapes(mut self, f: impl Fn(&[usize]) -> Vec<usize>) -> Self {
        if let Error::Shape { expected, actual, .. } = &mut self {
            (*expected, *actual) = (f(expected), f(actual));
        }
        self
    }
}
