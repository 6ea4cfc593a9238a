//! Facts about certificates, read with x509-parser.
//!
//! webpki decides whether to trust; it does not say what a certificate claims.
//! This reads the claims, also of certificates that nobody should trust.
//! A certificate that does not parse is one that there is nothing to say about.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use probity_engine::tls::ChainInfo;
use ring::digest::{SHA256, digest};
use rustls::pki_types::ServerName;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::oid_registry::{OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_NAME_CONSTRAINTS};
use x509_parser::prelude::FromDer;

use crate::algorithms::significant;
use crate::constraints::Constraints;
use crate::key::Key;
use crate::name::go_string;
use crate::policies::Policies;
use crate::purpose::Purpose;
use crate::server_name;
use crate::text::{clean, hex};

/// How many characters of a subject go into a sentence.
const LABEL: usize = 120;

/// One certificate that parsed.
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    /// The bytes that it was parsed from.
    pub(crate) der: &'a [u8],
    /// First second of validity, Unix time.
    pub(crate) not_before: i64,
    /// Last second of validity, Unix time.
    pub(crate) not_after: i64,
    parsed: X509Certificate<'a>,
}

impl<'a> Certificate<'a> {
    /// Parses DER; bytes after the certificate are an error.
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        Some(Self {
            der,
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            parsed,
        })
    }

    /// Subject, as DER.
    pub(crate) fn subject(&self) -> &'a [u8] {
        self.parsed.tbs_certificate.subject.as_raw()
    }

    /// Issuer, as DER.
    pub(crate) fn issuer(&self) -> &'a [u8] {
        self.parsed.tbs_certificate.issuer.as_raw()
    }

    /// Whether the certificate names itself as its issuer.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject() == self.issuer()
    }

    /// SubjectPublicKeyInfo, as DER.
    pub(crate) fn public_key(&self) -> &'a [u8] {
        self.parsed.tbs_certificate.subject_pki.raw
    }

    /// Kind and size of the public key.
    pub(crate) fn key(&self) -> Key {
        Key::of(&self.parsed.tbs_certificate.subject_pki)
    }

    /// The part that is signed, as DER.
    pub(crate) fn signed(&self) -> &[u8] {
        self.parsed.tbs_certificate.as_ref()
    }

    /// The value of the extension BasicConstraints, as DER.
    pub(crate) fn basic_constraints(&self) -> Option<&[u8]> {
        let extension = self
            .parsed
            .get_extension_unique(&OID_X509_EXT_BASIC_CONSTRAINTS);
        Some(extension.ok()??.value)
    }

    /// The flags that say of its extensions about policies that they are
    /// critical, as DER. None if one of them is damaged, or there twice: what it
    /// asks for is not known then.
    pub(crate) fn critical_policies(&self) -> impl Iterator<Item = &'a [u8]> {
        let is_known = self.policies().is_some();
        let extensions = self.parsed.extensions().iter();
        extensions
            .filter(move |extension| {
                let parsed = extension.parsed_extension();
                is_known && extension.critical && is_about_policies(parsed)
            })
            .filter_map(|extension| self.after_id(extension))
    }

    /// What follows the id of one of its extensions: the flag that says that it is
    /// critical, if it is, as DER.
    fn after_id(&self, extension: &X509Extension<'_>) -> Option<&'a [u8]> {
        let after = self.position(extension.oid.as_bytes()).end;
        self.der.get(after..)?.get(..3)
    }

    /// What it says about policies; `None` if that is damaged, or said twice.
    pub(crate) fn policies(&self) -> Option<Policies<'_>> {
        let mut policies = Policies::default();
        let mut seen = Vec::new();
        for extension in self.parsed.extensions() {
            let id = extension.oid.as_bytes();
            // id-ce (RFC 5280 section 4.2.1).
            let [0x55, 0x1d, 32 | 33 | 36 | 54] = id else {
                continue;
            };
            if seen.contains(&id) {
                return None;
            }
            seen.push(id);
            match extension.parsed_extension() {
                ParsedExtension::CertificatePolicies(own) => {
                    let own = own.iter().map(|policy| policy.policy_id.as_bytes());
                    policies.own.extend(own);
                }
                ParsedExtension::PolicyMappings(all) => {
                    for one in &all.mappings {
                        let to = one.subject_domain_policy.as_bytes();
                        let from = one.issuer_domain_policy.as_bytes();
                        policies.mapped.entry(from).or_default().push(to);
                    }
                }
                ParsedExtension::PolicyConstraints(bounds) => {
                    policies.require_explicit = bounds.require_explicit_policy;
                    policies.inhibit_mapping = bounds.inhibit_policy_mapping;
                }
                ParsedExtension::InhibitAnyPolicy(bound) => {
                    policies.inhibit_any = Some(bound.skip_certs);
                }
                _ => return None,
            }
        }
        Some(policies)
    }

    /// What names it allows below itself, if that is not for webpki to judge. What is
    /// damaged, or there twice, webpki refuses.
    pub(crate) fn constraints(&self) -> Option<Constraints<'a>> {
        let constraints = Constraints::parse(self.name_constraints()?.value)?;
        constraints.is_beyond_webpki.then_some(constraints)
    }

    /// The content of the id of [these](Self::constraints), and the flag that says that
    /// they are critical or what is in its place, as DER.
    pub(crate) fn constraints_id(&self) -> Option<[&[u8]; 2]> {
        self.constraints()?;
        let extension = self.name_constraints()?;
        Some([extension.oid.as_bytes(), self.after_id(extension)?])
    }

    /// Whether whoever does not know its constraints has to refuse it.
    pub(crate) fn has_critical_constraints(&self) -> bool {
        self.name_constraints().is_some_and(|it| it.critical)
    }

    fn name_constraints(&self) -> Option<&X509Extension<'a>> {
        let extension = self
            .parsed
            .get_extension_unique(&OID_X509_EXT_NAME_CONSTRAINTS);
        extension.ok()?
    }

    /// Where in the certificate `part` is, which was lent by it.
    pub(crate) fn position(&self, part: &[u8]) -> Range<usize> {
        let start = part.as_ptr().addr() - self.der.as_ptr().addr();
        start..start + part.len()
    }

    /// X.509 version: 1, 2 or 3.
    pub(crate) fn version(&self) -> u32 {
        self.parsed.version.0.saturating_add(1)
    }

    /// Whether it has extensions, which are those of version 3 alone.
    pub(crate) fn has_extensions(&self) -> bool {
        !self.parsed.extensions().is_empty()
    }

    /// Whether the certificate may be shown for `purpose`: it has no extended key
    /// usage, or one that includes it (RFC 5280 section 4.2.1.12).
    pub(crate) fn serves(&self, purpose: Purpose) -> bool {
        match self.parsed.extended_key_usage() {
            Ok(Some(usage)) => {
                usage.value.any
                    || match purpose {
                        Purpose::Server => usage.value.server_auth,
                        Purpose::Client => usage.value.client_auth,
                    }
            }
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Whether the certificate may sign others (RFC 5280 sections 4.2.1.9 and
    /// 4.2.1.3). Those of version 1 cannot say that they may not.
    pub(crate) fn is_issuer(&self) -> bool {
        let is_ca = match self.parsed.basic_constraints() {
            Ok(Some(constraints)) => constraints.value.ca,
            Ok(None) => self.version() < 3,
            Err(_) => false,
        };
        let signs = match self.parsed.key_usage() {
            Ok(Some(usage)) => usage.value.key_cert_sign(),
            Ok(None) => true,
            Err(_) => false,
        };
        is_ca && signs
    }

    /// How many certificates it allows between itself and a leaf, if it says.
    pub(crate) fn path_length(&self) -> Option<u32> {
        let constraints = self.parsed.basic_constraints().ok().flatten()?;
        constraints.value.path_len_constraint
    }

    /// DNS names and IP addresses that it is for, as text.
    pub(crate) fn names(&self) -> Vec<String> {
        self.alternatives()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(clean(name, LABEL)),
                GeneralName::IPAddress(bytes) => Some(address(bytes)?.to_string()),
                _ => None,
            })
            .collect()
    }

    /// Whether it is for `server`, by Go's rules (`VerifyHostname`): a DNS name as
    /// [`server_name::matches`] says, and an IPv4 address also where one of the
    /// two is mapped into IPv6 (RFC 4291 section 2.5.5.2).
    pub(crate) fn is_for(&self, server: &ServerName<'_>) -> bool {
        let mut names = self.alternatives();
        match server {
            ServerName::DnsName(host) => names.any(|name| match name {
                GeneralName::DNSName(pattern) => server_name::matches(pattern, host.as_ref()),
                _ => false,
            }),
            ServerName::IpAddress(server) => {
                let server = IpAddr::from(*server).to_canonical();
                names.any(|name| match name {
                    GeneralName::IPAddress(bytes) => {
                        address(bytes).is_some_and(|own| own.to_canonical() == server)
                    }
                    _ => false,
                })
            }
            _ => false,
        }
    }

    /// Its alternative names as Go writes them: DNS names, addresses of mail and of
    /// machines, URIs.
    pub(crate) fn written_names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.alternatives().filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                Some(Cow::Borrowed(*name))
            }
            GeneralName::IPAddress(bytes) => {
                Some(address(bytes)?.to_canonical().to_string().into())
            }
            _ => None,
        })
    }

    /// How a sentence calls it: its subject, or else its first name.
    pub(crate) fn label(&self) -> String {
        let subject = go_string(self.parsed.subject());
        if !subject.is_empty() {
            return clean(&subject, LABEL);
        }
        match self.names().first() {
            Some(name) => name.clone(),
            None => "(no subject)".into(),
        }
    }

    /// How a sentence calls its issuer.
    pub(crate) fn issuer_label(&self) -> String {
        match go_string(self.parsed.issuer()) {
            issuer if issuer.is_empty() => "(no issuer)".into(),
            issuer => clean(&issuer, LABEL),
        }
    }

    /// Its alternative names, of all kinds; `None` if they cannot be read.
    pub(crate) fn all_names(&self) -> Option<&[GeneralName<'a>]> {
        match self.parsed.subject_alternative_name() {
            Ok(Some(extension)) => Some(&extension.value.general_names),
            Ok(None) => Some(&[]),
            Err(_) => None,
        }
    }

    fn alternatives(&self) -> impl Iterator<Item = &GeneralName<'a>> {
        self.all_names().unwrap_or_default().iter()
    }
}

fn is_about_policies(extension: &ParsedExtension<'_>) -> bool {
    matches!(
        extension,
        ParsedExtension::CertificatePolicies(_)
            | ParsedExtension::PolicyMappings(_)
            | ParsedExtension::PolicyConstraints(_)
            | ParsedExtension::InhibitAnyPolicy(_)
    )
}

/// The certificates that somebody sent, leaf first.
#[derive(Debug)]
pub(crate) struct Sent<'a> {
    /// The first, if it parses.
    pub(crate) leaf: Option<Certificate<'a>>,
    /// Those of the others that parse.
    pub(crate) others: Vec<Certificate<'a>>,
}

impl<'a> Sent<'a> {
    /// Parses what can be parsed.
    pub(crate) fn parse(leaf: &'a [u8], others: impl Iterator<Item = &'a [u8]>) -> Self {
        Self {
            leaf: Certificate::parse(leaf),
            others: others.filter_map(Certificate::parse).collect(),
        }
    }

    /// All that parsed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Certificate<'a>> {
        self.leaf.iter().chain(&self.others)
    }

    /// What there is to report, or `None` if the leaf does not parse.
    pub(crate) fn facts(&self, chain_expiry: Option<i64>) -> Option<Box<ChainInfo>> {
        let leaf = self.leaf.as_ref()?;
        let earliest_expiry = self.iter().map(|sent| sent.not_after).min()?;
        let dns_names: Vec<&str> = leaf
            .alternatives()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            })
            .collect();
        Some(Box::new(ChainInfo {
            earliest_expiry,
            chain_expiry,
            fingerprint_sha256: hex(digest(&SHA256, leaf.der).as_ref()),
            subject: go_string(leaf.parsed.subject()),
            issuer: go_string(leaf.parsed.issuer()),
            subject_alternative: dns_names.join(","),
            serial: hex(significant(leaf.parsed.raw_serial())),
        }))
    }
}

/// An address as certificates have it: 4 or 16 bytes (RFC 5280 section 4.2.1.6).
fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(octets).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_whole_bytes_without_leading_zero_bytes() {
        assert_eq!(hex(significant(&[0, 0x8f, 1])), "8f01");
        assert_eq!(hex(significant(&[0x0b, 0xff])), "0bff");
        assert_eq!(hex(significant(&[0])), "");
    }

    #[test]
    fn addresses_have_4_or_16_bytes() {
        let text = |bytes: &[u8]| address(bytes).map(|address| address.to_string());
        assert_eq!(text(&[192, 0, 2, 1]).as_deref(), Some("192.0.2.1"));
        let mut loopback = [0; 16];
        loopback[15] = 1;
        assert_eq!(text(&loopback).as_deref(), Some("::1"));
        assert_eq!(text(&[1, 2, 3]), None);
    }
}
