//! Which format and which content coding a scrape is answered with.
//!
//! Prometheus asks for OpenMetrics first, or for protobuf when it wants native
//! histograms; vmagent and curl get the classic text. Prometheus 3 fails a
//! scrape whose `Content-Type` it does not know, so the strings are exact.

/// A format of exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text format 0.0.4. No native histograms.
    Text004,
    /// OpenMetrics text 1.0.0. No native histograms.
    OpenMetrics1,
    /// Length-delimited `io.prometheus.client.MetricFamily` messages, the only
    /// stable carrier of native histograms.
    Protobuf,
}

impl Format {
    /// Every format, in the order in which the server prefers them when a
    /// client accepts several equally.
    pub const ALL: &'static [Self] = &[Self::Text004, Self::OpenMetrics1, Self::Protobuf];

    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics1 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// How closely a media range names this format: `None` if not at all,
    /// `Wildcard` for `*/*` and `type/*`.
    fn matched_by(self, range: &Item<'_>) -> Option<Match> {
        let (wildcard, exact) = match self {
            Self::Text004 => ("text/*", "text/plain"),
            Self::OpenMetrics1 => ("application/*", "application/openmetrics-text"),
            Self::Protobuf => ("application/*", "application/vnd.google.protobuf"),
        };
        if range.is("*/*") || range.is(wildcard) {
            return Some(Match::Wildcard);
        }
        if !range.is(exact) {
            return None;
        }
        let named = match self {
            Self::Text004 => matches!(range.param("version"), None | Some("0.0.4")),
            // Without a version it is 0.0.1, of which 1.0.0 is a superset.
            Self::OpenMetrics1 => {
                matches!(range.param("version"), None | Some("0.0.1" | "1.0.0"))
            }
            Self::Protobuf => {
                range.param("proto") == Some("io.prometheus.client.MetricFamily")
                    && range.param("encoding") == Some("delimited")
            }
        };
        named.then_some(Match::Exact)
    }
}

/// A content coding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// Gzip (RFC 1952).
    Gzip,
}

impl Encoding {
    /// The value of `Content-Encoding`, if the header is needed.
    pub const fn content_encoding(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
        }
    }
}

/// Chooses among `allowed` by the value of `Accept` (RFC 9110 section 12.5.1).
///
/// For each format the most specific range decides its weight, the highest
/// weight wins, then the more specific match, then the order of `allowed`.
/// A client that accepts none of them gets the classic text, as every other
/// exporter does it.
pub fn negotiate(accept: Option<&str>, allowed: &[Format]) -> Format {
    let mut best: Option<(u16, Match, Format)> = None;
    for &format in allowed {
        let mut weight: Option<(Match, u16)> = None;
        for range in items(accept.unwrap_or_default()) {
            if let Some(matched) = format.matched_by(&range) {
                weight = weight.max(Some((matched, range.weight())));
            }
        }
        if let Some((matched, q)) = weight
            && q > 0
            && best.is_none_or(|(best_q, best_match, _)| (q, matched) > (best_q, best_match))
        {
            best = Some((q, matched, format));
        }
    }
    best.map_or(Format::Text004, |(_, _, format)| format)
}

/// Chooses what `/probe` answers with, and how the type is written: by the
/// rules of `prometheus/common`, which blackbox_exporter answers by.
///
/// Ranges are taken by weight. The first that names the text format or
/// delimited protobuf wins, wildcards name nothing, and OpenMetrics is never
/// served. On the way the last escaping of names that was asked for is noted:
/// our names need none, but the answer repeats it.
pub fn negotiate_probe(accept: Option<&str>) -> (Format, &'static str) {
    let mut ranges: Vec<_> = items(accept.unwrap_or_default()).collect();
    ranges.sort_by_key(|range| std::cmp::Reverse(range.weight()));
    let mut escaping = 0;
    for range in ranges {
        let asked = range.param("escaping");
        let known = ESCAPINGS.iter().position(|it| asked == Some(*it));
        escaping = known.unwrap_or(escaping);
        for format in [Format::Protobuf, Format::Text004] {
            if format.matched_by(&range) == Some(Match::Exact) {
                return (format, probe_type(format, escaping));
            }
        }
    }
    (Format::Text004, probe_type(Format::Text004, escaping))
}

/// The first one is the default.
const ESCAPINGS: [&str; 4] = ["underscores", "allow-utf-8", "dots", "values"];

const fn probe_type(format: Format, escaping: usize) -> &'static str {
    macro_rules! types {
        ($type:literal) => {
            [
                concat!($type, "; escaping=underscores"),
                concat!($type, "; escaping=allow-utf-8"),
                concat!($type, "; escaping=dots"),
                concat!($type, "; escaping=values"),
            ]
        };
    }
    match format {
        Format::Protobuf => types!(
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
        )[escaping],
        Format::Text004 | Format::OpenMetrics1 => {
            types!("text/plain; version=0.0.4; charset=utf-8")[escaping]
        }
    }
}

/// Chooses a coding by the value of `Accept-Encoding` (RFC 9110 section 12.5.3).
///
/// Gzip is used when it is asked for and not wanted less than `identity`, and
/// when `identity` alone is refused.
pub fn negotiate_encoding(accept_encoding: Option<&str>) -> Encoding {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for coding in items(accept_encoding.unwrap_or_default()) {
        if coding.is("gzip") || coding.is("x-gzip") {
            gzip = gzip.max(Some(coding.weight()));
        } else if coding.is("identity") {
            identity = Some(coding.weight());
        } else if coding.is("*") {
            any = Some(coding.weight());
        }
    }
    let identity = identity.or(any);
    match gzip.or(any) {
        Some(q) if q > 0 && q >= identity.unwrap_or(0) => Encoding::Gzip,
        None if identity == Some(0) => Encoding::Gzip,
        _ => Encoding::Identity,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    Wildcard,
    Exact,
}

/// One element of a weighted list: `value;name=param;q=0.5`.
struct Item<'a> {
    value: &'a str,
    params: &'a str,
}

impl<'a> Item<'a> {
    fn is(&self, value: &str) -> bool {
        self.value.eq_ignore_ascii_case(value)
    }

    fn param(&self, name: &str) -> Option<&'a str> {
        split(self.params, b';').find_map(|param| {
            let (key, value) = param.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().trim_matches('"'))
        })
    }

    /// Thousandths. A weight that is not a number counts as 1, which is what
    /// the negotiation of the Go exporters does.
    fn weight(&self) -> u16 {
        let q: f32 = self.param("q").and_then(|q| q.parse().ok()).unwrap_or(1.0);
        (q.clamp(0.0, 1.0) * 1000.0) as u16
    }
}

fn items(list: &str) -> impl Iterator<Item = Item<'_>> {
    split(list, b',').filter_map(|item| {
        let (value, params) = item.split_once(';').unwrap_or((item, ""));
        let value = value.trim();
        (!value.is_empty()).then_some(Item { value, params })
    })
}

/// Splits at `separator` outside of quoted strings.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        !quoted && c == char::from(separator)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROM_2_42: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    const PROM_2_42_NATIVE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    const PROM_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    const PROM_3_NATIVE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    const VMAGENT: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
    const BROWSER: &str =
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

    #[test]
    fn each_scraper_gets_the_format_it_asks_for() {
        use Format::*;
        // (Accept, among all formats, among those of /probe)
        let table: &[(Option<&str>, Format, Format)] = &[
            (Some(PROM_2_42), OpenMetrics1, Text004),
            (Some(PROM_2_42_NATIVE), Protobuf, Protobuf),
            (Some(PROM_3), OpenMetrics1, Text004),
            (Some(PROM_3_NATIVE), Protobuf, Protobuf),
            (Some(VMAGENT), Text004, Text004),
            (Some("*/*"), Text004, Text004),
            (Some(BROWSER), Text004, Text004),
            (None, Text004, Text004),
            (Some(""), Text004, Text004),
            (Some("application/openmetrics-text"), OpenMetrics1, Text004),
            (
                Some("application/openmetrics-text;version=0.0.1"),
                OpenMetrics1,
                Text004,
            ),
            (
                Some("application/openmetrics-text;version=2.0.0"),
                Text004,
                Text004,
            ),
            (
                Some("Application/OpenMetrics-Text; Version=\"1.0.0\" ; Q=0.2, text/plain;q=0.1"),
                OpenMetrics1,
                Text004,
            ),
            // Refused by q=0, though the wildcard is wider.
            (
                Some("application/openmetrics-text;q=0,*/*;q=0.5"),
                Text004,
                Text004,
            ),
            (Some("text/plain;q=0,*/*"), OpenMetrics1, Text004),
            (
                Some(
                    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0,text/plain;q=0.1",
                ),
                Text004,
                Text004,
            ),
            // Protobuf that is not ours.
            (
                Some(
                    "application/vnd.google.protobuf;proto=io.prometheus.write.v2.Request;encoding=delimited,application/openmetrics-text;q=0.2",
                ),
                OpenMetrics1,
                Text004,
            ),
            (
                Some(
                    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
                ),
                Text004,
                Text004,
            ),
            (Some("application/vnd.google.protobuf"), Text004, Text004),
            (Some("application/*"), OpenMetrics1, Text004),
            (
                Some("text/plain;q=x,application/openmetrics-text;q=0.9"),
                Text004,
                Text004,
            ),
            (Some(",;,=;q"), Text004, Text004),
        ];
        for &(accept, all, probe) in table {
            assert_eq!(negotiate(accept, Format::ALL), all, "{accept:?}");
            assert_eq!(negotiate_probe(accept).0, probe, "{accept:?} /probe");
        }
    }

    #[test]
    fn the_answer_repeats_how_names_are_to_be_escaped() {
        for (accept, ends) in [
            (None, "0.0.4; charset=utf-8; escaping=underscores"),
            (Some(PROM_2_42), "escaping=underscores"),
            (Some(PROM_3), "escaping=allow-utf-8"),
            (Some(PROM_3_NATIVE), "delimited; escaping=underscores"),
            (Some("text/plain;escaping=dots"), "escaping=dots"),
            (Some("text/plain;escaping=odd"), "escaping=underscores"),
            (Some("x/y;escaping=values"), "escaping=values"),
        ] {
            let (_, content_type) = negotiate_probe(accept);
            assert!(content_type.ends_with(ends), "{accept:?} {content_type}");
        }
    }

    #[test]
    fn gzip_is_used_when_it_is_wanted_at_least_as_much_as_identity() {
        use Encoding::*;
        let table: &[(Option<&str>, Encoding)] = &[
            (None, Identity),
            (Some(""), Identity),
            (Some("gzip"), Gzip),
            (Some("identity"), Identity),
            (Some("GZIP;q=0.5"), Gzip),
            (Some("x-gzip"), Gzip),
            (Some("gzip, deflate, br, zstd"), Gzip),
            (Some("deflate, br"), Identity),
            (Some("gzip;q=0"), Identity),
            (Some("gzip;q=0, *"), Identity),
            (Some("*"), Gzip),
            (Some("*;q=0"), Identity),
            (Some("gzip;q=0.2, identity;q=0.8"), Identity),
            (Some("gzip;q=0.8, identity;q=0.2"), Gzip),
            (Some("gzip;q=0.5, identity;q=0"), Gzip),
            (Some("identity;q=0"), Gzip),
            (Some("gzip;q=0, identity;q=0"), Identity),
        ];
        for &(accept, expected) in table {
            assert_eq!(negotiate_encoding(accept), expected, "{accept:?}");
        }
    }
}
