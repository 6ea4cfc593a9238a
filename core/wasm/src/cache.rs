//! Compiled checks on disk.
//!
//! What is kept there is native code that is run as it is: the directory must be
//! ours and nobody else's, and nothing is ever taken from another one. A file that
//! is cut short, or of another version, is not used, and made anew.

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash as _, Hasher as _};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use probity_engine::guest::Class;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::load::{self, Life};

/// What a component is made of: the digest of a file, and for which instances.
pub(crate) type Key = ([u8; 32], Life, Class);

/// Files that are kept; the oldest go first.
const MOST_FILES: usize = 64;

/// A directory of compiled checks.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Uses a directory, which is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made, or others may write there.
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        let wrong = |what: String| format!("{}: {what}", folder.display());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| wrong(format!("cannot be made: {error}")))?;
        let found = fs::metadata(folder).map_err(|error| wrong(error.to_string()))?;
        let ours = rustix::process::geteuid().as_raw();
        if found.uid() != ours {
            let owner = found.uid();
            return Err(wrong(format!(
                "expected a directory of the user {ours}, found one of the user {owner}: compiled checks are run as they are"
            )));
        }
        if found.mode() & 0o022 != 0 {
            let mode = found.mode() & 0o777;
            return Err(wrong(format!(
                "expected a directory in which only its user may write, found mode {mode:03o}: chmod 700 it"
            )));
        }
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The component that was made of a file with this digest for such instances, if it
    /// is there.
    pub(crate) fn load(&self, engine: &Engine, source: &Key) -> Option<Component> {
        let content = fs::read(self.path(engine, source)).ok()?;
        let (sum, code) = content.split_at_checked(SHA256_OUTPUT_LEN)?;
        if digest(&SHA256, code).as_ref() != sum {
            return None;
        }
        #[expect(unsafe_code, reason = "compiled code is taken at its word")]
        // SAFETY: `store` has written it: the directory is ours and only we may write
        // there, and the sum says that it is whole. wasmtime itself refuses what was
        // compiled by another version or with another configuration.
        let component = unsafe { Component::deserialize(engine, code) };
        component.ok()
    }

    /// Keeps a component. That it cannot be kept is no reason not to use it.
    pub(crate) fn store(
        &self,
        engine: &Engine,
        source: &Key,
        component: &Component,
    ) -> Result<(), String> {
        let path = self.path(engine, source);
        let code = component.serialize().map_err(|error| error.to_string())?;
        let new = path.with_extension(format!("{}.new", std::process::id()));
        let write = || {
            let mut options = File::options();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&new)?;
            file.write_all(digest(&SHA256, &code).as_ref())?;
            file.write_all(&code)?;
            fs::rename(&new, &path)
        };
        let written = write().map_err(|error| format!("{}: {error}", path.display()));
        if written.is_err() {
            // It may be there or not; either way it is of no use.
            let _ = fs::remove_file(&new);
        }
        self.prune();
        written
    }

    /// Named after all that the code depends on.
    fn path(&self, engine: &Engine, (source, life, class): &Key) -> PathBuf {
        // Without keys, so that it is the same in the next process.
        #[expect(deprecated, reason = "std has no other hasher without keys")]
        let mut hasher = std::hash::SipHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        load::WAY.hash(&mut hasher);
        let name: String = source.iter().map(|byte| format!("{byte:02x}")).collect();
        let (life, class) = (life.name(), class.name());
        self.folder.join(format!(
            "{name}-{class}-{life}-{:016x}.code",
            hasher.finish()
        ))
    }

    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let mut files: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let path = entry.path();
                let ours = path.extension().is_some_and(|it| it == "code");
                let time = entry.metadata().and_then(|it| it.modified()).ok()?;
                ours.then_some((time, path))
            })
            .collect();
        files.sort();
        let beyond = files.len().saturating_sub(MOST_FILES);
        for (_, path) in &files[..beyond] {
            // Another process may have been quicker.
            let _ = fs::remove_file(path);
        }
    }
}
