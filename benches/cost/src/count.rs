//! Instructions of other programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs, str};

/// The repository.
pub(crate) fn root() -> &'static Path {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().nth(2).expect("benches/cost")
}

/// A program that does a piece of work as often as its last argument says.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    args: Vec<String>,
}

impl Program {
    /// This program with one of its own pieces.
    pub(crate) fn piece(name: &str) -> Result<Self, String> {
        let path = env::current_exe().map_err(|error| format!("this program: {error}"))?;
        let args = vec!["--piece".to_owned(), name.to_owned(), "--times".to_owned()];
        Ok(Self { path, args })
    }

    /// `abi.c` with the shared library, both built here, with checks for it, each a
    /// module and a target.
    pub(crate) fn over_the_c_abi(checks: &[[&str; 2]]) -> Result<Self, String> {
        let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
        let mut build = Command::new(cargo);
        build.args([
            "build",
            "--release",
            "--locked",
            "--quiet",
            "-p",
            "probity-ffi",
        ]);
        output(build.current_dir(root()))?;
        let folder = root().join("target/release");
        let path = folder.join("abi-cost");
        let mut cc = Command::new("cc");
        cc.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]);
        cc.arg(&path).arg(root().join("benches/cost/src/abi.c"));
        cc.arg("-I").arg(root().join("core/ffi/include"));
        cc.arg("-L").arg(&folder).arg("-lprobity");
        cc.arg(format!("-Wl,-rpath,{}", folder.display()));
        output(&mut cc)?;
        let args = checks.as_flattened().iter().map(|it| (*it).to_owned());
        let args = args.collect();
        Ok(Self { path, args })
    }

    /// `wasm.mjs` in Node.
    pub(crate) fn in_node() -> Self {
        let path = |it: &str| root().join(it).display().to_string();
        Self {
            path: "node".into(),
            args: vec![
                path("benches/cost/src/wasm.mjs"),
                path("target/wasm/probity.wasm"),
            ],
        }
    }

    fn command(&self, times: u64) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.args).arg(times.to_string());
        command
    }

    /// How long once takes, start and end of the program not counted.
    pub(crate) fn time(&self) -> Result<Duration, String> {
        const TIMES: u64 = 200_000;
        let took = |times| {
            let begun = std::time::Instant::now();
            output(&mut self.command(times)).map(|_| begun.elapsed())
        };
        let (few, many) = (took(TIMES / 10)?, took(TIMES)?);
        Ok(many.saturating_sub(few) * 10 / 9 / u32::try_from(TIMES).expect("fewer"))
    }

    /// Instructions of once, start and end of the program not counted.
    pub(crate) fn instructions(&self) -> Result<f64, String> {
        const TIMES: u64 = 20_000;
        let few = self.counted(TIMES / 10)?;
        let many = self.counted(TIMES)?;
        Ok((many - few) as f64 / (TIMES - TIMES / 10) as f64)
    }

    fn counted(&self, times: u64) -> Result<u64, String> {
        let inner = self.command(times);
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        valgrind.arg(inner.get_program()).args(inner.get_args());
        let said = output(&mut valgrind)?;
        let line = said.lines().find_map(|it| it.split_once("Collected : "));
        let number = line.and_then(|(_, number)| number.trim().parse().ok());
        number.ok_or_else(|| format!("callgrind says no number of instructions: {said}"))
    }
}

/// Runs a program to its end and gives what it said on standard error.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().display().to_string();
    let output = command.output();
    let output = output.map_err(|error| format!("cannot run {name}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Ok(said),
        false => Err(format!("{name} failed ({}): {said}", output.status)),
    }
}

/// Reads the numbers of a baseline: a line each, `name<tab>instructions`.
pub(crate) fn baseline(path: &Path) -> Result<Vec<(String, f64)>, String> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let wrong = |number: usize| {
        let path = path.display();
        format!("{path}:{number}: expected a name, a tab and a number")
    };
    let numbered = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.starts_with('#'));
    let line = |(line, number): (&str, usize)| {
        let (name, count) = line.split_once('\t').ok_or_else(|| wrong(number))?;
        let count = count.parse().map_err(|_| wrong(number))?;
        Ok((name.to_owned(), count))
    };
    numbered.map(line).collect()
}
