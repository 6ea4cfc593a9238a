//! What happened lately, worded as Kubernetes words it: `Unhealthy`, a
//! message, how often, first and last time.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use probity_driver::Notice;
use probity_engine::{Outcome, TargetId};
use serde::Serialize;

/// Events of each class that are remembered.
pub const LIMIT: usize = 1_024;

/// Something that happened to a target, any number of times in the same way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// `Warning` or `Normal`.
    #[serde(rename = "type")]
    pub severity: &'static str,
    /// `Unhealthy`, `ProbeWarning`, `ProbeErrored`, `Healthy`, `Down`.
    pub reason: &'static str,
    /// The job of the target.
    pub job: String,
    /// Its `instance` label.
    pub instance: String,
    /// One sentence.
    pub message: String,
    /// How often it was seen.
    pub count: u64,
    /// When it was first seen; Unix seconds.
    pub first: f64,
    /// When it was last seen; Unix seconds.
    pub last: f64,
    /// `3s ago` style is the reader's business; this is `x3 over 20s`, empty
    /// for a single event.
    pub repeated: String,
    #[serde(skip)]
    target: TargetId,
}

/// Who a target is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The job.
    pub job: String,
    /// The `instance` label.
    pub instance: String,
}

/// What happened lately. Changes of health have a ring of their own, so that a
/// fleet full of failing probes does not push them out.
#[derive(Debug, Default)]
pub struct Events {
    results: Ring,
    flips: Ring,
}

/// Events in which repetitions are counted, as the kubelet's recorder does.
#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    /// Sequence number of the first of them.
    first: u64,
    /// Sequence number by what makes two events the same.
    known: HashMap<(TargetId, &'static str, String), u64>,
}

impl Events {
    /// Notes what a run said. `at` is Unix seconds.
    pub fn record(&mut self, notice: &Notice, name: &Name, at: f64) {
        let event = |(severity, reason, message)| Event {
            severity,
            reason,
            job: name.job.clone(),
            instance: name.instance.clone(),
            message,
            count: 1,
            first: at,
            last: at,
            repeated: String::new(),
            target: notice.target,
        };
        if let Some(words) = result(notice) {
            self.results.add(event(words));
        }
        if let Some(words) = flip(notice) {
            self.flips.add(event(words));
        }
    }

    /// The events, the latest first.
    pub fn list(&self) -> Vec<Event> {
        let both = self.flips.events.iter().chain(&self.results.events);
        let mut list: Vec<Event> = both.cloned().collect();
        list.sort_by(|a, b| b.last.total_cmp(&a.last));
        list
    }
}

impl Ring {
    fn add(&mut self, event: Event) {
        let key = (event.target, event.reason, event.message.clone());
        let known = self.known.get(&key);
        let index = known.and_then(|sequence| sequence.checked_sub(self.first));
        if let Some(known) = index.and_then(|index| self.events.get_mut(index as usize)) {
            known.count += 1;
            known.last = event.last;
            known.repeated = format!("x{} over {}", known.count, Age(known.last - known.first));
            return;
        }
        if self.events.len() == LIMIT
            && let Some(oldest) = self.events.pop_front()
        {
            self.known
                .remove(&(oldest.target, oldest.reason, oldest.message));
            self.first += 1;
        }
        self.known
            .insert(key, self.first + self.events.len() as u64);
        self.events.push_back(event);
    }
}

type Words = (&'static str, &'static str, String);

/// `up` or `down`.
pub fn state(up: bool) -> &'static str {
    if up { "up" } else { "down" }
}

/// Durations vary from run to run and would make every event a new one: what
/// is in a message is what stays the same.
fn result(notice: &Notice) -> Option<Words> {
    let (reason, verb) = match notice.outcome {
        Outcome::Success => return None,
        Outcome::Warning(_) => ("ProbeWarning", "warning"),
        Outcome::Failure(_) => ("Unhealthy", "failed"),
        Outcome::Unknown(_) => ("ProbeErrored", "errored"),
    };
    let why = notice.outcome.reason()?;
    let message = format!("Probe {verb}: {why} in {}", notice.phase.name());
    Some(("Warning", reason, message))
}

fn flip(notice: &Notice) -> Option<Words> {
    let flip = notice.transition?;
    let (severity, reason, results) = match flip.to {
        true => ("Normal", "Healthy", "successful"),
        false => ("Warning", "Down", "failed"),
    };
    let state = state(flip.to);
    let message = match flip.run {
        1 => format!("Target is {state} after a {results} probe"),
        run => format!("Target is {state} after {run} {results} probes in a row"),
    };
    Some((severity, reason, message))
}

/// A time span as `kubectl` prints it (apimachinery's `HumanDuration`).
#[derive(Clone, Copy, Debug)]
pub struct Age(pub f64);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::try_from_secs_f64(self.0)
            .unwrap_or_default()
            .as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        let pair = |f: &mut fmt::Formatter<'_>, a: u64, x: char, b: u64, y: char| match b {
            0 => write!(f, "{a}{x}"),
            _ => write!(f, "{a}{x}{b}{y}"),
        };
        match seconds {
            0..120 => write!(f, "{seconds}s"),
            120..600 => pair(f, minutes, 'm', seconds % 60, 's'),
            600..10_800 => write!(f, "{minutes}m"),
            10_800..28_800 => pair(f, hours, 'h', minutes % 60, 'm'),
            28_800..172_800 => write!(f, "{hours}h"),
            172_800..691_200 => pair(f, days, 'd', hours % 24, 'h'),
            691_200..63_072_000 => write!(f, "{days}d"),
            63_072_000..252_288_000 => pair(f, days / 365, 'y', days % 365, 'd'),
            _ => write!(f, "{}y", days / 365),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_engine::threshold::Transition;
    use probity_engine::{Instant, Phase, Reason};

    fn notice(target: u64, outcome: Outcome) -> Notice {
        Notice {
            target: TargetId(target),
            outcome,
            runs: 1,
            detail: "x".into(),
            phase: Phase::Connect,
            at: Instant::ZERO,
            transition: None,
        }
    }

    fn name() -> Name {
        Name {
            job: "web".into(),
            instance: "a:80".into(),
        }
    }

    #[test]
    fn repetitions_are_counted() {
        let mut events = Events::default();
        let refused = Outcome::Failure(Reason::ConnectRefused);
        for at in [100.0, 110.0, 120.0] {
            events.record(&notice(1, refused), &name(), at);
        }
        let list = events.list();
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].reason, "Unhealthy");
        assert_eq!(list[0].message, "Probe failed: connect_refused in connect");
        assert_eq!(
            (list[0].count, list[0].repeated.as_str()),
            (3, "x3 over 20s")
        );
    }

    #[test]
    fn a_flip_is_an_event_of_its_own() {
        let mut events = Events::default();
        let mut down = notice(1, Outcome::Failure(Reason::HttpStatus));
        down.transition = Some(Transition {
            from: Some(true),
            to: false,
            run: 3,
        });
        events.record(&down, &name(), 1.0);
        let mut up = notice(1, Outcome::Success);
        up.transition = Some(Transition {
            from: Some(false),
            to: true,
            run: 1,
        });
        events.record(&up, &name(), 2.0);
        let messages: Vec<_> = events
            .list()
            .into_iter()
            .map(|event| event.message)
            .collect();
        assert_eq!(messages[0], "Target is up after a successful probe");
        assert!(messages.contains(&"Target is down after 3 failed probes in a row".to_owned()));
    }

    #[test]
    fn the_ring_is_bounded_and_forgets_the_oldest() {
        let mut events = Events::default();
        for target in 0..(LIMIT as u64 + 10) {
            let outcome = Outcome::Failure(Reason::HttpStatus);
            events.record(&notice(target, outcome), &name(), target as f64);
        }
        assert_eq!(events.results.events.len(), LIMIT);
        assert_eq!(events.results.known.len(), LIMIT);
        // One that was forgotten starts anew, one that was not is counted.
        events.record(
            &notice(0, Outcome::Failure(Reason::HttpStatus)),
            &name(),
            2e4,
        );
        let last = LIMIT as u64 + 9;
        events.record(
            &notice(last, Outcome::Failure(Reason::HttpStatus)),
            &name(),
            3e4,
        );
        let list = events.list();
        assert_eq!((list[0].target, list[0].count), (TargetId(last), 2));
        assert_eq!((list[1].target, list[1].count), (TargetId(0), 1));
    }

    #[test]
    fn failures_do_not_push_out_changes_of_health() {
        let mut events = Events::default();
        let mut down = notice(1, Outcome::Failure(Reason::HttpStatus));
        down.transition = Some(Transition {
            from: Some(true),
            to: false,
            run: 3,
        });
        events.record(&down, &name(), 1.0);
        for target in 0..(LIMIT as u64 * 2) {
            let outcome = Outcome::Failure(Reason::HttpStatus);
            events.record(&notice(target, outcome), &name(), 2.0);
        }
        assert!(events.list().iter().any(|event| event.reason == "Down"));
    }

    #[test]
    fn ages_read_as_in_kubectl() {
        for (seconds, text) in [
            (0.0, "0s"),
            (-1.0, "0s"),
            (119.0, "119s"),
            (120.0, "2m"),
            (150.0, "2m30s"),
            (700.0, "11m"),
            (10_860.0, "3h1m"),
            (100_000.0, "27h"),
            (200_000.0, "2d7h"),
        ] {
            assert_eq!(Age(seconds).to_string(), text);
        }
    }
}
