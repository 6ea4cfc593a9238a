//! The functions of the standard library.

use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, Expr};
use cel::{Context, Env, IdedExpr};

use crate::eval::overflow;
use crate::halt::{Error, Halt};
use crate::meter::Meter;
use crate::value::{Kind, Text, Value};

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Int,
    Uint,
    Double,
    Bool,
    Text,
    Bytes,
    Dyn,
    Kind,
    /// One that makes a timestamp or duration, or reads of one.
    OfTime(&'static str),
}

/// Functions that the library has for timestamps and durations.
const OF_TIME: [&str; 12] = [
    "timestamp",
    "duration",
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
];

/// Steps that one of them takes.
const TIME: usize = 150;

/// The function of this name.
pub(crate) fn named(name: &str) -> Option<Function> {
    Some(match name {
        "size" => Function::Size,
        "contains" => Function::Contains,
        "startsWith" => Function::StartsWith,
        "endsWith" => Function::EndsWith,
        "int" => Function::Int,
        "uint" => Function::Uint,
        "double" => Function::Double,
        "bool" => Function::Bool,
        "string" => Function::Text,
        "bytes" => Function::Bytes,
        "dyn" => Function::Dyn,
        "type" => Function::Kind,
        _ => Function::OfTime(OF_TIME.iter().find(|of_time| **of_time == name)?),
    })
}

impl Function {
    const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::Dyn => "dyn",
            Self::Kind => "type",
            Self::OfTime(name) => name,
        }
    }
}

/// What a function makes of its operands, the target first.
pub(crate) fn call<'a>(
    function: Function,
    operands: &[Value<'a>],
    meter: &mut Meter,
) -> Result<Value<'a>, Halt<'a>> {
    // Numbers are written, and read, in several steps.
    if matches!(
        function,
        Function::Text | Function::Int | Function::Uint | Function::Double
    ) {
        meter.take(8)?;
    }
    // What is read as a number or copied as text is looked at in full.
    for operand in operands {
        match operand {
            Value::Text(text) => meter.copy(text.as_str().len())?,
            Value::Bytes(bytes) => meter.copy(bytes.len())?,
            _ => {}
        }
    }
    let made = match (function, operands) {
        (Function::Text, [Value::Time(time)]) if let cel::Value::Timestamp(time) = &**time => {
            Some(Value::made(rfc3339(&time.to_rfc3339())))
        }
        (Function::Int, [Value::Time(time)]) if let cel::Value::Duration(time) = &**time => {
            let nanoseconds = time.num_nanoseconds();
            Some(Value::Int(nanoseconds.ok_or_else(overflow)?))
        }
        (Function::OfTime(_), _) | (Function::Int | Function::Text, [Value::Time(_)]) => {
            return of_time(function.name(), operands, meter);
        }
        (Function::Contains, [Value::Text(text), Value::Text(part)]) => {
            // To look for a part is slower than to look at all.
            meter.take(text.as_str().len() / 8)?;
            Some(Value::Bool(text.as_str().contains(part.as_str())))
        }
        (Function::StartsWith, [Value::Text(text), Value::Text(part)]) => {
            Some(Value::Bool(text.as_str().starts_with(part.as_str())))
        }
        (Function::EndsWith, [Value::Text(text), Value::Text(part)]) => {
            Some(Value::Bool(text.as_str().ends_with(part.as_str())))
        }
        (_, [operand]) => convert(function, operand)?,
        _ => None,
    };
    made.ok_or_else(|| {
        let kinds: Vec<Kind> = operands.iter().map(Value::kind).collect();
        let first = kinds.first().copied().unwrap_or(Kind::Dyn);
        Error::Overload(function.name(), first, kinds.get(1).copied()).into()
    })
}

/// What a function of one operand makes of it, if it is for its type.
fn convert<'a>(function: Function, operand: &Value<'a>) -> Result<Option<Value<'a>>, Error<'a>> {
    Ok(Some(match function {
        Function::Dyn => operand.clone(),
        Function::Kind => Value::Kind(operand.kind()),
        Function::Size => Value::Int(match operand {
            Value::Text(text) => text.as_str().chars().count(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(items) => items.len(),
            Value::Map(fields) => fields.len(),
            _ => return Ok(None),
        } as i64),
        Function::Int => Value::Int(
            match operand {
                Value::Int(number) => Some(*number),
                Value::Uint(number) => i64::try_from(*number).ok(),
                Value::Double(number) => signed(*number),
                Value::Text(text) => Some(read(text.as_str(), "an int")?),
                _ => return Ok(None),
            }
            .ok_or(Error::Said("integer overflow"))?,
        ),
        Function::Uint => Value::Uint(
            match operand {
                Value::Uint(number) => Some(*number),
                Value::Int(number) => u64::try_from(*number).ok(),
                Value::Double(number) => unsigned(*number),
                Value::Text(text) if !text.as_str().starts_with('+') => {
                    Some(read(text.as_str(), "an uint")?)
                }
                Value::Text(_) => return Err(Error::Said("expected an uint, found a sign")),
                _ => return Ok(None),
            }
            .ok_or(Error::Said("unsigned integer overflow"))?,
        ),
        Function::Double => Value::Double(match operand {
            Value::Double(number) => *number,
            Value::Int(number) => *number as f64,
            Value::Uint(number) => *number as f64,
            Value::Text(text) => double(text.as_str())?,
            _ => return Ok(None),
        }),
        Function::Bool => Value::Bool(match operand {
            Value::Bool(truth) => *truth,
            Value::Text(text) => match text.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                _ => {
                    return Err(Error::Said(
                        "expected a bool in a text, found something else",
                    ));
                }
            },
            _ => return Ok(None),
        }),
        Function::Text => match operand {
            Value::Text(_) => operand.clone(),
            Value::Bool(truth) => Value::made(truth.to_string()),
            Value::Int(number) => Value::made(number.to_string()),
            Value::Uint(number) => Value::made(number.to_string()),
            Value::Double(number) => Value::made(written(*number)),
            Value::Bytes(bytes) => match str::from_utf8(bytes) {
                Ok(text) => Value::Text(Text::Made(text.into())),
                Err(_) => return Err(Error::Said("expected UTF-8 in bytes, found something else")),
            },
            _ => return Ok(None),
        },
        Function::Bytes => Value::Bytes(match operand {
            Value::Bytes(bytes) => Rc::clone(bytes),
            Value::Text(text) => text.as_str().as_bytes().into(),
            _ => return Ok(None),
        }),
        Function::Contains | Function::StartsWith | Function::EndsWith | Function::OfTime(_) => {
            return Ok(None);
        }
    }))
}

/// The whole part of a double, if an int holds it.
fn signed(number: f64) -> Option<i64> {
    // Both bounds are excluded, as in cel-go: the upper one is no int.
    (number > i64::MIN as f64 && number < i64::MAX as f64).then_some(number as i64)
}

fn unsigned(number: f64) -> Option<u64> {
    (number >= 0.0 && number < u64::MAX as f64).then_some(number as u64)
}

fn read<'a, T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Error<'a>> {
    let refused =
        |_| Error::Told(format!("expected {what} in a text, found something else").into());
    text.parse().map_err(refused)
}

/// As Go reads one, which takes what is too large for infinite only where it is
/// written so.
fn double<'a>(text: &str) -> Result<f64, Error<'a>> {
    let number: f64 = match text.contains('_') {
        true => read(&joined(text), "a double")?,
        false => read(text, "a double")?,
    };
    let begin = text.trim_start_matches(['+', '-']);
    match number.is_infinite()
        && begin.starts_with(|first: char| first.is_ascii_digit() || first == '.')
    {
        true => Err(Error::Said("the double is too large")),
        false => Ok(number),
    }
}

/// A number without the underscores that may stand between its digits.
fn joined(text: &str) -> String {
    let is_digit = |at: Option<usize>| {
        let byte = at.and_then(|at| text.as_bytes().get(at));
        byte.is_some_and(u8::is_ascii_digit)
    };
    let stays = |at: usize, letter: char| {
        letter != '_' || !is_digit(at.checked_sub(1)) || !is_digit(Some(at + 1))
    };
    let letters = text
        .char_indices()
        .filter(|(at, letter)| stays(*at, *letter));
    letters.map(|(_, letter)| letter).collect()
}

/// A double as Go writes it with `%g`.
fn written(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let shortest = format!("{number:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        exponent if number != 0.0 && !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => number.to_string(),
    }
}

/// A timestamp as Go writes it: `Z` for UTC, and no zeros at the end of a fraction.
fn rfc3339(written: &str) -> String {
    let (time, zone) = written.split_at(written.len().saturating_sub("+00:00".len()));
    let time = match time.contains('.') {
        true => time.trim_end_matches('0').trim_end_matches('.'),
        false => time,
    };
    let zone = if zone == "+00:00" { "Z" } else { zone };
    [time, zone].concat()
}

/// Leaves it to the library.
fn of_time<'a>(
    name: &'static str,
    operands: &[Value<'a>],
    meter: &mut Meter,
) -> Result<Value<'a>, Halt<'a>> {
    static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
    const NAMES: [&str; 2] = ["a", "b"];
    meter.take(TIME)?;
    let mut context = Context::with_env(Arc::clone(&ENV));
    let mut named = Vec::new();
    for (name, operand) in NAMES.iter().zip(operands) {
        let value = match operand {
            Value::Time(time) => (**time).clone(),
            Value::Text(text) => text.as_str().into(),
            Value::Int(number) => cel::Value::Int(*number),
            other => return Err(Error::overload(name, [other.kind()]).into()),
        };
        context.add_variable_from_value(*name, value);
        named.push(ided(Expr::Ident((*name).into())));
    }
    let is_method = name.starts_with("get") && !named.is_empty();
    let call = ided(Expr::Call(CallExpr {
        func_name: name.into(),
        target: is_method.then(|| Box::new(named.remove(0))),
        args: named,
    }));
    match cel::Value::resolve(&call, &context) {
        Ok(cel::Value::Int(number)) => Ok(Value::Int(number)),
        Ok(cel::Value::String(text)) => Ok(Value::Text(Text::Made(text.as_str().into()))),
        Ok(time @ (cel::Value::Timestamp(_) | cel::Value::Duration(_))) => {
            Ok(Value::Time(Rc::new(time)))
        }
        Ok(other) => Err(Error::Told(format!("{name} gives a {}", other.type_of()).into()).into()),
        Err(error) => Err(Error::Told(error.to_string().into()).into()),
    }
}

fn ided(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}
