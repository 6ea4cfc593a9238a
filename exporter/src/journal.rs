//! What single probes say to the log: failures, and more if it is wanted.
//!
//! A thread of its own writes the lines. Whoever reads the log may be slow, and
//! neither the one who asked nor the runtime should wait for that.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use probity_engine::Level;

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
    pub fn start(level: Level) -> Self {
        let (send, receive) = mpsc::sync_channel(WAITING);
        let writer = thread::Builder::new().name("probe-log".into());
        let writer = writer.spawn(move || write_all(&receive));
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

fn write_all(records: &Receiver<Arc<Record>>) {
    while let Ok(record) = records.recv() {
        let (module, target) = (&*record.probed.module, &*record.probed.target);
        for line in lines(&record.probed) {
            write(module, target, &line);
        }
    }
}

/// The log's own filter drops what is below the level of the prober.
fn write(module: &str, target: &str, line: &Line<'_>) {
    macro_rules! event {
        ($level:expr) => {
            tracing::event!(
                target: PROBES,
                $level,
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
