//! DEFLATE (RFC 1951), alone or in its zlib wrapper (RFC 1950).

use alloc::boxed::Box;

use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use super::DecodeError;

const NAME: &str = "deflate";

/// One DEFLATE stream.
pub(super) struct Inflate {
    state: Box<InflateState>,
    ended: bool,
}

impl Inflate {
    pub(super) fn new(format: DataFormat) -> Self {
        Self {
            state: InflateState::new_boxed(format),
            ended: false,
        }
    }

    /// Whether the last block has been written out.
    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    /// See [`super::Decoder::decode`]; what follows the end is left alone.
    pub(super) fn decode(
        &mut self,
        input: &mut &[u8],
        output: &mut [u8],
        name: &'static str,
    ) -> Result<usize, DecodeError> {
        while !self.ended {
            let result = inflate(&mut self.state, input, output, MZFlush::None);
            *input = input.get(result.bytes_consumed..).unwrap_or_default();
            match result.status {
                Ok(MZStatus::StreamEnd) => self.ended = true,
                Ok(_) => {}
                // It waits for input.
                Err(MZError::Buf) if result.bytes_consumed == 0 => return Ok(result.bytes_written),
                Err(_) => return Err(DecodeError::Data(name)),
            }
            if result.bytes_written > 0 {
                return Ok(result.bytes_written);
            }
            if result.bytes_consumed == 0 && !self.ended {
                break;
            }
        }
        Ok(0)
    }
}

/// A whole body.
pub(super) enum Deflate {
    /// So much is there of the two bytes that tell whether it is wrapped.
    Begin(Option<u8>),
    Stream(Inflate),
}

impl Deflate {
    pub(super) const fn new() -> Self {
        Self::Begin(None)
    }

    pub(super) fn decode(
        &mut self,
        input: &mut &[u8],
        output: &mut [u8],
    ) -> Result<usize, DecodeError> {
        while let Self::Begin(first) = self {
            let Some((byte, rest)) = input.split_first() else {
                return Ok(0);
            };
            let Some(first) = *first else {
                *self = Self::Begin(Some(*byte));
                *input = rest;
                continue;
            };
            let mut stream = Inflate::new(format(first, *byte));
            // Too little for anything to come out.
            stream.decode(&mut &[first][..], output, NAME)?;
            *self = Self::Stream(stream);
        }
        let Self::Stream(stream) = self else {
            return Ok(0);
        };
        let written = stream.decode(input, output, NAME)?;
        if stream.ended() {
            // Go reads no further than the last block either.
            *input = &[];
        }
        Ok(written)
    }

    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self {
            Self::Stream(stream) if stream.ended() => Ok(()),
            _ => Err(DecodeError::Truncated(NAME)),
        }
    }
}

/// Whether the first two bytes are the header of a zlib stream: method 8, a
/// window of at most 32 KiB, and divisible by 31. As the beginning of bare
/// DEFLATE they would be a stored block whose padding is not zero, which no
/// encoder writes.
fn format(first: u8, second: u8) -> DataFormat {
    let wrapped = first & 0x0f == 8
        && first >> 4 <= 7
        && u16::from_be_bytes([first, second]).is_multiple_of(31);
    match wrapped {
        true => DataFormat::Zlib,
        false => DataFormat::Raw,
    }
}
