//! PostgreSQL: SSLRequest if asked for, StartupMessage, and then a session or
//! the question for a password.
//!
//! Protocol 3.0: the PostgreSQL documentation, chapter "Frontend/Backend
//! Protocol", sections "Start-up", "SSL Session Encryption", "Message Formats"
//! and "Error and Notice Message Fields".

#![cfg_attr(target_family = "wasm", no_std)]
extern crate alloc;

use probity_check::prelude::*;
use serde::Deserialize;

/// The options of this check.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    user: String,
    /// Without one, that of the user's name.
    database: Option<String>,
    /// Asks for TLS first, and fails where it is refused.
    tls: bool,
    /// Fails where the server asks for a password, instead of taking that as a
    /// sign of life.
    session: bool,
    /// What the server must be; found out in a session only.
    role: Option<Role>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user: "probity".into(),
            database: None,
            tls: false,
            session: false,
            role: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Role {
    Primary,
    Standby,
}

/// Bytes of a message with its header.
const MAX_MESSAGE_BYTES: usize = 8 * 1024;
/// Messages between start-up and the end of it; about 20 are usual.
const MAX_MESSAGES: u32 = 200;

/// 1234 and 5679: no version, but the request for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const PROTOCOL_3_0: u32 = 0x0003_0000;
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// The types of the messages that may come before a session.
const KINDS: &[u8] = b"RESZKNv";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SslRequest,
    Startup,
}

/// One run.
#[derive(Debug)]
pub struct Postgres {
    config: Config,
    reader: Reader,
    state: State,
    messages: u32,
    /// What the server says of itself, if it does.
    version: Option<String>,
    standby: Option<bool>,
}

impl Check for Postgres {
    type Config = Config;

    fn describe() -> Description {
        Description::new("postgres", env!("CARGO_PKG_VERSION"))
            .port(5432)
            .phases(&["ssl", "startup"])
            .gauge(
                "info",
                &["version"],
                "1, for the version that the server says when a session begins.",
            )
            .gauge(
                "session",
                &[],
                "1 if a session began, 0 if a password was asked for.",
            )
            .gauge(
                "standby",
                &[],
                "1 if the server is a standby; from PostgreSQL 14, when a session begins.",
            )
    }

    fn validate(config: &Config) -> Result<(), String> {
        if config.user.is_empty() || config.user.contains('\0') {
            return Err("user: expected a name".into());
        }
        if config
            .database
            .as_ref()
            .is_some_and(|name| name.contains('\0'))
        {
            return Err("database: expected a name".into());
        }
        if config.role.is_some() && !config.session {
            return Err("role: only a session tells; it needs `session: true`".into());
        }
        Ok(())
    }

    fn open(config: Config, context: &Context) -> Self {
        let ask = config.tls && context.tls.is_none();
        Self {
            config,
            reader: Reader::new(MAX_MESSAGE_BYTES),
            state: if ask {
                State::SslRequest
            } else {
                State::Startup
            },
            messages: 0,
            version: None,
            standby: None,
        }
    }

    fn on_connected(&mut self, out: &mut Out) -> Step {
        match self.state {
            State::SslRequest => out.send(SSL_REQUEST),
            State::Startup => out.send(self.startup()),
        }
        Ok(())
    }

    fn on_data(&mut self, data: &[u8], out: &mut Out) -> Step {
        self.reader.push(data);
        if self.state == State::SslRequest {
            return self.answer_to_ssl(out);
        }
        while !out.is_done() {
            // Before a length of another protocol is believed.
            match self.reader.held() {
                [kind, ..] if !KINDS.contains(kind) => {
                    return Err(not_postgres(self.reader.held()));
                }
                _ => {}
            }
            let length = |header: &[u8]| length(header).saturating_add(1);
            let Some(message) = self.reader.frame(5, length)? else {
                break;
            };
            let message = message.to_vec();
            self.message(&message, out)?;
        }
        Ok(())
    }

    fn on_secured(&mut self, _: &TlsInfo, out: &mut Out) -> Step {
        out.mark("ssl");
        out.send(self.startup());
        Ok(())
    }
}

/// The length of a message, which counts itself but not its type.
fn length(header: &[u8]) -> usize {
    let length = header
        .last_chunk()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes));
    usize::try_from(length).unwrap_or(usize::MAX)
}

impl Postgres {
    fn startup(&self) -> Vec<u8> {
        let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
        let database = self.config.database.as_deref();
        let database = database.map(|name| ("database", name));
        let parameters = [
            ("user", self.config.user.as_str()),
            ("application_name", "probity"),
        ];
        for (name, value) in parameters.into_iter().chain(database) {
            for text in [name, value] {
                body.extend_from_slice(text.as_bytes());
                body.push(0);
            }
        }
        body.push(0);
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        [&length.to_be_bytes()[..], &body].concat()
    }

    /// One byte, or an error of a server that is too old to know the request.
    fn answer_to_ssl(&mut self, out: &mut Out) -> Step {
        match self.reader.held() {
            [b'S'] => {
                self.reader.take(1)?;
                self.state = State::Startup;
                out.start_tls();
                Ok(())
            }
            // What follows would be taken for what is said after the handshake.
            [b'S', ..] => Err(malformed(
                "bytes between the answer to SSLRequest and the handshake",
            )),
            [b'N', ..] => Err(unexpected("TLS is refused")),
            [b'E', ..] => Err(unexpected("TLS is not known to the server")),
            [other, ..] => Err(malformed(format!(
                "expected S or N to SSLRequest, found {}",
                shown(&[*other])
            ))),
            [] => Ok(()),
        }
    }

    fn message(&mut self, message: &[u8], out: &mut Out) -> Step {
        self.messages += 1;
        if self.messages > MAX_MESSAGES {
            let detail = format!("more than {MAX_MESSAGES} messages before a session begins");
            out.down(Reason::TooMuch, detail);
            return Ok(());
        }
        let (header, body) = message.split_at(5);
        if length(header) < 4 {
            return Err(malformed("a message that is shorter than its header"));
        }
        match header[0] {
            b'R' => self.authentication(body, out),
            b'E' => Err(refusal(body)),
            b'S' => {
                self.parameter(body);
                Ok(())
            }
            b'Z' => self.ready(out),
            // BackendKeyData, NoticeResponse, NegotiateProtocolVersion
            _ => Ok(()),
        }
    }

    fn authentication(&self, body: &[u8], out: &mut Out) -> Step {
        let kind = body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let method = match kind {
            Some(0) => return Ok(()),
            Some(2) => "Kerberos",
            Some(3) => "a password in clear text",
            Some(5) => "an MD5 password",
            Some(7) => "GSSAPI",
            Some(9) => "SSPI",
            Some(10) => "SASL",
            _ => {
                return Err(malformed(
                    "an authentication request of no kind that is known",
                ));
            }
        };
        if self.config.session {
            return Err(denied(format!("the server asks for {method}")));
        }
        out.log(format!("the server asks for {method}"));
        out.mark("startup");
        out.sample("session", 0.0, &[]);
        out.up();
        Ok(())
    }

    /// ParameterStatus: a name and a value, each with a zero at its end.
    fn parameter(&mut self, body: &[u8]) {
        let mut texts = body.split(|byte| *byte == 0);
        match (texts.next(), texts.next()) {
            (Some(b"server_version"), Some(version)) => self.version = Some(shown(version)),
            (Some(b"in_hot_standby"), Some(value)) => self.standby = Some(value == b"on"),
            _ => {}
        }
    }

    fn ready(&self, out: &mut Out) -> Step {
        out.mark("startup");
        out.sample("session", 1.0, &[]);
        if let Some(version) = &self.version {
            out.sample("info", 1.0, &[version]);
        }
        if let Some(standby) = self.standby {
            out.sample("standby", f64::from(u8::from(standby)), &[]);
        }
        out.send(TERMINATE);
        match (self.config.role, self.standby) {
            (Some(_), None) => out.unknown("the server does not say whether it is a standby"),
            (Some(Role::Primary), Some(true)) => {
                return Err(unexpected("expected a primary, found a standby"));
            }
            (Some(Role::Standby), Some(false)) => {
                return Err(unexpected("expected a standby, found a primary"));
            }
            _ => out.up(),
        }
        Ok(())
    }
}

/// Shows no more than the type: how much more there is depends on the pieces.
fn not_postgres(held: &[u8]) -> Finding {
    let kind = shown(held.get(..1).unwrap_or_default());
    malformed(format!("no message of PostgreSQL begins with {kind}"))
}

/// What an ErrorResponse means: fields with a letter each; C is the SQLSTATE, M
/// the message.
fn refusal(body: &[u8]) -> Finding {
    let field = |letter: u8| {
        let mut fields = body.split(|byte| *byte == 0);
        fields
            .find_map(|field| field.strip_prefix(&[letter]))
            .unwrap_or_default()
    };
    let state = field(b'C');
    let detail = format!("{}: {}", shown(state), shown(field(b'M')));
    match state {
        // cannot_connect_now, admin_shutdown, crash_shutdown, too_many_connections
        b"57P03" | b"57P01" | b"57P02" | b"53300" => not_ready(detail),
        // insufficient_privilege
        b"42501" => denied(detail),
        // Class 28: invalid authorization specification
        [b'2', b'8', ..] => denied(detail),
        // invalid_catalog_name: there is no such database
        b"3D000" => unexpected(detail),
        b"" => malformed("an error without its SQLSTATE"),
        _ => server_error(detail),
    }
}

probity_check::export!(Postgres);

#[cfg(test)]
mod tests {
    use probity_check::testing::{Run, cut_everywhere, replay};

    use super::*;

    #[test]
    fn transcript() {
        replay::<Postgres>(include_str!("../transcript.txt"));
    }

    #[test]
    fn any_cut_gives_the_same_verdict() {
        let script = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
        cut_everywhere::<Postgres>("{}", script, &Outcome::Up);
    }

    /// CVE-2021-23222: what is sent in clear text behind the answer must not be
    /// taken for what is said in the session.
    #[test]
    fn nothing_may_follow_the_answer_to_ssl_request() {
        let mut run = Run::<Postgres>::open(r#"{"tls": true}"#);
        run.connected().data(b"SR\0\0\0\x08\0\0\0\0");
        let Some(Outcome::Down(finding)) = run.outcome() else {
            panic!("{:?}", run.outcome());
        };
        assert_eq!(finding.reason, Reason::Malformed);
    }
}
