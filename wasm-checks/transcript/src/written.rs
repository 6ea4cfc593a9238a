//! Events and actions as lines of a transcript.

use std::fmt::{self, Write as _};

use crate::{Action, Close, Event, Verdict};

/// Bytes that are shown of a message in a sentence.
const SHOWN: usize = 200;

/// As it stands in a transcript, without the end of the line. `connected` has no
/// line of its own: it writes nothing.
impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => Ok(()),
            Self::Data(bytes) => write!(f, "< {}", Bytes(bytes)),
            Self::Secured => f.write_str("secured"),
            Self::Timer(id) => write!(f, "timer {id}"),
            Self::Closed(close) => {
                let how = match close {
                    Close::End => "end",
                    Close::Reset => "reset",
                    Close::Lost => "lost",
                };
                write!(f, "closed {how}")
            }
        }
    }
}

/// As it stands in a transcript, without the end of the line.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(bytes) => write!(f, "> {}", Bytes(bytes)),
            Self::StartTls => f.write_str("start-tls"),
            Self::SetTimer(id, after) => write!(f, "set-timer {id} {}", after.as_millis()),
            Self::Mark(phase) => write!(f, "mark {phase}"),
            Self::Sample {
                metric,
                value,
                labels,
            } => {
                write!(f, "sample {metric} {value}")?;
                let mut labels = labels.iter();
                labels.try_for_each(|label| write!(f, " {}", Bytes(label.as_bytes())))
            }
            Self::Log(text) => write!(f, "log {}", Bytes(text.as_bytes())),
            Self::Done(verdict) => write!(f, "{verdict}"),
        }
    }
}

/// As it stands in a transcript.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("up"),
            Self::Degraded(reason, text) => {
                write!(f, "degraded {} {}", reason.name(), Bytes(text.as_bytes()))
            }
            Self::Down(reason, text) => {
                write!(f, "down {} {}", reason.name(), Bytes(text.as_bytes()))
            }
            Self::Unknown(text) => write!(f, "unknown {}", Bytes(text.as_bytes())),
        }
    }
}

/// An action in a sentence; of what is long, the beginning.
pub(crate) fn said(action: &Action) -> String {
    match action {
        Action::Send(bytes) if bytes.len() > SHOWN => {
            let more = bytes.len() - SHOWN;
            format!("`> {}` and {more} bytes more", Bytes(&bytes[..SHOWN]))
        }
        other => format!("`{other}`"),
    }
}

/// Bytes as a string.
struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for byte in self.0 {
            match byte {
                b'\r' => f.write_str("\\r")?,
                b'\n' => f.write_str("\\n")?,
                b'"' | b'\\' => write!(f, "\\{}", char::from(*byte))?,
                0x20..0x7f => f.write_char(char::from(*byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        f.write_char('"')
    }
}
