//! `matches`: its patterns are compiled with the expression.
//!
//! The library's own compiles a pattern whenever it meets it, whosever it is,
//! which takes far longer than matching. Ours wants a literal, in RE2's syntax
//! and with its semantics, and each is a function of its own.

use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue};
use cel::{Context, ExecutionError, IdedExpr, Value};
use probity_engine::config::Pattern;

/// Before the number of a pattern in the name of its function: nothing that
/// can be written in CEL.
const PREFIX: &str = "@matches ";

/// Which pattern a function matches.
pub(crate) fn number(function: &str) -> Option<usize> {
    function.strip_prefix(PREFIX)?.parse().ok()
}

/// Compiles the patterns of an expression and puts their functions in place.
pub(crate) fn compile(expression: &mut IdedExpr) -> Result<Vec<Arc<Pattern>>, String> {
    let mut patterns = Vec::new();
    replace(expression, &mut patterns)?;
    Ok(patterns)
}

fn replace(expression: &mut IdedExpr, patterns: &mut Vec<Arc<Pattern>>) -> Result<(), String> {
    match &mut expression.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => {}
        Expr::Select(select) => replace(&mut select.operand, patterns)?,
        Expr::List(list) => {
            for element in &mut list.elements {
                replace(element, patterns)?;
            }
        }
        Expr::Map(map) => entries(
            map.entries.iter_mut().map(|entry| &mut entry.expr),
            patterns,
        )?,
        Expr::Struct(of) => entries(of.entries.iter_mut().map(|entry| &mut entry.expr), patterns)?,
        Expr::Comprehension(of) => {
            for part in [
                &mut of.iter_range,
                &mut of.accu_init,
                &mut of.loop_cond,
                &mut of.loop_step,
                &mut of.result,
            ] {
                replace(part, patterns)?;
            }
        }
        Expr::Call(call) => {
            for operand in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
                replace(operand, patterns)?;
            }
            if call.func_name == "matches" {
                matches(call, patterns)?;
            }
        }
    }
    Ok(())
}

fn entries<'a>(
    entries: impl Iterator<Item = &'a mut EntryExpr>,
    patterns: &mut Vec<Arc<Pattern>>,
) -> Result<(), String> {
    for entry in entries {
        match entry {
            EntryExpr::StructField(field) => replace(&mut field.value, patterns)?,
            EntryExpr::MapEntry(entry) => {
                replace(&mut entry.key, patterns)?;
                replace(&mut entry.value, patterns)?;
            }
        }
    }
    Ok(())
}

/// `text.matches(pattern)` or `matches(text, pattern)`.
fn matches(call: &mut CallExpr, patterns: &mut Vec<Arc<Pattern>>) -> Result<(), String> {
    let operands = usize::from(call.target.is_some()) + call.args.len();
    let (2, Some(pattern)) = (operands, call.args.pop()) else {
        return Err("expected a text and a pattern for `matches`".into());
    };
    let Expr::Literal(LiteralValue::String(source)) = pattern.expr else {
        return Err("expected a string literal as the pattern of `matches`: \
             patterns are compiled when the module is loaded"
            .into());
    };
    let pattern = Pattern::new(source.inner())?;
    call.args.extend(call.target.take().map(|target| *target));
    call.func_name = format!("{PREFIX}{}", patterns.len());
    patterns.push(Arc::new(pattern));
    Ok(())
}

/// Adds the function of each pattern.
pub(crate) fn provide(
    patterns: &[Arc<Pattern>],
    context: &mut Context<'_, '_>,
) -> Result<(), String> {
    for (number, pattern) in patterns.iter().enumerate() {
        let pattern = Arc::clone(pattern);
        let function = move |text: Value| match text {
            Value::String(text) => Ok(pattern.is_match(text.as_bytes())),
            other => Err(ExecutionError::function_error(
                "matches",
                format!("expected a string, found {}", crate::kind(&other)),
            )),
        };
        context
            .add_function(&format!("{PREFIX}{number}"), function)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}
