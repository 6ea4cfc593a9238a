//! A body against the expressions of its module, as far as each turn allows.

use core::fmt;

use super::config::Module;
use super::judge::{Fault, List};
use crate::check::Cx;
use crate::config::{Automaton, Search};
use crate::limits::DECODED_PER_TURN;

/// Work that is not worth to be counted.
const FREE: usize = DECODED_PER_TURN / 64;

/// How far the body has been matched.
#[derive(Debug)]
pub(super) struct Matching {
    list: List,
    index: u16,
    /// For the expression at that place, if it takes more than a turn.
    search: Option<Search>,
}

impl Matching {
    /// Begins with the first expression.
    pub(super) const fn new() -> Self {
        Self {
            list: List::Forbidden,
            index: 0,
            search: None,
        }
    }

    /// Goes on as far as this turn may. Says whether the body is as it should be;
    /// if that is not known yet, it has asked for the next turn.
    pub(super) fn go_on(
        &mut self,
        module: &Module,
        body: &[u8],
        cx: &mut Cx<'_>,
    ) -> Option<Result<(), Fault>> {
        loop {
            let Some(automaton) = self.list.patterns(module).get(usize::from(self.index)) else {
                if self.list == List::Required {
                    return Some(Ok(()));
                }
                (self.list, self.index) = (List::Required, 0);
                continue;
            };
            let Some(found) = self.is_match(automaton, body, cx) else {
                cx.go_on_later();
                return None;
            };
            if found == (self.list == List::Forbidden) {
                return Some(Err(Fault::Body(self.list, self.index)));
            }
            self.search = None;
            self.index += 1;
        }
    }

    /// Whether an expression occurs in the body. What cannot take more than a turn
    /// is done at once, in one.
    fn is_match(&mut self, automaton: &Automaton, body: &[u8], cx: &mut Cx<'_>) -> Option<bool> {
        let most = automaton.most_work(body.len());
        if most > FREE {
            // No more than a turn, though a host may have given us more.
            let work = cx.work_left().min(DECODED_PER_TURN);
            if work == 0 {
                return None;
            }
            if most > DECODED_PER_TURN {
                let search = self.search.get_or_insert_with(|| Search::new(automaton));
                let (found, done) = search.go_on(automaton, body, work);
                cx.worked(done);
                return found;
            }
            cx.did(most);
        }
        Some(automaton.is_match(body))
    }

    /// The sentence for a run whose time is over before that.
    pub(super) const fn unfinished<'a>(
        &'a self,
        module: &'a Module,
        body: &'a [u8],
    ) -> Unfinished<'a> {
        Unfinished(self, module, body.len())
    }
}

/// See [`Matching::unfinished`].
pub(super) struct Unfinished<'a>(&'a Matching, &'a Module, usize);

impl fmt::Display for Unfinished<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(
            Matching {
                list,
                index,
                search,
            },
            module,
            length,
        ) = self;
        let read = search.as_ref().map_or(0, Search::read);
        let field = list.field();
        write!(
            f,
            "the time was over when {read} of {length} bytes of the body had been matched \
             against {field}[{index}]: set a longer timeout, or a simpler expression"
        )?;
        match list.patterns(module).get(usize::from(*index)) {
            Some(pattern) => write!(f, " than {pattern:?}"),
            None => Ok(()),
        }
    }
}
