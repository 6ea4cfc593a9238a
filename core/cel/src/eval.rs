//! Goes through a plan, and counts what it does.
//!
//! Every part of a plan takes a step when it is looked at, and what is larger
//! than a value takes more before it is done. The recursion is as deep as the
//! expression, which is bounded where it is compiled.

use std::cmp::Ordering;
use std::rc::Rc;

use probity_engine::config::Search;

use crate::calls;
use crate::halt::{Error, Halt};
use crate::json::Body;
use crate::meter::Meter;
use crate::plan::{Binary, Loop, Macro, Plan, Program};
use crate::value::{Fields, Items, Kind, Text, Value, equal, order};

type Found<'a> = Result<Value<'a>, Halt<'a>>;

/// Evaluates a program with `body` being this body.
pub(crate) fn run<'a>(program: &'a Program, body: &'a Body, meter: &mut Meter) -> Found<'a> {
    let mut run = Run {
        program,
        body,
        meter,
        variables: Vec::new(),
        searches: program.patterns.iter().map(|_| None).collect(),
    };
    run.value(&program.plan)
}

struct Run<'a, 'm> {
    program: &'a Program,
    body: &'a Body,
    meter: &'m mut Meter,
    /// Of the macros around.
    variables: Vec<Value<'a>>,
    /// Of the patterns that were matched.
    searches: Vec<Option<Box<Search>>>,
}

impl<'a> Run<'a, '_> {
    fn value(&mut self, plan: &'a Plan) -> Found<'a> {
        self.meter.take(1)?;
        match plan {
            Plan::Null => Ok(Value::Null),
            Plan::Bool(truth) => Ok(Value::Bool(*truth)),
            Plan::Int(number) => Ok(Value::Int(*number)),
            Plan::Uint(number) => Ok(Value::Uint(*number)),
            Plan::Double(number) => Ok(Value::Double(*number)),
            Plan::Text(text) => Ok(Value::Text(Text::There(text))),
            Plan::Bytes(bytes) => self.bytes(bytes),
            Plan::Kind(kind) => Ok(Value::Kind(*kind)),
            Plan::Body => Ok(Value::of(self.body.root, self.body)),
            Plan::Variable(at) => Ok(self.variables.get(*at).cloned().unwrap_or(Value::Null)),
            Plan::Select(operand, field) => self.select(operand, field),
            Plan::Has(operand, field) => self.has(operand, field),
            Plan::Not(operand) => self.not(operand),
            Plan::And(operands) => self.connected(operands, false),
            Plan::Or(operands) => self.connected(operands, true),
            Plan::If(parts) => self.either(parts),
            Plan::Binary(operator, operands) => self.binary(*operator, operands),
            Plan::Negate(operand) => self.negate(operand),
            Plan::List(items) => self.list(items),
            Plan::Map(fields) => self.map(fields),
            Plan::Call(function, operands) => {
                let operands = self.values(operands)?;
                calls::call(*function, &operands, self.meter)
            }
            Plan::Matches(text, number) => self.matches(text, *number),
            Plan::Macro(which, over) => self.over(*which, over),
            Plan::Unspoken(why) => Err(Halt::Unspoken(why)),
        }
    }

    fn values(&mut self, plans: &'a [Plan]) -> Result<Vec<Value<'a>>, Halt<'a>> {
        plans.iter().map(|plan| self.value(plan)).collect()
    }

    #[inline(never)]
    fn bytes(&mut self, bytes: &[u8]) -> Found<'a> {
        self.meter.copy(bytes.len())?;
        Ok(Value::Bytes(bytes.into()))
    }

    fn select(&mut self, operand: &'a Plan, field: &'a str) -> Found<'a> {
        match self.value(operand)? {
            Value::Map(fields) => match fields.named(field, self.body, self.meter)? {
                Some(value) => Ok(value),
                None => Err(Error::NoSuchKey(Value::Text(Text::There(field))).into()),
            },
            other => Err(Error::overload("_._", [other.kind(), Kind::Text]).into()),
        }
    }

    #[inline(never)]
    fn has(&mut self, operand: &'a Plan, field: &str) -> Found<'a> {
        match self.value(operand)? {
            Value::Map(fields) => {
                let found = fields.named(field, self.body, self.meter)?;
                Ok(Value::Bool(found.is_some()))
            }
            Value::List(_) => Err(Error::overload("_._", [Kind::List, Kind::Text]).into()),
            // What has no fields does not have this one.
            _ => Ok(Value::Bool(false)),
        }
    }

    #[inline(never)]
    fn not(&mut self, operand: &'a Plan) -> Found<'a> {
        match self.value(operand)? {
            Value::Bool(truth) => Ok(Value::Bool(!truth)),
            other => Err(Error::overload("!_", [other.kind()]).into()),
        }
    }

    /// `&&`, or `||` if `decisive`: an operand of that value decides, whatever
    /// is wrong with the other one.
    #[inline(never)]
    fn connected(&mut self, operands: &'a [Plan; 2], decisive: bool) -> Found<'a> {
        let name = if decisive { "_||_" } else { "_&&_" };
        let mut wrong = None;
        for operand in operands {
            match self.truth(operand, name) {
                Ok(truth) if truth == decisive => return Ok(Value::Bool(decisive)),
                Ok(_) => {}
                Err(Halt::Error(error)) => wrong = wrong.or(Some(error)),
                Err(end) => return Err(end),
            }
        }
        match wrong {
            Some(error) => Err(error.into()),
            None => Ok(Value::Bool(!decisive)),
        }
    }

    /// What has to be true or false.
    fn truth(&mut self, plan: &'a Plan, of: &'static str) -> Result<bool, Halt<'a>> {
        match self.value(plan)? {
            Value::Bool(truth) => Ok(truth),
            other => Err(Error::overload(of, [other.kind()]).into()),
        }
    }

    #[inline(never)]
    fn either(&mut self, [condition, yes, no]: &'a [Plan; 3]) -> Found<'a> {
        match self.truth(condition, "_?_:_")? {
            true => self.value(yes),
            false => self.value(no),
        }
    }

    #[inline(never)]
    fn binary(&mut self, operator: Binary, [one, other]: &'a [Plan; 2]) -> Found<'a> {
        let one = self.value(one)?;
        let other = self.value(other)?;
        let (body, meter) = (self.body, &mut *self.meter);
        let mut ordered = |name| order(name, &one, &other, meter);
        Ok(Value::Bool(match operator {
            Binary::Less => ordered("_<_")?.is_some_and(Ordering::is_lt),
            Binary::LessOrEqual => ordered("_<=_")?.is_some_and(Ordering::is_le),
            Binary::Greater => ordered("_>_")?.is_some_and(Ordering::is_gt),
            Binary::GreaterOrEqual => ordered("_>=_")?.is_some_and(Ordering::is_ge),
            Binary::Equal => equal(&one, &other, body, self.meter)?,
            Binary::Unequal => !equal(&one, &other, body, self.meter)?,
            Binary::In => self.is_in(&one, &other)?,
            Binary::Index => return self.index(&one, &other),
            _ => return self.arithmetic(operator, one, other),
        }))
    }

    fn is_in(&mut self, one: &Value<'a>, other: &Value<'a>) -> Result<bool, Halt<'a>> {
        match other {
            Value::List(items) => {
                for index in 0..items.len() {
                    if let Some(item) = items.get(index, self.body)
                        && equal(&item, one, self.body, self.meter)?
                    {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Value::Map(fields) => Ok(fields.find(one, self.body, self.meter)?.is_some()),
            _ => Err(Error::overload("@in", [one.kind(), other.kind()]).into()),
        }
    }

    fn index(&mut self, one: &Value<'a>, index: &Value<'a>) -> Found<'a> {
        match one {
            Value::Map(fields) => match fields.find(index, self.body, self.meter)? {
                Some(value) => Ok(value),
                None => Err(Error::NoSuchKey(index.clone()).into()),
            },
            Value::List(items) => {
                let at = match index {
                    Value::Int(index) => *index,
                    Value::Uint(index) => i64::try_from(*index).unwrap_or(i64::MAX),
                    // A whole number, however it is written.
                    Value::Double(index) if *index as i64 as f64 == *index => *index as i64,
                    _ => return Err(Error::overload("_[_]", [Kind::List, index.kind()]).into()),
                };
                let found = usize::try_from(at).ok();
                let found = found.and_then(|at| items.get(at, self.body));
                found.ok_or(Halt::Error(Error::OutOfBounds(at)))
            }
            _ => Err(Error::overload("_[_]", [one.kind(), index.kind()]).into()),
        }
    }

    #[inline(never)]
    fn negate(&mut self, operand: &'a Plan) -> Found<'a> {
        match self.value(operand)? {
            Value::Int(number) => number.checked_neg().map(Value::Int).ok_or_else(overflow),
            Value::Double(number) => Ok(Value::Double(-number)),
            Value::Time(time) if matches!(*time, cel::Value::Duration(_)) => {
                let time = || (*time).clone();
                let negated = (time() - time()).and_then(|zero| zero - time());
                negated
                    .map(|time| Value::Time(Rc::new(time)))
                    .map_err(|_| overflow())
            }
            other => Err(Error::overload("-_", [other.kind()]).into()),
        }
    }

    #[inline(never)]
    fn arithmetic(&mut self, operator: Binary, one: Value<'a>, other: Value<'a>) -> Found<'a> {
        use Binary::{Add, Divide, Modulo, Multiply, Subtract};
        let name = match operator {
            Subtract => "_-_",
            Multiply => "_*_",
            Divide => "_/_",
            Modulo => "_%_",
            _ => "_+_",
        };
        let by_zero =
            matches!(operator, Divide | Modulo) && matches!(other, Value::Int(0) | Value::Uint(0));
        match (one, other) {
            (Value::Int(_), Value::Int(_)) | (Value::Uint(_), Value::Uint(_)) if by_zero => {
                Err(Error::Said("division by zero").into())
            }
            (Value::Int(one), Value::Int(other)) => match operator {
                Subtract => one.checked_sub(other),
                Multiply => one.checked_mul(other),
                Divide => one.checked_div(other),
                Modulo => one.checked_rem(other),
                _ => one.checked_add(other),
            }
            .map(Value::Int)
            .ok_or_else(overflow),
            (Value::Uint(one), Value::Uint(other)) => match operator {
                Subtract => one.checked_sub(other),
                Multiply => one.checked_mul(other),
                Divide => one.checked_div(other),
                Modulo => one.checked_rem(other),
                _ => one.checked_add(other),
            }
            .map(Value::Uint)
            .ok_or_else(overflow),
            (Value::Double(one), Value::Double(other)) if operator != Modulo => {
                Ok(Value::Double(match operator {
                    Subtract => one - other,
                    Multiply => one * other,
                    Divide => one / other,
                    _ => one + other,
                }))
            }
            (Value::Time(one), Value::Time(other)) if matches!(operator, Add | Subtract) => {
                let (one, other) = ((*one).clone(), (*other).clone());
                let made = if operator == Add {
                    one + other
                } else {
                    one - other
                };
                match made {
                    Ok(time) => Ok(Value::Time(Rc::new(time))),
                    Err(error) => Err(Error::Told(error.to_string().into()).into()),
                }
            }
            (one, other) if operator == Add => self.joined(&one, &other),
            (one, other) => Err(Error::overload(name, [one.kind(), other.kind()]).into()),
        }
    }

    /// Texts, bytes or lists, one after the other.
    fn joined(&mut self, one: &Value<'a>, other: &Value<'a>) -> Found<'a> {
        match (one, other) {
            (Value::Text(one), Value::Text(other)) => {
                let (one, other) = (one.as_str(), other.as_str());
                self.meter.copy(one.len() + other.len())?;
                Ok(Value::made([one, other].concat()))
            }
            (Value::Bytes(one), Value::Bytes(other)) => {
                self.meter.copy(one.len() + other.len())?;
                Ok(Value::Bytes([&**one, &**other].concat().into()))
            }
            (Value::List(one), Value::List(other)) => {
                self.meter.take(2 + one.len() + other.len())?;
                let items = |of: &Items<'a>| {
                    let (of, body) = (of.clone(), self.body);
                    (0..of.len()).filter_map(move |at| of.get(at, body))
                };
                Ok(Value::list(items(one).chain(items(other)).collect()))
            }
            _ => Err(Error::overload("_+_", [one.kind(), other.kind()]).into()),
        }
    }

    #[inline(never)]
    fn list(&mut self, items: &'a [Plan]) -> Found<'a> {
        self.meter.take(2 + items.len())?;
        self.values(items).map(Value::list)
    }

    #[inline(never)]
    fn map(&mut self, plans: &'a [(Plan, Plan)]) -> Found<'a> {
        self.meter.take(2 + 2 * plans.len())?;
        let mut fields: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(plans.len());
        for (key, value) in plans {
            let (key, value) = (self.value(key)?, self.value(value)?);
            if matches!(key, Value::List(_) | Value::Map(_)) {
                return Err(Error::Said("expected no list or map as a key").into());
            }
            let mut same = None;
            for (at, (other, _)) in fields.iter().enumerate() {
                if other.kind() == key.kind() && equal(other, &key, self.body, self.meter)? {
                    same = Some(at);
                }
            }
            match same {
                Some(at) => fields[at].1 = value,
                None => fields.push((key, value)),
            }
        }
        Ok(Value::Map(Fields::Made(Rc::new(fields))))
    }

    #[inline(never)]
    fn matches(&mut self, text: &'a Plan, number: usize) -> Found<'a> {
        let text = match self.value(text)? {
            Value::Text(text) => text,
            other => return Err(Error::overload("matches", [other.kind(), Kind::Text]).into()),
        };
        let pattern = &self.program.patterns[number];
        let search = self.searches[number].get_or_insert_with(|| Box::new(pattern.search()));
        let found = pattern.is_match(text.as_str(), search, self.meter)?;
        Ok(Value::Bool(found))
    }

    /// A macro goes over the items of a list, or the keys of a map.
    #[inline(never)]
    fn over(&mut self, which: Macro, over: &'a Loop) -> Found<'a> {
        let range = self.value(&over.range)?;
        let length = match &range {
            Value::List(items) => items.len(),
            Value::Map(fields) => fields.len(),
            other => return Err(Error::overload("a macro", [other.kind()]).into()),
        };
        let mut sofar = Sofar::default();
        for index in 0..length {
            self.meter.take(1)?;
            let item = match &range {
                Value::List(items) => items.get(index, self.body),
                Value::Map(fields) => fields.key(index, self.body),
                _ => None,
            };
            self.variables.extend(item);
            let step = self.step(which, over, &mut sofar);
            self.variables.pop();
            match step {
                Ok(true) => break,
                Ok(false) => {}
                // What comes later may decide it.
                Err(Halt::Error(error)) if matches!(which, Macro::All | Macro::Exists) => {
                    sofar.wrong = Some(error);
                }
                Err(end) => return Err(end),
            }
        }
        match (which, sofar) {
            (
                Macro::All | Macro::Exists,
                Sofar {
                    decided: false,
                    wrong: Some(error),
                    ..
                },
            ) => Err(error.into()),
            (Macro::All, sofar) => Ok(Value::Bool(!sofar.decided)),
            (Macro::Exists, sofar) => Ok(Value::Bool(sofar.decided)),
            (Macro::ExistsOne, sofar) => Ok(Value::Bool(sofar.count == 1)),
            (Macro::Collect, sofar) => Ok(Value::list(sofar.items)),
        }
    }

    /// Deals with one item; whether that decides it.
    fn step(
        &mut self,
        which: Macro,
        over: &'a Loop,
        sofar: &mut Sofar<'a>,
    ) -> Result<bool, Halt<'a>> {
        let name = match which {
            Macro::All => "_&&_",
            Macro::Exists => "_||_",
            Macro::ExistsOne | Macro::Collect => "_?_:_",
        };
        let holds = match &over.guard {
            Some(guard) => self.truth(guard, name)?,
            None => true,
        };
        match which {
            Macro::All => sofar.decided = !holds,
            Macro::Exists => sofar.decided = holds,
            Macro::ExistsOne => sofar.count += usize::from(holds),
            Macro::Collect => {
                if let Some(item) = over.item.as_ref().filter(|_| holds) {
                    let item = self.value(item)?;
                    // Where there is no room the list is copied.
                    self.meter.take(2)?;
                    sofar.items.push(item);
                }
            }
        }
        Ok(sofar.decided)
    }
}

/// What a macro has found so far.
#[derive(Default)]
struct Sofar<'a> {
    decided: bool,
    count: usize,
    items: Vec<Value<'a>>,
    wrong: Option<Error<'a>>,
}

pub(crate) fn overflow<'a>() -> Halt<'a> {
    Error::Said("integer overflow").into()
}
