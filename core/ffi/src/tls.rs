//! TLS of the library's where the sockets are the host's: it stands between the
//! engine and the host. The engine's `Secure` is carried out here and not shown; what
//! the engine sends is encrypted before the host has it, what the host has received
//! is decrypted before the engine has it.
//!
//! What is encrypted is sent in the order in which it was: everything waits in one
//! queue, which the host is given before the engine is asked for more. A connection
//! has in it what the engine was asked for last, and what rustls wants to say besides:
//! a flight of its handshake, an alert, and answers to key updates, of which it allows
//! 32 between two records with data.

use std::collections::{HashMap, VecDeque};
use std::mem::{self, MaybeUninit};
use std::ops::Range;
use std::sync::Arc;

use ::probity_engine::tls::{TlsFailure, TlsParams};
use ::probity_engine::{Bytes, Closed, Conn, Input, Lease, Output, RunId};
use ::probity_tls::{Cache, Layer, Layers, PIECE};

use crate::boundary::lend_bytes;
use crate::output::{PROBITY_OUTPUT_CLOSE, PROBITY_OUTPUT_SEND, probity_output};
use crate::result::Result;

/// Received bytes that are decrypted at once: so much of what a host gives is
/// copied.
const CHUNK: usize = 64 * 1024;

/// Largest capacity that a buffer keeps.
const KEPT: usize = 64 * 1024;

/// The TLS of one engine.
pub(crate) struct Tls {
    configs: Cache,
    /// Of runs that have secured something, until they are reported.
    runs: HashMap<RunId, Vec<(Conn, State)>>,
    queue: VecDeque<(RunId, Conn, Asked)>,
    /// What was lent last, and is used again.
    lent: Vec<u8>,
    /// A copy of what was received: it is decrypted in place.
    received: Vec<u8>,
}

/// How far a connection is that was to be secured.
enum State {
    Secured(Box<Layers>),
    /// The engine has closed it, or knows that it is: nothing passes any more.
    Over,
}

/// What the host is asked on top of what the engine asks.
enum Asked {
    Send(Vec<u8>),
    /// That part of the body of a request: it is encrypted piece by piece, when the
    /// host has taken what came before.
    Body(Arc<[u8]>, Range<usize>),
    Close,
}

/// What became of something that the engine asks.
pub(crate) enum Taken {
    /// It is for the host.
    No,
    /// It was done here.
    Yes,
    /// It was done here, and has failed before the peer was asked.
    Failed(Conn, TlsFailure),
}

impl Tls {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            configs: Cache::default(),
            runs: HashMap::new(),
            queue: VecDeque::new(),
            lent: Vec::new(),
            received: Vec::new(),
        })
    }

    /// How long what waits first for the host is lent, if anything does.
    pub(crate) fn ahead(&self) -> Option<Lease> {
        let (_, _, asked) = self.queue.front()?;
        Some(match asked {
            Asked::Close => Lease::Nothing,
            Asked::Send(_) | Asked::Body(..) => Lease::UntilNextCall,
        })
    }

    /// Writes what waits first for the host, and tells its kind; 0 if it has come to
    /// nothing. Bytes are lent until this is called again, or anything else is.
    pub(crate) fn next(&mut self, place: &mut MaybeUninit<probity_output>) -> u32 {
        let Some((run, conn, asked)) = self.queue.pop_front() else {
            return 0;
        };
        let about = |kind| probity_output::about(kind, run.to_bits(), conn.0.into());
        self.lent = match asked {
            Asked::Close => return place.write(about(PROBITY_OUTPUT_CLOSE)).kind,
            Asked::Send(records) => records,
            Asked::Body(body, part) => self.piece(run, conn, body, part),
        };
        if self.lent.is_empty() {
            return 0;
        }
        let sent = probity_output {
            bytes: lend_bytes(&self.lent),
            ..about(PROBITY_OUTPUT_SEND)
        };
        place.write(sent).kind
    }

    /// The next piece of a body, encrypted; the rest stays first in the queue.
    fn piece(&mut self, run: RunId, conn: Conn, body: Arc<[u8]>, part: Range<usize>) -> Vec<u8> {
        let mut records = self.room();
        let rest = body.get(part.clone()).unwrap_or_default();
        let (piece, rest) = rest.split_at(rest.len().min(PIECE));
        if let Some(State::Secured(layers)) = self.find(run, conn) {
            layers.send(piece, &mut records);
        }
        if !rest.is_empty() {
            let part = part.start + piece.len()..part.end;
            self.queue.push_front((run, conn, Asked::Body(body, part)));
        }
        records
    }

    /// Does what the engine asks if it is about something that is secured, or is
    /// to be.
    pub(crate) fn take(&mut self, run: RunId, asked: &Output<'_>) -> Taken {
        match *asked {
            Output::Secure(conn, params) => return self.secure(run, conn, &params),
            Output::Send(conn, bytes) => match self.find(run, conn) {
                None => return Taken::No,
                Some(State::Over) => {}
                Some(State::Secured(_)) => self.send(run, conn, bytes),
            },
            // What was encrypted has been given to the host: it asks for more only then.
            Output::Flush(conn) => match self.find(run, conn) {
                None | Some(State::Secured(_)) => return Taken::No,
                Some(State::Over) => {}
            },
            Output::Close(conn) => match self.find(run, conn) {
                None => return Taken::No,
                Some(State::Over) => {}
                Some(State::Secured(_)) => self.close(run, conn),
            },
            Output::Report(_) => {
                self.runs.remove(&run);
                return Taken::No;
            }
            Output::Resolve(..) | Output::Open(..) => return Taken::No,
        }
        Taken::Yes
    }

    fn secure(&mut self, run: RunId, conn: Conn, params: &TlsParams<'_>) -> Taken {
        if let Some(State::Over) = self.find(run, conn) {
            return Taken::Yes;
        }
        let mut hello = self.room();
        match self.configs.start(params, &mut hello) {
            Ok(layer) => {
                self.wrap(run, conn, layer, &mut hello);
                self.push(run, conn, hello);
                Taken::Yes
            }
            Err(failure) => {
                self.lent = hello;
                self.end(run, conn);
                Taken::Failed(conn, failure)
            }
        }
    }

    /// Puts TLS on a connection, inside what it has already.
    fn wrap(&mut self, run: RunId, conn: Conn, layer: Layer, hello: &mut Vec<u8>) {
        match self.find(run, conn) {
            Some(State::Secured(layers)) => layers.nest(layer, hello),
            Some(State::Over) => {}
            None => {
                let secured = State::Secured(Box::new(Layers::new(layer)));
                self.runs.entry(run).or_default().push((conn, secured));
            }
        }
    }

    fn send(&mut self, run: RunId, conn: Conn, bytes: Bytes<'_>) {
        match bytes {
            Bytes::Shared { body, start, end } => {
                let body = Asked::Body(Arc::clone(body), start..end);
                self.queue.push_back((run, conn, body));
            }
            Bytes::Lent(bytes) => {
                let mut records = self.room();
                if let Some(State::Secured(layers)) = self.find(run, conn) {
                    layers.send(bytes, &mut records);
                }
                self.push(run, conn, records);
            }
        }
    }

    /// Says goodbye, and has the host close the connection.
    fn close(&mut self, run: RunId, conn: Conn) {
        let mut records = self.room();
        if let Some(State::Secured(layers)) = self.find(run, conn) {
            layers.close(&mut records);
        }
        self.push(run, conn, records);
        self.end(run, conn);
    }

    /// Tells the engine, by `tell`, what received bytes mean, and whether they were
    /// for a connection that is, or was, secured: others are the engine's as they
    /// are.
    pub(crate) fn received(
        &mut self,
        run: RunId,
        conn: Conn,
        bytes: &[u8],
        mut tell: impl FnMut(Input<'_>),
    ) -> bool {
        for chunk in bytes.chunks(CHUNK) {
            let mut records = self.room();
            let conns = self.runs.get_mut(&run).into_iter().flatten();
            let state = conns.filter(|(it, _)| *it == conn).map(|(_, state)| state);
            let layers = match state.last() {
                None => return false,
                Some(State::Over) => return true,
                Some(State::Secured(layers)) => layers,
            };
            self.received.clear();
            self.received.extend_from_slice(chunk);
            let closed = layers.feed(conn, &mut self.received, &mut records, &mut tell);
            self.push(run, conn, records);
            if let Some(closed) = closed {
                self.end(run, conn);
                tell(Input::Closed(conn, closed));
                return true;
            }
        }
        self.find(run, conn).is_some()
    }

    /// The host says that a connection has ended: what the engine is to be told of
    /// that, if it does not know yet.
    pub(crate) fn closed(&mut self, run: RunId, conn: Conn, closed: Closed) -> Option<Closed> {
        let closed = match (self.find(run, conn), closed) {
            (Some(State::Over), _) => return None,
            (Some(State::Secured(layers)), Closed::End) => layers.ended(),
            (_, closed) => closed,
        };
        if let Some(state) = self.find(run, conn) {
            *state = State::Over;
            // The host has nothing to send it on.
            self.queue.retain(|(to, on, _)| (*to, *on) != (run, conn));
        }
        Some(closed)
    }

    /// Nothing passes any more, and the host is to close it.
    fn end(&mut self, run: RunId, conn: Conn) {
        match self.find(run, conn) {
            Some(state) => *state = State::Over,
            None => {
                let conns = self.runs.entry(run).or_default();
                conns.push((conn, State::Over));
            }
        }
        self.queue.push_back((run, conn, Asked::Close));
    }

    fn find(&mut self, run: RunId, conn: Conn) -> Option<&mut State> {
        let mut conns = self.runs.get_mut(&run)?.iter_mut();
        let (_, state) = conns.find(|(it, _)| *it == conn)?;
        Some(state)
    }

    /// Has the host send `records`, if there are any.
    fn push(&mut self, run: RunId, conn: Conn, records: Vec<u8>) {
        match records.is_empty() {
            true => self.lent = records,
            false => self.queue.push_back((run, conn, Asked::Send(records))),
        }
    }

    /// An empty buffer. What was lent is not in use any more: the host has called.
    fn room(&mut self) -> Vec<u8> {
        let mut room = mem::take(&mut self.lent);
        room.clear();
        room.shrink_to(KEPT);
        room
    }
}
