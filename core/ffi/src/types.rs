//! Structs that more than one part uses.

use std::ffi::c_char;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::boundary::Sized_;
use crate::result::{Result, probity_result};

/// A text in UTF-8, not ended by a zero byte. NULL with length 0 is the empty
/// text.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_text {
    /// The first byte.
    pub data: *const c_char,
    /// Bytes.
    pub length: usize,
}

/// Bytes. NULL with length 0 is none.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_bytes {
    /// The first byte.
    pub data: *const u8,
    /// How many.
    pub length: usize,
}

/// Room of the caller for text that the library writes.
///
/// A function writes as much as fits with a zero byte at its end, cut between
/// characters, and sets `length` to the bytes of the whole text without that
/// zero: if `length >= capacity`, something is missing. Data NULL with capacity 0
/// only asks for the length. Where a buffer may be given to be told of an error,
/// NULL instead of the buffer means that nobody wants to know; `length` is not
/// touched if there is no error.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_buffer {
    /// The first byte.
    pub data: *mut c_char,
    /// Bytes that there is room for, the zero at the end included.
    pub capacity: usize,
    /// Set by the library.
    pub length: usize,
}

/// An IP address with a port.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct probity_address {
    /// 4 or 6; 0 is no address.
    pub family: u8,
    /// Zero.
    pub reserved: u8,
    /// The port, in the host's byte order.
    pub port: u16,
    /// The address in network byte order; of IPv4 the first four bytes.
    pub ip: [u8; 16],
}

impl From<SocketAddr> for probity_address {
    fn from(address: SocketAddr) -> Self {
        let (family, ip) = match address.ip() {
            // The first four bytes, and zeros: without a detour over memory.
            IpAddr::V4(v4) => (4, u128::from(u32::from_le_bytes(v4.octets())).to_le_bytes()),
            IpAddr::V6(v6) => (6, v6.octets()),
        };
        Self {
            family,
            reserved: 0,
            port: address.port(),
            ip,
        }
    }
}

impl probity_address {
    /// The IP address.
    pub(crate) fn ip(&self) -> Result<IpAddr> {
        let [a, b, c, d, ..] = self.ip;
        match self.family {
            4 => Ok(Ipv4Addr::new(a, b, c, d).into()),
            6 => Ok(Ipv6Addr::from(self.ip).into()),
            _ => Err(probity_result::BadArgument),
        }
    }
}

/// What a TLS handshake has shown. Begin with `size = sizeof(...)`; zeros and
/// empty texts mean "not known".
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_tls_info {
    /// Bytes of this struct.
    pub size: usize,
    /// `TLS 1.2` or `TLS 1.3` (or 1.0, or 1.1); as OpenSSL's SSL_get_version writes them
    /// they are understood too. Another one is a `PROBITY_RESULT_BAD_ARGUMENT`, of which the
    /// engine's log says more.
    pub version: probity_text,
    /// IANA name of the cipher suite, `TLS_AES_128_GCM_SHA256`: what OpenSSL's
    /// SSL_CIPHER_standard_name gives. One that is out of use is as good as none.
    pub cipher: probity_text,
    /// Protocol that the server chose by ALPN, `h2` or `http/1.1`.
    pub alpn: probity_text,
    /// Smallest NotAfter of the certificates that the server sent, in seconds
    /// of Unix time; 0 if it sent none.
    pub earliest_expiry: i64,
    /// Largest, over all verified chains, of the smallest NotAfter in the chain,
    /// root included; 0 if nothing was verified.
    pub chain_expiry: i64,
    /// SHA-256 of the server's certificate in lower-case hex.
    pub fingerprint_sha256: probity_text,
    /// Its subject, as RFC 2253 writes it.
    pub subject: probity_text,
    /// Its issuer, likewise.
    pub issuer: probity_text,
    /// Its DNS names, separated by commas.
    pub subject_alternative: probity_text,
    /// Its serial number in lower-case hex.
    pub serial: probity_text,
}

// SAFETY: numbers and pointers, which are looked at only by `boundary::text`.
unsafe impl Sized_ for probity_tls_info {
    const FIRST: usize = size_of::<Self>();
}
