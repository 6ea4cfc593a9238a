//! The files that modules refer to: read with the configuration, and looked at
//! again to see whether they have changed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use probity_engine::config::{Expression, Files};
use probity_engine::tls::TlsOptions;
use probity_spec::{File, SystemFiles};

/// What configurations are read with: the file system, the environment, and
/// the driver's opinion of certificates and keys. It notes what was read.
#[derive(Debug, Default)]
pub struct Host {
    stamps: RefCell<Stamps>,
}

impl Host {
    /// What was read by way of this host.
    pub fn stamps(self) -> Stamps {
        self.stamps.into_inner()
    }
}

impl Files for Host {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        // Before it is read: what changes meanwhile is then seen to have.
        let stamp = Stamp::of(path);
        // And the first look counts, should several modules read it.
        let mut stamps = self.stamps.borrow_mut();
        stamps.0.entry(path.to_owned()).or_insert(stamp);
        drop(stamps);
        SystemFiles.read(path)
    }

    fn variable(&self, name: &str) -> Option<String> {
        SystemFiles.variable(name)
    }

    fn cel(&self, source: &str) -> Result<Arc<dyn Expression>, String> {
        SystemFiles.cel(source)
    }

    fn check_tls(&self, options: &TlsOptions) -> Result<(), String> {
        probity_driver::check_tls(options)
    }
}

/// What tells a file from what it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    bytes: u64,
    inode: (u64, u64),
}

impl Stamp {
    /// `None` if there is no such file. Links are followed, so that a link
    /// that is turned to another file is a change.
    pub fn of(path: impl AsRef<Path>) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            bytes: found.len(),
            inode: (found.dev(), found.ino()),
        })
    }
}

/// What files looked like when they were read.
#[derive(Clone, Debug, Default)]
pub struct Stamps(BTreeMap<String, Option<Stamp>>);

impl Stamps {
    /// Takes over what is known later.
    pub fn extend(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// Whether a file of the module `name` is not what was read. Costs a look
    /// at each of its files, and nothing for a module without.
    pub fn are_old(&self, file: &File, name: &str) -> bool {
        let files = file.module(name).map(|module| module.files());
        files.is_some_and(|files| {
            files
                .iter()
                .any(|path| self.0.get(path) != Some(&Stamp::of(path)))
        })
    }

    /// The modules whose files are not what was read.
    pub fn old(&self, file: &File) -> Vec<String> {
        file.modules()
            .filter(|(name, _)| self.are_old(file, name))
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}
