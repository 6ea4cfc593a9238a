//! Every difference from blackbox_exporter 0.28 that is meant, with its
//! reason. One that is not listed fails its case; one that is listed and no
//! longer occurs fails too.

mod assertions;
mod config;
mod everywhere;
mod http;
mod http2;
mod names;
mod older;
mod page;
mod surface;
mod tcp;
mod tls;
mod ways;

pub(crate) use self::page::is_up_to_date;

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

/// All of them, by what they are about.
const KINDS: [(&str, &[Listed]); 10] = [
    ("Everywhere", everywhere::LISTED),
    ("Configuration files", config::LISTED),
    ("TLS", tls::LISTED),
    ("The prober http", http::LISTED),
    ("HTTP/2", http2::LISTED),
    ("Redirects, proxies and tokens", ways::LISTED),
    ("Tokens for assertions", assertions::LISTED),
    ("The prober tcp", tcp::LISTED),
    ("Names", names::LISTED),
    ("Flags and pages", surface::LISTED),
];

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Listed> {
    KINDS.iter().flat_map(|(_, listed)| *listed)
}

/// Those that the older release shows besides.
pub(crate) fn older() -> impl Iterator<Item = &'static Listed> {
    older::LISTED.iter()
}
