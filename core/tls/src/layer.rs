//! One TLS connection: bytes in, bytes and events out.
//!
//! This is the only file that knows how rustls is driven. It uses the
//! unbuffered API, because that one keeps no buffer of its own: ciphertext is
//! decrypted where the caller has it, and a connection that waits holds no
//! bytes but those of a record that is not complete yet. (The buffered API
//! keeps at least 4 KiB for each connection, and copies what it is given.)
//!
//! ```text
//! Handshaking --Secured--> Open --PeerClosed--> Draining
//!      |                    |                      |
//!      +-----error----------+------error-----------+--> Failed
//!                           +------close()---------+--> Closed
//! ```

use std::sync::Arc;

use probity_engine::Reason;
use probity_engine::tls::{TlsFailure, TlsInfo, TlsVersion};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus,
};
use rustls::{CipherSuite, ProtocolVersion};

use crate::config::{ClientConfig, Versions};
use crate::failure::{Scene, classify, may_be_tls, not_tls};
use crate::server_name;
use crate::text::clean;
use crate::verifier::Verifier;

/// How many of the server's first bytes are kept to say what they look like.
const HEAD: usize = 80;
/// Plaintext in one record (RFC 8446 section 5.1).
const RECORD: usize = 1 << 14;
/// Bytes of the body of a request that are best encrypted at once: three records.
pub const PIECE: usize = 3 * RECORD;
/// What a record adds to its plaintext: header, nonce or content type, and tag,
/// with some room. A wrong guess costs a second try.
const OVERHEAD: usize = 32;

/// What came out of received bytes.
#[derive(Debug)]
pub enum Event<'a> {
    /// The handshake is complete and the server was accepted. Exactly once, and
    /// before any [`Event::Data`].
    ///
    /// In TLS 1.3 a server that refuses *us* (no or a wrong client certificate)
    /// can say so only afterwards: [`Layer::receive`] then fails later.
    Secured(Arc<TlsInfo>),
    /// Plaintext, lent for the duration of the call. Never empty.
    Data(&'a [u8]),
    /// The server has said that it will send no more (close_notify).
    PeerClosed,
}

/// How an established connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eof {
    /// Announced by either side with close_notify: nothing is missing.
    Clean,
    /// Not announced: data may have been cut off (RFC 8446 section 6.1). Many
    /// servers end like this; a protocol that knows its lengths can ignore it.
    Abrupt,
    /// Not announced, and in the middle of a record: data was cut off. No server
    /// ends like this on purpose, and Go accepts it of none.
    Cut,
}

/// [`Layer::send`] before [`Event::Secured`] or after the end. A bug of the
/// caller, or a race that it lost; nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOpen;

impl std::fmt::Display for NotOpen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the TLS connection is not open for data")
    }
}

impl std::error::Error for NotOpen {}

/// The client's side of one TLS connection, without the connection.
///
/// Call [`Layer::start`], send what it writes, give every received byte to
/// [`Layer::receive`] and send what that writes. Every `out` is appended to.
pub struct Layer {
    conn: UnbufferedClientConnection,
    verifier: Arc<Verifier>,
    versions: Versions,
    state: State,
    /// Received bytes that rustls has not consumed: at most one record, or one
    /// handshake message (64 KiB) in pieces. Without capacity when empty.
    pending: Vec<u8>,
    /// Bytes received so far.
    received: u64,
    /// Whether the server has sent a whole record.
    speaks_tls: bool,
}

#[derive(Debug)]
enum State {
    Handshaking,
    Open(Arc<TlsInfo>),
    /// The peer sends no more; we still may.
    Draining(Arc<TlsInfo>),
    /// We send no more, and do not care about what comes.
    Closed,
    Failed(Box<TlsFailure>),
}

impl std::fmt::Debug for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layer")
            .field("state", &self.state)
            .field("received", &self.received)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

impl Layer {
    /// A connection that will verify the server's `name`, and send it (SNI) if it is
    /// a DNS name. Brackets around an IPv6 address, its zone and a final dot
    /// are taken off, as Go does.
    ///
    /// # Errors
    /// [`Reason::LocalTls`] if the name is neither a DNS name nor an IP
    /// address. With `skip_verify` such a name is only not sent: a name that
    /// nobody verifies need not be one.
    pub fn new(config: &ClientConfig, name: &str) -> Result<Self, TlsFailure> {
        let (server_name, send_name) = match server_name::parse(name) {
            Some(server_name) => (server_name, true),
            None if config.accepts_anything() => {
                let nobody = Ipv4Addr::from([0; 4]);
                (ServerName::IpAddress(IpAddr::V4(nobody)), false)
            }
            None => {
                return Err(local(format!(
                    "expected a DNS name or an IP address as TLS server name, found \"{}\"",
                    clean(name, 255)
                )));
            }
        };
        let (rustls, verifier) = config.instance(send_name);
        let conn = UnbufferedClientConnection::new(rustls, server_name)
            .map_err(|error| local(error.to_string()))?;
        Ok(Self {
            conn,
            verifier,
            versions: config.versions(),
            state: State::Handshaking,
            pending: Vec::new(),
            received: 0,
            speaks_tls: false,
        })
    }

    /// Writes the first flight (ClientHello) to `out`. A second call writes
    /// nothing.
    ///
    /// # Errors
    /// Only if rustls cannot make a ClientHello at all.
    pub fn start(&mut self, out: &mut Vec<u8>) -> Result<(), TlsFailure> {
        self.receive(&mut [], out, |_| ())
    }

    /// Takes bytes from the server, in pieces of any size, and tells `on` what
    /// they mean; what must be sent in answer is appended to `out`, also where
    /// this fails (an alert that tells the server why).
    ///
    /// `ciphertext` is decrypted in place and is garbage afterwards.
    ///
    /// # Errors
    /// The connection is unusable from then on, and every later call returns
    /// the same failure. After [`Event::Secured`] a failure is possible too.
    pub fn receive(
        &mut self,
        ciphertext: &mut [u8],
        out: &mut Vec<u8>,
        mut on: impl FnMut(Event<'_>),
    ) -> Result<(), TlsFailure> {
        match &self.state {
            State::Handshaking | State::Open(_) => {}
            // What follows a close_notify has no meaning.
            State::Draining(_) | State::Closed => return Ok(()),
            State::Failed(failure) => return Err((**failure).clone()),
        }
        self.received += ciphertext.len() as u64;
        let result = if self.pending.is_empty() {
            let (used, result) = self.pump(ciphertext, out, &mut on);
            if result.is_ok() {
                self.pending.extend_from_slice(&ciphertext[used..]);
            }
            result
        } else {
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend_from_slice(ciphertext);
            let (used, result) = self.pump(&mut pending, out, &mut on);
            if result.is_ok() && used < pending.len() {
                pending.drain(..used);
                pending.shrink_to(RECORD);
                self.pending = pending;
            }
            result
        };
        if !matches!(self.state, State::Handshaking | State::Open(_)) {
            self.pending = Vec::new();
        }
        result
    }

    /// Encrypts `plaintext`, all of it, and appends the records to `out`.
    ///
    /// # Errors
    /// See [`NotOpen`].
    pub fn send(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), NotOpen> {
        if !matches!(self.state, State::Open(_) | State::Draining(_)) {
            return Err(NotOpen);
        }
        let records = plaintext.len().div_ceil(RECORD).max(1);
        let guess = plaintext.len() + records * OVERHEAD;
        // Between calls rustls has nothing to do but to wait, so this is its
        // writing state at once.
        let UnbufferedStatus { state, .. } = self.conn.process_tls_records(&mut self.pending);
        let Ok(ConnectionState::WriteTraffic(mut traffic)) = state else {
            return Err(NotOpen);
        };
        append(out, guess, |room| {
            traffic
                .encrypt(plaintext, room)
                .map_err(|error| match error {
                    EncryptError::InsufficientSize(size) => Some(size),
                    EncryptError::EncryptExhausted => None,
                })
        })
    }

    /// Writes a close_notify to `out` if there is a connection to close.
    /// Whatever is received afterwards is ignored.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if matches!(self.state, State::Open(_) | State::Draining(_)) {
            let UnbufferedStatus { state, .. } = self.conn.process_tls_records(&mut self.pending);
            if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
                // Out of key material: then there is nothing to say it with.
                let _ = append(out, OVERHEAD, |room| {
                    traffic
                        .queue_close_notify(room)
                        .map_err(|error| match error {
                            EncryptError::InsufficientSize(size) => Some(size),
                            EncryptError::EncryptExhausted => None,
                        })
                });
            }
        }
        if !matches!(self.state, State::Failed(_)) {
            self.state = State::Closed;
            self.pending = Vec::new();
        }
    }

    /// The transport has ended: no more bytes will come.
    ///
    /// # Errors
    /// If the handshake was not complete, or has failed before.
    pub fn eof(&mut self) -> Result<Eof, TlsFailure> {
        match &self.state {
            State::Open(_) if self.pending.is_empty() => Ok(Eof::Abrupt),
            State::Open(_) => Ok(Eof::Cut),
            State::Draining(_) | State::Closed => Ok(Eof::Clean),
            State::Failed(failure) => Err((**failure).clone()),
            State::Handshaking => {
                let (reason, detail) = self.unfinished();
                Err(self.fail(reason, detail))
            }
        }
    }

    /// What is known so far; complete once the handshake is.
    pub fn info(&self) -> TlsInfo {
        let verdict = self.verifier.verdict();
        TlsInfo {
            version: match self.conn.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12.name(),
                Some(ProtocolVersion::TLSv1_3) => TlsVersion::Tls13.name(),
                _ => "",
            },
            cipher: self
                .conn
                .negotiated_cipher_suite()
                .map_or("", |suite| cipher_name(suite.suite())),
            alpn: self.conn.alpn_protocol().map(Into::into),
            chain: verdict.and_then(|verdict| verdict.chain.clone()),
        }
    }

    /// Lets rustls work on `incoming` until it needs more. Returns how many
    /// bytes it has consumed.
    fn pump(
        &mut self,
        incoming: &mut [u8],
        out: &mut Vec<u8>,
        on: &mut dyn FnMut(Event<'_>),
    ) -> (usize, Result<(), TlsFailure>) {
        let mut head = [0; HEAD];
        let head_len = incoming.len().min(HEAD);
        let judge_head = !self.speaks_tls;
        if judge_head {
            // rustls works in place, so the bytes must be saved before.
            head[..head_len].copy_from_slice(&incoming[..head_len]);
        }
        let mut used = 0;
        let error = loop {
            self.note_secured(on);
            let UnbufferedStatus { discard, state } =
                self.conn.process_tls_records(&mut incoming[used..]);
            let mut wait = false;
            match state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out),
                Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    if matches!(self.state, State::Open(_)) {
                        while let Some(Ok(record)) = traffic.next_record() {
                            if !record.payload.is_empty() {
                                on(Event::Data(record.payload));
                            }
                        }
                    } else {
                        // A TLS 1.2 server may send data together with its
                        // Finished. Then this state is left and entered again,
                        // with the event before the data.
                        drop(traffic);
                        self.note_secured(on);
                        if matches!(self.state, State::Handshaking) {
                            break rustls::Error::HandshakeNotComplete;
                        }
                    }
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.note_secured(on);
                    return (incoming.len(), self.peer_closed(on));
                }
                Ok(_) => wait = true,
                Err(error) => {
                    self.note_secured(on);
                    used += discard;
                    break error;
                }
            }
            used += discard;
            self.speaks_tls |= used > 0;
            if wait {
                self.note_secured(on);
                return (used, Ok(()));
            }
        };
        self.drain_alert(&mut incoming[used..], out);
        let verdict = self.verifier.verdict();
        let (reason, detail) = classify(
            &error,
            &Scene {
                first_bytes: judge_head.then_some(&head[..head_len]),
                rejection: verdict.and_then(|verdict| verdict.rejection.as_ref()),
                key: verdict.and_then(|verdict| verdict.key.as_ref()),
                is_before_certificates: verdict.is_none(),
                versions: self.versions,
            },
        );
        (used, Err(self.fail(reason, detail)))
    }

    /// Reports the end of the handshake, once.
    fn note_secured(&mut self, on: &mut dyn FnMut(Event<'_>)) {
        if matches!(self.state, State::Handshaking) && !self.conn.is_handshaking() {
            let info = Arc::new(self.info());
            self.state = State::Open(Arc::clone(&info));
            on(Event::Secured(info));
        }
    }

    fn peer_closed(&mut self, on: &mut dyn FnMut(Event<'_>)) -> Result<(), TlsFailure> {
        if let State::Open(info) = &self.state {
            self.state = State::Draining(Arc::clone(info));
            on(Event::PeerClosed);
            return Ok(());
        }
        let detail = "the server closed the connection (close_notify) during the TLS handshake";
        Err(self.fail(Reason::TlsHandshake, detail.into()))
    }

    /// After an error rustls may have an alert for the server. It must not
    /// look at the offending bytes again, so it is asked only as long as it
    /// has something to write.
    fn drain_alert(&mut self, incoming: &mut [u8], out: &mut Vec<u8>) {
        let mut used = 0;
        while self.conn.wants_write() {
            let UnbufferedStatus { discard, state } =
                self.conn.process_tls_records(&mut incoming[used..]);
            let Ok(ConnectionState::EncodeTlsData(data)) = state else {
                return;
            };
            encode(data, out);
            used += discard;
        }
    }

    /// Why a handshake that the server has left is not complete.
    fn unfinished(&self) -> (Reason, String) {
        if !self.speaks_tls && !may_be_tls(&self.pending) {
            return (Reason::TlsNotTls, not_tls(&self.pending));
        }
        let when = match (self.received, self.verifier.verdict()) {
            (0, _) => "before it had sent anything".into(),
            (_, Some(_)) => "after it had sent its certificate".into(),
            (count, None) => format!("after it had sent {count} bytes"),
        };
        let detail = format!("the server closed the connection during the TLS handshake, {when}");
        (Reason::TlsHandshake, detail)
    }

    fn fail(&mut self, reason: Reason, detail: String) -> TlsFailure {
        let info = match &self.state {
            State::Open(info) | State::Draining(info) => Some(Arc::clone(info)),
            _ => {
                let info = self.info();
                let learnt = !info.version.is_empty() || info.chain.is_some();
                learnt.then(|| Arc::new(info))
            }
        };
        let failure = TlsFailure {
            reason,
            detail,
            info,
        };
        self.state = State::Failed(Box::new(failure.clone()));
        failure
    }
}

fn local(detail: String) -> TlsFailure {
    TlsFailure {
        reason: Reason::LocalTls,
        detail,
        info: None,
    }
}

/// Appends what `write` puts into the room it is given, which is `guess` bytes
/// or, if that is too little, what it asks for.
fn append(
    out: &mut Vec<u8>,
    guess: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> Result<(), NotOpen> {
    let start = out.len();
    let mut room = guess;
    for _ in 0..2 {
        out.resize(start + room, 0);
        match write(&mut out[start..]) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(Some(size)) => room = size.required_size,
            Err(None) => break,
        }
    }
    out.truncate(start);
    Err(NotOpen)
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, out: &mut Vec<u8>) {
    // Handshake messages are not many bytes; rustls says how many exactly.
    let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) else {
        return;
    };
    let start = out.len();
    out.resize(start + size.required_size, 0);
    let written = data.encode(&mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

/// The IANA name, which is also Go's. rustls calls those of TLS 1.3 differently.
fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_on_offer_has_its_iana_name() {
        for suite in rustls::crypto::ring::ALL_CIPHER_SUITES {
            let name = cipher_name(suite.suite());
            assert!(name.starts_with("TLS_"), "{name}");
        }
    }
}
