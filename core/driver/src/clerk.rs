//! The thread that puts together what the workers have copied.
//!
//! Sorting the rows of a large fleet takes longer than a worker may be away
//! from its sockets, and so may a callback that renders them.

use std::io;
use std::sync::mpsc::{self, SendError, Sender};
use std::thread::{self, JoinHandle};

use crate::inbox::mark_thread;
use crate::report::guarded;

type Task = Box<dyn FnOnce() + Send>;

/// Gives work to the clerk.
#[derive(Clone, Debug)]
pub(crate) struct Clerk(Sender<Option<Task>>);

impl Clerk {
    pub(crate) fn start() -> io::Result<(Self, JoinHandle<()>)> {
        let (sender, tasks) = mpsc::channel::<Option<Task>>();
        let thread = thread::Builder::new()
            .name("probity-clerk".into())
            .spawn(move || {
                mark_thread();
                while let Ok(Some(task)) = tasks.recv() {
                    guarded(task);
                }
            })?;
        Ok((Self(sender), thread))
    }

    /// Does `task` soon; if the clerk has stopped, here and now.
    pub(crate) fn run(&self, task: impl FnOnce() + Send + 'static) {
        if let Err(SendError(Some(task))) = self.0.send(Some(Box::new(task))) {
            guarded(task);
        }
    }

    /// Ends the thread when it has done what it was given before.
    pub(crate) fn stop(&self) {
        // It has ended already: that is what is wanted.
        let _ = self.0.send(None);
    }
}
