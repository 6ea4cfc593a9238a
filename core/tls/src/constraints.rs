//! Name constraints (RFC 5280 section 4.2.1.10) that webpki does not judge as Go does.
//!
//! webpki refuses every chain with constraints on e-mail addresses, URIs or directory
//! names. Go compares the first two with the names of all certificates below the CA,
//! and passes over what it does not know, unless the extension is critical. So where a
//! CA has constraints on more than DNS names and IP addresses, or on a DNS name that is
//! none (`*.corp`), webpki is [shown](crate::shown) none, and all of them are judged here,
//! by Go's rules (`checkNameConstraints` of crypto/x509).

use std::net::IpAddr;

use x509_parser::asn1_rs::{Any, Class, FromDer};
use x509_parser::extensions::GeneralName;

use crate::certificate::Certificate;
use crate::mailbox::Mailbox;
use crate::rejection::Rejection;
use crate::text::{clean, hex};

/// Most comparisons for all chains from one server, as many as webpki makes: names and
/// constraints are the server's to choose.
pub(crate) const MAX_COMPARISONS: usize = 250_000;
/// How many characters of a name go into a sentence.
const LABEL: usize = 120;

/// The kinds of names that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Mail,
    Dns,
    Uri,
    Address,
}

const KINDS: usize = 4;

impl Kind {
    /// By the number of the tag of a GeneralName.
    fn of_tag(tag: u32) -> Option<Self> {
        match tag {
            1 => Some(Self::Mail),
            2 => Some(Self::Dns),
            6 => Some(Self::Uri),
            7 => Some(Self::Address),
            _ => None,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Mail => "e-mail address",
            Self::Dns => "DNS name",
            Self::Uri => "URI",
            Self::Address => "IP address",
        }
    }
}

/// Whose names they are: all that are equal to it, or below it.
#[derive(Debug)]
enum Subtree<'a> {
    /// Of DNS names, hosts of URIs and e-mail addresses.
    Domain(&'a str),
    Mailbox(Mailbox<'a>),
    Network {
        address: &'a [u8],
        mask: &'a [u8],
    },
}

/// Those of one kind.
#[derive(Debug, Default)]
struct Bounds<'a> {
    permitted: Vec<Subtree<'a>>,
    excluded: Vec<Subtree<'a>>,
}

/// What one CA's extension says.
#[derive(Debug, Default)]
pub(crate) struct Constraints<'a> {
    by_kind: [Bounds<'a>; KINDS],
    /// Whether there are some on other kinds of names.
    pub(crate) has_others: bool,
    /// Whether there is what webpki does not judge as Go does: another kind than DNS
    /// names and IP addresses, a DNS name that is none, or distances, which Go ignores.
    pub(crate) is_beyond_webpki: bool,
}

impl<'a> Constraints<'a> {
    /// Reads the extension's value; `None` if Go would not read it either.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let (rest, whole) = Any::from_der(value).ok()?;
        let is_sequence = whole.class() == Class::Universal && whole.tag().0 == 16;
        if !rest.is_empty() || !is_sequence {
            return None;
        }
        let mut constraints = Self::default();
        let mut left = whole.data;
        let mut count = 0;
        for number in [0, 1] {
            let Ok((rest, subtrees)) = Any::from_der(left) else {
                break;
            };
            if subtrees.class() != Class::ContextSpecific
                || subtrees.tag().0 != number
                || !subtrees.header.is_constructed()
            {
                continue;
            }
            left = rest;
            count += constraints.add(subtrees.data, number == 0)?;
        }
        (left.is_empty() && count > 0).then_some(constraints)
    }

    /// Adds a list of subtrees; how many there were.
    fn add(&mut self, mut list: &'a [u8], permitted: bool) -> Option<usize> {
        let mut count = 0;
        while !list.is_empty() {
            let (rest, subtree) = Any::from_der(list).ok()?;
            if subtree.class() != Class::Universal || subtree.tag().0 != 16 {
                return None;
            }
            let (distances, base) = Any::from_der(subtree.data).ok()?;
            list = rest;
            count += 1;
            self.is_beyond_webpki |= !distances.is_empty();
            let plain = base.class() == Class::ContextSpecific && !base.header.is_constructed();
            let Some(kind) = Kind::of_tag(base.tag().0).filter(|_| plain) else {
                self.has_others = true;
                self.is_beyond_webpki = true;
                continue;
            };
            self.is_beyond_webpki |= match kind {
                Kind::Mail | Kind::Uri => true,
                Kind::Dns => !is_read_by_webpki(base.data),
                Kind::Address => false,
            };
            let subtree = Subtree::parse(kind, base.data)?;
            let bounds = &mut self.by_kind[kind as usize];
            if permitted {
                bounds.permitted.push(subtree);
            } else {
                bounds.excluded.push(subtree);
            }
        }
        Some(count)
    }
}

/// Whether a constraint on DNS names is surely one that webpki reads, who refuses the
/// whole chain for any other (`*.corp`, `10.0.0.1`): Go compares what there is.
fn is_read_by_webpki(base: &[u8]) -> bool {
    let labels = || {
        base.strip_prefix(b".")
            .unwrap_or(base)
            .split(|byte| *byte == b'.')
    };
    let is_plain = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
    };
    let is_number = |label: &[u8]| label.iter().all(u8::is_ascii_digit);
    base.len() <= 253 && labels().all(is_plain) && !labels().next_back().is_some_and(is_number)
}

impl<'a> Subtree<'a> {
    fn parse(kind: Kind, base: &'a [u8]) -> Option<Self> {
        if kind == Kind::Address {
            if !matches!(base.len(), 8 | 32) {
                return None;
            }
            let (address, mask) = base.split_at(base.len() / 2);
            let is_prefix = {
                let ones: u32 = mask.iter().map(|byte| byte.leading_ones()).sum();
                let all: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
                let full = mask.iter().take_while(|byte| **byte == 0xff).count();
                let after = mask.iter().skip(full + 1);
                ones == all && after.fold(0, |sum, byte| sum | byte) == 0
            };
            return is_prefix.then_some(Self::Network { address, mask });
        }
        let text = std::str::from_utf8(base).ok()?;
        if kind == Kind::Mail && text.contains('@') {
            return Mailbox::parse(text).map(Self::Mailbox);
        }
        let is_address = kind == Kind::Uri && text.parse::<IpAddr>().is_ok();
        let domain = text.strip_prefix('.').unwrap_or(text);
        (!is_address && is_domain(domain)).then_some(Self::Domain(text))
    }

    /// Whether `name`, which is of the same kind, is one of its. An excluded subtree
    /// has `*.a.test` too if it has one of the names that this stands for.
    fn has(&self, name: &Name<'_>, excluded: bool) -> bool {
        match (self, name) {
            (Self::Domain(domain), Name::Host(host)) => {
                is_within(host, domain) || (excluded && star_reaches(host, domain))
            }
            (Self::Domain(domain), Name::Mailbox(mailbox)) => is_within(mailbox.domain, domain),
            (Self::Mailbox(own), Name::Mailbox(mailbox)) => {
                own.local == mailbox.local && own.domain.eq_ignore_ascii_case(mailbox.domain)
            }
            (Self::Network { address, mask }, Name::Address(bytes)) => {
                let mut bits = address.iter().zip(*mask).zip(*bytes);
                bytes.len() == address.len()
                    && bits.all(|((own, mask), other)| own & mask == other & mask)
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Subtree<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Domain("") => f.write_str("all of them"),
            Self::Domain(domain) => f.write_str(&clean(domain, LABEL)),
            Self::Mailbox(mailbox) => {
                let local = String::from_utf8_lossy(&mailbox.local);
                f.write_str(&clean(&format!("{local}@{}", mailbox.domain), LABEL))
            }
            Self::Network { address, mask } => {
                let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
                write!(f, "{}/{ones}", address_words(address))
            }
        }
    }
}

/// A name of a certificate, as far as it is compared.
enum Name<'a> {
    /// A DNS name, or that of a URI's host.
    Host(&'a str),
    Mailbox(Mailbox<'a>),
    Address(&'a [u8]),
}

impl<'a> Name<'a> {
    /// `None` if it is not what it says to be, or has no name to compare.
    fn parse(name: &GeneralName<'a>) -> Option<Self> {
        match name {
            GeneralName::DNSName(name) => is_domain(name).then_some(Self::Host(name)),
            GeneralName::RFC822Name(name) => Mailbox::parse(name).map(Self::Mailbox),
            GeneralName::URI(uri) => uri_host(uri).map(Self::Host),
            GeneralName::IPAddress(bytes) => {
                matches!(bytes.len(), 4 | 16).then_some(Self::Address(bytes))
            }
            _ => None,
        }
    }
}

fn kind_of(name: &GeneralName<'_>) -> Option<Kind> {
    match name {
        GeneralName::RFC822Name(_) => Some(Kind::Mail),
        GeneralName::DNSName(_) => Some(Kind::Dns),
        GeneralName::URI(_) => Some(Kind::Uri),
        GeneralName::IPAddress(_) => Some(Kind::Address),
        GeneralName::Invalid(tag, _) => Kind::of_tag(tag.0),
        _ => None,
    }
}

/// How a sentence calls it.
fn words(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::RFC822Name(text) | GeneralName::DNSName(text) | GeneralName::URI(text) => {
            clean(text, LABEL)
        }
        GeneralName::IPAddress(bytes) => address_words(bytes),
        GeneralName::Invalid(_, bytes) => {
            clean(&format!("{:?}", String::from_utf8_lossy(bytes)), LABEL)
        }
        _ => "(another)".into(),
    }
}

fn address_words(bytes: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return IpAddr::from(octets).to_string();
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(octets) => IpAddr::from(octets).to_string(),
        Err(_) => hex(&bytes[..bytes.len().min(16)]),
    }
}

/// Whether `text` may be a domain, by Go's `domainNameValid`: labels of visible ASCII,
/// or nothing at all.
pub(crate) fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_graphic());
    text.is_empty() || text.split('.').all(is_label)
}

/// Whether `name` is `domain` or below it; below it alone if `domain` begins with a dot.
fn is_within(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.as_bytes(), domain.as_bytes());
    let Some(at) = name.len().checked_sub(domain.len()) else {
        return false;
    };
    let (above, end) = name.split_at(at);
    if !end.eq_ignore_ascii_case(domain) {
        return false;
    }
    match domain.first() {
        None => true,
        Some(b'.') => !above.is_empty(),
        Some(_) => above.last().is_none_or(|last| *last == b'.'),
    }
}

/// Whether `name` has a star for the first label of `domain`.
fn star_reaches(name: &str, domain: &str) -> bool {
    match (name.strip_prefix("*."), domain.split_once('.')) {
        (Some(name), Some((_, domain))) => name.eq_ignore_ascii_case(domain),
        _ => false,
    }
}

/// The host in `uri` as Go finds it (`url.Parse`), without its port; `None` if there is
/// none, or an IP address.
fn uri_host(uri: &str) -> Option<&str> {
    if uri.bytes().any(|byte| byte.is_ascii_control()) {
        return None;
    }
    let rest = match uri.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => rest,
        _ => uri,
    };
    let rest = rest.strip_prefix("//")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host_and_port = authority.rsplit('@').next()?;
    let host = match host_and_port.split_once(':') {
        None => host_and_port,
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) => return None,
    };
    let is_name = !host.is_empty() && !host.contains(['[', ']', '%']) && is_domain(host);
    (is_name && host.parse::<IpAddr>().is_err()).then_some(host)
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Checks the names in a chain: `leaf`, `between`, nearest to it first, and `root` if it
/// has constraints that are ours to judge. Comparisons are taken from `left`.
pub(crate) fn check(
    root: Option<&Certificate<'_>>,
    between: &[&Certificate<'_>],
    leaf: &Certificate<'_>,
    left: &mut usize,
) -> Result<(), Rejection> {
    let chain = || {
        [leaf]
            .into_iter()
            .chain(between.iter().copied())
            .chain(root)
    };
    for (index, ca) in chain().enumerate() {
        let Some(constraints) = ca.constraints() else {
            continue;
        };
        if constraints.has_others && ca.has_critical_constraints() {
            return Err(Rejection::invalid(format!(
                "certificate has critical name constraints on other names than DNS names, IP addresses, e-mail addresses and URIs, which alone are known: {}",
                ca.label()
            )));
        }
        for cert in chain().take(index) {
            let case = Case {
                ca,
                constraints: &constraints,
                cert,
            };
            case.check(left)?;
        }
    }
    Ok(())
}

/// One CA's constraints and a certificate below it.
struct Case<'a> {
    ca: &'a Certificate<'a>,
    constraints: &'a Constraints<'a>,
    cert: &'a Certificate<'a>,
}

impl Case<'_> {
    fn check(&self, left: &mut usize) -> Result<(), Rejection> {
        let Some(names) = self.cert.all_names() else {
            return Err(Rejection::invalid(format!(
                "certificate has names that are not readable, and {} has name constraints: {}",
                self.ca.label(),
                self.cert.label()
            )));
        };
        for name in names {
            let Some(kind) = kind_of(name) else {
                continue;
            };
            let bounds = &self.constraints.by_kind[kind as usize];
            if !(bounds.permitted.is_empty() && bounds.excluded.is_empty()) {
                self.compare(kind, name, bounds, left)?;
            }
        }
        Ok(())
    }

    fn compare(
        &self,
        kind: Kind,
        name: &GeneralName<'_>,
        bounds: &Bounds<'_>,
        left: &mut usize,
    ) -> Result<(), Rejection> {
        let count = bounds.permitted.len() + bounds.excluded.len();
        *left = left.checked_sub(count).ok_or_else(|| {
            Rejection::invalid(format!(
                "certificate chain is too complex to be verified (more than {MAX_COMPARISONS} comparisons of names with name constraints): {}",
                self.cert.label()
            ))
        })?;
        let Some(read) = Name::parse(name) else {
            return Err(self.refuse(kind, name, "which is none that can be compared with", ""));
        };
        if let Some(subtree) = bounds.excluded.iter().find(|it| it.has(&read, true)) {
            let which = format!(" exclude ({subtree})");
            return Err(self.refuse(kind, name, "which", &which));
        }
        let is_permitted =
            bounds.permitted.is_empty() || bounds.permitted.iter().any(|it| it.has(&read, false));
        match (is_permitted, bounds.permitted.first()) {
            (false, Some(first)) => {
                let more = match bounds.permitted.len() - 1 {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let which = format!(" do not permit (they permit {first}{more})");
                Err(self.refuse(kind, name, "which", &which))
            }
            _ => Ok(()),
        }
    }

    fn refuse(&self, kind: Kind, name: &GeneralName<'_>, which: &str, what: &str) -> Rejection {
        Rejection::invalid(format!(
            "certificate has the {} {}, {which} the name constraints of {}{what}: {}",
            kind.words(),
            words(name),
            self.ca.label(),
            self.cert.label()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_compared_by_labels() {
        for (name, domain, expected) in [
            ("a.test", "", true),
            ("a.test", "a.test", true),
            ("B.A.test", "a.TEST", true),
            ("ba.test", "a.test", false),
            ("test", "a.test", false),
            ("b.a.test", ".a.test", true),
            ("a.test", ".a.test", false),
            ("*.a.test", "a.test", true),
            ("*.test", "a.test", false),
        ] {
            assert_eq!(is_within(name, domain), expected, "{name} in {domain}");
        }
        for (name, domain, expected) in [
            ("*.test", "a.test", true),
            ("*.TEST", "a.test", true),
            ("*.test", "b.a.test", false),
            ("a.test", "b.test", false),
        ] {
            assert_eq!(star_reaches(name, domain), expected, "{name} to {domain}");
        }
    }

    #[test]
    fn a_uri_has_the_host_that_go_finds() {
        for (uri, expected) in [
            ("spiffe://c.a.test/x", Some("c.a.test")),
            ("https://a.test", Some("a.test")),
            ("https://a.test?q#f", Some("a.test")),
            ("https://a.test#//b.test", Some("a.test")),
            ("https://u:p@a.test:443/x", Some("a.test")),
            ("https://b.test@a.test/", Some("a.test")),
            ("https://a.test:/", Some("a.test")),
            ("//a.test/x", Some("a.test")),
            ("urn:a:b", None),
            ("mailto:who@a.test", None),
            ("a.test", None),
            ("https:///x", None),
            ("https://127.0.0.1/", None),
            ("https://[::1]/", None),
            ("https://[::1]:443/", None),
            ("https://a.test:http/", None),
            ("https://a:1:2/", None),
            ("https://a%2etest/", None),
            ("https://a.test./", None),
            ("https://a..test/", None),
            ("https://a.test\n/", None),
            ("", None),
        ] {
            assert_eq!(uri_host(uri), expected, "{uri}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_constraint() {
        let subtree = |tag: u8, base: &[u8]| {
            let inner = [&[tag, base.len() as u8], base].concat();
            [&[0x30, inner.len() as u8], &inner[..]].concat()
        };
        let whole = |tag: u8, list: &[u8]| {
            let inner = [&[tag, list.len() as u8], list].concat();
            [&[0x30, inner.len() as u8], &inner[..]].concat()
        };
        let good = subtree(0x82, b"a.test");
        for (list, beyond) in [
            (good.clone(), false),
            (subtree(0x87, &[127, 0, 0, 1, 255, 128, 0, 0]), false),
            (subtree(0x82, b".a.test"), false),
            (subtree(0x82, b"*.test"), true),
            (subtree(0x82, b"10.0.0.1"), true),
            (subtree(0x82, b"-a.test"), true),
            (subtree(0x81, b"a.test"), true),
            (subtree(0x81, b"who@a.test"), true),
            (subtree(0x86, b".a.test"), true),
            (subtree(0xa4, &[0x30, 0]), true),
            (subtree(0xa2, b"a.test"), true),
            ([good.clone(), subtree(0x88, &[0x2a])].concat(), true),
            // A distance, which Go passes over.
            (
                [&[0x30, 9, 0x82, 4], &b"test"[..], &[0x80, 1, 0]].concat(),
                true,
            ),
        ] {
            for tag in [0xa0, 0xa1] {
                let value = whole(tag, &list);
                let read = Constraints::parse(&value);
                assert_eq!(
                    read.map(|it| it.is_beyond_webpki),
                    Some(beyond),
                    "{list:x?}"
                );
            }
        }
        for value in [
            vec![],
            vec![0x30, 0],
            whole(0xa0, &[]),
            whole(0xa2, &good),
            whole(0x80, &good),
            whole(0xa0, &good[1..]),
            whole(0xa0, &subtree(0x82, b"a..test")),
            whole(0xa0, &subtree(0x82, b"a.test.")),
            whole(0xa0, &subtree(0x81, b"@a.test")),
            whole(0xa0, &subtree(0x86, b"127.0.0.1")),
            whole(0xa0, &subtree(0x86, "\u{fc}.test".as_bytes())),
            whole(0xa0, &subtree(0x87, &[127, 0, 0, 1, 255, 0, 255, 0])),
            whole(0xa0, &subtree(0x87, &[127, 0, 0, 1, 0x81, 0, 0, 0])),
            whole(0xa0, &subtree(0x87, &[127, 0, 0, 1])),
            [whole(0xa0, &good), vec![0]].concat(),
        ] {
            assert!(Constraints::parse(&value).is_none(), "{value:x?}");
        }
    }
}
