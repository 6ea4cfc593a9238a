//! What the engine asks of its host.

use std::mem::offset_of;

use ::probity_engine::{Families, Family, Output, Transport};

use crate::boundary::{Sized_, lend_bytes, lend_text};
use crate::report::{Lent, probity_report};
use crate::secure::probity_tls_request;
use crate::types::{probity_address, probity_bytes, probity_text};

/// Resolve `name`, of a family that `families` allows, and answer with
/// `probity_engine_resolved` or `probity_engine_unresolved`. Only if the engine
/// was made to leave names to its host.
pub const PROBITY_OUTPUT_RESOLVE: u32 = 1;
/// Open a connection to `address` by `transport`, from `source` if that has a
/// family, without waiting; answer with `probity_engine_opened` or
/// `probity_engine_closed`.
pub const PROBITY_OUTPUT_OPEN: u32 = 2;
/// Perform a TLS handshake on an open connection, for the server name `name` and as
/// `tls` says, and answer with `probity_engine_secured` or `probity_engine_closed`;
/// from then on what is sent and received is plain text for TLS to carry. A
/// connection that is secured already gets a second layer inside. Only if TLS was
/// left to the host.
pub const PROBITY_OUTPUT_SECURE: u32 = 3;
/// Send `bytes`, all of them, in order. What the socket does not take at once the
/// host keeps and sends on; with the library's TLS these are at most some 49 KiB of
/// a long request, and the rest is in the outputs that follow.
pub const PROBITY_OUTPUT_SEND: u32 = 4;
/// Close the connection and forget it.
pub const PROBITY_OUTPUT_CLOSE: u32 = 5;
/// The run is over: `report`. It is the last output of a run.
pub const PROBITY_OUTPUT_REPORT: u32 = 6;
/// Answer with `probity_engine_flushed` as soon as the system has taken all that was
/// to be sent on the connection before, and not the host alone; at once if it has.
/// Where it cannot be sent any more the connection has not ended in order: that is
/// `PROBITY_CLOSED_RESET`.
pub const PROBITY_OUTPUT_FLUSH: u32 = 7;

/// `transport`: a stream.
pub const PROBITY_TRANSPORT_TCP: u32 = 0;
/// `transport`: connected datagrams.
pub const PROBITY_TRANSPORT_UDP: u32 = 1;

/// `families`: IPv6, else IPv4.
pub const PROBITY_FAMILIES_PREFER_V6: u32 = 0;
/// `families`: IPv4, else IPv6.
pub const PROBITY_FAMILIES_PREFER_V4: u32 = 1;
/// `families`: IPv6 alone.
pub const PROBITY_FAMILIES_ONLY_V6: u32 = 2;
/// `families`: IPv4 alone.
pub const PROBITY_FAMILIES_ONLY_V4: u32 = 3;

/// One thing that the engine asks. Begin with `size = sizeof(probity_output)`.
/// All that it points to is lent until the next call with the engine.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_output {
    /// Bytes of this struct, set by the caller.
    pub size: usize,
    /// What: `PROBITY_OUTPUT_...`. Fields that it does not speak of are zero.
    pub kind: u32,
    /// The connection: numbered from 0 within a run, never reused in it.
    pub conn: u32,
    /// The run. The lower 32 bits are the number of its slot: small, and reused
    /// by later runs, so that a host may index an array with it.
    pub run: u64,
    /// `PROBITY_TRANSPORT_...`.
    pub transport: u32,
    /// `PROBITY_FAMILIES_...`.
    pub families: u32,
    /// Where to connect.
    pub address: probity_address,
    /// Where to connect from, the port chosen by the system; family 0: anywhere.
    pub source: probity_address,
    /// What to resolve, or the server name.
    pub name: probity_text,
    /// What to send.
    pub bytes: probity_bytes,
    /// What the run has found out.
    pub report: *const probity_report,
    /// How to secure the connection.
    pub tls: *const probity_tls_request,
}

// SAFETY: numbers and pointers that the caller only receives.
unsafe impl Sized_ for probity_output {
    const FIRST: usize = offset_of!(Self, tls).next_multiple_of(align_of::<Self>());
}

impl probity_output {
    pub(crate) fn nothing() -> Self {
        Self {
            size: size_of::<Self>(),
            kind: 0,
            conn: 0,
            run: 0,
            transport: 0,
            families: 0,
            address: probity_address::default(),
            source: probity_address::default(),
            name: lend_text(""),
            bytes: lend_bytes(&[]),
            report: std::ptr::null(),
            tls: std::ptr::null(),
        }
    }

    /// The same in C's words. What `output` borrows is lent on; a report, or what
    /// TLS is asked, is filled in at `lent`.
    pub(crate) fn of(run: u64, output: &Output<'_>, lent: &mut Lent) -> Self {
        let mut it = Self {
            run,
            ..Self::nothing()
        };
        match output {
            Output::Resolve(name, families) => {
                it.kind = PROBITY_OUTPUT_RESOLVE;
                it.name = lend_text(name);
                it.families = families_number(*families);
            }
            Output::Open(conn, endpoint) => {
                it.kind = PROBITY_OUTPUT_OPEN;
                it.conn = conn.0.into();
                it.transport = match endpoint.transport {
                    Transport::Tcp => PROBITY_TRANSPORT_TCP,
                    Transport::Udp => PROBITY_TRANSPORT_UDP,
                };
                it.address = endpoint.to.into();
                let source = endpoint.from.map(|ip| std::net::SocketAddr::new(ip, 0));
                it.source = source.map(Into::into).unwrap_or_default();
            }
            Output::Secure(conn, params) => {
                it.kind = PROBITY_OUTPUT_SECURE;
                it.conn = conn.0.into();
                it.name = lend_text(params.server_name);
                it.tls = lent.requests.fill(params);
            }
            Output::Send(conn, bytes) => {
                it.kind = PROBITY_OUTPUT_SEND;
                it.conn = conn.0.into();
                it.bytes = lend_bytes(bytes);
            }
            Output::Flush(conn) => {
                it.kind = PROBITY_OUTPUT_FLUSH;
                it.conn = conn.0.into();
            }
            Output::Close(conn) => {
                it.kind = PROBITY_OUTPUT_CLOSE;
                it.conn = conn.0.into();
            }
            Output::Report(report) => {
                it.kind = PROBITY_OUTPUT_REPORT;
                it.report = lent.fill(report);
            }
        }
        it
    }
}

const fn families_number(families: Families) -> u32 {
    match (families.preferred, families.fallback) {
        (Family::V6, true) => PROBITY_FAMILIES_PREFER_V6,
        (Family::V4, true) => PROBITY_FAMILIES_PREFER_V4,
        (Family::V6, false) => PROBITY_FAMILIES_ONLY_V6,
        (Family::V4, false) => PROBITY_FAMILIES_ONLY_V4,
    }
}
