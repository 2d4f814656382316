//! Any text as an expression: no panic, every mistake has its place, and a value is finite.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sedge_plugin::Value;
use sedge_plugin::expr::{Input, parse};

fuzz_target!(|text: &str| {
    let expr = match parse(text) {
        Ok(expr) => expr,
        Err(error) => return assert!(text.is_char_boundary(error.at)),
    };
    assert!(
        expr.inputs()
            .iter()
            .all(|input| parse(&input.to_string()).is_ok_and(|it| it.inputs() == [input.clone()]))
    );
    let lookup = |input: &Input| match input.field.as_str().len() % 4 {
        0 => None,
        1 => Some(Value::Number(-2.5)),
        2 => Some(Value::Bool(true)),
        _ => Some(Value::Text("on".into())),
    };
    if let Ok(Value::Number(n)) = expr.eval(&lookup) {
        assert!(n.is_finite());
    }
});
