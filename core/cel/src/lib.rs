#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! CEL expressions over JSON bodies: `fail_if_body_json_matches_cel`.
//!
//! The engine knows expressions by [`Expression`]; this crate makes them and
//! evaluates them. As in blackbox_exporter there is one variable, `body`, whose
//! numbers are doubles, and the standard functions and macros.
//!
//! The `cel` crate parses, and has the functions of timestamps and durations. It
//! cannot be told to stop, and copies what a macro goes over, so that what is
//! parsed is made a plan of our own, and gone through with a count.
//!
//! The pattern of `matches` is compiled with the expression, in the syntax and with
//! the semantics of RE2. One that is no literal [cannot be had](NoAnswer::Beyond).
//!
//! # Bounds
//!
//! The expression is the user's, the body the peer's, and whoever evaluates is a
//! worker with other things to do. A body has at most
//! [`MAX_JSON_BODY_BYTES`](probity_engine::limits::MAX_JSON_BODY_BYTES). An
//! evaluation ends after [`MAX_STEPS`] steps, which are counted as they are taken,
//! wherever it is: within a text, a list, a macro or a pattern. That is no
//! failure of the target: it has [no answer](NoAnswer::Beyond).

mod calls;
mod eval;
mod halt;
mod json;
mod meter;
mod names;
mod pattern;
mod plan;
mod types;
mod value;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use cel::{Env, IdedExpr};
use probity_engine::config::{Expression, NoAnswer};

use halt::Halt;
use meter::Meter;
use plan::Program;
use value::Value;

/// Steps that one evaluation may take: a part of the expression or a value that
/// is looked at, 32 bytes of text that are compared or copied, 8 bytes that a
/// pattern goes through. One takes about 20 ns, so that all of them take some
/// tens of milliseconds, and makes at most 32 bytes.
pub const MAX_STEPS: u64 = 2_000_000;

/// Bytes of an expression.
pub const MAX_SOURCE_BYTES: usize = 16 * 1024;

/// Characters of an expression that may be of operators, those in texts included.
/// Each may add a level to what is then walked by recursion: an evaluation takes at most
/// some 300 KiB of stack.
pub const MAX_OPERATORS: usize = 512;

/// What makes an expression deeper.
const OPERATORS: &[u8] = b"+-*/%.[({?&|=<>!";

/// Stack to compile on. Parsing takes some 8 KiB for a level of brackets and 1.5 KiB for an
/// operator, up to 1.5 MiB, and who calls may have less.
const STACK: usize = 4 << 20;

struct Compiled {
    source: Box<str>,
    program: Program,
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
    let program = on_own_stack(|| {
        let expression = parse(source)?;
        names::check(&expression)?;
        types::check(&expression)?;
        plan::make(&expression)
    })?;
    Ok(Arc::new(Compiled {
        source: source.into(),
        program,
    }))
}

/// Compiles with a stack that is large enough, on a thread that ends before this returns.
/// In Wasm there are no threads, and who uses up the stack traps.
fn on_own_stack(
    compile: impl FnOnce() -> Result<Program, String> + Send,
) -> Result<Program, String> {
    if cfg!(target_family = "wasm") {
        return compile();
    }
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        let thread = thread.spawn_scoped(scope, compile);
        let thread = thread
            .map_err(|error| format!("expected a thread to compile it on, found none: {error}"))?;
        // The grammar's own error handling is not ours to vouch for.
        let made = thread.join();
        made.unwrap_or_else(|_| Err("expected an expression in CEL".into()))
    })
}

fn parse(source: &str) -> Result<IdedExpr, String> {
    let parser = Env::stdlib().parser().enable_ident_escape_syntax(true);
    parser.parse(source).map_err(|errors| {
        let text = errors.to_string();
        text.lines().next().unwrap_or_default().trim().to_owned()
    })
}

impl Expression for Compiled {
    fn source(&self) -> &str {
        &self.source
    }

    fn unspoken(&self) -> Option<&str> {
        self.program.unspoken.as_deref()
    }

    fn read(&self, json: &[u8]) -> Result<Box<dyn Any>, NoAnswer> {
        Ok(Box::new(json::parse(json)?))
    }

    fn holds(&self, body: &dyn Any) -> Result<bool, NoAnswer> {
        let Some(body) = body.downcast_ref::<json::Body>() else {
            let why = "the body was read by another evaluator";
            return Err(NoAnswer::Failed(why.into()));
        };
        let mut meter = Meter::new(MAX_STEPS);
        // A mistake in the evaluator, or in the library, must not end the worker:
        // the body is the peer's.
        let evaluate = AssertUnwindSafe(|| answer(eval::run(&self.program, body, &mut meter)));
        catch_unwind(evaluate)
            .unwrap_or_else(|_| Err(NoAnswer::Failed("the evaluation failed".into())))
    }
}

/// What an evaluation says.
fn answer(found: Result<Value<'_>, Halt<'_>>) -> Result<bool, NoAnswer> {
    match found {
        Ok(Value::Bool(holds)) => Ok(holds),
        Ok(other) => Err(NoAnswer::Failed(format!(
            "expected true or false, found a value of type {}",
            other.kind()
        ))),
        Err(Halt::Error(error)) => Err(NoAnswer::Failed(error.to_string())),
        Err(Halt::Beyond) => Err(NoAnswer::Beyond(format!(
            "the expression took more than {MAX_STEPS} steps on this body: \
             expect less of each item, or look at fewer (`x in list` within \
             `all` goes through the list for every item; a map is looked up at once)"
        ))),
        Err(Halt::Unspoken(why)) => Err(NoAnswer::Beyond(why.to_owned())),
    }
}

#[cfg(test)]
mod tests;
