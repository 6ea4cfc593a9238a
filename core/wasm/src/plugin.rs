//! A check that was loaded, and its runs.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use probity_engine::RunId;
use probity_engine::guest::{
    Class, Context, Description, Event, Fault, Figures, Limits, Plugin, Session, Sink, Source,
};
use wasmtime::Engine;
use wasmtime::component::ResourceAny;

use crate::bindings::PluginPre;
use crate::convert;
use crate::house::{House, Sharing};
use crate::instance::{Instance, Purse, State};
use crate::meter::{Meter, Room};

/// Instances of one check that are known to have room for another run.
const MOST_VACANT: usize = 64;

/// A check, compiled. Shared by all modules of a configuration that use its file.
pub(crate) struct Compiled {
    pub(crate) engine: Engine,
    pub(crate) pre: PluginPre<State>,
    pub(crate) digest: [u8; 32],
    pub(crate) description: Description,
}

/// A check of one module.
pub(crate) struct Loaded {
    pub(crate) compiled: Arc<Compiled>,
    class: Class,
    pub(crate) limits: Limits,
    sharing: Sharing,
    meter: Arc<Meter>,
    /// Instances into which another run may come.
    vacant: Mutex<Vec<Arc<House>>>,
}

impl Loaded {
    pub(crate) fn new(compiled: Arc<Compiled>, source: &Source<'_>, room: &Arc<Room>) -> Self {
        Self {
            compiled,
            class: source.class,
            limits: source.limits,
            sharing: Sharing {
                runs: source.runs_per_instance.max(1),
                sessions: source.sessions_per_instance.max(1),
            },
            meter: Arc::new(Meter::new(room)),
            vacant: Mutex::default(),
        }
    }

    fn instance(&self, purse: &mut Purse) -> Result<Instance, Fault> {
        let Compiled { engine, pre, .. } = &*self.compiled;
        if self.class == Class::Script {
            self.meter.room.clear();
        }
        let share = (self.class, self.limits, self.sharing.sessions);
        Instance::new(engine, pre, share, &self.meter, purse)
    }

    /// An instance into which a run of this thread may come, as its guest can be called.
    fn house(&self, purse: &mut Purse) -> Result<Arc<House>, Fault> {
        if let Some(house) = self.take_vacant() {
            match house.let_go(&self.limits, purse) {
                Ok(()) => return Ok(house),
                Err(fault) if !fault.others.is_empty() => return Err(fault),
                // It harmed nobody, and is gone.
                Err(_) => {}
            }
        }
        let instance = self.instance(purse)?;
        Ok(Arc::new(House::new(instance, self.sharing)))
    }

    fn take_vacant(&self) -> Option<Arc<House>> {
        if self.sharing.runs == 1 {
            return None;
        }
        let mut vacant = self.vacant();
        // The one that was used last, of which most is in the processor's cache.
        while let Some(place) = vacant.iter().rposition(|it| it.is_open_here()) {
            let house = vacant.remove(place);
            if house.unlist() {
                return Some(house);
            }
        }
        None
    }

    /// Notes an instance into which another run may come. Whether it is one.
    fn note_vacant(&self, house: &Arc<House>) -> bool {
        if self.sharing.runs == 1 || !house.list() {
            return false;
        }
        let mut vacant = self.vacant();
        let has_place = vacant.len() < MOST_VACANT;
        if has_place {
            vacant.push(Arc::clone(house));
        } else {
            house.forget_listing();
        }
        has_place
    }

    fn vacant(&self) -> MutexGuard<'_, Vec<Arc<House>>> {
        self.vacant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The check of one module, as the engine knows it.
#[derive(Clone)]
pub(crate) struct Check(pub(crate) Arc<Loaded>);

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check")
            .field(&self.description().name)
            .finish()
    }
}

impl Plugin for Check {
    fn description(&self) -> &Description {
        &self.0.compiled.description
    }

    fn digest(&self) -> &[u8; 32] {
        &self.0.compiled.digest
    }

    fn has_room(&self) -> bool {
        self.0.meter.room.has_room() || !self.0.vacant().is_empty()
    }

    fn figures(&self) -> Figures {
        self.0.meter.figures()
    }

    fn validate(&self, config: &str) -> Result<(), String> {
        let purse = &mut Purse::new(&self.0.limits);
        let instance = self.0.instance(purse);
        let answer = instance.and_then(|mut instance| {
            instance.call(purse, |store, exports| {
                exports.probity_check_guest().call_validate(store, config)
            })
        });
        match answer {
            Ok(answer) => answer.map_err(convert::refusal),
            Err(fault) => {
                let name = &self.description().name;
                Err(format!(
                    "the check {name} broke while it looked at it: it {fault}"
                ))
            }
        }
    }

    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Session>, Fault> {
        let mut purse = Purse::new(&self.0.limits);
        let house = self.0.house(&mut purse)?;
        let run = context.run;
        let context = convert::context(context);
        let session = house.enter(run, &mut purse, |store, exports| {
            let session = exports.probity_check_guest().session();
            session.call_constructor(store, &context)
        })?;
        self.0.note_vacant(&house);
        Ok(Box::new(Talk {
            check: self.clone(),
            house,
            run,
            session: Some(session),
            purse,
        }))
    }
}

/// One run.
struct Talk {
    check: Check,
    house: Arc<House>,
    run: RunId,
    /// Nothing once the guest has broken.
    session: Option<ResourceAny>,
    purse: Purse,
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Talk").field(&self.check).finish()
    }
}

impl Session for Talk {
    fn on_event(
        &mut self,
        now: Duration,
        event: Event<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let event = convert::event(event);
        let Self { house, purse, .. } = self;
        let actions = house.call(self.run, purse, |store, exports| {
            let guest = exports.probity_check_guest().session();
            guest.call_on_event(store, session, now, &event)
        })?;
        let mut actions = actions.iter();
        let pushed = actions.try_for_each(|action| convert::push(action, sink));
        match pushed {
            Ok(()) => self.session = Some(session),
            Err(_) => house.shut(),
        }
        pushed
    }

    fn take_fuel(&mut self) -> u64 {
        self.purse.take_used()
    }

    fn fault(&self) -> Option<Fault> {
        // A run that is alone hears of its own faults.
        let is_shared = self.check.0.sharing.sessions > 1;
        is_shared.then(|| self.house.fault()).flatten()
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.house.leave(self.run, self.session.take());
        let check = &self.check.0;
        // Its only run, where it is a script's.
        if !check.note_vacant(&self.house) && check.class == Class::Script {
            check.meter.room.bury(Arc::clone(&self.house));
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if self.class == Class::Script {
            let left = self.vacant().split_off(0);
            left.into_iter()
                .for_each(|house| self.meter.room.bury(house));
        }
    }
}
