//! Frames: RFC 9113 sections 4 and 6.

use alloc::vec::Vec;
use core::fmt;

/// Bytes of a frame's header.
pub(super) const HEADER_BYTES: usize = 9;

/// DATA, HEADERS: nothing follows on this stream.
pub(super) const END_STREAM: u8 = 0x1;
/// SETTINGS, PING: an answer.
pub(super) const ACK: u8 = 0x1;
/// HEADERS, CONTINUATION: the header block is complete.
pub(super) const END_HEADERS: u8 = 0x4;
/// DATA, HEADERS: the payload begins with the length of its padding.
pub(super) const PADDED: u8 = 0x8;
/// HEADERS: fields of the deprecated priority scheme come first.
pub(super) const PRIORITY: u8 = 0x20;

/// Type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    Headers,
    Priority,
    ResetStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// An extension, to be ignored.
    Unknown(u8),
}

impl Kind {
    const fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::ResetStream,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            other => Self::Unknown(other),
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Headers => 1,
            Self::Priority => 2,
            Self::ResetStream => 3,
            Self::Settings => 4,
            Self::PushPromise => 5,
            Self::Ping => 6,
            Self::GoAway => 7,
            Self::WindowUpdate => 8,
            Self::Continuation => 9,
            Self::Unknown(byte) => byte,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "DATA",
            Self::Headers => "HEADERS",
            Self::Priority => "PRIORITY",
            Self::ResetStream => "RST_STREAM",
            Self::Settings => "SETTINGS",
            Self::PushPromise => "PUSH_PROMISE",
            Self::Ping => "PING",
            Self::GoAway => "GOAWAY",
            Self::WindowUpdate => "WINDOW_UPDATE",
            Self::Continuation => "CONTINUATION",
            Self::Unknown(byte) => return write!(f, "0x{byte:02x}"),
        })
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the payload: 24 bits.
    pub(super) length: u32,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// 31 bits; 0 is the connection itself.
    pub(super) stream: u32,
}

impl Header {
    pub(super) const fn parse(bytes: [u8; HEADER_BYTES]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind: Kind::of(kind),
            flags,
            stream: unsigned31([s0, s1, s2, s3]),
        }
    }

    pub(super) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A number of 31 bits; the one before it is reserved and ignored.
pub(super) const fn unsigned31(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & 0x7fff_ffff
}

/// Appends a frame.
pub(super) fn write(out: &mut Vec<u8>, kind: Kind, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&header(kind, flags, stream, payload.len()));
    out.extend_from_slice(payload);
}

/// What goes before a payload of `length` bytes.
pub(super) fn header(kind: Kind, flags: u8, stream: u32, length: usize) -> [u8; 9] {
    let [_, l0, l1, l2] = (length as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    [l0, l1, l2, kind.byte(), flags, s0, s1, s2, s3]
}
