//! Ten thousand guests of one kind at once: what they take of the process, which
//! must do nothing else meanwhile.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use probity_engine::RunId;
use probity_engine::guest::{
    Action, Class, Context, Event, Fault, Limits, Plugin, Session, Sink, Source, Verdict,
};
use probity_wasm::{Config, Host};

const MANY: u32 = 10_000;
/// Resident memory and page tables, of the process, for each.
const MOST_BYTES_EACH: u64 = 32 << 10;
/// What further runs may take of the process.
const SLACK_BYTES: u64 = 16 << 20;

/// A number of `/proc/self/status`, in bytes.
fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    let number: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    number << 10
}

/// Resident memory, and page tables.
fn taken() -> [u64; 2] {
    [status("VmRSS:"), status("VmPTE:")]
}

fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

fn open(plugin: &Arc<dyn Plugin>) -> Box<dyn Session> {
    let context = Context {
        run: RunId::from_bits(0),
        host: "toy.example",
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 4242,
        config: "{}",
        timeout: Duration::from_secs(5),
        seed: 7,
        tls: None,
    };
    plugin.open(&context).unwrap()
}

fn tell(session: &mut Box<dyn Session>, event: Event<'_>) -> Result<bool, Fault> {
    let mut up = false;
    let mut take = |action: Action<'_>| {
        up |= action == Action::Done(Verdict::Up);
        Ok(())
    };
    session.on_event(Duration::ZERO, event, &mut Sink::new(&mut take))?;
    Ok(up)
}

/// Has ten thousand guests wait at once, each in an instance of its own, then gives
/// each this answer, with which it must be content; and has a hundred thousand more
/// begin, one after the other.
pub(crate) fn wait_at_once(module: &[u8], answer: &[u8]) {
    let host = Host::new(&Config::default()).unwrap();
    // Fewer where vm.max_map_count is smaller than usual.
    let many = host.stats().most.min(MANY);
    assert!(many > 0);
    let source = Source {
        path: "check.wasm",
        bytes: module,
        pin: None,
        class: Class::Native,
        limits: Limits::DEFAULT,
        runs_per_instance: 1,
        sessions_per_instance: 1,
    };
    let plugin = host.load(&source).unwrap();
    let (before, maps) = (taken(), mappings());
    let mut sessions: Vec<_> = (0..many).map(|_| open(&plugin)).collect();
    for session in &mut sessions {
        assert!(!tell(session, Event::Connected).unwrap());
    }
    assert_eq!(host.stats().live, many);
    let each = [0, 1].map(|it| (taken()[it] - before[it]) / u64::from(many));
    let [resident, tables] = each;
    eprintln!("each: {resident} bytes resident, {tables} of page tables");
    assert!(
        resident + tables <= MOST_BYTES_EACH,
        "{resident} bytes resident each, and {tables} of page tables"
    );
    let maps = mappings() - maps;
    assert!(maps <= 2 * many as usize + 1_000, "{maps} mappings");
    for session in &mut sessions {
        assert!(tell(session, Event::Data(answer)).unwrap());
    }
    drop(sessions);
    // Once all slots have been used, further runs take nothing.
    let after: u64 = taken().iter().sum();
    for _ in 0..100_000 {
        let mut session = open(&plugin);
        tell(&mut session, Event::Connected).unwrap();
    }
    let grown = taken().iter().sum::<u64>().saturating_sub(after);
    assert!(grown < SLACK_BYTES, "{grown} bytes");
    assert_eq!((host.stats().live, host.stats().full), (0, 0));
}
