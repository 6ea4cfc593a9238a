//! What single probes say to the log: failures, and more if it is wanted.
//!
//! A thread of its own writes the lines. Whoever reads the log may be slow, and
//! neither the one who asked nor the runtime should wait for that.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use probity_engine::{Instant, Level};

use crate::cli::log::PROBES;
use crate::history::Record;
use crate::render::probe::{Line, lines};

/// Runs whose lines wait to be written. Those beyond are not logged.
const WAITING: usize = 1_024;

/// The way to the log.
#[derive(Debug)]
pub struct Journal {
    /// Lowest level that is of interest.
    level: Level,
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    send: SyncSender<Arc<Record>>,
    writer: JoinHandle<()>,
}

impl Journal {
    /// Starts the thread. Without room for one nothing is logged of probes.
    /// `unix_time` is that of an instant of a run, in seconds.
    pub fn start(level: Level, unix_time: impl Fn(Instant) -> f64 + Send + 'static) -> Self {
        let (send, receive) = mpsc::sync_channel(WAITING);
        let writer = thread::Builder::new().name("probe-log".into());
        let writer = writer.spawn(move || write_all(&receive, &unix_time));
        Self {
            level,
            state: Mutex::new(writer.ok().map(|writer| State { send, writer })),
        }
    }

    /// Lowest level that is of interest.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Logs what a run has to say. `false` if there was no room.
    pub fn note(&self, record: &Arc<Record>) -> bool {
        if !lines(&record.probed).any(|line| line.level >= self.level) {
            return true;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = state
            .as_ref()
            .map(|it| it.send.try_send(Arc::clone(record)));
        sent.is_some_and(|sent| sent.is_ok())
    }

    /// Writes what waits, and nothing from then on. Blocks.
    pub fn close(&self) {
        let state = self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(State { send, writer }) = state {
            drop(send);
            // A panic was printed when it happened.
            let _ = writer.join();
        }
    }
}

fn write_all(records: &Receiver<Arc<Record>>, unix_time: &impl Fn(Instant) -> f64) {
    while let Ok(record) = records.recv() {
        let (module, target) = (&*record.probed.module, &*record.probed.target);
        for line in lines(&record.probed) {
            write(module, target, &line, unix_time(line.at));
        }
    }
}

/// The log's own filter drops what is below the level of the prober. It is
/// written when the run is over, and says when it happened.
fn write(module: &str, target: &str, line: &Line<'_>, happened_at: f64) {
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: PROBES,
                $level,
                happened_at,
                module,
                target,
                timeout_seconds = line.timeout_seconds,
                duration_seconds = line.duration_seconds,
                reason = line.reason,
                phase = line.phase,
                detail = line.detail,
                "{}",
                line.message
            )
        };
    }
    match line.level {
        Level::Debug => event!(tracing::Level::DEBUG),
        Level::Info => event!(tracing::Level::INFO),
        Level::Warn => event!(tracing::Level::WARN),
        Level::Error => event!(tracing::Level::ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::log::{Sink, logged};
    use crate::history::History;
    use crate::render::bench::{self, Event};
    use crate::render::probe;
    use probity_engine::Closed;

    /// The lines of a run that took a while, at the times of its steps and not
    /// at the one at which somebody had the time to write them.
    #[test]
    fn lines_have_the_times_of_what_they_tell() {
        let report = bench::http(&[
            (1_500_000, Event::Opened),
            (2_000_000, Event::Closed(Closed::Reset)),
        ]);
        let probed = bench::probed(report);
        let unix_time = |at: Instant| 1.7e9 + at.as_nanos() as f64 / 1e9;
        let page = probe::debug(&probed, Level::Debug, unix_time);
        let (send, receive) = mpsc::channel();
        send.send(History::new(1).add(probed)).unwrap();
        drop(send);
        let sink = Sink::default();
        logged(&sink, || write_all(&receive, &unix_time));
        let text = sink.text();
        let seconds = |line: &str| -> f64 {
            let (_, rest) = line.split_once(":13:").unwrap_or_else(|| panic!("{line}"));
            rest.split_once('Z').unwrap().0.parse().unwrap()
        };
        let times: Vec<f64> = text.lines().map(seconds).collect();
        let (first, last) = (times[0], times[times.len() - 1]);
        assert!(times.len() > 2 && times.is_sorted(), "{text}");
        assert!((last - first - 3.5).abs() < 1e-5, "{text}");
        assert!(
            times.iter().any(|time| (time - first - 1.5).abs() < 1e-5),
            "{text}"
        );
        assert!(!text.contains("happened_at"), "{text}");
        // The page has the same lines at the same times, to the millisecond.
        let (logs, _) = page.split_once("\n\n\n").unwrap();
        let shown: Vec<f64> = logs.lines().skip(1).map(seconds).collect();
        assert_eq!(shown.len(), times.len(), "{page}");
        for (shown, time) in shown.iter().zip(&times) {
            assert!(
                (0.0..0.001).contains(&(time - shown + 1e-9)),
                "{page}{text}"
            );
        }
    }
}
