//! `no_proxy`: what goes out directly, by the rules of Go's
//! `golang.org/x/net/http/httpproxy`.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;

/// A list of exceptions. `localhost` and loopback addresses are in every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NoProxy {
    everything: bool,
    networks: Vec<Network>,
    /// Names below these, with whether the name itself is meant too.
    domains: Vec<Domain>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u8,
    port: Option<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Domain {
    /// With a leading dot.
    suffix: Box<str>,
    /// Whether the name without the dot is meant too.
    itself: bool,
    port: Option<Box<str>>,
}

impl NoProxy {
    /// Reads a list separated by commas: `*`, addresses, networks
    /// (`10.0.0.0/8`), names (`a.example` and all below it), `.a.example` and
    /// `*.a.example` (only below it); all but networks with `:port`. What is
    /// none of these matches nothing.
    pub(crate) fn parse(list: &str) -> Self {
        let mut rules = Self::default();
        for entry in list.split(',') {
            let entry = entry.trim().to_ascii_lowercase();
            if entry == "*" {
                rules.everything = true;
            } else if let Some(network) = network(&entry) {
                rules.networks.push(network);
            } else {
                rules.domains.extend(domain(&entry));
            }
        }
        rules
    }

    /// Whether a connection to `host`, which is at `address` if that is known,
    /// goes out directly. Go judges by the one that stands in the URL; here
    /// either will do.
    pub(crate) fn matches(&self, host: &str, port: u16, address: Option<IpAddr>) -> bool {
        let host = host.to_ascii_lowercase();
        if self.everything || host == "localhost" {
            return true;
        }
        let literal = host.parse().ok();
        let at_port = |wanted: &Option<Box<str>>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| wanted.parse() == Ok(port))
        };
        let mut addresses = [literal, address].into_iter().flatten();
        addresses.any(|address: IpAddr| {
            let address = address.to_canonical();
            address.is_loopback()
                || self
                    .networks
                    .iter()
                    .any(|network| network.contains(address) && at_port(&network.port))
        }) || self
            .domains
            .iter()
            .any(|domain| domain.covers(&host) && at_port(&domain.port))
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differs = network.to_bits() ^ address.to_bits();
                u32::from(self.prefix) <= differs.leading_zeros()
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differs = network.to_bits() ^ address.to_bits();
                u32::from(self.prefix) <= differs.leading_zeros()
            }
            _ => false,
        }
    }
}

impl Domain {
    fn covers(&self, host: &str) -> bool {
        host.ends_with(&*self.suffix) || self.itself && *host == self.suffix[1..]
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// An address, with a port or not, or a network.
fn network(entry: &str) -> Option<Network> {
    if let Some((address, prefix)) = entry.split_once('/') {
        let address: IpAddr = address.parse().ok()?;
        let prefix = prefix.parse().ok()?;
        return (prefix <= bits(address)).then_some(Network {
            address,
            prefix,
            port: None,
        });
    }
    let (host, port) = split_port(entry);
    let address = unbracketed(host).parse::<IpAddr>().ok()?.to_canonical();
    Some(Network {
        address,
        prefix: bits(address),
        port,
    })
}

fn domain(entry: &str) -> Option<Domain> {
    let (host, port) = split_port(entry);
    let host = host
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(host);
    if host.is_empty() || host.contains('/') {
        return None;
    }
    let itself = !host.starts_with('.');
    let suffix = match itself {
        true => format!(".{host}").into(),
        false => host.into(),
    };
    Some(Domain {
        suffix,
        itself,
        port,
    })
}

/// Splits `host:port`; more than one colon is an IPv6 address without brackets.
fn split_port(entry: &str) -> (&str, Option<Box<str>>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (
            host,
            Some(port).filter(|port| !port.is_empty()).map(Into::into),
        ),
        _ => (entry, None),
    }
}

fn unbracketed(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exceptions_are_those_of_go() {
        for (list, host, port, matches) in [
            ("", "a.example", 80, false),
            ("", "localhost", 80, true),
            ("", "LOCALHOST", 80, true),
            ("", "127.0.0.2", 80, true),
            ("", "::1", 80, true),
            ("*", "a.example", 80, true),
            ("b, *", "10.0.0.1", 80, true),
            ("a.example", "a.example", 80, true),
            ("a.example", "x.A.example", 80, true),
            ("A.EXAMPLE", "a.example", 80, true),
            ("a.example", "ba.example", 80, false),
            (".a.example", "a.example", 80, false),
            (".a.example", "x.a.example", 80, true),
            ("*.a.example", "x.a.example", 80, true),
            ("*.a.example", "a.example", 80, false),
            ("a.example:81", "a.example", 80, false),
            ("a.example:81", "x.a.example", 81, true),
            ("192.0.2.1", "192.0.2.1", 80, true),
            ("192.0.2.1:81", "192.0.2.1", 80, false),
            ("192.0.2.1:81", "192.0.2.1", 81, true),
            ("192.0.2.0/24", "192.0.2.200", 80, true),
            ("192.0.2.0/24", "192.0.3.1", 80, false),
            ("0.0.0.0/0", "198.51.100.1", 80, true),
            ("0.0.0.0/0", "2001:db8::1", 80, false),
            ("2001:db8::/32", "2001:db8::1", 80, true),
            ("2001:db8::1", "2001:db8::1", 80, true),
            ("[2001:db8::1]:81", "2001:db8::1", 81, true),
            ("[2001:db8::1]:81", "2001:db8::1", 80, false),
            ("192.0.2.0/33", "192.0.2.0", 80, false),
            ("192.0.2.0/x", "192.0.2.0", 80, false),
            (":80", "a.example", 80, false),
            (" , ,a.example , ", "a.example", 80, true),
        ] {
            let rules = NoProxy::parse(list);
            assert_eq!(
                rules.matches(host, port, None),
                matches,
                "{list:?} {host}:{port}"
            );
        }
    }

    #[test]
    fn a_name_and_its_address_are_both_looked_at() {
        let rules = NoProxy::parse("10.0.0.0/8, a.example");
        let at = |text: &str| Some(text.parse().unwrap());
        assert!(rules.matches("b.example", 80, at("10.1.1.1")));
        assert!(rules.matches("a.example", 80, at("192.0.2.1")));
        assert!(rules.matches("b.example", 80, at("::ffff:10.1.1.1")));
        assert!(rules.matches("b.example", 80, at("127.0.0.1")));
        assert!(!rules.matches("b.example", 80, at("192.0.2.1")));
    }

    proptest! {
        #[test]
        fn no_list_panics(list in ".{0,60}", host in ".{0,20}", port: u16) {
            NoProxy::parse(&list).matches(&host, port, None);
        }
    }
}
