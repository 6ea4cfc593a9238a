#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! CEL expressions over JSON bodies: `fail_if_body_json_matches_cel`.
//!
//! The engine knows expressions by [`Expression`]; this crate makes them with
//! the `cel` crate, which needs `std` and so stands beside the engine. As in
//! blackbox_exporter there is one variable, `body`, whose numbers are doubles,
//! and the standard functions and macros.
//!
//! The pattern of `matches` has to be a literal; it is compiled with the
//! expression, in the syntax and with the semantics of RE2.
//!
//! # Bounds
//!
//! The expression is the user's, the body the peer's. A body has at most
//! [`MAX_VALUES`] values; the engine bounds its bytes. Before an expression is
//! evaluated, the most that it may cost on a body of this size is worked out,
//! with every operator, function and macro weighed by the size of what it may
//! touch or copy (see `cost.rs`); beyond [`MAX_STEPS`] there is no answer.

mod cost;
mod json;
mod matches;
mod names;
mod types;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::{Context, Env, ExecutionError, IdedExpr, Value};
use probity_engine::config::{Expression, Pattern};

/// Steps that one evaluation may take: a value looked at or copied, or 32 bytes
/// of text. At this bound, and at [`MAX_VALUES`], the expressions of the test
/// `measured` take at most some tens of milliseconds, parsing included.
pub const MAX_STEPS: u64 = 500_000;

/// Values of a body, lists and maps included.
pub const MAX_VALUES: u32 = 50_000;

/// Bytes of an expression.
pub const MAX_SOURCE_BYTES: usize = 16 * 1024;

/// Characters of an expression that may be of operators, those in texts included.
/// Each may add a level to what is then walked by recursion, on stacks of 2 MiB.
pub const MAX_OPERATORS: usize = 512;

/// What makes an expression deeper.
const OPERATORS: &[u8] = b"+-*/%.[({?&|=<>!";

struct Compiled {
    source: Box<str>,
    expression: IdedExpr,
    patterns: Vec<Arc<Pattern>>,
    env: Arc<Env>,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.source)
    }
}

/// Compiles an expression.
///
/// # Errors
/// A sentence that says what is wrong with it, without the expression itself:
/// its grammar, a variable or function that does not exist, or types that do
/// not go together.
pub fn compile(source: &str) -> Result<Arc<dyn Expression>, String> {
    if source.trim().is_empty() {
        return Err("expected an expression, found nothing".into());
    }
    if source.len() > MAX_SOURCE_BYTES {
        return Err(format!(
            "expected at most {MAX_SOURCE_BYTES} bytes, found {}",
            source.len()
        ));
    }
    let operators = source.bytes().filter(|byte| OPERATORS.contains(byte));
    let operators = operators.count();
    if operators > MAX_OPERATORS {
        return Err(format!(
            "expected at most {MAX_OPERATORS} characters of operators, found {operators}"
        ));
    }
    let env = Arc::new(Env::stdlib());
    // The grammar's own error handling is not ours to vouch for.
    let parsed = catch_unwind(AssertUnwindSafe(|| parse(&env, source)));
    let mut expression = parsed.map_err(|_| "expected an expression in CEL".to_owned())??;
    names::check(&expression)?;
    types::check(&expression)?;
    let patterns = matches::compile(&mut expression)?;
    Ok(Arc::new(Compiled {
        source: source.into(),
        expression,
        patterns,
        env,
    }))
}

fn parse(env: &Env, source: &str) -> Result<IdedExpr, String> {
    env.parser().parse(source).map_err(|errors| {
        let text = errors.to_string();
        text.lines().next().unwrap_or_default().trim().to_owned()
    })
}

impl Compiled {
    /// The most steps that an evaluation takes on a body of this size.
    fn steps(&self, size: f64) -> f64 {
        cost::of(&self.expression, &self.patterns, size)
    }
}

impl Expression for Compiled {
    fn source(&self) -> &str {
        &self.source
    }

    fn read(&self, json: &[u8]) -> Result<Box<dyn Any>, String> {
        Ok(Box::new(json::parse(json)?))
    }

    fn holds(&self, body: &dyn Any) -> Result<bool, String> {
        let Some(body) = body.downcast_ref::<json::Body>() else {
            return Err("the body was read by another evaluator".into());
        };
        let steps = self.steps(body.size);
        if steps > MAX_STEPS as f64 {
            return Err(format!(
                "the body is too large for this expression: \
                 expected at most {MAX_STEPS} steps, found that it may take {steps:.0}"
            ));
        }
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.add_variable_from_value("body", body.value.clone());
        matches::provide(&self.patterns, &mut context)?;
        // A mistake in the evaluator must not end the worker: the body is the
        // peer's.
        let evaluate = AssertUnwindSafe(|| Value::resolve(&self.expression, &context));
        match catch_unwind(evaluate) {
            Ok(Ok(Value::Bool(holds))) => Ok(holds),
            Ok(Ok(other)) => Err(format!("expected true or false, found {}", kind(&other))),
            Ok(Err(error)) => Err(words(&error)),
            Err(_) => Err("the evaluation failed".into()),
        }
    }
}

fn kind(value: &Value) -> String {
    format!("a value of type {}", value.type_of())
}

fn words(error: &ExecutionError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
