//! What a server does, step by step.

use std::sync::Arc;
use std::time::Duration;

use super::tls::Tls;
use super::{Reaction, Then, alert};
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
    /// Wait for exactly these bytes. Whoever says something else is reset.
    Expect(Payload),
    /// Wait for a handshake. Whoever says something in plain text is told so
    /// and left.
    Secure(Tls),
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
}

/// A script that is being followed.
#[derive(Debug)]
pub(crate) struct Player {
    script: Script,
    next: usize,
    waits: Waits,
    /// What is left to drip.
    rest: Option<Payload>,
    /// What was heard and not expected yet.
    heard: Vec<u8>,
}

/// For what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// For nothing: the next step can be taken.
    No,
    ForTime,
    ForBytes,
    ForHandshake,
    /// For ever.
    Always,
}

impl Player {
    pub(crate) const fn new(script: Script) -> Self {
        Self {
            script,
            next: 0,
            waits: Waits::No,
            rest: None,
            heard: Vec::new(),
        }
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_over(&self) -> bool {
        self.next >= self.script.0.len()
    }

    /// The handshake that the server is ready for.
    pub(crate) fn awaits(&self) -> Option<&Tls> {
        match self.script.0.get(self.next) {
            Some(Step::Secure(tls)) if self.waits == Waits::ForHandshake => Some(tls),
            _ => None,
        }
    }

    /// Whether the server has ever to say something.
    pub(crate) fn is_silent(&self) -> bool {
        self.script.0.is_empty()
    }

    /// Whether it will never listen again.
    pub(crate) fn is_deaf(&self) -> bool {
        matches!(self.script.0.get(self.next), Some(Step::Hold))
    }

    /// The time that it asked for has come.
    pub(crate) fn wake(&mut self, reaction: &mut Reaction) {
        if self.waits == Waits::ForTime {
            self.play(reaction);
        }
    }

    /// The client has said something.
    pub(crate) fn hear(&mut self, bytes: &[u8], reaction: &mut Reaction) {
        match self.waits {
            Waits::ForHandshake => {
                alert(reaction);
                self.waits = Waits::Always;
            }
            Waits::ForBytes => {
                self.heard.extend_from_slice(bytes);
                self.play(reaction);
            }
            // Something is expected later.
            Waits::No | Waits::ForTime => self.heard.extend_from_slice(bytes),
            Waits::Always => {}
        }
    }

    /// The handshake is done.
    pub(crate) fn secured(&mut self, reaction: &mut Reaction) {
        if self.waits == Waits::ForHandshake {
            self.next += 1;
            self.play(reaction);
        }
    }

    /// Goes on until there is something to wait for.
    pub(crate) fn play(&mut self, reaction: &mut Reaction) {
        self.waits = self.go_on(reaction);
    }

    fn go_on(&mut self, reaction: &mut Reaction) -> Waits {
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
                    return Waits::ForTime;
                }
                Step::Flood(payload, every) => {
                    reaction.sends.push((payload.clone(), Duration::ZERO));
                    reaction.then = Then::Wake(*every);
                    return Waits::ForTime;
                }
                Step::Pause(time) => {
                    self.next += 1;
                    reaction.then = Then::Wake(*time);
                    return Waits::ForTime;
                }
                Step::Expect(payload) => {
                    let expected = payload.as_slice();
                    let known = self.heard.len().min(expected.len());
                    if self.heard[..known] != expected[..known] {
                        reaction.then = Then::Reset;
                        return Waits::Always;
                    }
                    if known < expected.len() {
                        return Waits::ForBytes;
                    }
                    self.heard.drain(..known);
                    self.next += 1;
                }
                Step::Secure(_) if !self.heard.is_empty() => {
                    alert(reaction);
                    return Waits::Always;
                }
                Step::Secure(_) => return Waits::ForHandshake,
                Step::Close => {
                    reaction.then = Then::Close;
                    return Waits::Always;
                }
                Step::Reset => {
                    reaction.then = Then::Reset;
                    return Waits::Always;
                }
                Step::Hold => return Waits::Always,
            }
        }
        Waits::No
    }
}
