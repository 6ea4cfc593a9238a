//! What is compiled is kept, for who may use it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use probity_engine::guest::Event;
use probity_wasm::{Config, Host};

use crate::support::{Guest, Run, small, source};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn host(folder: &Path) -> Result<Host, String> {
    Host::new(&Config {
        cache: Some(folder.to_owned()),
        ..small()
    })
}

fn written(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// Loads and runs it.
fn works(folder: &Path, module: &[u8]) {
    let plugin = host(folder).unwrap().load(&source(module)).unwrap();
    let mut run = Run::open(&plugin).unwrap();
    assert_eq!(run.on(Event::Data(b"me")).unwrap(), ["Done(Up)"]);
}

#[test]
fn a_check_is_compiled_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("a/b");
    let module = Guest::default().module();
    works(&folder, &module);
    let [kept] = &files(&folder)[..] else {
        panic!("{:?}", files(&folder));
    };
    let mode = fs::metadata(kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mode = fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // It is used as it is, and not written again.
    let (first, content) = (written(kept), fs::read(kept).unwrap());
    works(&folder, &module);
    assert_eq!(written(kept), first);
    // Unless it is not whole, or not what we wrote.
    for damage in [&content[..100], &[content.as_slice(), b"x"].concat(), b""] {
        fs::write(kept, damage).unwrap();
        works(&folder, &module);
        assert_eq!(fs::read(kept).unwrap(), content);
    }
    works(
        &folder,
        &Guest {
            fields: "(func)".into(),
            ..Guest::default()
        }
        .module(),
    );
    assert_eq!(files(&folder).len(), 2);
}

#[test]
fn what_is_no_check_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let module = wat::parse_str("(component)").unwrap();
    host(folder.path())
        .unwrap()
        .load(&source(&module))
        .unwrap_err();
    assert_eq!(files(folder.path()), [""; 0].map(PathBuf::from));
}

#[test]
fn a_directory_in_which_others_may_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o775)).unwrap();
    let error = host(folder.path()).unwrap_err();
    assert!(error.ends_with("found mode 775: chmod 700 it"), "{error}");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = host(&file).unwrap_err();
    assert!(error.contains("cannot be made"), "{error}");
}

#[test]
fn only_so_many_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..70 {
        fs::write(folder.path().join(format!("{number:02}.code")), "").unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
    works(folder.path(), &Guest::default().module());
    assert_eq!(files(folder.path()).len(), 65);
    assert!(folder.path().join("notes.txt").exists());
}
