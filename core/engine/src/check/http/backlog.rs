//! What a run has been given while it is busy with what came before.

use alloc::vec::Vec;

use crate::io::Closed;

/// In the order in which it is looked at.
#[derive(Debug)]
pub(super) struct Backlog {
    /// A piece of the body, of which the decoder has taken some.
    piece: Vec<u8>,
    taken: usize,
    /// What came on the connection after it.
    pub(super) bytes: Vec<u8>,
    /// How the connection ended, if it has.
    pub(super) closed: Option<Closed>,
}

impl Backlog {
    pub(super) fn new(piece: &[u8], bytes: &[u8]) -> Self {
        Self {
            piece: piece.into(),
            taken: 0,
            bytes: bytes.into(),
            closed: None,
        }
    }

    /// What is left of the piece.
    pub(super) fn piece(&self) -> &[u8] {
        self.piece.get(self.taken..).unwrap_or_default()
    }

    /// Only so much of the piece is left.
    pub(super) const fn keep(&mut self, left: usize) {
        self.taken = self.piece.len() - left;
    }

    /// Bytes held.
    pub(super) const fn len(&self) -> usize {
        self.piece.len() + self.bytes.len()
    }
}
