//! Signatures of assertions, which the host makes for the engine.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// How an assertion is signed: RSASSA-PKCS1-v1_5 with one of these hashes (RFC
/// 7518 section 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RsaAlgorithm {
    /// With SHA-256.
    #[default]
    Rs256,
    /// With SHA-384.
    Rs384,
    /// With SHA-512.
    Rs512,
}

impl RsaAlgorithm {
    const ALL: [Self; 3] = [Self::Rs256, Self::Rs384, Self::Rs512];

    /// The value of `alg`: `RS256`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    /// The one with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// What sets one assertion apart from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The time of day: seconds since 1970-01-01 00:00 UTC.
    pub unix_seconds: u64,
    /// Random bits that nobody can guess.
    pub random: [u8; 16],
}

/// A private key that signs assertions (RFC 7523). The engine says what is in
/// them; it has no cryptography, and no clock that knows the time of day.
///
/// A signature keeps a worker from its other runs: it must not take longer than
/// some milliseconds, and may not wait for anybody. Between two calls of
/// [`Engine::handle_timeout`](crate::Engine::handle_timeout) there is
/// [one at most](crate::limits::SIGNATURE_WORK).
pub trait Signer: fmt::Debug + Send + Sync {
    /// The time, and random bits that were never given before.
    ///
    /// # Errors
    /// Why there are none.
    fn stamp(&self) -> Result<Stamp, String>;

    /// The signature of `message`.
    ///
    /// # Errors
    /// Why there is none.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String>;
}
