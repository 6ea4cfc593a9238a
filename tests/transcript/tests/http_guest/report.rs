//! Reports in transcripts, and where that of the check in Wasm may differ.

use std::collections::BTreeMap;

/// Bytes of the sentence of a check in Wasm.
const MAX_SENTENCE_BYTES: usize = 256;

/// A report, as its lines in a transcript say it.
#[derive(Debug, PartialEq)]
pub(crate) struct Report<'a> {
    /// Before the first field.
    at: &'a str,
    pub(crate) fields: BTreeMap<&'a str, &'a str>,
    detail: &'a str,
    /// What the handshake has shown.
    tls: Option<&'a str>,
    pub(crate) facts: BTreeMap<&'a str, &'a str>,
}

impl<'a> Report<'a> {
    /// Reads the lines of one.
    pub(crate) fn of(lines: &[&'a str]) -> Self {
        let (at, rest) = lines[0].split_once(" report ").expect("a report");
        let (fields, detail) = rest.split_once(" detail=").expect("a detail");
        let fields = fields
            .split(' ')
            .map(|it| it.split_once('=').expect("a field"));
        let (tls, facts): (Vec<&str>, Vec<&str>) = lines[1..]
            .iter()
            .map(|line| line.trim_start())
            .partition(|line| line.starts_with("tls "));
        let facts = facts
            .iter()
            .map(|it| it.rsplit_once(' ').expect("a number"));
        Self {
            at,
            fields: fields.collect(),
            detail,
            tls: tls.first().copied(),
            facts: facts.collect(),
        }
    }

    /// Whether the guest was asked at all, and had something to report.
    pub(crate) fn is_of_guest(&self) -> bool {
        self.facts.keys().any(|name| !name.starts_with("probe_"))
    }

    /// Compares that of the engine's own check with that of the same in Wasm, which may
    /// quote more of what was said in one moment, and if it `is_late` something else.
    ///
    /// # Errors
    /// In what they differ, and may not.
    pub(crate) fn compare(&self, guest: &Self, is_late: bool) -> Result<(), String> {
        let differ = |what: &str, native: &str, guest: &str| {
            Err(format!("{what}: native {native:?}, in Wasm {guest:?}"))
        };
        if (self.at, self.tls) != (guest.at, guest.tls) {
            return differ("when, or TLS", self.at, guest.at);
        }
        // HTTP/2 has frames before the head of the response, with which the engine lets
        // the transfer begin: a host knows no frames.
        let is_h2 = self.tls.is_some_and(|tls| tls.contains("|h2|"));
        for (name, native) in &self.fields {
            let found = guest.fields.get(name).copied().unwrap_or_default();
            let same = match *name {
                "phase" | "phases" if is_h2 => true,
                "reason" => class(native) == found,
                // A verdict of a guest completes the phase in which it is given.
                "phases" => {
                    let mut pairs = native.split(',').zip(found.split(','));
                    pairs.all(|(native, guest)| native == "-" || native == guest)
                }
                _ => *native == found,
            };
            if !same {
                return differ(name, native, found);
            }
        }
        let unquoted = |detail: &'a str| detail.split('"').next();
        // A guest that waits for its turn hears more at once, also where nobody closes.
        let quoted = self.detail.strip_suffix('"');
        let quotes_more = self.fields["reason"] == "http_malformed"
            && quoted.is_some_and(|native| guest.detail.starts_with(native));
        let is_longer = quotes_more || is_late && unquoted(self.detail) == unquoted(guest.detail);
        if !is_longer && !self.is_detail(guest) {
            return differ("detail", self.detail, guest.detail);
        }
        if self.facts_of_both() != guest.facts_of_both() && guest.is_of_guest() {
            return Err(format!(
                "facts: native {:?}, in Wasm {:?}",
                self.facts_of_both(),
                guest.facts_of_both()
            ));
        }
        Ok(())
    }

    /// Whether the guest's sentence is ours. That the time or the connection is over
    /// is for its host to say, which does not know what was waited for.
    fn is_detail(&self, guest: &Self) -> bool {
        let reason = guest.fields["reason"];
        if reason.starts_with("timeout_") {
            return self.detail.split(": ").next() == guest.detail.split(": ").next();
        }
        if matches!(reason, "peer_closed" | "peer_reset") && self.fields["reason"] == reason {
            return guest.detail.ends_with("before http had a verdict");
        }
        let end = self.detail.floor_char_boundary(MAX_SENTENCE_BYTES);
        &self.detail[..end] == guest.detail
    }

    /// Numbers that both have, by the names of the guest.
    fn facts_of_both(&self) -> BTreeMap<&str, &str> {
        let facts = self.facts.iter();
        let facts = facts.filter(|(name, _)| !name.contains("duration_seconds"));
        facts
            .map(|(name, value)| {
                let own = name.strip_prefix("probe_http_");
                let failed = || {
                    name.strip_prefix("probe_")
                        .filter(|it| it.starts_with("failed_"))
                };
                (own.or_else(failed).unwrap_or(name), *value)
            })
            .collect()
    }
}

/// The reason that a check in Wasm has for one of the engine: by class, since the list
/// of the interface is shorter.
fn class(native: &str) -> &str {
    match native {
        "http_status"
        | "http_version"
        | "http_ssl"
        | "http_redirect_limit"
        | "http_redirect_invalid"
        | "header_mismatch"
        | "body_mismatch"
        | "body_encoding" => "expect_mismatch",
        "http_malformed" => "malformed",
        "http_header_limit" | "body_limit" => "answer_limit",
        "body_truncated" => "peer_closed",
        "local_bound" => "wasm_undecided",
        same => same,
    }
}
