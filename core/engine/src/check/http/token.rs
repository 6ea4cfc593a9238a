//! Fetching a token (RFC 6749 sections 4.4 and 5), before the request that
//! carries it.
//!
//! ```text
//! Signing -> Dialing -> Head -> Body -> the value of Authorization
//!               ^                 |
//!               `--- no token ----'   once: who asks then stands in the body
//! ```
//! Servers differ in where they expect to be told who asks, so both are tried,
//! in the order of Go's `oauth2`; who asks with an assertion has said it in that,
//! and asks once. It is signed before there is a connection, which the endpoint
//! could close while we wait for a turn to sign in. A redirect is not followed: it
//! would take the secret elsewhere.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::body::{self, Framing, Piece};
use super::oauth2::{Style, TokenSource};
use super::request::is_field_value;
use super::response::{Head, Heads};
use super::url::{Url, decode};
use crate::check::Cx;
use crate::check::cx::Party;
use crate::check::dial::{Dial, Route};
use crate::check::excerpt::Excerpt;
use crate::config::Secret;
use crate::id::Conn;
use crate::io::{Closed, Input};
use crate::limits::MAX_TOKEN_ANSWER_BYTES;
use crate::outcome::{Outcome, Phase, Reason};

/// A token that is being fetched.
#[derive(Debug)]
pub(super) struct Fetch {
    style: Style,
    /// What was signed; nothing for the other styles.
    assertion: Secret,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Waiting for a turn to sign in.
    Signing,
    Dialing(Dial),
    Head(Conn, Heads),
    Body(Conn, Answer),
}

#[derive(Debug)]
struct Answer {
    status: u16,
    /// Whether it is a form, and not JSON.
    form: bool,
    framing: Framing,
    held: Vec<u8>,
}

/// Why an answer is not a token.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    reason: Reason,
    words: String,
}

impl Fetch {
    /// Sets out, when the target has been found. Until there is a token the
    /// run deals with nobody else.
    pub(super) fn start(source: &TokenSource, cx: &mut Cx<'_>) -> Self {
        // It is on the way to the target, but its time is not the target's.
        cx.begin(Phase::Connect);
        cx.abandon_phase();
        cx.core.party = Party::TokenEndpoint;
        let mut fetch = Self {
            style: source.style(),
            assertion: Secret::default(),
            stage: Stage::Signing,
        };
        match fetch.style {
            Style::Assertion => fetch.sign(source, cx),
            Style::Header | Style::Parameters => fetch.dial(source, cx),
        }
        cx.attribute(of_endpoint, &Named(&source.url));
        fetch
    }

    /// Signs, as soon as there is a turn for it, and sets out.
    fn sign(&mut self, source: &TokenSource, cx: &mut Cx<'_>) {
        if !cx.may_sign() {
            cx.trace(format_args!("waiting for a turn to sign the assertion"));
            return;
        }
        match source.sign() {
            Ok(assertion) => {
                self.assertion = assertion;
                self.dial(source, cx);
            }
            // The key was good when the module was loaded.
            Err(error) => cx.finish(
                Outcome::Unknown(Reason::Internal),
                format_args!("the assertion could not be signed: {error}"),
            ),
        }
    }

    fn dial(&mut self, source: &TokenSource, cx: &mut Cx<'_>) {
        cx.trace(format_args!("fetching a token from {}", source.url));
        let mut dial = Dial::Idle;
        dial.start(source.destination(), cx);
        self.stage = Stage::Dialing(dial);
    }

    /// See [`Check::has_another_way`](crate::check::Check::has_another_way).
    pub(super) fn has_another_way(&self) -> bool {
        matches!(&self.stage, Stage::Dialing(dial) if dial.has_another_way())
    }

    /// Handles an event. Returns the value of Authorization once there is one.
    pub(super) fn on(
        &mut self,
        source: &TokenSource,
        input: Input<'_>,
        cx: &mut Cx<'_>,
    ) -> Option<Secret> {
        let token = self.advance(source, input, cx);
        cx.attribute(of_endpoint, &Named(&source.url));
        if token.is_some() {
            cx.core.party = Party::Target;
            cx.core.address = None;
        }
        token
    }

    fn advance(
        &mut self,
        source: &TokenSource,
        input: Input<'_>,
        cx: &mut Cx<'_>,
    ) -> Option<Secret> {
        match (&mut self.stage, input) {
            (Stage::Signing, Input::Woken) => {
                self.sign(source, cx);
                None
            }
            (Stage::Dialing(dial), input) => {
                let conn = dial.on(source.destination(), &input, cx)?;
                let assertion = self.assertion.reveal();
                let request = match dial.route() {
                    Route::Through => source.request(self.style, assertion, None),
                    Route::Forwarded(proxy) => source.request(self.style, assertion, Some(&proxy)),
                };
                cx.send(conn, &request);
                self.stage = Stage::Head(conn, Heads::default());
                None
            }
            (Stage::Head(conn, _), Input::Data(from, data)) if *conn == from => {
                self.on_head(source, data, cx)
            }
            (Stage::Body(conn, answer), Input::Data(from, data)) if *conn == from => {
                let end = answer.on_data(data)?;
                self.ended(source, end, cx)
            }
            (Stage::Head(conn, _), Input::Closed(closed, why)) if *conn == closed => {
                let words = format!("{why} before it had answered");
                cx.fail(Reason::Oauth2Malformed, format_args!("{words}"));
                None
            }
            (Stage::Body(conn, answer), Input::Closed(closed, why)) if *conn == closed => {
                let end = match why {
                    Closed::End if answer.framing.ends_with_connection() => answer.judge(),
                    why => malformed(format!("{why} before the end of the answer")),
                };
                self.ended(source, end, cx)
            }
            // News of a connection that was given up.
            _ => None,
        }
    }

    fn on_head(&mut self, source: &TokenSource, data: &[u8], cx: &mut Cx<'_>) -> Option<Secret> {
        let Stage::Head(conn, heads) = &mut self.stage else {
            return None;
        };
        let conn = *conn;
        let bytes = heads.gather(data);
        let mut at = 0;
        let answer = loop {
            let raw = match heads.next(&bytes[at..]) {
                Ok(Some(raw)) => raw,
                Ok(None) => {
                    heads.keep(bytes, at, || cx.take_buffer());
                    return None;
                }
                Err(error) => break malformed(format!("{error}")),
            };
            let mut fields = Head::fields();
            let head = match Head::parse(&raw, &mut fields) {
                Ok(head) => head,
                Err(error) => break malformed(format!("{error}")),
            };
            at += raw.len();
            if !head.is_interim() {
                break Answer::new(&head, self.style);
            }
        };
        match answer {
            Ok(mut answer) => {
                let end = answer.on_data(&bytes[at..]);
                self.stage = Stage::Body(conn, answer);
                self.ended(source, end?, cx)
            }
            Err(refusal) => self.ended(source, Err(refusal), cx),
        }
    }

    /// Takes the token, or tries the other way to say who asks.
    fn ended(
        &mut self,
        source: &TokenSource,
        end: Result<Secret, Refusal>,
        cx: &mut Cx<'_>,
    ) -> Option<Secret> {
        if let Stage::Head(conn, _) | Stage::Body(conn, _) = &self.stage {
            cx.close(*conn);
        }
        match end {
            Ok(token) => return Some(token),
            Err(refusal) if self.style == Style::Header => {
                cx.trace(format_args!("no token: the endpoint {}", refusal.words));
                self.style = Style::Parameters;
                self.dial(source, cx);
            }
            Err(refusal) => cx.fail(refusal.reason, format_args!("{}", refusal.words)),
        }
        None
    }
}

impl Answer {
    fn new(head: &Head<'_, '_>, style: Style) -> Result<Self, Refusal> {
        let announced =
            body::announced(head, false).or_else(|error| malformed(format!("{error}")))?;
        let kind = head.value("Content-Type").unwrap_or_default();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        let is = |name: &str| kind.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        Ok(Self {
            status: head.status,
            // What Go takes for a form. What an assertion is exchanged for is
            // JSON always.
            form: style != Style::Assertion
                && (is("application/x-www-form-urlencoded") || is("text/plain")),
            framing: announced.framing,
            held: Vec::new(),
        })
    }

    /// Reads on, until the answer is complete.
    fn on_data(&mut self, mut data: &[u8]) -> Option<Result<Secret, Refusal>> {
        loop {
            match self.framing.next(&mut data) {
                Ok(Piece::Content(content)) => {
                    let room = MAX_TOKEN_ANSWER_BYTES - self.held.len();
                    let taken = content.len().min(room);
                    self.held.extend_from_slice(&content[..taken]);
                    if taken == room {
                        return Some(self.judge());
                    }
                }
                Ok(Piece::More) => return None,
                Ok(Piece::End) => return Some(self.judge()),
                Err(error) => return Some(malformed(format!("{error}"))),
            }
        }
    }

    fn judge(&self) -> Result<Secret, Refusal> {
        let success = (200..300).contains(&self.status);
        let answer = match self.form {
            true => Ok(Fields::of_form(&self.held)),
            false => serde_json::from_slice::<Fields>(&self.held),
        };
        let fields = match (answer, success) {
            (Ok(fields), _) => fields,
            (Err(_), true) => {
                // It may hold a token all the same: it is not shown.
                let more = match self.held.len() {
                    MAX_TOKEN_ANSWER_BYTES => " (more are not read)",
                    _ => "",
                };
                return malformed(format!(
                    "answered {} with {} bytes{more} that are no token in JSON",
                    self.status,
                    self.held.len()
                ));
            }
            (Err(_), false) => Fields::default(),
        };
        let error = fields.error.unwrap_or_default();
        if !success || !error.is_empty() {
            let said = fields.error_description.unwrap_or_default();
            return Err(Refusal {
                reason: Reason::Oauth2Refused,
                words: format!("answered {}{}", self.status, Said(&error, &said)),
            });
        }
        let token = fields.access_token.unwrap_or_default();
        let kind = fields.token_type.unwrap_or_default();
        if token.is_empty() {
            return malformed("answered without an access_token".into());
        }
        let value = format!("{} {token}", scheme(&kind));
        if !is_field_value(&value) {
            return malformed("gave a token with control characters".into());
        }
        Ok(Secret::new(value))
    }
}

/// RFC 6749 sections 5.1 and 5.2. JSON is read as by Go.
#[derive(Default)]
struct Fields {
    access_token: Option<String>,
    token_type: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    /// What is used of a token has to make sense, and so has what is not.
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        let mut unused = None;
        while let Some(name) = object.next_key::<String>()? {
            let field = match &*folded(name) {
                "access_token" => &mut fields.access_token,
                "token_type" => &mut fields.token_type,
                "error" => &mut fields.error,
                "error_description" => &mut fields.error_description,
                "refresh_token" | "error_uri" => &mut unused,
                "expires_in" => {
                    object.next_value::<Seconds>()?;
                    continue;
                }
                _ => {
                    object.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            // The last one counts, and null is none.
            if let Some(value) = object.next_value::<Option<String>>()? {
                *field = Some(value);
            }
        }
        Ok(fields)
    }
}

/// The name that Go takes this for: it does not mind the case, also not of the two
/// letters beyond ASCII that have one within.
fn folded(mut name: String) -> String {
    if !name.is_ascii() {
        name = name.replace('\u{17f}', "s").replace('\u{212a}', "k");
    }
    name.make_ascii_lowercase();
    name
}

/// A whole number, which some servers write as a text, or nothing.
struct Seconds;

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Self),
            Value::Number(number) if number.is_i64() => Ok(Self),
            Value::String(text) if serde_json::from_str::<i64>(&text).is_ok() => Ok(Self),
            _ => Err(de::Error::custom("expected a number of seconds")),
        }
    }
}

impl Fields {
    fn of_form(text: &[u8]) -> Self {
        let mut fields = Self::default();
        for pair in text.trim_ascii().split(|byte| *byte == b'&') {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let name = parts.next().unwrap_or_default();
            let value: Vec<u8> = parts
                .next()
                .unwrap_or_default()
                .iter()
                .map(|byte| if *byte == b'+' { b' ' } else { *byte })
                .collect();
            let value = String::from_utf8_lossy(&decode(&value)).into_owned();
            let field = match name {
                b"access_token" => &mut fields.access_token,
                b"token_type" => &mut fields.token_type,
                b"error" => &mut fields.error,
                b"error_description" => &mut fields.error_description,
                _ => continue,
            };
            // Of a form, Go takes the first one.
            field.get_or_insert(value);
        }
        fields
    }
}

/// The scheme for a type of token, as Go's `Token.Type` has it.
fn scheme(kind: &str) -> &str {
    match kind {
        "" => "Bearer",
        kind if kind.eq_ignore_ascii_case("bearer") => "Bearer",
        kind if kind.eq_ignore_ascii_case("mac") => "MAC",
        kind if kind.eq_ignore_ascii_case("basic") => "Basic",
        kind => kind,
    }
}

fn malformed<T>(words: String) -> Result<T, Refusal> {
    Err(Refusal {
        reason: Reason::Oauth2Malformed,
        words,
    })
}

/// What a failure means on the way to a token.
fn of_endpoint(reason: Reason) -> Reason {
    match reason {
        Reason::Oauth2Refused | Reason::Oauth2Malformed => reason,
        _ => Reason::Oauth2Unreachable,
    }
}

/// `: invalid_client (no such client)`, cut to a sensible length.
struct Said<'a>(&'a str, &'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() {
            write!(f, ": {}", Excerpt(self.0.as_bytes()))?;
        }
        if !self.1.is_empty() {
            write!(f, " ({})", Excerpt(self.1.as_bytes()))?;
        }
        Ok(())
    }
}

/// `the token endpoint https://id.example/token`, without its query.
struct Named<'a>(&'a Url);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.0.secure { "https" } else { "http" };
        let path = self.0.path.split('?').next().unwrap_or_default();
        write!(
            f,
            "the token endpoint {scheme}://{}{path}",
            self.0.authority()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judge(status: u16, form: bool, text: &[u8]) -> Result<String, Refusal> {
        let answer = Answer {
            status,
            form,
            framing: Framing::UntilClose,
            held: text.to_vec(),
        };
        answer.judge().map(|token| token.reveal().into())
    }

    #[test]
    fn tokens_are_read_from_json_and_forms() {
        for (form, text, value) in [
            (
                false,
                r#"{"access_token":"t","token_type":"bearer","expires_in":3600}"#,
                "Bearer t",
            ),
            (
                false,
                r#"{"access_token":"t","token_type":null,"x":[1,{}]}"#,
                "Bearer t",
            ),
            (
                false,
                r#"{"access_token":"t","token_type":"DPoP","expires_in":"60"}"#,
                "DPoP t",
            ),
            (
                false,
                r#"{"access_token":"t","expires_in":null}"#,
                "Bearer t",
            ),
            (true, "access_token=a%2Bb&token_type=MAC", "MAC a+b"),
            (true, "access_token=s&access_token=t", "Bearer s"),
            (
                false,
                r#"{"Access_Token":"t","TOKEN_TYPE":"DPoP"}"#,
                "DPoP t",
            ),
            (false, r#"{"acce\u017fs_to\u212aen":"t"}"#, "Bearer t"),
            (
                false,
                r#"{"access_token":"s","access_token":"t","ACCESS_TOKEN":null}"#,
                "Bearer t",
            ),
            (
                false,
                r#"{"expires_in":1,"expires_in":"2","scope":"a","scope":"b","access_token":"t"}"#,
                "Bearer t",
            ),
        ] {
            assert_eq!(judge(200, form, text.as_bytes()).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_token_is_said() {
        for (status, text, reason, words) in [
            (
                200,
                "<html>",
                Reason::Oauth2Malformed,
                "answered 200 with 6 bytes that are no token in JSON",
            ),
            (
                200,
                r#"{"access_token":"t","expires_in":"soon"}"#,
                Reason::Oauth2Malformed,
                "answered 200 with 40 bytes that are no token in JSON",
            ),
            (
                200,
                r#"{"access_token":"t","expires_in":1.5}"#,
                Reason::Oauth2Malformed,
                "answered 200 with 37 bytes that are no token in JSON",
            ),
            (
                200,
                r#"{"access_token":"s3cret","token_type":["Bearer"]}"#,
                Reason::Oauth2Malformed,
                "answered 200 with 49 bytes that are no token in JSON",
            ),
            (
                200,
                r#"{"access_token":"s3cret","Refresh_Token":[]}"#,
                Reason::Oauth2Malformed,
                "answered 200 with 44 bytes that are no token in JSON",
            ),
            (
                200,
                r#"{"access_token":7,"access_token":"s3cret"}"#,
                Reason::Oauth2Malformed,
                "answered 200 with 42 bytes that are no token in JSON",
            ),
            (
                200,
                r#"["s3cret"]"#,
                Reason::Oauth2Malformed,
                "answered 200 with 10 bytes that are no token in JSON",
            ),
            (
                200,
                "access_token=s3cret",
                Reason::Oauth2Malformed,
                "answered 200 with 19 bytes that are no token in JSON",
            ),
            (
                200,
                "{}",
                Reason::Oauth2Malformed,
                "answered without an access_token",
            ),
            (
                200,
                r#"{"error":"invalid_scope","access_token":"t"}"#,
                Reason::Oauth2Refused,
                "answered 200: \"invalid_scope\"",
            ),
            (
                401,
                r#"{"error":"invalid_client","error_description":"who?"}"#,
                Reason::Oauth2Refused,
                "answered 401: \"invalid_client\" (\"who?\")",
            ),
            (503, "<html>", Reason::Oauth2Refused, "answered 503"),
            (
                200,
                "{\"access_token\":\"t\\r\\nX: y\"}",
                Reason::Oauth2Malformed,
                "gave a token with control characters",
            ),
        ] {
            let words = words.into();
            assert_eq!(
                judge(status, false, text.as_bytes()),
                Err(Refusal { reason, words })
            );
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(text: Vec<u8>, form: bool, status in 200_u16..600) {
            let _ = judge(status, form, &text);
        }
    }
}
