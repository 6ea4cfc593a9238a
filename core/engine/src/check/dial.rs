//! The part that most checks begin with: resolve, connect, secure.
//!
//! ```text
//! Idle -> Resolving -> Connecting -> Securing -> Ready
//!    `---------^ (literal, cached)      ^
//!                  `--------------------' (plain connections skip Securing)
//! ```
//! Any step may end the run instead.

use core::net::{IpAddr, SocketAddr};

use super::cx::{Cx, Resolution};
use crate::fact::Fact;
use crate::id::Conn;
use crate::io::{Closed, Endpoint, Families, Input, ResolveError, Transport};
use crate::outcome::{Outcome, Phase, Reason};
use crate::tls::TlsParams;

/// Slots of [`FACTS`].
const LOOKUP_TIME: usize = 0;
const IP_PROTOCOL: usize = 1;
const IP_HASH: usize = 2;

/// The first slot that is free for a check's own facts.
pub(crate) const FREE: usize = 3;

/// What every check that dials reports. Kinds list these among their own.
pub(crate) const FACTS: [Fact; FREE] = [
    Fact::plain(
        "probe_dns_lookup_time_seconds",
        "Returns the time taken for probe dns lookup in seconds",
        LOOKUP_TIME,
    ),
    Fact::plain(
        "probe_ip_protocol",
        "Specifies whether probe ip protocol is IP4 or IP6",
        IP_PROTOCOL,
    ),
    Fact::plain(
        "probe_ip_addr_hash",
        "Specifies the hash of IP address. It's useful to detect if the IP address changes.",
        IP_HASH,
    ),
];

/// Where to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'a> {
    /// A name or an address literal, without brackets.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) families: Families,
    /// Source address, if one was configured.
    pub(crate) source: Option<IpAddr>,
    /// How, if the connection is to be secured at once.
    pub(crate) secure: Option<TlsParams<'a>>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dial {
    #[default]
    Idle,
    Resolving,
    Connecting(Conn),
    Securing(Conn),
    Ready(Conn),
}

impl Dial {
    /// Starts from [`Dial::Idle`]. The phase `resolve` must be the current one.
    pub(crate) fn start(&mut self, to: Destination<'_>, cx: &mut Cx<'_>) {
        match cx.resolve(to.host, to.families) {
            Resolution::Known(answer) => self.resolved(to, answer, cx),
            Resolution::Pending => *self = Self::Resolving,
        }
    }

    /// Handles an event that is not data. Returns the connection when it
    /// becomes usable; the phase `processing` has then begun.
    pub(crate) fn on(
        &mut self,
        to: Destination<'_>,
        input: &Input<'_>,
        cx: &mut Cx<'_>,
    ) -> Option<Conn> {
        match (*self, input) {
            (Self::Resolving, Input::Resolved(answer)) => {
                let answer = match answer {
                    Ok(addresses) => to.families.choose(addresses).ok_or(ResolveError {
                        reason: Reason::DnsNoAddress,
                        server: None,
                    }),
                    Err(error) => Err(*error),
                };
                self.resolved(to, answer, cx);
            }
            (Self::Connecting(conn), Input::Opened(opened)) if conn == *opened => {
                if let Some(params) = to.secure {
                    cx.begin(Phase::Tls);
                    let name = params.server_name;
                    cx.trace(format_args!("connected, starting TLS with {name}"));
                    cx.secure(conn, params);
                    *self = Self::Securing(conn);
                } else {
                    cx.trace(format_args!("connected"));
                    return Some(self.ready(conn, cx));
                }
            }
            (Self::Securing(conn), Input::Secured(secured, info)) if conn == *secured => {
                cx.trace(format_args!(
                    "secured with {} {}",
                    info.version, info.cipher
                ));
                return Some(self.ready(conn, cx));
            }
            (Self::Connecting(conn), Input::Closed(closed, why)) if conn == *closed => {
                not_connected(to, why, cx);
            }
            (Self::Securing(conn), Input::Closed(closed, why)) if conn == *closed => {
                not_secured(why, cx);
            }
            // Anything else is late news of a connection that was given up.
            _ => {}
        }
        None
    }

    fn ready(&mut self, conn: Conn, cx: &mut Cx<'_>) -> Conn {
        cx.begin(Phase::Processing);
        *self = Self::Ready(conn);
        conn
    }

    fn resolved(
        &mut self,
        to: Destination<'_>,
        answer: Result<IpAddr, ResolveError>,
        cx: &mut Cx<'_>,
    ) {
        cx.end_phase();
        let first = cx.core.facts.get(LOOKUP_TIME).is_none();
        if first && let Some(spent) = cx.core.phases.get(Phase::Resolve) {
            cx.set(LOOKUP_TIME, spent.as_secs_f64());
        }
        let address = match answer {
            Ok(address) => address,
            Err(error) => {
                if first {
                    cx.set(IP_PROTOCOL, 0.0);
                    cx.set(IP_HASH, 0.0);
                }
                return not_resolved(to, error, cx);
            }
        };
        if first {
            cx.set(IP_PROTOCOL, if address.is_ipv4() { 4.0 } else { 6.0 });
            cx.set(IP_HASH, f64::from(address_hash(address)));
        }
        let endpoint = Endpoint {
            transport: Transport::Tcp,
            to: SocketAddr::new(address, to.port),
            from: to.source,
        };
        cx.trace(format_args!("connecting to {}", endpoint.to));
        cx.begin(Phase::Connect);
        *self = Self::Connecting(cx.open_target(endpoint));
    }
}

/// FNV-1a, 32 bits, over the bytes of the address, an IPv4-mapped one as IPv4:
/// what blackbox_exporter exports as `probe_ip_addr_hash`.
fn address_hash(address: IpAddr) -> u32 {
    fn fnv(bytes: &[u8]) -> u32 {
        bytes.iter().fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        })
    }
    match address.to_canonical() {
        IpAddr::V4(address) => fnv(&address.octets()),
        IpAddr::V6(address) => fnv(&address.octets()),
    }
}

fn not_resolved(to: Destination<'_>, error: ResolveError, cx: &mut Cx<'_>) {
    let host = to.host;
    let ResolveError { reason, server } = error;
    let family = match (to.families.fallback, to.families.preferred) {
        (true, _) => "address",
        (false, crate::io::Family::V4) => "IPv4 address",
        (false, crate::io::Family::V6) => "IPv6 address",
    };
    let asked = Asked(server);
    match reason {
        Reason::DnsNotFound => cx.fail(reason, format_args!("{host} does not exist{asked}")),
        Reason::DnsNoAddress => cx.fail(reason, format_args!("{host} has no {family}{asked}")),
        Reason::DnsServerFailure => cx.fail(
            reason,
            format_args!("no DNS server could answer for {host}{asked}"),
        ),
        Reason::DnsTimeout => cx.fail(
            reason,
            format_args!("no DNS server answered for {host} in time{asked}"),
        ),
        Reason::DnsMalformed => cx.fail(
            reason,
            format_args!("the DNS answer for {host} is malformed{asked}"),
        ),
        ours => cx.finish(
            Outcome::Unknown(ours),
            format_args!("{host} could not be looked up: {ours}"),
        ),
    }
}

/// ` (asked 10.0.0.2:53)`, or nothing.
struct Asked(Option<SocketAddr>);

impl core::fmt::Display for Asked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(server) => write!(f, " (asked {server})"),
            None => Ok(()),
        }
    }
}

fn not_connected(to: Destination<'_>, why: &Closed, cx: &mut Cx<'_>) {
    let Some(address) = cx.core.address else {
        return;
    };
    let reason = match why {
        Closed::Refused => Reason::ConnectRefused,
        Closed::Unreachable => Reason::ConnectUnreachable,
        Closed::TimedOut => Reason::ConnectTimeout,
        Closed::Reset => Reason::ConnectReset,
        Closed::End | Closed::Tls(_) | Closed::Other(_) | Closed::Local(_) => Reason::ConnectFailed,
    };
    let (host, said) = (to.host, why);
    cx.fail(
        reason,
        format_args!("connect to {host} ({address}): {said}"),
    );
}

fn not_secured(why: &Closed, cx: &mut Cx<'_>) {
    match why {
        Closed::Tls(failure) => cx.fail(failure.reason, format_args!("{}", failure.detail)),
        why => cx.fail(
            Reason::TlsHandshake,
            format_args!("TLS handshake: {why} before it was complete"),
        ),
    }
}

impl core::fmt::Display for Closed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::End => "closed by the peer",
            Self::Reset => "reset by the peer",
            Self::Refused => "connection refused",
            Self::Unreachable => "no route to the host",
            Self::TimedOut => "the system gave up waiting",
            Self::Tls(failure) => &failure.detail,
            Self::Other(text) => text,
            Self::Local(reason) => reason.name(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hash_as_in_blackbox_exporter() {
        for (address, hash) in [
            ("127.0.0.1", 3_668_918_509),
            ("::ffff:127.0.0.1", 3_668_918_509),
            ("::1", 1_751_717_746),
            ("192.0.2.1", 1_969_986_452),
            ("2001:db8::1", 1_851_458_804),
        ] {
            assert_eq!(address_hash(address.parse().unwrap()), hash, "{address}");
        }
    }
}
