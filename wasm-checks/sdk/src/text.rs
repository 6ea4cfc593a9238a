//! Sentences about what a peer said.

use alloc::string::String;
use core::fmt::Write as _;

use crate::bindings::probity::check::types::{Finding, Reason};

/// It answered in its protocol, but not what it should.
pub fn unexpected(detail: impl Into<String>) -> Finding {
    finding(Reason::Unexpected, detail)
}

/// What it sent is not its protocol.
pub fn malformed(detail: impl Into<String>) -> Finding {
    finding(Reason::Malformed, detail)
}

/// It wants other credentials.
pub fn denied(detail: impl Into<String>) -> Finding {
    finding(Reason::Denied, detail)
}

/// It says that it cannot serve yet, or any more.
pub fn not_ready(detail: impl Into<String>) -> Finding {
    finding(Reason::NotReady, detail)
}

/// It reports an error of its own.
pub fn server_error(detail: impl Into<String>) -> Finding {
    finding(Reason::ServerError, detail)
}

fn finding(reason: Reason, detail: impl Into<String>) -> Finding {
    Finding {
        reason,
        detail: detail.into(),
    }
}

/// The beginning of what a peer said, for a sentence: what cannot be printed is
/// escaped.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 100;
    let mut text = String::new();
    for byte in bytes.iter().take(SHOWN) {
        let _ = match byte {
            b'\r' => text.write_str("\\r"),
            b'\n' => text.write_str("\\n"),
            0x20..0x7f => text.write_char(char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}"),
        };
    }
    if bytes.len() > SHOWN {
        text.push_str("...");
    }
    text
}

/// At most so many bytes of a text.
pub(crate) fn cut(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
}
