//! Header compression: RFC 7541.
//!
//! The encoder has no state: a field is an index into the static table or a
//! literal that is never indexed, so that nobody on the way indexes it either.
//! What people configure may be a secret.

mod huffman;
mod table;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt;

use self::table::{Dynamic, OVERHEAD, STATIC};
use super::fields::Fields;
use crate::limits::{MAX_HEAD_BYTES, MAX_HEADERS};

/// Bytes of the dynamic table: what a peer may count on before it has read a
/// setting, so that none has to be sent.
const TABLE_BYTES: usize = 4_096;

/// Why a header block cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// It ends in the middle of a field.
    Truncated,
    /// A number that is too large to be one.
    Number,
    /// An index that no field has.
    Index(usize),
    /// Text that is not Huffman-coded as it says.
    Huffman,
    /// The table is to be larger than we allow.
    TableSize(usize),
    /// The size of the table changes behind a field.
    LateTableSize,
    /// More than [`MAX_HEAD_BYTES`], counted as SETTINGS_MAX_HEADER_LIST_SIZE
    /// counts.
    ListTooLarge,
    /// More fields than [`MAX_HEADERS`].
    TooManyFields,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("it ends in the middle of a field"),
            Self::Number => f.write_str("a compressed number is too large"),
            Self::Index(index) => write!(f, "no field has the index {index}"),
            Self::Huffman => f.write_str("text is not in the Huffman code"),
            Self::TableSize(size) => write!(
                f,
                "a table of {size} bytes is larger than the {TABLE_BYTES} that are allowed"
            ),
            Self::LateTableSize => f.write_str("the table is resized behind a field"),
            Self::ListTooLarge => write!(f, "it is larger than {MAX_HEAD_BYTES} bytes"),
            Self::TooManyFields => write!(f, "it has more than {MAX_HEADERS} fields"),
        }
    }
}

/// The decompressing half of a connection.
#[derive(Debug)]
pub(super) struct Decoder {
    table: Dynamic,
    /// Room for one name and one value.
    text: Vec<u8>,
}

impl Decoder {
    pub(super) const fn new() -> Self {
        Self {
            table: Dynamic::new(TABLE_BYTES),
            text: Vec::new(),
        }
    }

    /// Decompresses a whole block into `fields`. After an error the decoder
    /// is of no more use.
    pub(super) fn decode(&mut self, block: &[u8], fields: &mut Fields) -> Result<(), Error> {
        fields.clear();
        let mut block = Block(block);
        let mut size = 0;
        while let Some(first) = block.0.first().copied() {
            match first {
                // Section 6.1: an indexed field.
                0x80.. => {
                    let index = block.number(7)?;
                    let (name, value) = self.lookup(index)?;
                    size += name.len() + value.len() + OVERHEAD;
                    bounded(size, fields)?;
                    fields.push(name, value);
                }
                // Section 6.2.1: a literal, to be added to the table.
                0x40..=0x7f => size = self.literal(&mut block, 6, size, fields)?,
                // Section 6.3.
                0x20..=0x3f if fields.is_empty() => {
                    let size = block.number(5)?;
                    if size > TABLE_BYTES {
                        return Err(Error::TableSize(size));
                    }
                    self.table.resize(size);
                }
                0x20..=0x3f => return Err(Error::LateTableSize),
                // Sections 6.2.2 and 6.2.3: a literal; never indexed or not is
                // all the same to its last reader.
                ..=0x1f => size = self.literal(&mut block, 4, size, fields)?,
            }
        }
        Ok(())
    }

    /// Reads a literal with an index of `prefix` bits; those of six bits go
    /// into the table. Gives the size of the list with it.
    fn literal(
        &mut self,
        block: &mut Block<'_>,
        prefix: u8,
        size: usize,
        fields: &mut Fields,
    ) -> Result<usize, Error> {
        let mut text = core::mem::take(&mut self.text);
        text.clear();
        match block.number(prefix)? {
            0 => block.text(&mut text)?,
            index => text.extend_from_slice(self.lookup(index)?.0),
        }
        let middle = text.len();
        block.text(&mut text)?;
        let size = size + text.len() + OVERHEAD;
        bounded(size, fields)?;
        let (name, value) = text.split_at(middle);
        fields.push(name, value);
        if prefix == 6 {
            self.table.insert(name, value);
        }
        self.text = text;
        Ok(size)
    }

    /// Section 2.3.3: the static table comes first.
    fn lookup(&self, index: usize) -> Result<(&[u8], &[u8]), Error> {
        let found = match index.checked_sub(1).ok_or(Error::Index(0))? {
            at if at < STATIC.len() => {
                let (name, value) = STATIC[at];
                Some((name.as_bytes(), value.as_bytes()))
            }
            at => self.table.get(at - STATIC.len()),
        };
        found.ok_or(Error::Index(index))
    }
}

/// Whether a list of `size` bytes may have one more field than `fields`.
fn bounded(size: usize, fields: &Fields) -> Result<(), Error> {
    if size > MAX_HEAD_BYTES {
        Err(Error::ListTooLarge)
    } else if fields.len() >= MAX_HEADERS {
        Err(Error::TooManyFields)
    } else {
        Ok(())
    }
}

/// What is left of a header block.
struct Block<'a>(&'a [u8]);

impl<'a> Block<'a> {
    fn byte(&mut self) -> Result<u8, Error> {
        let (byte, rest) = self.0.split_first().ok_or(Error::Truncated)?;
        self.0 = rest;
        Ok(*byte)
    }

    /// Section 5.1: a number of which the first `prefix` bits are in the next
    /// byte. Larger ones than any that is allowed here are an error.
    fn number(&mut self, prefix: u8) -> Result<usize, Error> {
        let full = (1_usize << prefix) - 1;
        let mut number = usize::from(self.byte()?) & full;
        if number < full {
            return Ok(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Error::Number)
    }

    /// Section 5.2: appends a string.
    fn text(&mut self, text: &mut Vec<u8>) -> Result<(), Error> {
        let coded = self.0.first().is_some_and(|byte| byte & 0x80 != 0);
        let length = self.number(7)?;
        let (found, rest): (&'a [u8], _) =
            self.0.split_at_checked(length).ok_or(Error::Truncated)?;
        self.0 = rest;
        if coded {
            huffman::decode(found, text).map_err(|huffman::Invalid| Error::Huffman)
        } else {
            text.extend_from_slice(found);
            Ok(())
        }
    }
}

/// Appends a field in its compressed form, its name in lower case.
pub(super) fn encode(name: &str, value: &[u8], out: &mut Vec<u8>) {
    let known = |(field, _): &&(&str, &str)| field.eq_ignore_ascii_case(name);
    let position = |found: &dyn Fn(&(&str, &str)) -> bool| STATIC.iter().position(found);
    if let Some(at) = position(&|field| known(&field) && field.1.as_bytes() == value) {
        return number(at + 1, 7, 0x80, out);
    }
    match position(&|field| known(&field)) {
        Some(at) => number(at + 1, 4, NEVER_INDEXED, out),
        None => {
            number(0, 4, NEVER_INDEXED, out);
            number(name.len(), 7, 0, out);
            out.extend(name.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
    }
    number(value.len(), 7, 0, out);
    out.extend_from_slice(value);
}

/// Section 6.2.3.
const NEVER_INDEXED: u8 = 0x10;

/// Appends a number behind the bits of `first` (section 5.1).
fn number(number: usize, prefix: u8, first: u8, out: &mut Vec<u8>) {
    let full = (1_usize << prefix) - 1;
    if number < full {
        return out.push(first | number as u8);
    }
    out.push(first | full as u8);
    let mut rest = number - full;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
