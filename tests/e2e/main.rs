//! The program from outside: its command line, its file, its endpoints, and
//! what it makes of peers that misbehave. Needs nothing but the program.

mod bad_input;
mod check;
mod config;
mod crowd;
mod demo;
mod discovery;
mod fleet;
mod guard;
mod health;
mod names;
mod probers;
mod process;
mod reload;
mod serve;
mod wasm;
mod web;

/// The guest in text that the host's own tests have.
#[path = "../../core/wasm/tests/guests/guest.rs"]
mod guest;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    probity_tests::support::main(|| {
        let mut trials = Vec::new();
        trials.extend(bad_input::trials());
        trials.extend(check::trials());
        trials.extend(config::trials());
        trials.extend(crowd::trials());
        trials.extend(demo::trials());
        trials.extend(discovery::trials());
        trials.extend(fleet::trials());
        trials.extend(guard::trials());
        trials.extend(health::trials());
        trials.extend(names::trials());
        trials.extend(probers::trials());
        trials.extend(process::trials());
        trials.extend(reload::trials());
        trials.extend(serve::trials());
        trials.extend(wasm::trials());
        trials.extend(web::trials());
        trials
    })
}

/// A folder of a test's own, which goes when it does.
#[derive(Debug)]
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// A folder with this `probity.yml`.
    fn with(config: &str) -> Self {
        let folder = Self::new();
        folder.write("probity.yml", config);
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn config(&self) -> PathBuf {
        self.path().join("probity.yml")
    }

    /// Puts a file in place at once, as tools that care do.
    fn write(&self, name: &str, content: &str) {
        let (path, draft) = (self.path().join(name), self.path().join(".draft"));
        fs::write(&draft, content).expect("a file");
        fs::rename(draft, path).expect("a file");
    }
}

/// An address of this machine at which nobody listens, and which the kernel gives
/// to nobody.
fn dead() -> std::net::SocketAddr {
    ([127, 66, 0, 1], 1).into()
}
