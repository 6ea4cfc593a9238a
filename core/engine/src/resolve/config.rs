//! What the resolver is told: the hosts file, and resolv.conf.
//!
//! Both are read as Go's resolver reads them (blackbox_exporter's resolver),
//! with the caps of resolv.conf(5): what is malformed is ignored, because that
//! is what every other program on the machine does with it.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use core::time::Duration;

use super::hosts::Hosts;
use crate::io::Transport;

/// Servers that are used; the others are ignored (resolv.conf(5): MAXNS).
pub const MAX_SERVERS: usize = 3;
/// Search domains that are used (resolv.conf(5)).
pub const MAX_SEARCH: usize = 32;
/// The largest `timeout:` (resolv.conf(5)).
const MAX_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest `attempts:` (resolv.conf(5)).
const MAX_ATTEMPTS: u8 = 5;
/// The largest `ndots:` (resolv.conf(5)).
const MAX_NDOTS: u8 = 15;
/// Where a server listens.
const PORT: u16 = 53;
/// Bytes of the longest name in text without its trailing dot: 255 on the
/// wire (RFC 1035 section 3.1), less a length byte and the root.
const MAX_NAME_BYTES: usize = 253;
/// Bytes of the longest label (RFC 1035 section 3.1).
const MAX_LABEL_BYTES: usize = 63;

/// How names are resolved. Any value can be used: what makes no sense was
/// ignored, or cut to its bound, when it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverConfig {
    /// `None` if the host resolves names.
    stub: Option<Stub>,
}

/// The configuration of a resolver of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stub {
    pub(crate) hosts: Hosts,
    /// At least one.
    pub(crate) servers: Vec<SocketAddr>,
    /// Lower case, without trailing dot.
    search: Vec<Box<str>>,
    ndots: u8,
    /// For one server to answer, not 0.
    pub(crate) timeout: Duration,
    /// Rounds over the servers, not 0.
    pub(crate) attempts: u8,
    /// Whether look-ups begin with another server each.
    pub(crate) rotate: bool,
    /// How servers are asked at first.
    pub(crate) transport: Transport,
    /// Longest time for which an answer is remembered.
    pub(crate) max_ttl: Duration,
}

impl Default for ResolverConfig {
    /// A machine without resolv.conf and hosts file.
    fn default() -> Self {
        Self::system("", "")
    }
}

impl ResolverConfig {
    /// For [`ResolverConfig::max_ttl`]. blackbox_exporter remembers nothing;
    /// this is short enough for a change in DNS to be seen within a few
    /// periods, and takes a fleet's queries off its servers.
    pub const DEFAULT_MAX_TTL: Duration = Duration::from_secs(30);

    /// The host resolves names: the engine asks with
    /// [`Output::Resolve`](crate::Output::Resolve) for everything that is not
    /// an address. The setters have no effect, nothing is remembered.
    pub const fn delegated() -> Self {
        Self { stub: None }
    }

    /// Reads the contents of `/etc/resolv.conf` and `/etc/hosts`.
    ///
    /// resolv.conf: `nameserver` (the first three; the zone of an IPv6 address is
    /// the number of an interface, and no number is 0, that of none), `search` and `domain` (the last line counts, up to 32
    /// domains), `options` `ndots:`, `timeout:`, `attempts:`, `rotate` and `use-vc`
    /// (also as `usevc` and `tcp`), each cut to the bounds of resolv.conf(5). Comments begin with `#` or
    /// `;`. Without a `nameserver` the servers are 127.0.0.1 and ::1. Without
    /// a domain nothing is searched, unless [`ResolverConfig::host_name`] says one.
    ///
    /// hosts: an address and its names on each line, comments from `#`. A
    /// name's addresses keep their order.
    pub fn system(resolv_conf: &str, hosts: &str) -> Self {
        let mut stub = Stub {
            hosts: Hosts::parse(hosts),
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            transport: Transport::Udp,
            max_ttl: Self::DEFAULT_MAX_TTL,
        };
        for line in resolv_conf.lines() {
            stub.read(line);
        }
        if stub.servers.is_empty() {
            stub.servers.push((Ipv4Addr::LOCALHOST, PORT).into());
            stub.servers.push((Ipv6Addr::LOCALHOST, PORT).into());
        }
        Self { stub: Some(stub) }
    }

    /// Only these servers (the first three), asked in order; no hosts file,
    /// no search list. Without any it is [`ResolverConfig::default`].
    pub fn with_servers(servers: &[SocketAddr]) -> Self {
        let config = Self::default();
        if servers.is_empty() {
            return config;
        }
        config.set(|stub| stub.servers = servers.iter().copied().take(MAX_SERVERS).collect())
    }

    /// Replaces the hosts file.
    #[must_use]
    pub fn hosts(self, hosts: &str) -> Self {
        self.set(|stub| stub.hosts = Hosts::parse(hosts))
    }

    /// Replaces the search list: the first 32 domains that are valid.
    #[must_use]
    pub fn search(self, domains: &[&str]) -> Self {
        self.set(|stub| stub.set_search(domains.iter().copied()))
    }

    /// Tells the name of this machine: where no domain is to be searched, its own is
    /// (resolv.conf(5), and Go), if the name has one.
    #[must_use]
    pub fn host_name(self, name: &str) -> Self {
        self.set(|stub| {
            if stub.search.is_empty()
                && let Some((_, domain)) = name.split_once('.')
            {
                stub.set_search(core::iter::once(domain));
            }
        })
    }

    /// Dots that a name must have to be tried as it is before the search list
    /// (at most 15, by default 1).
    #[must_use]
    pub fn ndots(self, ndots: u8) -> Self {
        self.set(|stub| stub.ndots = ndots.min(MAX_NDOTS))
    }

    /// Time for one server to answer (1 ms to 30 s, by default 5 s).
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|stub| stub.timeout = timeout.clamp(Duration::from_millis(1), MAX_TIMEOUT))
    }

    /// Rounds over the servers (1 to 5, by default 2).
    #[must_use]
    pub fn attempts(self, attempts: u8) -> Self {
        self.set(|stub| stub.attempts = attempts.clamp(1, MAX_ATTEMPTS))
    }

    /// Whether look-ups begin with another server each, instead of the first.
    #[must_use]
    pub fn rotate(self, rotate: bool) -> Self {
        self.set(|stub| stub.rotate = rotate)
    }

    /// Longest time for which an answer is remembered, whatever its TTL says;
    /// 0 remembers nothing. By default [`ResolverConfig::DEFAULT_MAX_TTL`].
    #[must_use]
    pub fn max_ttl(self, max_ttl: Duration) -> Self {
        self.set(|stub| stub.max_ttl = max_ttl)
    }

    fn set(mut self, change: impl FnOnce(&mut Stub)) -> Self {
        if let Some(stub) = &mut self.stub {
            change(stub);
        }
        self
    }

    pub(super) fn into_stub(self) -> Option<Stub> {
        self.stub
    }
}

impl Stub {
    /// Applies one line of resolv.conf.
    fn read(&mut self, line: &str) {
        let mut words = line
            .split_ascii_whitespace()
            .take_while(|word| !word.starts_with(['#', ';']));
        match words.next() {
            Some("nameserver") => {
                if let Some(server) = words.next().and_then(server)
                    && self.servers.len() < MAX_SERVERS
                {
                    self.servers.push(server);
                }
            }
            Some("domain") => self.set_search(words.take(1)),
            Some("search") => self.set_search(words),
            Some("options") => words.for_each(|option| self.set_option(option)),
            _ => {}
        }
    }

    fn set_search<'a>(&mut self, domains: impl Iterator<Item = &'a str>) {
        self.search = domains
            .filter(|domain| is_domain_name(domain))
            .map(|domain| relative(domain).to_ascii_lowercase().into())
            .take(MAX_SEARCH)
            .collect();
    }

    fn set_option(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        // What overflows is a large number, and cut like one.
        let number = match value.parse::<u32>() {
            Ok(number) => Some(u8::try_from(number).unwrap_or(u8::MAX)),
            Err(_) => None,
        };
        match (name, number) {
            ("ndots", Some(ndots)) => self.ndots = ndots.min(MAX_NDOTS),
            ("timeout", Some(seconds)) => {
                let timeout = Duration::from_secs(seconds.into());
                self.timeout = timeout.clamp(Duration::from_secs(1), MAX_TIMEOUT);
            }
            ("attempts", Some(attempts)) => self.attempts = attempts.clamp(1, MAX_ATTEMPTS),
            ("rotate", None) => self.rotate = true,
            ("use-vc" | "usevc" | "tcp", None) => self.transport = Transport::Tcp,
            _ => {}
        }
    }

    /// The names to ask for, in order, without trailing dots. None if `host`
    /// is no domain name.
    ///
    /// As Go has it: `.onion` is not for DNS (RFC 7686 section 2), and a name
    /// that a search domain would make too long is left out.
    pub(super) fn candidates(&self, host: &str) -> Vec<Box<str>> {
        let name = relative(host);
        if !is_domain_name(host) || ends_with_label(name, "onion") {
            return Vec::new();
        }
        let as_is = Box::<str>::from(name);
        if host.ends_with('.') {
            return [as_is].into();
        }
        let searched = self
            .search
            .iter()
            .filter(|domain| name.len() + 1 + domain.len() <= MAX_NAME_BYTES)
            .map(|domain| format!("{name}.{domain}").into());
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        if dots >= usize::from(self.ndots) {
            core::iter::once(as_is).chain(searched).collect()
        } else {
            searched.chain(core::iter::once(as_is)).collect()
        }
    }
}

/// `name` without its trailing dot.
pub(super) fn relative(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether `label` is the last label of `name`, in any case.
pub(super) fn ends_with_label(name: &str, label: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case(label)
}

/// Whether servers may be asked for `name`: Go's `isDomainName`. Laxer than
/// RFC 952 (underscores), and no IDNA: names are ASCII. The root is not a name
/// that has an address.
fn is_domain_name(name: &str) -> bool {
    let name = relative(name);
    let mut numeric = true;
    for label in name.split('.') {
        let bytes = label.as_bytes();
        let edges = bytes.first().zip(bytes.last());
        let fits = edges.is_some_and(|(first, last)| *first != b'-' && *last != b'-')
            && bytes.len() <= MAX_LABEL_BYTES;
        if !fits {
            return false;
        }
        for byte in bytes {
            match byte {
                b'0'..=b'9' => {}
                b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'-' => numeric = false,
                _ => return false,
            }
        }
    }
    !numeric && name.len() <= MAX_NAME_BYTES
}

/// An address, with the number of its zone if it has one.
fn server(text: &str) -> Option<SocketAddr> {
    match text.split_once('%') {
        Some((address, zone)) => {
            let number = zone.parse().unwrap_or(0);
            Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, number).into())
        }
        None => Some(SocketAddr::new(text.parse().ok()?, PORT)),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    fn stub(config: ResolverConfig) -> Stub {
        config.into_stub().expect("not delegated")
    }

    fn resolv_conf(text: &str) -> Stub {
        stub(ResolverConfig::system(text, ""))
    }

    fn candidates(resolv: &str, host: &str) -> Vec<String> {
        let names = resolv_conf(resolv).candidates(host);
        names.iter().map(|name| String::from(&**name)).collect()
    }

    #[test]
    fn nothing_configured_means_the_servers_of_this_host() {
        let stub = resolv_conf("");
        let servers: Vec<_> = stub.servers.iter().map(|s| format!("{s}")).collect();
        assert_eq!(servers, ["127.0.0.1:53", "[::1]:53"]);
        assert_eq!(stub.timeout, Duration::from_secs(5));
        assert_eq!(stub.attempts, 2);
        assert!(!stub.rotate);
    }

    #[test]
    fn resolv_conf_is_read_as_other_resolvers_read_it() {
        let stub = resolv_conf(
            "# comment\n; comment\n\
             nameserver 192.0.2.1 # trailing\n\
             nameserver fe80::1%3\n\
             nameserver 192.0.2.9%3\n\
             nameserver nonsense\n\
             nameserver\n\
             nameserver 2001:db8::1\r\n\
             nameserver 192.0.2.3\n\
             nameserver 192.0.2.4\n\
             domain ignored.example\n\
             search A.example b.example. bad..example c.example d.example e.example f.example g.example\n\
             options ndots:2 timeout:3 attempts:4 rotate unknown:7 ndots:x\n\
             bogus line\n",
        );
        let servers: Vec<_> = stub.servers.iter().map(|s| format!("{s}")).collect();
        assert_eq!(
            servers,
            ["192.0.2.1:53", "[fe80::1%3]:53", "[2001:db8::1]:53"]
        );
        let named = resolv_conf("nameserver fe80::1%eth0");
        assert_eq!(named.servers, ["[fe80::1]:53".parse().unwrap()]);
        let search: Vec<_> = stub.search.iter().map(|name| &**name).collect();
        let seven = [
            "a.example",
            "b.example",
            "c.example",
            "d.example",
            "e.example",
            "f.example",
            "g.example",
        ];
        assert_eq!(search, seven);
        assert_eq!(stub.ndots, 2);
        assert_eq!(stub.timeout, Duration::from_secs(3));
        assert_eq!(stub.attempts, 4);
        assert!(stub.rotate);
        assert_eq!(stub.transport, Transport::Udp);
        for option in ["use-vc", "usevc", "tcp"] {
            let stub = resolv_conf(&format!("options {option}"));
            assert_eq!(stub.transport, Transport::Tcp, "{option}");
        }
    }

    /// As many as Kubernetes lets a pod have.
    #[test]
    fn many_domains_are_searched() {
        let domains: Vec<String> = (0..40).map(|n| format!("d{n}.example")).collect();
        let conf = format!("search {}", domains.join(" "));
        let names = candidates(&conf, "web");
        assert_eq!(names.len(), 33);
        assert_eq!((&*names[31], &*names[32]), ("web.d31.example", "web"));
    }

    #[test]
    fn the_machine_s_own_domain_is_searched_where_no_other_is() {
        let searched = |conf: &str, name: &str| {
            let stub = stub(ResolverConfig::system(conf, "").host_name(name));
            stub.candidates("web")
                .into_iter()
                .map(String::from)
                .collect::<Vec<_>>()
        };
        assert_eq!(searched("", "box.Ns.example"), ["web.ns.example", "web"]);
        assert_eq!(searched("", "box"), ["web"]);
        assert_eq!(searched("", ""), ["web"]);
        for conf in ["search a.example", "domain a.example"] {
            assert_eq!(searched(conf, "box.ns.example"), ["web.a.example", "web"]);
        }
    }

    #[test]
    fn options_are_cut_to_their_bounds() {
        let stub = resolv_conf("options ndots:99 timeout:4000000000 attempts:0");
        assert_eq!(stub.ndots, 15);
        assert_eq!(stub.timeout, Duration::from_secs(30));
        assert_eq!(stub.attempts, 1);
        assert_eq!(
            resolv_conf("options timeout:0").timeout,
            Duration::from_secs(1)
        );
    }

    #[test]
    fn the_last_of_search_and_domain_counts() {
        let search = "search a.example b.example\ndomain c.example d.example";
        assert_eq!(candidates(search, "web"), ["web.c.example", "web"]);
    }

    #[test]
    fn names_with_few_dots_are_searched_first() {
        let conf = "search ns.example example\noptions ndots:2";
        assert_eq!(
            candidates(conf, "web"),
            ["web.ns.example", "web.example", "web"]
        );
        assert_eq!(
            candidates(conf, "a.web"),
            ["a.web.ns.example", "a.web.example", "a.web"]
        );
        assert_eq!(
            candidates(conf, "x.a.web"),
            ["x.a.web", "x.a.web.ns.example", "x.a.web.example"]
        );
        assert_eq!(
            candidates(conf, "web."),
            ["web"],
            "a trailing dot is absolute"
        );
    }

    #[test]
    fn invalid_names_are_never_asked_for() {
        let label = "a".repeat(64);
        let long = format!("{0}.{0}.{0}.{0}.aa", "a".repeat(63));
        for host in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "-a",
            "a-.b",
            "a b",
            "bücher.example",
            "127.1",
            "1.2.3",
            "a/b",
            "fe80::1%eth0",
            "hidden.ONION",
            "hidden.onion.",
            &label,
            &long,
        ] {
            assert!(candidates("search example", host).is_empty(), "{host:?}");
        }
        for host in [
            "_dns.a_b.example",
            "a-b",
            "1a",
            "xn--bcher-kva.example",
            &label[1..],
        ] {
            assert!(!candidates("", host).is_empty(), "{host:?}");
        }
    }

    #[test]
    fn a_search_domain_that_makes_a_name_too_long_is_left_out() {
        let name = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "a".repeat(55));
        assert_eq!(name.len(), 247);
        let conf = "search abcdef abcde\noptions ndots:9";
        assert_eq!(
            candidates(conf, &name),
            [format!("{name}.abcde"), name.clone()]
        );
    }

    #[test]
    fn setters_keep_a_configuration_valid() {
        let servers: Vec<_> = (1..9)
            .map(|n| SocketAddr::from(([192, 0, 2, n], 53)))
            .collect();
        let config = ResolverConfig::with_servers(&servers)
            .timeout(Duration::ZERO)
            .attempts(0)
            .ndots(200)
            .search(&["", "example", "a b"]);
        let stub = stub(config);
        assert_eq!(stub.servers, servers[..3]);
        assert_eq!(stub.attempts, 1);
        assert!(stub.timeout > Duration::ZERO);
        assert_eq!(stub.search, ["example".into()]);
        assert_eq!(ResolverConfig::with_servers(&[]), ResolverConfig::default());
        assert_eq!(
            ResolverConfig::delegated().rotate(true),
            ResolverConfig::delegated()
        );
    }
}
