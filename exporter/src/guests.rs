//! Checks in Wasm: the one host that the process has for them. It has a pool of
//! instances, which must not be there twice, and is made when the first check is
//! loaded: who has none pays nothing.

use std::path::PathBuf;
use std::sync::Arc;

use probity_engine::guest::{Plugin, Refusal, Source};

/// How the host is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Instances at once; `None` is as many as are usual.
    pub instances: Option<u32>,
    /// Where compiled checks are kept; `None` is nowhere.
    pub cache: Option<PathBuf>,
}

/// What all checks share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Instances that there is room for, scripts aside.
    pub most: u32,
    /// Instances of scripts that there is room for; 0 while none was loaded.
    pub most_scripts: u32,
    /// How often there was no room for one.
    pub full: u64,
}

impl Setup {
    /// As the environment says: a cache in the directory that systemd gives a service
    /// (`CacheDirectory=`), or else in that of the user.
    pub fn from_environment() -> Self {
        let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let of_service = given("CACHE_DIRECTORY").map(PathBuf::from);
        let of_user = || {
            let home = || given("HOME").map(|home| PathBuf::from(home).join(".cache"));
            let base = given("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
            base.map(|base| base.join("probity"))
        };
        Self {
            instances: None,
            cache: of_service.or_else(of_user).map(|base| base.join("wasm")),
        }
    }
}

#[cfg(feature = "wasm")]
mod with {
    use std::sync::OnceLock;

    use probity_wasm::{Config, Host};

    use super::{Arc, Plugin, Refusal, Room, Setup, Source};

    static SETUP: OnceLock<Setup> = OnceLock::new();
    static HOST: OnceLock<Result<Host, String>> = OnceLock::new();

    pub(super) fn set_up(setup: Setup) {
        // The host is there by then only if somebody loaded a check before.
        let _ = SETUP.set(setup);
    }

    pub(super) fn load(source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        let host = HOST.get_or_init(|| start(SETUP.get_or_init(Setup::from_environment)));
        match host {
            Ok(host) => host.load(source),
            Err(why) => Err(Refusal::Unusable(why.clone())),
        }
    }

    fn start(setup: &Setup) -> Result<Host, String> {
        let usual = Config::default();
        let mut config = Config {
            instances: setup.instances.unwrap_or(usual.instances),
            scripts: setup
                .instances
                .map_or(usual.scripts, |it| it.min(usual.scripts)),
            cache: setup.cache.clone(),
        };
        let host = Host::new(&config).or_else(|why| {
            if config.cache.take().is_none() {
                return Err(why);
            }
            tracing::warn!(error = %why, "checks in Wasm are not kept when they are compiled");
            Host::new(&config)
        })?;
        let most = host.stats().most;
        match most < config.instances {
            true => tracing::warn!(
                instances = most,
                wanted = config.instances,
                "there is room for fewer instances of checks in Wasm: vm.max_map_count, `ulimit -n` or the address space has no more"
            ),
            false => tracing::info!(instances = most, "there is room for checks in Wasm"),
        }
        Ok(host)
    }

    pub(super) fn room() -> Option<Room> {
        let stats = HOST.get()?.as_ref().ok()?.stats();
        Some(Room {
            most: stats.most,
            most_scripts: stats.most_scripts,
            full: stats.full,
        })
    }
}

#[cfg(not(feature = "wasm"))]
mod with {
    use super::{Arc, Plugin, Refusal, Room, Setup, Source};

    pub(super) fn set_up(_: Setup) {}

    pub(super) fn load(_: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        let message = "this program was built without checks in Wasm (cargo feature `wasm`)";
        Err(Refusal::Unusable(message.into()))
    }

    pub(super) const fn room() -> Option<Room> {
        None
    }
}

/// Says how the host is to be set up, before the first check is loaded.
pub fn set_up(setup: Setup) {
    with::set_up(setup);
}

/// Loads a check.
///
/// # Errors
/// If it cannot be loaded, or this program runs none.
pub fn load(source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
    with::load(source)
}

/// What there is of it, once a check was loaded.
pub fn room() -> Option<Room> {
    with::room()
}
