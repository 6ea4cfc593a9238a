//! An agent that links the engine: targets come and go at run time, and
//! changes of health are printed.
//!
//! ```text
//! $ cargo run -p probity-driver --example agent
//! + 127.0.0.1:22
//! 127.0.0.1:22 is up
//! - 127.0.0.1:22
//! ```

use std::collections::HashMap;
use std::io::BufRead as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use probity_driver::{Change, Config, Driver};
use probity_engine::check::{ModuleConfig, TargetParams};
use probity_engine::config::NoFiles;
use probity_engine::threshold::{self, Kind};
use probity_engine::{GroupId, Schedule, Spec, TargetId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let module = ModuleConfig {
        prober: "tcp".into(),
        ..ModuleConfig::default()
    };
    let module = module.compile(&NoFiles)?;
    let schedule = Schedule::new(
        Duration::from_secs(2),
        Duration::from_secs(1),
        Duration::ZERO,
    )?;
    // Down after three failures in a row, up after one success.
    let threshold = threshold::Config::new(Kind::Plain, 1, 3)?;

    let handle = Driver::start(Config::default())?;
    handle.begin()?;

    let names = Arc::new(Mutex::new(HashMap::<TargetId, String>::new()));
    let known = Arc::clone(&names);
    let noticing = handle.clone();
    let printer = thread::spawn(move || {
        loop {
            let notices = noticing.notices(Duration::from_secs(3600));
            let names = known.lock().unwrap_or_else(PoisonError::into_inner);
            for notice in notices.list {
                let (Some(name), Some(flip)) = (names.get(&notice.target), notice.transition)
                else {
                    continue;
                };
                let state = if flip.to { "up" } else { "down" };
                println!("{name} is {state} {}", notice.detail);
            }
            if notices.stopped {
                return;
            }
        }
    });

    println!("+ host:port adds a target, - host:port removes it");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let change = match line.split_once(' ') {
            Some(("+", name)) => match module.target(name, TargetParams::default()) {
                Err(error) => {
                    println!("{error}");
                    continue;
                }
                Ok(check) => {
                    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
                    names.insert(id(name), name.to_owned());
                    let spec = Spec {
                        check,
                        schedule,
                        threshold,
                        group: GroupId(0),
                    };
                    Change::Upsert(id(name), Arc::new(spec))
                }
            },
            Some(("-", name)) => Change::Remove(id(name)),
            _ => continue,
        };
        handle.apply(vec![change])?;
    }
    handle.shutdown(Duration::from_secs(1));
    printer.join().map_err(|_| "the printer has panicked")?;
    Ok(())
}

/// FNV-1a: the same in every run of the program, so that a target keeps its
/// place in the period.
fn id(name: &str) -> TargetId {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    TargetId(hash)
}
