//! Every difference from blackbox_exporter 0.28 that is meant, with its
//! reason. One that is not listed fails its case; one that is listed and no
//! longer occurs fails too.

/// One of them. Patterns may have `*`, for anything.
pub(crate) struct Listed {
    /// Which cases.
    pub(crate) case: &'static str,
    /// Which field of the comparison.
    pub(crate) field: &'static str,
    /// Upstream's value; `-` if there is none.
    pub(crate) upstream: &'static str,
    /// Ours; `-` if there is none.
    pub(crate) ours: &'static str,
    /// Why it is so on purpose.
    pub(crate) reason: &'static str,
}

const fn listed(
    case: &'static str,
    field: &'static str,
    upstream: &'static str,
    ours: &'static str,
    reason: &'static str,
) -> Listed {
    Listed {
        case,
        field,
        upstream,
        ours,
        reason,
    }
}

/// The list.
pub(crate) const LISTED: &[Listed] = &[listed(
    "*",
    "* field User-Agent",
    "Blackbox-Exporter/0.28.0",
    "Blackbox-Exporter/0.28.0 (probity/*)",
    "an administrator of the target can tell who probes",
)];

/// Cases and fields whose differences are still to be mended: they count as
/// ignored. Empty when the drop-in is done.
pub(crate) const PENDING: &[(&str, &str)] = &[("*", "*")];
