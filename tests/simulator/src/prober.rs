//! What a world can drive: the engine, or the engine with a defect put in.

use probity_engine::{Engine, Input, Instant, Output, RunId};

/// The part of an engine's interface that a world uses with every event, so
/// that something can stand between the two.
pub trait Prober {
    /// The engine itself, to look at.
    fn engine(&self) -> &Engine;

    /// The engine itself, to add and remove targets.
    fn engine_mut(&mut self) -> &mut Engine;

    /// See [`Engine::handle_input`].
    fn handle_input(&mut self, run: RunId, input: Input<'_>, now: Instant) {
        self.engine_mut().handle_input(run, input, now);
    }

    /// See [`Engine::handle_timeout`].
    fn handle_timeout(&mut self, now: Instant) {
        self.engine_mut().handle_timeout(now);
    }

    /// See [`Engine::poll_timeout`].
    fn poll_timeout(&self) -> Option<Instant> {
        self.engine().poll_timeout()
    }

    /// Passes on what [`Engine::poll_output`] yields, until it yields nothing.
    fn drain(&mut self, _now: Instant, sink: &mut dyn FnMut(RunId, Output<'_>)) {
        let engine = self.engine_mut();
        while let Some((run, output)) = engine.poll_output() {
            sink(run, output);
        }
    }
}

impl Prober for Engine {
    fn engine(&self) -> &Engine {
        self
    }

    fn engine_mut(&mut self) -> &mut Engine {
        self
    }
}
