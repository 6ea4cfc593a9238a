//! The one place where the data plane's handle meets tokio.
//!
//! The driver answers through callbacks on its worker threads; here they become
//! futures. Whatever blocks (a full inbox, a join) goes to a blocking thread.

use std::time::Duration;

use probity_driver::{Change, Fleet, FleetQuery, Handle, Once, OwnedReport, Stats, Ticket};
use tokio::sync::oneshot;

/// The driver does not answer: its inbox is full, or it has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            "the prober is about to end, or has so much to do that it takes no more: look at \
             probity_start_lag_seconds, and give it more processors or less to do",
        )
    }
}

impl std::error::Error for Unavailable {}

/// The driver, seen from tokio.
#[derive(Clone, Debug)]
pub struct Bridge {
    handle: Handle,
}

impl Bridge {
    /// A view of this driver.
    pub const fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// The driver itself.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// One run outside any schedule. If whoever waits for it goes, it ends.
    ///
    /// # Errors
    /// If the driver takes no more work.
    pub async fn run_once(&self, once: Once) -> Result<OwnedReport, Unavailable> {
        let (send, receive) = oneshot::channel();
        let ticket = self
            .handle
            .run_once(once, move |report| {
                // Nobody waits any more if the client has gone.
                let _ = send.send(report);
            })
            .map_err(|_| Unavailable)?;
        let mut waiting = Waiting {
            handle: &self.handle,
            ticket: Some(ticket),
        };
        let report = receive.await.map_err(|_| Unavailable);
        waiting.ticket = None;
        report
    }

    /// A copy of the fleet's state.
    ///
    /// # Errors
    /// If the driver takes no more work, or stops before all of it is copied.
    pub async fn fleet(&self, query: FleetQuery) -> Result<Fleet, Unavailable> {
        let (send, receive) = oneshot::channel();
        self.handle
            .fleet(query, move |fleet| {
                let _ = send.send(fleet);
            })
            .map_err(|_| Unavailable)?;
        let fleet = receive.await.map_err(|_| Unavailable)?;
        whole(fleet.complete, fleet)
    }

    /// The driver's own figures.
    ///
    /// # Errors
    /// As for [`Bridge::fleet`].
    pub async fn stats(&self) -> Result<Stats, Unavailable> {
        let (send, receive) = oneshot::channel();
        self.handle
            .stats(move |stats| {
                let _ = send.send(stats);
            })
            .map_err(|_| Unavailable)?;
        let stats = receive.await.map_err(|_| Unavailable)?;
        whole(stats.complete, stats)
    }

    /// Applies a delta; waits for room.
    ///
    /// # Errors
    /// If the driver has stopped.
    pub async fn apply(&self, changes: Vec<Change>) -> Result<(), Unavailable> {
        let handle = self.handle.clone();
        tokio::task::spawn_blocking(move || handle.apply(changes))
            .await
            .map_err(|_| Unavailable)?
            .map_err(|_| Unavailable)
    }

    /// Ends all runs within `grace`, then the workers.
    pub async fn shutdown(&self, grace: Duration) {
        let handle = self.handle.clone();
        let stop = tokio::task::spawn_blocking(move || handle.shutdown(grace));
        // A join error is a panic of ours that was already printed.
        let _ = stop.await;
    }
}

/// A copy of which a worker's part is missing is none: who scrapes would take
/// the other targets for gone, and counters for reset.
fn whole<T>(complete: bool, copy: T) -> Result<T, Unavailable> {
    complete.then_some(copy).ok_or(Unavailable)
}

/// Cancels the run if it is dropped while there is a ticket.
struct Waiting<'h> {
    handle: &'h Handle,
    ticket: Option<Ticket>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.handle.cancel(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_driver::{Config, Driver};

    /// Workers that stop while they are asked give a part or nothing; either
    /// way the answer is all targets or none.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn parts_of_a_copy_are_not_served_as_all_of_it() {
        assert_eq!(whole(false, ()), Err(Unavailable));
        for _ in 0..20 {
            let handle = Driver::start(Config {
                workers: 2,
                in_flight: 16,
                ..Config::default()
            })
            .unwrap();
            let bridge = Bridge::new(handle);
            let stop = {
                let bridge = bridge.clone();
                tokio::spawn(async move { bridge.shutdown(Duration::ZERO).await })
            };
            loop {
                match bridge.stats().await {
                    Ok(stats) => assert_eq!(stats.workers.len(), 2),
                    Err(Unavailable) if stop.is_finished() => break,
                    Err(Unavailable) => tokio::task::yield_now().await,
                }
            }
        }
    }
}
