//! What an evaluation has done so far, and may still do.

use crate::halt::Halt;

/// Bytes of text that are compared or copied about as fast as a value is.
const UNIT: usize = 32;

/// Counts steps: about 20 ns each, and at most [`UNIT`] bytes of memory.
#[derive(Debug)]
pub(crate) struct Meter {
    left: u64,
}

impl Meter {
    pub(crate) const fn new(steps: u64) -> Self {
        Self { left: steps }
    }

    /// Steps that are left.
    pub(crate) const fn left(&self) -> u64 {
        self.left
    }

    /// Takes steps, before what they stand for is done.
    #[inline]
    pub(crate) fn take<'a>(&mut self, steps: usize) -> Result<(), Halt<'a>> {
        match self.left.checked_sub(steps as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                Err(Halt::Beyond)
            }
        }
    }

    /// For a look at a value and, if it is text, so many bytes of it.
    #[inline]
    pub(crate) fn compare<'a>(&mut self, bytes: usize) -> Result<(), Halt<'a>> {
        self.take(1 + bytes / UNIT)
    }

    /// For bytes that are copied.
    #[inline]
    pub(crate) fn copy<'a>(&mut self, bytes: usize) -> Result<(), Halt<'a>> {
        self.take(2 + bytes / UNIT)
    }
}
