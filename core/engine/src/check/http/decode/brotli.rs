//! Brotli (RFC 7932).

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use brotli_decompressor::{
    Allocator, BrotliDecompressStream, BrotliResult, BrotliState, SliceWrapper, SliceWrapperMut,
};

use super::DecodeError;

const NAME: &str = "br";

/// A whole body.
pub(super) struct Brotli {
    state: Box<BrotliState<Heap, Heap, Heap>>,
    ended: bool,
}

impl Brotli {
    pub(super) fn new() -> Self {
        Self {
            state: Box::new(BrotliState::new_strict(Heap, Heap, Heap)),
            ended: false,
        }
    }

    pub(super) fn decode(
        &mut self,
        input: &mut &[u8],
        output: &mut [u8],
    ) -> Result<usize, DecodeError> {
        let (mut read, mut written, mut total) = (0, 0, 0);
        if !self.ended {
            let (mut given, mut room) = (input.len(), output.len());
            let result = BrotliDecompressStream(
                &mut given,
                &mut read,
                input,
                &mut room,
                &mut written,
                output,
                &mut total,
                &mut self.state,
            );
            *input = input.get(read..).unwrap_or_default();
            match result {
                BrotliResult::ResultSuccess => self.ended = true,
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
                BrotliResult::ResultFailure => return Err(DecodeError::Data(NAME)),
            }
        }
        match self.ended && !input.is_empty() {
            true if written == 0 => Err(DecodeError::Excess(NAME)),
            _ => Ok(written),
        }
    }

    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self.ended {
            true => Ok(()),
            false => Err(DecodeError::Truncated(NAME)),
        }
    }
}

/// The decoder's way to memory.
#[derive(Clone, Copy)]
struct Heap;

impl<T: Clone + Default> Allocator<T> for Heap {
    type AllocatedMemory = Memory<T>;

    fn alloc_cell(&mut self, length: usize) -> Memory<T> {
        Memory(vec![T::default(); length])
    }

    fn free_cell(&mut self, _: Memory<T>) {}
}

struct Memory<T>(Vec<T>);

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> SliceWrapper<T> for Memory<T> {
    fn slice(&self) -> &[T] {
        &self.0
    }
}

impl<T> SliceWrapperMut<T> for Memory<T> {
    fn slice_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}
