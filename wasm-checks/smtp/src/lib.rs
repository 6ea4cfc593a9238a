//! SMTP (RFC 5321): banner, EHLO, and STARTTLS (RFC 3207) if asked for.

#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;

use probity_check::prelude::*;
use serde::Deserialize;

/// The options of this check.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name that EHLO says: of the machine that asks.
    hello: String,
    /// Secures the connection before it is done, and fails where that is not
    /// offered.
    starttls: bool,
    /// Extensions that must be offered, after the handshake if there is one.
    require: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hello: "localhost".into(),
            starttls: false,
            require: Vec::new(),
        }
    }
}

/// Bytes of a line. RFC 5321 section 4.5.3.1.5 has 512; some servers have more.
const MAX_LINE_BYTES: usize = 2 * 1024;
/// Lines of one reply.
const MAX_LINES: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Banner,
    Hello,
    StartTls,
    /// EHLO again: what was said before the handshake is void (RFC 3207
    /// section 4.2).
    HelloAgain,
}

/// One run.
#[derive(Debug)]
pub struct Smtp {
    config: Config,
    reader: Reader,
    state: State,
    /// Lines of the reply that is not complete yet.
    lines: Vec<String>,
}

/// A reply: a code, and the texts of its lines.
struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Check for Smtp {
    type Config = Config;

    fn describe() -> Description {
        Description::new("smtp", env!("CARGO_PKG_VERSION"))
            .port(25)
            .phases(&["banner", "ehlo", "starttls"])
            .gauge("extensions", &[], "Extensions that the server offers.")
            .gauge(
                "message_limit_bytes",
                &[],
                "Largest message that the server says it takes (RFC 1870).",
            )
    }

    fn validate(config: &Config) -> Result<(), String> {
        let clean =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !clean(&config.hello) || config.hello.len() > 255 {
            return Err(
                "hello: expected a name or an address in brackets, at most 255 bytes".into(),
            );
        }
        match config.require.iter().find(|word| !clean(word)) {
            Some(word) => Err(format!("require: `{word}` is no name of an extension")),
            None => Ok(()),
        }
    }

    fn open(config: Config, _: &Context) -> Self {
        Self {
            config,
            reader: Reader::new(MAX_LINE_BYTES),
            state: State::Banner,
            lines: Vec::new(),
        }
    }

    fn on_data(&mut self, data: &[u8], out: &mut Out) -> Step {
        self.reader.push(data);
        while !out.is_done() {
            let Some(reply) = self.reply()? else {
                break;
            };
            self.answer(reply, out)?;
        }
        Ok(())
    }

    fn on_secured(&mut self, _: &TlsInfo, out: &mut Out) -> Step {
        out.mark("starttls");
        self.hello(State::HelloAgain, out);
        Ok(())
    }
}

impl Smtp {
    fn hello(&mut self, state: State, out: &mut Out) {
        out.send(format!("EHLO {}\r\n", self.config.hello));
        self.state = state;
    }

    fn answer(&mut self, reply: Reply, out: &mut Out) -> Step {
        match self.state {
            State::Banner => {
                expect(&reply, 220, "greeting")?;
                out.mark("banner");
                self.hello(State::Hello, out);
            }
            State::Hello => {
                expect(&reply, 250, "EHLO")?;
                out.mark("ehlo");
                if !self.config.starttls {
                    return self.finish(&reply, out);
                }
                if !offers(&reply, "STARTTLS") {
                    return Err(unexpected("STARTTLS is not offered"));
                }
                out.send("STARTTLS\r\n");
                self.state = State::StartTls;
            }
            State::StartTls => {
                expect(&reply, 220, "STARTTLS")?;
                // Would be taken for what the server says after the handshake.
                if !self.reader.held().is_empty() {
                    return Err(malformed(
                        "bytes between the reply to STARTTLS and the handshake",
                    ));
                }
                out.start_tls();
            }
            State::HelloAgain => {
                expect(&reply, 250, "EHLO after STARTTLS")?;
                return self.finish(&reply, out);
            }
        }
        Ok(())
    }

    fn finish(&self, reply: &Reply, out: &mut Out) -> Step {
        out.sample("extensions", (reply.lines.len() - 1) as f64, &[]);
        let sizes = reply
            .lines
            .iter()
            .skip(1)
            .filter_map(|line| line.strip_prefix("SIZE "));
        if let Some(size) = sizes.filter_map(|size| size.parse::<u64>().ok()).next() {
            out.sample("message_limit_bytes", size as f64, &[]);
        }
        if let Some(missing) = self.config.require.iter().find(|word| !offers(reply, word)) {
            return Err(unexpected(format!("{missing} is not offered")));
        }
        out.send("QUIT\r\n");
        out.up();
        Ok(())
    }

    /// The next reply (RFC 5321 section 4.2.1): lines of one code, of which all
    /// but the last have a hyphen after it.
    fn reply(&mut self) -> Result<Option<Reply>, Finding> {
        while let Some(line) = self.reader.line()? {
            let (code, rest) = line.split_at_checked(3).unwrap_or((line, b""));
            let number = core::str::from_utf8(code)
                .ok()
                .and_then(|it| it.parse().ok());
            let number = number.filter(|number| (200..600).contains(number));
            let (Some(code), None | Some(b' ' | b'-')) = (number, rest.first()) else {
                return Err(malformed(format!("not a line of SMTP: {}", shown(line))));
            };
            self.lines.push(shown(rest.get(1..).unwrap_or_default()));
            if rest.first() != Some(&b'-') {
                let lines = core::mem::take(&mut self.lines);
                return Ok(Some(Reply { code, lines }));
            }
            if self.lines.len() >= MAX_LINES {
                let detail = format!("a reply of more than {MAX_LINES} lines");
                return Err(Finding {
                    reason: Reason::TooMuch,
                    detail,
                });
            }
        }
        Ok(None)
    }
}

/// Whether a reply to EHLO has this keyword. The first line is a greeting.
fn offers(reply: &Reply, keyword: &str) -> bool {
    let words = reply
        .lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split(' ').next());
    words
        .into_iter()
        .any(|word| word.eq_ignore_ascii_case(keyword))
}

/// A reply must have this code (RFC 5321 section 4.2.2).
fn expect(reply: &Reply, code: u16, what: &str) -> Step {
    if reply.code == code {
        return Ok(());
    }
    let text = reply.lines.first().map(String::as_str).unwrap_or_default();
    let detail = format!("expected {code} for {what}, found {} {text}", reply.code);
    Err(match reply.code {
        421 | 450..455 => not_ready(detail),
        // No service for us, or only with credentials.
        530 | 535 | 550 | 554 => denied(detail),
        400.. => server_error(detail),
        _ => unexpected(detail),
    })
}

probity_check::export!(Smtp);

#[cfg(test)]
mod tests {
    use probity_check::testing::{Run, cut_everywhere, replay};

    use super::*;

    #[test]
    fn transcript() {
        replay::<Smtp>(include_str!("../transcript.txt"));
    }

    #[test]
    fn any_cut_gives_the_same_verdict() {
        let script = "220-mx\r\n220 ESMTP\r\n250-mx\r\n250-SIZE 100\r\n250 HELP\r\n";
        cut_everywhere::<Smtp>("{}", script, &Outcome::Up);
    }

    /// CVE-2011-0411: what is sent in clear text behind the reply must not be
    /// taken for what is said after the handshake.
    #[test]
    fn nothing_may_follow_the_reply_to_starttls() {
        let mut run = Run::<Smtp>::open(r#"{"starttls": true}"#);
        run.connected()
            .data("220 mx\r\n")
            .data("250-mx\r\n250 STARTTLS\r\n");
        run.data("220 go\r\n250 mx\r\n");
        let Some(Outcome::Down(finding)) = run.outcome() else {
            panic!("{:?}", run.outcome());
        };
        assert_eq!(finding.reason, Reason::Malformed);
    }
}
