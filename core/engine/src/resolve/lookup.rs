//! One look-up: asks servers until one knows.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::cache::Answer;
use super::config::Stub;
use super::failure;
use crate::check::cx::Cx;
use crate::io::{Families, Family, Input, ResolveError};
use crate::outcome::Reason;

/// Which addresses a name is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    V4,
    V6,
    Both,
}

impl Ask {
    /// Number of values, for arrays.
    pub(super) const COUNT: usize = 3;

    /// What is needed to satisfy `families`.
    pub(super) const fn of(families: Families) -> Self {
        match (families.fallback, families.preferred) {
            (true, _) => Self::Both,
            (false, Family::V4) => Self::V4,
            (false, Family::V6) => Self::V6,
        }
    }
}

/// What a look-up found.
#[derive(Debug)]
pub(crate) struct LookupResult {
    pub(super) answer: Answer,
    /// For how long it holds; `None` if it is not to be remembered.
    pub(super) ttl: Option<Duration>,
}

impl LookupResult {
    /// The look-up could not be made, for a reason of ours.
    pub(crate) const fn failed(error: ResolveError) -> Self {
        Self {
            answer: Err(error),
            ttl: None,
        }
    }
}

/// The state of one look-up.
#[derive(Debug)]
pub(crate) struct Lookup {
    stub: Arc<Stub>,
    name: Arc<str>,
    ask: Ask,
    candidates: Vec<Box<str>>,
    queries: u32,
    tcp_fallbacks: u32,
}

impl Lookup {
    pub(super) fn new(stub: &Arc<Stub>, name: &str, ask: Ask, _begun: usize) -> Option<Self> {
        let candidates = stub.candidates(name);
        (!candidates.is_empty()).then(|| Self {
            stub: Arc::clone(stub),
            name: name.into(),
            ask,
            candidates,
            queries: 0,
            tcp_fallbacks: 0,
        })
    }

    pub(super) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) const fn ask(&self) -> Ask {
        self.ask
    }

    pub(super) const fn queries(&self) -> u32 {
        self.queries
    }

    pub(super) const fn tcp_fallbacks(&self) -> u32 {
        self.tcp_fallbacks
    }

    /// Handles one event. Returns the result when the look-up is over.
    pub(crate) fn on(&mut self, _input: Input<'_>, _cx: &mut Cx<'_>) -> Option<LookupResult> {
        Some(LookupResult::failed(failure(Reason::Internal)))
    }
}
