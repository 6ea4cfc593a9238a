//! What the engine asks of its host.

use std::mem::{MaybeUninit, offset_of};
use std::net::SocketAddr;
use std::ptr;

use ::probity_engine::{Families, Family, Output, Report, Transport};

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
/// `probity_engine_closed`. From elsewhere it would be another check: a host that cannot
/// choose where it comes from answers `PROBITY_CLOSED_LOCAL`, `no_source_port`.
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
/// All that it points to is lent until the next call with the engine, or as
/// `probity_engine_step` says.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_output {
    /// Bytes of this struct, set by the caller.
    pub size: usize,
    /// What: `PROBITY_OUTPUT_...`. Fields that it does not speak of are zero.
    pub kind: u32,
    /// The connection: numbered from 0 within a run, below 64, never reused in it.
    pub conn: u32,
    /// The run. The lower 32 bits are the number of its slot, which later runs use again:
    /// a host may index an array with it that grows. They are below the bounds of the
    /// engine for runs and look-ups together, and beyond that only by as many as runs were
    /// over whose reports waited to be read.
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
    /// One about a connection, or about none, that says nothing more.
    pub(crate) const fn about(kind: u32, run: u64, conn: u32) -> Self {
        const NO_ADDRESS: probity_address = probity_address {
            family: 0,
            reserved: 0,
            port: 0,
            ip: [0; 16],
        };
        Self {
            size: size_of::<Self>(),
            kind,
            conn,
            run,
            transport: 0,
            families: 0,
            address: NO_ADDRESS,
            source: NO_ADDRESS,
            name: probity_text {
                data: ptr::null(),
                length: 0,
            },
            bytes: probity_bytes {
                data: ptr::null(),
                length: 0,
            },
            report: ptr::null(),
            tls: ptr::null(),
        }
    }

    /// Writes in C's words what the engine asks, and tells its kind. What `output`
    /// borrows is lent on; a report, or what TLS is asked, is filled in at `lent`.
    #[inline(always)]
    pub(crate) fn write(
        place: &mut MaybeUninit<Self>,
        run: u64,
        output: Output<'_>,
        lent: &mut Lent,
    ) -> u32 {
        let written = match output {
            Output::Resolve(name, families) => place.write(Self {
                name: lend_text(name),
                families: families_number(families),
                ..Self::about(PROBITY_OUTPUT_RESOLVE, run, 0)
            }),
            Output::Open(conn, endpoint) => {
                let written = place.write(Self {
                    transport: match endpoint.transport {
                        Transport::Tcp => PROBITY_TRANSPORT_TCP,
                        Transport::Udp => PROBITY_TRANSPORT_UDP,
                    },
                    address: endpoint.to.into(),
                    ..Self::about(PROBITY_OUTPUT_OPEN, run, conn.0.into())
                });
                if let Some(ip) = endpoint.from {
                    written.source = SocketAddr::new(ip, 0).into();
                }
                written
            }
            Output::Secure(conn, params) => place.write(Self {
                name: lend_text(params.server_name),
                tls: lent.requests.fill(&params),
                ..Self::about(PROBITY_OUTPUT_SECURE, run, conn.0.into())
            }),
            Output::Send(conn, bytes) => place.write(Self {
                bytes: lend_bytes(&bytes),
                ..Self::about(PROBITY_OUTPUT_SEND, run, conn.0.into())
            }),
            Output::Flush(conn) => {
                place.write(Self::about(PROBITY_OUTPUT_FLUSH, run, conn.0.into()))
            }
            Output::Close(conn) => {
                place.write(Self::about(PROBITY_OUTPUT_CLOSE, run, conn.0.into()))
            }
            Output::Report(report) => return Self::write_report(place, run, &report, lent),
        };
        written.kind
    }

    /// The same for a report.
    #[inline(always)]
    pub(crate) fn write_report(
        place: &mut MaybeUninit<Self>,
        run: u64,
        report: &Report<'_>,
        lent: &mut Lent,
    ) -> u32 {
        place.write(Self {
            report: lent.fill(report),
            ..Self::about(PROBITY_OUTPUT_REPORT, run, 0)
        });
        PROBITY_OUTPUT_REPORT
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
