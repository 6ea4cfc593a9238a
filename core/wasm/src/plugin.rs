//! A check that was loaded, and its runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, mem};

use probity_engine::guest::{
    Context, Description, Event, Fault, Figures, Limits, Plugin, Session, Sink,
};
use wasmtime::Engine;
use wasmtime::component::ResourceAny;

use crate::bindings::PluginPre;
use crate::convert;
use crate::instance::{Instance, State};
use crate::meter::{Meter, Room};

/// Instances of one check that wait for their next run.
const MOST_IDLE: usize = 64;

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
    pub(crate) limits: Limits,
    pub(crate) runs_per_instance: u32,
    meter: Arc<Meter>,
    idle: Mutex<Vec<Instance>>,
}

impl Loaded {
    pub(crate) fn new(
        compiled: Arc<Compiled>,
        limits: Limits,
        runs_per_instance: u32,
        room: &Arc<Room>,
    ) -> Self {
        Self {
            compiled,
            limits,
            runs_per_instance,
            meter: Arc::new(Meter::new(room)),
            idle: Mutex::default(),
        }
    }

    fn instance(&self) -> Result<Instance, Fault> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        match idle {
            Some(instance) => Ok(instance),
            None => Instance::new(
                &self.compiled.engine,
                &self.compiled.pre,
                self.limits,
                self.runs_per_instance,
                &self.meter,
            ),
        }
    }

    /// Keeps an instance for its next run, if it may have one.
    fn give_back(&self, mut instance: Instance, session: ResourceAny) {
        instance.renew();
        if instance.runs == 0 || instance.forget(session).is_err() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(instance);
        }
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

    fn figures(&self) -> Figures {
        self.0.meter.figures()
    }

    fn validate(&self, config: &str) -> Result<(), String> {
        let instance = self.0.instance();
        let answer = instance.and_then(|mut instance| {
            instance
                .call(|store, exports| exports.probity_check_guest().call_validate(store, config))
        });
        match answer {
            Ok(answer) => answer,
            Err(fault) => {
                let name = &self.description().name;
                Err(format!(
                    "the check {name} broke while it looked at it: it {fault}"
                ))
            }
        }
    }

    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Session>, Fault> {
        let mut instance = self.0.instance()?;
        let context = convert::context(context);
        let session = instance.call(|store, exports| {
            let session = exports.probity_check_guest().session();
            session.call_constructor(store, &context)
        })?;
        Ok(Box::new(Talk {
            check: self.clone(),
            used: instance.take_used(),
            state: Some((instance, session)),
        }))
    }
}

/// One run.
struct Talk {
    check: Check,
    /// Fuel that the engine has not been told of.
    used: u64,
    /// Nothing once the guest has broken.
    state: Option<(Instance, ResourceAny)>,
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
        let Some((mut instance, session)) = self.state.take() else {
            return Ok(());
        };
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let event = convert::event(event);
        let actions = instance.call(|store, exports| {
            let guest = exports.probity_check_guest().session();
            guest.call_on_event(store, session, now, &event)
        });
        self.used = self.used.saturating_add(instance.take_used());
        let actions = actions?;
        actions
            .iter()
            .try_for_each(|action| convert::push(action, sink))?;
        self.state = Some((instance, session));
        Ok(())
    }

    fn take_fuel(&mut self) -> u64 {
        mem::take(&mut self.used)
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Some((instance, session)) = self.state.take() {
            self.check.0.give_back(instance, session);
        }
    }
}
