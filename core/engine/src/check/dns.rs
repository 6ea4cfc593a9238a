//! `dns`: the section alone; there is no check for it yet.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Section;
use crate::config::{self, ConfigError, TlsConfig, is_default};

/// The `dns` section of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `ip4` or `ip6` (the default), towards the server.
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_ip_protocol: String,
    /// Whether the other protocol will do.
    pub ip_protocol_fallback: bool,
    /// Source address of queries.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "config::address"
    )]
    pub source_ip_address: Option<IpAddr>,
    /// Whether to ask by DNS over TLS (RFC 7858).
    #[serde(skip_serializing_if = "is_default")]
    pub dns_over_tls: bool,
    /// How.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
    /// `udp` (the default) or `tcp`.
    #[serde(skip_serializing_if = "is_default")]
    pub transport_protocol: String,
    /// Class of the query; none means `IN`.
    #[serde(skip_serializing_if = "is_default")]
    pub query_class: String,
    /// The name that is asked for.
    #[serde(skip_serializing_if = "is_default")]
    pub query_name: String,
    /// Type of the query; none means `ANY`.
    #[serde(skip_serializing_if = "is_default")]
    pub query_type: String,
    /// Whether the server is asked to ask others.
    pub recursion_desired: bool,
    /// Accepted response codes; without the key `NOERROR`, while an empty list
    /// accepts none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_rcodes: Option<Vec<String>>,
    /// What the answer section must look like.
    #[serde(skip_serializing_if = "is_default")]
    pub validate_answer_rrs: RecordMatch,
    /// What the authority section must look like.
    #[serde(skip_serializing_if = "is_default")]
    pub validate_authority_rrs: RecordMatch,
    /// What the additional section must look like.
    #[serde(skip_serializing_if = "is_default")]
    pub validate_additional_rrs: RecordMatch,
}

/// What the records of one section must or must not look like. As in
/// blackbox_exporter these expressions are not compiled with the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordMatch {
    /// Fail if a record matches any of these.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_matches_regexp: Vec<String>,
    /// Fail unless every record matches (blackbox_exporter's meaning).
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_all_match_regexp: Vec<String>,
    /// Fail if a record does not match.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_not_matches_regexp: Vec<String>,
    /// Fail if no record matches.
    #[serde(skip_serializing_if = "is_default")]
    pub fail_if_none_matches_regexp: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            preferred_ip_protocol: String::new(),
            ip_protocol_fallback: true,
            source_ip_address: None,
            dns_over_tls: false,
            tls_config: TlsConfig::default(),
            transport_protocol: String::new(),
            query_class: String::new(),
            query_name: String::new(),
            query_type: String::new(),
            recursion_desired: true,
            valid_rcodes: None,
            validate_answer_rrs: RecordMatch::default(),
            validate_authority_rrs: RecordMatch::default(),
            validate_additional_rrs: RecordMatch::default(),
        }
    }
}

/// Classes by the names that blackbox_exporter has for them.
const CLASSES: &[&str] = &["IN", "CS", "CH", "HS", "NONE", "ANY"];

/// Types by the names that blackbox_exporter has for them.
#[rustfmt::skip]
const TYPES: &[&str] = &[
    "A", "AAAA", "AFSDB", "AMTRELAY", "ANY", "APL", "ATMA", "AVC", "AXFR",
    "CAA", "CDNSKEY", "CDS", "CERT", "CNAME", "CSYNC", "DHCID", "DLV", "DNAME",
    "DNSKEY", "DS", "EID", "EUI48", "EUI64", "GID", "GPOS", "HINFO", "HIP",
    "HTTPS", "IPSECKEY", "ISDN", "IXFR", "KEY", "KX", "L32", "L64", "LOC",
    "LP", "MAILA", "MAILB", "MB", "MD", "MF", "MG", "MINFO", "MR",
    "MX", "NAPTR", "NID", "NIMLOC", "NINFO", "NS", "NSEC", "NSEC3", "NSEC3PARAM",
    "NULL", "NXNAME", "NXT", "None", "OPENPGPKEY", "OPT", "PTR", "PX", "RESINFO",
    "RKEY", "RP", "RRSIG", "RT", "Reserved", "SIG", "SMIMEA", "SOA", "SPF",
    "SRV", "SSHFP", "SVCB", "TA", "TALINK", "TKEY", "TLSA", "TSIG", "TXT",
    "UID", "UINFO", "UNSPEC", "URI", "X25", "ZONEMD", "NSAP-PTR",
];

impl Section for Config {
    fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |field, message: String| Err(ConfigError::new(field, message));
        let checked = self.tls_config.validate();
        checked.map_err(|error| error.within("tls_config"))?;
        if self.query_name.is_empty() {
            return wrong("query_name", "query name must be set for DNS module".into());
        }
        let is_known = |name: &str, known: &[&str]| name.is_empty() || known.contains(&name);
        if !is_known(&self.query_class, CLASSES) {
            let message = format!("query class '{}' is not valid", self.query_class);
            return wrong("query_class", message);
        }
        if !is_known(&self.query_type, TYPES) {
            let message = format!("query type '{}' is not valid", self.query_type);
            return wrong("query_type", message);
        }
        Ok(())
    }
}
