//! `host:port` as people write it.

use alloc::format;
use core::net::Ipv6Addr;

use crate::check::{TargetError, TargetParams};

/// Why a target with a zone is not probed.
pub(crate) const NO_ZONES: &str = "zones of IPv6 addresses are not supported by this version";

/// Reads `host:port`. The port is mandatory, and may be one of the names in
/// [`NAMED`], or one that the host knows.
pub(crate) fn host_and_port<'a>(
    target: &'a str,
    params: TargetParams<'_>,
) -> Result<(&'a str, u16), TargetError> {
    let sentence = |found: &str| {
        format!("expected host:port (an IPv6 address in brackets), found {target:?}: {found}")
    };
    let wrong = |found: &str| TargetError::Target(sentence(found));
    let (host, port) = split_host_port(target).map_err(wrong)?;
    if host.is_empty() {
        return Err(wrong("no host"));
    }
    let named = || params.ports.and_then(|ports| ports(port));
    let Some(port) = number(port).or_else(named).filter(|port| *port > 0) else {
        return Err(wrong(
            "the port is neither a number from 1 to 65535 nor the name of a well-known one",
        ));
    };
    match host.split_once('%') {
        None => Ok((host, port)),
        // Which number an interface has, only the system knows.
        Some((address, zone)) if !zone.is_empty() && address.parse::<Ipv6Addr>().is_ok() => {
            Err(TargetError::Unspoken(sentence(NO_ZONES)))
        }
        Some(_) => Err(wrong("a % that begins no zone of an IPv6 address")),
    }
}

/// What can be looked up of a target, whatever its port may be.
pub(crate) fn host_to_look_up(target: &str) -> Option<&str> {
    let (host, _) = split_host_port(target).ok()?;
    host.split('%').next()
}

/// Splits `host:port` as Go's `net.SplitHostPort` does: both may be anything.
fn split_host_port(target: &str) -> Result<(&str, &str), &'static str> {
    let (host, port) = match target.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("no ]")?;
            (host, after.strip_prefix(':').ok_or("no port")?)
        }
        None => {
            let (host, port) = target.rsplit_once(':').ok_or("no port")?;
            if host.contains(':') {
                return Err("too many colons");
            }
            (host, port)
        }
    };
    if host.contains(['[', ']']) || port.contains(['[', ']', ':']) {
        return Err("a bracket or colon where none belongs");
    }
    Ok((host, port))
}

/// Ports by the names that Go's dialer knows without a services file. What that of
/// the system adds is in [`TargetParams::ports`].
const NAMED: [(&str, u16); 15] = [
    ("domain", 53),
    ("ftp", 21),
    ("ftps", 990),
    ("gopher", 70),
    ("http", 80),
    ("https", 443),
    ("imap2", 143),
    ("imap3", 220),
    ("imaps", 993),
    ("pop3", 110),
    ("pop3s", 995),
    ("smtp", 25),
    ("ssh", 22),
    ("submissions", 465),
    ("telnet", 23),
];

fn number(port: &str) -> Option<u16> {
    let named = NAMED
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(port));
    match named {
        Some((_, port)) => Some(*port),
        None => port.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn targets_are_host_and_port() {
        for (target, expected) in [
            ("a.example:80", ("a.example", 80)),
            ("10.0.0.7:8080", ("10.0.0.7", 8080)),
            ("[::1]:443", ("::1", 443)),
            ("[a.example]:1", ("a.example", 1)),
            ("a:00022", ("a", 22)),
            ("a:+22", ("a", 22)),
            ("a:ssh", ("a", 22)),
            ("[fe80::1]:IMAPS", ("fe80::1", 993)),
        ] {
            let found = host_and_port(target, TargetParams::default());
            assert_eq!(found.unwrap(), expected);
        }
        for target in [
            "",
            "a",
            "a:",
            ":80",
            "::1:80",
            "[::1]",
            "[::1:80",
            "[::1]80",
            "[::1]:80:1",
            "[[::1]]:80",
            "a]:80",
            "[a:80",
            "a:[80]",
            "a:0",
            "a:-1",
            "a:65536",
            "a:gopherspace",
            "a: 80",
            "a:80 ",
            "[fe80::1%eth0]:80",
            "a%b.test:80",
            "127.0.0.1%lo:80",
            "[zz%lo]:80",
            "[::1%]:80",
        ] {
            let found = host_and_port(target, TargetParams::default());
            let error = found.unwrap_err().to_string();
            assert!(error.starts_with("expected host:port"), "{error}");
            assert!(error.contains(&format!("{target:?}")), "{error}");
        }
    }

    #[test]
    fn a_host_may_know_more_names_of_ports() {
        let params = TargetParams {
            ports: Some(|name| (name == "http-alt").then_some(8080)),
            ..TargetParams::default()
        };
        assert_eq!(host_and_port("a:http-alt", params).unwrap(), ("a", 8080));
        assert_eq!(host_and_port("a:ssh", params).unwrap(), ("a", 22));
        assert!(host_and_port("a:gopherspace", params).is_err());
        assert!(host_and_port("a:65536", params).is_err());
    }

    #[test]
    fn a_host_can_be_looked_up_if_there_is_one() {
        for (target, expected) in [
            ("a:0", Some("a")),
            ("a:", Some("a")),
            ("a:80/x", Some("a")),
            (":80", Some("")),
            ("[::1]:gopherspace", Some("::1")),
            ("[fe80::1%eth0]:80", Some("fe80::1")),
            ("a", None),
            ("::1:80", None),
            ("[::1]80", None),
        ] {
            assert_eq!(host_to_look_up(target), expected, "{target}");
        }
    }
}
