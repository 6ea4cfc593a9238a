//! TLS configurations, made once and found again.
//!
//! A [`Cache`] finds a configuration by the address of its options, without a
//! lock. What it does not find comes from a list of the whole process, by
//! equality, where [`check`] has usually put it before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use probity_engine::Reason;
use probity_engine::tls::{TlsFailure, TlsOptions, TlsParams};

use crate::{ClientConfig, DefaultTimeProvider, Layer};

/// Configurations that the process remembers, and as many that each [`Cache`]
/// does.
pub const MAX_CONFIGS: usize = 1_024;

/// Ready to use, or what is wrong with it.
type Made = Result<ClientConfig, String>;

/// The process's list, the one used last in front.
static KNOWN: Mutex<Vec<(TlsOptions, Made)>> = Mutex::new(Vec::new());

/// Makes the configuration that `options` describe, to find mistakes before
/// anything is applied. It is remembered for when it is used. Certificates are
/// judged by the system's clock.
///
/// Returns what was left out of it ([`ClientConfig::warnings`]).
///
/// # Errors
/// What was expected and what was found: `ca: expected ..., found ...`.
pub fn check(options: &TlsOptions) -> Result<Vec<String>, String> {
    make(options).map(|config| config.warnings().to_vec())
}

fn make(options: &TlsOptions) -> Made {
    let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut known = lock();
    if let Some(place) = known.iter().position(|(it, _)| it == options) {
        known[..=place].rotate_right(1);
        return known[0].1.clone();
    }
    drop(known);
    // Not under the lock: it takes milliseconds. Two that make the same one at
    // once do no harm.
    let made = ClientConfig::new(options, Arc::new(DefaultTimeProvider))
        .map_err(|error| error.to_string());
    let mut known = lock();
    known.truncate(MAX_CONFIGS - 1);
    known.insert(0, (options.clone(), made.clone()));
    made
}

/// What one thread, or one engine, has used before.
#[derive(Debug, Default)]
pub struct Cache {
    /// By address. The weak reference keeps the address from being used for
    /// other options, though not their contents from being freed.
    by_address: HashMap<usize, (Weak<TlsOptions>, Made)>,
}

impl Cache {
    /// Begins the handshake that [`Output::Secure`](probity_engine::Output::Secure)
    /// asks for; what is to be sent is appended to `hello`.
    ///
    /// # Errors
    /// [`Reason::LocalTls`] if the options, or the name, cannot be used. A
    /// [`Closed`](probity_engine::Closed) can be made of it.
    pub fn start(
        &mut self,
        params: &TlsParams<'_>,
        hello: &mut Vec<u8>,
    ) -> Result<Layer, TlsFailure> {
        let config = self.get(params.options).map_err(|mistake| TlsFailure {
            reason: Reason::LocalTls,
            detail: mistake.into(),
            info: None,
        })?;
        let mut layer = Layer::new(config, params.server_name)?;
        layer.start(hello)?;
        Ok(layer)
    }

    /// The configuration for `options`, or what is wrong with them.
    fn get(&mut self, options: &Arc<TlsOptions>) -> Result<&ClientConfig, &str> {
        let address = Arc::as_ptr(options).addr();
        if self.by_address.len() >= MAX_CONFIGS && !self.by_address.contains_key(&address) {
            self.by_address.retain(|_, (it, _)| it.strong_count() > 0);
            if self.by_address.len() >= MAX_CONFIGS {
                self.by_address.clear();
            }
        }
        let (_, config) = self
            .by_address
            .entry(address)
            .or_insert_with(|| (Arc::downgrade(options), make(options)));
        config.as_ref().map_err(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(ca: &str) -> TlsOptions {
        TlsOptions {
            ca: Some(ca.as_bytes().into()),
            ..TlsOptions::default()
        }
    }

    #[test]
    fn mistakes_are_found_and_remembered() {
        let first = check(&broken("nonsense")).expect_err("that is not PEM");
        assert!(first.starts_with("ca: "), "{first}");
        assert_eq!(check(&broken("nonsense")), Err(first.clone()));
        let mut cache = Cache::default();
        let params = TlsParams {
            server_name: "localhost",
            options: &Arc::new(broken("nonsense")),
        };
        let failure = cache.start(&params, &mut Vec::new()).map(drop);
        let failure = failure.expect_err("that is not PEM");
        assert_eq!((failure.reason, failure.detail), (Reason::LocalTls, first));
    }

    #[test]
    fn a_cache_is_bounded_and_never_mixes_options_up() {
        let mut cache = Cache::default();
        let good = Arc::new(TlsOptions {
            skip_verify: true,
            ..TlsOptions::default()
        });
        for round in 0..3 * MAX_CONFIGS {
            let bad = Arc::new(broken(&format!("{}", round % 7)));
            assert!(cache.get(&bad).is_err(), "{round}");
            assert!(cache.get(&good).is_ok(), "{round}");
            assert!(cache.by_address.len() <= MAX_CONFIGS);
        }
    }
}
