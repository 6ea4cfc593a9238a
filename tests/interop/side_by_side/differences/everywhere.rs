//! In all cases.

use super::{Listed, listed};

pub(super) const LISTED: &[Listed] = &[
    listed(
        "*",
        "*series probe_timeout_seconds",
        "-",
        "*",
        "additive: the deadline of the run, as on upstream's master",
    ),
    listed(
        "*",
        "* field User-Agent",
        "Blackbox-Exporter/0.28.0",
        "Blackbox-Exporter/0.28.0 (probity/*)",
        "an administrator of the target can tell who probes",
    ),
    listed(
        "*",
        "* field User-Agent",
        "Go-http-client/1.1",
        "Blackbox-Exporter/0.28.0 (probity/*)",
        "CONNECT and the request for a token tell who probes, too",
    ),
];
