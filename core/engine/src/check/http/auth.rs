//! Credentials: what is configured becomes the value of one header.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::request::is_field_value;
use crate::config::{ConfigError, Files, Secret, is_default};

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
    /// Password.
    #[serde(skip_serializing_if = "is_default")]
    pub password: Secret,
    /// A file with the same; white space around it is ignored.
    #[serde(skip_serializing_if = "is_default")]
    pub password_file: String,
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
}

/// The value of the Authorization header, if one is configured. Rules and
/// wording are those of Prometheus' `HTTPClientConfig.Validate`.
pub(super) fn authorization(
    config: &Config,
    files: &dyn Files,
) -> Result<Option<Secret>, ConfigError> {
    let (token, token_file) = (config.bearer_token.reveal(), &config.bearer_token_file);
    let bearer = !token.is_empty() || !token_file.is_empty();
    if !token.is_empty() && !token_file.is_empty() {
        return conflict(
            "bearer_token_file",
            "at most one of bearer_token & bearer_token_file must be configured",
        );
    }
    if bearer && config.basic_auth.is_some() {
        return conflict(
            "basic_auth",
            "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
        );
    }
    if bearer && config.authorization.is_some() {
        return conflict(
            "authorization",
            "authorization is not compatible with bearer_token & bearer_token_file",
        );
    }
    match (&config.basic_auth, &config.authorization) {
        (Some(_), Some(_)) => conflict(
            "authorization",
            "at most one of basic_auth, oauth2 & authorization must be configured",
        ),
        (Some(basic), None) => basic_value(basic, files).map(Some),
        (None, Some(other)) => other_value(other, files).map(Some),
        (None, None) if bearer => {
            let token = either(("bearer_token_file", token_file), token, files)?;
            value("bearer_token", "Bearer", &token).map(Some)
        }
        (None, None) => Ok(None),
    }
}

fn conflict<T>(field: &str, message: &str) -> Result<T, ConfigError> {
    Err(ConfigError::new(field, message))
}

fn basic_value(basic: &BasicAuth, files: &dyn Files) -> Result<Secret, ConfigError> {
    if !basic.username.is_empty() && !basic.username_file.is_empty() {
        return conflict(
            "basic_auth.username_file",
            "at most one of basic_auth username & username_file must be configured",
        );
    }
    if !basic.password.reveal().is_empty() && !basic.password_file.is_empty() {
        return conflict(
            "basic_auth.password_file",
            "at most one of basic_auth password & password_file must be configured",
        );
    }
    let user_file = ("basic_auth.username_file", basic.username_file.as_str());
    let user = either(user_file, &basic.username, files)?;
    let password_file = ("basic_auth.password_file", basic.password_file.as_str());
    let password = either(password_file, basic.password.reveal(), files)?;
    Ok(basic_credentials(format!("{user}:{password}").as_bytes()))
}

fn other_value(other: &Authorization, files: &dyn Files) -> Result<Secret, ConfigError> {
    if !other.credentials.reveal().is_empty() && !other.credentials_file.is_empty() {
        return conflict(
            "authorization.credentials_file",
            "at most one of authorization credentials & credentials_file must be configured",
        );
    }
    let scheme = match other.scheme.trim() {
        "" => "Bearer",
        scheme if scheme.eq_ignore_ascii_case("basic") => {
            return conflict(
                "authorization.type",
                "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
            );
        }
        scheme => scheme,
    };
    let file = (
        "authorization.credentials_file",
        other.credentials_file.as_str(),
    );
    let credentials = either(file, other.credentials.reveal(), files)?;
    value("authorization", scheme, &credentials)
}

/// The trimmed content of a file, if one is named; else the text.
fn either(
    (field, file): (&str, &str),
    text: &str,
    files: &dyn Files,
) -> Result<Box<str>, ConfigError> {
    if file.is_empty() {
        return Ok(text.into());
    }
    let content = files
        .read(file)
        .map_err(|error| ConfigError::new(field, error))?;
    match core::str::from_utf8(&content) {
        Ok(content) => Ok(content.trim().into()),
        Err(_) => Err(ConfigError::new(
            field,
            format!("{file}: expected text, found bytes"),
        )),
    }
}

fn value(field: &str, scheme: &str, credentials: &str) -> Result<Secret, ConfigError> {
    let value = format!("{scheme} {credentials}");
    if is_field_value(&value) {
        Ok(Secret::new(value))
    } else {
        // The text itself is a secret: it is not shown.
        conflict(
            field,
            "expected text without line breaks or other control characters",
        )
    }
}

/// The value of Authorization for `user:password` (RFC 7617).
pub(crate) fn basic_credentials(user_and_password: &[u8]) -> Secret {
    let mut value = String::from("Basic ");
    base64(user_and_password, &mut value);
    Secret::new(value)
}

/// RFC 4648 section 4, padded.
fn base64(bytes: &[u8], to: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * index) & 63) as usize];
            let padded = index > group.len();
            to.push(if padded { '=' } else { char::from(letter) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        match authorization(&config, &OneFile(" s3cret\n")) {
            Ok(value) => Ok(value.map(|value| value.reveal().into())),
            Err(error) => Err(error.message),
        }
    }

    #[test]
    fn base64_is_padded() {
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
            base64(text.as_bytes(), &mut to);
            assert_eq!(to, encoded);
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
}
