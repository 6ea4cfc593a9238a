//! Header lists, as they were decompressed.

use alloc::vec::Vec;

use super::error::HeadFault;

/// Names and values, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
    /// Where each name and each value ends.
    ends: Vec<(u32, u32)>,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        let middle = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        self.ends.push((middle, self.bytes.len() as u32));
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all names and values.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// All of them, pseudo-header fields included.
    pub(super) fn all(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut from = 0;
        self.ends.iter().map(move |(middle, end)| {
            let (middle, end) = (*middle as usize, *end as usize);
            let name = &self.bytes[from..middle];
            from = end;
            (name, &self.bytes[middle..end])
        })
    }

    /// Names and values without the pseudo-header fields. That names are
    /// text was found when the list was.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.all().filter_map(|(name, value)| match name {
            [b':', ..] => None,
            name => Some((core::str::from_utf8(name).ok()?, value)),
        })
    }

    /// Reads a list as the head of a response, and gives its status code.
    pub(super) fn head(&self) -> Result<u16, HeadFault> {
        let mut status = None;
        let mut regular = false;
        for (name, value) in self.all() {
            match name {
                b":status" if regular => return Err(HeadFault::Pseudo),
                b":status" if status.is_some() => return Err(HeadFault::Status),
                b":status" => status = Some(status_code(value)?),
                [b':', ..] => return Err(HeadFault::Pseudo),
                name => regular_field(name, value)?,
            }
            regular |= !name.starts_with(b":");
        }
        status.ok_or(HeadFault::Status)
    }

    /// Checks that a list can be trailers.
    pub(super) fn trailers(&self) -> Result<(), HeadFault> {
        self.all().try_for_each(|(name, value)| match name {
            [b':', ..] => Err(HeadFault::Pseudo),
            name => regular_field(name, value),
        })
    }
}

fn status_code(value: &[u8]) -> Result<u16, HeadFault> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(*byte - b'0'));
    let [a, b, c] = value else {
        return Err(HeadFault::StatusValue);
    };
    match (digit(a), digit(b), digit(c)) {
        // RFC 9113 section 8.6: there is nothing to switch to.
        (Some(1), Some(0), Some(1)) => Err(HeadFault::StatusValue),
        (Some(a @ 1..), Some(b), Some(c)) => Ok(a * 100 + b * 10 + c),
        _ => Err(HeadFault::StatusValue),
    }
}

/// RFC 9113 section 8.2.1. Fields that HTTP/2 forbids because they are about
/// a connection (section 8.2.2) mean nothing and are let through, as by Go.
fn regular_field(name: &[u8], value: &[u8]) -> Result<(), HeadFault> {
    let in_name = |byte: &u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(byte)
    };
    if name.is_empty() || !name.iter().all(in_name) {
        return Err(HeadFault::Name);
    }
    if value
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        return Err(HeadFault::Value);
    }
    Ok(())
}
