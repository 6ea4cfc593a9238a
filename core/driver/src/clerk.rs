//! The thread that puts together what the workers have copied.
//!
//! Sorting the rows of a large fleet takes longer than a worker may be away
//! from its sockets, and so may a callback that renders them.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use crate::inbox::mark_thread;
use crate::report::guarded;

/// Something to be done, which is when this is let go at the latest: what comes while
/// the clerk ends is left in the channel.
struct Task(Option<Box<dyn FnOnce() + Send>>);

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            guarded(task);
        }
    }
}

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
                    drop(task);
                }
            })?;
        Ok((Self(sender), thread))
    }

    /// Does `task` soon; if the clerk has stopped, here and now.
    pub(crate) fn run(&self, task: impl FnOnce() + Send + 'static) {
        // What is not taken comes back, and is let go.
        let _ = self.0.send(Some(Task(Some(Box::new(task)))));
    }

    /// Ends the thread when it has done what it was given before.
    pub(crate) fn stop(&self) {
        // It has ended already: that is what is wanted.
        let _ = self.0.send(None);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn what_comes_while_it_ends_is_done_as_well() {
        const TASKS: usize = 50;
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..400 {
            done.store(0, Ordering::SeqCst);
            let (clerk, thread) = Clerk::start().expect("a thread");
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..TASKS {
                            let done = Arc::clone(&done);
                            clerk.run(move || {
                                done.fetch_add(1, Ordering::SeqCst);
                            });
                        }
                    });
                }
                clerk.stop();
            });
            thread.join().expect("it ends");
            assert_eq!(done.load(Ordering::SeqCst), 2 * TASKS);
        }
    }
}
