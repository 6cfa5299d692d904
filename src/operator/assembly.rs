//! Operators put together from others side by side: what sums and stacks have in common.
//!
//! The whole has a domain and a range. Either all parts share it, or each part has channels of its own in it, one after the
//! other. That makes four operators of one mechanism: both shared is a sum, one of them a vertical or a horizontal stack, none
//! a block-diagonal one. The adjoint exchanges the two, nothing else; so a horizontal stack is the adjoint of a vertical one.
//! It knows no convolution.

use std::fmt;
use std::marker::PhantomData;

use ndarray::{ArrayView5, ArrayViewMut5, Axis, Slice};
use sprs::CsMat;

use super::vectors::add;
use super::{
    LinearOperator, Request, Structure, Workspace, csr_bytes, csr_of, expect_batch, expect_bytes, expect_shape, grow,
    reserved,
};
use crate::error::{Error, Result};
use crate::geometry::{Shape, checked_len};
use crate::scalar::Scalar;

/// How the domain or the range of the whole is made of those of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// It is that of every part.
    Shared,
    /// It holds the channels of every part, one part after the other.
    Channels,
}

/// The domain or the range of the whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    join: Join,
    shape: Shape,
}

impl Whole {
    /// The whole of `parts`. `name` is that of the whole, `what` that of a part.
    fn of(join: Join, parts: impl IntoIterator<Item = Shape>, name: &'static str, what: &'static str) -> Result<Self> {
        let mut parts = parts.into_iter();
        let mut shape = parts.next().ok_or(Error::Unsupported { option: name, on: "no operators" })?;
        for part in parts {
            match join {
                Join::Shared => expect_shape(what, &shape, &part)?,
                Join::Channels => {
                    expect_shape(what, &[part[0], shape[1], shape[2], shape[3]], &part)?;
                    let channels = shape[0].checked_add(part[0]);
                    shape[0] = channels.ok_or(Error::Overflow { what: "the number of channels" })?;
                }
            }
        }
        checked_len(&shape, "the number of elements of a sample")?;
        Ok(Self { join, shape })
    }

    /// The channels of a part with so many of them, which begin at `first`; the next part's begin where they end.
    fn channels(&self, first: &mut usize, channels: usize) -> Slice {
        match self.join {
            Join::Shared => Slice::from(..),
            Join::Channels => {
                let start = *first;
                *first += channels;
                Slice::from(start..*first)
            }
        }
    }
}

/// The parts, and how they stand to each other.
#[derive(Clone)]
pub(super) struct Assembly<T, A> {
    operators: Vec<A>,
    domain: Whole,
    range: Whole,
    element: PhantomData<T>,
}

impl<T, A: fmt::Debug> fmt::Debug for Assembly<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.operators).finish()
    }
}

/// The parts as what they all are. Everything but this is compiled for element types alone.
macro_rules! parts {
    ($assembly:expr) => {
        &mut $assembly.operators.iter().map(|operator| operator as &dyn LinearOperator<T>)
    };
}

impl<T: Scalar, A: LinearOperator<T>> Assembly<T, A> {
    /// Puts operators together; `name` is what they are then.
    ///
    /// # Errors
    /// [`Error::Shape`] if domains or ranges do not fit, [`Error::Unsupported`] without operators, [`Error::Overflow`] if there
    /// would be too many channels.
    pub(super) fn new(operators: Vec<A>, domain: Join, range: Join, name: &'static str) -> Result<Self> {
        let domain = Whole::of(domain, operators.iter().map(A::domain), name, "the domain of an operator")?;
        let range = Whole::of(range, operators.iter().map(A::range), name, "the range of an operator")?;
        Ok(Self { operators, domain, range, element: PhantomData })
    }
}

impl<T: Scalar, A: LinearOperator<T>> LinearOperator<T> for Assembly<T, A> {
    fn domain(&self) -> Shape {
        self.domain.shape
    }
    fn range(&self) -> Shape {
        self.range.shape
    }
    fn apply_into(&self, x: ArrayView5<T>, y: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::assembled(parts!(self), false, (&self.domain, &self.range), x, y, workspace)
    }
    fn apply_adjoint_into(&self, y: ArrayView5<T>, x: ArrayViewMut5<T>, workspace: &mut Workspace<T>) -> Result<()> {
        T::assembled(parts!(self), true, (&self.range, &self.domain), y, x, workspace)
    }
    fn workspace_len(&self, batch: usize) -> usize {
        T::assembled_scratch(parts!(self), [&self.domain, &self.range], batch)
    }
    fn prepared(&self) -> Option<Result<Box<dyn LinearOperator<T> + '_>>> {
        let mut is_any_prepared = false;
        let mut operators: Vec<Box<dyn LinearOperator<T> + '_>> = Vec::new();
        for operator in &self.operators {
            operators.push(match operator.prepared() {
                None => Box::new(operator),
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(prepared)) => {
                    is_any_prepared = true;
                    prepared
                }
            });
        }
        let Self { domain, range, element, .. } = *self;
        is_any_prepared.then(|| {
            let assembly: Box<dyn LinearOperator<T> + '_> = Box::new(Assembly { operators, domain, range, element });
            Ok(assembly)
        })
    }
    fn structural_matrix(&self, request: Request) -> Option<Result<Structure<T>>> {
        let matrix = T::assembled_matrix(parts!(self), [&self.domain, &self.range], request.memory_limit);
        Some(matrix.map(Structure))
    }
}

/// The parts of an assembly, one after the other.
pub(crate) type Operators<'i, 'a, T> = &'i mut dyn ExactSizeIterator<Item = &'a dyn LinearOperator<T>>;

/// The product of the whole, from one side into the other: every part reads its channels, or all, of the one and writes its
/// channels of the other, or adds to all of it. The first part writes a shared output, which the others are added to.
pub(crate) fn product<T: Scalar>(
    operators: Operators<T>,
    is_adjoint: bool,
    (from, to): (&Whole, &Whole),
    x: ArrayView5<T>,
    y: ArrayViewMut5<T>,
    workspace: &mut Workspace<T>,
) -> Result<()> {
    expect_batch((from.shape, to.shape), &x, &y)?;
    let is_sum = to.join == Join::Shared && operators.len() > 1;
    let mut term = workspace.take(if is_sum { y.len() } else { 0 })?;
    let result = products(operators, is_adjoint, (from, to), x, y, &mut term, workspace);
    workspace.give(term);
    result
}

/// [`product`] with memory for a term of a sum.
fn products<T: Scalar>(
    operators: Operators<T>,
    is_adjoint: bool,
    (from, to): (&Whole, &Whole),
    x: ArrayView5<T>,
    mut y: ArrayViewMut5<T>,
    term: &mut [T],
    workspace: &mut Workspace<T>,
) -> Result<()> {
    let (mut read, mut written) = (0, 0);
    for (i, operator) in operators.enumerate() {
        let (domain, range) = (operator.domain()[0], operator.range()[0]);
        let (input, output) = if is_adjoint { (range, domain) } else { (domain, range) };
        let x = x.slice_axis(Axis(1), from.channels(&mut read, input));
        let mut apply = |x: ArrayView5<T>, y: ArrayViewMut5<T>| match is_adjoint {
            false => operator.apply_into(x, y, workspace),
            true => operator.apply_adjoint_into(x, y, workspace),
        };
        if to.join == Join::Channels || i == 0 {
            apply(x, y.slice_axis_mut(Axis(1), to.channels(&mut written, output)))?;
            continue;
        }
        let mut term =
            ArrayViewMut5::from_shape(y.raw_dim(), &mut *term).map_err(|_| Error::Overflow { what: "a term" })?;
        apply(x, term.view_mut())?;
        add(y.view_mut(), term.view());
    }
    Ok(())
}

/// Elements of scratch memory that either direction takes: a term of a sum, what a part takes, and for a part that cannot read
/// or write the channels of several samples in place, copies of them.
pub(crate) fn scratch_len<T: Scalar>(operators: Operators<T>, wholes: [&Whole; 2], batch: usize) -> usize {
    let elements = |shape: Shape| shape.iter().fold(batch, |len, &n| len.saturating_mul(n));
    let is_alone = operators.len() == 1;
    let (mut of_part, mut copies) = (0, [0; 2]);
    for operator in operators {
        of_part = of_part.max(operator.workspace_len(batch));
        for (copy, shape) in copies.iter_mut().zip([operator.domain(), operator.range()]) {
            *copy = elements(shape).max(*copy);
        }
    }
    let of = |join| wholes.into_iter().zip(copies).filter(move |(whole, _)| whole.join == join);
    let copied = match is_alone || batch <= 1 {
        true => 0,
        false => of(Join::Channels).fold(0usize, |sum, (_, copy)| sum.saturating_add(copy)),
    };
    let term = if is_alone { 0 } else { of(Join::Shared).map(|(_, term)| term).max().unwrap_or(0) };
    of_part.saturating_add(copied).saturating_add(term)
}

/// The matrix of the whole. Numbers of a sample's elements begin with the channel, so those of a part's channels are consecutive:
/// the part's matrix is a block of the whole's.
pub(crate) fn matrix<T: Scalar>(
    operators: Operators<T>,
    [domain, range]: [&Whole; 2],
    memory_limit: u128,
) -> Result<CsMat<T>> {
    const WHAT: &str = "the matrix of a sum or stack";
    let (rows, columns) = (range.shape.iter().product(), domain.shape.iter().product());
    let no_entries = csr_bytes::<T>(rows, 0);
    let (mut blocks, mut entries, mut first) = (Vec::new(), 0, 0);
    for operator in operators {
        let held = csr_bytes::<T>(rows, entries) - no_entries;
        let block = csr_of(operator, memory_limit.saturating_sub(held)).map_err(|error| match error {
            Error::MemoryLimit { what, bytes, instead, .. } => {
                Error::MemoryLimit { what, bytes: bytes.saturating_add(held), limit: memory_limit, instead }
            }
            error => error,
        })?;
        // Entries of a sum may meet in one place: an upper bound.
        entries += block.nnz() as u128;
        expect_bytes(WHAT, csr_bytes::<T>(rows, entries), memory_limit, "apply")?;
        let width = block.cols();
        blocks.push((block, first));
        first += if domain.join == Join::Channels { width } else { 0 };
    }
    let mut offsets = reserved(rows + 1, WHAT)?;
    let (mut indices, mut values) = (reserved(entries as usize, WHAT)?, reserved(entries as usize, WHAT)?);
    offsets.push(0);
    // Blocks with the same rows: all of them, or each by itself.
    let beside = if range.join == Join::Shared { blocks.len() } else { 1 };
    let mut line: Vec<(usize, T)> = Vec::new();
    for blocks in blocks.chunks(beside) {
        for row in 0..blocks[0].0.rows() {
            line.clear();
            for (block, first) in blocks {
                let Some(of_block) = block.outer_view(row) else { continue };
                grow(&mut line, of_block.nnz(), WHAT)?;
                line.extend(of_block.iter().map(|(column, &value)| (first + column, value)));
            }
            // Stable, so that terms are added in the order of the operators, as products are.
            line.sort_by_key(|&(column, _)| column);
            let start = indices.len();
            for &(column, value) in &line {
                match values.last_mut() {
                    Some(sum) if indices[start..].last() == Some(&column) => *sum += value,
                    _ => {
                        indices.push(column);
                        values.push(value);
                    }
                }
            }
            offsets.push(indices.len());
        }
    }
    drop(blocks);
    indices.shrink_to_fit();
    values.shrink_to_fit();
    Ok(CsMat::new((rows, columns), offsets, indices, values))
}
