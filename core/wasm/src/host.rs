//! What loads checks, and what all of them share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use probity_engine::guest::{Class, Plugin, Refusal, Source};
use ring::digest::{SHA256, digest};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::bindings::PluginPre;
use crate::cache::{Cache, Key};
use crate::instance::{Instance, Purse, State};
use crate::load::Life;
use crate::meter::{Meter, Room};
use crate::plugin::{Check, Compiled, Loaded};
use crate::{convert, load, pool};

/// What a host is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Instances at once, of all checks together. There are fewer where a process
    /// may not have as many memory mappings, two for each, or descriptors, one for the
    /// connection of each: see [`Stats::most`].
    pub instances: u32,
    /// The same of scripts, at most 256. Their pool is made when the first one is loaded.
    pub scripts: u32,
    /// A directory for what was compiled, which must be ours alone; it is made if it
    /// is not there. Without one all is compiled anew.
    pub cache: Option<PathBuf>,
}

impl Default for Config {
    /// 10,000 instances, 256 of scripts, and no cache.
    fn default() -> Self {
        Self {
            instances: 10_000,
            scripts: pool::MOST_SCRIPTS,
            cache: None,
        }
    }
}

/// Counters and gauges of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instances that there is room for, scripts aside.
    pub most: u32,
    /// Instances of scripts that there is room for; 0 while none was loaded.
    pub most_scripts: u32,
    /// Instances that there are, those that wait for their next run included.
    pub live: u32,
    /// How often there was no room for one.
    pub full: u64,
    /// Fuel that was used up.
    pub fuel: u64,
    /// Guests that broke.
    pub faults: u64,
}

/// Instances of one class.
struct Pool {
    engine: Engine,
    room: Arc<Room>,
}

impl Pool {
    fn new(class: Class, instances: u32) -> Result<Self, String> {
        let (engine, most) = pool::engine(class, instances)?;
        let room = Arc::new(Room::new(most));
        Ok(Self { engine, room })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.room.close();
    }
}

/// Loads checks and runs them. One for a process: each has pools of its own.
pub struct Host {
    native: Pool,
    scripts: OnceLock<Result<Pool, String>>,
    /// Instances that those are to have.
    most_scripts: u32,
    cache: Option<Cache>,
    /// What is in use, so that a reload compiles nothing that is there.
    compiled: Mutex<HashMap<Key, Weak<Compiled>>>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

impl Host {
    /// Makes the pool, but for scripts.
    ///
    /// # Errors
    /// If this machine cannot run guests, or the cache cannot be used.
    pub fn new(config: &Config) -> Result<Self, String> {
        let cache = config.cache.as_deref().map(Cache::open).transpose()?;
        Ok(Self {
            native: Pool::new(Class::Native, config.instances)?,
            scripts: OnceLock::new(),
            most_scripts: config.scripts,
            cache,
            compiled: Mutex::default(),
        })
    }

    /// Loads a check: compiles it, unless that was done before, and asks it what it
    /// is.
    ///
    /// # Errors
    /// If the file is not the one that it should be, or no check that can be run.
    pub fn load(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        let mut found = [0; 32];
        found.copy_from_slice(digest(&SHA256, source.bytes).as_ref());
        if source.pin.is_some_and(|pin| *pin != found) {
            return Err(Refusal::Digest(found));
        }
        let life = match source.runs_per_instance {
            0 | 1 => Life::OneRun,
            _ => Life::ManyRuns,
        };
        let unusable = |why| Refusal::Unusable(convert::refusal(why));
        let pool = self.pool(source.class).map_err(unusable)?;
        let compiled = self.compiled(pool, (found, life, source.class), source.bytes);
        let compiled = compiled.map_err(unusable)?;
        let loaded = Loaded::new(compiled, source, &pool.room);
        Ok(Arc::new(Check(Arc::new(loaded))))
    }

    /// Counters and gauges.
    pub fn stats(&self) -> Stats {
        let scripts = self.scripts.get().and_then(|pool| pool.as_ref().ok());
        let scripts = scripts.map(|pool| &*pool.room);
        let room = &*self.native.room;
        let mut stats = Stats {
            most: room.most,
            most_scripts: scripts.map_or(0, |room| room.most),
            ..Stats::default()
        };
        for room in [room].into_iter().chain(scripts) {
            stats.live += room.live();
            stats.full += room.full();
            stats.fuel += room.fuel();
            stats.faults += room.faults();
        }
        stats
    }

    fn pool(&self, class: Class) -> Result<&Pool, String> {
        match class {
            Class::Native => Ok(&self.native),
            Class::Script => {
                let made = || Pool::new(class, self.most_scripts);
                self.scripts
                    .get_or_init(made)
                    .as_ref()
                    .map_err(String::clone)
            }
        }
    }

    fn compiled(&self, pool: &Pool, key: Key, bytes: &[u8]) -> Result<Arc<Compiled>, String> {
        let lock = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = lock().get(&key).and_then(Weak::upgrade) {
            return Ok(compiled);
        }
        let Pool { engine, room } = pool;
        let component = self.component(engine, &key, bytes)?;
        let pre = prepare(engine, &component)?;
        // What it is asked at first it is asked with the usual limits, whatever a
        // module gives it: several may share it.
        let meter = Arc::new(Meter::new(room));
        let limits = key.2.usual();
        let purse = &mut Purse::new(&limits);
        let instance = Instance::new(engine, &pre, (key.2, limits, 1), &meter, purse);
        let described = instance.and_then(|mut instance| {
            instance.call(purse, |store, exports| {
                exports.probity_check_guest().call_describe(store)
            })
        });
        let described = described
            .map_err(|fault| format!("expected a check that describes itself, but it {fault}"))?;
        let compiled = Arc::new(Compiled {
            engine: engine.clone(),
            pre,
            digest: key.0,
            description: convert::description(described),
        });
        let mut all = lock();
        all.retain(|_, other| other.strong_count() > 0);
        all.insert(key, Arc::downgrade(&compiled));
        Ok(compiled)
    }

    fn component(&self, engine: &Engine, key: &Key, bytes: &[u8]) -> Result<Component, String> {
        let cache = self.cache.as_ref();
        if let Some(component) = cache.and_then(|cache| cache.load(engine, key)) {
            return Ok(component);
        }
        let component = load::component(engine, bytes, key.1, &pool::shape(key.2))?;
        if let Some(cache) = cache {
            // The check is there all the same, and is compiled again next time.
            let _ = cache.store(engine, key, &component);
        }
        Ok(component)
    }
}

/// Finds the exports, and that they are of the right types.
fn prepare(engine: &Engine, component: &Component) -> Result<PluginPre<State>, String> {
    let linker = Linker::<State>::new(engine);
    let pre = linker.instantiate_pre(component).and_then(PluginPre::new);
    pre.map_err(|error| format!("expected the exports of probity:check/guest: {error:#}"))
}
