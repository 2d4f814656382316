//! Small expressions over readings, for settings: `dew_point(temperature, humidity)`, `tank.level > 20 and not rain.on`.
//!
//! ```
//! use sedge_plugin::Value;
//! use sedge_plugin::expr::{Input, parse};
//!
//! let colder = parse("temperature - outside.temperature > 5")?;
//! let lookup = |input: &Input| match &input.sensor {
//!     None => Some(Value::Number(21.0)),
//!     Some(_) => Some(Value::Number(3.5)),
//! };
//! assert_eq!(colder.eval(&lookup), Ok(Value::Bool(true)));
//! assert_eq!(parse("2 * (3 + 4").unwrap_err().to_string(), "expected `)` at column 11");
//! # Ok::<(), sedge_plugin::expr::ExprError>(())
//! ```
//!
//! | | from loosest to tightest |
//! |---|---|
//! | logic | `or`, `and`, `not`, on what is on or off: `true`, `false`, `a < b` |
//! | comparison | `<` `<=` `>` `>=` `==` `!=`, not chained |
//! | arithmetic | `+` `-`, `*` `/`, the sign `-`, `^` (from the right: `2 ^ 3 ^ 2` is `2 ^ 9`) |
//! | functions | `abs(x)`, `sqrt(x)`, `exp(x)`, `ln(x)`, `log10(x)`, `pow(x, y)`, `min(x, …)`, `max(x, …)`, `round(x)`, `round(x, digits)`, `clamp(x, low, high)`, `if(condition, then, otherwise)` |
//! | air | `dew_point(temperature, humidity)` in °C, `absolute_humidity(temperature, humidity)` in g/m³, of °C and % |
//!
//! `temperature` is a field of the reading at hand, `pi-kitchen.temperature` the field of a sensor. An id may contain a
//! `-`, so a minus before a sensor's field wants a space: `a - b.level`; `a-b.level` is a field of the sensor `a-b`.
//!
//! `and`, `or` and `if` leave alone what they do not need. A number that would not be finite is an error. Nothing here
//! loops, keeps anything or has effects, and the work is bounded by [`MAX_LENGTH`] and [`MAX_DEPTH`].

mod functions;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::reading::Value;
use crate::{Id, Name};
use functions::Function;

pub use parse::parse;

/// The longest expression, in bytes.
pub const MAX_LENGTH: usize = 1024;
/// How deep parentheses, calls, signs and powers may nest.
pub const MAX_DEPTH: usize = 32;

/// Why a text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at column {column}", column = .at + 1)]
pub struct ExprError {
    /// Where, in bytes from the start. All before it is ASCII.
    pub at: usize,
    /// What is wrong there.
    pub message: String,
}

/// Why an expression has no value now. The texts serve as the reason of a missing value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// This input has no value.
    #[error("needs {0}")]
    Missing(Input),
    /// A condition or a text stands where a number is needed.
    #[error("not_a_number")]
    NotANumber,
    /// A number or a text stands where a condition is needed.
    #[error("not_a_condition")]
    NotACondition,
    /// A division by zero, the root of a negative number, or the like.
    #[error("not_finite")]
    NotFinite,
}

/// What an expression needs to know: a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Input {
    /// Of this sensor; none for the reading at hand.
    pub sensor: Option<Id>,
    /// Which one.
    pub field: Name,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sensor {
            Some(sensor) => write!(f, "{sensor}.{}", self.field),
            None => write!(f, "{}", self.field),
        }
    }
}

/// An expression that was understood. It is shown as it was written.
#[derive(Debug, Clone)]
pub struct Expr {
    text: Box<str>,
    inputs: Vec<Input>,
    root: Node,
}

#[derive(Debug, Clone)]
enum Node {
    Constant(Value),
    /// Its place in [`Expr::inputs`].
    Input(usize),
    Negative(Box<Node>),
    Not(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Call(&'static Function, Vec<Node>),
    If(Box<[Node; 3]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Operator {
    Or,
    And,
    LessOrEqual,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Less,
    Greater,
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Expr {
    /// What it needs, each named once, in the order of the text.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Whether its value is on or off, as far as its form tells.
    pub fn is_condition(&self) -> bool {
        self.root.is_condition()
    }

    /// Its value.
    ///
    /// # Errors
    /// When an input that is needed has no value, or the value is none.
    pub fn eval(&self, lookup: &dyn Fn(&Input) -> Option<Value>) -> Result<Value, EvalError> {
        Run { inputs: &self.inputs, lookup }.value(&self.root)
    }
}

impl Node {
    fn is_condition(&self) -> bool {
        match self {
            Self::Constant(value) => matches!(value, Value::Bool(_)),
            Self::Not(_) => true,
            Self::Binary(operator, ..) => *operator < Operator::Add,
            Self::If(parts) => parts[1].is_condition(),
            Self::Input(_) | Self::Negative(_) | Self::Call(..) => false,
        }
    }
}

struct Run<'a> {
    inputs: &'a [Input],
    lookup: &'a dyn Fn(&Input) -> Option<Value>,
}

impl Run<'_> {
    fn value(&self, node: &Node) -> Result<Value, EvalError> {
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Input(at) => {
                let input = &self.inputs[*at];
                (self.lookup)(input).ok_or_else(|| EvalError::Missing(input.clone()))
            }
            Node::Negative(node) => Ok(Value::Number(-self.number(node)?)),
            Node::Not(node) => Ok(Value::Bool(!self.truth(node)?)),
            Node::Binary(operator, left, right) => self.binary(*operator, left, right),
            Node::Call(function, arguments) => {
                let numbers: Result<Vec<f64>, _> = arguments.iter().map(|node| self.number(node)).collect();
                finite((function.apply)(&numbers?))
            }
            Node::If(parts) => self.value(if self.truth(&parts[0])? { &parts[1] } else { &parts[2] }),
        }
    }

    fn binary(&self, operator: Operator, left: &Node, right: &Node) -> Result<Value, EvalError> {
        let numbers = || Ok((self.number(left)?, self.number(right)?));
        let compared = |compare: fn(&f64, &f64) -> bool| numbers().map(|(a, b)| Value::Bool(compare(&a, &b)));
        let computed = |compute: fn(f64, f64) -> f64| numbers().and_then(|(a, b)| finite(compute(a, b)));
        match operator {
            Operator::Or => Ok(Value::Bool(self.truth(left)? || self.truth(right)?)),
            Operator::And => Ok(Value::Bool(self.truth(left)? && self.truth(right)?)),
            Operator::Equal => Ok(Value::Bool(self.value(left)? == self.value(right)?)),
            Operator::NotEqual => Ok(Value::Bool(self.value(left)? != self.value(right)?)),
            Operator::LessOrEqual => compared(f64::le),
            Operator::GreaterOrEqual => compared(f64::ge),
            Operator::Less => compared(f64::lt),
            Operator::Greater => compared(f64::gt),
            Operator::Add => computed(|a, b| a + b),
            Operator::Subtract => computed(|a, b| a - b),
            Operator::Multiply => computed(|a, b| a * b),
            Operator::Divide => computed(|a, b| a / b),
            Operator::Power => computed(f64::powf),
        }
    }

    fn number(&self, node: &Node) -> Result<f64, EvalError> {
        match self.value(node)? {
            Value::Number(n) if n.is_finite() => Ok(n),
            Value::Number(_) => Err(EvalError::NotFinite),
            Value::Bool(_) | Value::Text(_) => Err(EvalError::NotANumber),
        }
    }

    fn truth(&self, node: &Node) -> Result<bool, EvalError> {
        match self.value(node)? {
            Value::Bool(on) => Ok(on),
            Value::Number(_) | Value::Text(_) => Err(EvalError::NotACondition),
        }
    }
}

fn finite(n: f64) -> Result<Value, EvalError> {
    if n.is_finite() { Ok(Value::Number(n)) } else { Err(EvalError::NotFinite) }
}
