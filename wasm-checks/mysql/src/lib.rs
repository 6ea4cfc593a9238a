//! MySQL and MariaDB: the greeting, TLS if asked for, and a log-in if there is a
//! user.
//!
//! The client/server protocol: MySQL Internals, "Connection Phase", "Protocol::
//! HandshakeV10", "SSLRequest", "HandshakeResponse41", "ERR_Packet".

#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;

mod packet;

use probity_check::prelude::*;
use serde::Deserialize;

use crate::packet::{CLIENT_SSL, Greeting, login, ssl_request};

/// The options of this check.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A user without a password, who is logged in and out. Without one the
    /// check leaves after the greeting, which the server takes for a client that
    /// failed: MySQL shuts out a host that does so `max_connect_errors` times in
    /// a row.
    user: Option<String>,
    /// Secures the connection, and fails where that is not offered.
    tls: bool,
}

/// Bytes of a packet with its header.
const MAX_PACKET_BYTES: usize = 4 * 1024;
const COM_QUIT: [u8; 5] = [1, 0, 0, 0, 1];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Securing,
    /// Also knows whether the server has changed the way to log in.
    LogIn {
        switched: bool,
    },
}

/// One run.
#[derive(Debug)]
pub struct Mysql {
    config: Config,
    reader: Reader,
    state: State,
}

impl Check for Mysql {
    type Config = Config;

    fn describe() -> Description {
        Description::new("mysql", env!("CARGO_PKG_VERSION"))
            .port(3306)
            .phases(&["greeting", "tls", "login"])
            .gauge(
                "info",
                &["version"],
                "1, for the version that the server says.",
            )
            .gauge("tls_offered", &[], "Whether the server offers TLS.")
            .counter(
                "connections_total",
                &[],
                "Connections that the server has counted since its start.",
            )
    }

    fn validate(config: &Config) -> Result<(), String> {
        match &config.user {
            Some(user) if user.is_empty() || user.len() > 128 || user.contains('\0') => {
                Err("user: expected a name of at most 128 bytes".into())
            }
            _ => Ok(()),
        }
    }

    fn open(config: Config, _: &Context) -> Self {
        Self {
            config,
            reader: Reader::new(MAX_PACKET_BYTES),
            state: State::Greeting,
        }
    }

    fn on_data(&mut self, data: &[u8], out: &mut Out) -> Step {
        self.reader.push(data);
        while !out.is_done() && self.state != State::Securing {
            let Some(packet) = self.reader.frame(4, packet::length)? else {
                break;
            };
            let (sequence, payload) = (packet[3], packet[4..].to_vec());
            match self.state {
                State::Greeting => self.greeting(&payload, out)?,
                State::LogIn { switched } => self.answer(sequence, &payload, switched, out)?,
                State::Securing => {}
            }
        }
        Ok(())
    }

    fn on_secured(&mut self, _: &TlsInfo, out: &mut Out) -> Step {
        out.mark("tls");
        match &self.config.user {
            Some(user) => {
                out.send(login(2, user, CLIENT_SSL));
                self.state = State::LogIn { switched: false };
            }
            None => out.up(),
        }
        Ok(())
    }
}

impl Mysql {
    fn greeting(&mut self, payload: &[u8], out: &mut Out) -> Step {
        if payload.first() == Some(&0xff) {
            return Err(refusal(payload));
        }
        let greeting = Greeting::read(payload)?;
        out.mark("greeting");
        out.sample("info", 1.0, &[&greeting.version]);
        let offered = greeting.capabilities & CLIENT_SSL != 0;
        out.sample("tls_offered", f64::from(u8::from(offered)), &[]);
        out.sample("connections_total", f64::from(greeting.connection), &[]);
        if self.config.tls {
            if !offered {
                return Err(unexpected("TLS is not offered"));
            }
            out.send(ssl_request());
            out.start_tls();
            self.state = State::Securing;
        } else if let Some(user) = &self.config.user {
            out.send(login(1, user, 0));
            self.state = State::LogIn { switched: false };
        } else {
            out.up();
        }
        Ok(())
    }

    fn answer(&mut self, sequence: u8, payload: &[u8], switched: bool, out: &mut Out) -> Step {
        match payload.first() {
            Some(0) => {
                out.mark("login");
                out.send(COM_QUIT);
                out.up();
                Ok(())
            }
            Some(0xff) => Err(refusal(payload)),
            // AuthSwitchRequest: another plugin, to which no password is
            // nothing to be said as well.
            Some(0xfe) if !switched => {
                out.send([0, 0, 0, sequence.wrapping_add(1)]);
                self.state = State::LogIn { switched: true };
                Ok(())
            }
            Some(1 | 0xfe) => Err(denied("the server asks for a password")),
            _ => Err(malformed(format!(
                "no answer to a log-in: {}",
                shown(payload)
            ))),
        }
    }
}

/// What an ERR_Packet means.
fn refusal(payload: &[u8]) -> Finding {
    let Some((code, text)) = payload.get(1..).and_then(<[u8]>::split_first_chunk) else {
        return malformed("an error without its number");
    };
    let code = u16::from_le_bytes(*code);
    // A SQLSTATE, once capabilities were exchanged.
    let text = match text {
        [b'#', _, _, _, _, _, text @ ..] => text,
        text => text,
    };
    let detail = format!("error {code}: {}", shown(text));
    match code {
        // too many connections, shutdown, too many of this user
        1040 | 1053 | 1203 => not_ready(detail),
        // access denied, host blocked, host not allowed, and by plugin
        1044 | 1045 | 1129 | 1130 | 1698 => denied(detail),
        _ => server_error(detail),
    }
}

probity_check::export!(Mysql);

#[cfg(test)]
mod tests {
    use probity_check::testing::replay;

    use super::*;

    #[test]
    fn transcript() {
        replay::<Mysql>(include_str!("../transcript.txt"));
    }
}
