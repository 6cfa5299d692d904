//! A pass over the bytes of a file before the parser takes them apart.
//!
//! The parser believes lengths, follows graphs within graphs however deep they go, and allocates as it reads. Here the bytes are only
//! walked through: every field is one that fits where it stands, and what the parser will allocate is within the limits. It knows
//! the structure of messages (from `schema`), and nothing of what they mean.

use std::mem::size_of;
use std::ops::Range;

use super::schema::{Form, Kind, Number, Packing};
use super::{malformed, unpack};
use crate::error::{Error, Result};
use crate::limits::{Budget, Limits};

/// Messages within messages: some twenty graphs within graphs.
const DEPTH: usize = 64;

/// The longest number in groups of seven bits.
const VARINT_BYTES: usize = 10;

/// Places of a list for each of its elements, at most: a list has four or more, and when it grows to twice as many, the old ones are
/// there as well.
const GROWTH: usize = 4;

/// A part of the main graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Node(usize),
    Initializer(usize),
}

/// What the pass has found.
#[derive(Debug)]
pub(super) struct Scan {
    /// What is in use once the parser is done.
    pub(super) memory: Budget,
    /// Parts of the main graph that the parser cannot read, with what they hold.
    pub(super) unread: Vec<(Part, &'static str)>,
    /// If there are packed numbers where the parser expects one a field: the most bytes that the file has without them.
    pub(super) unpacked: Option<usize>,
}

/// Walks through all fields of a model.
pub(super) fn scan(bytes: &[u8], limits: &Limits) -> Result<Scan> {
    if bytes.len() as u128 > limits.file_bytes.into() {
        let (needed, limit) = (bytes.len() as u128, limits.file_bytes.into());
        return Err(Error::Limit { what: "bytes of the file", needed, limit });
    }
    let mut pass = Pass {
        bytes,
        memory: Budget::new("bytes of memory to read the file", limits.memory.into()),
        nodes: Budget::new("nodes", limits.nodes as u128),
        part: None,
        known: (0, 0),
        unread: Vec::new(),
        messages: 0,
        packed: None,
    };
    pass.memory.take(bytes.len() as u128)?;
    pass.message(Kind::Model, 0..bytes.len(), 1)?;
    let unpacked = pass.packed.map(|packed| unpack::bound(bytes.len(), pass.messages, packed));
    Ok(Scan { memory: pass.memory, unread: pass.unread, unpacked })
}

/// A field as it stands in the bytes: its number, how it is written, and where its value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) number: u32,
    pub(super) wire: u8,
    pub(super) value: Range<usize>,
}

/// The number at the beginning of some bytes, and how many it takes.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(VARINT_BYTES).enumerate() {
        if index + 1 == VARINT_BYTES && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((value, index + 1));
        }
    }
    None
}

/// The field at a position of a message that ends at `end`, within the bytes.
pub(super) fn field_at(bytes: &[u8], position: usize, end: usize) -> Result<Raw> {
    let wrong = |why: &str| malformed(format!("at byte {position}: {why}"));
    let number = |from: usize| {
        let (number, length) = varint(bytes.get(from..end)?)?;
        Some((number, from + length))
    };
    let (tag, from) = number(position).ok_or_else(|| wrong("a field's number is cut off or too long"))?;
    let wire = (tag & 7) as u8;
    let number_of_field = u32::try_from(tag >> 3).ok().filter(|&number| number > 0 && number < 1 << 29);
    let field = number_of_field.ok_or_else(|| wrong("a field's number is out of range"))?;
    let (from, to) = match wire {
        0 => (from, number(from).map(|(_, to)| to)),
        1 => (from, from.checked_add(8)),
        2 => match number(from) {
            Some((length, from)) => (from, usize::try_from(length).ok().and_then(|length| from.checked_add(length))),
            None => (from, None),
        },
        5 => (from, from.checked_add(4)),
        3 | 4 => return Err(wrong("groups are not used by the format")),
        _ => return Err(wrong("a field of an unknown wire type")),
    };
    let to = to.filter(|&to| to <= end).ok_or_else(|| wrong("a value is cut off, too long, or leaves its message"))?;
    Ok(Raw { number: field, wire, value: from..to })
}

struct Pass<'a> {
    bytes: &'a [u8],
    memory: Budget,
    nodes: Budget,
    /// The part of the main graph that the pass is in, and how many there were of either kind.
    part: Option<Part>,
    known: (usize, usize),
    unread: Vec<(Part, &'static str)>,
    messages: usize,
    /// Packed numbers where the parser expects one a field.
    packed: Option<usize>,
}

impl Pass<'_> {
    /// The message in a range of the bytes.
    fn message(&mut self, kind: Kind, range: Range<usize>, depth: usize) -> Result<()> {
        if depth > DEPTH {
            return Err(Error::Limit { what: "messages within messages", needed: depth as u128, limit: DEPTH as u128 });
        }
        self.memory.take((GROWTH * kind.size()) as u128)?;
        self.messages += 1;
        let mut position = range.start;
        let mut groups = 0u32;
        while position < range.end {
            let at = position;
            let raw = field_at(self.bytes, at, range.end)?;
            let wrong = |why| malformed(format!("at byte {at}: field {} of {} {why}", raw.number, kind.name()));
            let field = kind.field(raw.number);
            if let Some(group) = field.once {
                if groups >> group & 1 == 1 {
                    return Err(wrong("is there twice, or next to an alternative"));
                }
                groups |= 1 << group;
            }
            position = raw.value.end;
            match (field.form, raw.wire) {
                (Form::Skipped, _)
                | (Form::One(Number::Varint(_)), 0)
                | (Form::One(Number::Fixed4), 5)
                | (Form::One(Number::Fixed8), 1) => {}
                (Form::Refused(what), _) => self.refuse(what)?,
                (Form::Message(inner), 2) => {
                    // The main graph is the message within the model's.
                    let part = (depth == 2).then(|| self.part(inner)).flatten();
                    if inner == Kind::Node {
                        self.nodes.take(1)?;
                    }
                    self.part = part.or(self.part);
                    self.message(inner, raw.value, depth + 1)?;
                    if depth == 2 {
                        self.part = None;
                    }
                }
                (Form::Bytes, 2) => self.memory.take((raw.value.len() + GROWTH * size_of::<String>()) as u128)?,
                (Form::Many(number, packing), wire) => {
                    let many = self.numbers(number, wire, &raw.value).ok_or_else(|| wrong("holds no whole numbers"))?;
                    self.memory.take((GROWTH as u128) * many as u128 * number.size() as u128)?;
                    if wire == 2 && packing == Packing::Unread {
                        self.packed = Some(self.packed.unwrap_or(0) + many);
                    }
                }
                _ => return Err(wrong("is written in another way than the format has it")),
            }
        }
        Ok(())
    }

    /// How many numbers there are in a field of repeated ones, if they are whole.
    fn numbers(&self, number: Number, wire: u8, value: &Range<usize>) -> Option<usize> {
        match (number, wire) {
            (Number::Varint(_), 0) | (Number::Fixed4, 5) | (Number::Fixed8, 1) => Some(1),
            (Number::Fixed4, 2) => value.len().is_multiple_of(4).then_some(value.len() / 4),
            (Number::Fixed8, 2) => value.len().is_multiple_of(8).then_some(value.len() / 8),
            (Number::Varint(_), 2) => {
                let (mut left, mut many) = (self.bytes.get(value.clone())?, 0);
                while !left.is_empty() {
                    let (_, length) = varint(left)?;
                    left = &left[length..];
                    many += 1;
                }
                Some(many)
            }
            _ => None,
        }
    }

    /// The next part of the main graph, if such messages are parts.
    const fn part(&mut self, kind: Kind) -> Option<Part> {
        match kind {
            Kind::Node => {
                self.known.0 += 1;
                Some(Part::Node(self.known.0 - 1))
            }
            Kind::Tensor => {
                self.known.1 += 1;
                Some(Part::Initializer(self.known.1 - 1))
            }
            _ => None,
        }
    }

    /// Notes what the parser does not read, at its place if it has one.
    fn refuse(&mut self, what: &'static str) -> Result<()> {
        let Some(part) = self.part else {
            return Err(Error::UnsupportedPart { part: "the model".into(), why: format!("{what} cannot be read") });
        };
        if self.unread.last().is_none_or(|(last, _)| *last != part) {
            self.memory.take((GROWTH * size_of::<(Part, &str)>()) as u128)?;
            self.unread.push((part, what));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
