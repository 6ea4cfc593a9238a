//! Which neighbours there are.

use std::path::{Path, PathBuf};

use libtest_mimic::{Completion, Failed, Trial};

/// Names of programs that must be there.
const REQUIRED: &str = "PROBITY_REQUIRE_PEERS";

/// A test that needs a program, which it is given the path of.
pub(crate) fn trial(
    name: impl Into<String>,
    program: &'static str,
    test: impl FnOnce(&Path) + Send + 'static,
) -> Trial {
    trial_at(name, program, installed(program), test)
}

/// As [`trial`], with a program that may have been found elsewhere.
pub(crate) fn trial_at(
    name: impl Into<String>,
    program: &'static str,
    path: Option<PathBuf>,
    test: impl FnOnce(&Path) + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || match path {
        Some(path) => {
            test(&path);
            Ok(Completion::Completed)
        }
        None if is_required(program) => Err(Failed::from(format!("{program} is not installed"))),
        None => Ok(Completion::ignored_with(format!(
            "{program} is not installed"
        ))),
    })
}

/// Whether a program must be there.
pub(crate) fn is_required(program: &str) -> bool {
    let required = std::env::var(REQUIRED).unwrap_or_default();
    required.split_whitespace().any(|name| name == program)
}

/// Where a program is, if it is: also where only root usually looks.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A program of a newer release, which `.ci/sid` has unpacked.
pub(crate) fn unpacked(program: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join(format!("target/peers/{program}/usr/bin/{program}"));
    path.is_file().then_some(path)
}
