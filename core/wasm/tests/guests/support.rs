//! A host of guests, and runs of theirs.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use probity_engine::RunId;
use probity_engine::guest::{
    Action, Class, Context, Event, Fault, Limits, Plugin, Refusal, Rules, Session, Sink, Source,
};
use probity_wasm::{Config, Host};

pub(crate) use crate::guest::{Guest, describe};

/// A host with little room.
pub(crate) fn host() -> Host {
    Host::new(&small()).unwrap()
}

pub(crate) fn small() -> Config {
    Config {
        instances: 4,
        ..Config::default()
    }
}

pub(crate) fn source(bytes: &[u8]) -> Source<'_> {
    Source {
        path: "toy.wasm",
        bytes,
        pin: None,
        class: Class::Native,
        limits: Limits::DEFAULT,
        runs_per_instance: 1,
        sessions_per_instance: 1,
    }
}

/// What is said of a file that is no check.
#[track_caller]
pub(crate) fn refused(bytes: &[u8]) -> String {
    match host().load(&source(bytes)) {
        Err(Refusal::Unusable(why)) => why,
        Err(Refusal::Digest(_)) => panic!("nothing was pinned"),
        Ok(_) => panic!("it is taken"),
    }
}

pub(crate) fn open(plugin: &Arc<dyn Plugin>) -> Result<Box<dyn Session>, Fault> {
    open_as(0, plugin)
}

fn open_as(run: u64, plugin: &Arc<dyn Plugin>) -> Result<Box<dyn Session>, Fault> {
    plugin.open(&Context {
        run: RunId::from_bits(run),
        host: "toy.example",
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 4242,
        config: "{}",
        timeout: Duration::from_secs(5),
        seed: 7,
        tls: None,
    })
}

/// A run that is held to the rules, and notes what the guest wants done.
pub(crate) struct Run {
    session: Box<dyn Session>,
    plugin: Arc<dyn Plugin>,
    rules: Rules,
}

impl Run {
    pub(crate) fn open(plugin: &Arc<dyn Plugin>) -> Result<Self, Fault> {
        Self::open_as(0, plugin)
    }

    /// As the run of this number.
    pub(crate) fn open_as(run: u64, plugin: &Arc<dyn Plugin>) -> Result<Self, Fault> {
        Ok(Self {
            session: open_as(run, plugin)?,
            plugin: Arc::clone(plugin),
            rules: Rules::new(Limits::DEFAULT, false),
        })
    }

    /// What another run has done to it.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.session.fault()
    }

    pub(crate) fn on(&mut self, event: Event<'_>) -> Result<Vec<String>, Fault> {
        let mut done = Vec::new();
        self.rules.on_event(&event)?;
        let now = Duration::from_millis(1);
        let Self {
            session,
            plugin,
            rules,
        } = self;
        let mut take = |action: Action<'_>| {
            rules.on_action(&action, plugin.description(), now)?;
            done.push(format!("{action:?}"));
            Ok(())
        };
        session.on_event(now, event, &mut Sink::new(&mut take))?;
        Ok(done)
    }
}
