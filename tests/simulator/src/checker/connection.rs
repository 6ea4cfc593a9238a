//! Every connection that is opened is closed, once, and used only between.

use probity_engine::{Conn, Engine, Input, Instant, Output, RunId, limits};

use super::{Checker, Seen};

/// Follows connections from `Open` to `Close` or `Closed`.
#[derive(Debug, Default)]
pub struct Connections {
    /// Those that exist, by slot of their run.
    open: Vec<Vec<(RunId, Conn, State)>>,
    /// Runs with connections that are gone.
    gone: Vec<RunId>,
}

/// ```text
/// Opening -> Open -> Securing -> Secured -> Nesting -> Nested
///    `---------`-------`-----------`---------`---------`---> Gone -> forgotten
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    Securing,
    Secured,
    /// There may be a second layer inside, with who is behind a proxy.
    Nesting,
    Nested,
    /// The world ended it. What the engine asked for before it was told may
    /// still name it, until the engine has nothing more to say.
    Gone,
}

impl Connections {
    fn of(&mut self, run: RunId) -> &mut Vec<(RunId, Conn, State)> {
        let slot = run.slot() as usize;
        if slot >= self.open.len() {
            self.open.resize_with(slot + 1, Vec::new);
        }
        &mut self.open[slot]
    }

    fn find(&mut self, run: RunId, conn: Conn) -> Option<&mut State> {
        let mut known = self.of(run).iter_mut();
        known
            .find(|(whose, which, _)| (*whose, *which) == (run, conn))
            .map(|(_, _, state)| state)
    }

    fn asked(&mut self, run: RunId, output: &Output<'_>) -> Result<(), String> {
        match output {
            Output::Open(conn, _) => {
                if self.find(run, *conn).is_some() {
                    return Err(format!("run {run} opened {conn:?} twice"));
                }
                let open = self.of(run);
                let mut others = open.iter().filter(|(.., state)| *state != State::Gone);
                if let Some((other, ..)) = others.find(|(whose, ..)| *whose != run) {
                    return Err(format!("run {other} left a connection open to {run}"));
                }
                open.push((run, *conn, State::Opening));
                let live = open.iter().filter(|(.., state)| *state != State::Gone);
                let live = live.count();
                if live > limits::MAX_OPEN {
                    return Err(format!("run {run} has {live} connections"));
                }
            }
            Output::Secure(conn, _) => match self.find(run, *conn) {
                Some(state @ State::Open) => *state = State::Securing,
                Some(state @ State::Secured) => *state = State::Nesting,
                Some(State::Gone) => {}
                state => return Err(format!("run {run} secures {conn:?}, which is {state:?}")),
            },
            Output::Send(conn, _) | Output::Flush(conn) => match self.find(run, *conn) {
                Some(State::Open | State::Secured | State::Nested | State::Gone) => {}
                state => return Err(format!("run {run} sends on {conn:?}, which is {state:?}")),
            },
            Output::Close(conn) => {
                if self.find(run, *conn).is_none() {
                    return Err(format!("run {run} closes {conn:?}, which is not open"));
                }
                self.of(run)
                    .retain(|(whose, which, _)| (*whose, *which) != (run, *conn));
            }
            Output::Report(_) => {
                let mut open = self.of(run).iter();
                if let Some((_, conn, _)) = open.find(|(.., state)| *state != State::Gone) {
                    return Err(format!("run {run} reported and left {conn:?} open"));
                }
            }
            Output::Resolve(..) => {}
        }
        Ok(())
    }

    /// News about a connection that is not open is the engine's to ignore.
    fn told(&mut self, run: RunId, input: &Input<'_>) {
        match input {
            Input::Opened(conn) => {
                if let Some(state) = self.find(run, *conn) {
                    *state = State::Open;
                }
            }
            Input::Secured(conn, _) => {
                if let Some(state) = self.find(run, *conn) {
                    *state = match state {
                        State::Nesting => State::Nested,
                        _ => State::Secured,
                    };
                }
            }
            Input::Closed(conn, _) => {
                if let Some(state) = self.find(run, *conn) {
                    *state = State::Gone;
                    self.gone.push(run);
                }
            }
            _ => {}
        }
    }
}

impl Checker for Connections {
    fn name(&self) -> &'static str {
        "connections"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>) -> Result<(), String> {
        match seen {
            Seen::Output(run, output) => return self.asked(*run, output),
            Seen::Input(run, input) => self.told(*run, input),
            _ => {}
        }
        Ok(())
    }

    fn settled(&mut self, _: Instant, _: &Engine) -> Result<(), String> {
        while let Some(run) = self.gone.pop() {
            self.of(run).retain(|(.., state)| *state != State::Gone);
        }
        Ok(())
    }

    fn finish(&mut self, _: Instant, _: &Engine) -> Result<(), String> {
        match self.open.iter().flatten().next() {
            Some((run, conn, _)) => Err(format!("{conn:?} of run {run} was never closed")),
            None => Ok(()),
        }
    }
}
