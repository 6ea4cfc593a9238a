//! What of an answer is compared: a flat list of named values. A time is only
//! compared as to whether it is zero; where a short one may be below what a clock
//! shows, or nothing was to be measured, only ours may be zero. What a
//! case says is slow is compared as to whether it is long.

use std::collections::{BTreeMap, BTreeSet};

use probity_tests::support::http::Answer;
use serde_json::Value;

/// Named values.
pub(crate) type Fields = BTreeMap<String, String>;

/// What of an answer is compared, beside its status and its content type.
#[derive(Clone, Debug)]
pub(crate) enum View {
    /// Every series, its type and its HELP text.
    Metrics,
    /// The same of an answer of which the body takes a long time to arrive, or
    /// its head, or the way there: whether that is in the transfer, or in connect, is
    /// compared, too.
    Slow,
    /// The same of a name that is asked for: a look-up may only take no time where
    /// upstream's takes none.
    Named,
    /// The same of one of which the look-up, or that of a redirect, takes long:
    /// whether it is in the series is compared, too.
    NamedSlowly,
    /// The series of these families.
    Families(&'static [&'static str]),
    /// The body as it is.
    Text,
    /// Whether the body has each of these.
    Marks(&'static [&'static str]),
    /// What stands in the body after these words is YAML: every value in it, by
    /// its path.
    Yaml(&'static str),
    /// Nothing else.
    Status,
}

/// Adds what is seen of an answer.
pub(crate) fn see(fields: &mut Fields, prefix: &str, answer: &Result<Answer, String>, view: &View) {
    let mut add = |name: String, value: String| fields.insert(format!("{prefix}{name}"), value);
    let Ok(answer) = answer else {
        add("status".into(), "no answer".into());
        return;
    };
    add("status".into(), answer.status.to_string());
    for name in [
        "content-type",
        "content-encoding",
        "x-content-type-options",
        "location",
        "www-authenticate",
    ] {
        if let Some(value) = answer.header(name) {
            add(format!("header {name}"), value.to_owned());
        }
    }
    let body = String::from_utf8_lossy(&answer.body);
    let is_text = answer
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("text/plain; version="));
    match view {
        View::Metrics if is_text => exposition(&body, &mut add, |_| true),
        View::Slow if is_text => {
            exposition(&body, &mut add, |_| true);
            for phase in ["connect", "transfer"] {
                let series = format!("probe_http_duration_seconds{{phase=\"{phase}\"}}");
                let length = match took(&body, &series, LONG) {
                    "yes" => "long",
                    "no" => "short",
                    none => none,
                };
                add(phase.into(), length.into());
            }
        }
        View::Named if is_text => {
            exposition(&body, &mut add, |_| true);
            add("lookup took time".into(), took(&body, LOOKUP, 0.0).into());
        }
        View::NamedSlowly if is_text => {
            exposition(&body, &mut add, |_| true);
            add("lookup was long".into(), took(&body, LOOKUP, LONG).into());
            add("resolve was long".into(), took(&body, RESOLVE, LONG).into());
        }
        View::Families(names) if is_text => {
            exposition(&body, &mut add, |name| names.contains(&name));
        }
        View::Metrics
        | View::Slow
        | View::Named
        | View::NamedSlowly
        | View::Families(_)
        | View::Text => {
            add("body".into(), body.into_owned());
        }
        View::Marks(marks) => {
            for mark in *marks {
                let found = body.contains(mark);
                add(format!("has {mark:?}"), found.to_string());
            }
        }
        View::Yaml(heading) => match body.split_once(heading) {
            Some((_, text)) => yaml(text, &mut add),
            None => {
                add("body".into(), body.into_owned());
            }
        },
        View::Status => {}
    }
}

fn yaml(text: &str, add: &mut impl FnMut(String, String) -> Option<String>) {
    match serde_saphyr::from_str::<Value>(text) {
        Ok(value) => leaves(&value, "yaml", add),
        Err(error) => {
            add("yaml".into(), format!("{error}: {text}"));
        }
    }
}

/// The scalars of a document, each by its path; and what is empty.
fn leaves(value: &Value, path: &str, add: &mut impl FnMut(String, String) -> Option<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                leaves(value, &format!("{path}.{name}"), add);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (index, value) in list.iter().enumerate() {
                leaves(value, &format!("{path}[{index}]"), add);
            }
        }
        scalar => {
            add(path.to_owned(), scalar.to_string());
        }
    }
}

/// What a time is that is none. Upstream subtracts from moments that were never set, or
/// that came earlier on another try: see `same`.
pub(crate) const BELOW_NONE: &str = "less than none";

fn is_positive(value: &str) -> bool {
    value
        .parse::<f64>()
        .is_ok_and(|it| it.is_finite() && it > 0.0)
}

fn is_time(family: &str) -> bool {
    family.ends_with("_duration_seconds") || family.ends_with("_lookup_time_seconds")
}

/// Fields of times that are nothing for a literal address, a body that came with
/// its head, or a probe that failed at once.
pub(crate) fn is_short(field: &str) -> bool {
    field.ends_with("_lookup_time_seconds")
        || field.ends_with("{phase=\"resolve\"}")
        || field.ends_with("{phase=\"transfer\"}")
}

/// Seconds of a phase that is long.
const LONG: f64 = 0.2;

/// Series of times.
const LOOKUP: &str = "probe_dns_lookup_time_seconds";
const RESOLVE: &str = "probe_http_duration_seconds{phase=\"resolve\"}";

/// Whether what a series says took more seconds than these.
fn took(body: &str, series: &str, more: f64) -> &'static str {
    let value = |line: &str| line.strip_prefix(series)?.trim_start().parse::<f64>().ok();
    match body.lines().find_map(value) {
        None => "none",
        Some(seconds) if seconds > more => "yes",
        Some(_) => "no",
    }
}

fn exposition(
    body: &str,
    add: &mut impl FnMut(String, String) -> Option<String>,
    wanted: impl Fn(&str) -> bool,
) {
    let mut order: Vec<(&str, &str)> = Vec::new();
    let mut described = BTreeSet::new();
    let failed = body.lines().any(|line| line == "probe_success 0");
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut parts = comment.splitn(3, ' ');
            let (kind, name) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            );
            if wanted(name) {
                let key = format!("{} {name}", kind.to_ascii_lowercase());
                described.insert(key.clone());
                add(key, parts.next().unwrap_or_default().to_owned());
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or((line, ""));
        let family = series.split('{').next().unwrap_or(series);
        if !wanted(family) {
            continue;
        }
        order.push((family, series));
        let value = match value {
            // Here a probe that fails at once takes none.
            "0" if series == "probe_duration_seconds" && failed => "a time",
            "0" => "0",
            _ if is_time(family) && is_positive(value) => "a time",
            _ if is_time(family) && value.starts_with('-') => BELOW_NONE,
            value => value,
        };
        if add(format!("series {series}"), value.to_owned()).is_some() {
            add(format!("series {series} twice"), "yes".to_owned());
        }
    }
    // A family without one of these is seen beside one that has it.
    let families: BTreeSet<&str> = order.iter().map(|(family, _)| *family).collect();
    for key in families
        .iter()
        .flat_map(|it| [format!("help {it}"), format!("type {it}")])
    {
        if !described.contains(&key) {
            add(key, "none".to_owned());
        }
    }
    let misplaced = order.windows(2).find(|two| two[0] > two[1]);
    let order = misplaced.map_or_else(
        || "sorted".to_owned(),
        |two| format!("{} before {}", two[0].1, two[1].1),
    );
    add("order".into(), order);
}

/// A value of a logfmt line, unquoted.
pub(crate) fn logged<'a>(line: &'a str, key: &str) -> Option<std::borrow::Cow<'a, str>> {
    let (_, rest) = line.split_once(&format!(" {key}="))?;
    let Some(quoted) = rest.strip_prefix('"') else {
        return Some(rest.split(' ').next().unwrap_or(rest).into());
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                c => value.push(c),
            },
            c => value.push(c),
        }
    }
    Some(value.into())
}
