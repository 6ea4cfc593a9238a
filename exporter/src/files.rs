//! The files that modules refer to: read with the configuration, and looked at
//! again to see whether they have changed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use probity_engine::config::{Expression, Files, RsaAlgorithm, Signer};
use probity_engine::guest::{Plugin, Refusal, Source};
use probity_engine::tls::TlsOptions;
use probity_spec::{File, SystemFiles};

/// What configurations are read with: the file system, the environment, and
/// the driver's opinion of certificates and keys. It notes what was read.
#[derive(Debug, Default)]
pub struct Host {
    looks: RefCell<Looks>,
}

/// What files looked like before they were read.
type Looks = BTreeMap<String, Option<Stamp>>;

impl Host {
    /// What was read by way of this host for the modules of `file`.
    pub fn stamps(self, file: &File) -> Stamps {
        let looks = self.looks.into_inner();
        let of = |path: &String| Some((path.clone(), *looks.get(path)?));
        let modules = file.modules().map(|(name, module)| {
            let files = module.files().iter().filter_map(of);
            (name.to_owned(), files.collect())
        });
        Stamps(modules.collect())
    }
}

impl Files for Host {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        // Before it is read: what changes meanwhile is then seen to have.
        let stamp = Stamp::of(path);
        // And the first look counts, should several modules read it.
        let mut looks = self.looks.borrow_mut();
        looks.entry(path.to_owned()).or_insert(stamp);
        drop(looks);
        SystemFiles.read(path)
    }

    fn variable(&self, name: &str) -> Option<String> {
        SystemFiles.variable(name)
    }

    fn cel(&self, source: &str) -> Result<Arc<dyn Expression>, String> {
        SystemFiles.cel(source)
    }

    fn signer(&self, pem: &[u8], algorithm: RsaAlgorithm) -> Result<Arc<dyn Signer>, String> {
        probity_driver::signer(pem, algorithm)
    }

    fn has_services(&self) -> bool {
        SystemFiles.has_services()
    }

    fn runs_guests(&self) -> bool {
        cfg!(feature = "wasm")
    }

    fn plugin(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        crate::guests::load(source)
    }

    fn check_tls(&self, options: &TlsOptions) -> Result<Vec<String>, String> {
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

/// What the files of each module looked like when it read them: another that
/// shares one may have read it earlier.
#[derive(Clone, Debug, Default)]
pub struct Stamps(BTreeMap<String, Looks>);

impl Stamps {
    /// Takes over what the module `name` has read by way of `host`.
    pub fn note(&mut self, name: &str, host: Host) {
        let looks = self.0.entry(name.to_owned()).or_default();
        looks.extend(host.looks.into_inner());
    }

    /// Whether a file of the module `name` is not what was read. Costs a look
    /// at each of its files, and nothing for a module without.
    pub fn are_old(&self, file: &File, name: &str) -> bool {
        let files = file.module(name).map(|module| module.files());
        let mut files = files.into_iter().flatten();
        let looks = self.0.get(name);
        files.any(|path| looks.and_then(|looks| looks.get(path)) != Some(&Stamp::of(path)))
    }

    /// The modules whose files are not what was read.
    pub fn old(&self, file: &File) -> Vec<String> {
        file.modules()
            .filter(|(name, _)| self.are_old(file, name))
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_two_modules_share_is_old_for_each_until_it_has_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("body");
        fs::write(&path, "one").unwrap();
        let module = format!(
            "{{prober: http, http: {{method: POST, body_file: {}}}}}",
            path.display()
        );
        let text = format!("modules: {{a: {module}, b: {module}}}\n");
        let host = Host::default();
        let mut file = File::parse("test.yml", &text, &host).unwrap();
        let mut stamps = host.stamps(&file);
        assert!(stamps.old(&file).is_empty());
        fs::write(&path, "another").unwrap();
        assert_eq!(stamps.old(&file), ["a", "b"]);
        let host = Host::default();
        file.refresh("a", &host).unwrap();
        stamps.note("a", host);
        assert_eq!(stamps.old(&file), ["b"]);
    }
}
