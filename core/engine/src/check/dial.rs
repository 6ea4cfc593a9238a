//! The part that most checks begin with: resolve, connect, secure.
//!
//! ```text
//! Idle -> Resolving -> Connecting -> Securing -> Ready
//!    `---------^ (literal, cached)      ^
//!                  `--------------------' (plain connections skip Securing)
//! ```
//! Connecting is a [`Race`] where several addresses will do. Any step may end the run instead. Between Connecting and Securing there may
//! be a proxy: see [`Detour`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::cx::{Cx, Party, Resolution};
use super::excerpt::Excerpt;
use super::race::{self, Race};
use super::tunnel::{Far, Progress, Tunnel};
use crate::config::{Proxies, Proxy, ProxyKind};
use crate::fact::Fact;
use crate::id::Conn;
use crate::io::{
    Closed, Endpoint, Families, Family, Input, ResolveError, ServerTrouble, Transport,
};
use crate::outcome::{Outcome, Phase, Reason};
use crate::time::Instant;
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
    pub(crate) addresses: Addresses,
    /// Source address, if one was configured.
    pub(crate) source: Option<IpAddr>,
    /// How, if the connection is to be secured at once.
    pub(crate) secure: Option<TlsParams<'a>>,
    /// The proxies that the connection may go through.
    pub(crate) via: Option<Via<'a>>,
}

/// Which of the addresses of a name will do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Addresses {
    /// One: what blackbox_exporter takes of its target's.
    One(Families),
    /// Every one, those of this family first: as for Go's dialer, to which
    /// blackbox_exporter leaves everybody else.
    Every(Family),
}

impl Addresses {
    /// What to ask for.
    const fn families(self) -> Families {
        match self {
            Self::One(families) => families,
            Self::Every(preferred) => Families {
                preferred,
                fallback: true,
            },
        }
    }
}

/// See [`Destination::via`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Via<'a> {
    pub(crate) proxies: &'a Proxies,
    /// Whether the proxy is given the name and looks it up itself.
    pub(crate) by_name: bool,
}

impl Destination<'_> {
    fn far(&self, address: Option<IpAddr>) -> Far<'_> {
        Far {
            host: self.host,
            address,
            port: self.port,
        }
    }

    /// The proxy for a destination that is at `address`, if that is known.
    fn proxy(&self, address: Option<IpAddr>) -> Option<Arc<Proxy>> {
        let proxies = self.via?.proxies;
        let proxy = proxies.choose(self.secure.is_some(), self.host, self.port, address);
        proxy.map(Arc::clone)
    }
}

/// Where a destination is.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    At(IpAddr),
    /// Any of these will do, which are more than one.
    AtOneOf(Vec<IpAddr>),
    /// This proxy is to find it.
    ByProxy(Arc<Proxy>),
}

/// How far a connection is.
#[derive(Debug, Default)]
pub(crate) enum Dial {
    #[default]
    Idle,
    Resolving,
    Connecting(Conn),
    /// To one of several addresses.
    Racing(Box<Race>),
    Securing(Conn),
    /// On the way through a proxy.
    Detour(Box<Detour>),
    Ready(Route),
}

/// Which way requests take on a connection that is ready.
#[derive(Clone, Debug, Default)]
pub(crate) enum Route {
    /// The target is at the other end, be it through a tunnel.
    #[default]
    Through,
    /// A proxy is, which is given requests in absolute form (RFC 9112 section
    /// 3.2.2).
    Forwarded(Arc<Proxy>),
}

/// The way to a proxy, and through it.
///
/// ```text
/// Reaching -> Tunnelling -> the target's own handshake
///      `----> Ready, with requests in absolute form
/// ```
#[derive(Debug)]
pub(crate) struct Detour {
    proxy: Arc<Proxy>,
    /// Where the target is, unless the proxy is to look it up.
    address: Option<IpAddr>,
    /// Who is at the other end.
    on_behalf_of: Party,
    /// When there was a connection to the proxy.
    reached: Option<Instant>,
    leg: Leg,
}

#[derive(Debug)]
enum Leg {
    Reaching(Dial),
    Tunnelling(Conn, Tunnel),
}

impl Dial {
    /// Starts from [`Dial::Idle`]. The phase `resolve` must be the current one.
    pub(crate) fn start(&mut self, to: Destination<'_>, cx: &mut Cx<'_>) {
        *self = Self::Resolving;
        if let Some(found) = to.look_up(cx) {
            self.reach(to, found, cx);
        }
    }

    /// Goes on from [`Dial::Idle`] to where the last connection led. It may be in any
    /// phase that is over.
    pub(crate) fn again(&mut self, to: Destination<'_>, cx: &mut Cx<'_>) {
        match cx.core.address {
            Some(address) => self.reach(to, Found::At(address.ip()), cx),
            // Only a proxy knows where it is.
            None => {
                cx.begin(Phase::Resolve);
                self.start(to, cx);
            }
        }
    }

    /// Goes on from [`Dial::Idle`] to what was looked up before.
    pub(crate) fn reach(&mut self, to: Destination<'_>, found: Found, cx: &mut Cx<'_>) {
        let first = match &found {
            Found::ByProxy(proxy) => return self.detour(Arc::clone(proxy), None, to, cx),
            Found::At(address) => Some(*address),
            Found::AtOneOf(addresses) => addresses.first().copied(),
        };
        if let Some(proxy) = to.proxy(first) {
            return self.detour(proxy, first, to, cx);
        }
        let address = match (found, first) {
            (Found::AtOneOf(addresses), _) => {
                cx.begin(Phase::Connect);
                *self = Self::Racing(Race::start(addresses, to.port, to.source, cx));
                return;
            }
            (_, Some(address)) => address,
            (_, None) => return,
        };
        let endpoint = Endpoint {
            transport: Transport::Tcp,
            to: SocketAddr::new(address, to.port),
            from: to.source,
        };
        cx.trace(format_args!("connecting to {}", endpoint.to));
        cx.begin(Phase::Connect);
        *self = Self::Connecting(cx.open_target(endpoint));
    }

    /// Handles an event. Returns the connection when it becomes usable; the
    /// phase `processing` has then begun.
    pub(crate) fn on(
        &mut self,
        to: Destination<'_>,
        input: &Input<'_>,
        cx: &mut Cx<'_>,
    ) -> Option<Conn> {
        match (&mut *self, input) {
            (Self::Resolving, Input::Resolved(answer)) => {
                if let Some(found) = to.on_looked_up(*answer, cx) {
                    self.reach(to, found, cx);
                }
            }
            (Self::Connecting(conn), Input::Opened(opened)) if conn == opened => {
                return self.connected(to, *opened, cx);
            }
            (Self::Racing(race), input) => match race.on(input, cx) {
                race::Progress::Under => {}
                race::Progress::Won(conn) => return self.connected(to, conn, cx),
                race::Progress::Lost(defeat) => defeat.tell(to.host, cx),
            },
            (Self::Securing(conn), Input::Secured(secured, info)) if conn == secured => {
                cx.trace(format_args!(
                    "secured with {} {}",
                    info.version, info.cipher
                ));
                return Some(self.ready(*secured, Route::Through, cx));
            }
            (Self::Connecting(conn), Input::Closed(closed, why)) if conn == closed => {
                not_connected(to.host, why, cx);
            }
            (Self::Securing(conn), Input::Closed(closed, why)) if conn == closed => {
                not_secured(why, cx);
            }
            // It came before anybody was asked to secure the connection: in the
            // same batch, behind what a proxy should have ended with.
            (Self::Securing(conn), Input::Data(from, data)) if conn == from => cx.fail(
                Reason::TlsNotTls,
                format_args!(
                    "expected a TLS handshake, found {} in plain text",
                    Excerpt(data)
                ),
            ),
            (Self::Detour(_), input) => return self.on_detour(to, input, cx),
            // Anything else is late news of a connection that was given up.
            _ => {}
        }
        None
    }

    /// See [`Check::has_another_way`](super::Check::has_another_way).
    pub(crate) fn has_another_way(&self) -> bool {
        match self {
            Self::Racing(_) => true,
            Self::Detour(detour) => match &detour.leg {
                Leg::Reaching(dial) => dial.has_another_way(),
                Leg::Tunnelling(..) => false,
            },
            _ => false,
        }
    }

    /// The way that requests take once the connection is ready.
    pub(crate) fn route(&self) -> Route {
        match self {
            Self::Ready(route) => route.clone(),
            _ => Route::Through,
        }
    }

    /// Goes on with a connection at the other end of which the destination is.
    fn connected(&mut self, to: Destination<'_>, conn: Conn, cx: &mut Cx<'_>) -> Option<Conn> {
        let Some(params) = to.secure else {
            cx.trace(format_args!("connected"));
            return Some(self.ready(conn, Route::Through, cx));
        };
        cx.begin(Phase::Tls);
        let name = params.server_name;
        cx.trace(format_args!("connected, starting TLS with {name}"));
        cx.secure(conn, params);
        *self = Self::Securing(conn);
        None
    }

    fn ready(&mut self, conn: Conn, route: Route, cx: &mut Cx<'_>) -> Conn {
        cx.begin(Phase::Processing);
        *self = Self::Ready(route);
        conn
    }

    /// Sets out for a proxy. As in blackbox_exporter, `connect` begins when it is known
    /// where that is. It ends when there is a connection, if the target is to be secured
    /// (what the proxy is then asked is in no phase), and else when the connection is
    /// usable.
    fn detour(
        &mut self,
        proxy: Arc<Proxy>,
        address: Option<IpAddr>,
        to: Destination<'_>,
        cx: &mut Cx<'_>,
    ) {
        cx.begin(Phase::Connect);
        cx.trace(format_args!("going through the proxy {proxy}"));
        let on_behalf_of = core::mem::replace(&mut cx.core.party, Party::Proxy);
        cx.core.address = None;
        let mut dial = Self::Idle;
        dial.start(to.first_leg(&proxy), cx);
        if matches!(dial, Self::Resolving) {
            cx.abandon_phase();
        }
        cx.attribute(of_proxy, &Named(&proxy));
        *self = Self::Detour(Box::new(Detour {
            proxy,
            address,
            on_behalf_of,
            reached: None,
            leg: Leg::Reaching(dial),
        }));
    }

    fn on_detour(
        &mut self,
        to: Destination<'_>,
        input: &Input<'_>,
        cx: &mut Cx<'_>,
    ) -> Option<Conn> {
        let Self::Detour(detour) = self else {
            return None;
        };
        let Some((conn, tunnelled)) = detour.on(to, input, cx) else {
            cx.attribute(of_proxy, &Named(&detour.proxy));
            return None;
        };
        cx.core.party = detour.on_behalf_of;
        cx.core.address = detour.address.map(|ip| SocketAddr::new(ip, to.port));
        if tunnelled {
            // Not before: until then there is none to the target.
            if let Some(reached) = detour.reached.filter(|_| to.secure.is_some()) {
                cx.core.end_phase(reached);
            }
            return self.connected(to, conn, cx);
        }
        let route = Route::Forwarded(Arc::clone(&detour.proxy));
        Some(self.ready(conn, route, cx))
    }
}

impl<'a> Destination<'a> {
    /// Looks the host up, in the phase `resolve`. `None` if the answer is still
    /// to come, or there is none and the run has ended.
    pub(crate) fn look_up(self, cx: &mut Cx<'_>) -> Option<Found> {
        if self.via.is_some_and(|via| via.by_name)
            && let Some(proxy) = self.proxy(None)
        {
            cx.skip_phase();
            return Some(Found::ByProxy(proxy));
        }
        match cx.resolve(self.host, self.addresses.families()) {
            Resolution::Literal(address) => self.on_looked_up(Ok(&[address]), cx),
            Resolution::Known(answer) => {
                self.on_looked_up(answer.as_deref().map_err(|error| *error), cx)
            }
            Resolution::Pending => None,
        }
    }

    /// The answer came later. `None` if that has ended the run.
    pub(crate) fn on_looked_up(
        self,
        answer: Result<&[IpAddr], ResolveError>,
        cx: &mut Cx<'_>,
    ) -> Option<Found> {
        let found = answer.and_then(|addresses| {
            self.choose(addresses).ok_or(ResolveError {
                reason: Reason::DnsNoAddress,
                server: None,
                trouble: None,
            })
        });
        cx.end_phase();
        let address = match &found {
            Ok(Found::At(address)) => Some(*address),
            Ok(Found::AtOneOf(addresses)) => addresses.first().copied(),
            Ok(Found::ByProxy(_)) | Err(_) => None,
        };
        note_lookup(address, cx);
        match found {
            Ok(found) => Some(found),
            Err(error) => {
                not_resolved(self, error, cx);
                None
            }
        }
    }

    /// Where it is, if one of these addresses will do.
    fn choose(&self, addresses: &[IpAddr]) -> Option<Found> {
        let first = match self.addresses {
            Addresses::One(families) => return families.choose(addresses).map(Found::At),
            Addresses::Every(first) => first,
        };
        // There is no way from an address of one family to one of the other.
        let fits = |address: &IpAddr| {
            let source = self.source.as_ref();
            source.is_none_or(|source| Family::of(source) == Family::of(address))
        };
        let all = addresses.iter().map(IpAddr::to_canonical);
        let mut all: Vec<IpAddr> = all.filter(fits).collect();
        all.sort_by_key(|address| Family::of(address) != first);
        match &*all {
            [] => None,
            [address] => Some(Found::At(*address)),
            _ => Some(Found::AtOneOf(all)),
        }
    }

    /// How to get to the proxy on the way there.
    fn first_leg<'b>(&self, proxy: &'b Proxy) -> Destination<'b>
    where
        'a: 'b,
    {
        let tls = self.via.map(|via| &via.proxies.tls);
        let secure = tls.filter(|_| proxy.kind == ProxyKind::Https);
        Destination {
            host: &proxy.host,
            port: proxy.port,
            addresses: Addresses::Every(Family::V6),
            source: self.source,
            secure: secure.map(|options| TlsParams {
                server_name: &proxy.host,
                options,
            }),
            via: None,
        }
    }
}

impl Detour {
    /// Handles an event. Returns the connection when the proxy has done its
    /// part, and whether it is a tunnel.
    fn on(
        &mut self,
        to: Destination<'_>,
        input: &Input<'_>,
        cx: &mut Cx<'_>,
    ) -> Option<(Conn, bool)> {
        let far = to.far(self.address);
        match (&mut self.leg, input) {
            (Leg::Reaching(dial), input) => {
                let was_looked_up = !matches!(dial, Dial::Resolving);
                let conn = dial.on(to.first_leg(&self.proxy), input, cx);
                match dial {
                    Dial::Connecting(_) | Dial::Racing(_)
                        if !was_looked_up && self.on_behalf_of == Party::Target =>
                    {
                        cx.resume_phase();
                    }
                    Dial::Securing(_) | Dial::Ready(_) => {
                        self.reached.get_or_insert(cx.now());
                    }
                    _ => {}
                }
                let conn = conn?;
                if to.secure.is_none() && self.proxy.kind != ProxyKind::Socks5 {
                    return Some((conn, false));
                }
                let proxies = to.via?.proxies;
                let (tunnel, first) = Tunnel::begin(proxies, &self.proxy, far);
                cx.trace(format_args!("asking the proxy for {far}"));
                cx.send(conn, &first);
                self.leg = Leg::Tunnelling(conn, tunnel);
            }
            (Leg::Tunnelling(conn, tunnel), Input::Data(from, data)) if conn == from => {
                match tunnel.on_data(&self.proxy, far, data) {
                    Ok(Progress::Wait) => {}
                    Ok(Progress::Send(bytes)) => cx.send(*conn, &bytes),
                    Ok(Progress::Through) => return Some((*conn, true)),
                    Err(refusal) => cx.fail(refusal.reason, format_args!("{}", refusal.words)),
                }
            }
            (Leg::Tunnelling(conn, _), Input::Closed(closed, why)) if conn == closed => {
                cx.fail(
                    Reason::ProxyClosed,
                    format_args!("{why} before it had connected us to {far}"),
                );
            }
            _ => {}
        }
        None
    }
}

/// What a failure means on the way to a proxy.
fn of_proxy(reason: Reason) -> Reason {
    match reason {
        Reason::DnsNotFound
        | Reason::DnsNoAddress
        | Reason::DnsServerFailure
        | Reason::DnsTimeout
        | Reason::DnsMalformed => Reason::ProxyDns,
        Reason::ConnectRefused
        | Reason::ConnectTimeout
        | Reason::ConnectUnreachable
        | Reason::ConnectReset
        | Reason::ConnectFailed => Reason::ProxyConnect,
        Reason::TlsHandshake
        | Reason::TlsNotTls
        | Reason::TlsAlert
        | Reason::TlsIncompatible
        | Reason::TlsCertificateExpired
        | Reason::TlsCertificateNotYetValid
        | Reason::TlsUnknownIssuer
        | Reason::TlsNameMismatch
        | Reason::TlsCertificateInvalid => Reason::ProxyTls,
        other => other,
    }
}

/// `the proxy http://p.example:3128`
struct Named<'a>(&'a Proxy);

impl core::fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the proxy {}", self.0)
    }
}

/// Sets the first three of [`FACTS`], unless an earlier look-up of the run did.
/// The phase `resolve` is over.
pub(crate) fn note_lookup(address: Option<IpAddr>, cx: &mut Cx<'_>) {
    if cx.core.facts.get(LOOKUP_TIME).is_some() {
        return;
    }
    if let Some(spent) = cx.core.phases.get(Phase::Resolve) {
        cx.set(LOOKUP_TIME, spent.as_secs_f64());
    }
    note_address(address, cx);
}

/// The time of the run is over: the look-up of its target, if that is under way, has
/// taken until now and found nothing. blackbox_exporter shows it so.
pub(crate) fn expire_lookup(cx: &mut Cx<'_>) {
    let is_first = cx.core.facts.get(LOOKUP_TIME).is_none();
    if let Some(since) = cx.core.since
        && cx.core.phase == Phase::Resolve
        && cx.core.party == Party::Target
        && is_first
    {
        cx.count_partial();
        cx.set(LOOKUP_TIME, (cx.now() - since).as_secs_f64());
        note_address(None, cx);
    }
}

fn note_address(address: Option<IpAddr>, cx: &mut Cx<'_>) {
    let protocol = match address {
        Some(IpAddr::V4(_)) => 4.0,
        Some(IpAddr::V6(_)) => 6.0,
        None => 0.0,
    };
    cx.set(IP_PROTOCOL, protocol);
    cx.set(IP_HASH, address.map_or(0.0, |it| address_hash(it).into()));
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
    let ResolveError {
        reason,
        server,
        trouble,
    } = error;
    let families = to.addresses.families();
    let family = match (families.fallback, families.preferred) {
        (true, _) => "address",
        (false, Family::V4) => "IPv4 address",
        (false, Family::V6) => "IPv6 address",
    };
    let asked = Asked(server);
    match reason {
        Reason::DnsNotFound => cx.fail(reason, format_args!("{host} does not exist{asked}")),
        Reason::DnsNoAddress => cx.fail(reason, format_args!("{host} has no {family}{asked}")),
        Reason::DnsServerFailure => cx.fail(
            reason,
            format_args!(
                "no DNS server could answer for {host}{asked}{}",
                Trouble(trouble)
            ),
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

/// `: SERVFAIL`, or nothing.
struct Trouble(Option<ServerTrouble>);

impl core::fmt::Display for Trouble {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(trouble) => write!(f, ": {trouble}"),
            None => Ok(()),
        }
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

/// Ends the run: there is no connection to `host`.
pub(crate) fn not_connected(host: &str, why: &Closed, cx: &mut Cx<'_>) {
    let Some(address) = cx.core.address else {
        return;
    };
    let reason = match why {
        Closed::Refused => Reason::ConnectRefused,
        Closed::Unreachable => Reason::ConnectUnreachable,
        Closed::TimedOut => Reason::ConnectTimeout,
        Closed::Reset => Reason::ConnectReset,
        Closed::End | Closed::Tls(_) | Closed::Other(_) => Reason::ConnectFailed,
        Closed::Local(reason) => return not_tried(*reason, cx),
    };
    cx.fail(reason, format_args!("connect to {host} ({address}): {why}"));
}

/// Ends the run: we could not even try to connect.
pub(crate) fn not_tried(reason: Reason, cx: &mut Cx<'_>) {
    let words = match reason {
        Reason::NoDescriptors => {
            "it is out of file descriptors: let it have more (ulimit -n, LimitNOFILE)"
        }
        Reason::NoSourcePort => {
            "it has no free source port: probe less at once, or widen \
             net.ipv4.ip_local_port_range; or the source_ip_address of the module is \
             none of this machine's addresses"
        }
        Reason::NoMemory => "the system has no memory for another socket",
        Reason::LocalDenied => "this machine forbids it: look at its firewall and sandbox",
        other => other.name(),
    };
    let detail = format_args!("the prober could not connect: {words}");
    cx.finish(Outcome::Unknown(reason), detail);
}

/// Ends the run: the handshake has failed.
pub(crate) fn not_secured(why: &Closed, cx: &mut Cx<'_>) {
    match why {
        Closed::Tls(failure) if failure.reason == Reason::LocalBound => cx.finish(
            Outcome::Unknown(Reason::LocalBound),
            format_args!("{}", failure.detail),
        ),
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
