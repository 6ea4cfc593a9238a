//! Words of the command line that stand in files: `@args.txt`, as in the flags
//! of blackbox_exporter (kingpin).

use std::ffi::OsString;
use std::fs;

/// Files within files; one that names itself would never end.
const DEEPEST: usize = 8;

/// Puts in place of each `@file` what stands in the file: a word a line, but
/// for lines that begin with `#`. After `--` a word is what it is.
///
/// # Errors
/// Which file cannot be read, and why.
pub(super) fn expanded(line: impl Iterator<Item = OsString>) -> Result<Vec<OsString>, String> {
    let mut words = Vec::new();
    let mut literal = false;
    for word in line {
        literal |= word == "--";
        match word.to_str().and_then(|word| word.strip_prefix('@')) {
            Some(path) if !literal => {
                let mut within = Vec::new();
                read(path, DEEPEST, &mut within)?;
                literal |= within.iter().any(|word| word == "--");
                words.append(&mut within);
            }
            _ => words.push(word),
        }
    }
    Ok(words)
}

fn read(path: &str, depth: usize, words: &mut Vec<OsString>) -> Result<(), String> {
    let wrong = |why: &str| {
        Err(format!(
            "expected a file with flags, one a line, after the @ of {:?}: {why}",
            format!("@{path}")
        ))
    };
    if depth == 0 {
        return wrong("it is named by itself, or too deep in others");
    }
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return wrong(&probity_spec::words(&error)),
    };
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix('@') {
            Some(path) => read(path, depth - 1, words)?,
            None => words.push(line.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(line: &[&str]) -> Result<Vec<OsString>, String> {
        expanded(line.iter().map(OsString::from))
    }

    #[test]
    fn a_file_stands_for_its_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (inner, outer) = (path("inner"), path("outer"));
        fs::write(&inner, "# of the log\n--log.level=debug\n").unwrap();
        fs::write(&outer, format!("--config.file\r\na b.yml\n@{inner}\n")).unwrap();
        let words = expand(&["probity", &format!("@{outer}"), "--config.check"]).unwrap();
        let expected = [
            "probity",
            "--config.file",
            "a b.yml",
            "--log.level=debug",
            "--config.check",
        ];
        assert_eq!(words, expected);
        let literal = expand(&["probity", "--", "@nowhere"]).unwrap();
        assert_eq!(literal, ["probity", "--", "@nowhere"]);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let missing = expand(&["probity", "@/nowhere/at/all"]).unwrap_err();
        assert!(missing.contains("\"@/nowhere/at/all\": "), "{missing}");
        assert!(expand(&["probity", "@"]).is_err());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("itself");
        fs::write(&path, format!("@{}\n", path.display())).unwrap();
        let endless = expand(&["probity", &format!("@{}", path.display())]);
        assert!(endless.unwrap_err().contains("by itself"));
    }
}
