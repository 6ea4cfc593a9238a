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
        f.write_str("the prober is overloaded or shutting down")
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
    /// If the driver takes no more work.
    pub async fn fleet(&self, query: FleetQuery) -> Result<Fleet, Unavailable> {
        let (send, receive) = oneshot::channel();
        self.handle
            .fleet(query, move |fleet| {
                let _ = send.send(fleet);
            })
            .map_err(|_| Unavailable)?;
        receive.await.map_err(|_| Unavailable)
    }

    /// The driver's own figures.
    ///
    /// # Errors
    /// If the driver takes no more work.
    pub async fn stats(&self) -> Result<Stats, Unavailable> {
        let (send, receive) = oneshot::channel();
        self.handle
            .stats(move |stats| {
                let _ = send.send(stats);
            })
            .map_err(|_| Unavailable)?;
        receive.await.map_err(|_| Unavailable)
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
