//! Redis (RESP): AUTH if there are credentials, PING, ROLE if a role is asked for.
//!
//! The serialization protocol: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;

mod resp;

use probity_check::prelude::*;
use serde::Deserialize;

use crate::resp::{Resp, Token};

/// The options of this check.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The user of an access control list; without one, AUTH has the password
    /// only.
    username: Option<String>,
    /// Without one, no AUTH is sent.
    password: Option<String>,
    /// What the server must be. A replica must also be connected to its master.
    role: Option<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Role {
    Master,
    Replica,
    Sentinel,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "replica",
            Self::Sentinel => "sentinel",
        }
    }

    /// As servers call it.
    fn said(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"master" => Self::Master,
            b"slave" => Self::Replica,
            b"sentinel" => Self::Sentinel,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Auth,
    Ping,
    Role,
}

/// One run.
#[derive(Debug)]
pub struct Redis {
    config: Config,
    resp: Resp,
    state: State,
}

impl Check for Redis {
    type Config = Config;

    fn describe() -> Description {
        Description::new("redis", env!("CARGO_PKG_VERSION"))
            .port(6379)
            .phases(&["auth", "ping", "role"])
            .gauge(
                "role",
                &["role"],
                "1 for what the server is: master, replica or sentinel.",
            )
            .gauge(
                "replicas",
                &[],
                "Replicas that are connected to the master.",
            )
            .gauge(
                "replica_connected",
                &[],
                "Whether the replica is connected to its master.",
            )
            .gauge(
                "replication_offset_bytes",
                &[],
                "How far the server is in the stream of its replication.",
            )
    }

    fn validate(config: &Config) -> Result<(), String> {
        if config.username.is_some() && config.password.is_none() {
            return Err("username: there is no password for it".into());
        }
        Ok(())
    }

    fn open(config: Config, _: &Context) -> Self {
        Self {
            config,
            resp: Resp::new(),
            state: State::Ping,
        }
    }

    fn on_connected(&mut self, out: &mut Out) -> Step {
        match &self.config.password {
            Some(password) => {
                let user = self.config.username.as_deref();
                let words = ["AUTH"].into_iter().chain(user).chain([password.as_str()]);
                out.send(resp::command(words));
                self.state = State::Auth;
            }
            None => out.send(resp::command(["PING"])),
        }
        Ok(())
    }

    fn on_data(&mut self, data: &[u8], out: &mut Out) -> Step {
        self.resp.push(data);
        while !out.is_done() && self.answer(out)? {}
        Ok(())
    }
}

impl Redis {
    /// Deals with the next answer, if it is there.
    fn answer(&mut self, out: &mut Out) -> Result<bool, Finding> {
        match self.state {
            State::Auth => {
                let Some(token) = self.resp.token()? else {
                    return Ok(false);
                };
                expect(&token, b"OK", "AUTH")?;
                out.mark("auth");
                out.send(resp::command(["PING"]));
                self.state = State::Ping;
            }
            State::Ping => {
                let Some(token) = self.resp.token()? else {
                    return Ok(false);
                };
                expect(&token, b"PONG", "PING")?;
                out.mark("ping");
                if self.config.role.is_none() {
                    out.up();
                } else {
                    out.send(resp::command(["ROLE"]));
                    self.state = State::Role;
                }
            }
            State::Role => {
                let Some(tokens) = self.resp.whole()? else {
                    return Ok(false);
                };
                out.mark("role");
                role(&tokens, self.config.role, out)?;
            }
        }
        Ok(true)
    }
}

/// An answer must be this simple string.
fn expect(token: &Token, word: &[u8], command: &str) -> Step {
    match token {
        Token::Simple(text) if text == word => Ok(()),
        Token::Error(text) => Err(refusal(text)),
        other => Err(unexpected(format!(
            "expected +{} to {command}, found {}",
            shown(word),
            other.shown()
        ))),
    }
}

/// What an error means: its first word says.
fn refusal(text: &[u8]) -> Finding {
    let detail = shown(text);
    let code = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    match code {
        b"NOAUTH" | b"WRONGPASS" | b"NOPERM" | b"DENIED" => denied(detail),
        b"LOADING" | b"MASTERDOWN" | b"BUSY" | b"CLUSTERDOWN" | b"TRYAGAIN" => not_ready(detail),
        _ if text.starts_with(b"ERR max number of clients") => not_ready(detail),
        // Before 6.0, for a wrong password and for one that is not needed.
        _ if text.starts_with(b"ERR invalid password") => denied(detail),
        _ => server_error(detail),
    }
}

/// The answer to ROLE: an array that begins with the name of the role.
fn role(tokens: &[Token], wanted: Option<Role>, out: &mut Out) -> Step {
    let [Token::Array(_), Token::Bulk(name), rest @ ..] = tokens else {
        return match tokens {
            [Token::Error(text)] => Err(refusal(text)),
            _ => Err(malformed(
                "expected an array with a role as the answer to ROLE",
            )),
        };
    };
    let found = Role::said(name);
    let found = found.ok_or_else(|| unexpected(format!("the role is {}", shown(name))))?;
    out.sample("role", 1.0, &[found.name()]);
    let mut connected = true;
    match (found, rest) {
        (Role::Master, [Token::Number(offset), Token::Array(replicas), ..]) => {
            out.sample("replication_offset_bytes", *offset as f64, &[]);
            out.sample("replicas", *replicas as f64, &[]);
        }
        (Role::Replica, [_, _, Token::Bulk(state), Token::Number(offset), ..]) => {
            connected = state == b"connected";
            out.sample("replica_connected", f64::from(u8::from(connected)), &[]);
            out.sample("replication_offset_bytes", *offset as f64, &[]);
        }
        (Role::Sentinel, _) => {}
        _ => {
            return Err(malformed(
                "the answer to ROLE has not the fields of its role",
            ));
        }
    }
    if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
        let (wanted, found) = (wanted.name(), found.name());
        return Err(unexpected(format!("expected a {wanted}, found a {found}")));
    }
    if !connected {
        return Err(not_ready("the replica is not connected to its master"));
    }
    out.up();
    Ok(())
}

probity_check::export!(Redis);

#[cfg(test)]
mod tests {
    use probity_check::testing::{Run, cut_everywhere, refusal, replay};

    use super::*;

    #[test]
    fn transcript() {
        replay::<Redis>(include_str!("../transcript.txt"));
    }

    #[test]
    fn samples_are_reported() {
        let mut run = Run::<Redis>::open(r#"{"role": "master"}"#);
        run.connected()
            .data("+PONG\r\n")
            .data("*3\r\n$6\r\nmaster\r\n:7\r\n*0\r\n");
        let samples = run.samples().iter();
        let samples: Vec<_> = samples.map(|it| (it.metric.as_str(), it.value)).collect();
        let expected = [
            ("role", 1.0),
            ("replication_offset_bytes", 7.0),
            ("replicas", 0.0),
        ];
        assert_eq!(samples, expected);
        assert_eq!(run.marks(), ["ping", "role"]);
    }

    #[test]
    fn any_cut_gives_the_same_verdict() {
        cut_everywhere::<Redis>("{}", "+PONG\r\n", &Outcome::Up);
    }

    #[test]
    fn a_user_needs_a_password() {
        let why = refusal::<Redis>(r#"{"username": "probe"}"#);
        assert_eq!(
            why.as_deref(),
            Some("username: there is no password for it")
        );
    }
}
