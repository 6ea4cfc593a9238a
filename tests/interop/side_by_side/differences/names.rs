//! Names and how they are looked up.

use super::{Listed, listed};

const SIXTEEN: &str = "sixteen addresses of a family are kept: of more, another one is tried";
const ORDER: &str = "addresses stay in the order of the answer: what RFC 6724 sorts by are routes, which the engine does not know";
const EDNS: &str =
    "a server that does not know EDNS is asked again without it (RFC 6891 section 7)";
const OWNER: &str =
    "an address of another name than the one asked for is not believed, as by glibc";
const ONION: &str =
    "what is below .onion is not told to DNS servers, below a search domain neither (RFC 7686)";
const LOCALHOST: &str =
    "what is below localhost is this machine, whatever a server says (RFC 6761 section 6.3)";
const OPTION: &str = "an option whose number is none is passed over";
const LOGICAL: &str = "the logical host counts, not the address dialled";
const AROUND: &str =
    "additive: the target goes around the proxy, and its look-up is told as any other";
const SMALL: &str = "a token is asked for without compression: it is small";
const EXPIRY: &str = "additive: a certificate that is refused shows when it expires";
const CONNECTED: &str = "the connection was made before the handshake failed";

pub(super) const LISTED: &[Listed] = &[
    listed(
        "names::very_many_fall_back_to_4",
        "series probe_ip_addr_hash",
        "*",
        "*",
        SIXTEEN,
    ),
    listed("names::unreachable_first", "series *", "*", "*", ORDER),
    listed("names::unreachable_first", "six *", "*", "-", ORDER),
    listed(
        "names::unreachable_first",
        "six connections",
        "1",
        "0",
        ORDER,
    ),
    listed("names::without_edns", "series *", "*", "*", EDNS),
    listed(
        "names::without_edns",
        "series probe_http_duration_seconds*",
        "-",
        "*",
        EDNS,
    ),
    listed("names::without_edns", "server *", "-", "*", EDNS),
    listed("names::without_edns", "server connections", "0", "1", EDNS),
    listed(
        "names::without_edns",
        "dns udp question *.search.test A",
        "asked",
        "-",
        EDNS,
    ),
    listed("names::of_another", "series *", "*", "*", OWNER),
    listed(
        "names::of_another",
        "series probe_http_duration_seconds*",
        "*",
        "-",
        OWNER,
    ),
    listed("names::of_another", "server *", "*", "-", OWNER),
    listed("names::of_another", "server connections", "1", "0", OWNER),
    listed(
        "names::of_another",
        "dns udp question *.search.test A",
        "-",
        "asked",
        OWNER,
    ),
    listed(
        "names::form_onion",
        "dns udp question *",
        "asked",
        "-",
        ONION,
    ),
    listed(
        "names::form_below_localhost",
        "dns udp question *",
        "asked",
        "-",
        LOCALHOST,
    ),
    listed(
        "names::search_options_not_numbers",
        "dns udp question *",
        "asked",
        "-",
        OPTION,
    ),
    listed(
        "names::search_options_not_numbers",
        "dns udp question *",
        "-",
        "asked",
        OPTION,
    ),
    listed(
        "names::redirect_*",
        "other 0 field Referer",
        "http://127.0.0.1:*",
        "http://web.*",
        LOGICAL,
    ),
    listed(
        "names::proxy_excepted_skip",
        "series probe_dns_lookup_time_seconds",
        "-",
        "*",
        AROUND,
    ),
    listed(
        "names::proxy_excepted_skip",
        "series probe_http_duration_seconds{phase=\"resolve\"}",
        "-",
        "*",
        AROUND,
    ),
    listed(
        "names::proxy_excepted_skip",
        "series probe_ip_*",
        "-",
        "*",
        AROUND,
    ),
    listed(
        "names::proxy_excepted_skip",
        "lookup was long",
        "none",
        "no",
        AROUND,
    ),
    listed(
        "names::proxy_excepted_skip",
        "resolve was long",
        "none",
        "no",
        AROUND,
    ),
    listed(
        "names::token_*",
        "issuer * field Accept-Encoding",
        "gzip",
        "-",
        SMALL,
    ),
    listed(
        "names::token_*",
        "issuer * order",
        "* Accept-Encoding *",
        "*",
        SMALL,
    ),
    listed(
        "names::*_not_the_name",
        "series probe_ssl_earliest_cert_expiry",
        "-",
        "*",
        EXPIRY,
    ),
    listed(
        "names::https_not_the_name",
        "series probe_http_duration_seconds{phase=\"connect\"}",
        "0",
        "a time",
        CONNECTED,
    ),
];
