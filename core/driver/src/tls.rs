//! TLS configurations, made once and found again.
//!
//! A worker finds a configuration by the address of its options, without a
//! lock. What it does not find comes from a list of the whole process, by
//! equality, where [`check_tls`] has usually put it before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use probity_engine::config::{RsaAlgorithm, Signer};
use probity_engine::tls::TlsOptions;
use probity_tls::{ClientConfig, DefaultTimeProvider, RsaSigner};

use crate::limits::TLS_CONFIGS;

/// Ready to use, or what is wrong with it.
type Made = Result<ClientConfig, String>;

/// The process's list, the one used last in front.
static KNOWN: Mutex<Vec<(TlsOptions, Made)>> = Mutex::new(Vec::new());

/// Makes the TLS configuration that `options` describe, to find mistakes
/// before anything is applied. It is remembered for when it is used.
///
/// # Errors
/// What was expected and what was found: `ca: expected ..., found ...`.
pub fn check_tls(options: &TlsOptions) -> Result<(), String> {
    make(options).map(drop)
}

/// Loads a private key in PEM that signs assertions with the time of this
/// machine.
///
/// # Errors
/// What was expected of the key and what was found.
pub fn signer(pem: &[u8], algorithm: RsaAlgorithm) -> Result<Arc<dyn Signer>, String> {
    let signer = RsaSigner::new(pem, algorithm, Arc::new(DefaultTimeProvider))?;
    Ok(Arc::new(signer))
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
    known.truncate(TLS_CONFIGS - 1);
    known.insert(0, (options.clone(), made.clone()));
    made
}

/// What one worker has used before.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    /// By address. The weak reference keeps the address from being used for
    /// other options, though not their contents from being freed.
    by_address: HashMap<usize, (Weak<TlsOptions>, Option<ClientConfig>)>,
}

impl Cache {
    /// The configuration for `options`; `None` if none can be made of them.
    pub(crate) fn get(&mut self, options: &Arc<TlsOptions>) -> Option<&ClientConfig> {
        let address = Arc::as_ptr(options).addr();
        if self.by_address.len() >= TLS_CONFIGS && !self.by_address.contains_key(&address) {
            self.by_address.retain(|_, (it, _)| it.strong_count() > 0);
            if self.by_address.len() >= TLS_CONFIGS {
                self.by_address.clear();
            }
        }
        let (_, config) = self
            .by_address
            .entry(address)
            .or_insert_with(|| (Arc::downgrade(options), make(options).ok()));
        config.as_ref()
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
        let first = check_tls(&broken("nonsense")).expect_err("that is not PEM");
        assert!(first.starts_with("ca: "), "{first}");
        assert_eq!(check_tls(&broken("nonsense")), Err(first));
        let mut cache = Cache::default();
        assert!(cache.get(&Arc::new(broken("nonsense"))).is_none());
    }

    #[test]
    fn a_cache_is_bounded_and_never_mixes_options_up() {
        let mut cache = Cache::default();
        let good = Arc::new(TlsOptions {
            skip_verify: true,
            ..TlsOptions::default()
        });
        for round in 0..3 * TLS_CONFIGS {
            let bad = Arc::new(broken(&format!("{}", round % 7)));
            assert!(cache.get(&bad).is_none(), "{round}");
            assert!(cache.get(&good).is_some(), "{round}");
            assert!(cache.by_address.len() <= TLS_CONFIGS);
        }
    }
}
