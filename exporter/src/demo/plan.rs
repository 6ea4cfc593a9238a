//! Which targets the demo has, as the text of a configuration file.
//!
//! | share | label `behaviour` | what it does |
//! | ----- | ----------------- | ------------ |
//! | 94 %  | `healthy`         | answers at once |
//! | 1 %   | `slow`            | answers after 50 to 300 ms |
//! | 1 %   | `flapping`        | answers 503 half of the time, some runs in a row |
//! | 1 %   | `unavailable`     | answers 503 |
//! | 1 %   | `refusing`        | its port has no listener |
//! | 2 %   | `plain`           | accepts TCP connections (job `tcp`) |
//!
//! What a target does is in its path (`/slow/120/7`: target 7, after 120 ms),
//! so the server keeps no list, and a person sees it in every label.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// A target's behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Behaviour {
    Healthy,
    Slow,
    Flapping,
    Unavailable,
    Refusing,
    Plain,
}

impl Behaviour {
    const ALL: [Self; 6] = [
        Self::Healthy,
        Self::Slow,
        Self::Flapping,
        Self::Unavailable,
        Self::Refusing,
        Self::Plain,
    ];

    /// Of every hundred targets.
    const fn of(number: u32) -> Self {
        match number % 100 {
            10 => Self::Slow,
            30 => Self::Flapping,
            50 => Self::Unavailable,
            70 => Self::Refusing,
            90 | 99 => Self::Plain,
            _ => Self::Healthy,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Slow => "slow",
            Self::Flapping => "flapping",
            Self::Unavailable => "unavailable",
            Self::Refusing => "refusing",
            Self::Plain => "plain",
        }
    }
}

/// The addresses that the server listens on: `127.77.0.1`, `127.77.0.2`, ...,
/// all within 127.0.0.0/8, which reaches no network.
///
/// Many addresses, because a destination has only about 28,000 source ports
/// and each is taken for a minute after a connection; not one for each target,
/// because each costs a descriptor. TCP targets have no path to tell them
/// apart, so there are as many addresses as those need.
pub(super) fn addresses(targets: u32) -> impl Iterator<Item = Ipv4Addr> {
    let count = (targets / 50 + 2).clamp(256, 4_096);
    (0..count).map(|n| Ipv4Addr::new(127, 77, (n / 250) as u8, (n % 250) as u8 + 1))
}

/// What is needed to name every target.
#[derive(Debug)]
pub(super) struct Places {
    /// Where the server listens.
    pub(super) listening: Vec<SocketAddrV4>,
    /// Where nobody does.
    pub(super) refusing: SocketAddrV4,
}

/// The configuration file of a demo.
pub(super) fn text(targets: u32, interval: Duration, places: &Places) -> String {
    let millis = interval.as_millis().max(1);
    // Without modules of its own: the usual ones are there, for /probe too.
    let mut text = String::from("jobs:\n");
    for (job, module) in [("web", "http_2xx"), ("tcp", "tcp_connect")] {
        let of_job = |behaviour| (behaviour == Behaviour::Plain) == (job == "tcp");
        let groups = Behaviour::ALL.into_iter().filter(|it| of_job(*it));
        let groups = groups.map(|it| (it, members(it, targets)));
        let groups: Vec<_> = groups.filter(|(_, members)| !members.is_empty()).collect();
        if groups.is_empty() {
            continue;
        }
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "- job_name: {job}\n  module: {module}\n  interval: {millis}ms\n  failure_threshold: 3\n  static_configs:\n"
        );
        for (behaviour, members) in groups {
            let name = behaviour.name();
            let _ = write!(text, "  - labels: {{behaviour: {name}}}\n    targets:\n");
            for number in members {
                let target = target(number, behaviour, interval, places);
                let _ = writeln!(text, "    - \"{target}\"");
            }
        }
    }
    text
}

fn members(behaviour: Behaviour, targets: u32) -> Vec<u32> {
    (0..targets)
        .filter(|n| Behaviour::of(*n) == behaviour)
        .collect()
}

fn target(number: u32, behaviour: Behaviour, interval: Duration, places: &Places) -> String {
    let address = |n: u32| places.listening[n as usize % places.listening.len()];
    let at = address(number);
    match behaviour {
        Behaviour::Healthy => format!("http://{at}/ok/{number}"),
        Behaviour::Slow => {
            // Never so slow that it would not be in time.
            let most = (interval.as_millis() / 2).clamp(1, 300) as u32;
            let delay = (50 + number.wrapping_mul(2_654_435_761) % 251).min(most);
            format!("http://{at}/slow/{delay}/{number}")
        }
        Behaviour::Flapping => format!("http://{at}/flapping/{number}"),
        Behaviour::Unavailable => format!("http://{at}/503/{number}"),
        Behaviour::Refusing => format!("http://{}/refused/{number}", places.refusing),
        // Two of a hundred: number them without gaps.
        Behaviour::Plain => address(number / 100 * 2 + number % 100 / 99).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    use probity_engine::config::NoFiles;
    use probity_spec::{File, Fleet, Groups};

    fn places(targets: u32) -> Places {
        let at = |address| SocketAddrV4::new(address, 8_000);
        Places {
            listening: addresses(targets).map(at).collect(),
            refusing: SocketAddrV4::new(Ipv4Addr::new(127, 77, 0, 1), 8_001),
        }
    }

    #[test]
    fn addresses_are_loopback_and_distinct() {
        for targets in [1, 10_000, 200_000] {
            let all: BTreeSet<Ipv4Addr> = addresses(targets).collect();
            assert_eq!(all.len(), addresses(targets).count());
            assert!(all.iter().all(Ipv4Addr::is_loopback));
            assert!(all.len() <= 4_096, "descriptors are few");
        }
    }

    #[test]
    fn the_plan_is_a_valid_file_with_every_target_once() {
        for targets in [1, 11, 100, 12_345] {
            let interval = Duration::from_secs(1);
            let text = text(targets, interval, &places(targets));
            let file = File::parse("demo", &text, &NoFiles).unwrap();
            let fleet = Fleet::build(file.jobs(), &BTreeMap::new(), &mut Groups::default());
            assert_eq!(fleet.targets.len(), targets as usize, "of {targets}");
            assert!(fleet.dropped.is_empty());
        }
    }

    #[test]
    fn most_are_healthy_and_every_behaviour_is_there() {
        let mut counts = BTreeMap::new();
        for number in 0..10_000 {
            *counts.entry(Behaviour::of(number)).or_insert(0) += 1;
        }
        assert_eq!(counts[&Behaviour::Healthy], 9_400);
        assert_eq!(counts[&Behaviour::Plain], 200);
        for behaviour in Behaviour::ALL {
            assert!(counts[&behaviour] >= 100, "{behaviour:?}");
        }
    }

    #[test]
    fn slow_targets_are_in_time() {
        let places = places(1_000);
        for interval in [20, 200, 1_000, 60_000] {
            let interval = Duration::from_millis(interval);
            for number in members(Behaviour::Slow, 1_000) {
                let target = target(number, Behaviour::Slow, interval, &places);
                let delay: u64 = target.split('/').nth(4).unwrap().parse().unwrap();
                assert!(Duration::from_millis(delay) <= interval / 2, "{target}");
                assert!(delay <= 300, "{target}");
            }
        }
    }
}
