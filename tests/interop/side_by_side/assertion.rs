//! Assertions in requests for tokens (RFC 7523), with what is another each time
//! put into words.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};
use serde_json::Value;

/// The body of a request with its assertion taken apart; `None` if it has none
/// that can be.
pub(crate) fn shown(body: &str) -> Option<String> {
    let rest = body.strip_prefix("assertion=")?;
    let (assertion, others) = rest.split_once('&')?;
    let mut parts = assertion.split('.').map(|part| {
        let engine = GeneralPurpose::new(&URL_SAFE, NO_PAD);
        engine.decode(part).ok()
    });
    let (header, claims, signature) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some() {
        return None;
    }
    let header: Value = serde_json::from_slice(&header).ok()?;
    let mut claims: Value = serde_json::from_slice(&claims).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    for (name, value) in claims.as_object_mut()? {
        let words = match name.as_str() {
            "iat" => about(value, now),
            "exp" => about(value, now + Duration::from_secs(600)),
            "jti" => value.as_str().is_some_and(is_uuid),
            _ => false,
        };
        if words {
            *value = format!("as {name} should be").into();
        }
    }
    let bits = signature.len() * 8;
    Some(format!(
        "{header} {claims} signature of {bits} bits, {others}"
    ))
}

/// Whether this is a time, and that one or up to two minutes before it.
fn about(value: &Value, time: Duration) -> bool {
    let late = |seconds| time.as_secs().checked_sub(seconds);
    value.as_u64().and_then(late).is_some_and(|late| late < 120)
}

/// Whether this is a version 4 UUID.
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups[2].starts_with('4')
        && groups[3].starts_with(['8', '9', 'a', 'b'])
}
