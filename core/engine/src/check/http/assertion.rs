//! Assertions: how a client that has a key instead of a secret says who it is
//! (RFC 7523).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::fmt::Write as _;

use serde_json::Value;

use super::auth::base64url;
use super::oauth2::OAuth2;
use crate::config::{ConfigError, Files, Given, RsaAlgorithm, Secret, Signer, Stamp};

/// How long an assertion is good, in seconds: as long as blackbox_exporter's.
const LIFETIME: u64 = 600;

/// What assertions are made of.
pub(super) struct Assertion {
    /// The first part, encoded.
    header: String,
    /// What every one of them claims.
    claims: BTreeMap<String, Value>,
    /// What the signer was made of: two with the same are equal.
    key: Secret,
    signer: Arc<dyn Signer>,
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion")
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Assertion {
    fn eq(&self, other: &Self) -> bool {
        // The header names the algorithm.
        (&self.header, &self.claims, &self.key) == (&other.header, &other.claims, &other.key)
    }
}

impl Assertion {
    /// Looks for mistakes, in the order and with the words of Prometheus.
    pub(super) fn validate(section: &OAuth2) -> Result<(), ConfigError> {
        if key(section).is_ambiguous() {
            let message = "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer";
            return Err(ConfigError::new("client_certificate_key", message));
        }
        if algorithm(section).is_none() {
            let message = "valid signature algorithms are RS256, RS384 and RS512";
            return Err(ConfigError::new("signature_algorithm", message));
        }
        Ok(())
    }

    /// Loads the key of a valid section.
    pub(super) fn compile(section: &OAuth2, files: &dyn Files) -> Result<Self, ConfigError> {
        let given = key(section);
        if !given.is_given() {
            let message = "expected client_certificate_key or client_certificate_key_file for the grant jwt-bearer, found neither";
            return Err(ConfigError::unspoken(given.names[0], message));
        }
        let pem = given.text(files)?;
        let algorithm = algorithm(section).unwrap_or_default();
        let signer = files.signer(pem.as_bytes(), algorithm).map_err(|error| {
            // A file may be in the middle of being replaced.
            match given.file.is_empty() {
                true => ConfigError::new(given.names[0], error),
                false => ConfigError::unready(given.names[1], format!("{}: {error}", given.file)),
            }
        })?;
        let header = match &*section.client_certificate_key_id {
            "" => serde_json::json!({"alg": algorithm.name(), "typ": "JWT"}),
            id => serde_json::json!({"alg": algorithm.name(), "kid": id, "typ": "JWT"}),
        };
        Ok(Self {
            header: base64url(format!("{header}").as_bytes()),
            claims: claims(section)?,
            key: Secret::new(pem),
            signer,
        })
    }

    /// A new one. This takes the time of a signature, about a millisecond or several.
    ///
    /// # Errors
    /// Why the host has none.
    pub(super) fn sign(&self) -> Result<String, String> {
        let Stamp {
            unix_seconds,
            random,
        } = self.signer.stamp()?;
        let mut claims = self.claims.clone();
        let own = [
            ("iat", unix_seconds.into()),
            ("exp", unix_seconds.saturating_add(LIFETIME).into()),
            ("jti", uuid(random).into()),
        ];
        for (name, value) in own {
            // What the user claims goes before.
            claims.entry(name.into()).or_insert(value);
        }
        let claims = serde_json::to_vec(&claims).map_err(|error| format!("{error}"))?;
        let mut text = format!("{}.{}", self.header, base64url(&claims));
        let signature = self.signer.sign(text.as_bytes())?;
        text.push('.');
        text.push_str(&base64url(&signature));
        Ok(text)
    }
}

fn key(section: &OAuth2) -> Given<'_> {
    Given {
        names: [
            "client_certificate_key",
            "client_certificate_key_file",
            "client_certificate_key_ref",
        ],
        text: section.client_certificate_key.reveal(),
        file: &section.client_certificate_key_file,
        reference: &section.client_certificate_key_ref,
    }
}

fn algorithm(section: &OAuth2) -> Option<RsaAlgorithm> {
    match &*section.signature_algorithm {
        "" => Some(RsaAlgorithm::default()),
        name => RsaAlgorithm::named(name),
    }
}

/// What does not change from one assertion to the next.
fn claims(section: &OAuth2) -> Result<BTreeMap<String, Value>, ConfigError> {
    let or = |text: &String, other: &String| match text.is_empty() {
        true => other.clone(),
        false => text.clone(),
    };
    let mut claims = BTreeMap::<String, Value>::new();
    let issuer = or(&section.iss, &section.client_id);
    claims.insert("iss".into(), issuer.into());
    claims.insert("sub".into(), section.client_id.clone().into());
    let audience = or(&section.audience, &section.token_url);
    claims.insert("aud".into(), audience.into());
    let scope = section.scopes.join(" ");
    if !scope.is_empty() {
        claims.insert("scope".into(), scope.into());
    }
    for (name, claim) in &section.claims {
        claims.insert(name.clone(), claim.json(&format!("claims.{name}"))?);
    }
    Ok(claims)
}

/// A version 4 UUID (RFC 9562 section 5.4) of random bits.
fn uuid(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in random.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Claim;
    use super::*;
    use alloc::string::ToString as _;
    use alloc::vec;
    use alloc::vec::Vec;

    use serde_json::json;

    /// Ten in the morning of a day in 2026, and no cryptography.
    #[derive(Debug)]
    struct Fixed(RsaAlgorithm);

    impl Signer for Fixed {
        fn stamp(&self) -> Result<Stamp, String> {
            Ok(Stamp {
                unix_seconds: 1_792_490_400,
                random: [0xff; 16],
            })
        }

        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
            Ok(format!("{} {}", self.0.name(), message.len()).into_bytes())
        }
    }

    struct Host;

    impl Files for Host {
        fn read(&self, path: &str) -> Result<Vec<u8>, String> {
            match path {
                "none" => Err("cannot read none".into()),
                path => Ok(format!(" {path}\n").into_bytes()),
            }
        }

        fn signer(&self, pem: &[u8], algorithm: RsaAlgorithm) -> Result<Arc<dyn Signer>, String> {
            match pem {
                b"good" => Ok(Arc::new(Fixed(algorithm))),
                other => Err(format!("expected a key, found {} bytes", other.len())),
            }
        }
    }

    fn section() -> OAuth2 {
        OAuth2 {
            client_id: "me".into(),
            client_certificate_key: Secret::new("good"),
            token_url: "https://id.example/token".into(),
            ..OAuth2::default()
        }
    }

    /// Header, claims and signature of one.
    fn parts(section: &OAuth2) -> Vec<String> {
        let text = Assertion::compile(section, &Host).unwrap().sign().unwrap();
        text.split('.').map(decode).collect()
    }

    fn decode(text: &str) -> String {
        let mut bits = 0_u32;
        let mut bytes = Vec::new();
        for (index, letter) in text.bytes().enumerate() {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                other => panic!("{other} is no letter of base64url"),
            };
            bits = bits << 6 | u32::from(value);
            if index % 4 != 0 {
                let left = 6 - 2 * (index % 4);
                bytes.push((bits >> left) as u8);
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_assertion_says_who_asks_whom_and_until_when() {
        assert_eq!(
            parts(&section()),
            [
                r#"{"alg":"RS256","typ":"JWT"}"#,
                r#"{"aud":"https://id.example/token","exp":1792491000,"iat":1792490400,"iss":"me","jti":"ffffffff-ffff-4fff-bfff-ffffffffffff","sub":"me"}"#,
                "RS256 217",
            ]
        );
        let all = OAuth2 {
            client_certificate_key_id: "k\"1".into(),
            signature_algorithm: "RS512".into(),
            iss: "issuer".into(),
            audience: "them".into(),
            scopes: vec!["a".into(), "b".into()],
            ..section()
        };
        let parts = parts(&all);
        assert_eq!(parts[0], r#"{"alg":"RS512","kid":"k\"1","typ":"JWT"}"#);
        assert!(parts[1].starts_with(r#"{"aud":"them","exp":"#));
        assert!(parts[1].contains(r#""iss":"issuer""#));
        assert!(parts[1].ends_with(r#""scope":"a b","sub":"me"}"#));
        assert!(parts[2].starts_with("RS512 "));
    }

    #[test]
    fn claims_of_the_user_go_before_ours() {
        let mut section = section();
        section.claims = [
            ("iat".to_string(), Value::from(5).into()),
            ("sub".to_string(), Value::from("another").into()),
            ("deep".to_string(), json!({"a": [1, null, 1.5]}).into()),
        ]
        .into();
        assert_eq!(
            parts(&section)[1],
            r#"{"aud":"https://id.example/token","deep":{"a":[1,null,1.5]},"exp":1792491000,"iat":5,"iss":"me","jti":"ffffffff-ffff-4fff-bfff-ffffffffffff","sub":"another"}"#
        );
    }

    #[test]
    fn numbers_that_json_has_not_cannot_be_claimed() {
        let claimed = |claim: Claim| {
            let mut section = section();
            section.claims = [("a".to_string(), claim)].into();
            Assertion::compile(&section, &Host).unwrap_err()
        };
        let nan = || Claim::NotFinite(f64::NAN.to_bits());
        let error = claimed(Claim::List(vec![Value::Null.into(), nan()]));
        assert_eq!(
            error,
            ConfigError::unspoken("claims.a[1]", "expected a number that JSON has, found NaN")
        );
        let deep = Claim::Map([("b".to_string(), nan())].into());
        assert_eq!(claimed(deep).field, "claims.a.b");
    }

    #[test]
    fn a_key_is_a_mistake_in_the_file_and_unready_beside_it() {
        let error = |change: fn(&mut OAuth2)| {
            let mut section = section();
            section.client_certificate_key = Secret::default();
            change(&mut section);
            Assertion::compile(&section, &Host).unwrap_err()
        };
        assert_eq!(
            error(|_| {}),
            ConfigError::unspoken(
                "client_certificate_key",
                "expected client_certificate_key or client_certificate_key_file for the grant jwt-bearer, found neither"
            )
        );
        assert_eq!(
            error(|it| it.client_certificate_key_file = "bad".into()),
            ConfigError::unready(
                "client_certificate_key_file",
                "bad: expected a key, found 3 bytes"
            )
        );
        assert_eq!(
            error(|it| it.client_certificate_key_file = "none".into()),
            ConfigError::unready("client_certificate_key_file", "cannot read none")
        );
        assert_eq!(
            error(|it| it.client_certificate_key_ref = "x".into()).field,
            "client_certificate_key_ref"
        );
    }

    #[test]
    fn they_are_equal_if_they_claim_and_sign_alike() {
        let made = |section: &OAuth2| Assertion::compile(section, &Host).unwrap();
        let first = made(&section());
        assert_eq!(first, made(&section()));
        let mut other = section();
        other.signature_algorithm = "RS384".into();
        assert_ne!(first, made(&other));
        let mut other = section();
        other.audience = "x".into();
        assert_ne!(first, made(&other));
        assert!(!format!("{first:?}").contains("good"));
    }
}
