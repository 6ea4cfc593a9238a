#![forbid(unsafe_code)]
//! Instructions of a check and of its pieces, counted by valgrind's callgrind:
//! the same on a busy machine as on an idle one. What the C ABI adds to a check
//! is counted beside, and what Wasm makes of it is timed.
//!
//! ```text
//! cargo run --release -p probity-cost              compares with baseline.txt
//! cargo run --release -p probity-cost -- --write   writes baseline.txt
//! cargo run --release -p probity-cost -- --wasm    also times the engine in Node
//! ```
//! A rise of more than 5 % is an error, and so is a check over the C ABI that takes 10 %
//! more than one without.

mod count;
mod pieces;

use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::count::{Program, baseline, root};

/// How much more than in the baseline is not a rise yet.
const TOLERANCE: f64 = 1.05;
/// How much a check over the C ABI may be of one without.
const ABI_BAR: f64 = 1.10;
/// Times that Wasm and the engine itself are timed in turn.
const ROUNDS: usize = 5;

const BASELINE: &str = "benches/cost/baseline.txt";
const HEAD: &str =
    "# Instructions, by what executes them once: cargo run --release -p probity-cost -- --write\n";

/// Counts instructions of a check and of its pieces.
#[derive(Debug, Parser)]
struct Args {
    /// Write what was counted as the baseline.
    #[arg(long)]
    write: bool,
    /// Also time checks in Wasm under Node (core/ffi/build-wasm builds the module).
    #[arg(long)]
    wasm: bool,
    /// Only do one piece of work: what is run below valgrind.
    #[arg(long, requires = "times", hide = true)]
    piece: Option<String>,
    /// How often.
    #[arg(long, hide = true)]
    times: Option<u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match (&args.piece, args.times) {
        (Some(name), Some(times)) => work(name, times),
        _ => measure(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probity-cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(name: &str, times: u64) -> Result<(), String> {
    let piece = pieces::ALL.iter().find(|(it, _)| *it == name);
    let (_, piece) = piece.ok_or_else(|| format!("there is no piece {name:?}"))?;
    piece(times);
    Ok(())
}

fn measure(args: &Args) -> Result<(), String> {
    let mut counted = Vec::new();
    for (name, _) in pieces::ALL {
        counted.push((name.to_owned(), Program::piece(name)?.instructions()?));
    }
    let own = |name: &str| counted.iter().find(|(it, _)| it == name).map(|(_, it)| *it);
    let mut ratios = Vec::new();
    let (http, tcp) = (
        ["http_2xx", "http://192.0.2.1/"],
        ["tcp_connect", "192.0.2.1:80"],
    );
    for (name, checks) in [
        ("run/http", &[http][..]),
        ("run/tcp", &[tcp]),
        ("run/of both in turn", &[http, tcp]),
    ] {
        let native = own(name).ok_or("every check is a piece")?;
        let abi = Program::over_the_c_abi(checks)?.instructions()?;
        ratios.push((name, abi, abi / native));
    }
    for (name, abi, _) in &ratios {
        counted.push((format!("{name} over the C ABI"), *abi));
    }
    if args.write {
        write(&counted)?;
    }
    let rises = compare(&counted)?;
    let mut beyond = String::new();
    for (name, _, ratio) in &ratios {
        let mut verdict = "holds";
        if *ratio > ABI_BAR {
            verdict = "does not hold";
            let _ = write!(beyond, "\n  {name}: {ratio:.3}");
        }
        println!("{name} over the C ABI / {name}: {ratio:.3} (bar: {ABI_BAR:.2}, {verdict})");
    }
    if args.wasm {
        wasm()?;
    }
    if !beyond.is_empty() {
        return Err(format!(
            "checks over the C ABI take more than {ABI_BAR:.2} of those without:{beyond}"
        ));
    }
    match rises.as_str() {
        "" => Ok(()),
        rises => Err(format!(
            "more instructions than in {BASELINE}:{rises}\n\
             if that is worth it: cargo run --release -p probity-cost -- --write"
        )),
    }
}

fn write(counted: &[(String, f64)]) -> Result<(), String> {
    let mut text = HEAD.to_owned();
    for (name, count) in counted {
        let _ = writeln!(text, "{name}\t{count:.1}");
    }
    fs::write(root().join(BASELINE), text).map_err(|error| format!("{BASELINE}: {error}"))
}

/// Prints what was counted; gives what has risen.
fn compare(counted: &[(String, f64)]) -> Result<String, String> {
    let before = baseline(&root().join(BASELINE))?;
    let mut rises = String::new();
    println!("| instructions | now | baseline | ratio |\n| --- | ---: | ---: | ---: |");
    for (name, now) in counted {
        let before = before.iter().find(|(it, _)| it == name);
        let (_, before) = before.ok_or_else(|| format!("{BASELINE} lacks {name}: --write it"))?;
        let ratio = now / before;
        println!("| {name} | {now:.1} | {before:.1} | {ratio:.3} |");
        if ratio > TOLERANCE {
            let _ = write!(rises, "\n  {name}: {before:.1} before, {now:.1} now");
        }
    }
    Ok(rises)
}

/// The engine itself and in Wasm, in turn.
fn wasm() -> Result<(), String> {
    let (native, node) = (Program::piece("run/http")?, Program::in_node());
    let mut times: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        times[0].push(native.time()?);
        times[1].push(node.time()?);
    }
    let [native, node] = times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64()
    });
    println!(
        "run/http in Wasm under Node / run/http: {:.2} ({:.2} us, {:.2} us; medians of {ROUNDS})",
        node / native,
        node * 1e6,
        native * 1e6
    );
    Ok(())
}
