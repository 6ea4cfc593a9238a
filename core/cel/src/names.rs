//! What an expression refers to.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr};

use crate::calls;
use crate::value::Kind;

/// Whether an identifier stands for a type, or begins the name of one.
fn is_type(name: &str) -> bool {
    name == "google" || Kind::named(name).is_some()
}

/// Whether the standard library has a function of this name. Operators have names
/// that no identifier has.
fn is_function(name: &str) -> bool {
    name == "matches" || calls::named(name).is_some()
}

/// What the expression refers to in vain, if anything.
pub(crate) fn check(expression: &IdedExpr) -> Result<(), String> {
    Walk::default().visit(expression)
}

#[derive(Default)]
struct Walk<'a> {
    /// The variables of the macros around.
    variables: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn all(&mut self, expressions: impl IntoIterator<Item = &'a IdedExpr>) -> Result<(), String> {
        expressions
            .into_iter()
            .try_for_each(|expression| self.visit(expression))
    }

    fn visit(&mut self, expression: &'a IdedExpr) -> Result<(), String> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => {
                let known = name == "body"
                    || self.variables.iter().any(|variable| variable == name)
                    || is_type(name);
                match known {
                    true => Ok(()),
                    false => Err(format!(
                        "undeclared reference to `{name}`: there is only `body`"
                    )),
                }
            }
            Expr::Call(call) => {
                let name = &*call.func_name;
                if name.starts_with(|first: char| first.is_ascii_alphabetic()) && !is_function(name)
                {
                    return Err(format!("undeclared reference to the function `{name}`"));
                }
                self.all(call.target.as_deref())?;
                self.all(&call.args)
            }
            Expr::List(list) => self.all(&list.elements),
            Expr::Map(map) => self.entries(map.entries.iter().map(|entry| &entry.expr)),
            Expr::Struct(of) => self.entries(of.entries.iter().map(|entry| &entry.expr)),
            Expr::Select(select) => self.visit(&select.operand),
            Expr::Comprehension(comprehension) => {
                self.visit(&comprehension.iter_range)?;
                self.visit(&comprehension.accu_init)?;
                let known = self.variables.len();
                self.variables.extend([
                    comprehension.iter_var.as_str(),
                    comprehension.accu_var.as_str(),
                ]);
                self.variables.extend(comprehension.iter_var2.as_deref());
                self.all([
                    &comprehension.loop_cond,
                    &comprehension.loop_step,
                    &comprehension.result,
                ])?;
                self.variables.truncate(known);
                Ok(())
            }
        }
    }

    fn entries(&mut self, mut entries: impl Iterator<Item = &'a EntryExpr>) -> Result<(), String> {
        entries.try_for_each(|entry| match entry {
            EntryExpr::StructField(field) => self.visit(&field.value),
            EntryExpr::MapEntry(entry) => self.all([&entry.key, &entry.value]),
        })
    }
}
