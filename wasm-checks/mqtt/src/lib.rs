//! MQTT: CONNECT, CONNACK, DISCONNECT.
//!
//! MQTT 3.1.1 and 5.0 (OASIS), sections 2.2 (fixed header), 3.1 (CONNECT), 3.2
//! (CONNACK) and 3.14 (DISCONNECT).

#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;

mod packet;

use probity_check::prelude::*;
use serde::Deserialize;

use crate::packet::{Connack, DISCONNECT, connect};

/// The options of this check.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    version: Version,
    /// Without one, `probity-` and a number that is another in every run: a
    /// broker closes the session that had a client's name before.
    client_id: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum Version {
    #[default]
    #[serde(rename = "3.1.1")]
    V3,
    #[serde(rename = "5")]
    V5,
}

/// Bytes of a CONNACK with its header; in 3.1.1 it has four.
const MAX_PACKET_BYTES: usize = 4 * 1024;

/// One run.
#[derive(Debug)]
pub struct Mqtt {
    config: Config,
    client_id: String,
    reader: Reader,
}

impl Check for Mqtt {
    type Config = Config;

    fn describe() -> Description {
        Description::new("mqtt", env!("CARGO_PKG_VERSION"))
            .port(1883)
            .phases(&["connack"])
            .gauge(
                "session_present",
                &[],
                "Whether the broker kept a session for us, which we do not ask for.",
            )
            .gauge(
                "receive_maximum",
                &[],
                "Messages that the broker takes before it has acknowledged them (MQTT 5).",
            )
            .gauge(
                "packet_limit_bytes",
                &[],
                "Largest packet that the broker takes (MQTT 5).",
            )
            .gauge(
                "keep_alive_seconds",
                &[],
                "Keep-alive time that the broker prescribes (MQTT 5).",
            )
    }

    fn validate(config: &Config) -> Result<(), String> {
        let options = [
            ("client_id", &config.client_id),
            ("username", &config.username),
            ("password", &config.password),
        ];
        for (name, value) in options {
            if value.as_ref().is_some_and(|value| value.len() > 4_096) {
                return Err(format!("{name}: more than 4096 bytes"));
            }
        }
        // MQTT 3.1.1 section 3.1.2.9; 5 takes it.
        if config.password.is_some() && config.username.is_none() && config.version == Version::V3 {
            return Err("password: MQTT 3.1.1 wants a username with it".into());
        }
        Ok(())
    }

    fn open(config: Config, context: &Context) -> Self {
        let client_id = config.client_id.clone().unwrap_or_else(|| {
            // 23 letters and digits are what every broker takes (3.1.1 section
            // 3.1.3.1), though few mind a hyphen.
            format!("probity-{:012x}", context.seed & 0xffff_ffff_ffff)
        });
        Self {
            config,
            client_id,
            reader: Reader::new(MAX_PACKET_BYTES),
        }
    }

    fn on_connected(&mut self, out: &mut Out) -> Step {
        out.send(connect(&self.config, &self.client_id));
        Ok(())
    }

    fn on_data(&mut self, data: &[u8], out: &mut Out) -> Step {
        self.reader.push(data);
        let Some(total) = packet::total(self.reader.held())? else {
            return Ok(());
        };
        let Some(packet) = self.reader.take(total)? else {
            return Ok(());
        };
        let is_5 = self.config.version == Version::V5;
        let connack = Connack::read(packet, is_5)?;
        if let Some(why) = connack.refusal(is_5) {
            return Err(why);
        }
        out.mark("connack");
        out.sample(
            "session_present",
            f64::from(u8::from(connack.session_present)),
            &[],
        );
        for (metric, value) in [
            ("receive_maximum", connack.receive_maximum),
            ("packet_limit_bytes", connack.packet_limit),
            ("keep_alive_seconds", connack.keep_alive),
        ] {
            if let Some(value) = value {
                out.sample(metric, value.into(), &[]);
            }
        }
        out.send(DISCONNECT);
        out.up();
        Ok(())
    }
}

probity_check::export!(Mqtt);

#[cfg(test)]
mod tests {
    use probity_check::testing::{cut_everywhere, replay};

    use super::*;

    #[test]
    fn transcript() {
        replay::<Mqtt>(include_str!("../transcript.txt"));
    }

    #[test]
    fn any_cut_gives_the_same_verdict() {
        cut_everywhere::<Mqtt>("{}", [0x20, 2, 0, 0], &Outcome::Up);
    }
}
