//! What can be wrong with what a peer sends, and the codes of RFC 9113
//! section 7.

use core::fmt;

use super::frame::Kind;
use super::hpack;
use crate::limits::{MAX_H2_CONTROL_FRAMES, MAX_HEAD_BYTES, MAX_HEADERS};

/// Why a peer, or we, gave up a stream or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ErrorCode(pub(crate) u32);

impl ErrorCode {
    pub(crate) const NO_ERROR: Self = Self(0x0);
    pub(crate) const PROTOCOL_ERROR: Self = Self(0x1);
    pub(crate) const FLOW_CONTROL_ERROR: Self = Self(0x3);
    pub(crate) const FRAME_SIZE_ERROR: Self = Self(0x6);
    pub(crate) const REFUSED_STREAM: Self = Self(0x7);
    pub(crate) const COMPRESSION_ERROR: Self = Self(0x9);
    pub(crate) const ENHANCE_YOUR_CALM: Self = Self(0xb);

    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.get(self.0 as usize) {
            Some(name) => f.write_str(name),
            None => write!(f, "error 0x{:x}", self.0),
        }
    }
}

/// The peer does not keep to the protocol, or exceeds a bound of ours. The
/// connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// It does not begin with SETTINGS, but with these bytes, which are no
    /// frame that may come first.
    NotHttp2([u8; 9]),
    /// A frame that exceeds the size we allow.
    FrameTooLarge(Kind, u32),
    /// A frame that is too short or too long for its type.
    FrameLength(Kind, u32),
    /// More padding than payload.
    Padding(Kind),
    /// A frame on a stream where it cannot be: the connection itself, or one
    /// that nobody opened.
    WrongStream(Kind, u32),
    /// Another frame in the middle of a header block.
    Interrupted(Kind),
    /// CONTINUATION of nothing.
    LoneContinuation,
    /// A pushed response, which we have forbidden.
    Pushed,
    /// A setting (RFC 9113 section 6.5.2) with a value that it cannot have.
    Setting(u16, u32),
    /// A window that grows by nothing.
    ZeroIncrement,
    /// A window that is larger than 2^31 - 1 bytes.
    WindowOverflow,
    /// More data than our window allows.
    WindowExceeded,
    /// DATA before the head of the response.
    DataBeforeHead,
    /// A header block that cannot be decompressed.
    Compression(hpack::Error),
    /// A header list, or its compressed form, above [`MAX_HEAD_BYTES`].
    HeadTooLarge,
    /// More fields than [`MAX_HEADERS`].
    TooManyFields,
    /// A header list that is no head or no trailers of a response.
    Head(HeadFault),
    /// More than [`MAX_H2_CONTROL_FRAMES`] frames that carry nothing.
    Flood,
}

/// What is wrong with a header list (RFC 9113 sections 8.1 to 8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFault {
    /// No `:status`, or two.
    Status,
    /// A `:status` that is no number from 100 to 999, or 101.
    StatusValue,
    /// A pseudo-header field that is unknown, or behind the others, or among
    /// trailers.
    Pseudo,
    /// A name that is not one in lower case.
    Name,
    /// A value with control characters.
    Value,
    /// An interim response that ends the stream.
    InterimEnd,
    /// Trailers that do not.
    OpenTrailers,
}

impl Error {
    /// What to tell the peer.
    pub(crate) const fn code(&self) -> ErrorCode {
        match self {
            Self::FrameTooLarge(..) | Self::FrameLength(..) => ErrorCode::FRAME_SIZE_ERROR,
            Self::WindowOverflow | Self::WindowExceeded => ErrorCode::FLOW_CONTROL_ERROR,
            // INITIAL_WINDOW_SIZE, section 6.5.2.
            Self::Setting(0x4, _) => ErrorCode::FLOW_CONTROL_ERROR,
            Self::Compression(_) => ErrorCode::COMPRESSION_ERROR,
            Self::HeadTooLarge | Self::TooManyFields | Self::Flood => ErrorCode::ENHANCE_YOUR_CALM,
            _ => ErrorCode::PROTOCOL_ERROR,
        }
    }

    /// Whether a bound on heads is exceeded, rather than the protocol violated.
    pub(crate) const fn is_head_limit(&self) -> bool {
        matches!(self, Self::HeadTooLarge | Self::TooManyFields)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp2(found) => write!(
                f,
                "expected HTTP/2, which was agreed on, found \"{}\"",
                found.escape_ascii()
            ),
            Self::FrameTooLarge(kind, length) => {
                write!(f, "a {kind} frame of {length} bytes is larger than agreed")
            }
            Self::FrameLength(kind, length) => {
                write!(f, "a {kind} frame cannot have {length} bytes")
            }
            Self::Padding(kind) => write!(f, "a {kind} frame has more padding than payload"),
            Self::WrongStream(kind, stream) => {
                write!(f, "a {kind} frame cannot be on stream {stream}")
            }
            Self::Interrupted(kind) => write!(f, "a {kind} frame is in the middle of a head"),
            Self::LoneContinuation => f.write_str("a CONTINUATION frame does not continue a head"),
            Self::Pushed => f.write_str("a response was pushed, which we do not allow"),
            Self::Setting(id, value) => write!(f, "setting 0x{id:x} cannot be {value}"),
            Self::ZeroIncrement => f.write_str("a WINDOW_UPDATE frame adds nothing"),
            Self::WindowOverflow => f.write_str("a window is larger than 2^31 - 1 bytes"),
            Self::WindowExceeded => f.write_str("more data than the window allows"),
            Self::DataBeforeHead => f.write_str("a DATA frame comes before the response head"),
            Self::Compression(error) => write!(f, "the response head is malformed: {error}"),
            Self::HeadTooLarge => {
                write!(f, "the response head is larger than {MAX_HEAD_BYTES} bytes")
            }
            Self::TooManyFields => {
                write!(f, "the response head has more than {MAX_HEADERS} fields")
            }
            Self::Head(fault) => write!(f, "the response head is malformed: {fault}"),
            Self::Flood => write!(
                f,
                "more than {MAX_H2_CONTROL_FRAMES} frames that carry nothing of an answer"
            ),
        }
    }
}

impl fmt::Display for HeadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status => "expected exactly one :status",
            Self::StatusValue => "expected a :status from 100 to 999 that HTTP/2 has",
            Self::Pseudo => "unexpected pseudo-header field",
            Self::Name => "invalid header name",
            Self::Value => "invalid header value",
            Self::InterimEnd => "an interim response ends the stream",
            Self::OpenTrailers => "trailers do not end the stream",
        })
    }
}
