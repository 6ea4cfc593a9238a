//! Whether an expression can be true of any body: its types.
//!
//! The rules are those of cel-go's checker, which blackbox_exporter runs when it
//! loads a file: numbers of different types are not compared or mixed, unless
//! one of them comes from `body`, whose type is known to nobody beforehand.

use std::fmt;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators};

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
enum Type {
    /// Nothing.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Duration,
    Timestamp,
    /// A type as a value.
    Kind,
    List(Box<Self>),
    Map(Box<Self>, Box<Self>),
}

use Type::{Any, Bool, Bytes, Double, Duration, Int, Null, Text, Timestamp, Uint};

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Any => "dyn",
            Null => "null",
            Bool => "bool",
            Int => "int",
            Uint => "uint",
            Double => "double",
            Text => "string",
            Bytes => "bytes",
            Duration => "duration",
            Timestamp => "timestamp",
            Self::Kind => "type",
            Self::List(item) => return write!(f, "list({item})"),
            Self::Map(key, value) => return write!(f, "map({key}, {value})"),
        })
    }
}

/// Types within types that are told apart.
const DEEPEST: usize = 8;

impl Type {
    fn list(item: Self) -> Self {
        Self::List(Box::new(item)).shallow()
    }

    /// The type, or any if it is of types within types beyond need: with each macro
    /// that doubles one it would take twice the room.
    fn shallow(self) -> Self {
        if self.depth() > DEEPEST { Any } else { self }
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(item) => 1 + item.depth(),
            Self::Map(key, value) => 1 + key.depth().max(value.depth()),
            _ => 0,
        }
    }

    /// Whether one value can be of both types.
    fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Any, _) | (_, Any) => true,
            (Null, Duration | Timestamp) | (Duration | Timestamp, Null) => true,
            (Self::List(one), Self::List(other)) => one.fits(other),
            (Self::Map(key, value), Self::Map(other_key, other_value)) => {
                key.fits(other_key) && value.fits(other_value)
            }
            _ => self == other,
        }
    }

    /// The type of what is of one or the other.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::List(one), Self::List(other)) => Self::list(one.or(*other)),
            (one, other) if one == other => one,
            _ => Any,
        }
    }
}

/// What is wrong with the types of an expression, if anything.
pub(crate) fn check(expression: &IdedExpr) -> Result<(), String> {
    Walk::default().visit(expression).map(|_| ())
}

/// Finds the type of every part; all names are known to exist.
#[derive(Default)]
struct Walk<'a> {
    /// The variables of the macros around.
    variables: Vec<(&'a str, Type)>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, expression: &'a IdedExpr) -> Result<Type, String> {
        match &expression.expr {
            Expr::Unspecified | Expr::Struct(_) => Ok(Any),
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(_) => Bool,
                LiteralValue::Bytes(_) => Bytes,
                LiteralValue::Double(_) => Double,
                LiteralValue::Int(_) => Int,
                LiteralValue::Null => Null,
                LiteralValue::String(_) => Text,
                LiteralValue::UInt(_) => Uint,
            }),
            Expr::Ident(name) => {
                let mut variables = self.variables.iter().rev();
                let found = variables.find(|(known, _)| known == name);
                Ok(match found {
                    Some((_, of)) => of.clone(),
                    None if name == "body" => Any,
                    None => Type::Kind,
                })
            }
            Expr::Select(select) => {
                let operand = self.visit(&select.operand)?;
                let of = match operand {
                    Any | Type::Kind => Any,
                    Type::Map(_, value) => *value,
                    other => return Err(format!("a value of type {other} has no fields")),
                };
                Ok(if select.test { Bool } else { of })
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.common(&list.elements).map(Type::list),
            Expr::Map(map) => {
                let mut entries = Vec::new();
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        entries.push((&entry.key, &entry.value));
                    }
                }
                let key = self.common(entries.iter().map(|(key, _)| *key))?;
                let value = self.common(entries.iter().map(|(_, value)| *value))?;
                Ok(Type::Map(Box::new(key), Box::new(value)).shallow())
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    /// The type of all of these.
    fn common(
        &mut self,
        expressions: impl IntoIterator<Item = &'a IdedExpr>,
    ) -> Result<Type, String> {
        let mut common = None;
        for expression in expressions {
            let of = self.visit(expression)?;
            common = Some(match common {
                None => of,
                Some(common) => of.or(common),
            });
        }
        Ok(common.unwrap_or(Any))
    }

    fn call(&mut self, call: &'a CallExpr) -> Result<Type, String> {
        let operands = call.target.as_deref().into_iter().chain(&call.args);
        let operands: Vec<Type> = operands
            .map(|operand| self.visit(operand))
            .collect::<Result<_, _>>()?;
        let name = call.func_name.as_str();
        result(name, call.target.is_some(), &operands).ok_or_else(|| {
            let found: Vec<String> = operands.iter().map(ToString::to_string).collect();
            let name = name.trim_matches(['_', '@']);
            format!("`{name}` does not apply to ({})", found.join(", "))
        })
    }

    fn comprehension(&mut self, of: &'a ComprehensionExpr) -> Result<Type, String> {
        let (key, value) = match self.visit(&of.iter_range)? {
            Any => (Any, Any),
            Type::List(item) => (*item, Any),
            Type::Map(key, value) => (*key, *value),
            other => return Err(format!("a value of type {other} has no items")),
        };
        let start = self.visit(&of.accu_init)?;
        let known = self.variables.len();
        self.variables.push((&of.iter_var, key));
        self.variables
            .extend(of.iter_var2.as_deref().map(|name| (name, value)));
        // A list begins empty: what it is of shows at the first step.
        self.variables.push((&of.accu_var, start));
        let step = self.visit(&of.loop_step)?;
        if let Some(last) = self.variables.last_mut() {
            last.1 = step;
        }
        self.visit(&of.loop_cond)?;
        let result = self.visit(&of.result)?;
        self.variables.truncate(known);
        Ok(result)
    }
}

/// The type of what a function or operator gives, if it takes these operands;
/// the first is the target if it is written as a method.
fn result(name: &str, is_method: bool, operands: &[Type]) -> Option<Type> {
    const ORDERED: &[Type] = &[Bool, Int, Uint, Double, Text, Bytes, Timestamp, Duration];
    let (first, rest) = operands.split_first()?;
    let one = |types: &[Type]| rest.is_empty() && types.iter().any(|of| of.fits(first));
    let given = |fits: bool, of: Type| fits.then_some(of);
    // Two operands, each of the one type.
    let both = |of: &Type| matches!(rest, [second] if first.fits(of) && second.fits(of));
    match name {
        operators::CONDITIONAL => match rest {
            [yes, no] if first.fits(&Bool) && yes.fits(no) => Some(yes.clone().or(no.clone())),
            _ => None,
        },
        operators::LOGICAL_AND | operators::LOGICAL_OR => given(both(&Bool), Bool),
        operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE => given(one(&[Bool]), Bool),
        operators::NEGATE => arithmetic(&[Int, Double], |of| one(&[of])),
        operators::EQUALS | operators::NOT_EQUALS => given(both(first), Bool),
        operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS => given(ORDERED.iter().any(both), Bool),
        operators::ADD => add(operands),
        operators::SUBSTRACT => subtract(operands),
        operators::MULTIPLY | operators::DIVIDE => arithmetic(&[Int, Uint, Double], |of| both(&of)),
        operators::MODULO => arithmetic(&[Int, Uint], |of| both(&of)),
        operators::IN => match rest {
            [Type::List(of) | Type::Map(of, _)] => given(of.fits(first), Bool),
            [second] => given(*second == Any, Bool),
            _ => None,
        },
        operators::INDEX => match (first, rest) {
            (Any, [_]) => Some(Any),
            (Type::List(of), [index]) => given(index.fits(&Int), (**of).clone()),
            (Type::Map(key, value), [index]) => given(index.fits(key), (**value).clone()),
            _ => None,
        },
        "size" => {
            let sized = [Text, Bytes, Type::list(Any)];
            let map = Type::Map(Box::new(Any), Box::new(Any));
            given(one(&sized) || one(&[map]), Int)
        }
        "contains" | "startsWith" | "endsWith" => given(is_method && both(&Text), Bool),
        // How many there have to be is said where patterns are compiled.
        "matches" => given(rest.len() != 1 || both(&Text), Bool),
        "int" => given(one(&[Int, Uint, Double, Text, Timestamp, Duration]), Int),
        "uint" => given(one(&[Int, Uint, Double, Text]), Uint),
        "double" => given(one(&[Int, Uint, Double, Text]), Double),
        "bool" => given(one(&[Bool, Text]), Bool),
        "bytes" => given(one(&[Bytes, Text]), Bytes),
        "string" => given(one(ORDERED), Text),
        "timestamp" => given(one(&[Timestamp, Int, Text]), Timestamp),
        "duration" => given(one(&[Duration, Text]), Duration),
        "dyn" => given(rest.is_empty(), Any),
        "type" => given(rest.is_empty(), Type::Kind),
        "getHours" | "getMinutes" | "getSeconds" | "getMilliseconds" if one(&[Duration]) => {
            given(is_method, Int)
        }
        _ if name.starts_with("get") => {
            let in_zone = matches!(rest, [zone] if zone.fits(&Text));
            let of_time = Timestamp.fits(first) && (rest.is_empty() || in_zone);
            given(is_method && of_time, Int)
        }
        // What is not of the standard library has been found before.
        _ => Some(Any),
    }
}

/// The one of these types that applies; any, if several do.
fn arithmetic(types: &[Type], applies: impl Fn(Type) -> bool) -> Option<Type> {
    let applying = types.iter().filter(|of| applies((*of).clone()));
    applying.cloned().reduce(Type::or)
}

fn add(operands: &[Type]) -> Option<Type> {
    let [one, other] = operands else { return None };
    let of = |one_is: &Type, other_is: &Type, sum: Type| {
        (one.fits(one_is) && other.fits(other_is)).then_some(sum)
    };
    let same = [Int, Uint, Double, Text, Bytes, Duration]
        .into_iter()
        .filter_map(|it| of(&it, &it, it.clone()));
    let lists = match (one, other) {
        (Type::List(_), Type::List(_)) => one.fits(other).then(|| match one {
            Type::List(item) if **item == Any => other.clone(),
            _ => one.clone(),
        }),
        (list @ Type::List(_), Any) | (Any, list @ Type::List(_)) => Some(list.clone()),
        (Any, Any) => Some(Type::list(Any)),
        _ => None,
    };
    same.chain(lists)
        .chain(of(&Timestamp, &Duration, Timestamp))
        .chain(of(&Duration, &Timestamp, Timestamp))
        .reduce(Type::or)
}

fn subtract(operands: &[Type]) -> Option<Type> {
    let [one, other] = operands else { return None };
    let of = |one_is: &Type, other_is: &Type, rest: Type| {
        (one.fits(one_is) && other.fits(other_is)).then_some(rest)
    };
    [Int, Uint, Double, Duration]
        .into_iter()
        .filter_map(|it| of(&it, &it, it.clone()))
        .chain(of(&Timestamp, &Timestamp, Duration))
        .chain(of(&Timestamp, &Duration, Timestamp))
        .reduce(Type::or)
}
