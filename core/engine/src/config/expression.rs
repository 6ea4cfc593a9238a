//! Expressions over JSON bodies, which the host evaluates for the engine.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;
use core::fmt;

/// A compiled expression that says yes or no about a body.
///
/// The body is the peer's, and the evaluation keeps the worker from its other
/// runs: whatever the body, it must end within some tens of milliseconds, if
/// need be [without an answer](NoAnswer::Beyond).
pub trait Expression: fmt::Debug + Send + Sync {
    /// The expression as it was written.
    fn source(&self) -> &str;

    /// What of it cannot be evaluated here, whatever the body is: there is no answer
    /// ([`NoAnswer::Beyond`]) where it is come to. For whoever loads it.
    fn unspoken(&self) -> Option<&str> {
        None
    }

    /// Reads the JSON text of a body, once for all expressions of a host. What
    /// comes of it is the host's business.
    ///
    /// # Errors
    /// That the body is no JSON, or that it is beyond a bound.
    fn read(&self, json: &[u8]) -> Result<Box<dyn Any>, NoAnswer>;

    /// Evaluates the expression with `body` being what was read.
    ///
    /// # Errors
    /// Why there is no answer: the result is neither true nor false, its
    /// evaluation failed, or it is beyond a bound.
    fn holds(&self, body: &dyn Any) -> Result<bool, NoAnswer>;
}

/// Why an [`Expression`] says neither yes nor no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The body is not as the expression wants it: the target fails, with this
    /// sentence.
    Failed(String),
    /// The host does not go so far, which is not the target's fault: the run is
    /// unknown. The sentence says what the bound is, and what may be done.
    Beyond(String),
}

/// A shared [`Expression`]; two are equal if they are written alike.
#[derive(Clone)]
pub(crate) struct Cel(pub(crate) Arc<dyn Expression>);

impl PartialEq for Cel {
    fn eq(&self, other: &Self) -> bool {
        self.0.source() == other.0.source()
    }
}

impl fmt::Debug for Cel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.source())
    }
}
