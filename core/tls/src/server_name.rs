//! What a user writes as the name of a server, as a name that can be verified.

use rustls::pki_types::ServerName;

/// Reads a DNS name or an IP address, as Go does: brackets around an address,
/// its zone and a final dot are taken off.
pub(crate) fn parse(text: &str) -> Option<ServerName<'static>> {
    let unbracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    // A zone says which interface leads to an address; certificates know none.
    let host = match unbracketed.split_once('%') {
        Some((address, _)) if address.contains(':') => address,
        _ => unbracketed,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    ServerName::try_from(host.to_owned()).ok()
}

/// Whether `pattern`, a DNS name of a certificate, is for `host`, by Go's rule
/// (`matchHostnames` of crypto/x509): a star stands for the whole leftmost label
/// and for nothing else. What is below it may be a single label, such as
/// `local` or `svc`, which webpki does not allow.
pub(crate) fn matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let below_star = match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(pattern), Some((_, host))) => pattern.eq_ignore_ascii_case(host),
        _ => false,
    };
    below_star || pattern.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_names_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("example.com", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("under_score.example", Some("under_score.example")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("::1", Some("::1")),
            ("[::1]", Some("::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("example.com:443", None),
            ("", None),
            ("/run/app.sock", None),
            ("b\u{fc}cher.example", None),
        ] {
            let name = parse(text).map(|name| name.to_str().into_owned());
            assert_eq!(name.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_star_is_one_whole_label_on_the_left() {
        for (pattern, host, expected) in [
            ("*.local", "app.local", true),
            ("*.LOCAL", "App.local", true),
            ("*.local", "app.local.", true),
            ("*.local", "local", false),
            ("*.local", "a.b.local", false),
            ("*.a.local", "b.a.local", true),
            ("*.a.local", "a.local", false),
            ("app.local", "APP.local", true),
            ("app.local", "xapp.local", false),
            ("a*.local", "app.local", false),
            ("*a.local", "aa.local", false),
            ("a.*.local", "a.b.local", false),
            ("*.*.local", "a.b.local", false),
            ("*", "local", false),
            ("*.", "local", false),
            ("*.", "local.", false),
            ("", "local", false),
        ] {
            assert_eq!(matches(pattern, host), expected, "{pattern} for {host}");
        }
    }
}
