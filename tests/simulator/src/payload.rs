//! Bytes under way. Cloning and cutting share them.

use std::sync::Arc;

/// A part of some bytes.
#[derive(Clone, Debug)]
pub struct Payload {
    bytes: Bytes,
    start: usize,
    end: usize,
}

#[derive(Clone, Debug)]
enum Bytes {
    Static(&'static [u8]),
    Shared(Arc<[u8]>),
}

impl Payload {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        let bytes = match &self.bytes {
            Bytes::Static(bytes) => bytes,
            Bytes::Shared(bytes) => &bytes[..],
        };
        &bytes[self.start..self.end]
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cuts the first `count` bytes off, or all that there are.
    #[must_use]
    pub fn split_to(&mut self, count: usize) -> Self {
        let middle = self.start + count.min(self.len());
        let mut head = self.clone();
        head.end = middle;
        self.start = middle;
        head
    }
}

impl From<&'static [u8]> for Payload {
    fn from(bytes: &'static [u8]) -> Self {
        let end = bytes.len();
        Self {
            bytes: Bytes::Static(bytes),
            start: 0,
            end,
        }
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Self {
        text.as_bytes().into()
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self {
            bytes: Bytes::Shared(bytes.into()),
            start: 0,
            end,
        }
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}
