//! What a server does, step by step.

use std::sync::Arc;
use std::time::Duration;

use super::{Reaction, Then};
use crate::payload::Payload;

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// Send all of it at once.
    Send(Payload),
    /// Send it a byte at a time.
    Drip(Payload, Duration),
    /// Send it again and again, for ever.
    Flood(Payload, Duration),
    /// Do nothing for a while.
    Pause(Duration),
    /// Close in order. What was sent before arrives.
    Close,
    /// Reset the connection.
    Reset,
    /// Do nothing any more, and listen to nothing.
    Hold,
}

/// Steps, in order. After the last one the server waits: an HTTP server for
/// the next request, another one for ever.
#[derive(Clone, Debug)]
pub struct Script(Arc<[Step]>);

impl Script {
    /// These steps.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self(steps.into_iter().collect())
    }

    /// Whether the server never does anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A script that is being followed.
#[derive(Debug)]
pub(crate) struct Player {
    script: Script,
    next: usize,
    /// What is left to drip.
    rest: Option<Payload>,
}

impl Player {
    pub(crate) const fn new(script: Script) -> Self {
        Self {
            script,
            next: 0,
            rest: None,
        }
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_over(&self) -> bool {
        self.next >= self.script.0.len()
    }

    /// Goes on until there is something to wait for.
    pub(crate) fn play(&mut self, reaction: &mut Reaction) {
        while let Some(step) = self.script.0.get(self.next) {
            match step {
                Step::Send(payload) => {
                    reaction.sends.push((payload.clone(), Duration::ZERO));
                    self.next += 1;
                }
                Step::Drip(payload, every) => {
                    let rest = self.rest.get_or_insert_with(|| payload.clone());
                    if rest.is_empty() {
                        self.rest = None;
                        self.next += 1;
                        continue;
                    }
                    let byte = rest.split_to(1);
                    reaction.sends.push((byte, Duration::ZERO));
                    reaction.then = Then::Wake(*every);
                    return;
                }
                Step::Flood(payload, every) => {
                    reaction.sends.push((payload.clone(), Duration::ZERO));
                    reaction.then = Then::Wake(*every);
                    return;
                }
                Step::Pause(time) => {
                    self.next += 1;
                    reaction.then = Then::Wake(*time);
                    return;
                }
                Step::Close => {
                    reaction.then = Then::Close;
                    return;
                }
                Step::Reset => {
                    reaction.then = Then::Reset;
                    return;
                }
                Step::Hold => return,
            }
        }
    }
}
