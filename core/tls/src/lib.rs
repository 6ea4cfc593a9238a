//! TLS as a layer from bytes to bytes: rustls without a socket.
//!
//! A driver that has read bytes gives them to a [`Layer`] and gets plaintext,
//! events and the bytes to send. Beyond what rustls does, a layer
//!
//! * tells what it learnt of the server ([`TlsInfo`]): version, cipher,
//!   ALPN, and of the certificates the dates, names and fingerprint that
//!   blackbox_exporter reports, **also where it refuses them**;
//! * says when the longest-lived verified chain expires, root included, which
//!   rustls does not expose;
//! * says in one sentence why a connection could not be secured, with a
//!   [`Reason`](probity_engine::Reason) for metrics;
//! * accepts what Go accepts where people rely on it: a server certificate that
//!   is itself in the CA file, or is a CA's; names such as `*.local`; critical
//!   extensions about policies; name constraints on e-mail addresses and URIs; RSA from 1024 bits, and P-521; CA files that are
//!   damaged in part; and with `skip_verify` any certificate, though the
//!   handshake's signature must still be right.
//!
//! [`Layers`] is what a host keeps for a connection, [`Cache`] what it begins
//! handshakes with. Beside them, [`RsaSigner`] signs the assertions by which tokens are asked for,
//! and [`Clients`] and [`certified`] are for who serves: the same judgement of certificates, and
//! the certificate of one's own.
//!
//! No socket, no thread, and no clock but the one that is passed in.
//!
//! ```
//! use std::sync::Arc;
//! use probity_tls::{ClientConfig, DefaultTimeProvider, Event, Layer, TlsOptions};
//!
//! let options = TlsOptions { skip_verify: true, ..TlsOptions::default() };
//! let config = ClientConfig::new(&options, Arc::new(DefaultTimeProvider))?;
//! let mut layer = Layer::new(&config, "example.com")?;
//! let mut to_send = Vec::new();
//! layer.start(&mut to_send)?;
//! assert_eq!(to_send[0], 22); // a handshake record
//!
//! let mut received = *b"220 mail.example ESMTP\r\n";
//! let failure = layer
//!     .receive(&mut received, &mut to_send, |event| match event {
//!         Event::Secured(info) => println!("{} {}", info.version, info.cipher),
//!         Event::Data(plaintext) => println!("{} bytes", plaintext.len()),
//!         Event::PeerClosed => println!("closed"),
//!     })
//!     .unwrap_err();
//! assert_eq!(failure.reason.name(), "tls_not_tls");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Limits: TLS 1.2 and 1.3 with the nine AEAD suites of rustls; no TLS 1.0 or
//! 1.1, no CBC, no RSA key exchange, no revocation checks (nor has Go any).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod algorithms;
mod cache;
mod certificate;
mod clients;
mod config;
mod constraints;
mod failure;
mod key;
mod kx;
mod layer;
mod layers;
mod mailbox;
mod name;
mod own;
pub mod pem;
mod policies;
mod purpose;
mod rejection;
mod roots;
mod server_name;
mod shown;
mod signature;
mod signer;
mod text;
mod verifier;

pub use cache::{Cache, MAX_CONFIGS, check};
pub use clients::Clients;
pub use config::{ClientConfig, ConfigError, Field};
pub use kx::SECP521R1;
pub use layer::{Eof, Event, Layer, NotOpen, PIECE};
pub use layers::Layers;
pub use own::{Unfit, certified};
pub use probity_engine::tls::{ChainInfo, TlsFailure, TlsInfo, TlsOptions, TlsVersion};
pub use rustls::pki_types::UnixTime;
pub use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
pub use signer::RsaSigner;
