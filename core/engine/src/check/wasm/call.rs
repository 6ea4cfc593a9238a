//! A call of a guest that is made elsewhere: it takes all that it needs with it, and
//! brings back all that came of it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use super::{Module, Spec};
use crate::check::cx::Cx;
use crate::errand::Task;
use crate::guest::{
    Action, Close, Context, Event, Fault, Finding, MAX_ACTIONS, Session, Sink, Verdict,
};
use crate::id::RunId;
use crate::tls::TlsInfo;

/// Of the time that is left to a script, so much it is not told of, but at most a quarter:
/// what it says at the end of its time is still to be carried out.
const LAST_WORD: Duration = Duration::from_millis(100);

/// What a session is opened with.
#[derive(Debug)]
pub(super) struct Begin {
    module: Arc<Module>,
    run: RunId,
    host: Box<str>,
    port: u16,
    address: IpAddr,
    timeout: Duration,
    seed: u64,
    tls: Option<Arc<TlsInfo>>,
}

impl Begin {
    pub(super) fn new(spec: &Spec, cx: &mut Cx<'_>) -> Self {
        let left = cx.time_left();
        let last_word = match spec.module.is_script() {
            true => LAST_WORD.min(left / 4),
            false => Duration::ZERO,
        };
        let address = cx.core.address.map(|address| address.ip());
        Self {
            module: Arc::clone(&spec.module),
            run: cx.id,
            host: spec.host.clone(),
            port: spec.port,
            address: address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            timeout: left - last_word,
            seed: cx.rng().u64(),
            tls: cx.core.tls.clone().filter(|_| spec.module.at_once),
        }
    }

    /// Opens it.
    pub(super) fn open(&self) -> Result<Box<dyn Session>, Fault> {
        self.module.plugin.open(&Context {
            run: self.run,
            host: &self.host,
            address: self.address,
            port: self.port,
            config: &self.module.config,
            timeout: self.timeout,
            seed: self.seed,
            tls: self.tls.as_deref(),
        })
    }
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Call {
    /// The session is opened first.
    begin: Option<Begin>,
    session: Option<Box<dyn Session>>,
    now: Duration,
    told: Told,
    actions: Vec<Wanted>,
    result: Result<(), Fault>,
}

/// What a guest that was called wants done, and how that ended.
pub(super) struct Answer {
    /// When it was asked, from the start of its run.
    pub(super) asked: Duration,
    pub(super) session: Option<Box<dyn Session>>,
    pub(super) actions: Vec<Wanted>,
    pub(super) result: Result<(), Fault>,
}

impl Call {
    /// Opens a session, and tells it that it is connected.
    pub(super) const fn first(begin: Begin, now: Duration) -> Self {
        Self {
            begin: Some(begin),
            session: None,
            now,
            told: Told::Connected,
            actions: Vec::new(),
            result: Ok(()),
        }
    }

    /// Tells a session of an event, `now` after the start of its run.
    pub(super) fn next(session: Box<dyn Session>, now: Duration, event: Event<'_>) -> Self {
        Self {
            begin: None,
            session: Some(session),
            now,
            told: event.into(),
            actions: Vec::new(),
            result: Ok(()),
        }
    }

    /// Why there is no session.
    pub(super) const fn not_opened(&self) -> Option<&Fault> {
        match (&self.session, &self.result) {
            (None, Err(fault)) => Some(fault),
            _ => None,
        }
    }

    /// When it was asked, from the start of its run.
    pub(super) const fn asked(&self) -> Duration {
        self.now
    }

    pub(super) fn answer(self) -> Answer {
        Answer {
            asked: self.now,
            session: self.session,
            actions: self.actions,
            result: self.result,
        }
    }

    fn make(&mut self) -> Result<(), Fault> {
        if let Some(begin) = self.begin.take() {
            self.session = Some(begin.open()?);
        }
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let actions = &mut self.actions;
        // One more than it may want, so that it is seen that it does.
        let mut take = |action: Action<'_>| {
            if actions.len() <= MAX_ACTIONS as usize {
                actions.push(action.into());
            }
            Ok(())
        };
        session.on_event(self.now, self.told.lend(), &mut Sink::new(&mut take))
    }
}

impl Task for Call {
    fn run(&mut self) {
        self.result = self.make();
    }
}

/// An [`Event`] that can be kept.
#[derive(Debug)]
enum Told {
    Connected,
    Data(Box<[u8]>),
    Secured(Box<TlsInfo>),
    Timer(u32),
    Closed(Close),
}

impl From<Event<'_>> for Told {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Connected => Self::Connected,
            Event::Data(data) => Self::Data(data.into()),
            Event::Secured(info) => Self::Secured(Box::new(info.clone())),
            Event::Timer(id) => Self::Timer(id),
            Event::Closed(close) => Self::Closed(close),
        }
    }
}

impl Told {
    fn lend(&self) -> Event<'_> {
        match self {
            Self::Connected => Event::Connected,
            Self::Data(data) => Event::Data(data),
            Self::Secured(info) => Event::Secured(info),
            Self::Timer(id) => Event::Timer(*id),
            Self::Closed(close) => Event::Closed(*close),
        }
    }
}

/// An [`Action`] that can be kept.
#[derive(Debug)]
pub(super) enum Wanted {
    Send(Box<[u8]>),
    StartTls,
    SetTimer(u32, Duration),
    Mark(String),
    Sample(String, f64, Vec<String>),
    Log(String),
    Up,
    Degraded(Finding, String),
    Down(Finding, String),
    Unknown(String),
}

impl From<Action<'_>> for Wanted {
    fn from(action: Action<'_>) -> Self {
        match action {
            Action::Send(bytes) => Self::Send(bytes.into()),
            Action::StartTls => Self::StartTls,
            Action::SetTimer(id, after) => Self::SetTimer(id, after),
            Action::Mark(phase) => Self::Mark(phase.into()),
            Action::Sample {
                metric,
                value,
                labels,
            } => {
                let labels = labels.iter().map(|label| String::from(*label));
                Self::Sample(metric.into(), value, labels.collect())
            }
            Action::Log(line) => Self::Log(line.into()),
            Action::Done(Verdict::Up) => Self::Up,
            Action::Done(Verdict::Degraded(finding, why)) => Self::Degraded(finding, why.into()),
            Action::Done(Verdict::Down(finding, why)) => Self::Down(finding, why.into()),
            Action::Done(Verdict::Unknown(why)) => Self::Unknown(why.into()),
        }
    }
}

impl Wanted {
    /// Calls `take` with the action.
    pub(super) fn lend<R>(&self, take: impl FnOnce(Action<'_>) -> R) -> R {
        match self {
            Self::Send(bytes) => take(Action::Send(bytes)),
            Self::StartTls => take(Action::StartTls),
            Self::SetTimer(id, after) => take(Action::SetTimer(*id, *after)),
            Self::Mark(phase) => take(Action::Mark(phase)),
            Self::Sample(metric, value, labels) => {
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                take(Action::Sample {
                    metric,
                    value: *value,
                    labels: &labels,
                })
            }
            Self::Log(line) => take(Action::Log(line)),
            Self::Up => take(Action::Done(Verdict::Up)),
            Self::Degraded(finding, why) => take(Action::Done(Verdict::Degraded(*finding, why))),
            Self::Down(finding, why) => take(Action::Done(Verdict::Down(*finding, why))),
            Self::Unknown(why) => take(Action::Done(Verdict::Unknown(why))),
        }
    }
}
