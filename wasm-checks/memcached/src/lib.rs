//! memcached: `version`, and `stats` if asked for.
//!
//! The text protocol: `doc/protocol.txt` of memcached, sections "Error strings",
//! "Statistics" and "Other commands".

#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;

use probity_check::prelude::*;
use serde::Deserialize;

/// The options of this check.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Also asks for statistics, and reports those that the description names.
    stats: bool,
}

/// Statistics that are reported: as the server calls them, and as we do.
const STATS: [(&str, &str); 7] = [
    ("uptime", "uptime_seconds"),
    ("curr_connections", "connections"),
    ("curr_items", "items"),
    ("bytes", "used_bytes"),
    ("limit_maxbytes", "limit_bytes"),
    ("evictions", "evictions_total"),
    ("rejected_connections", "rejected_connections_total"),
];

/// Lines of the answer to `stats`; about 80 are usual.
const MAX_LINES: u32 = 400;

#[derive(Debug)]
enum State {
    Version,
    Stats(Stats),
}

/// What was read of the statistics.
#[derive(Debug, Default)]
struct Stats {
    lines: u32,
    /// Each of [`STATS`]; reported at the end, so that a server that says one
    /// again and again makes no samples.
    values: [Option<u64>; STATS.len()],
}

/// One run.
#[derive(Debug)]
pub struct Memcached {
    config: Config,
    reader: Reader,
    state: State,
}

impl Check for Memcached {
    type Config = Config;

    fn describe() -> Description {
        Description::new("memcached", env!("CARGO_PKG_VERSION"))
            .port(11211)
            .phases(&["version", "stats"])
            .gauge(
                "info",
                &["version"],
                "1, for the version that the server says.",
            )
            .gauge("uptime_seconds", &[], "Time since the server started.")
            .gauge("connections", &[], "Connections that are open.")
            .gauge("items", &[], "Items that are stored.")
            .gauge("used_bytes", &[], "Bytes that items take.")
            .gauge("limit_bytes", &[], "Bytes that items may take.")
            .counter(
                "evictions_total",
                &[],
                "Items that had to make room for others.",
            )
            .counter(
                "rejected_connections_total",
                &[],
                "Connections that were refused because there were too many.",
            )
    }

    fn open(config: Config, _: &Context) -> Self {
        Self {
            config,
            reader: Reader::new(1_024),
            state: State::Version,
        }
    }

    fn on_connected(&mut self, out: &mut Out) -> Step {
        out.send("version\r\n");
        Ok(())
    }

    fn on_data(&mut self, data: &[u8], out: &mut Out) -> Step {
        self.reader.push(data);
        while !out.is_done() {
            let Some(line) = self.reader.line()? else {
                break;
            };
            if let Some(why) = error(line) {
                return Err(why);
            }
            match &mut self.state {
                State::Version => {
                    let Some(version) = line.strip_prefix(b"VERSION ") else {
                        return Err(malformed(format!(
                            "expected VERSION, found {}",
                            shown(line)
                        )));
                    };
                    out.mark("version");
                    out.sample("info", 1.0, &[&shown(version)]);
                    if self.config.stats {
                        out.send("stats\r\n");
                        self.state = State::Stats(Stats::default());
                    } else {
                        out.up();
                    }
                }
                State::Stats(stats) if line == b"END" => {
                    out.mark("stats");
                    stats.report(out);
                    out.up();
                }
                State::Stats(stats) => stats.add(line)?,
            }
        }
        Ok(())
    }
}

/// What an error line means.
fn error(line: &[u8]) -> Option<Finding> {
    // What it says to a connection that is one too many, before it closes it.
    if line.starts_with(b"ERROR Too many open connections") {
        return Some(not_ready(shown(line)));
    }
    if line == b"ERROR" || line.starts_with(b"SERVER_ERROR") {
        return Some(server_error(shown(line)));
    }
    // The answer to everything before SASL, where that is on.
    if line.starts_with(b"CLIENT_ERROR unauthenticated") {
        return Some(denied(shown(line)));
    }
    line.starts_with(b"CLIENT_ERROR")
        .then(|| unexpected(shown(line)))
}

impl Stats {
    /// `STAT name value`
    fn add(&mut self, line: &[u8]) -> Step {
        self.lines += 1;
        if self.lines > MAX_LINES {
            return Err(Finding {
                reason: Reason::TooMuch,
                detail: format!("more than {MAX_LINES} statistics"),
            });
        }
        let mut words = core::str::from_utf8(line).unwrap_or_default().split(' ');
        let (Some("STAT"), Some(name), Some(value)) = (words.next(), words.next(), words.next())
        else {
            return Err(malformed(format!("expected STAT, found {}", shown(line))));
        };
        if let Some(known) = STATS.iter().position(|(stat, _)| *stat == name) {
            let number = value.parse();
            let number = number
                .map_err(|_| malformed(format!("expected a number, found {}", shown(line))))?;
            self.values[known] = Some(number);
        }
        Ok(())
    }

    fn report(&self, out: &mut Out) {
        for ((_, metric), value) in STATS.iter().zip(self.values) {
            if let Some(value) = value {
                out.sample(metric, value as f64, &[]);
            }
        }
    }
}

probity_check::export!(Memcached);

#[cfg(test)]
mod tests {
    use probity_check::testing::{cut_everywhere, replay};

    use super::*;

    #[test]
    fn transcript() {
        replay::<Memcached>(include_str!("../transcript.txt"));
    }

    #[test]
    fn any_cut_gives_the_same_verdict() {
        cut_everywhere::<Memcached>("{}", "VERSION 1.6.18\r\n", &Outcome::Up);
    }
}
