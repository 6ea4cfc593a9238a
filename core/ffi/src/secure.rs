//! What a host that brings its own TLS is told about a handshake.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use ::probity_engine::tls::{TlsOptions, TlsParams, TlsVersion};

use crate::boundary::{Sized_, lend_bytes, lend_text};
use crate::types::{probity_bytes, probity_text};

/// TLS 1.2, by the number that is sent.
pub const PROBITY_TLS_1_2: u32 = 0x0303;
/// TLS 1.3, likewise.
pub const PROBITY_TLS_1_3: u32 = 0x0304;

/// How a connection is to be secured, where the host does TLS. All that it points
/// to is lent until the next call with the engine.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_tls_request {
    /// Bytes of this struct.
    pub size: usize,
    /// A number of all fields but `server_name`: while it is the same they are, so
    /// that a host may keep by it what it has made of them. Not 0, and never used
    /// for other contents by the same engine.
    pub options: u64,
    /// The name to verify and, if it is a DNS name and no address, to send (SNI).
    pub server_name: probity_text,
    /// Protocols to offer by ALPN, in order of preference.
    pub alpn: *const probity_bytes,
    /// How many; 0: no ALPN.
    pub alpn_length: usize,
    /// 1: any certificate is accepted, though still shown. 0: it is verified.
    pub skip_verify: u32,
    /// Lowest version to offer, `PROBITY_TLS_...`.
    pub min_version: u32,
    /// Highest version to offer, `PROBITY_TLS_...`.
    pub max_version: u32,
    /// Zero.
    pub reserved: u32,
    /// Certificates in PEM to trust instead of the system's; none: the system's.
    pub ca: probity_bytes,
    /// The client's certificate chain in PEM, its own first; none: it shows none.
    pub certificate: probity_bytes,
    /// The private key of that in PEM: a secret.
    pub key: probity_bytes,
}

// SAFETY: numbers and pointers that the caller only receives.
unsafe impl Sized_ for probity_tls_request {
    const FIRST: usize = size_of::<Self>();
}

/// Options whose number is remembered.
const REMEMBERED: usize = 1_024;

/// A request with all that it points to, and the numbers of options.
#[derive(Default)]
pub(crate) struct Requests {
    /// By address. The weak reference keeps the address from being used for other
    /// options.
    numbers: HashMap<usize, (Weak<TlsOptions>, u64)>,
    given: u64,
    alpn: Vec<probity_bytes>,
    lent: Option<Box<probity_tls_request>>,
}

// SAFETY: pointers to what the engine holds; nobody follows them here, and the host
// is told for how long it may.
unsafe impl Send for Requests {}

impl Requests {
    /// Fills in what `params` say. The pointer is good until this is changed or
    /// what `params` borrow from is.
    pub(crate) fn fill(&mut self, params: &TlsParams<'_>) -> *const probity_tls_request {
        let options = &**params.options;
        self.alpn.clear();
        let alpn = options.alpn.iter().map(|name| lend_bytes(name));
        self.alpn.extend(alpn);
        let pem = |pem: Option<&[u8]>| lend_bytes(pem.unwrap_or_default());
        let client = options.client.as_ref();
        let (min_version, max_version) = options.versions();
        let filled = probity_tls_request {
            size: size_of::<probity_tls_request>(),
            options: self.number(params.options),
            server_name: lend_text(params.server_name),
            alpn: self.alpn.as_ptr(),
            alpn_length: self.alpn.len(),
            skip_verify: options.skip_verify.into(),
            min_version: version_number(min_version),
            max_version: version_number(max_version),
            reserved: 0,
            ca: pem(options.ca.as_deref()),
            certificate: pem(client.map(|client| &*client.cert)),
            key: pem(client.map(|client| &*client.key)),
        };
        // The same place for every request.
        match &mut self.lent {
            Some(place) => {
                **place = filled;
                &raw const **place
            }
            None => &raw const **self.lent.insert(Box::new(filled)),
        }
    }

    fn number(&mut self, options: &Arc<TlsOptions>) -> u64 {
        let address = Arc::as_ptr(options).addr();
        if self.numbers.len() >= REMEMBERED && !self.numbers.contains_key(&address) {
            self.numbers.retain(|_, (it, _)| it.strong_count() > 0);
            if self.numbers.len() >= REMEMBERED {
                self.numbers.clear();
            }
        }
        let given = &mut self.given;
        let number = self.numbers.entry(address).or_insert_with(|| {
            *given += 1;
            (Arc::downgrade(options), *given)
        });
        number.1
    }
}

const fn version_number(version: TlsVersion) -> u32 {
    match version {
        TlsVersion::Tls12 => PROBITY_TLS_1_2,
        TlsVersion::Tls13 => PROBITY_TLS_1_3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_the_same_number_while_they_live_and_no_other_has_it() {
        let mut requests = Requests::default();
        let kept = Arc::new(TlsOptions::default());
        let number = requests.number(&kept);
        assert_ne!(number, 0);
        let mut seen = vec![number];
        for round in 0..REMEMBERED / 2 {
            let other = requests.number(&Arc::new(TlsOptions::default()));
            assert!(!seen.contains(&other), "{round}");
            seen.push(other);
            assert_eq!(requests.number(&kept), number, "{round}");
        }
    }

    #[test]
    fn the_numbers_of_ever_new_options_take_no_more_room() {
        let mut requests = Requests::default();
        let mut alive = Vec::new();
        for _ in 0..3 * REMEMBERED {
            let options = Arc::new(TlsOptions::default());
            requests.number(&options);
            alive.push(options);
            assert!(requests.numbers.len() <= REMEMBERED);
        }
    }
}
