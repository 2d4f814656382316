use proptest::prelude::*;

use super::*;

/// The reading at hand and two sensors.
fn lookup(input: &Input) -> Option<Value> {
    let sensor = input.sensor.as_ref().map(Id::as_str);
    match (sensor, input.field.as_str()) {
        (None, "a") => Some(2.0.into()),
        (None, "b") => Some(3.0.into()),
        (None, "temperature") => Some(25.0.into()),
        (None, "humidity") => Some(10.0.into()),
        (None, "on") => Some(true.into()),
        (None, "mode") => Some("eco".into()),
        (Some("pi-kitchen"), "temperature") => Some(21.5.into()),
        (Some("2nd-floor"), "temperature") => Some(19.0.into()),
        _ => None,
    }
}

fn eval(text: &str) -> Result<Value, EvalError> {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).eval(&lookup)
}

#[test]
fn operators_bind_as_in_mathematics() {
    for (text, value) in [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("10 - 4 - 3", 3.0),
        ("16 / 4 / 2", 2.0),
        ("2 ^ 3 ^ 2", 512.0),
        ("-2 ^ 2", -4.0),
        ("2 ^ -1 * 4", 2.0),
        ("--3", 3.0),
        ("1e3 + 2.5e-1", 1000.25),
        ("a-b", -1.0),
        ("if(a < b, 10, 1 / 0)", 10.0),
        ("round(2.345, 1) + round(2.6)", 5.3),
        ("clamp(99, 0, 50) + clamp(-9, 0, 50) + min(3, 1, 2) + max(4, 5)", 56.0),
        ("pow(2, 10) + sqrt(16) + abs(-1) + log10(1000) + ln(exp(2))", 1034.0),
    ] {
        assert_eq!(eval(text), Ok(Value::Number(value)), "{text}");
    }
}

#[test]
fn conditions_bind_looser_than_numbers() {
    for (text, value) in [
        ("1 + 1 == 2", true),
        ("not 1 > 2", true),
        ("not true or true", true),
        ("true or true and false", true),
        ("not (true or true) and false", false),
        ("on and a <= 2 and b >= 3 and a != b", true),
        ("(a < b) == on", true),
    ] {
        assert_eq!(eval(text), Ok(Value::Bool(value)), "{text}");
        assert!(parse(text).unwrap().is_condition(), "{text}");
    }
    assert!(!parse("if(on, 1, 2)").unwrap().is_condition());
}

#[test]
fn a_sensors_id_may_have_dashes_and_begin_with_a_digit() {
    assert_eq!(eval("pi-kitchen.temperature - 2nd-floor.temperature"), Ok(Value::Number(2.5)));
    let inputs = parse("a + x-y.a + a-x.b - a").unwrap().inputs().to_vec();
    assert_eq!(inputs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "x-y.a", "a-x.b"]);
}

#[test]
fn a_mistake_is_told_with_its_column() {
    for (text, error) in [
        ("2 * (3 + 4", "expected `)` at column 11"),
        ("max(a, b", "expected `)` at column 9"),
        ("", "expected a value at column 1"),
        ("a +  ", "expected a value at column 6"),
        ("a b", "expected an operator at column 3"),
        ("a = b", "expected an operator (equality is `==`) at column 3"),
        ("a && b", "expected an operator (write `and`) at column 3"),
        ("!a", "expected a value (write `not`) at column 1"),
        ("1 < a < 3", "comparisons cannot be chained; join them with `and` at column 7"),
        ("dewpoint(a, b)", "no function `dewpoint`; did you mean `dew_point`? at column 1"),
        ("1 + dew_point(a)", "`dew_point` takes 2 values, found 1 at column 5"),
        ("if(on)", "`if` takes 3 values, found 1 at column 1"),
        ("round(1, 2, 3)", "`round` takes 1 to 2 values, found 3 at column 1"),
        ("min()", "`min` takes 1 or more values, found 0 at column 1"),
        ("1e999", "`1e999` is too large at column 1"),
        ("a and or", "expected a value at column 7"),
        ("Temperature", "expected a value at column 1"),
        ("a + é", "expected a value at column 5"),
    ] {
        assert_eq!(parse(text).unwrap_err().to_string(), error, "{text}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let nested = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&nested(MAX_DEPTH - 1)).is_ok());
    assert!(parse(&nested(MAX_DEPTH)).unwrap_err().message.contains("deep"));
    for text in ["-".repeat(500) + "1", "not ".repeat(200) + "on", "2^".repeat(300) + "2"] {
        assert!(parse(&text).unwrap_err().message.contains("deep"), "{text}");
    }
    let long = "1+".repeat(MAX_LENGTH / 2 - 1) + "1";
    assert_eq!(eval(&long), Ok(Value::Number(512.0)));
    assert!(parse(&(long + "+1+1")).unwrap_err().message.contains("too long"));
}

#[test]
fn what_has_no_value_says_why() {
    for (text, reason) in [
        ("a + outside.temperature", "needs outside.temperature"),
        ("1 / 0", "not_finite"),
        ("clamp(0 / 0, 1, 2)", "not_finite"),
        ("sqrt(-1)", "not_finite"),
        ("a + on", "not_a_number"),
        ("mode + 1", "not_a_number"),
        ("not a", "not_a_condition"),
    ] {
        assert_eq!(eval(text).unwrap_err().to_string(), reason, "{text}");
    }
    assert_eq!(eval("on or nobody.knows"), Ok(Value::Bool(true)), "what is not needed is not asked for");
    assert_eq!(eval("false and nobody.knows"), Ok(Value::Bool(false)));
}

#[test]
fn it_is_shown_as_it_was_written() {
    assert_eq!(parse(" a+b ").unwrap().to_string(), " a+b ");
}

/// A text and what it is worth by the rules of arithmetic, level by level as a grammar has them.
type Known = (String, f64);

fn joined(level: BoxedStrategy<Known>, signs: &'static [&'static str]) -> BoxedStrategy<Known> {
    let more = prop::collection::vec((prop::sample::select(signs), level.clone()), 0..3);
    (level, more, prop::sample::select(&["", " "][..]))
        .prop_map(|((mut text, mut value), more, space)| {
            for (sign, (right, n)) in more {
                text = format!("{text}{space}{sign} {right}");
                value = match sign {
                    "+" => value + n,
                    "-" => value - n,
                    "*" => value * n,
                    _ => value / n,
                };
            }
            (text, value)
        })
        .boxed()
}

fn sum(level: BoxedStrategy<Known>) -> BoxedStrategy<Known> {
    joined(joined(level, &["*", "/"]), &["+", "-"])
}

fn arithmetic() -> BoxedStrategy<Known> {
    let number = (0..1000_u32)
        .prop_map(|n| (format!("{}.{}", n / 10, n % 10), format!("{}.{}", n / 10, n % 10).parse().unwrap()));
    let input = prop::sample::select(vec![
        ("a".to_owned(), 2.0),
        ("b".to_owned(), 3.0),
        ("pi-kitchen.temperature".to_owned(), 21.5),
    ]);
    let leaf = prop_oneof![number, input].boxed();
    leaf.prop_recursive(4, 40, 3, |inner| {
        let sum = sum(inner.clone());
        prop_oneof![
            sum.clone().prop_map(|(text, n)| (format!("({text})"), n)),
            inner.clone().prop_map(|(text, n)| (format!("-{text}"), -n)),
            (sum.clone(), sum).prop_map(|((a, x), (b, y))| (format!("max({a},{b})"), x.max(y))),
        ]
    })
    .boxed()
}

proptest! {
    #[test]
    fn an_expression_is_worth_what_the_rules_say((text, value) in sum(arithmetic())) {
        prop_assume!(text.len() <= MAX_LENGTH);
        match parse(&text) {
            Ok(expr) => match expr.eval(&lookup) {
                Ok(got) => prop_assert_eq!(got, Value::Number(value), "{}", text),
                Err(error) => prop_assert!(error == EvalError::NotFinite && text.contains('/'), "{}", text),
            },
            Err(error) => prop_assert!(error.message.contains("deep"), "{}: {}", text, error),
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}") {
        let _ = parse(&text).map(|expr| expr.eval(&lookup));
    }

    #[test]
    fn no_soup_of_its_own_words_makes_it_panic(words in prop::collection::vec(
        prop::sample::select(&["a", "b.c", "on", "1.5", "1e", "(", ")", ",", "-", "+", "^", "<", "==", "and", "or", "not", "if(", "min(", ".", " ", "true", "é"][..]), 0..40))
    {
        let text = words.concat();
        match parse(&text) {
            Ok(expr) => drop(expr.eval(&lookup)),
            Err(error) => prop_assert!(error.at <= text.len() && text[..error.at].is_ascii()),
        }
    }
}
