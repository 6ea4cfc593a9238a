//! `host:port` as people write it.

use alloc::format;

use crate::check::TargetError;

/// Splits `host:port` as Go's `net.SplitHostPort` does. The port is mandatory,
/// and may be one of the names in [`NAMED`].
pub(crate) fn split_host_port(target: &str) -> Result<(&str, u16), TargetError> {
    let wrong = |found: &str| {
        TargetError::Target(format!(
            "expected host:port (an IPv6 address in brackets), found {target:?}: {found}"
        ))
    };
    let (host, port) = match target.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(|| wrong("no ]"))?;
            let port = after.strip_prefix(':').ok_or_else(|| wrong("no port"))?;
            (host, port)
        }
        None => {
            let (host, port) = target.rsplit_once(':').ok_or_else(|| wrong("no port"))?;
            if host.contains(':') {
                return Err(wrong("too many colons"));
            }
            (host, port)
        }
    };
    if host.contains(['[', ']']) || port.contains(['[', ']', ':']) {
        return Err(wrong("a bracket or colon where none belongs"));
    }
    if host.is_empty() {
        return Err(wrong("no host"));
    }
    match number(port) {
        Some(port) if port > 0 => Ok((host, port)),
        _ => Err(wrong(
            "the port is neither a number from 1 to 65535 nor the name of a well-known one",
        )),
    }
}

/// Ports by the names that Go's dialer knows without a services file. It reads
/// that of the system too; the engine has no files.
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
            ("[fe80::1%eth0]:IMAPS", ("fe80::1%eth0", 993)),
        ] {
            assert_eq!(split_host_port(target).unwrap(), expected);
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
        ] {
            let error = split_host_port(target).unwrap_err().to_string();
            assert!(error.starts_with("expected host:port"), "{error}");
            assert!(error.contains(&format!("{target:?}")), "{error}");
        }
    }
}
