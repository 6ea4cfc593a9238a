//! file_sd: which files there are, and what the last good content of each was.
//!
//! Nothing here watches anything: whoever does tells a [`FileSd`] what it
//! found.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Errors;
use crate::groups::{Format, Group, parse_groups};

/// A path of `file_sd_configs`: a file, or with `*` and `?` in its last part
/// all files of a directory whose names match. The extension is one of
/// `json`, `yml` and `yaml`, in small letters or in capitals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePattern(String);

impl FilePattern {
    /// Parses a path.
    ///
    /// # Errors
    /// A sentence that says what was expected and found.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (directory, name) = split(text);
        let found = crate::error::excerpt(text);
        if Format::of(name).is_none() {
            return Err(format!(
                "expected a path that ends in .json, .yml or .yaml, found {found}"
            ));
        }
        if directory.contains(['*', '?']) {
            return Err(format!(
                "expected * and ? in the last part of the path only, found {found}"
            ));
        }
        if name.contains(['[', ']', '\\']) {
            return Err(format!(
                "expected a file name without [, ] and \\, found {found}"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory whose changes concern the pattern; relative paths begin
    /// at `base`, which is the working directory if it is empty.
    pub fn directory(&self, base: &Path) -> PathBuf {
        let directory = base.join(split(&self.0).0);
        if directory.as_os_str().is_empty() {
            // The system has no file of the name "".
            return PathBuf::from(".");
        }
        directory
    }

    /// Whether a file of this name would match, in its directory.
    pub fn has_name(&self, name: &str) -> bool {
        matches(split(&self.0).1.as_bytes(), name.as_bytes())
    }

    /// The files that exist and match, sorted; relative paths begin at
    /// `base`.
    ///
    /// # Errors
    /// If the directory cannot be looked into, so that nobody can know which
    /// files there are.
    pub fn expand(&self, base: &Path) -> Result<Vec<PathBuf>, String> {
        let (_, name) = split(&self.0);
        let directory = self.directory(base);
        let fail = |error: std::io::Error| format!("cannot list {}: {error}", directory.display());
        if !name.contains(['*', '?']) {
            let path = directory.join(name);
            if path.try_exists().map_err(fail)? {
                return Ok(vec![path]);
            }
            fs::metadata(&directory).map_err(fail)?;
            return Ok(Vec::new());
        }
        let mut paths = Vec::new();
        for entry in fs::read_dir(&directory).map_err(fail)? {
            let found = entry.map_err(fail)?.file_name();
            if found
                .to_str()
                .is_some_and(|found| matches(name.as_bytes(), found.as_bytes()))
            {
                paths.push(directory.join(found));
            }
        }
        paths.sort();
        Ok(paths)
    }
}

impl fmt::Display for FilePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Directory (with its slash, or empty) and name.
fn split(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |slash| slash + 1))
}

/// Whether `name` is what `pattern` describes: `*` is any text, `?` is any
/// byte. Linear but for backtracking to the last star, which suffices.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, n) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The last good content of the files of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSd {
    files: BTreeMap<PathBuf, Vec<Group>>,
}

impl FileSd {
    /// Takes in what a file contains now, or why it cannot be read. Whether
    /// the groups have changed.
    ///
    /// # Errors
    /// If it cannot be read or does not parse. The last good content then
    /// stays. A target that a module cannot probe is none: see
    /// [`Fleet::build`](crate::Fleet::build).
    pub fn update(&mut self, path: &Path, content: Result<&[u8], &str>) -> Result<bool, Errors> {
        let name = path.to_string_lossy();
        let content = content.map_err(|error| Errors::unread(&name, error))?;
        let format = Format::of(&name).ok_or_else(|| {
            Errors::whole(&name, "expected a file that ends in .json, .yml or .yaml")
        })?;
        let text = crate::file::utf8(&name, content)?;
        let groups = parse_groups(&name, text, format)?;
        if self.files.get(path) == Some(&groups) {
            return Ok(false);
        }
        self.files.insert(path.to_owned(), groups);
        Ok(true)
    }

    /// Whether the file has a last good content.
    pub fn has(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// Forgets the files that are gone; whether there were any.
    pub fn retain(&mut self, mut exists: impl FnMut(&Path) -> bool) -> bool {
        let before = self.files.len();
        self.files.retain(|path, _| exists(path));
        self.files.len() != before
    }

    /// Files that have a last good content, in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[Group])> {
        self.files
            .iter()
            .map(|(path, groups)| (path.as_path(), groups.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_stars_in_their_last_part_only() {
        for good in [
            "a.json",
            "a/b.yml",
            "/a/*.yaml",
            "a/x*y*.JSON",
            "t?.yml",
            "a.b/*.YML",
            "[x]/a.yml",
        ] {
            assert!(FilePattern::parse(good).is_ok(), "{good}");
        }
        for (bad, message) in [
            (
                "",
                "expected a path that ends in .json, .yml or .yaml, found \"\"",
            ),
            (
                "a.txt",
                "expected a path that ends in .json, .yml or .yaml, found \"a.txt\"",
            ),
            (
                "a.json/",
                "expected a path that ends in .json, .yml or .yaml, found \"a.json/\"",
            ),
            (
                "*/a.json",
                "expected * and ? in the last part of the path only, found \"*/a.json\"",
            ),
            (
                "a/[xy].json",
                "expected a file name without [, ] and \\, found \"a/[xy].json\"",
            ),
        ] {
            assert_eq!(FilePattern::parse(bad), Err(message.to_owned()), "{bad}");
        }
    }

    #[test]
    fn stars_match_any_text() {
        for (pattern, name, expected) in [
            ("*.json", "a.json", true),
            ("*.json", ".json", true),
            ("*.json", "a.jsonx", false),
            ("a*b*.yml", "a1b2b3.yml", true),
            ("a*b*.yml", "a1.yml", false),
            ("t?.yml", "t1.yml", true),
            ("t?.yml", "t.yml", false),
            ("a.yml", "a.yml", true),
            ("**.yml", "x.yml", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn expands_to_sorted_paths() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.json", "c.yml", "a.json.bak"] {
            fs::write(folder.path().join(name), "[]").unwrap();
        }
        let expand = |pattern: &str| FilePattern::parse(pattern).unwrap().expand(folder.path());
        let paths = expand("*.json").unwrap();
        assert_eq!(
            paths,
            [folder.path().join("a.json"), folder.path().join("b.json")]
        );
        assert_eq!(expand("a.json").unwrap(), [folder.path().join("a.json")]);
        // What is gone is known to be gone, and what cannot be looked at is not.
        for gone in ["missing.json", "*.yaml"] {
            assert_eq!(expand(gone).unwrap(), Vec::<PathBuf>::new(), "{gone}");
        }
        for hidden in [
            "missing/*.json",
            "missing/a.json",
            "c.yml/*.json",
            "c.yml/a.json",
        ] {
            assert!(
                expand(hidden).unwrap_err().starts_with("cannot list "),
                "{hidden}"
            );
        }
    }

    #[test]
    fn an_empty_base_is_the_working_directory() {
        let pattern = FilePattern::parse("*.yml").unwrap();
        let directory = pattern.directory(Path::new(""));
        assert_eq!(directory, Path::new("."));
        assert!(fs::read_dir(directory).is_ok());
        assert!(pattern.expand(Path::new("")).is_ok());
    }
}
