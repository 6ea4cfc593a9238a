//! `matches`: an automaton that is gone through step by step, so that what it
//! takes is counted while it is taken.
//!
//! A regular expression may need a state for each of its repetitions at every
//! byte, or hardly any, depending on a text that is the peer's. States are
//! made when they are first needed, in memory of a bounded size, and each that
//! is made is paid for.

use std::fmt;

use probity_engine::config::Pattern;
use regex_automata::hybrid::dfa::{Builder, Cache, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use crate::halt::{Error, Halt};
use crate::meter::Meter;

/// Bytes of states that are kept at once, beyond what two of them take.
const STATES: usize = 256 << 10;

/// Bytes that are gone through for one step where the states are known.
const BYTES_PER_STEP: usize = 8;

/// Parts of the expression that are looked at for one step when a state is made.
const PARTS_PER_STEP: usize = 2;

/// An expression in RE2's syntax, compiled.
pub(crate) struct Matcher {
    automaton: DFA,
    /// Steps that a new state takes.
    state: usize,
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher").finish_non_exhaustive()
    }
}

impl Matcher {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, in the words of [`Pattern::new`].
    pub(crate) fn new(source: &str) -> Result<Self, String> {
        let refused = |why: &dyn fmt::Display| {
            format!("\"Could not compile regular expression\" regexp=\"{source}\": {why}")
        };
        let pattern = Pattern::new(source)?;
        let translated = pattern.translated().ok_or_else(|| {
            let most = Pattern::MAX_COMPILED_BYTES;
            refused(&format_args!("it takes more than {most} bytes compiled"))
        })?;
        let automaton = Builder::new()
            .syntax(syntax::Config::new().nest_limit(Pattern::MAX_NEST))
            .thompson(
                thompson::Config::new()
                    .which_captures(WhichCaptures::None)
                    .nfa_size_limit(Some(Pattern::MAX_COMPILED_BYTES)),
            )
            .configure(
                DFA::config()
                    .cache_capacity(STATES)
                    .skip_cache_capacity_check(true),
            )
            .build(translated)
            .map_err(|error| refused(&error))?;
        let state = 8 + automaton.get_nfa().states().len() / PARTS_PER_STEP;
        Ok(Self { automaton, state })
    }

    /// Room for the states of one evaluation, which is then the same for each.
    pub(crate) fn room(&self) -> Cache {
        self.automaton.create_cache()
    }

    /// Whether the expression occurs in `text`.
    pub(crate) fn is_match<'a>(
        &self,
        text: &str,
        states: &mut Cache,
        meter: &mut Meter,
    ) -> Result<bool, Halt<'a>> {
        let failed = |_| {
            Halt::from(Error::Said(
                "the pattern has more states than there is room for",
            ))
        };
        let automaton = &self.automaton;
        meter.take(2)?;
        let input = Input::new(text).anchored(Anchored::No);
        let before = states.memory_usage();
        let mut state = automaton
            .start_state_forward(states, &input)
            .map_err(|_| failed(()))?;
        if states.memory_usage() != before {
            meter.take(self.state)?;
        }
        for piece in text.as_bytes().chunks(BYTES_PER_STEP) {
            meter.take(1)?;
            for byte in piece {
                let known = match state.is_tagged() {
                    true => None,
                    false => Some(automaton.next_state_untagged(states, state, *byte)),
                };
                state = match known {
                    Some(next) if !next.is_unknown() => next,
                    _ => {
                        meter.take(self.state)?;
                        automaton
                            .next_state(states, state, *byte)
                            .map_err(|_| failed(()))?
                    }
                };
                if state.is_tagged() {
                    if state.is_match() {
                        return Ok(true);
                    }
                    if state.is_dead() {
                        return Ok(false);
                    }
                }
            }
        }
        meter.take(1)?;
        let before = states.memory_usage();
        let last = automaton
            .next_eoi_state(states, state)
            .map_err(|_| failed(()))?;
        if states.memory_usage() != before {
            meter.take(self.state)?;
        }
        Ok(last.is_match())
    }
}
