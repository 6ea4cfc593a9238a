//! What release 0.23 does otherwise than 0.28, which is the measure: nothing of
//! it is a choice of ours.

use super::{Listed, listed};

/// The release notes of 0.24 to 0.28 name these.
const SINCE: &str = "came after 0.23";
/// These come from the version of Go that the release was built with.
const GO: &str = "an older Go";

pub(super) const LISTED: &[Listed] = &[
    listed(
        "*",
        "*header content-type",
        "text/plain; version=0.0.4; charset=utf-8",
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
        SINCE,
    ),
    listed(
        "*",
        "* field User-Agent",
        "Blackbox Exporter/0.23.0",
        "Blackbox-Exporter/0.28.0 (probity/*)",
        SINCE,
    ),
    listed(
        "*",
        "* bytes",
        "*Blackbox Exporter/0.23.0*",
        "*Blackbox-Exporter/0.28.0 (probity/*",
        SINCE,
    ),
    listed("*", "*series probe_tls_cipher_info*", "-", "1", SINCE),
    listed("*", "*series probe_ssl_last_chain_info*", "-", "1", SINCE),
    listed("*", "*series probe_ssl_last_chain_info*", "1", "-", SINCE),
    listed(
        "tcp::*",
        "series probe_failed_due_to_bytes",
        "-",
        "*",
        SINCE,
    ),
    listed(
        "tcp::*",
        "series probe_failed_due_to_regex",
        "0",
        "-",
        SINCE,
    ),
    listed("framing::field_without_name*", "*", "*", "*", GO),
    listed("*", "* bytes", "\\x16\\x03\\x01*", "\\x16\\x03\\x01*", GO),
    listed(
        "headers::send_authorization_without_credentials",
        "server 0 field Authorization",
        "-",
        "Token",
        SINCE,
    ),
    listed(
        "headers::send_authorization_without_credentials",
        "server 0 order",
        "Host User-Agent Connection",
        "Host User-Agent Authorization Connection",
        SINCE,
    ),
    listed(
        "regexps::named_short",
        "module",
        "\"Could not compile regular expression\"*",
        "-",
        GO,
    ),
    listed("tcp::starttls_to_plain", "server 0 bytes", "*", "*", GO),
    listed(
        "tcp::hostname_without_server_name",
        "series probe_*",
        "-",
        "*",
        SINCE,
    ),
    listed(
        "tcp::hostname_without_server_name",
        "series probe_success",
        "0",
        "1",
        SINCE,
    ),
    listed(
        "tcp::hostname_without_server_name",
        "server 0 server name",
        "",
        "localhost",
        SINCE,
    ),
    listed(
        "certificates::policies-*_verified",
        "series probe_http_*",
        "0",
        "*",
        GO,
    ),
    listed(
        "certificates::policies-*_verified",
        "series probe_ssl_last_chain_expiry_timestamp_seconds",
        "-",
        "*",
        GO,
    ),
    listed(
        "certificates::policies-*_verified",
        "series probe_success",
        "0",
        "1",
        GO,
    ),
    listed(
        "certificates::policies-*_verified",
        "series probe_tls_version_info*",
        "-",
        "1",
        GO,
    ),
    listed(
        "certificates::policies-*_verified",
        "server 0 *",
        "-",
        "*",
        GO,
    ),
    listed(
        "certificates::policies-*_verified",
        "server 0 bytes",
        "",
        "-",
        GO,
    ),
];
