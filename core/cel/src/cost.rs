//! What an expression refers to, and how deep its macros are nested.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr};

/// Identifiers that stand for types.
const TYPES: &[&str] = &[
    "bool",
    "bytes",
    "double",
    "duration",
    "dyn",
    "google",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "timestamp",
    "type",
    "uint",
];

/// The functions of the standard library that are written as such. Operators
/// have names that no identifier has.
const FUNCTIONS: &[&str] = &[
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
    "uint",
];

/// How deep macros are nested, or what the expression refers to in vain.
pub(crate) fn depth(expression: &IdedExpr) -> Result<u32, String> {
    Walk::default().depth(expression)
}

#[derive(Default)]
struct Walk<'a> {
    /// The variables of the macros around, and of the innermost one last.
    variables: Vec<&'a str>,
    /// What the innermost macro goes over.
    innermost: Option<&'a str>,
}

impl<'a> Walk<'a> {
    fn deepest(
        &mut self,
        expressions: impl IntoIterator<Item = &'a IdedExpr>,
    ) -> Result<u32, String> {
        let mut deepest = 0;
        for expression in expressions {
            deepest = deepest.max(self.depth(expression)?);
        }
        Ok(deepest)
    }

    fn depth(&mut self, expression: &'a IdedExpr) -> Result<u32, String> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(0),
            Expr::Ident(name) => {
                let known = name == "body"
                    || self.variables.iter().any(|variable| variable == name)
                    || TYPES.contains(&name.as_str());
                match known {
                    true => Ok(0),
                    false => Err(format!(
                        "undeclared reference to `{name}`: there is only `body`"
                    )),
                }
            }
            Expr::Call(call) => {
                let name = &*call.func_name;
                if name.starts_with(|first: char| first.is_ascii_alphabetic())
                    && !FUNCTIONS.contains(&name)
                {
                    return Err(format!("undeclared reference to the function `{name}`"));
                }
                let target = self.deepest(call.target.as_deref())?;
                Ok(target.max(self.deepest(&call.args)?))
            }
            Expr::List(list) => self.deepest(&list.elements),
            Expr::Map(map) => self.entries(map.entries.iter().map(|entry| &entry.expr)),
            Expr::Struct(of) => self.entries(of.entries.iter().map(|entry| &entry.expr)),
            Expr::Select(select) => self.depth(&select.operand),
            Expr::Comprehension(comprehension) => {
                let range = self.depth(&comprehension.iter_range)?;
                let within =
                    self.innermost.is_some() && root(&comprehension.iter_range) == self.innermost;
                let start = self.depth(&comprehension.accu_init)?;
                let outer = self.innermost.replace(&comprehension.iter_var);
                let known = self.variables.len();
                self.variables.extend([
                    comprehension.iter_var.as_str(),
                    comprehension.accu_var.as_str(),
                ]);
                self.variables.extend(comprehension.iter_var2.as_deref());
                let step = self.deepest([
                    &comprehension.loop_cond,
                    &comprehension.loop_step,
                    &comprehension.result,
                ])?;
                self.variables.truncate(known);
                self.innermost = outer;
                Ok(range.max(start).max(step + u32::from(!within)))
            }
        }
    }

    fn entries(&mut self, entries: impl Iterator<Item = &'a EntryExpr>) -> Result<u32, String> {
        let mut deepest = 0;
        for entry in entries {
            let found = match entry {
                EntryExpr::StructField(field) => self.depth(&field.value)?,
                EntryExpr::MapEntry(entry) => self.deepest([&entry.key, &entry.value])?,
            };
            deepest = deepest.max(found);
        }
        Ok(deepest)
    }
}

/// The variable of which an expression is a part.
fn root(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Ident(name) => Some(name),
        Expr::Select(select) => root(&select.operand),
        Expr::Call(call) if call.func_name == "_[_]" => root(call.args.first()?),
        _ => None,
    }
}
