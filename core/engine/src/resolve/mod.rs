//! Name resolution as a machine: a stub resolver with the hosts file,
//! resolv.conf, a cache, and one query for many waiting runs.
//!
//! The [`Resolver`] answers what it knows at once. What it does not know
//! becomes a [`Lookup`]: a run of its own, driven by the engine like a check,
//! that asks servers over UDP and TCP.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::check::cx::{Cx, Resolution};
use crate::id::RunId;
use crate::io::{Families, Input, ResolveError};
use crate::time::Instant;

/// Whether `host` is an address and needs no resolution.
pub(crate) fn is_literal(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}
