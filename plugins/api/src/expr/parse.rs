//! From a text to an [`Expr`], by precedence climbing.

use super::functions::{FUNCTIONS, MANY};
use super::{Expr, ExprError, Input, MAX_DEPTH, MAX_LENGTH, Node, Operator};
use crate::reading::Value;
use crate::schema::nearest;
use crate::{Id, Name};

/// What is matched first comes first: `<=` before `<`. With how tightly it binds.
const OPERATORS: &[(&str, Operator, u8)] = &[
    ("or", Operator::Or, 1),
    ("and", Operator::And, 2),
    ("<=", Operator::LessOrEqual, COMPARISON),
    (">=", Operator::GreaterOrEqual, COMPARISON),
    ("==", Operator::Equal, COMPARISON),
    ("!=", Operator::NotEqual, COMPARISON),
    ("<", Operator::Less, COMPARISON),
    (">", Operator::Greater, COMPARISON),
    ("+", Operator::Add, 5),
    ("-", Operator::Subtract, 5),
    ("*", Operator::Multiply, 6),
    ("/", Operator::Divide, 6),
    ("^", Operator::Power, POWER),
];
const NOT: u8 = 3;
const COMPARISON: u8 = 4;
const SIGN: u8 = 7;
const POWER: u8 = 8;

/// Words that cannot be the name of a field.
const RESERVED: &[&str] = &["and", "false", "not", "or", "true"];

/// Reads an expression.
///
/// # Errors
/// With the place where it is not understood.
pub fn parse(text: &str) -> Result<Expr, ExprError> {
    if text.len() > MAX_LENGTH {
        let message = format!("an expression has at most {MAX_LENGTH} bytes; it is too long");
        return Err(ExprError { at: 0, message });
    }
    let mut parser = Parser { text, at: 0, depth: 0, inputs: Vec::new() };
    let root = parser.expression(0)?;
    if !parser.rest().is_empty() {
        return Err(parser.expected("an operator"));
    }
    Ok(Expr { text: text.into(), inputs: parser.inputs, root })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    inputs: Vec<Input>,
}

impl<'a> Parser<'a> {
    /// Operators that bind at least as tightly as `least`, with their operands.
    fn expression(&mut self, least: u8) -> Result<Node, ExprError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("nested more than {MAX_DEPTH} deep")));
        }
        let mut left = self.operand()?;
        let mut compared = false;
        while let Some(&(symbol, operator, binding)) = self.operator().filter(|row| row.2 >= least) {
            if compared && binding == COMPARISON {
                return Err(self.error("comparisons cannot be chained; join them with `and`"));
            }
            compared = binding == COMPARISON;
            self.at += symbol.len();
            let right = self.expression(if binding == POWER { binding } else { binding + 1 })?;
            left = Node::Binary(operator, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Node, ExprError> {
        let rest = self.rest();
        if self.accept("-") {
            return Ok(Node::Negative(Box::new(self.expression(SIGN)?)));
        }
        if self.accept("(") {
            let inner = self.expression(0)?;
            self.require(")")?;
            return Ok(inner);
        }
        if let Some(dot) = sensor(rest) {
            let (sensor, field) = (&rest[..dot], name(&rest[dot + 1..]));
            let sensor = Id::new(sensor).map_err(|error| self.error(error.to_string()))?;
            return self.input(Some(sensor), field, dot + 1 + field.len());
        }
        let digits = number(rest);
        if !digits.is_empty() {
            let value = digits.parse().ok().filter(|n: &f64| n.is_finite());
            let value = value.ok_or_else(|| self.error(format!("`{digits}` is too large")))?;
            self.at += digits.len();
            return Ok(Node::Constant(Value::Number(value)));
        }
        match name(rest) {
            "" => Err(self.expected("a value")),
            "not" => {
                self.at += "not".len();
                Ok(Node::Not(Box::new(self.expression(NOT)?)))
            }
            word @ ("true" | "false") => {
                self.at += word.len();
                Ok(Node::Constant(Value::Bool(word == "true")))
            }
            word if RESERVED.contains(&word) => Err(self.expected("a value")),
            word if rest[word.len()..].trim_ascii_start().starts_with('(') => self.call(word),
            word => self.input(None, word, word.len()),
        }
    }

    fn input(&mut self, sensor: Option<Id>, field: &str, length: usize) -> Result<Node, ExprError> {
        let field = Name::new(field).map_err(|error| self.error(error.to_string()))?;
        self.at += length;
        let input = Input { sensor, field };
        let known = self.inputs.iter().position(|other| *other == input);
        Ok(Node::Input(known.unwrap_or_else(|| {
            self.inputs.push(input);
            self.inputs.len() - 1
        })))
    }

    fn call(&mut self, word: &str) -> Result<Node, ExprError> {
        let function = FUNCTIONS.iter().find(|function| function.name == word);
        let Some((least, most)) = function.map(|f| f.takes).or((word == "if").then_some((3, 3))) else {
            let names = FUNCTIONS.iter().map(|function| function.name);
            let meant = nearest(word, names).map(|near| format!("; did you mean `{near}`?"));
            return Err(self.error(format!("no function `{word}`{}", meant.unwrap_or_default())));
        };
        let start = self.at;
        self.at += word.len();
        self.require("(")?;
        let mut arguments = Vec::new();
        if !self.accept(")") {
            arguments.push(self.expression(0)?);
            while self.accept(",") {
                arguments.push(self.expression(0)?);
            }
            self.require(")")?;
        }
        let found = arguments.len();
        if found < least || found > most {
            let takes = match most {
                most if most == least => format!("{least}"),
                MANY => format!("{least} or more"),
                most => format!("{least} to {most}"),
            };
            let s = if takes == "1" { "" } else { "s" };
            return Err(ExprError {
                at: start,
                message: format!("`{word}` takes {takes} value{s}, found {found}"),
            });
        }
        match function {
            Some(function) => Ok(Node::Call(function, arguments)),
            None => {
                let parts = arguments.try_into().map_err(|_| self.error("`if` takes 3 values"))?;
                Ok(Node::If(Box::new(parts)))
            }
        }
    }

    fn operator(&mut self) -> Option<&'static (&'static str, Operator, u8)> {
        let rest = self.rest();
        OPERATORS.iter().find(|(symbol, ..)| match name(rest) {
            "" => rest.starts_with(symbol),
            word => word == *symbol,
        })
    }

    /// What is left, without the space before it.
    fn rest(&mut self) -> &'a str {
        let rest = self.text[self.at..].trim_ascii_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        self.at += if found { symbol.len() } else { 0 };
        found
    }

    fn require(&mut self, symbol: &str) -> Result<(), ExprError> {
        if self.accept(symbol) { Ok(()) } else { Err(self.expected(&format!("`{symbol}`"))) }
    }

    fn expected(&mut self, what: &str) -> ExprError {
        let instead = match self.rest() {
            rest if rest.starts_with('=') => " (equality is `==`)",
            rest if rest.starts_with("&&") => " (write `and`)",
            rest if rest.starts_with("||") => " (write `or`)",
            rest if rest.starts_with('!') => " (write `not`)",
            _ => "",
        };
        self.error(format!("expected {what}{instead}"))
    }

    fn error(&self, message: impl Into<String>) -> ExprError {
        ExprError { at: self.at, message: message.into() }
    }
}

/// The length of the sensor's id where `rest` begins with `id.field`.
fn sensor(rest: &str) -> Option<usize> {
    let id = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let dot = rest.bytes().position(|b| !id(b)).filter(|&dot| dot > 0)?;
    let field = rest[dot..].strip_prefix('.')?;
    field.starts_with(|c: char| c.is_ascii_lowercase()).then_some(dot)
}

/// The name with which `rest` begins; empty where there is none.
fn name(rest: &str) -> &str {
    let more = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let end = rest.bytes().position(|b| !more(b)).unwrap_or(rest.len());
    if rest.starts_with(|c: char| c.is_ascii_lowercase()) { &rest[..end] } else { "" }
}

/// The number with which `rest` begins; empty where there is none.
fn number(rest: &str) -> &str {
    let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = digits(0);
    if end == 0 {
        return "";
    }
    if rest[end..].starts_with('.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if rest[end..].starts_with('e') {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        if digits(end + 1 + sign) > 0 {
            end += 1 + sign + digits(end + 1 + sign);
        }
    }
    &rest[..end]
}
