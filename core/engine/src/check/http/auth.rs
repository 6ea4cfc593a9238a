//! Credentials: what is configured becomes the value of one header.

use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::request::is_field_value;
use crate::config::{ConfigError, Files, Given, Secret, is_default};

/// The `basic_auth` section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BasicAuth {
    /// User.
    #[serde(skip_serializing_if = "is_default")]
    pub username: String,
    /// A file with the same; white space around it is ignored.
    #[serde(skip_serializing_if = "is_default")]
    pub username_file: String,
    /// A secret with the same, of a manager that there is none of.
    #[serde(skip_serializing_if = "is_default")]
    pub username_ref: String,
    /// Password.
    #[serde(skip_serializing_if = "is_default")]
    pub password: Secret,
    /// A file with the same; white space around it is ignored.
    #[serde(skip_serializing_if = "is_default")]
    pub password_file: String,
    /// A secret with the same, of a manager that there is none of.
    #[serde(skip_serializing_if = "is_default")]
    pub password_ref: String,
}

/// The `authorization` section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Authorization {
    /// The scheme; none means `Bearer`.
    #[serde(rename = "type", skip_serializing_if = "is_default")]
    pub scheme: String,
    /// What follows the scheme.
    #[serde(skip_serializing_if = "is_default")]
    pub credentials: Secret,
    /// A file with the same; white space around it is ignored.
    #[serde(skip_serializing_if = "is_default")]
    pub credentials_file: String,
    /// A secret with the same, of a manager that there is none of.
    #[serde(skip_serializing_if = "is_default")]
    pub credentials_ref: String,
}

impl BasicAuth {
    fn user(&self) -> Given<'_> {
        Given {
            names: ["username", "username_file", "username_ref"],
            text: &self.username,
            file: &self.username_file,
            reference: &self.username_ref,
        }
    }

    fn pass(&self) -> Given<'_> {
        Given {
            names: ["password", "password_file", "password_ref"],
            text: self.password.reveal(),
            file: &self.password_file,
            reference: &self.password_ref,
        }
    }
}

impl Authorization {
    fn given(&self) -> Given<'_> {
        Given {
            names: ["credentials", "credentials_file", "credentials_ref"],
            text: self.credentials.reveal(),
            file: &self.credentials_file,
            reference: &self.credentials_ref,
        }
    }

    /// The scheme that is meant.
    pub fn scheme(&self) -> &str {
        match self.scheme.trim() {
            "" => "Bearer",
            scheme => scheme,
        }
    }
}

/// The fields of a section that say who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Credentials<'a> {
    pub(crate) basic_auth: Option<&'a BasicAuth>,
    pub(crate) authorization: Option<&'a Authorization>,
    pub(crate) bearer_token: &'a Secret,
    pub(crate) bearer_token_file: &'a str,
    /// Whether there is an `oauth2` section.
    pub(crate) oauth2: bool,
}

impl<'a> Credentials<'a> {
    fn bearer(&self) -> Given<'a> {
        Given {
            names: ["bearer_token", "bearer_token_file", ""],
            text: self.bearer_token.reveal(),
            file: self.bearer_token_file,
            reference: "",
        }
    }

    /// Looks for contradictions. Rules, their order and wording are those of
    /// Prometheus' `HTTPClientConfig.Validate`; what is inside of `oauth2` and
    /// what follows it there is looked at next.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |field, message: &str| Err(ConfigError::new(field, message));
        if self.bearer().is_ambiguous() {
            let message = "at most one of bearer_token & bearer_token_file must be configured";
            return wrong("bearer_token_file", message);
        }
        let bearer = self.bearer().is_given();
        if bearer && (self.basic_auth.is_some() || self.oauth2) {
            let message = "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured";
            let field = self.basic_auth.map_or("oauth2", |_| "basic_auth");
            return wrong(field, message);
        }
        if let Some(basic) = self.basic_auth {
            if basic.user().is_ambiguous() {
                let message = "at most one of basic_auth username, username_file & username_ref must be configured";
                return wrong("basic_auth.username", message);
            }
            if basic.pass().is_ambiguous() {
                let message = "at most one of basic_auth password, password_file & password_ref must be configured";
                return wrong("basic_auth.password", message);
            }
        }
        if let Some(other) = self.authorization {
            if bearer {
                let message =
                    "authorization is not compatible with bearer_token & bearer_token_file";
                return wrong("authorization", message);
            }
            if other.given().is_ambiguous() {
                let message = "at most one of authorization credentials & credentials_file must be configured";
                return wrong("authorization.credentials", message);
            }
            if other.scheme().eq_ignore_ascii_case("basic") {
                let message =
                    "authorization type cannot be set to \"basic\", use \"basic_auth\" instead";
                return wrong("authorization.type", message);
            }
        }
        let ways = [
            self.basic_auth.is_some(),
            self.authorization.is_some(),
            self.oauth2,
        ];
        if ways.iter().filter(|way| **way).count() > 1 {
            let message = "at most one of basic_auth, oauth2 & authorization must be configured";
            let field = self.authorization.map_or("oauth2", |_| "authorization");
            return wrong(field, message);
        }
        Ok(())
    }

    /// The value of the Authorization header, if these fields give one.
    pub(crate) fn header(&self, files: &dyn Files) -> Result<Option<Secret>, ConfigError> {
        self.validate()?;
        if let Some(basic) = self.basic_auth {
            let within = |error: ConfigError| error.within("basic_auth");
            let user = basic.user().text(files).map_err(within)?;
            let password = basic.pass().text(files).map_err(within)?;
            let value = format!("{user}:{password}");
            return Ok(Some(basic_credentials(value.as_bytes())));
        }
        if let Some(other) = self.authorization {
            let within = |error: ConfigError| error.within("authorization");
            let value = value(other.scheme(), &other.given(), files).map_err(within)?;
            return Ok(Some(value));
        }
        match self.bearer().is_given() {
            true => value("Bearer", &self.bearer(), files).map(Some),
            false => Ok(None),
        }
    }
}

fn value(scheme: &str, given: &Given<'_>, files: &dyn Files) -> Result<Secret, ConfigError> {
    let text = given.text(files)?;
    let value = match &*text {
        "" => scheme.into(),
        text => format!("{scheme} {text}"),
    };
    if is_field_value(&value) {
        return Ok(Secret::new(value));
    }
    // The text itself is a secret: it is not shown.
    let message = "expected text without line breaks or other control characters";
    match given.file.is_empty() {
        true => Err(ConfigError::new(given.names[0], message)),
        false => Err(ConfigError::unready(given.names[1], message)),
    }
}

/// The value of Authorization for `user:password` (RFC 7617).
pub(crate) fn basic_credentials(user_and_password: &[u8]) -> Secret {
    let mut value = String::from("Basic ");
    base64(user_and_password, Alphabet::Padded, &mut value);
    Secret::new(value)
}

/// How base64 is written (RFC 4648).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    /// Section 4.
    Padded,
    /// Section 5, without padding, as RFC 7515 section 2 wants it.
    Url,
}

/// `bytes` as a part of a signed token (RFC 7515 section 2).
pub(super) fn base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    base64(bytes, Alphabet::Url, &mut text);
    text
}

fn base64(bytes: &[u8], alphabet: Alphabet, to: &mut String) {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let last = match alphabet {
        Alphabet::Padded => ['+', '/'],
        Alphabet::Url => ['-', '_'],
    };
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let value = (bits >> (18 - 6 * index) & 63) as usize;
            match index > group.len() {
                false if value < 62 => to.push(char::from(LETTERS[value])),
                false => to.push(last[value - 62]),
                true if alphabet == Alphabet::Padded => to.push('='),
                true => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use crate::config::Cause;
    use alloc::vec::Vec;

    struct OneFile(&'static str);

    impl Files for OneFile {
        fn read(&self, path: &str) -> Result<Vec<u8>, String> {
            match path {
                "file" => Ok(self.0.as_bytes().to_vec()),
                _ => Err(format!("{path}: no such file")),
            }
        }
    }

    fn header(change: impl FnOnce(&mut Config)) -> Result<Option<String>, String> {
        let mut config = Config::default();
        change(&mut config);
        match config.credentials().header(&OneFile(" s3cret\n")) {
            Ok(value) => Ok(value.map(|value| value.reveal().into())),
            Err(error) => Err(error.message),
        }
    }

    #[test]
    fn base64_is_padded_but_for_tokens() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
            ("\u{ff}\u{fe}", "w7/Dvg=="),
        ] {
            let mut to = String::new();
            base64(text.as_bytes(), Alphabet::Padded, &mut to);
            assert_eq!(to, encoded);
            let url = encoded.replace('/', "_").replace('=', "");
            assert_eq!(base64url(text.as_bytes()), url);
        }
    }

    #[test]
    fn every_way_to_give_credentials_becomes_a_header() {
        let basic = header(|config| {
            config.basic_auth = Some(BasicAuth {
                username: "Aladdin".into(),
                password: Secret::new("open sesame"),
                ..BasicAuth::default()
            });
        });
        assert_eq!(basic, Ok(Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".into())));
        let token = header(|config| config.bearer_token = Secret::new("t"));
        assert_eq!(token, Ok(Some("Bearer t".into())));
        let file = header(|config| config.bearer_token_file = "file".into());
        assert_eq!(file, Ok(Some("Bearer s3cret".into())));
        let other = header(|config| {
            config.authorization = Some(Authorization {
                scheme: "Token".into(),
                credentials_file: "file".into(),
                ..Authorization::default()
            });
        });
        assert_eq!(other, Ok(Some("Token s3cret".into())));
        assert_eq!(header(|_| {}), Ok(None));
    }

    #[test]
    fn contradictions_and_injections_are_refused() {
        let both = header(|config| {
            config.bearer_token = Secret::new("t");
            config.bearer_token_file = "file".into();
        });
        assert_eq!(
            both.unwrap_err(),
            "at most one of bearer_token & bearer_token_file must be configured"
        );
        let basic = header(|config| {
            config.authorization = Some(Authorization {
                scheme: "Basic".into(),
                ..Authorization::default()
            });
        });
        assert!(basic.unwrap_err().contains("use \"basic_auth\" instead"));
        let injected = header(|config| config.bearer_token = Secret::new("t0p\r\nX: y"));
        assert!(!injected.unwrap_err().contains("t0p"));
        let missing = header(|config| config.bearer_token_file = "gone".into());
        assert_eq!(missing.unwrap_err(), "gone: no such file");
    }

    #[test]
    fn contradictions_are_found_in_the_order_of_prometheus() {
        let basic = || {
            Some(BasicAuth {
                username: "u".into(),
                username_file: "file".into(),
                ..BasicAuth::default()
            })
        };
        let both = header(|config| {
            config.basic_auth = basic();
            config.bearer_token = Secret::new("t");
            config.authorization = Some(Authorization::default());
        });
        assert_eq!(
            both.unwrap_err(),
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"
        );
        let twice = header(|config| {
            config.basic_auth = basic();
            config.authorization = Some(Authorization::default());
        });
        assert_eq!(
            twice.unwrap_err(),
            "at most one of basic_auth username, username_file & username_ref must be configured"
        );
        let token = header(|config| {
            config.bearer_token = Secret::new("t");
            config.authorization = Some(Authorization {
                scheme: "basic".into(),
                ..Authorization::default()
            });
        });
        assert_eq!(
            token.unwrap_err(),
            "authorization is not compatible with bearer_token & bearer_token_file"
        );
        let ways = header(|config| {
            config.basic_auth = Some(BasicAuth::default());
            config.authorization = Some(Authorization::default());
        });
        assert_eq!(
            ways.unwrap_err(),
            "at most one of basic_auth, oauth2 & authorization must be configured"
        );
    }

    #[test]
    fn what_a_file_lacks_is_no_mistake_of_the_section() {
        let mut config = Config {
            bearer_token_file: "gone".into(),
            ..Config::default()
        };
        let error = config.credentials().header(&OneFile("")).unwrap_err();
        assert_eq!(
            (&*error.field, error.cause),
            ("bearer_token_file", Cause::Unready)
        );
        config.bearer_token_file = "file".into();
        let error = config.credentials().header(&OneFile("a\nb")).unwrap_err();
        assert_eq!(
            (&*error.field, error.cause),
            ("bearer_token_file", Cause::Unready)
        );
        let config = Config {
            authorization: Some(Authorization {
                credentials_ref: "secret".into(),
                ..Authorization::default()
            }),
            ..Config::default()
        };
        let error = config.credentials().header(&OneFile("")).unwrap_err();
        assert_eq!(error.field, "authorization.credentials_ref");
        assert_eq!(error.message, "cannot use secret ref without manager");
        assert_eq!(error.cause, Cause::Unready);
    }
}
