//! A turn of the host: what it is to do, in C's words, and when to come again.
//!
//! This is most of what a check over the C ABI costs beside the check. What every turn
//! goes through is therefore compiled into one function (`inline(always)`), and what is
//! only for the library's TLS is kept out of it.

use std::mem::{self, MaybeUninit};

use ::probity_engine::{Input, Instant, Lease, Output, Report, RunId, Taker};

use super::Host;
use crate::boundary;
use crate::log::{Log, PROBITY_LOG_ERROR};
use crate::output::{PROBITY_OUTPUT_CLOSE, probity_output};
use crate::report::Lent;
use crate::tls::Taken;

/// What a step has left to the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Left {
    #[default]
    Nothing,
    /// Something is due, and the host has been told so: it looks for events first.
    Overdue,
    /// Outputs for which there was no room. The host carries out what it has and comes back
    /// at once, without a look at its sockets: what is late by then is not its target's
    /// fault, and nothing expires.
    Outputs,
}

/// Outputs of another size that a step gives at most: they are made here and copied.
const OTHERS_AT_ONCE: usize = 16;

impl Host {
    /// A reading of the host's clock, with which something is told.
    pub(crate) fn at(&mut self, nanos: u64) -> Instant {
        self.due = Instant::ZERO;
        self.now = self.now.max(Instant::from_nanos(nanos));
        self.now
    }

    /// See [`super::probity_engine_step`]: when it should be called next.
    #[inline(always)]
    pub(super) fn turn(&mut self, now: Instant, batch: &mut Batch<'_>) -> Instant {
        match self.tls {
            None => self.turn_by(now, batch, Self::fill),
            Some(_) => self.turn_of_any(now, batch),
        }
    }

    /// The same for a host that was built when outputs were shorter, or will be longer:
    /// they have `size` bytes there. Also tells how many there are.
    ///
    /// # Safety
    /// `outputs` must point to `capacity` of them that may be written, and
    /// [`boundary::size_of_each`] must have told their size.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn turn_of_size(
        &mut self,
        now: Instant,
        (outputs, size, capacity): (*mut probity_output, usize, usize),
    ) -> (Instant, usize) {
        let mut own = [const { MaybeUninit::uninit() }; OTHERS_AT_ONCE];
        let mut batch = Batch::new(&mut own[..capacity.min(OTHERS_AT_ONCE)]);
        let at = self.turn_of_any(now, &mut batch);
        let filled = batch.filled;
        // SAFETY: so many were written; the rest is the caller's promise.
        unsafe { boundary::write_each(outputs, size, &own[..filled]) };
        (at, filled)
    }

    /// The same of every host, at some cost.
    #[inline(never)]
    fn turn_of_any(&mut self, now: Instant, batch: &mut Batch<'_>) -> Instant {
        self.turn_by(now, batch, Self::fill_any)
    }

    /// The same with what writes down what the host is to do, and tells whether that is
    /// all.
    #[inline(always)]
    fn turn_by(
        &mut self,
        now: Instant,
        batch: &mut Batch<'_>,
        fill: impl Fn(&mut Self, &mut Batch<'_>) -> bool,
    ) -> Instant {
        self.now = self.now.max(now);
        let now = self.now;
        let left = mem::take(&mut self.left);
        if left == Left::Overdue {
            self.expire(now);
        }
        let mut may_expire = left == Left::Nothing;
        loop {
            if !fill(self, batch) {
                self.due = Instant::ZERO;
                self.left = Left::Outputs;
                return Instant::ZERO;
            }
            let next = self.next();
            if next > now || batch.is_over || !may_expire {
                self.due = next;
                if next <= now {
                    self.left = Left::Overdue;
                }
                return next;
            }
            self.expire(now);
            may_expire = false;
        }
    }

    /// Writes down what the host is to do; tells whether that is all.
    #[inline(always)]
    fn fill(&mut self, batch: &mut Batch<'_>) -> bool {
        while self.engine.has_output() {
            let filled = batch.fill(|place, lasting| self.ask_engine(place, lasting));
            if !filled {
                return !self.engine.has_output();
            }
        }
        true
    }

    /// The same of every host.
    fn fill_any(&mut self, batch: &mut Batch<'_>) -> bool {
        while self.has_output() {
            let filled = batch.fill(|place, lasting| self.ask(place, lasting));
            if !filled {
                return !self.has_output();
            }
        }
        true
    }

    fn expire(&mut self, now: Instant) {
        self.due = Instant::ZERO;
        self.engine.handle_timeout(now);
    }

    /// When something is due.
    #[inline(always)]
    fn next(&self) -> Instant {
        match self.due {
            Instant::ZERO => self.engine.next_timeout(),
            due => due,
        }
    }

    /// Whether there are targets and nothing will ever be due or asked: who owns the
    /// engine has forgotten to begin.
    #[cold]
    pub(super) fn waits_for_ever(&self) -> bool {
        self.engine.awaits_begin() && !self.has_output()
    }

    /// Whether there may be something to ask.
    fn has_output(&self) -> bool {
        self.engine.has_output() || self.tls.as_ref().is_some_and(|tls| tls.ahead().is_some())
    }

    /// Writes the next thing that the host is to do, unless it has to be `lasting` and
    /// is lent until the next call alone. Tells its kind, which is 0 if what was next
    /// is nothing for the host, and the lease.
    pub(super) fn ask(
        &mut self,
        place: &mut MaybeUninit<probity_output>,
        lasting: bool,
    ) -> Option<(u32, Lease)> {
        match self.tls {
            None => self.ask_engine(place, lasting),
            Some(_) => self.ask_with_tls(place, lasting),
        }
    }

    /// The same where TLS is the host's.
    #[inline(always)]
    fn ask_engine(
        &mut self,
        place: &mut MaybeUninit<probity_output>,
        lasting: bool,
    ) -> Option<(u32, Lease)> {
        self.engine.poll_output_to(ToC {
            place,
            lasting,
            lent: &mut self.lent,
            log: &self.log,
        })
    }

    /// The same where TLS is the library's.
    #[inline(never)]
    fn ask_with_tls(
        &mut self,
        place: &mut MaybeUninit<probity_output>,
        lasting: bool,
    ) -> Option<(u32, Lease)> {
        let tls = self.tls.as_mut()?;
        if let Some(lease) = tls.ahead() {
            return takes(lasting, lease).then(|| (tls.next(place), lease));
        }
        let (run, asked, lease) = self.engine.poll_output_to(AsItIs { lasting })?;
        let kind = match tls.take(run, &asked) {
            Taken::No => {
                if let Output::Report(report) = &asked {
                    self.log.report("engine", report);
                }
                probity_output::write(place, run.to_bits(), asked, &mut self.lent)
            }
            Taken::Yes => 0,
            Taken::Failed(conn, failure) => {
                self.log.say(PROBITY_LOG_ERROR, "tls", 0, || {
                    format!("a connection cannot be secured: {failure}")
                });
                let closed = Input::Closed(conn, failure.into());
                self.engine.handle_input(run, closed, self.now);
                self.due = Instant::ZERO;
                0
            }
        };
        Some((kind, lease))
    }
}

/// The outputs that one step gives, and what is known of them.
pub(super) struct Batch<'r> {
    room: &'r mut [MaybeUninit<probity_output>],
    /// How many there are: the first ones of `room`, written as a whole.
    pub(super) filled: usize,
    /// One is there that may make the host tell us something, and so end the lease:
    /// what comes after it has to last.
    is_tellable: bool,
    /// One is there that is lent until the next call: it is the last.
    is_over: bool,
}

impl<'r> Batch<'r> {
    pub(super) const fn new(room: &'r mut [MaybeUninit<probity_output>]) -> Self {
        Self {
            room,
            filled: 0,
            is_tellable: false,
            is_over: false,
        }
    }

    /// Has `ask` write another one, if there is room and it may still come. In one place,
    /// or it would be a call for every output.
    #[inline(always)]
    fn fill(
        &mut self,
        ask: impl FnOnce(&mut MaybeUninit<probity_output>, bool) -> Option<(u32, Lease)>,
    ) -> bool {
        if self.is_over {
            return false;
        }
        let Some(place) = self.room.get_mut(self.filled) else {
            return false;
        };
        let Some((kind, lease)) = ask(place, self.is_tellable) else {
            return false;
        };
        // What was nothing for the host is written over.
        if kind != 0 {
            self.filled += 1;
            self.is_over = lease == Lease::UntilNextCall;
            // Of a connection that it closes there is nothing to tell.
            self.is_tellable |= kind != PROBITY_OUTPUT_CLOSE;
        }
        true
    }
}

fn takes(lasting: bool, lease: Lease) -> bool {
    !lasting || lease != Lease::UntilNextCall
}

/// Puts what the engine asks in C's words, where the host wants it.
struct ToC<'h> {
    place: &'h mut MaybeUninit<probity_output>,
    lasting: bool,
    lent: &'h mut Lent,
    log: &'h Log,
}

impl<'a> Taker<'a> for ToC<'_> {
    type Taken = (u32, Lease);

    fn takes(&self, lease: Lease) -> bool {
        takes(self.lasting, lease)
    }

    #[inline(always)]
    fn output(self, run: RunId, output: Output<'a>, lease: Lease) -> Self::Taken {
        let kind = probity_output::write(self.place, run.to_bits(), output, self.lent);
        (kind, lease)
    }

    #[inline(always)]
    fn report(self, run: RunId, report: Report<'a>) -> Self::Taken {
        let kind = probity_output::write_report(self.place, run.to_bits(), &report, self.lent);
        self.log.report("engine", &report);
        (kind, Lease::UntilNextCall)
    }
}

/// Takes what the engine asks, to look at it.
struct AsItIs {
    lasting: bool,
}

impl<'a> Taker<'a> for AsItIs {
    type Taken = (RunId, Output<'a>, Lease);

    fn takes(&self, lease: Lease) -> bool {
        takes(self.lasting, lease)
    }

    fn output(self, run: RunId, output: Output<'a>, lease: Lease) -> Self::Taken {
        (run, output, lease)
    }

    fn report(self, run: RunId, report: Report<'a>) -> Self::Taken {
        (run, Output::Report(report), Lease::UntilNextCall)
    }
}
