//! An expression that is looked for piece by piece: what the search takes is
//! counted while it is done, and it may be left off after any byte.
//!
//! A regular expression may need a state for each of its repetitions at every
//! byte, or hardly any, depending on a text that is the peer's. So states are
//! made when they are first needed, in memory of a bounded size, and each that
//! is made is counted with what it may cost.

use alloc::sync::Arc;
use core::fmt;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Builder, Cache, DFA};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::prefilter::Prefilter;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, Span};

use super::Pattern;

/// Bytes of states that a search keeps at once, beyond what two of them take.
const STATES: usize = 256 << 10;

/// Bytes of a text that are looked at before it is known whether they are UTF-8.
/// At least 4, of which one character is.
const WINDOW: usize = 4 << 10;

/// What making a state costs on top of what its parts do, in bytes that are gone
/// through where the states are known.
const STATE: usize = 128;

/// Bytes that are passed over for the work of one where only what matches begin
/// with is looked for.
const PASSED: usize = 16;

/// What it takes to begin with that.
const LOOK: usize = 8;

/// What stands for a byte that is no part of valid UTF-8, as in Go.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// A [`Pattern`] that can be looked for piece by piece, by a [`Search`].
///
/// Work is counted in bytes that are gone through where the states are known,
/// about 4 ns each.
#[derive(Clone)]
pub struct Automaton {
    pattern: Pattern,
    /// `None` if it is too large.
    dfa: Option<Arc<DFA>>,
}

impl Automaton {
    /// Compiles the automaton of a pattern.
    pub fn new(pattern: &Pattern) -> Self {
        Self {
            pattern: pattern.clone(),
            dfa: pattern.translated().and_then(compile).map(Arc::new),
        }
    }

    /// The pattern.
    pub const fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Whether the pattern occurs in `text`: at once, in however long that takes.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.pattern.is_match(text)
    }

    /// What that takes at most with so many bytes, however many states it needs.
    pub fn most_work(&self, bytes: usize) -> usize {
        bytes.saturating_mul(1 + self.all_parts())
    }

    /// How many parts there are of which a state may consist.
    fn all_parts(&self) -> usize {
        let dfa = self.dfa.as_ref();
        dfa.map_or(0, |dfa| dfa.get_nfa().states().len())
    }
}

/// The automaton of a translated pattern; `None` if it is too large.
fn compile(translated: &str) -> Option<DFA> {
    let syntax = syntax::Config::new().nest_limit(Pattern::MAX_NEST);
    let parsed = syntax::parse_with(translated, &syntax).ok()?;
    let limits = thompson::Config::new()
        .which_captures(WhichCaptures::None)
        .nfa_size_limit(Some(Pattern::MAX_COMPILED_BYTES));
    let mut compiler = NFA::compiler();
    let nfa = compiler.configure(limits).build_from_hir(&parsed).ok()?;
    // All matches: those that are no matches, see `Search`, must not end the search.
    let kind = MatchKind::All;
    // Where nothing has begun to match the search is in one state, if that does not
    // depend on what stands before.
    let beginnings = match nfa.look_set_prefix_any().is_empty() {
        true => Prefilter::from_hir_prefix(kind, &parsed).filter(Prefilter::is_fast),
        false => None,
    };
    let config = DFA::config()
        .match_kind(kind)
        .prefilter(beginnings)
        .cache_capacity(STATES)
        .skip_cache_capacity_check(true);
    let mut builder = Builder::new();
    builder.configure(config).build_from_nfa(nfa).ok()
}

impl PartialEq for Automaton {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl fmt::Debug for Automaton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pattern.fmt(f)
    }
}

/// A search for an [`Automaton`]'s pattern, which must be the same in each call.
/// It takes about 256 KiB at most, or what two states of a large pattern do.
#[derive(Debug)]
pub struct Search {
    cache: Option<Cache>,
    /// `None` before the first byte.
    state: Option<LazyStateID>,
    read: usize,
    /// Up to where the text is known to be UTF-8.
    valid: usize,
}

impl Search {
    /// A search that has not begun.
    pub fn new(automaton: &Automaton) -> Self {
        Self {
            cache: automaton.dfa.as_ref().map(|dfa| dfa.create_cache()),
            state: None,
            read: 0,
            valid: 0,
        }
    }

    /// Begins anew, with another text: the states that it knows are the same.
    pub const fn restart(&mut self) {
        self.state = None;
        (self.read, self.valid) = (0, 0);
    }

    /// Bytes that have been gone through.
    pub const fn read(&self) -> usize {
        self.read
    }

    /// Goes on until so much `work` is done. Says whether the pattern occurs in
    /// `text`, the same in each call, once that is known, which is what
    /// [`Pattern::is_match`] says; and how much it has done, of which the last bit
    /// may be too much.
    pub fn go_on(
        &mut self,
        automaton: &Automaton,
        text: &[u8],
        work: usize,
    ) -> (Option<bool>, usize) {
        let (Some(dfa), Some(cache)) = (&automaton.dfa, &mut self.cache) else {
            return (Some(automaton.is_match(text)), 0);
        };
        let mut run = Run {
            dfa,
            cache,
            cost: STATE + automaton.all_parts(),
            work,
            done: 0,
        };
        let place = (&mut self.read, &mut self.valid);
        let found = match run.go_on(&mut self.state, text, place) {
            Ok(found) => found,
            // An automaton without bounds but those above does not give up.
            Err(GaveUp) => Some(automaton.is_match(text)),
        };
        (found, run.done)
    }
}

/// Why there is no next state.
struct GaveUp;

/// A part of a search.
struct Run<'a> {
    dfa: &'a DFA,
    cache: &'a mut Cache,
    /// What making a state costs.
    cost: usize,
    /// What may be done, and what is.
    work: usize,
    done: usize,
}

impl Run<'_> {
    fn go_on(
        &mut self,
        at: &mut Option<LazyStateID>,
        text: &[u8],
        (read, valid): (&mut usize, &mut usize),
    ) -> Result<Option<bool>, GaveUp> {
        let mut state = match *at {
            Some(state) => state,
            None => *at.insert(self.begin()?),
        };
        loop {
            let found = if *read == text.len() {
                let last = self.dfa.next_eoi_state(self.cache, state);
                Some(last.map_err(|_| GaveUp)?.is_match())
            } else if self.done >= self.work {
                return Ok(None);
            } else if let Some(known @ [_, ..]) = text.get(*read..*valid) {
                let (next, count, found) = self.step(state, known)?;
                *read += count;
                state = next;
                found
            } else {
                *valid = *read + valid_up_to(&text[*read..]);
                if *valid > *read {
                    continue;
                }
                *valid = *read + 1;
                *read += 1;
                // In one go, however little work is left.
                let (next, found) = self.replaced(state)?;
                state = next;
                found
            };
            *at = Some(state);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// The state before the first byte.
    fn begin(&mut self) -> Result<LazyStateID, GaveUp> {
        let nothing = Input::new("").anchored(Anchored::No);
        let before = self.cache.memory_usage();
        let state = self.dfa.start_state_forward(self.cache, &nothing);
        // A search that is used again knows it.
        if self.cache.memory_usage() != before {
            self.done += self.cost;
        }
        state.map_err(|_| GaveUp)
    }

    /// Goes through what stands for a byte that is not UTF-8.
    fn replaced(&mut self, mut state: LazyStateID) -> Result<(LazyStateID, Option<bool>), GaveUp> {
        for byte in REPLACEMENT {
            self.work = self.work.max(self.done + 1);
            let (next, _, found) = self.step(state, &[*byte])?;
            if found.is_some() {
                return Ok((next, found));
            }
            state = next;
        }
        Ok((state, None))
    }

    /// Goes through as many bytes as there is work left for. Gives the state after
    /// them, how many they were, and what is known.
    fn step(
        &mut self,
        mut state: LazyStateID,
        bytes: &[u8],
    ) -> Result<(LazyStateID, usize, Option<bool>), GaveUp> {
        let mut at = 0;
        while at < bytes.len() && self.done < self.work {
            if state.is_start() {
                at += self.pass_over(&bytes[at..]);
                let Some(byte) = bytes.get(at) else {
                    break;
                };
                state = self.leave_start(state, *byte)?;
                at += 1;
            } else {
                let (next, count) = self.walk(state, &bytes[at..])?;
                state = next;
                at += count;
            }
            // It says so of what ends before this byte. Within a character
            // there is nothing, of which an expression may think otherwise.
            if state.is_match() && (bytes[at - 1] as i8) >= -0x40 {
                return Ok((state, at, Some(true)));
            }
            if state.is_dead() {
                return Ok((state, at, Some(false)));
            }
        }
        Ok((state, at, None))
    }

    /// Goes on to the first state that means something.
    fn walk(
        &mut self,
        mut state: LazyStateID,
        bytes: &[u8],
    ) -> Result<(LazyStateID, usize), GaveUp> {
        let mut done = self.done;
        let mut count = 0;
        for byte in bytes {
            if done >= self.work {
                break;
            }
            count += 1;
            done += 1;
            let known = match state.is_tagged() {
                true => None,
                false => Some(self.dfa.next_state_untagged(self.cache, state, *byte)),
            };
            state = match known {
                Some(next) if !next.is_unknown() => next,
                _ => {
                    done += self.cost;
                    let next = self.dfa.next_state(self.cache, state, *byte);
                    next.map_err(|_| GaveUp)?
                }
            };
            if state.is_tagged() {
                break;
            }
        }
        self.done = done;
        Ok((state, count))
    }

    /// How many of the first bytes nothing can begin to match at.
    fn pass_over(&mut self, bytes: &[u8]) -> usize {
        let Some(beginnings) = self.dfa.get_config().get_prefilter() else {
            return 0;
        };
        if bytes.len() < beginnings.max_needle_len() {
            return 0;
        }
        let left = (self.work - self.done).saturating_mul(PASSED);
        let bytes = &bytes[..bytes.len().min(left)];
        let passed = match beginnings.find(bytes, Span::from(0..bytes.len())) {
            Some(found) => found.start,
            // The beginning of one may be at the end.
            None => (bytes.len() + 1).saturating_sub(beginnings.max_needle_len()),
        };
        self.done += LOOK + passed / PASSED;
        passed
    }

    /// The state after one that [`DFA::next_state_untagged`] knows nothing of.
    fn leave_start(&mut self, state: LazyStateID, byte: u8) -> Result<LazyStateID, GaveUp> {
        let before = self.cache.memory_usage();
        let next = self.dfa.next_state(self.cache, state, byte);
        self.done += match self.cache.memory_usage() == before {
            true => 1,
            false => 1 + self.cost,
        };
        next.map_err(|_| GaveUp)
    }
}

/// How many of the first bytes of a text are UTF-8. Not more than a window of them,
/// but at least one character, if it begins with one.
fn valid_up_to(text: &[u8]) -> usize {
    let window = &text[..text.len().min(WINDOW)];
    match core::str::from_utf8(window) {
        Ok(_) => window.len(),
        Err(error) => error.valid_up_to(),
    }
}

#[cfg(test)]
mod tests;
