//! The most that an evaluation can cost.
//!
//! Sizes and costs have one unit: a value looked at, or [`UNIT`] bytes of text.
//! What an operator may touch is counted in full, whether it stops early or
//! not; what it copies into an error counts as touched.
//!
//! A macro does its step once for each item. The items together are no more
//! than what it goes over, so that within the step, and only there, its own
//! variable has the size one; within a macro further in, it is as large as the
//! whole.

use std::sync::Arc;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};

use probity_engine::config::Pattern;

use crate::matches;

/// Bytes of text that are dealt with about as fast as a value is.
const UNIT: f64 = 32.0;

/// The size of a text.
pub(crate) fn of_bytes(bytes: usize) -> f64 {
    bytes as f64 / UNIT
}

/// What an evaluation costs at most on a body of this size, where these
/// `patterns` are matched.
pub(crate) fn of(expression: &IdedExpr, patterns: &[Arc<Pattern>], body: f64) -> f64 {
    let mut walk = Walk {
        patterns,
        variables: vec![("body", body)],
        innermost: 0,
    };
    walk.visit(expression).cost
}

/// How much longer a text is matched than it is read, when the automaton has
/// to go through every state at every byte: of those there are about as many
/// as the pattern has bytes, each repetition of a character or class counted,
/// and all of it multiplied by the repetitions of groups, wherever they are.
fn weight(pattern: &Arc<Pattern>) -> f64 {
    let source = pattern.source();
    let (mut states, mut times) = (source.len() as f64, 1.0);
    for (at, _) in source.match_indices('{') {
        let counts = source[at + 1..].split('}').next().unwrap_or_default();
        let numbers = counts
            .split(',')
            .filter_map(|count| count.parse::<u32>().ok());
        let most = f64::from(numbers.max().unwrap_or(0));
        match source[..at].ends_with([')', '}']) {
            true => times *= most.max(1.0),
            false => states += most,
        }
    }
    2.0 + 3.0 * states * times
}

#[derive(Clone, Copy)]
struct Most {
    cost: f64,
    /// Of the value that comes of it.
    size: f64,
}

struct Walk<'a> {
    patterns: &'a [Arc<Pattern>],
    /// `body` and the variables of the macros around, with the size of the
    /// whole that they are of.
    variables: Vec<(&'a str, f64)>,
    /// Where those of the innermost macro begin.
    innermost: usize,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, expression: &'a IdedExpr) -> Most {
        match &expression.expr {
            Expr::Unspecified => Most {
                cost: 1.0,
                size: 1.0,
            },
            Expr::Literal(literal) => {
                let size = 1.0
                    + match literal {
                        LiteralValue::String(text) => of_bytes(text.inner().len()),
                        LiteralValue::Bytes(bytes) => of_bytes(bytes.inner().len()),
                        _ => 0.0,
                    };
                Most { cost: size, size }
            }
            Expr::Ident(name) => {
                let found = self.variables.iter().enumerate().rev();
                let size = match { found }.find(|(_, (known, _))| known == name) {
                    Some((at, _)) if at > 0 && at >= self.innermost => 1.0,
                    Some((_, (_, size))) => *size,
                    None => 1.0,
                };
                Most {
                    cost: self.lookup(),
                    size,
                }
            }
            Expr::Select(select) => {
                let operand = self.visit(&select.operand);
                Most {
                    cost: operand.cost + self.lookup(),
                    size: operand.size,
                }
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.all(&list.elements),
            Expr::Map(map) => self.entries(map.entries.iter().map(|entry| &entry.expr)),
            Expr::Struct(of) => self.entries(of.entries.iter().map(|entry| &entry.expr)),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    /// A name is looked for in the scope of each macro around.
    fn lookup(&self) -> f64 {
        self.variables.len() as f64
    }

    /// A list or map that is made of copies.
    fn all(&mut self, expressions: impl IntoIterator<Item = &'a IdedExpr>) -> Most {
        let mut sum = Most {
            cost: 1.0,
            size: 1.0,
        };
        for expression in expressions {
            let found = self.visit(expression);
            sum.cost += found.cost + found.size;
            sum.size += found.size;
        }
        sum
    }

    fn entries(&mut self, entries: impl Iterator<Item = &'a EntryExpr>) -> Most {
        self.all(entries.flat_map(|entry| {
            match entry {
                EntryExpr::StructField(field) => [None, Some(&field.value)],
                EntryExpr::MapEntry(entry) => [Some(&entry.key), Some(&entry.value)],
            }
            .into_iter()
            .flatten()
        }))
    }

    fn call(&mut self, call: &'a CallExpr) -> Most {
        let operands: Vec<Most> = call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .map(|operand| self.visit(operand))
            .collect();
        let sizes = || operands.iter().map(|operand| operand.size);
        let sum: f64 = sizes().sum();
        let least = sizes().fold(f64::INFINITY, f64::min);
        let most = sizes().fold(1.0, f64::max);
        let index = call.args.get(1).map(|index| &index.expr);
        let (touched, size) = match call.func_name.as_str() {
            operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::NOT_STRICTLY_FALSE => (0.0, 1.0),
            // Neither looks further than the shorter one goes.
            operators::EQUALS | operators::NOT_EQUALS | "startsWith" | "endsWith" => (least, 1.0),
            operators::GREATER
            | operators::GREATER_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::IN
            | "contains" => (sum, 1.0),
            operators::CONDITIONAL => (0.0, most),
            operators::INDEX
                if matches!(
                    index,
                    Some(Expr::Literal(
                        LiteralValue::Int(_) | LiteralValue::String(_)
                    ))
                ) =>
            {
                (0.0, most)
            }
            // A fraction is no index, of which the error tells with a copy of
            // the list.
            operators::INDEX => (sum, most),
            name => match matches::number(name) {
                Some(number) => {
                    let weight = self.patterns.get(number).map_or(1.0, weight);
                    (sum * weight, 1.0)
                }
                None => (sum, sum),
            },
        };
        Most {
            cost: operands.iter().map(|operand| operand.cost).sum::<f64>() + 1.0 + touched,
            size: size.max(1.0),
        }
    }

    fn comprehension(&mut self, of: &'a ComprehensionExpr) -> Most {
        let range = self.visit(&of.iter_range);
        let start = self.visit(&of.accu_init);
        let around = (self.variables.len(), self.innermost);
        self.innermost = around.0;
        // As an item it is a part of the range, and never less than one.
        let whole = range.size.max(1.0);
        self.variables.push((&of.iter_var, whole));
        self.variables
            .extend(of.iter_var2.as_deref().map(|name| (name, whole)));
        let condition = self.visit(&of.loop_cond);
        let step = self.visit(&of.loop_step);
        let result = self.visit(&of.result);
        self.variables.truncate(around.0);
        self.innermost = around.1;
        // Only lists grow.
        let size = match of.accu_init.expr {
            Expr::List(_) => whole * step.size,
            _ => 1.0,
        };
        Most {
            cost: range.cost
                + start.cost
                + result.cost
                + size
                + whole * (2.0 + condition.cost + step.cost),
            size,
        }
    }
}
