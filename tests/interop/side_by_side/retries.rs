//! What is asked again, and why it may be: a difference that does not come again is
//! a defect that comes sometimes, unless the reference itself shows now this and now
//! that. How often it was is counted.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Difference;

/// How often a case is compared at most.
pub(crate) const TRIES: usize = 3;

/// How many times all cases together may be asked again.
const A_HANDFUL: usize = 5;

/// Whether all of these are where the reference differs from what it showed before.
pub(crate) fn are_excused(open: &[&Difference], unsteady: &[Difference]) -> bool {
    let is_unsteady = |it: &&Difference| unsteady.iter().any(|other| other.field == it.field);
    open.iter().all(is_unsteady)
}

/// Those of a suite.
#[derive(Default)]
pub(crate) struct Retries(Mutex<Vec<String>>);

impl Retries {
    pub(crate) fn note(&self, case: &str, open: &[&Difference]) {
        let fields: Vec<&str> = open.iter().map(|it| it.field.as_str()).collect();
        self.lock().push(format!("{case}: {}", fields.join(", ")));
    }

    /// Says which there were.
    ///
    /// # Errors
    /// If there were more than a handful.
    pub(crate) fn are_few(&self) -> Result<(), String> {
        let lines = self.lock();
        let (count, list) = (lines.len(), lines.join("\n  "));
        if count > A_HANDFUL {
            return Err(format!(
                "expected at most {A_HANDFUL} comparisons to be made again because the reference \
                 differs from itself, found {count}: make their servers steadier\n  {list}"
            ));
        }
        eprintln!("{count} comparisons were made again\n  {list}");
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
