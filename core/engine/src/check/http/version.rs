//! Versions of HTTP.

use core::fmt;

/// The version of HTTP in which a response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// RFC 1945.
    Http10,
    /// RFC 9112.
    Http11,
    /// RFC 9113.
    Http2,
}

impl Version {
    /// The name, as `valid_http_versions` has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }

    /// The value of `probe_http_version`.
    pub(super) const fn number(self) -> f64 {
        match self {
            Self::Http10 => 1.0,
            Self::Http11 => 1.1,
            Self::Http2 => 2.0,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
