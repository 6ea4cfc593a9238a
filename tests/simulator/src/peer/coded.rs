//! Bodies in content codings (RFC 9110 section 8.4.1), and what is wrong with
//! some.

use miniz_oxide::deflate::compress_to_vec;

use super::{Behaviour, Script, Step, http};

/// A coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// Raw, without zlib's frame: what blackbox_exporter calls `deflate`.
    Deflate,
    /// RFC 7932.
    Brotli,
}

impl Coding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Deflate, Self::Brotli];

    /// As `compression` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
        }
    }

    /// Codes `content`.
    pub fn code(self, content: &[u8]) -> Vec<u8> {
        match self {
            Self::Gzip => gzip(content),
            Self::Deflate => compress_to_vec(content, 6),
            Self::Brotli => brotli(content),
        }
    }

    /// A few bytes that stand for at least 4 MiB.
    pub fn bomb(self) -> Vec<u8> {
        match self {
            Self::Gzip | Self::Deflate => self.code(&vec![0; 4 << 20]),
            // As the reference encoder writes it.
            Self::Brotli => vec![
                0x9b, 0xff, 0xff, 0x3f, 0xf8, 0x27, 0x00, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x07,
            ],
        }
    }
}

/// One member without optional parts.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    bytes.extend(compress_to_vec(content, 6));
    bytes.extend(crc(content).to_le_bytes());
    bytes.extend((content.len() as u32).to_le_bytes());
    bytes
}

/// RFC 1952 section 8, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
            1 => crc >> 1 ^ 0xedb8_8320,
            _ => crc >> 1,
        })
    };
    !bytes.iter().fold(!0, step)
}

/// Meta-blocks that are not compressed (RFC 7932 section 9.2), with a window
/// of 64 KiB.
fn brotli(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, block) in content.chunks(1 << 16).enumerate() {
        // The window's one bit is in front of the first block alone.
        let shift = u32::from(number == 0);
        let length = (block.len() - 1) as u32;
        let header = (length << 3 | 1 << 19) << shift;
        bytes.extend(&header.to_le_bytes()[..3]);
        bytes.extend(block);
    }
    // The last block, which is empty.
    bytes.push(if content.is_empty() { 0b110 } else { 0b11 });
    bytes
}

/// A server that answers every request with this body, whole and with its
/// length.
pub fn answering(coding: Coding, body: &[u8]) -> Behaviour {
    http::answering(response(coding, body))
}

/// The same, in chunks of this size (RFC 9112 section 7.1).
pub fn chunked(coding: Coding, body: &[u8], size: usize) -> Behaviour {
    let name = coding.name();
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {name}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for chunk in body.chunks(size) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    http::answering(bytes)
}

/// A server whose body ends with the connection, after these bytes.
pub fn closing(coding: Coding, body: &[u8]) -> Behaviour {
    let name = coding.name();
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {name}\r\n\r\n").into_bytes();
    bytes.extend(body);
    let script = Script::new([Step::Send(bytes.into()), Step::Close]);
    http::Site::new(script).serve()
}

fn response(coding: Coding, body: &[u8]) -> Vec<u8> {
    let (name, length) = (coding.name(), body.len());
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: {name}\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes();
    bytes.extend(body);
    bytes
}
