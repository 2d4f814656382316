//! Who signs calls, and which calls must be signed: a mistake never lets in whom it should not.

use sedge_config::{Caller, MustSign};

use super::{lines, parse};

const KEY: &str = "key = 'ed25519:6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw='";

fn written(text: &str) -> String {
    format!("mqtt.embedded = true\n{text}")
}

fn callers(text: &str) -> Vec<Caller> {
    parse(&written(text)).config.unwrap_or_else(|| panic!("not fatal: {text}")).callers
}

fn told(text: &str) -> Vec<String> {
    lines(&parse(&written(text)))
}

#[test]
fn a_caller_has_a_key_and_rights() {
    let text = format!("[caller.attic]\n{KEY}\ntools = ['pump_*', 'look']\nrate = '10/min'");
    assert_eq!(told(&text), [""; 0]);
    let caller = callers(&text).remove(0);
    assert_eq!((caller.id.as_str(), caller.tools.len(), caller.fault), ("attic", 2, None));
    assert_eq!(caller.key.unwrap().to_string(), KEY.trim_start_matches("key = '").trim_end_matches('\''));
    assert_eq!(caller.rate.unwrap().to_string(), "10/min");
}

#[test]
fn a_caller_with_a_mistake_keeps_its_name_and_has_no_key() {
    for text in [
        String::new(),
        "tools = ['*']".into(),
        KEY.into(),
        format!("{KEY}\ntools = []"),
        format!("{KEY}\ntools = ['Pump']"),
        format!("{KEY}\ntools = 'pump'"),
        format!("{KEY}\ntools = ['*']\nrate = '10'"),
        format!("{KEY}\ntools = ['*']\nrtae = '10/min'"),
        "key = 'ed25519:AAEC'\ntools = ['*']".into(),
        "key = 'MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH'\ntools = ['*']".into(),
    ] {
        let callers = callers(&format!("[caller.attic]\n{text}"));
        assert_eq!(callers.len(), 1, "{text}");
        assert!(callers[0].fault.is_some() && callers[0].key.is_none(), "{text}");
    }
}

#[test]
fn a_private_key_in_the_wrong_place_is_not_repeated() {
    let secret = "MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
    let told = told(&format!("[caller.attic]\nkey = '{secret}'\ntools = ['*']"));
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("sedge caller new NAME") && !told[0].contains(secret), "{told:?}");
}

#[test]
fn names_that_stand_for_others_and_keys_of_others_are_refused() {
    for name in ["cli", "mqtt"] {
        assert!(callers(&format!("[caller.{name}]\n{KEY}\ntools = ['*']"))[0].fault.is_some());
    }
    let two = callers(&format!("[caller.a]\n{KEY}\ntools = ['*']\n[caller.b]\n{KEY}\ntools = ['look']"));
    assert_eq!(two.iter().map(|caller| caller.fault.is_some()).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn which_calls_must_be_signed_is_said_once_for_all() {
    let config = parse(&written(&format!(
        "[calls]\nsigned = 'actuate'\nallow_unsigned = ['lamp_*']\nper_caller = '5/s'\nunsigned = '1/h'\n[caller.a]\n{KEY}\ntools = ['*']"
    )));
    assert_eq!(lines(&config), [""; 0]);
    let calls = config.config.unwrap().calls;
    assert_eq!((calls.signed, calls.allow_unsigned.len()), (MustSign::Actuate, 1));
    assert_eq!((calls.per_caller.to_string(), calls.unsigned.to_string()), ("5/s".into(), "1/h".into()));
    let default = parse(&written("")).config.unwrap().calls;
    assert_eq!((default.signed, default.per_caller.most, default.unsigned.most), (MustSign::Off, 60, 600));
}

#[test]
fn a_mistake_about_who_must_sign_keeps_the_node_from_starting() {
    for text in [
        "[calls]\nsigned = 'yes'",
        "[calls]\nsinged = 'all'",
        "[calls]\nsigned = 'all'\nper_caller = '0/min'",
        "[calls]\nsigned = 'all'\nallow_unsigned = ['Lamp']",
        "calls = 'all'",
        "[call]\nsigned = 'all'",
        "[clals]\nsigned = 'all'",
        "[callers.attic]\ntools = ['*']",
    ] {
        assert!(parse(&written(text)).config.is_none(), "{text}");
    }
}

#[test]
fn what_cannot_work_is_warned_of() {
    assert_eq!(told("[calls]\nsigned = 'all'").len(), 1, "nobody can sign");
    assert_eq!(told("[calls]\nallow_unsigned = ['x']").len(), 1, "no effect");
}
