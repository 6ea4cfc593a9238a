//! Which socket belongs to which connection of which run.
//!
//! A [`Key`] is a slot and its generation, and is what mio calls a token: an
//! event that was under way when its socket was closed finds nothing, even if
//! the slot is in use again.

use std::collections::VecDeque;
use std::sync::Arc;

use mio::Token;
use mio::net::{TcpStream, UdpSocket};
use probity_engine::limits::MAX_OPEN;
use probity_engine::{Closed, Conn, RunId};
use probity_tls::Layers;

/// Names a socket as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    slot: u32,
    generation: u32,
}

impl From<Key> for Token {
    fn from(key: Key) -> Self {
        Self((key.generation as usize) << 32 | key.slot as usize)
    }
}

impl From<Token> for Key {
    fn from(token: Token) -> Self {
        Self {
            slot: token.0 as u32,
            generation: (token.0 >> 32) as u32,
        }
    }
}

/// One open socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) run: RunId,
    pub(crate) conn: Conn,
    pub(crate) io: Io,
    /// Bytes that the kernel did not take, without capacity when there are
    /// none; `sent` of them have gone since.
    pub(crate) unsent: Vec<u8>,
    pub(crate) sent: usize,
    /// What the run wants to be sent after that, before any TLS.
    pub(crate) queue: VecDeque<Queued>,
    /// Why nothing can be written any more. There may still be something to
    /// read; only then the connection is over.
    pub(crate) broken: Option<Closed>,
    /// Whether the engine waits until the kernel has taken all that is to be sent.
    /// It is not read meanwhile.
    pub(crate) flushing: bool,
    /// Whether it is in the list of sockets to look at again.
    pub(crate) revisit: bool,
    /// Whether it is in the list of those that may send more.
    pub(crate) sending: bool,
    pub(crate) coalescing: Coalescing,
}

impl Socket {
    /// Whether something waits until the kernel takes more.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || !self.queue.is_empty()
    }
}

/// Bytes that wait.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) bytes: Held,
    /// Where those begin that still wait.
    pub(crate) sent: usize,
    /// Where they end.
    pub(crate) end: usize,
}

impl Queued {
    /// What still waits.
    pub(crate) fn rest(&self) -> &[u8] {
        let bytes = match &self.bytes {
            Held::Shared(bytes) => &bytes[..],
            Held::Copied(bytes) => bytes,
        };
        bytes.get(self.sent..self.end).unwrap_or_default()
    }
}

/// Whose bytes they are.
#[derive(Debug)]
pub(crate) enum Held {
    /// The module's.
    Shared(Arc<[u8]>),
    /// The run's: what follows such, or is too much for the turn.
    Copied(Box<[u8]>),
}

/// What Nagle's algorithm may do to a stream (RFC 1122 section 4.2.3.4): hold
/// back a short segment while an earlier one is not acknowledged. A check
/// writes and waits, so that must never happen; but most write a single short
/// request, and need not pay a system call to prevent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coalescing {
    /// Nothing was written yet.
    Harmless,
    /// What was written may not be acknowledged yet.
    Possible,
    /// `TCP_NODELAY` is set.
    Off,
}

impl Coalescing {
    /// A write that fits into any path's segment (RFC 9293 section 3.7.1).
    const SEGMENT: usize = 536;

    /// To be called before `len` bytes are written.
    pub(crate) fn prepare(&mut self, stream: &TcpStream, len: usize) {
        *self = match self {
            Self::Harmless if len <= Self::SEGMENT => Self::Possible,
            Self::Harmless | Self::Possible => {
                // A connection that is over refuses; the write says so.
                let _ = stream.set_nodelay(true);
                Self::Off
            }
            Self::Off => return,
        };
    }
}

/// What kind of socket it is.
#[derive(Debug)]
pub(crate) enum Io {
    Stream(TcpStream, Stage),
    Datagrams(UdpSocket),
}

/// How far a stream is.
///
/// ```text
/// Connecting -> Plain -> Secured
/// ```
#[derive(Debug)]
pub(crate) enum Stage {
    Connecting,
    Plain,
    /// TLS, from the first byte of the handshake.
    Secured(Box<Layers>),
}

/// What a run has open.
type Open = [Option<(Conn, Key)>; MAX_OPEN];

/// All sockets of a worker.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// By [`RunId::slot`].
    runs: Vec<Open>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    socket: Option<Socket>,
}

impl Sockets {
    /// Sockets that are open.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes a socket in; `None` if its run has [`MAX_OPEN`] already, which
    /// the engine promises not to ask for.
    pub(crate) fn insert(&mut self, socket: Socket) -> Option<Key> {
        let run = socket.run.slot() as usize;
        if run >= self.runs.len() {
            self.runs.resize(run + 1, Open::default());
        }
        let place = self.runs[run].iter_mut().find(|it| it.is_none())?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                socket: None,
            });
            (self.slots.len() - 1) as u32
        });
        let entry = &mut self.slots[slot as usize];
        let key = Key {
            slot,
            generation: entry.generation,
        };
        *place = Some((socket.conn, key));
        entry.socket = Some(socket);
        Some(key)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Socket> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        (slot.generation == key.generation)
            .then_some(slot.socket.as_mut())
            .flatten()
    }

    /// The socket of a connection, if it is open.
    pub(crate) fn find(&self, run: RunId, conn: Conn) -> Option<Key> {
        let open = self.runs.get(run.slot() as usize)?;
        let (_, key) = open.iter().flatten().find(|(it, _)| *it == conn)?;
        let socket = self.slots[key.slot as usize].socket.as_ref()?;
        (socket.run == run).then_some(*key)
    }

    /// Takes a socket out. Dropping it closes it.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Socket> {
        let slot = self.slots.get_mut(key.slot as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let socket = slot.socket.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.slot);
        for place in &mut self.runs[socket.run.slot() as usize] {
            if place.is_some_and(|(_, it)| it == key) {
                *place = None;
            }
        }
        Some(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(run: u64, conn: u8) -> Socket {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        Socket {
            run: RunId::from_bits(run),
            conn: Conn(conn),
            io: Io::Datagrams(UdpSocket::from_std(socket)),
            unsent: Vec::new(),
            sent: 0,
            queue: VecDeque::new(),
            broken: None,
            flushing: false,
            revisit: false,
            sending: false,
            coalescing: Coalescing::Harmless,
        }
    }

    #[test]
    fn a_key_is_worth_nothing_once_its_socket_is_closed() {
        let mut sockets = Sockets::default();
        let old = sockets.insert(socket(5, 0)).expect("room");
        assert!(sockets.remove(old).is_some());
        assert!(sockets.remove(old).is_none());
        let new = sockets.insert(socket(5, 1)).expect("room");
        assert_eq!(old.slot, new.slot, "the slot is used again");
        assert!(sockets.get_mut(old).is_none());
        assert!(sockets.get_mut(new).is_some());
        assert_eq!(Key::from(Token::from(new)), new);
        assert_eq!(sockets.len(), 1);
    }

    #[test]
    fn connections_are_found_by_run_and_number() {
        let mut sockets = Sockets::default();
        let keys: Vec<_> = (0..MAX_OPEN as u8)
            .map(|conn| sockets.insert(socket(9, conn)).expect("room"))
            .collect();
        assert!(sockets.insert(socket(9, 9)).is_none(), "one too many");
        assert_eq!(sockets.find(RunId::from_bits(9), Conn(2)), Some(keys[2]));
        let later = RunId::from_bits(9 | 1 << 32);
        assert_eq!(
            sockets.find(later, Conn(2)),
            None,
            "another run of the slot"
        );
        sockets.remove(keys[2]);
        assert_eq!(sockets.find(RunId::from_bits(9), Conn(2)), None);
        assert!(sockets.insert(socket(9, 9)).is_some());
    }
}
