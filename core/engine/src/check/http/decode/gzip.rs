//! gzip (RFC 1952): members, each a header, a DEFLATE stream, a checksum.

use miniz_oxide::DataFormat;

use super::DecodeError;
use super::inflate::Inflate;

const NAME: &str = "gzip";

/// Flags of a header (RFC 1952 section 2.3.1).
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const FILE_NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;

/// A whole body.
pub(super) struct Gzip {
    part: Part,
    /// Of the header, then of the content.
    crc: Crc,
    /// Bytes of content, modulo 2^32.
    length: u32,
    /// Whether a member has been read to its end.
    complete: bool,
}

/// What comes next.
enum Part {
    /// The fixed part of a header, of which so many bytes were read.
    Fixed { at: u8, flags: u8 },
    /// The length of the extra field, and its first byte if that was read.
    ExtraLength { flags: u8, low: Option<u8> },
    /// So many bytes of the extra field.
    Extra { flags: u8, left: u16 },
    /// A text that ends with a zero: the first one that the flags name.
    Text { flags: u8 },
    /// The checksum of the header, and its first byte if that was read.
    HeaderCrc { low: Option<u8> },
    /// Content.
    Content(Inflate),
    /// The checksum and length of the content.
    Trailer { at: u8, read: [u8; 8] },
}

impl Part {
    const START: Self = Self::Fixed { at: 0, flags: 0 };

    /// What follows in a header in which these flags are still to be obeyed.
    fn after(flags: u8) -> Self {
        if flags & EXTRA != 0 {
            Self::ExtraLength { flags, low: None }
        } else if flags & (FILE_NAME | COMMENT) != 0 {
            Self::Text { flags }
        } else if flags & HEADER_CRC != 0 {
            Self::HeaderCrc { low: None }
        } else {
            Self::Content(Inflate::new(DataFormat::Raw))
        }
    }
}

impl Gzip {
    pub(super) const fn new() -> Self {
        Self {
            part: Part::START,
            crc: Crc::NEW,
            length: 0,
            complete: false,
        }
    }

    pub(super) fn decode(
        &mut self,
        input: &mut &[u8],
        output: &mut [u8],
    ) -> Result<usize, DecodeError> {
        loop {
            if let Part::Content(stream) = &mut self.part {
                let written = stream.decode(input, output, NAME)?;
                if stream.ended() {
                    self.part = Part::Trailer {
                        at: 0,
                        read: [0; 8],
                    };
                }
                if written > 0 {
                    let content = output.get(..written).unwrap_or_default();
                    self.crc.update(content);
                    self.length = self.length.wrapping_add(written as u32);
                    return Ok(written);
                }
            }
            let Some((byte, rest)) = input.split_first() else {
                return Ok(0);
            };
            *input = rest;
            self.framing(*byte)?;
        }
    }

    /// Takes a byte that is not content.
    fn framing(&mut self, byte: u8) -> Result<(), DecodeError> {
        let is_crc = matches!(self.part, Part::HeaderCrc { .. } | Part::Trailer { .. });
        let header = self.crc;
        if !is_crc {
            self.crc.update(&[byte]);
        }
        match &mut self.part {
            Part::Fixed { at, flags } => {
                let wrong = match at {
                    0 => byte != 0x1f,
                    1 => byte != 0x8b,
                    2 => byte != 8,
                    _ => false,
                };
                if wrong {
                    return Err(DecodeError::Header(NAME));
                }
                if *at == 3 {
                    *flags = byte;
                }
                *at += 1;
                if *at == 10 {
                    let flags = *flags;
                    self.next(flags);
                }
            }
            Part::ExtraLength { low, .. } if low.is_none() => *low = Some(byte),
            Part::ExtraLength { flags, low } => {
                let left = u16::from_le_bytes([low.unwrap_or(0), byte]);
                let flags = *flags & !EXTRA;
                match left {
                    0 => self.next(flags),
                    left => self.part = Part::Extra { flags, left },
                }
            }
            Part::Extra { left: 1, flags } => {
                let flags = *flags;
                self.next(flags);
            }
            Part::Extra { left, .. } => *left -= 1,
            Part::Text { flags } if byte == 0 => {
                let flags = *flags;
                let first = match flags & FILE_NAME {
                    0 => COMMENT,
                    first => first,
                };
                self.next(flags & !first);
            }
            Part::Text { .. } => {}
            Part::HeaderCrc { low } if low.is_none() => *low = Some(byte),
            Part::HeaderCrc { low } => {
                let said = u16::from_le_bytes([low.unwrap_or(0), byte]);
                // The lower half of the whole header's.
                if said != header.value() as u16 {
                    return Err(DecodeError::Checksum(NAME));
                }
                self.next(0);
            }
            // It takes what is there, and has not ended.
            Part::Content(_) => return Err(DecodeError::Data(NAME)),
            Part::Trailer { at, read } => {
                if let Some(place) = read.get_mut(usize::from(*at)) {
                    *place = byte;
                }
                *at += 1;
                if *at == 8 {
                    let said = u64::from_le_bytes(*read);
                    let found = u64::from(self.length) << 32 | u64::from(self.crc.value());
                    if said != found {
                        return Err(DecodeError::Checksum(NAME));
                    }
                    *self = Self {
                        complete: true,
                        ..Self::new()
                    };
                }
            }
        }
        Ok(())
    }

    fn next(&mut self, flags: u8) {
        self.part = Part::after(flags);
        if matches!(self.part, Part::Content(_)) {
            self.crc = Crc::NEW;
        }
    }

    /// Whether the first header has been read.
    pub(super) const fn has_begun(&self) -> bool {
        self.complete || matches!(self.part, Part::Content(_) | Part::Trailer { .. })
    }

    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self.part {
            Part::Fixed { at: 0, .. } if self.complete => Ok(()),
            _ => Err(DecodeError::Truncated(NAME)),
        }
    }
}

/// CRC-32 as gzip has it (RFC 1952 section 8).
#[derive(Clone, Copy)]
struct Crc(u32);

impl Crc {
    const NEW: Self = Self(!0);

    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut value = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                let carry = if value & 1 == 1 { 0xedb8_8320 } else { 0 };
                value = value >> 1 ^ carry;
                bit += 1;
            }
            table[byte] = value;
            byte += 1;
        }
        table
    };

    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let [index, ..] = (self.0 ^ u32::from(*byte)).to_le_bytes();
            self.0 = self.0 >> 8 ^ Self::TABLE[usize::from(index)];
        }
    }

    const fn value(self) -> u32 {
        !self.0
    }
}
