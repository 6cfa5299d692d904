//! Numbers of one field, given a field each.
//!
//! The format's definition for older protobuf writes lists one number a field, that for newer protobuf all numbers in one. Readers owe
//! both; the parser reads the first for attributes and shapes. Files of the second kind are written anew, without their large parts
//! being looked at.

use std::ops::Range;

use super::malformed;
use super::schema::{Form, Kind, Number, Packing};
use super::wire::{field_at, varint};
use crate::error::Result;

/// Bytes of a length: as many as the largest needs, so that it is written before it is known.
const LENGTH: usize = 9;

/// The most bytes that are written for a file of some bytes and messages, with so many packed numbers: each gets its field's number,
/// one byte.
pub(super) const fn bound(bytes: usize, messages: usize, packed: usize) -> usize {
    bytes.saturating_add(packed).saturating_add(messages.saturating_mul(LENGTH))
}

/// The bytes of a model that has passed the scan, without packed numbers where the parser does not read them.
pub(super) fn unpacked(bytes: &[u8], bound: usize) -> Result<Vec<u8>> {
    let mut to = Vec::with_capacity(bound);
    message(bytes, Kind::Model, 0..bytes.len(), &mut to)?;
    Ok(to)
}

/// Writes a message, without its length.
fn message(bytes: &[u8], kind: Kind, range: Range<usize>, to: &mut Vec<u8>) -> Result<()> {
    let mut position = range.start;
    while position < range.end {
        let field = field_at(bytes, position, range.end)?;
        let content = || bytes.get(field.value.clone()).ok_or_else(|| malformed("a value leaves the file"));
        match (kind.field(field.number).form, field.wire) {
            (Form::Message(inner), 2) => {
                push(to, u64::from(field.number) << 3 | 2);
                let begin = to.len() + LENGTH;
                to.resize(begin, 0x80);
                message(bytes, inner, field.value.clone(), to)?;
                let length = to.len() - begin;
                for (group, byte) in to[begin - LENGTH..begin].iter_mut().enumerate() {
                    // All groups but the last say that another follows.
                    let more = if group + 1 < LENGTH { 0x80 } else { 0 };
                    *byte = (length >> (7 * group) & 0x7f) as u8 | more;
                }
            }
            (Form::Many(Number::Varint(_), Packing::Unread), 2) => {
                let mut left = content()?;
                while let Some((_, length)) = varint(left).filter(|_| !left.is_empty()) {
                    push(to, u64::from(field.number) << 3);
                    to.extend_from_slice(&left[..length]);
                    left = &left[length..];
                }
            }
            (Form::Many(Number::Fixed4, Packing::Unread), 2) => {
                for number in content()?.as_chunks::<4>().0 {
                    push(to, u64::from(field.number) << 3 | 5);
                    to.extend_from_slice(number);
                }
            }
            _ => to.extend_from_slice(&bytes[position..field.value.end]),
        }
        position = field.value.end;
    }
    Ok(())
}

/// Writes a number in groups of seven bits.
fn push(to: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

#[cfg(test)]
mod tests;
