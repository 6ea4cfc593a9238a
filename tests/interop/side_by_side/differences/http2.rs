//! HTTP/2: what its frames may say.

use super::{Listed, listed};

const STRICT: &str = "frames and heads that RFC 9113 forbids, and 10,000 frames of nothing, end a probe: Go lets these pass";
const NO_BODY: &str =
    "the length is that of a body that is not sent (RFC 9110 section 8.6): Go misses it";
const AGAIN: &str = "asked again after pauses, and 16 times at most: Go takes none until its time is over, with hundreds of connections to a server that sheds load";
const SPACE: &str =
    "space around a value is no part of it (RFC 9110 section 5.5), in HTTP/2 as in HTTP/1";
const SHOWN: &str = "additive: the handshake is told though no answer came";
const NO_HEAD: &str = "what is no head of an answer is none: upstream counts the time to its frame";

pub(super) const LISTED: &[Listed] = &[
    listed("http2::*", "series probe_ssl_*", "-", "*", SHOWN),
    listed("http2::*", "series probe_tls_*", "-", "1", SHOWN),
    listed("http2::strict_*", "series probe_success", "1", "0", STRICT),
    listed("http2::strict_*", "series probe_http_*", "*", "0", STRICT),
    listed(
        "http2::no_status*",
        "series probe_http_duration_seconds{phase=\"processing\"}",
        "a time",
        "0",
        NO_HEAD,
    ),
    listed(
        "http2::end_of_hints*",
        "series probe_http_duration_seconds{phase=\"processing\"}",
        "a time",
        "0",
        NO_HEAD,
    ),
    listed(
        "http2::length_right_204_alone",
        "series probe_success",
        "0",
        "1",
        NO_BODY,
    ),
    listed(
        "http2::length_right_304_alone",
        "series probe_success",
        "0",
        "1",
        NO_BODY,
    ),
    listed(
        "http2::refused_for_ever",
        "server connections",
        "*",
        "4",
        AGAIN,
    ),
    listed(
        "http2::refused_for_ever",
        "server * alpn",
        "h2,http/1.1",
        "-",
        AGAIN,
    ),
    listed(
        "http2::refused_for_ever",
        "server * server name",
        "",
        "-",
        AGAIN,
    ),
    listed("http2::refused_for_ever", "server * bytes", "", "-", AGAIN),
    listed(
        "http2::value_with_space",
        "series probe_failed_due_to_regex",
        "1",
        "0",
        SPACE,
    ),
    listed(
        "http2::value_with_space",
        "series probe_success",
        "0",
        "1",
        SPACE,
    ),
];
