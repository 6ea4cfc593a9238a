//! Connections, as the network sees them.

use std::net::SocketAddr;

use probity_engine::{Conn, Instant, RunId, Transport};

use crate::peer::{Behaviour, Session};

/// One connection. An id of one that is over names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkId {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) run: RunId,
    pub(crate) conn: Conn,
    pub(crate) to: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) behaviour: Behaviour,
    pub(crate) session: Session,
    pub(crate) state: State,
    /// When the last byte that is under way arrives, in each direction:
    /// nothing overtakes on a stream.
    pub(crate) to_us: Instant,
    pub(crate) to_peer: Instant,
    /// Bytes that the peer has not read.
    pub(crate) unread: usize,
    /// Whether the engine waits until there is room for all of them.
    pub(crate) flushing: bool,
}

/// ```text
/// Opening -> Open -> Securing -> Secured
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Opening,
    Open,
    /// A handshake is under way; what a peer says in plain text is lost.
    Securing,
    Secured,
}

#[derive(Debug, Default)]
pub(crate) struct Links {
    slots: Vec<(u32, Option<Link>)>,
    free: Vec<u32>,
    /// The connections of the run in each slot; few at a time.
    of_run: Vec<Vec<(RunId, Conn, LinkId)>>,
}

impl Links {
    pub(crate) fn insert(&mut self, link: Link) -> LinkId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            (self.slots.len() - 1) as u32
        });
        let (run, conn) = (link.run, link.conn);
        let (generation, slot) = &mut self.slots[index as usize];
        *slot = Some(link);
        let id = LinkId {
            index,
            generation: *generation,
        };
        let of_run = run.slot() as usize;
        if of_run >= self.of_run.len() {
            self.of_run.resize_with(of_run + 1, Vec::new);
        }
        self.of_run[of_run].push((run, conn, id));
        id
    }

    pub(crate) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        let (generation, link) = self.slots.get_mut(id.index as usize)?;
        link.as_mut().filter(|_| *generation == id.generation)
    }

    pub(crate) fn find(&self, run: RunId, conn: Conn) -> Option<LinkId> {
        let known = self.of_run.get(run.slot() as usize)?;
        let found = known
            .iter()
            .find(|(whose, which, _)| (*whose, *which) == (run, conn));
        found.map(|(_, _, id)| *id)
    }

    pub(crate) fn remove(&mut self, id: LinkId) -> Option<Link> {
        let (generation, slot) = self.slots.get_mut(id.index as usize)?;
        if *generation != id.generation {
            return None;
        }
        let link = slot.take()?;
        *generation += 1;
        self.free.push(id.index);
        self.of_run[link.run.slot() as usize].retain(|(_, _, known)| *known != id);
        Some(link)
    }

    /// Connections that exist.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
