//! A guest that is told what happens, in turns.
//!
//! What a guest burns counts as work of the turn
//! ([`FUEL_PER_BYTE`](crate::limits::FUEL_PER_BYTE)). Once a turn has nothing left,
//! whatever happens is kept until one has, so that guests keep nobody waiting for
//! longer than one event of theirs takes. A script is called elsewhere: until it has
//! answered, what happens is kept too.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::call::{Answer, Call};
use super::{Spec, broke, close_of, too_much, was_broken};
use crate::check::cx::Cx;
use crate::check::dial;
use crate::guest::{
    self, Action, Close, Event, Fault, MAX_PIECE_BYTES, Rules, Session, Sink, sentence,
};
use crate::id::Conn;
use crate::io::Input;
use crate::limits::MAX_BACKLOG_BYTES;
use crate::outcome::{Outcome, Phase, Reason};
use crate::time::Instant;
use crate::tls::TlsInfo;

/// A timer that would come less than so much before the end of a run comes at its
/// end: a guest knows how much time it has to the millisecond.
const END: Duration = Duration::from_millis(1);

/// A session, and what it is to be told.
#[derive(Debug)]
pub(super) struct Talk {
    conn: Conn,
    /// Nothing while it is called elsewhere.
    session: Option<Box<dyn Session>>,
    rules: Rules,
    /// When the current phase of the guest's own began.
    marked: Instant,
    news: News,
    /// How the connection ended, of which it is told elsewhere.
    ending: Option<Close>,
}

/// What the guest has not been told yet, in the order in which it is.
#[derive(Debug, Default)]
struct News {
    secured: Option<Arc<TlsInfo>>,
    data: Vec<u8>,
    /// Bytes of that which it has been told.
    told: usize,
    /// Timers that had come when this was last looked at. One that it sets in answer,
    /// for no time at all, comes later.
    timers: usize,
    closed: Option<Close>,
}

impl News {
    fn is_empty(&self) -> bool {
        self.secured.is_none() && self.data.is_empty() && self.timers == 0 && self.closed.is_none()
    }

    /// Adds what the peer said.
    fn push(&mut self, data: &[u8]) {
        self.data.extend_from_slice(data);
    }
}

impl Talk {
    /// A session that has been opened.
    pub(super) fn new(
        conn: Conn,
        mut session: Box<dyn Session>,
        spec: &Spec,
        cx: &mut Cx<'_>,
    ) -> Self {
        cx.burnt(session.take_fuel());
        Self {
            session: Some(session),
            ..Self::called_for(conn, spec, cx)
        }
    }

    /// One that was opened elsewhere, and is on its way back.
    pub(super) fn called_for(conn: Conn, spec: &Spec, cx: &Cx<'_>) -> Self {
        Self {
            conn,
            session: None,
            rules: Rules::new(spec.module.limits, spec.module.at_once),
            marked: cx.now(),
            news: News::default(),
            ending: None,
        }
    }

    /// Whether the guest has asked for a handshake that is not complete.
    pub(super) fn is_securing(&self) -> bool {
        self.rules.is_securing()
    }

    /// Whether there is something that it has not been told.
    pub(super) fn is_behind(&self) -> bool {
        self.is_away() || !self.news.is_empty()
    }

    const fn is_away(&self) -> bool {
        self.session.is_none()
    }

    /// How another run in its instance broke it, if one did.
    fn fault(&self) -> Option<Fault> {
        self.session.as_ref()?.fault()
    }

    /// Begins, with what has come so far.
    pub(super) fn begin(
        &mut self,
        spec: &Spec,
        data: Vec<u8>,
        closed: Option<Close>,
        cx: &mut Cx<'_>,
    ) {
        self.tell(spec, Event::Connected, cx);
        self.go_on_with(spec, data, closed, cx);
    }

    /// The same where it was told elsewhere that it is connected.
    pub(super) fn begun(
        &mut self,
        spec: &Spec,
        call: Call,
        data: Vec<u8>,
        closed: Option<Close>,
        cx: &mut Cx<'_>,
    ) {
        self.marked = cx.core.started + call.asked();
        self.take_answer(spec, call, cx);
        self.go_on_with(spec, data, closed, cx);
    }

    fn go_on_with(&mut self, spec: &Spec, data: Vec<u8>, closed: Option<Close>, cx: &mut Cx<'_>) {
        // What comes before it is asked for a handshake is nobody's.
        if !self.is_securing() {
            self.news.data = data;
        }
        self.news.closed = closed;
        self.go_on(spec, cx);
    }

    pub(super) fn on(&mut self, spec: &Spec, input: Input<'_>, cx: &mut Cx<'_>) {
        if let Some(fault) = self.fault() {
            return was_broken(spec, &fault, cx);
        }
        // Told of its end, but not yet that it is secured.
        let is_securing = self.is_securing() && self.news.secured.is_none();
        match input {
            // What comes unencrypted while the connection is being secured is
            // nobody's.
            Input::Data(..) if is_securing => {}
            Input::Data(_, data) if self.is_behind() => self.news.push(data),
            Input::Data(_, data) => {
                let told = self.data(spec, data, cx);
                let rest = &data[told..];
                if !cx.is_finished() && !self.is_securing() {
                    self.news.push(rest);
                }
            }
            Input::Secured(_, info) if is_securing => {
                cx.trace(format_args!(
                    "secured with {} {}",
                    info.version, info.cipher
                ));
                cx.begin(Phase::Processing);
                self.news.secured = Some(Arc::clone(info));
            }
            Input::Closed(_, why) if is_securing => dial::not_secured(&why, cx),
            Input::Closed(_, why) => self.news.closed = Some(close_of(&why)),
            Input::Woken => {
                let now = cx.elapsed().min(Self::end(cx));
                self.news.timers = self.rules.timers_due(now);
            }
            _ => {}
        }
        if self.is_away() {
            // A host that reads on for who is behind has it end somewhere.
            if self.news.data.len() > spec.module.limits.received as usize {
                too_much(spec, cx);
            }
        } else if self.news.data.len() > MAX_BACKLOG_BYTES {
            cx.without_bound(|cx| self.go_on(spec, cx));
        } else {
            self.go_on(spec, cx);
        }
    }

    /// Tells the guest what there is, as far as the turn allows.
    fn go_on(&mut self, spec: &Spec, cx: &mut Cx<'_>) {
        while !cx.is_finished() && !self.is_away() && !self.news.is_empty() {
            if cx.work_left() == 0 {
                return cx.go_on_later();
            }
            self.tell_next(spec, cx);
        }
        self.set_wake(cx);
    }

    fn tell_next(&mut self, spec: &Spec, cx: &mut Cx<'_>) {
        if let Some(info) = self.news.secured.take() {
            self.tell(spec, Event::Secured(&info), cx);
        } else if self.news.data.len() > self.news.told {
            let data = core::mem::take(&mut self.news.data);
            let told = self.news.told;
            self.news.told += self.data(spec, &data[told..], cx);
            // What is left was said before the handshake that it asks for now.
            if self.news.told < data.len() && !self.is_securing() {
                self.news.data = data;
            } else {
                self.news.told = 0;
            }
        } else if self.news.timers > 0 {
            self.news.timers -= 1;
            let now = cx.elapsed().min(Self::end(cx));
            self.timer(spec, now, cx);
        } else if let Some(close) = self.news.closed.take() {
            self.closed(spec, close, cx);
        }
    }

    /// Tells the guest what the peer says, piece by piece, while the turn has some
    /// left. Returns how much of it.
    fn data(&mut self, spec: &Spec, data: &[u8], cx: &mut Cx<'_>) -> usize {
        let mut told = 0;
        for piece in data.chunks(MAX_PIECE_BYTES) {
            let is_held_up = self.is_away() || self.is_securing() || cx.work_left() == 0;
            if cx.is_finished() || is_held_up {
                break;
            }
            if cx.core.phase == Phase::Processing {
                cx.begin(Phase::Transfer);
            }
            self.tell(spec, Event::Data(piece), cx);
            told += piece.len();
        }
        told
    }

    fn closed(&mut self, spec: &Spec, close: Close, cx: &mut Cx<'_>) {
        self.tell(spec, Event::Closed(close), cx);
        match self.is_away() {
            true => self.ending = Some(close),
            false => self.ended(spec, close, cx),
        }
    }

    /// It was told that the connection is over.
    fn ended(&self, spec: &Spec, close: Close, cx: &mut Cx<'_>) {
        let reason = match close {
            Close::End | Close::Lost => Reason::PeerClosed,
            Close::Reset => Reason::PeerReset,
        };
        let how = match close {
            Close::End => "closed by the peer",
            Close::Reset => "reset by the peer",
            Close::Lost => "lost",
        };
        let name = spec.name();
        // The first verdict counts, and that is the guest's if it has one.
        if !cx.is_finished() {
            spec.module.backoff.verdict();
            cx.fail(
                reason,
                format_args!("the connection was {how} before {name} had a verdict"),
            );
        }
    }

    /// The time after which timers come at the end of the run.
    fn end(cx: &Cx<'_>) -> Duration {
        (cx.elapsed() + cx.time_left()).saturating_sub(END)
    }

    /// Tells the guest of the timer that comes first, if it has come by `now`. Not in a
    /// handshake: a guest hears of nothing before that is complete.
    fn timer(&mut self, spec: &Spec, now: Duration, cx: &mut Cx<'_>) {
        if let Some((id, due)) = self.rules.next_timer()
            && due <= now
            && !self.is_securing()
        {
            self.tell(spec, Event::Timer(id), cx);
        }
    }

    /// The time of the run is over: tells the guest of the timers that were set for
    /// that, if the turn allows it. It may give a verdict.
    pub(super) fn at_the_end(&mut self, spec: &Spec, cx: &mut Cx<'_>) {
        if let Some(fault) = self.fault() {
            return was_broken(spec, &fault, cx);
        }
        // There is no time left for what is called elsewhere, which was told of less.
        if spec.module.is_script() {
            return;
        }
        for _ in 0..self.rules.timers_due(cx.elapsed()) {
            if self.is_behind() || cx.is_finished() || cx.work_left() == 0 {
                return;
            }
            self.timer(spec, cx.elapsed(), cx);
        }
    }

    fn set_wake(&self, cx: &mut Cx<'_>) {
        if !cx.is_finished()
            && !self.rules.is_securing()
            && let Some((_, due)) = self.rules.next_timer()
            && due <= Self::end(cx)
        {
            // Later than now, or there would be no end to this turn.
            let soon = cx.now() + Duration::from_nanos(1);
            cx.wake_at((cx.core.started + due).max(soon));
        }
    }

    /// Tells the guest of an event, and does what it wants done: now, or when it answers.
    fn tell(&mut self, spec: &Spec, event: Event<'_>, cx: &mut Cx<'_>) {
        if cx.is_finished() {
            return;
        }
        if let Err(fault) = self.rules.on_event(&event) {
            return broke(spec, &fault, cx);
        }
        let now = cx.elapsed();
        let Some(mut session) = self.session.take() else {
            return;
        };
        if spec.module.is_script() {
            return cx.send_out(Call::next(session, now, event));
        }
        let mut verdict = None;
        let mut take = |action: Action<'_>| self.act(spec, action, &mut verdict, cx);
        let result = session.on_event(now, event, &mut Sink::new(&mut take));
        cx.burnt(session.take_fuel());
        self.session = Some(session);
        judge(spec, result, verdict, cx);
    }

    /// The guest has answered, elsewhere.
    pub(super) fn called(&mut self, spec: &Spec, call: Call, cx: &mut Cx<'_>) {
        self.take_answer(spec, call, cx);
        if cx.is_finished() {
            return;
        }
        if let Some(close) = self.ending.take() {
            return self.ended(spec, close, cx);
        }
        if self.is_securing() {
            // Said before the handshake that it asks for now: it is nobody's.
            self.news.data.clear();
            self.news.told = 0;
        }
        self.go_on(spec, cx);
    }

    fn take_answer(&mut self, spec: &Spec, call: Call, cx: &mut Cx<'_>) {
        let Answer {
            asked,
            session,
            actions,
            result,
        } = call.answer();
        self.session = session;
        // Phases of its own are the target's as well.
        self.marked += cx.elapsed().saturating_sub(asked);
        let mut verdict = None;
        let mut actions = actions.iter();
        let acted = actions
            .try_for_each(|wanted| wanted.lend(|action| self.act(spec, action, &mut verdict, cx)));
        judge(spec, acted.and(result), verdict, cx);
    }

    /// Does one thing that the guest wants done.
    fn act(
        &mut self,
        spec: &Spec,
        action: Action<'_>,
        verdict: &mut Option<(Outcome, String)>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Fault> {
        let description = spec.module.plugin.description();
        self.rules.on_action(&action, description, cx.elapsed())?;
        match action {
            Action::Send(bytes) => cx.send(self.conn, bytes),
            Action::StartTls => {
                let params = spec.params();
                cx.begin(Phase::Tls);
                cx.trace(format_args!("starting TLS with {}", params.server_name));
                cx.secure(self.conn, params);
            }
            // `rules` has noted when it comes.
            Action::SetTimer(..) => {}
            Action::Mark(phase) => {
                let spent = cx.now() - core::mem::replace(&mut self.marked, cx.now());
                let metric = &spec.module.phase_metric;
                cx.add_sample(metric, &[phase], spent.as_secs_f64());
            }
            Action::Sample {
                metric,
                value,
                labels,
            } => {
                if let Some(metric) = guest::metric_of(description, metric) {
                    cx.sample(metric, labels, value);
                }
            }
            Action::Log(line) if self.rules.keeps_line() => {
                let line = sentence(line);
                cx.note(format_args!("{}: {line}", description.name));
            }
            Action::Log(_) => {}
            Action::Done(found) => {
                let (outcome, why) = found.outcome();
                *verdict = Some((outcome, sentence(why).to_string()));
            }
        }
        Ok(())
    }
}

/// Ends the run if the guest has broken, or has come to its verdict.
fn judge(
    spec: &Spec,
    result: Result<(), Fault>,
    verdict: Option<(Outcome, String)>,
    cx: &mut Cx<'_>,
) {
    match (result, verdict) {
        (Err(fault), _) => broke(spec, &fault, cx),
        (Ok(()), Some((outcome, why))) => {
            spec.module.backoff.verdict();
            cx.end_phase();
            cx.finish(outcome, format_args!("{why}"));
        }
        (Ok(()), None) => {}
    }
}
