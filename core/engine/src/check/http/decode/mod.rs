//! Decoding of response bodies: gzip, DEFLATE and Brotli as state machines
//! that are given bytes as they arrive.
//!
//! Each holds a window and its tables: 43 KiB for gzip and DEFLATE, for Brotli
//! what the body asks for, at most 16 MiB and some tables (RFC 7932 section
//! 9.1; "large window" Brotli is refused). What comes out goes through a piece
//! of stack, and how much of it is wanted is the caller's business.

mod brotli;
mod gzip;
mod inflate;

use core::fmt;

use self::brotli::Brotli;
use self::gzip::Gzip;
use self::inflate::Deflate;

/// A coding of bodies that a module may ask for with `compression`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// RFC 1952, concatenated members included.
    Gzip,
    /// What blackbox_exporter calls so: RFC 1951 without the wrapper of RFC
    /// 9110 section 8.4.1.2, which is accepted too.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// None.
    Identity,
    /// It is none of these: every probe fails.
    Unsupported,
}

impl Coding {
    /// The coding that `compression` names, in any case.
    pub(super) fn named(name: &str) -> Self {
        let known = [
            ("gzip", Self::Gzip),
            ("deflate", Self::Deflate),
            ("br", Self::Brotli),
            ("identity", Self::Identity),
        ];
        known
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(Self::Unsupported, |(_, coding)| coding)
    }

    /// Whether bodies are decoded.
    pub(super) const fn decodes(self) -> bool {
        !matches!(self, Self::Identity | Self::Unsupported)
    }

    /// What decodes a body, if anything has to.
    pub(super) fn decoder(self) -> Option<Decoder> {
        match self {
            Self::Gzip => Some(Decoder(Machine::Gzip(Gzip::new()))),
            Self::Deflate => Some(Decoder(Machine::Deflate(Deflate::new()))),
            Self::Brotli => Some(Decoder(Machine::Brotli(Brotli::new()))),
            Self::Identity | Self::Unsupported => None,
        }
    }
}

/// A body that is being decoded.
pub(super) struct Decoder(Machine);

enum Machine {
    Gzip(Gzip),
    Deflate(Deflate),
    Brotli(Brotli),
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Machine::Gzip(_) => "Gzip",
            Machine::Deflate(_) => "Deflate",
            Machine::Brotli(_) => "Brotli",
        })
    }
}

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// It does not begin as it should.
    Header(&'static str),
    /// What follows makes no sense.
    Data(&'static str),
    /// Its checksum or length is wrong.
    Checksum(&'static str),
    /// It ends too early.
    Truncated(&'static str),
    /// Something follows its end.
    Excess(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(coding) => write!(f, "expected a body in {coding}, found something else"),
            Self::Data(coding) => write!(f, "the body is not valid {coding}"),
            Self::Checksum(coding) => write!(f, "the {coding} checksum of the body is wrong"),
            Self::Truncated(coding) => write!(f, "the body ends in the middle of its {coding}"),
            Self::Excess(coding) => write!(f, "something follows the end of the body's {coding}"),
        }
    }
}

impl Decoder {
    /// Takes bytes off the front of `input` and writes what they stand for.
    /// Returns how much was written: nothing only if all input is used up.
    pub(super) fn decode(
        &mut self,
        input: &mut &[u8],
        output: &mut [u8],
    ) -> Result<usize, DecodeError> {
        match &mut self.0 {
            Machine::Gzip(gzip) => gzip.decode(input, output),
            Machine::Deflate(deflate) => deflate.decode(input, output),
            Machine::Brotli(brotli) => brotli.decode(input, output),
        }
    }

    /// What a byte of input costs, counted in bytes of output, though nothing
    /// comes out: headers of members and blocks have tables built from them.
    pub(super) const fn weight(&self) -> usize {
        match self.0 {
            Machine::Gzip(_) | Machine::Deflate(_) => 16,
            Machine::Brotli(_) => 64,
        }
    }

    /// Whether what it decodes can be looked at: in Go a reader of gzip is one
    /// only when it has read a header, the others are from the beginning.
    pub(super) const fn has_begun(&self) -> bool {
        match &self.0 {
            Machine::Gzip(gzip) => gzip.has_begun(),
            Machine::Deflate(_) | Machine::Brotli(_) => true,
        }
    }

    /// Whether what came so far may be all: the body is over.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match &self.0 {
            Machine::Gzip(gzip) => gzip.finish(),
            Machine::Deflate(deflate) => deflate.finish(),
            Machine::Brotli(brotli) => brotli.finish(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
