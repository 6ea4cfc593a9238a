//! Ten thousand guests at once, in a process of their own: what they take of it.

#[path = "guests/guest.rs"]
mod guest;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use probity_engine::guest::{
    Action, Context, Event, Fault, Limits, Plugin, Session, Sink, Source, Verdict,
};
use probity_wasm::{Config, Host};

use guest::Guest;

const MANY: u32 = 10_000;
/// Resident memory and page tables, of the process, for each.
const MOST_BYTES_EACH: u64 = 32 << 10;
/// What the pool and the allocator may take on top of that, whatever the number.
const SLACK_BYTES: u64 = 16 << 20;

/// A number of `/proc/self/status`, in KiB.
fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn taken() -> u64 {
    (status("VmRSS:") + status("VmPTE:")) << 10
}

fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .count()
}

fn open(plugin: &Arc<dyn Plugin>) -> Box<dyn Session> {
    let context = Context {
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

#[test]
fn ten_thousand_wait_at_once_and_all_are_answered() {
    let host = Host::new(&Config::default()).unwrap();
    // Fewer where vm.max_map_count is smaller than usual.
    let many = host.stats().most.min(MANY);
    assert!(many > 0);
    let module = Guest::default().module();
    let source = Source {
        path: "toy.wasm",
        bytes: &module,
        pin: None,
        limits: Limits::DEFAULT,
        runs_per_instance: 1,
    };
    let plugin = host.load(&source).unwrap();
    let (bytes, maps) = (taken(), mappings());
    let mut sessions: Vec<_> = (0..many).map(|_| open(&plugin)).collect();
    for session in &mut sessions {
        assert!(!tell(session, Event::Connected).unwrap());
    }
    assert_eq!(host.stats().live, many);
    let each = taken().saturating_sub(bytes + SLACK_BYTES) / u64::from(many);
    assert!(each <= MOST_BYTES_EACH, "{each} bytes each");
    let maps = mappings() - maps;
    assert!(maps <= 2 * many as usize + 1_000, "{maps} mappings");
    for session in &mut sessions {
        assert!(tell(session, Event::Data(b"me")).unwrap());
    }
    drop(sessions);
    // Once all slots have been used, further runs take nothing.
    let after = taken();
    for _ in 0..100_000 {
        let mut session = open(&plugin);
        tell(&mut session, Event::Connected).unwrap();
    }
    let grown = taken().saturating_sub(after);
    assert!(grown < SLACK_BYTES, "{grown} bytes");
    assert_eq!((host.stats().live, host.stats().full), (0, 0));
}
