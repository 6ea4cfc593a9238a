//! OAuth2 token endpoints (RFC 6749 section 4.4), good and bad, and a server
//! that wants to see a token.

use super::http::{Site, response};
use super::{Behaviour, Script, Step};

/// The token that every endpoint gives.
pub const TOKEN: &str = "t0ken";

/// How an endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// It knows clients by HTTP Basic.
    Basic,
    /// It answers 401 to that, and knows clients by what stands in the body.
    InBody,
    /// It knows nobody.
    Refuses,
    /// It never answers.
    Hangs,
    /// Its answers are no JSON.
    Broken,
}

impl Endpoint {
    /// As a server.
    pub fn serve(self) -> Behaviour {
        let granted = || {
            let body = format!(r#"{{"access_token":"{TOKEN}","token_type":"bearer"}}"#);
            json("200 OK", &body)
        };
        let refused = json("401 Unauthorized", r#"{"error":"invalid_client"}"#);
        match self {
            Self::Basic => Site::new(refused).says("\r\nAuthorization: Basic ", granted()),
            Self::InBody => Site::new(refused).says("&client_secret=", granted()),
            Self::Refuses => Site::new(refused),
            Self::Hangs => Site::new(Script::new([Step::Hold])),
            Self::Broken => Site::new(json("200 OK", r#"{"access_token":"#)),
        }
        .serve()
    }
}

fn json(status: &str, body: &str) -> Script {
    let kind = "Content-Type: application/json";
    Script::new([Step::Send(response(status, &[kind], body))])
}

/// A server that answers 401 to whoever has no token.
pub fn guarded() -> Behaviour {
    let welcome = Script::new([Step::Send(response("200 OK", &[], "welcome"))]);
    let stranger = Script::new([Step::Send(response("401 Unauthorized", &[], "who?"))]);
    Site::new(stranger)
        .says(&format!("\r\nAuthorization: Bearer {TOKEN}\r\n"), welcome)
        .serve()
}
