//! Why an evaluation ends without a value.

use std::fmt;

use crate::value::{Kind, Value};

/// An end. Only errors are values of a kind in CEL: `&&`, `||`, `all` and
/// `exists` may get along with one.
#[derive(Clone)]
pub(crate) enum Halt<'a> {
    Error(Error<'a>),
    /// All steps are used up.
    Beyond,
    /// What is asked for cannot be done here.
    Unspoken(&'a str),
}

/// What CEL says of an expression and this body.
#[derive(Clone)]
pub(crate) enum Error<'a> {
    NoSuchKey(Value<'a>),
    OutOfBounds(i64),
    /// There is no operator or function of this name for these types.
    Overload(&'static str, Kind, Option<Kind>),
    Said(&'static str),
    Told(Box<str>),
}

impl<'a> From<Error<'a>> for Halt<'a> {
    fn from(error: Error<'a>) -> Self {
        Self::Error(error)
    }
}

impl Error<'_> {
    pub(crate) fn overload<const N: usize>(name: &'static str, kinds: [Kind; N]) -> Self {
        let mut kinds = kinds.into_iter();
        let first = kinds.next().unwrap_or(Kind::Dyn);
        Self::Overload(name, first, kinds.next())
    }
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchKey(key) => match key {
                Value::Text(name) => write!(f, "no such key: {}", name.as_str()),
                Value::Int(number) => write!(f, "no such key: {number}"),
                Value::Uint(number) => write!(f, "no such key: {number}"),
                Value::Double(number) => write!(f, "no such key: {number}"),
                Value::Bool(truth) => write!(f, "no such key: {truth}"),
                other => write!(f, "no such key: a value of type {}", other.kind()),
            },
            Self::OutOfBounds(index) => write!(f, "index out of bounds: {index}"),
            Self::Overload(name, one, None) => write!(f, "no such overload: {name}({one})"),
            Self::Overload(name, one, Some(other)) => {
                write!(f, "no such overload: {name}({one}, {other})")
            }
            Self::Said(words) => f.write_str(words),
            Self::Told(words) => f.write_str(words),
        }
    }
}
