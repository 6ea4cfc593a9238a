//! Files that a configuration refers to, from the file system.

use std::fs::File;
use std::io::Read as _;
use std::sync::Arc;

use probity_engine::config::{Expression, Files, NoFiles};
use probity_engine::limits::MAX_FILE_BYTES;

/// Reads files relative to the working directory, as blackbox_exporter does.
/// A file may have at most [`SystemFiles::MAX_BYTES`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemFiles;

impl SystemFiles {
    /// Longest file that is read: 32 MiB.
    pub const MAX_BYTES: u64 = MAX_FILE_BYTES as u64;
}

impl Files for SystemFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let fail = |error: std::io::Error| format!("cannot read {path}: {}", words(&error));
        let file = File::open(path).map_err(fail)?;
        let mut content = Vec::new();
        file.take(Self::MAX_BYTES + 1)
            .read_to_end(&mut content)
            .map_err(fail)?;
        if content.len() as u64 > Self::MAX_BYTES {
            return Err(format!(
                "cannot read {path}: it has more than {} bytes",
                Self::MAX_BYTES
            ));
        }
        Ok(content)
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn cel(&self, source: &str) -> Result<Arc<dyn Expression>, String> {
        probity_cel::compile(source)
    }

    fn has_services(&self) -> bool {
        true
    }
}

/// No files and no environment, but expressions: for hosts without a file system,
/// or that want none to be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct WithoutFiles;

impl Files for WithoutFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        NoFiles.read(path)
    }

    fn cel(&self, source: &str) -> Result<Arc<dyn Expression>, String> {
        probity_cel::compile(source)
    }
}

/// An error of the system without the number that std appends to it: who reads
/// it has no use for that.
pub fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_file_and_says_why_it_cannot() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("a"), "content").unwrap();
        assert_eq!(SystemFiles.read(&path("a")).unwrap(), b"content");
        let missing = path("b");
        assert_eq!(
            SystemFiles.read(&missing).unwrap_err(),
            format!("cannot read {missing}: no such file or directory")
        );
        assert!(
            SystemFiles
                .read(&path(""))
                .unwrap_err()
                .contains("is a directory")
        );
        File::create(path("c"))
            .unwrap()
            .set_len(SystemFiles::MAX_BYTES + 1)
            .unwrap();
        assert!(
            SystemFiles
                .read(&path("c"))
                .unwrap_err()
                .ends_with("more than 33554432 bytes")
        );
    }
}
