//! Values of CEL: those of the body, which are only referred to, and those that
//! an evaluation makes.

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use crate::halt::{Error, Halt};
use crate::json::{Body, Node};
use crate::meter::Meter;

/// A value. Copying one is cheap.
#[derive(Clone)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text<'a>),
    Bytes(Rc<[u8]>),
    /// A timestamp or a duration, with which the library deals.
    Time(Rc<cel::Value>),
    Kind(Kind),
    List(Items<'a>),
    Map(Fields<'a>),
}

#[derive(Clone)]
pub(crate) enum Text<'a> {
    /// Of the body or the expression.
    There(&'a str),
    Made(Rc<str>),
}

#[derive(Clone)]
pub(crate) enum Items<'a> {
    There(&'a [Node]),
    Made(Rc<Vec<Value<'a>>>),
}

#[derive(Clone)]
pub(crate) enum Fields<'a> {
    /// Sorted by key.
    There(&'a [Node]),
    Made(Rc<Vec<(Value<'a>, Value<'a>)>>),
}

/// A type, as `type` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Timestamp,
    Duration,
    Type,
    List,
    Map,
    Dyn,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::Null,
        Self::Bool,
        Self::Int,
        Self::Uint,
        Self::Double,
        Self::Text,
        Self::Bytes,
        Self::Timestamp,
        Self::Duration,
        Self::Type,
        Self::List,
        Self::Map,
        Self::Dyn,
    ];

    /// The type of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let short = name.strip_prefix("google.protobuf.");
        match short {
            Some("Timestamp") => Some(Self::Timestamp),
            Some("Duration") => Some(Self::Duration),
            _ => { Self::ALL }.into_iter().find(|kind| kind.name() == name),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::Type => "type",
            Self::List => "list",
            Self::Map => "map",
            Self::Dyn => "dyn",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::There(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl<'a> Items<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::There(nodes) => nodes.len(),
            Self::Made(values) => values.len(),
        }
    }

    pub(crate) fn get(&self, index: usize, body: &'a Body) -> Option<Value<'a>> {
        match self {
            Self::There(nodes) => nodes.get(index).map(|node| Value::of(*node, body)),
            Self::Made(values) => values.get(index).cloned(),
        }
    }
}

impl<'a> Fields<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::There(nodes) => nodes.len() / 2,
            Self::Made(fields) => fields.len(),
        }
    }

    pub(crate) fn key(&self, index: usize, body: &'a Body) -> Option<Value<'a>> {
        match self {
            Self::There(nodes) => nodes.get(2 * index).map(|node| Value::of(*node, body)),
            Self::Made(fields) => fields.get(index).map(|(key, _)| key.clone()),
        }
    }

    fn value(&self, index: usize, body: &'a Body) -> Option<Value<'a>> {
        match self {
            Self::There(nodes) => nodes.get(2 * index + 1).map(|node| Value::of(*node, body)),
            Self::Made(fields) => fields.get(index).map(|(_, value)| value.clone()),
        }
    }

    /// The value of a field that is named in the expression.
    pub(crate) fn named(
        &self,
        name: &str,
        body: &'a Body,
        meter: &mut Meter,
    ) -> Result<Option<Value<'a>>, Halt<'a>> {
        match self {
            Self::There(nodes) => {
                let (mut low, mut high) = (0, nodes.len() / 2);
                while low < high {
                    let middle = usize::midpoint(low, high);
                    meter.compare(name.len())?;
                    match body.key(nodes[2 * middle]).cmp(name) {
                        Ordering::Less => low = middle + 1,
                        Ordering::Greater => high = middle,
                        Ordering::Equal => return Ok(self.value(middle, body)),
                    }
                }
                Ok(None)
            }
            Self::Made(fields) => {
                for (key, value) in &**fields {
                    meter.compare(name.len())?;
                    if matches!(key, Value::Text(key) if key.as_str() == name) {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
        }
    }

    /// The value of this key, whatever it is.
    pub(crate) fn find(
        &self,
        key: &Value<'a>,
        body: &'a Body,
        meter: &mut Meter,
    ) -> Result<Option<Value<'a>>, Halt<'a>> {
        match (self, key) {
            (_, Value::Text(name)) => self.named(name.as_str(), body, meter),
            (Self::There(_), _) => Ok(None),
            (
                Self::Made(fields),
                Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_),
            ) => {
                for (other, value) in &**fields {
                    meter.take(1)?;
                    // A double is found by a double alone; a double finds an int.
                    let fits =
                        matches!(key, Value::Double(_)) || !matches!(other, Value::Double(_));
                    if fits && scalars_equal(other, key) {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
            (Self::Made(_), _) => Ok(None),
        }
    }
}

impl<'a> Value<'a> {
    pub(crate) fn of(node: Node, body: &'a Body) -> Self {
        match node {
            Node::Null => Self::Null,
            Node::Bool(truth) => Self::Bool(truth),
            Node::Number(number) => Self::Double(number),
            Node::Text(span) => Self::Text(Text::There(body.text(span))),
            Node::List(span) => Self::List(Items::There(body.nodes(span))),
            Node::Map(span) => Self::Map(Fields::There(body.nodes(span))),
        }
    }

    pub(crate) fn made(text: String) -> Self {
        Self::Text(Text::Made(text.into()))
    }

    pub(crate) fn list(items: Vec<Self>) -> Self {
        Self::List(Items::Made(Rc::new(items)))
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Uint(_) => Kind::Uint,
            Self::Double(_) => Kind::Double,
            Self::Text(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
            Self::Time(time) => match **time {
                cel::Value::Duration(_) => Kind::Duration,
                _ => Kind::Timestamp,
            },
            Self::Kind(_) => Kind::Type,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
        }
    }
}

/// Numbers of all types stand on one line, where both are on it.
fn numbers(one: &Value<'_>, other: &Value<'_>) -> Option<Option<Ordering>> {
    use Value::{Double, Int, Uint};
    let signed = |int: i64, uint: u64| match u64::try_from(int) {
        Ok(int) => int.cmp(&uint),
        Err(_) => Ordering::Less,
    };
    Some(match (one, other) {
        (Int(one), Int(other)) => Some(one.cmp(other)),
        (Uint(one), Uint(other)) => Some(one.cmp(other)),
        (Int(int), Uint(uint)) => Some(signed(*int, *uint)),
        (Uint(uint), Int(int)) => Some(signed(*int, *uint).reverse()),
        (Double(one), Double(other)) => one.partial_cmp(other),
        (Double(one), Int(other)) => one.partial_cmp(&(*other as f64)),
        (Double(one), Uint(other)) => one.partial_cmp(&(*other as f64)),
        (Int(one), Double(other)) => (*one as f64).partial_cmp(other),
        (Uint(one), Double(other)) => (*one as f64).partial_cmp(other),
        _ => return None,
    })
}

/// Whether two values that have no parts are equal; what has parts is not.
fn scalars_equal(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::Text(one), Value::Text(other)) => one.as_str() == other.as_str(),
        (Value::Bytes(one), Value::Bytes(other)) => one == other,
        (Value::Time(one), Value::Time(other)) => one == other,
        (Value::Kind(one), Value::Kind(other)) => one == other,
        _ => numbers(one, other) == Some(Some(Ordering::Equal)),
    }
}

/// How long a comparison may take that is not of lists or maps.
fn width(one: &Value<'_>, other: &Value<'_>) -> usize {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => one.as_str().len().min(other.as_str().len()),
        (Value::Bytes(one), Value::Bytes(other)) => one.len().min(other.len()),
        _ => 0,
    }
}

/// Two lists or maps whose parts are being compared.
enum Pair<'a> {
    Lists(Items<'a>, Items<'a>, usize),
    Maps(Fields<'a>, Fields<'a>, usize),
}

/// Whether two values are equal, of whatever types they are. It is not
/// recursive: a body may be deeper than a stack.
pub(crate) fn equal<'a>(
    one: &Value<'a>,
    other: &Value<'a>,
    body: &'a Body,
    meter: &mut Meter,
) -> Result<bool, Halt<'a>> {
    let mut pairs = Vec::new();
    if !begin(one, other, &mut pairs, meter)? {
        return Ok(false);
    }
    while let Some(pair) = pairs.last_mut() {
        let next = match pair {
            Pair::Lists(one, other, at) => {
                let next = one.get(*at, body).zip(other.get(*at, body));
                *at += 1;
                next
            }
            Pair::Maps(one, other, at) => match one.key(*at, body) {
                None => None,
                Some(key) => {
                    let value = one.value(*at, body);
                    *at += 1;
                    match other.find(&key, body, meter)? {
                        Some(found) => value.zip(Some(found)),
                        None => return Ok(false),
                    }
                }
            },
        };
        match next {
            None => {
                pairs.pop();
            }
            Some((one, other)) => {
                if !begin(&one, &other, &mut pairs, meter)? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Whether two values may be equal; if they have parts these are to be compared.
fn begin<'a>(
    one: &Value<'a>,
    other: &Value<'a>,
    pairs: &mut Vec<Pair<'a>>,
    meter: &mut Meter,
) -> Result<bool, Halt<'a>> {
    match (one, other) {
        (Value::List(one), Value::List(other)) => {
            meter.take(2)?;
            if one.len() != other.len() || one.len() == 0 {
                return Ok(one.len() == other.len());
            }
            pairs.push(Pair::Lists(one.clone(), other.clone(), 0));
            Ok(true)
        }
        (Value::Map(one), Value::Map(other)) => {
            meter.take(2)?;
            if one.len() != other.len() || one.len() == 0 {
                return Ok(one.len() == other.len());
            }
            pairs.push(Pair::Maps(one.clone(), other.clone(), 0));
            Ok(true)
        }
        _ => {
            meter.compare(width(one, other))?;
            Ok(scalars_equal(one, other))
        }
    }
}

/// How two values stand to each other; a NaN stands to nothing.
pub(crate) fn order<'a>(
    operator: &'static str,
    one: &Value<'a>,
    other: &Value<'a>,
    meter: &mut Meter,
) -> Result<Option<Ordering>, Halt<'a>> {
    meter.compare(width(one, other))?;
    let ordering = match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        (Value::Text(one), Value::Text(other)) => Some(one.as_str().cmp(other.as_str())),
        (Value::Bytes(one), Value::Bytes(other)) => Some(one.cmp(other)),
        (Value::Time(one), Value::Time(other)) => one.partial_cmp(other),
        _ => match numbers(one, other) {
            Some(ordering) => return Ok(ordering),
            None => None,
        },
    };
    let overload = || Error::overload(operator, [one.kind(), other.kind()]).into();
    ordering.map(Some).ok_or_else(overload)
}
