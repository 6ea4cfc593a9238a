//! The way of a body to the socket: optional compression, then pieces of a
//! bounded size.
//!
//! `Encoder -> Body -> Chunks`: memory stays at a few pieces however large the
//! fleet is (one protobuf family aside, see [`super::encoder`]), and the pace
//! is the reader's, since the closure behind [`Chunks`] may block.

use std::fmt;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::format::Encoding;

/// Bytes of one piece handed to the closure of [`Chunks`].
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Level 1: series text shrinks twentyfold already, and a scrape should cost
/// the prober little.
const GZIP_LEVEL: u32 = 1;

/// Applies a content coding on the way to `W`.
#[derive(Debug)]
pub enum Body<W: Write> {
    /// Passes through.
    Identity(W),
    /// One gzip member (RFC 1952).
    Gzip(Box<GzEncoder<W>>),
}

impl<W: Write> Body<W> {
    /// A body in `encoding` that ends up in `sink`.
    pub fn new(encoding: Encoding, sink: W) -> Self {
        match encoding {
            Encoding::Identity => Self::Identity(sink),
            Encoding::Gzip => {
                let level = Compression::new(GZIP_LEVEL);
                Self::Gzip(Box::new(GzEncoder::new(sink, level)))
            }
        }
    }

    /// Writes the trailer and hands back the sink.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Identity(sink) => Ok(sink),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Body<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Identity(sink) => sink.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Identity(sink) => sink.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }
}

/// Gathers bytes into pieces of [`CHUNK_BYTES`] and hands each to a closure,
/// which typically sends it into a bounded channel and blocks while that is
/// full. An error of the closure (the client has gone) ends the encoding.
pub struct Chunks<F> {
    chunk: Vec<u8>,
    send: F,
}

impl<F: FnMut(Vec<u8>) -> io::Result<()>> Chunks<F> {
    /// Nothing is allocated before the first byte.
    pub fn new(send: F) -> Self {
        Self {
            chunk: Vec::new(),
            send,
        }
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// Those of the closure.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()
    }
}

impl<F: FnMut(Vec<u8>) -> io::Result<()>> Write for Chunks<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.capacity() == 0 {
            self.chunk.reserve_exact(CHUNK_BYTES);
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        (self.send)(std::mem::take(&mut self.chunk))
    }
}

impl<F> fmt::Debug for Chunks<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks")
            .field("pending", &self.chunk.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn sample_text() -> Vec<u8> {
        (0..20_000)
            .flat_map(|i| format!("probe_success{{instance=\"10.0.0.{i}\"}} 1\n").into_bytes())
            .collect()
    }

    fn send(encoding: Encoding, text: &[u8]) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let mut body = Body::new(
            encoding,
            Chunks::new(|piece| {
                pieces.push(piece);
                Ok(())
            }),
        );
        for part in text.chunks(1000) {
            body.write_all(part).unwrap();
        }
        body.finish().unwrap().finish().unwrap();
        pieces
    }

    #[test]
    fn pieces_are_full_but_the_last_and_carry_every_byte() {
        let text = sample_text();
        let pieces = send(Encoding::Identity, &text);
        let (last, full) = pieces.split_last().unwrap();
        assert!(full.iter().all(|piece| piece.len() == CHUNK_BYTES));
        assert!(!last.is_empty() && last.len() <= CHUNK_BYTES);
        assert_eq!(pieces.concat(), text);
    }

    #[test]
    fn gzip_shrinks_the_text_and_reads_back() {
        let text = sample_text();
        let packed = send(Encoding::Gzip, &text).concat();
        assert!(
            packed.len() * 5 < text.len(),
            "{} of {}",
            packed.len(),
            text.len()
        );
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_end(&mut back)
            .unwrap();
        assert_eq!(back, text);
    }

    #[test]
    fn a_reader_that_has_gone_ends_the_writing() {
        let mut sent = 0;
        let mut chunks = Chunks::new(|_| {
            sent += 1;
            Err(io::ErrorKind::BrokenPipe.into())
        });
        let error = chunks.write_all(&sample_text()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        drop(chunks);
        assert_eq!(sent, 1);
    }
}
