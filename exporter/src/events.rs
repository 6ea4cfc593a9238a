//! What happened lately, worded as Kubernetes words it: `Unhealthy`, a
//! message, how often, first and last time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::time::Duration;

use probity_driver::Notice;
use probity_engine::{Outcome, TargetId};
use serde::Serialize;

/// Events of each class that are remembered.
pub const LIMIT: usize = 1_024;
/// Events of each class that are remembered to have been forgotten.
const FORGOTTEN: usize = 16 * LIMIT;

/// Something that happened to a target, any number of times in the same way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Number of its last occurrence: every one, of any target, has a higher
    /// one than those before it.
    pub sequence: u64,
    /// `Warning` or `Normal`.
    #[serde(rename = "type")]
    pub severity: &'static str,
    /// `Unhealthy`, `ProbeWarning`, `ProbeErrored`, `Healthy`, `Down`.
    pub reason: &'static str,
    /// The job of the target.
    pub job: String,
    /// Its `instance` label.
    pub instance: String,
    /// What happened, in words that stay the same from run to run.
    pub message: String,
    /// The last run's own sentence, as `/api/v1/targets` has it: what was found
    /// where; empty after a plain success.
    pub detail: String,
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
    /// See [`Event::sequence`].
    latest: u64,
    /// Events of this process have higher numbers.
    start: u64,
}

/// Events in which repetitions are counted, as the kubelet's recorder does.
#[derive(Debug, Default)]
struct Ring {
    /// By sequence number: what was not seen for longest comes first.
    events: BTreeMap<u64, Event>,
    /// Sequence number by what makes two events the same.
    known: HashMap<(TargetId, &'static str, String), u64>,
    /// Sequence numbers of the latest that were forgotten, in order.
    forgotten: VecDeque<u64>,
}

/// Where in the events somebody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The latest first, without the first so many.
    Latest(usize),
    /// In order, what happened after the event of this sequence number.
    Since(u64),
}

/// Some of the events.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page {
    /// How many there are to be read from the place on, on all pages.
    pub total: usize,
    /// Where to go on: [`Place::Since`].
    pub next: u64,
    /// Events, of any job, that were forgotten between the place and `next`.
    /// Only the last 16,384 of each class are counted. `None` if nobody knows:
    /// the place is of another process.
    pub lost: Option<usize>,
    /// The events.
    pub events: Vec<Event>,
}

impl Events {
    /// Numbers events from the microsecond in which the process starts, so
    /// that numbers also go up from one process to the next.
    pub fn starting_at(unix_seconds: f64) -> Self {
        let start = (unix_seconds * 1e6) as u64;
        Self {
            latest: start,
            start,
            ..Self::default()
        }
    }

    /// Notes what a run said. `at` is Unix seconds.
    pub fn record(&mut self, notice: &Notice, name: &Name, at: f64) {
        let event = |sequence, (severity, reason, message)| Event {
            sequence,
            severity,
            reason,
            job: name.job.clone(),
            instance: name.instance.clone(),
            message,
            detail: notice.detail.to_string(),
            count: 1,
            first: at,
            last: at,
            repeated: String::new(),
            target: notice.target,
        };
        if let Some(words) = result(notice) {
            self.latest += 1;
            self.results.add(event(self.latest, words));
        }
        if let Some(words) = flip(notice) {
            self.latest += 1;
            self.flips.add(event(self.latest, words));
        }
    }

    /// Whether there are events of a job.
    pub fn know_job(&self, job: &str) -> bool {
        let mut both = self
            .flips
            .events
            .values()
            .chain(self.results.events.values());
        both.any(|event| event.job == job)
    }

    /// At most `limit` events, of one job if it is given.
    ///
    /// A place of another process, earlier or later (a clock was set back), is
    /// before the first event of this one.
    pub fn page(&self, job: Option<&str>, place: Place, limit: usize) -> Page {
        let (since, is_ours) = match place {
            Place::Latest(_) | Place::Since(0) => (0, true),
            Place::Since(since) if (self.start..=self.latest).contains(&since) => (since, true),
            Place::Since(_) => (0, false),
        };
        let after = (Bound::Excluded(since), Bound::Unbounded);
        let rings = [&self.flips, &self.results];
        let mut found: Vec<&Event> = rings
            .iter()
            .flat_map(|ring| ring.events.range(after))
            .map(|(_, event)| event)
            .filter(|event| job.is_none_or(|job| event.job == job))
            .collect();
        found.sort_unstable_by_key(|event| event.sequence);
        let total = found.len();
        let mut next = self.latest;
        match place {
            Place::Latest(offset) => {
                found.reverse();
                found.drain(..offset.min(total));
                found.truncate(limit);
            }
            Place::Since(_) => {
                found.truncate(limit);
                if found.len() < total {
                    next = found.last().map_or(since, |event| event.sequence);
                }
            }
        }
        Page {
            total,
            next,
            lost: is_ours.then(|| rings.iter().map(|ring| ring.lost(since, next)).sum()),
            events: found.into_iter().cloned().collect(),
        }
    }
}

impl Ring {
    fn add(&mut self, event: Event) {
        let sequence = event.sequence;
        let key = (event.target, event.reason, event.message.clone());
        let known = self.known.get(&key).and_then(|at| self.events.remove(at));
        let event = match known {
            Some(mut known) => {
                known.sequence = sequence;
                known.count += 1;
                known.last = event.last;
                known.detail = event.detail;
                known.repeated = format!("x{} over {}", known.count, Age(known.last - known.first));
                known
            }
            None => {
                self.make_room();
                event
            }
        };
        self.known.insert(key, sequence);
        self.events.insert(sequence, event);
    }

    fn make_room(&mut self) {
        if self.events.len() < LIMIT {
            return;
        }
        if let Some((sequence, oldest)) = self.events.pop_first() {
            self.known
                .remove(&(oldest.target, oldest.reason, oldest.message));
            if self.forgotten.len() == FORGOTTEN {
                self.forgotten.pop_front();
            }
            self.forgotten.push_back(sequence);
        }
    }

    /// How many were forgotten after `since` and up to `until`.
    fn lost(&self, since: u64, until: u64) -> usize {
        let up_to = |end: u64| self.forgotten.partition_point(|sequence| *sequence <= end);
        up_to(until).saturating_sub(up_to(since))
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

    /// All, the latest first.
    fn list(events: &Events) -> Vec<Event> {
        events.page(None, Place::Latest(0), usize::MAX).events
    }

    fn fail(events: &mut Events, target: u64) {
        let outcome = Outcome::Failure(Reason::HttpStatus);
        events.record(&notice(target, outcome), &name(), 1.0);
    }

    #[test]
    fn pages_follow_each_other_and_what_is_repeated_comes_again() {
        let mut events = Events::starting_at(1.0);
        assert_eq!(events.latest, 1_000_000);
        for target in 0..5 {
            fail(&mut events, target);
        }
        let targets =
            |page: &Page| -> Vec<u64> { page.events.iter().map(|event| event.target.0).collect() };
        let page = events.page(None, Place::Since(0), 2);
        assert_eq!((page.total, targets(&page)), (5, vec![0, 1]));
        let page = events.page(None, Place::Since(page.next), 2);
        assert_eq!((page.total, targets(&page)), (3, vec![2, 3]));
        fail(&mut events, 0);
        let page = events.page(None, Place::Since(page.next), 2);
        assert_eq!(targets(&page), [4, 0]);
        assert_eq!((page.next, page.lost), (events.latest, Some(0)));
        let page = events.page(None, Place::Since(page.next), 2);
        assert_eq!((page.total, page.next), (0, events.latest));
        // Places of other processes, before and after this one.
        for place in [7, 99_000_000] {
            let nothing = events.page(None, Place::Since(place), 0);
            assert_eq!((nothing.total, nothing.next, nothing.lost), (5, 0, None));
            let page = events.page(None, Place::Since(place), 9);
            assert_eq!((page.next, page.lost), (events.latest, None));
        }

        let page = events.page(None, Place::Latest(1), 2);
        assert_eq!((page.total, targets(&page)), (5, vec![4, 3]));
        assert_eq!(page.next, events.latest);
        assert_eq!(events.page(None, Place::Latest(9), 2).events, []);
        assert_eq!(events.page(Some("other"), Place::Since(0), 9).total, 0);
        assert_eq!(events.page(Some("web"), Place::Since(0), 9).total, 5);
        assert!(events.know_job("web") && !events.know_job("other"));
    }

    #[test]
    fn what_was_forgotten_before_it_was_read_is_counted() {
        let mut events = Events::default();
        for target in 0..LIMIT as u64 {
            fail(&mut events, target);
        }
        // Those up to 3 have been read.
        for target in 0..10 {
            fail(&mut events, LIMIT as u64 + target);
        }
        let page = events.page(None, Place::Since(3), 1);
        assert_eq!((page.events[0].sequence, page.lost), (11, Some(7)));
        assert_eq!(events.page(None, Place::Since(page.next), 1).lost, Some(0));
        // Seen again, and so the last to be forgotten.
        fail(&mut events, 10);
        fail(&mut events, 5_000);
        let kept = list(&events);
        assert!(kept.iter().any(|event| event.target == TargetId(10)));
        assert!(!kept.iter().any(|event| event.target == TargetId(11)));
    }

    #[test]
    fn repetitions_are_counted() {
        let mut events = Events::default();
        let refused = Outcome::Failure(Reason::ConnectRefused);
        for at in [100.0, 110.0, 120.0] {
            let mut notice = notice(1, refused);
            notice.detail = format!("refused after {at} us").into();
            events.record(&notice, &name(), at);
        }
        let list = list(&events);
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].reason, "Unhealthy");
        assert_eq!(list[0].message, "Probe failed: connect_refused in connect");
        assert_eq!(list[0].detail, "refused after 120 us");
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
        let messages: Vec<_> = list(&events)
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
        let list = list(&events);
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
        assert!(list(&events).iter().any(|event| event.reason == "Down"));
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
