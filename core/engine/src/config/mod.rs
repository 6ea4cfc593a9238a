//! The parts that the configuration of every kind of check is made of.
//!
//! Values are parsed while they are deserialised, so that a mistake is found
//! at its own line and column; what can only be judged with the rest of its
//! section is a [`ConfigError`] with the path of its field.

mod automaton;
mod bytes;
mod duration;
mod expression;
pub(crate) mod idn;
mod no_proxy;
mod pattern;
mod proxy;
mod re2;
mod secret;
mod signer;
mod template;
mod tls;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::net::IpAddr;

pub use automaton::{Automaton, Search};
pub use bytes::Bytes;
pub use duration::{GoDuration, TimeLimit};
pub(crate) use expression::Cel;
pub use expression::{Expression, NoAnswer};
pub use pattern::{Captures, Pattern};
pub use proxy::{ProxyHeader, ProxyUrl};
pub use secret::Secret;
pub use signer::{RsaAlgorithm, Signer, Stamp};
pub(crate) use template::Template;
pub use tls::{TlsConfig, WrittenVersion};

pub(crate) use no_proxy::NoProxy;
pub(crate) use proxy::{Proxies, Proxy, ProxyConfig, ProxyKind};

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::guest;
use crate::io::{Families, Family};
use crate::tls::TlsOptions;

/// What is wrong with a section, with the path of the field:
/// `http.tls_config.ca_file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Names joined by dots, positions in lists as `[0]`.
    pub field: String,
    /// What was expected and what was found.
    pub message: String,
    /// What follows from it.
    pub cause: Cause,
}

/// Why a section is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A mistake of who wrote it.
    Mistake,
    /// It is right, but what it refers to (a file) cannot be used as it is
    /// now. That may change, and is no reason to refuse the rest.
    Unready,
    /// It asks for what this version cannot speak. That is said when it is
    /// loaded, but is no reason to refuse the rest either.
    Unspoken,
    /// It is right, but this version, or this host, has no check of its kind.
    Unsupported,
}

impl ConfigError {
    /// A mistake in `field`.
    pub fn new(field: &str, message: impl Into<String>) -> Self {
        Self {
            field: field.to_string(),
            message: message.into(),
            cause: Cause::Mistake,
        }
    }

    /// What `field` refers to cannot be used.
    pub fn unready(field: &str, message: impl Into<String>) -> Self {
        Self {
            cause: Cause::Unready,
            ..Self::new(field, message)
        }
    }

    /// What `field` asks for cannot be spoken.
    pub(crate) fn unspoken(field: &str, message: impl Into<String>) -> Self {
        Self {
            cause: Cause::Unspoken,
            ..Self::new(field, message)
        }
    }

    /// `field` is right, and there is no check of its kind here.
    pub(crate) fn unsupported(field: &str, message: impl Into<String>) -> Self {
        Self {
            cause: Cause::Unsupported,
            ..Self::new(field, message)
        }
    }

    /// Sets aside that something cannot be spoken, which is no reason to
    /// refuse the rest, until all that is one has been looked for.
    pub(crate) fn set_aside<T>(result: Result<T, Self>) -> Result<Result<T, Self>, Self> {
        match result {
            Err(error) if error.cause != Cause::Unspoken => Err(error),
            other => Ok(other),
        }
    }

    /// The same mistake, seen from the section `outer` that holds the field.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        let field = match self.field.as_bytes().first() {
            None => outer.to_string(),
            Some(b'[') => format!("{outer}{}", self.field),
            Some(_) => format!("{outer}.{}", self.field),
        };
        Self { field, ..self }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl core::error::Error for ConfigError {}

/// Reads the files that a configuration refers to; the engine itself has no
/// file system.
pub trait Files {
    /// The content of `path`, or why it cannot be read.
    ///
    /// # Errors
    /// One sentence for a person.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;

    /// An environment variable, for `proxy_from_environment`; `None` if it is
    /// not set, or there is no environment.
    fn variable(&self, name: &str) -> Option<String> {
        let _ = name;
        None
    }

    /// Compiles an expression in CEL, if this host can evaluate any.
    ///
    /// # Errors
    /// What is wrong with the expression, or that there are none here.
    fn cel(&self, source: &str) -> Result<Arc<dyn Expression>, String> {
        let _ = source;
        Err("CEL expressions cannot be evaluated here".into())
    }

    /// Loads a private key in PEM (PKCS #8 or PKCS #1) that signs assertions,
    /// if this host can sign any.
    ///
    /// # Errors
    /// What was expected of the key and what was found, without the key itself,
    /// or that nothing is signed here.
    fn signer(&self, pem: &[u8], algorithm: RsaAlgorithm) -> Result<Arc<dyn Signer>, String> {
        let _ = (pem, algorithm);
        Err("assertions cannot be signed here".into())
    }

    /// Whether ports may be given by the names that this machine has for them
    /// (services(5)) beside those that every machine knows.
    fn has_services(&self) -> bool {
        false
    }

    /// Whether this host runs checks in Wasm. One that does not is asked for no file
    /// of theirs, and a module of them is rejected alone.
    fn runs_guests(&self) -> bool {
        false
    }

    /// Loads a check in Wasm, if this host can run any.
    ///
    /// # Errors
    /// Why it cannot be loaded, or that none are run here.
    fn plugin(&self, source: &guest::Source<'_>) -> Result<Arc<dyn guest::Plugin>, guest::Refusal> {
        let _ = source;
        let message = "checks in Wasm cannot be run here";
        Err(guest::Refusal::Unusable(message.into()))
    }

    /// Whether connections can be secured with these options: that its PEM is
    /// what it should be. The engine does no cryptography; a host that does
    /// may leave this out and find out at the first connection. Returns what is
    /// left out of them, a sentence each.
    ///
    /// # Errors
    /// One sentence for a person.
    fn check_tls(&self, options: &TlsOptions) -> Result<Vec<String>, String> {
        let _ = options;
        Ok(Vec::new())
    }

    /// Hears what is not as it seems to be in what was read, and serves all the
    /// same: one sentence for a person. By default nobody hears it.
    fn warn(&self, warning: String) {
        let _ = warning;
    }
}

/// The files of a host, a list of those that were asked for, and the warnings.
#[derive(Clone)]
pub struct Recorded<'f> {
    files: &'f dyn Files,
    paths: RefCell<Vec<String>>,
    warnings: RefCell<Vec<String>>,
}

impl<'f> Recorded<'f> {
    /// Reads by way of `files`.
    pub fn new(files: &'f dyn Files) -> Self {
        Self {
            files,
            paths: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// The warnings since they were last asked for, each once.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.take();
        warnings.sort_unstable();
        warnings.dedup();
        warnings
    }

    /// The paths that were asked for, each once, whether they could be read or
    /// not.
    pub fn paths(self) -> Vec<String> {
        let mut paths = self.paths.into_inner();
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

impl fmt::Debug for Recorded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recorded").field(&self.paths).finish()
    }
}

impl Files for Recorded<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.paths.borrow_mut().push(path.to_string());
        self.files.read(path)
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.files.variable(name)
    }

    fn check_tls(&self, options: &TlsOptions) -> Result<Vec<String>, String> {
        self.files.check_tls(options)
    }

    fn has_services(&self) -> bool {
        self.files.has_services()
    }

    fn runs_guests(&self) -> bool {
        self.files.runs_guests()
    }

    fn warn(&self, warning: String) {
        self.warnings.borrow_mut().push(warning);
    }

    fn cel(&self, source: &str) -> Result<Arc<dyn Expression>, String> {
        self.files.cel(source)
    }

    fn plugin(&self, source: &guest::Source<'_>) -> Result<Arc<dyn guest::Plugin>, guest::Refusal> {
        self.files.plugin(source)
    }

    fn signer(&self, pem: &[u8], algorithm: RsaAlgorithm) -> Result<Arc<dyn Signer>, String> {
        self.files.signer(pem, algorithm)
    }
}

/// No files: for hosts without a file system. Every read is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("{path}: files cannot be read here"))
    }
}

/// `preferred_ip_protocol` and `ip_protocol_fallback` as blackbox_exporter
/// reads them: unset or `ip6` is IPv6, and any other text is IPv4.
pub(crate) fn families(preferred: &str, fallback: bool) -> Families {
    let preferred = match preferred {
        "" | "ip6" => Family::V6,
        _ => Family::V4,
    };
    Families {
        preferred,
        fallback,
    }
}

/// For `#[serde(default = "yes")]`.
pub(crate) const fn yes() -> bool {
    true
}

/// For `deserialize_with` of lists in which, as in Go, null is an entry without
/// anything.
pub(crate) fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    let entries = Vec::<Option<T>>::deserialize(deserializer)?;
    Ok(entries.into_iter().map(Option::unwrap_or_default).collect())
}

/// For `deserialize_with` of an address that may be left out: an empty text is
/// none, which templates write and Go takes for nothing said.
pub(crate) fn address<'de, D>(deserializer: D) -> Result<Option<IpAddr>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |_| D::Error::invalid_value(Unexpected::Str(&text), &"an IP address");
    text.parse().map(Some).map_err(wrong)
}

/// The same as [`null_is_empty`] for the values of a map.
pub(crate) fn null_value_is_empty<'de, D, T>(
    deserializer: D,
) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    let values = BTreeMap::<String, Option<T>>::deserialize(deserializer)?;
    let value = |(key, value): (String, Option<T>)| (key, value.unwrap_or_default());
    Ok(values.into_iter().map(value).collect())
}

/// For `skip_serializing_if` of values that are left at their default.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a field gives that may be written in the file, in a file of its own or
/// (for who has a manager of secrets, which we have not) by reference.
pub(crate) struct Given<'a> {
    /// The names of the three fields.
    pub(crate) names: [&'a str; 3],
    /// The text itself.
    pub(crate) text: &'a str,
    /// The path of a file.
    pub(crate) file: &'a str,
    /// The name of a secret.
    pub(crate) reference: &'a str,
}

impl Given<'_> {
    /// Whether there is any.
    pub(crate) fn is_given(&self) -> bool {
        self.count() > 0
    }

    /// Whether more than one is given; the sentence for it is the caller's.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.count() > 1
    }

    fn count(&self) -> usize {
        let given = [self.text, self.file, self.reference];
        given.iter().filter(|text| !text.is_empty()).count()
    }

    /// The content, without the white space around it if it is a file's.
    pub(crate) fn text(&self, files: &dyn Files) -> Result<String, ConfigError> {
        let content = self.bytes(files)?;
        let content = String::from_utf8(content).map_err(|_| {
            let message = format!("{}: expected text, found bytes", self.file);
            ConfigError::unready(self.names[1], message)
        })?;
        match self.file.is_empty() {
            true => Ok(content),
            false => Ok(content.trim().to_string()),
        }
    }

    /// The content as it is.
    pub(crate) fn bytes(&self, files: &dyn Files) -> Result<Vec<u8>, ConfigError> {
        if !self.reference.is_empty() {
            let message = "cannot use secret ref without manager";
            return Err(ConfigError::unready(self.names[2], message));
        }
        if self.file.is_empty() {
            return Ok(self.text.as_bytes().to_vec());
        }
        files
            .read(self.file)
            .map_err(|error| ConfigError::unready(self.names[1], error))
    }
}
