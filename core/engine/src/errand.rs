//! What a run needs that may take longer than whoever drives the engine should be kept from
//! its sockets for: it is done elsewhere, and the answer comes later.

use alloc::boxed::Box;
use core::any::Any;
use core::fmt::Debug;

use crate::time::Instant;

/// What is to be done. It knows what it needs, and keeps what comes of it.
pub(crate) trait Task: Any + Debug + Send {
    /// Does it. It has an end.
    fn run(&mut self);
}

/// Something that a run wants done elsewhere. See
/// [`Engine::poll_errand`](crate::Engine::poll_errand).
#[derive(Debug)]
pub struct Errand(Box<dyn Task>);

impl Errand {
    pub(crate) fn new(task: impl Task) -> Self {
        Self(Box::new(task))
    }

    /// Does it, on a thread that may be kept busy for a while: some milliseconds as a
    /// rule, a second or more at worst. Once is enough.
    pub fn run(&mut self) {
        self.0.run();
    }

    /// What it was made of.
    fn into_task<T: Task>(self) -> Option<Box<T>> {
        let task: Box<dyn Any> = self.0;
        task.downcast().ok()
    }
}

/// An errand that was given out: since when, and what came of it once that is known.
#[derive(Debug)]
pub(crate) struct Away {
    pub(crate) since: Instant,
    pub(crate) answer: Option<Errand>,
}

impl Away {
    /// What came of it, if the run is to be told of that now.
    pub(crate) fn take<T: Task>(away: &mut Option<Box<Self>>) -> Option<Box<T>> {
        let back = away.take_if(|away| away.answer.is_some())?;
        back.answer?.into_task()
    }
}
