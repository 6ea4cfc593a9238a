#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! CEL expressions over JSON bodies: `fail_if_body_json_matches_cel`.
//!
//! The engine knows expressions by [`Expression`]; this crate makes them with
//! the `cel` crate, which needs `std` and so stands beside the engine. As in
//! blackbox_exporter there is one variable, `body`, whose numbers are doubles,
//! and the standard functions and macros.
//!
//! # Bounds
//!
//! The expression is the user's, the body the peer's. CEL always ends, but a
//! macro inside a macro multiplies: an expression is given up before it is
//! evaluated if the values of the body, to the power of the depth to which
//! macros are nested, are more than [`MAX_STEPS`]. A macro over a part of what
//! the macro around it is looking at is no deeper than that one, since all of
//! those parts together are no more than the whole. The engine bounds the
//! bytes of the body.

mod cost;
mod json;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::{Context, Env, ExecutionError, Program, Value};
use probity_engine::config::Expression;

/// Steps that macros may take in one evaluation.
pub const MAX_STEPS: u64 = 100_000;

/// Bytes of an expression.
pub const MAX_SOURCE_BYTES: usize = 16 * 1024;

struct Compiled {
    source: Box<str>,
    program: Program,
    env: Arc<Env>,
    /// How deep its macros are nested.
    depth: u32,
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
/// its grammar, or a variable or function that does not exist.
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
    let env = Arc::new(Env::stdlib());
    // The grammar's own error handling is not ours to vouch for.
    let parsed = catch_unwind(AssertUnwindSafe(|| env_compile(&env, source)));
    let program = parsed.map_err(|_| "expected an expression in CEL".to_owned())??;
    let depth = cost::depth(program.expression())?;
    Ok(Arc::new(Compiled {
        source: source.into(),
        program,
        env,
        depth,
    }))
}

fn env_compile(env: &Env, source: &str) -> Result<Program, String> {
    env.compile(source).map_err(|errors| {
        let text = errors.to_string();
        text.lines().next().unwrap_or_default().trim().to_owned()
    })
}

impl Expression for Compiled {
    fn source(&self) -> &str {
        &self.source
    }

    fn holds(&self, json: &[u8]) -> Result<bool, String> {
        let body = json::parse(json)?;
        let size = json::size(&body).max(self.source.len() as u64);
        if size
            .checked_pow(self.depth)
            .is_none_or(|steps| steps > MAX_STEPS)
        {
            return Err(format!(
                "the body has too many values ({size}) for macros that are nested {} deep",
                self.depth
            ));
        }
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.add_variable_from_value("body", json::value(body));
        // A mistake in the evaluator must not end the worker: the body is the
        // peer's.
        let evaluate = AssertUnwindSafe(|| self.program.execute(&context));
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
