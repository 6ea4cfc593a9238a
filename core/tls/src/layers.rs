//! The TLS on one stream: a layer, and another inside it where an `https`
//! target is reached through a proxy that speaks TLS itself. What fails in the
//! outer one is then the proxy's.

use std::mem;

use probity_engine::tls::TlsFailure;
use probity_engine::{Closed, Conn, Input, Reason};

use crate::{Eof, Event, Layer};

/// What is said of a connection that ends with half a record.
const CUT: &str = "the connection ended in the middle of a TLS record";

/// One or two layers, with the methods of one. A driver or a host keeps one of these
/// for each stream that was [secured](probity_engine::Output::Secure).
#[derive(Debug)]
pub struct Layers {
    outer: Layer,
    inner: Option<Box<Layer>>,
}

impl Layers {
    /// With one layer, of which [`Layer::start`] was called.
    pub const fn new(outer: Layer) -> Self {
        Self { outer, inner: None }
    }

    /// Puts another layer inside. `hello` is what it wants to send, and then
    /// what is to be sent on the stream. There are never more than two.
    pub fn nest(&mut self, layer: Layer, hello: &mut Vec<u8>) {
        let plain = mem::take(hello);
        // Not open: it has ended in the same batch, of which the engine is told.
        let _ = self.outer.send(&plain, hello);
        self.inner = Some(Box::new(layer));
    }

    /// See [`Layer::receive`]. What the outer of two layers does wrong is
    /// [`Reason::ProxyTls`].
    ///
    /// # Errors
    /// The connection is unusable from then on.
    pub fn receive(
        &mut self,
        ciphertext: &mut [u8],
        out: &mut Vec<u8>,
        on: impl FnMut(Event<'_>),
    ) -> Result<(), TlsFailure> {
        let Some(inner) = &mut self.inner else {
            return self.outer.receive(ciphertext, out, on);
        };
        let mut records = Vec::new();
        let outer = self.outer.receive(ciphertext, out, |event| match event {
            Event::Data(plain) => records.extend_from_slice(plain),
            // The stream ends next, and then it is told: see `Layers::eof`.
            Event::Secured(_) | Event::PeerClosed => {}
        });
        let mut answer = Vec::new();
        let result = inner.receive(&mut records, &mut answer, on);
        if !answer.is_empty() {
            let _ = self.outer.send(&answer, out);
        }
        result.and(outer.map_err(of_proxy))
    }

    /// Takes what the transport has received (see [`Layers::receive`]) and tells
    /// `tell` what the engine is to be told of it, in order. If the connection is
    /// over for that, this is how: it is told last, and the transport closed
    /// after `out` was sent.
    pub fn feed(
        &mut self,
        conn: Conn,
        ciphertext: &mut [u8],
        out: &mut Vec<u8>,
        mut tell: impl FnMut(Input<'_>),
    ) -> Option<Closed> {
        let mut ended = false;
        let result = self.receive(ciphertext, out, |event| match event {
            Event::Secured(info) => tell(Input::Secured(conn, &info)),
            Event::Data(plain) => tell(Input::Data(conn, plain)),
            Event::PeerClosed => ended = true,
        });
        match result {
            Err(failure) => Some(failure.into()),
            Ok(()) => ended.then_some(Closed::End),
        }
    }

    /// What the engine is to be told when the transport has come to an orderly
    /// end.
    pub fn ended(&mut self) -> Closed {
        match self.eof() {
            Ok(Eof::Clean | Eof::Abrupt) => Closed::End,
            Ok(Eof::Cut) => Closed::Other(CUT.into()),
            Err(failure) => failure.into(),
        }
    }

    /// See [`Layer::send`]. What is sent on a layer that is not open is lost.
    pub fn send(&mut self, plaintext: &[u8], out: &mut Vec<u8>) {
        let Some(inner) = &mut self.inner else {
            let _ = self.outer.send(plaintext, out);
            return;
        };
        let mut records = Vec::new();
        if inner.send(plaintext, &mut records).is_ok() {
            let _ = self.outer.send(&records, out);
        }
    }

    /// See [`Layer::close`].
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(inner) = &mut self.inner {
            let mut records = Vec::new();
            inner.close(&mut records);
            if !records.is_empty() {
                let _ = self.outer.send(&records, out);
            }
        }
        self.outer.close(out);
    }

    /// See [`Layer::eof`].
    ///
    /// # Errors
    /// If a handshake was not complete, or has failed before.
    pub fn eof(&mut self) -> Result<Eof, TlsFailure> {
        let Some(inner) = &mut self.inner else {
            return self.outer.eof();
        };
        match (self.outer.eof().map_err(of_proxy)?, inner.eof()?) {
            (Eof::Cut, _) => Ok(Eof::Cut),
            (_, end) => Ok(end),
        }
    }
}

/// The target is at the other end by now: what its proxy does wrong is not its
/// fault, and what the proxy showed not about it.
fn of_proxy(failure: TlsFailure) -> TlsFailure {
    TlsFailure {
        reason: Reason::ProxyTls,
        detail: format!("TLS with the proxy: {}", failure.detail),
        info: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::{ClientConfig, DefaultTimeProvider};
    use probity_engine::tls::TlsOptions;

    #[test]
    fn a_failure_of_the_outer_layer_is_the_proxys() {
        let options = TlsOptions {
            skip_verify: true,
            ..TlsOptions::default()
        };
        let config = ClientConfig::new(&options, Arc::new(DefaultTimeProvider)).unwrap();
        let layer = || {
            let (mut layer, mut hello) = (Layer::new(&config, "localhost").unwrap(), Vec::new());
            layer.start(&mut hello).unwrap();
            (layer, hello)
        };
        let fails = |layers: &mut Layers| {
            let mut nonsense = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
            layers
                .receive(&mut nonsense, &mut Vec::new(), |_| ())
                .unwrap_err()
        };
        let mut layers = Layers::new(layer().0);
        assert_eq!(fails(&mut layers).reason, Reason::TlsNotTls);
        let mut layers = Layers::new(layer().0);
        let (inner, mut hello) = layer();
        layers.nest(inner, &mut hello);
        let failure = fails(&mut layers);
        assert_eq!(failure.reason, Reason::ProxyTls);
        assert!(
            failure.detail.starts_with("TLS with the proxy: "),
            "{failure}"
        );
    }
}
