//! What a look-up came to.
//!
//! # Which error wins
//!
//! For one candidate: that it does not exist (every family says so), or has no
//! addresses, is believed at once, from the first server that says it. If no
//! server knows, what a server said outweighs silence:
//! `dns_server_failure` (it refused or failed) over `dns_malformed` (its
//! answers made no sense, or answered something else) over `dns_timeout` over
//! being unreachable, which is `dns_server_failure` too.
//!
//! Between candidates: a failure over `dns_no_address` over `dns_not_found`,
//! because a name that could not be looked up may exist. As in Go, the search
//! goes on whatever happened, also after silence: another domain may be one that
//! the servers can say something about. The deadlines of the runs that wait end it.

use core::time::Duration;

use super::cache::Answer;
use crate::io::{ResolveError, ServerTrouble};
use crate::outcome::Reason;

/// What a look-up found.
#[derive(Debug)]
pub(crate) struct LookupResult {
    pub(super) answer: Answer,
    /// For how long it holds; `None` if it is not to be remembered.
    pub(super) ttl: Option<Duration>,
}

impl LookupResult {
    /// The look-up failed, or could not be made.
    pub(crate) const fn failed(error: ResolveError) -> Self {
        Self {
            answer: Err(error),
            ttl: None,
        }
    }
}

/// Why a server did not help.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    Unreachable,
    Silent,
    Malformed,
    Failed(ServerTrouble),
}

impl Trouble {
    /// The higher, the more it tells.
    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::Unreachable => 0,
            Self::Silent => 1,
            Self::Malformed => 2,
            Self::Failed(_) => 3,
        }
    }

    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::Unreachable | Self::Failed(_) => Reason::DnsServerFailure,
            Self::Silent => Reason::DnsTimeout,
            Self::Malformed => Reason::DnsMalformed,
        }
    }
}

/// What the candidates so far came to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    NotFound,
    NoAddress,
    Failed(Trouble),
}

impl Verdict {
    /// The higher, the more it tells.
    pub(super) const fn rank(self) -> u8 {
        match self {
            Self::NotFound => 0,
            Self::NoAddress => 1,
            Self::Failed(trouble) => 2 + trouble.rank(),
        }
    }

    /// What the server did that cannot answer.
    pub(super) const fn of_server(self) -> Option<ServerTrouble> {
        match self {
            Self::Failed(Trouble::Failed(trouble)) => Some(trouble),
            Self::Failed(Trouble::Unreachable) => Some(ServerTrouble::Unreachable),
            Self::Failed(Trouble::Silent | Trouble::Malformed)
            | Self::NotFound
            | Self::NoAddress => None,
        }
    }

    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::NotFound => Reason::DnsNotFound,
            Self::NoAddress => Reason::DnsNoAddress,
            Self::Failed(trouble) => trouble.reason(),
        }
    }
}
