//! What is evaluated: an expression with its names, macros and functions known.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};

use crate::calls::{self, Function};
use crate::pattern::Matcher;
use crate::value::Kind;

/// An expression to be evaluated.
#[derive(Debug)]
pub(crate) enum Plan {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    Kind(Kind),
    Body,
    /// The variable of a macro, by how many there are around it.
    Variable(usize),
    Select(Box<Self>, Box<str>),
    Has(Box<Self>, Box<str>),
    Not(Box<Self>),
    And(Box<[Self; 2]>),
    Or(Box<[Self; 2]>),
    If(Box<[Self; 3]>),
    Binary(Binary, Box<[Self; 2]>),
    Negate(Box<Self>),
    List(Box<[Self]>),
    Map(Box<[(Self, Self)]>),
    Call(Function, Box<[Self]>),
    /// A text and the number of the pattern.
    Matches(Box<Self>, usize),
    Macro(Macro, Box<Loop>),
    /// What cannot be done here, in words.
    Unspoken(Box<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Index,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// A macro that goes over the items of a list or the keys of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Macro {
    All,
    Exists,
    ExistsOne,
    /// `map` and `filter`.
    Collect,
}

#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) range: Plan,
    /// What is asked of each item; of all of them, if nothing.
    pub(crate) guard: Option<Plan>,
    /// What is collected.
    pub(crate) item: Option<Plan>,
}

/// A plan, and the patterns that are numbered in it.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) plan: Plan,
    pub(crate) patterns: Vec<Matcher>,
    /// What is [`Plan::Unspoken`] first.
    pub(crate) unspoken: Option<Box<str>>,
}

/// Makes the plan of an expression whose names and types were found to be good.
///
/// # Errors
/// What is wrong with a pattern, or with how a function is called.
pub(crate) fn make(expression: &IdedExpr) -> Result<Program, String> {
    let mut planner = Planner::default();
    let plan = planner.plan(expression)?;
    Ok(Program {
        plan,
        patterns: planner.patterns,
        unspoken: planner.unspoken,
    })
}

#[derive(Default)]
struct Planner<'e> {
    patterns: Vec<Matcher>,
    /// The variables of the macros around.
    variables: Vec<&'e str>,
    unspoken: Option<Box<str>>,
}

impl<'e> Planner<'e> {
    fn plan(&mut self, expression: &'e IdedExpr) -> Result<Plan, String> {
        match &expression.expr {
            Expr::Unspecified => Err("expected an expression, found nothing".into()),
            Expr::Literal(literal) => Ok(constant(literal)),
            Expr::Ident(name) => Ok(self.name(name)),
            Expr::Select(select) => {
                if let Some(name) = qualified(expression) {
                    return Ok(self.type_named(&name));
                }
                let operand = self.boxed(&select.operand)?;
                let field = select.field.as_str().into();
                Ok(match select.test {
                    true => Plan::Has(operand, field),
                    false => Plan::Select(operand, field),
                })
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => Ok(Plan::List(self.all(&list.elements)?)),
            Expr::Map(map) => {
                let mut fields = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        fields.push((self.plan(&entry.key)?, self.plan(&entry.value)?));
                    }
                }
                Ok(Plan::Map(fields.into()))
            }
            Expr::Struct(of) => {
                let why = format!("a message of the type {} cannot be made here", of.type_name);
                Ok(self.unspoken(&why))
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    fn boxed(&mut self, expression: &'e IdedExpr) -> Result<Box<Plan>, String> {
        self.plan(expression).map(Box::new)
    }

    fn all(
        &mut self,
        expressions: impl IntoIterator<Item = &'e IdedExpr>,
    ) -> Result<Box<[Plan]>, String> {
        expressions.into_iter().map(|it| self.plan(it)).collect()
    }

    fn unspoken(&mut self, why: &str) -> Plan {
        self.unspoken.get_or_insert_with(|| why.into());
        Plan::Unspoken(why.into())
    }

    fn type_named(&mut self, name: &str) -> Plan {
        match Kind::named(name) {
            Some(kind) => Plan::Kind(kind),
            None => self.unspoken(&format!("the type {name} is not known here")),
        }
    }

    fn name(&mut self, name: &str) -> Plan {
        match self.variables.iter().rposition(|known| *known == name) {
            Some(at) => Plan::Variable(at),
            None if name == "body" => Plan::Body,
            None => self.type_named(name),
        }
    }

    fn call(&mut self, call: &'e CallExpr) -> Result<Plan, String> {
        let name = call.func_name.as_str();
        let operands = || call.target.as_deref().into_iter().chain(&call.args);
        if name == "matches" {
            let operands: Vec<_> = operands().collect();
            return self.matches(&operands);
        }
        let operands = self.all(operands())?;
        match operator(name, operands) {
            Ok(plan) => Ok(plan),
            Err(operands) => match calls::named(name) {
                Some(function) => Ok(Plan::Call(function, operands)),
                None => Err(format!("undeclared reference to the function `{name}`")),
            },
        }
    }

    /// `text.matches(pattern)` or `matches(text, pattern)`.
    fn matches(&mut self, operands: &[&'e IdedExpr]) -> Result<Plan, String> {
        let [text, pattern] = operands else {
            return Err("expected a text and a pattern for `matches`".into());
        };
        let text = self.boxed(text)?;
        let Expr::Literal(LiteralValue::String(source)) = &pattern.expr else {
            // As for messages: the file loads, as it does upstream.
            return Ok(self.unspoken(
                "the pattern of `matches` has to be a literal here: \
                 patterns are compiled when the module is loaded",
            ));
        };
        self.patterns.push(Matcher::new(source.inner())?);
        Ok(Plan::Matches(text, self.patterns.len() - 1))
    }

    fn comprehension(&mut self, of: &'e ComprehensionExpr) -> Result<Plan, String> {
        let range = self.plan(&of.iter_range)?;
        let unknown = || "expected one of the standard macros".to_owned();
        if of.iter_var2.is_some() {
            return Err(unknown());
        }
        let (which, guard, item) = shape(of).ok_or_else(unknown)?;
        self.variables.push(&of.iter_var);
        let mut part = |part: Option<&'e IdedExpr>| part.map(|it| self.plan(it)).transpose();
        let (guard, item) = (part(guard)?, part(item)?);
        self.variables.pop();
        let over = Loop { range, guard, item };
        Ok(Plan::Macro(which, Box::new(over)))
    }
}

/// Which macro this was, what it asks of each item, and what it collects.
fn shape(of: &ComprehensionExpr) -> Option<(Macro, Option<&IdedExpr>, Option<&IdedExpr>)> {
    let is_result = |expression: &IdedExpr| matches!(&expression.expr, Expr::Ident(name) if *name == of.accu_var);
    let Expr::Call(step) = &of.loop_step.expr else {
        return None;
    };
    // `@result + [item]`
    let collected = |call: &CallExpr| match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::ADD, [result, items]) if is_result(result) => match &items.expr {
            Expr::List(list) if list.elements.len() == 1 => Some(()),
            _ => None,
        },
        _ => None,
    };
    let item = |call: &'_ CallExpr| -> Option<usize> { collected(call).map(|()| 1) };
    match (step.func_name.as_str(), step.args.as_slice()) {
        (operators::LOGICAL_AND, [result, guard]) if is_result(result) => {
            Some((Macro::All, Some(guard), None))
        }
        (operators::LOGICAL_OR, [result, guard]) if is_result(result) => {
            Some((Macro::Exists, Some(guard), None))
        }
        (operators::CONDITIONAL, [guard, then, otherwise]) if is_result(otherwise) => {
            let Expr::Call(then) = &then.expr else {
                return None;
            };
            match item(then) {
                Some(at) => Some((Macro::Collect, Some(guard), only(&then.args[at]))),
                None => Some((Macro::ExistsOne, Some(guard), None)),
            }
        }
        _ => {
            let at = item(step)?;
            Some((Macro::Collect, None, only(&step.args[at])))
        }
    }
}

/// The only item of a list.
fn only(list: &IdedExpr) -> Option<&IdedExpr> {
    match &list.expr {
        Expr::List(list) => list.elements.first(),
        _ => None,
    }
}

fn constant(literal: &LiteralValue) -> Plan {
    match literal {
        LiteralValue::Null => Plan::Null,
        LiteralValue::Boolean(truth) => Plan::Bool(*truth.inner()),
        LiteralValue::Int(number) => Plan::Int(*number.inner()),
        LiteralValue::UInt(number) => Plan::Uint(*number.inner()),
        LiteralValue::Double(number) => Plan::Double(*number.inner()),
        LiteralValue::String(text) => Plan::Text(text.inner().into()),
        LiteralValue::Bytes(bytes) => Plan::Bytes(bytes.inner().into()),
    }
}

/// `google.protobuf.Timestamp` and its like.
fn qualified(expression: &IdedExpr) -> Option<String> {
    let mut names = Vec::new();
    let mut inner = expression;
    while let Expr::Select(select) = &inner.expr {
        names.push(select.field.as_str());
        inner = &select.operand;
    }
    match &inner.expr {
        Expr::Ident(root) if root == "google" => {
            names.push(root);
            names.reverse();
            Some(names.join("."))
        }
        _ => None,
    }
}

/// An operator, or the operands back if it is none.
fn operator(name: &str, operands: Box<[Plan]>) -> Result<Plan, Box<[Plan]>> {
    let binary = match name {
        operators::EQUALS => Binary::Equal,
        operators::NOT_EQUALS => Binary::Unequal,
        operators::LESS => Binary::Less,
        operators::LESS_EQUALS => Binary::LessOrEqual,
        operators::GREATER => Binary::Greater,
        operators::GREATER_EQUALS => Binary::GreaterOrEqual,
        operators::IN => Binary::In,
        operators::INDEX => Binary::Index,
        operators::ADD => Binary::Add,
        operators::SUBSTRACT => Binary::Subtract,
        operators::MULTIPLY => Binary::Multiply,
        operators::DIVIDE => Binary::Divide,
        operators::MODULO => Binary::Modulo,
        operators::LOGICAL_AND | operators::LOGICAL_OR => {
            let both = <Box<[Plan; 2]>>::try_from(operands)?;
            return Ok(match name {
                operators::LOGICAL_AND => Plan::And(both),
                _ => Plan::Or(both),
            });
        }
        operators::CONDITIONAL => return <Box<[Plan; 3]>>::try_from(operands).map(Plan::If),
        operators::LOGICAL_NOT | operators::NEGATE => {
            let [operand] = *<Box<[Plan; 1]>>::try_from(operands)?;
            return Ok(match name {
                operators::LOGICAL_NOT => Plan::Not(Box::new(operand)),
                _ => Plan::Negate(Box::new(operand)),
            });
        }
        _ => return Err(operands),
    };
    <Box<[Plan; 2]>>::try_from(operands).map(|operands| Plan::Binary(binary, operands))
}
