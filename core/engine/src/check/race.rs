//! A connection to one of several addresses: whichever answers first.
//!
//! blackbox_exporter connects to one address of its target and leaves everybody
//! else (a redirect's host, a proxy, a token endpoint) to Go's dialer, which tries
//! all of them; and so does this, by its rules (RFC 6555, RFC 8305 section 5):
//!
//! - Addresses of the first family are tried one after the other. Each has its part
//!   of the time that is left, but [`LEAST_PATIENCE`] of it.
//! - Those of the other family are too, beginning after [`HEAD_START`], or when the
//!   first family has none left.
//! - The first connection that is established counts, and the other one is closed.
//!   If none is, the first failure of the first family is told.

use alloc::boxed::Box;
use alloc::vec::{self, Vec};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::cx::Cx;
use crate::id::Conn;
use crate::io::{Closed, Endpoint, Family, Input, Transport};
use crate::limits::MAX_OPENED;
use crate::outcome::Reason;
use crate::time::Instant;

/// By which the first family is ahead of the other.
const HEAD_START: Duration = Duration::from_millis(300);

/// An address is not given up sooner, unless it says no.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);

/// Connections that the rest of the run may need: one for each request of a chain
/// of redirects, and two for a token. Beyond these, further addresses are not tried.
const KEPT_BACK: u8 = 16;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Race {
    port: u16,
    source: Option<IpAddr>,
    lanes: [Lane; 2],
    /// When the second lane sets out at the latest.
    second_at: Instant,
    defeat: Option<Defeat>,
}

/// The addresses of one family.
#[derive(Debug)]
struct Lane {
    /// Those that were not tried.
    left: vec::IntoIter<IpAddr>,
    /// The one that is.
    tried: Option<Tried>,
}

#[derive(Clone, Copy, Debug)]
struct Tried {
    conn: Conn,
    address: SocketAddr,
    /// When it is given up.
    until: Option<Instant>,
}

/// How far a race is.
#[derive(Debug)]
pub(crate) enum Progress {
    Under,
    /// There is a connection.
    Won(Conn),
    /// There will be none.
    Lost(Defeat),
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct Defeat {
    lane: usize,
    pub(crate) address: SocketAddr,
    pub(crate) why: Why,
}

#[derive(Debug)]
pub(crate) enum Why {
    Closed(Closed),
    /// Nothing came in the time that the address had.
    Silent,
}

impl Why {
    /// Whether it says nothing about the peer.
    const fn is_ours(&self) -> bool {
        matches!(self, Self::Closed(Closed::Local(_)))
    }
}

impl Lane {
    fn of(addresses: Vec<IpAddr>) -> Self {
        Self {
            left: addresses.into_iter(),
            tried: None,
        }
    }

    fn is_over(&self) -> bool {
        self.tried.is_none() && self.left.len() == 0
    }
}

impl Race {
    /// Begins with the family of the first of `addresses`.
    pub(crate) fn start(
        addresses: Vec<IpAddr>,
        port: u16,
        source: Option<IpAddr>,
        cx: &mut Cx<'_>,
    ) -> Box<Self> {
        let first = addresses.first().map(Family::of);
        let (one, other) = addresses
            .into_iter()
            .partition(|address| Some(Family::of(address)) == first);
        let mut race = Box::new(Self {
            port,
            source,
            lanes: [Lane::of(one), Lane::of(other)],
            second_at: cx.now() + HEAD_START,
            defeat: None,
        });
        race.set_out(0, cx);
        race.set_timer(cx);
        race
    }

    /// Handles an event.
    pub(crate) fn on(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Progress {
        match input {
            Input::Opened(conn) => match self.lane_of(*conn) {
                Some(lane) => self.win(lane, cx),
                None => Progress::Under,
            },
            Input::Closed(conn, why) => match self.lane_of(*conn) {
                Some(lane) => {
                    self.fail(lane, Why::Closed(why.clone()));
                    self.go_on(cx)
                }
                None => Progress::Under,
            },
            Input::Woken => {
                for lane in 0..self.lanes.len() {
                    let tried = self.lanes[lane].tried;
                    if let Some(Tried { conn, until, .. }) = tried
                        && until.is_some_and(|until| until <= cx.now())
                    {
                        cx.close(conn);
                        self.fail(lane, Why::Silent);
                    }
                }
                self.go_on(cx)
            }
            _ => Progress::Under,
        }
    }

    fn lane_of(&self, conn: Conn) -> Option<usize> {
        let mut lanes = self.lanes.iter();
        lanes.position(|lane| lane.tried.is_some_and(|tried| tried.conn == conn))
    }

    fn win(&mut self, winner: usize, cx: &mut Cx<'_>) -> Progress {
        cx.no_wake();
        if let Some(loser) = self.lanes[1 - winner].tried.take() {
            cx.close(loser.conn);
        }
        match self.lanes[winner].tried.take() {
            Some(tried) => {
                cx.core.address = Some(tried.address);
                Progress::Won(tried.conn)
            }
            None => Progress::Under,
        }
    }

    /// The address that a lane has tried will not do.
    fn fail(&mut self, lane: usize, why: Why) {
        let Some(Tried { address, .. }) = self.lanes[lane].tried.take() else {
            return;
        };
        // What we could not do outweighs what others said: who knows what they
        // would have said to the rest.
        let counts = match &self.defeat {
            None => true,
            Some(known) => !known.why.is_ours() && (why.is_ours() || lane < known.lane),
        };
        if counts {
            self.defeat = Some(Defeat { lane, address, why });
        }
    }

    fn go_on(&mut self, cx: &mut Cx<'_>) -> Progress {
        for lane in 0..self.lanes.len() {
            let begins = lane == 0 || self.second_at <= cx.now() || self.lanes[0].is_over();
            if begins && self.lanes[lane].tried.is_none() {
                self.set_out(lane, cx);
            }
        }
        if self.lanes.iter().all(|lane| lane.tried.is_none())
            && let Some(defeat) = self.defeat.take()
        {
            cx.no_wake();
            return Progress::Lost(defeat);
        }
        self.set_timer(cx);
        Progress::Under
    }

    /// Tries the next address of a lane, if there is one.
    fn set_out(&mut self, lane: usize, cx: &mut Cx<'_>) {
        // While a connection is held back for its destination's rate the race
        // stands still.
        let is_first = self.defeat.is_none() && lane == 0;
        let may = is_first || cx.core.opened + KEPT_BACK < MAX_OPENED;
        if !may || cx.core.waiting.is_some() {
            return;
        }
        let lane = &mut self.lanes[lane];
        let count = lane.left.len() as u32;
        let Some(ip) = lane.left.next() else {
            return;
        };
        let left = cx.time_left();
        let part = (left / count).max(LEAST_PATIENCE);
        let address = SocketAddr::new(ip, self.port);
        cx.trace(format_args!("connecting to {address}"));
        let conn = cx.open_target(Endpoint {
            transport: Transport::Tcp,
            to: address,
            from: self.source,
        });
        lane.tried = Some(Tried {
            conn,
            address,
            until: (part < left).then(|| cx.now() + part),
        });
    }

    fn set_timer(&self, cx: &mut Cx<'_>) {
        if cx.core.waiting.is_some() {
            return;
        }
        let second = Some(self.second_at).filter(|at| {
            let [_, second] = &self.lanes;
            *at > cx.now() && second.tried.is_none() && !second.is_over()
        });
        let tried = self.lanes.iter().filter_map(|lane| lane.tried?.until);
        match tried.chain(second).min() {
            Some(at) => cx.wake_at(at),
            None => cx.no_wake(),
        }
    }
}

impl Defeat {
    /// Ends the run.
    pub(crate) fn tell(self, host: &str, cx: &mut Cx<'_>) {
        cx.core.address = Some(self.address);
        match self.why {
            Why::Closed(why) => super::dial::not_connected(host, &why, cx),
            Why::Silent => cx.fail(
                Reason::ConnectTimeout,
                format_args!("connect to {host} ({}): no answer in time", self.address),
            ),
        }
    }
}
