//! hello: asks a peer for its name, and looks whether it is the right one.

// Without `std` a check fits into one page of memory.
#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;

use probity_check::prelude::*;
use serde::Deserialize;

/// The options of this check: `config` of a module.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the peer must be called.
    name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "earth".into(),
        }
    }
}

/// One run.
#[derive(Debug)]
pub struct Hello {
    config: Config,
    reader: Reader,
}

impl Check for Hello {
    type Config = Config;

    fn describe() -> Description {
        Description::new("hello", env!("CARGO_PKG_VERSION"))
            .port(4242)
            .phases(&["answer"])
            .gauge("name_bytes", &[], "Length of the name that the peer has.")
    }

    fn validate(config: &Config) -> Result<(), String> {
        if config.name.is_empty() {
            return Err("name: expected a name".into());
        }
        Ok(())
    }

    fn open(config: Config, _: &Context) -> Self {
        Self {
            config,
            // No message may be longer.
            reader: Reader::new(1024),
        }
    }

    fn on_connected(&mut self, out: &mut Out) -> Step {
        out.send("who\r\n");
        Ok(())
    }

    fn on_data(&mut self, data: &[u8], out: &mut Out) -> Step {
        self.reader.push(data);
        // The line may not be complete yet: wait for more.
        let Some(name) = self.reader.line()? else {
            return Ok(());
        };
        out.mark("answer");
        out.sample("name_bytes", name.len() as f64, &[]);
        if name != self.config.name.as_bytes() {
            let (expected, found) = (&self.config.name, shown(name));
            return Err(unexpected(format!("expected {expected}, found {found}")));
        }
        out.up();
        Ok(())
    }
}

probity_check::export!(Hello);

#[cfg(test)]
mod tests {
    use probity_check::testing::{Run, cut_everywhere, refusal, replay};

    use super::*;

    #[test]
    fn transcript() {
        replay::<Hello>(include_str!("../transcript.txt"));
    }

    #[test]
    fn it_asks_and_is_told() {
        let mut run = Run::<Hello>::open(r#"{"name": "mars"}"#);
        assert_eq!(run.connected().sent(), b"who\r\n");
        run.data("ma").data("rs\r\n");
        assert_eq!(run.outcome(), Some(&Outcome::Up));
        assert_eq!(run.marks(), ["answer"]);
    }

    #[test]
    fn any_cut_gives_the_same_verdict() {
        cut_everywhere::<Hello>("{}", "earth\r\n", &Outcome::Up);
    }

    #[test]
    fn a_name_is_needed() {
        let why = refusal::<Hello>(r#"{"name": ""}"#);
        assert_eq!(why.as_deref(), Some("name: expected a name"));
    }
}
