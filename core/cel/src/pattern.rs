//! `matches`: an automaton that is gone through piece by piece, so that what it
//! takes is counted while it is taken.

use std::fmt;

use probity_engine::config::{Automaton, Pattern, Search};

use crate::halt::Halt;
use crate::meter::Meter;

/// Work of an automaton that is one step.
const WORK_PER_STEP: usize = 8;

/// An expression in RE2's syntax, compiled.
pub(crate) struct Matcher(Automaton);

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
        let pattern = Pattern::new(source)?;
        if pattern.is_too_large() {
            let most = Pattern::MAX_COMPILED_BYTES;
            return Err(format!(
                "\"Could not compile regular expression\" regexp=\"{source}\": it takes more than {most} bytes compiled"
            ));
        }
        Ok(Self(Automaton::new(&pattern)))
    }

    /// A search for the texts of one evaluation: what it knows of the expression
    /// is the same for each.
    pub(crate) fn search(&self) -> Search {
        Search::new(&self.0)
    }

    /// Whether the expression occurs in `text`.
    pub(crate) fn is_match<'a>(
        &self,
        text: &str,
        search: &mut Search,
        meter: &mut Meter,
    ) -> Result<bool, Halt<'a>> {
        meter.take(2)?;
        search.restart();
        let most = usize::try_from(meter.left()).unwrap_or(usize::MAX);
        let most = most.saturating_mul(WORK_PER_STEP);
        let (found, done) = search.go_on(&self.0, text.as_bytes(), most);
        meter.take(done.div_ceil(WORK_PER_STEP))?;
        found.ok_or(Halt::Beyond)
    }
}
