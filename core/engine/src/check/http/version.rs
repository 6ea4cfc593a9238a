//! Versions of HTTP.

use core::fmt;

/// The version of HTTP in which a response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// What a status line says: RFC 1945, RFC 9112 and, since Go reads on
    /// whatever the two digits are, anything else.
    Written {
        /// Before the dot, 0 to 9.
        major: u8,
        /// Behind it, 0 to 9.
        minor: u8,
    },
    /// RFC 9113, in frames.
    Http2,
}

impl Version {
    /// The version at the front of a status line: `HTTP/1.1`.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
        match line.strip_prefix(b"HTTP/")? {
            [major, b'.', minor, ..] => Some(Self::Written {
                major: digit(*major)?,
                minor: digit(*minor)?,
            }),
            _ => None,
        }
    }

    /// Whether `line` is, or may become, a status line as far as its version
    /// goes.
    pub(super) fn may_begin(line: &[u8]) -> bool {
        let fits = |(byte, expected): (&u8, &u8)| match expected {
            b'0' => byte.is_ascii_digit(),
            expected => byte == expected,
        };
        line.iter().zip(b"HTTP/0.0").all(fits)
    }

    /// Whether a server of this version may send its body in chunks. Go takes
    /// 0.0 for a version that was not told.
    pub(super) const fn has_chunks(self) -> bool {
        match self {
            Self::Written { major, minor } => {
                major > 1 || major == 1 && minor > 0 || major == 0 && minor == 0
            }
            Self::Http2 => false,
        }
    }

    /// The value of `probe_http_version`.
    pub(super) fn number(self) -> f64 {
        let (major, minor) = self.digits();
        f64::from(major * 10 + minor) / 10.0
    }

    const fn digits(self) -> (u8, u8) {
        match self {
            Self::Written { major, minor } => (major, minor),
            Self::Http2 => (2, 0),
        }
    }

    /// Whether `name` is its name, as `valid_http_versions` has it.
    pub(super) fn is_named(self, name: &str) -> bool {
        let (major, minor) = self.digits();
        name.as_bytes()
            == [
                b'H',
                b'T',
                b'T',
                b'P',
                b'/',
                b'0' + major,
                b'.',
                b'0' + minor,
            ]
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.digits();
        write!(f, "HTTP/{major}.{minor}")
    }
}
