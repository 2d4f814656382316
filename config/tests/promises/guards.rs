//! A guard keeps the gate, also when something is wrong with it.

use sedge_config::Guard;

use super::{lines, parse};

fn guard(text: &str) -> Guard {
    let outcome = parse(&format!("mqtt.embedded = true\n[guard.g]\n{text}"));
    let guards = outcome.config.unwrap_or_else(|| panic!("not fatal: {text}")).guards;
    guards.into_iter().next().unwrap_or_else(|| panic!("kept: {text}"))
}

fn told(text: &str) -> Vec<String> {
    lines(&parse(&format!("mqtt.embedded = true\n[guard.g]\n{text}")))
}

#[test]
fn a_guard_says_who_may_call_what_when() {
    let text = "tools = ['pump_*']\nallow = ['cli', 'node:attic']\ndeny = ['node:*']\ncooldown = '30s'\nat_most = 10\n\
        per = '1h'\nonly_if = 'tank.level > 20'\nmax_age = '2m'\ndry_run = true\nenabled = false";
    assert_eq!(told(text), [""; 0]);
    let guard = guard(text);
    assert_eq!((guard.tools, guard.deny), (vec!["pump_*".to_owned()], vec!["node:*".to_owned()]));
    assert_eq!(guard.allow, Some(vec!["cli".to_owned(), "node:attic".to_owned()]));
    let secs = |every: Option<sedge_plugin::Every>| every.map(|every| every.0.as_secs());
    assert_eq!((secs(guard.cooldown), guard.at_most, secs(guard.per)), (Some(30), Some(10), Some(3600)));
    assert_eq!((guard.only_if.as_deref(), guard.max_age.0.as_secs()), (Some("tank.level > 20"), 120));
    assert!(guard.dry_run && !guard.enabled && guard.fault.is_none());
}

#[test]
fn what_is_left_out_of_a_guard_has_its_default() {
    let guard = guard("tools = ['*']\nonly_if = 'a > 1'");
    assert_eq!((guard.max_age.0.as_secs(), guard.allow, guard.deny.len()), (300, None, 0));
    assert!(guard.enabled && !guard.dry_run && guard.cooldown.is_none() && guard.at_most.is_none());
}

#[test]
fn a_guard_with_a_mistake_stays_with_the_tools_that_are_legible() {
    for (text, tools) in [
        ("tools = ['pump_*', 7, 'Pump', '']\ndeny = ['*']", &["pump_*"][..]),
        ("tools = ['pump']\ncooldown = 'soon'", &["pump"]),
        ("tools = 'pump'\ndeny = ['*']", &[]),
        ("tools = []\ndeny = ['*']", &[]),
        ("deny = ['*']", &[]),
        ("tools = ['pump']\nallow = 'cli'", &["pump"]),
        ("tools = ['pump']\nallow = ['']", &["pump"]),
        ("tools = ['pump']\nalow = ['cli']", &["pump"]),
        ("tools = ['pump']\nat_most = 0\nper = '1h'", &["pump"]),
        ("tools = ['pump']\nat_most = 1\nper = '0s'", &["pump"]),
        ("tools = ['pump']\nat_most = 1", &["pump"]),
        ("tools = ['pump']\nper = '1h'", &["pump"]),
        ("tools = ['pump']\nonly_if = 'a ? b'", &["pump"]),
    ] {
        let guard = guard(text);
        assert!(guard.fault.is_some() && guard.enabled, "{text}");
        assert_eq!(guard.tools, tools, "{text}");
    }
}

#[test]
fn a_guard_that_is_no_table_or_has_an_illegal_name_stays_too() {
    let config = parse(
        "mqtt.embedded = true\nguard.a = 7\nguard.B = { tools = ['b'], deny = ['*'] }\nguard.b = { tools = ['c'], deny = ['*'] }",
    );
    let guards = config.config.expect("not fatal").guards;
    let shown: Vec<_> = guards.iter().map(|g| (g.id.as_str(), g.tools.len(), g.fault.is_some())).collect();
    assert_eq!(shown, [("a", 0, true), ("b", 1, true), ("b", 1, false)]);
}

#[test]
fn a_guard_in_a_misspelt_section_is_none_that_is_missing() {
    for (text, id, tools) in [
        ("[gaurd.pump]\ntools = ['pump_*']", "pump", &["pump_*"][..]),
        ("[guards.pump]\ndeny = ['*']", "pump", &[]),
        ("[guards]\ntools = ['pump']", "guards", &["pump"]),
    ] {
        let outcome = parse(&format!("mqtt.embedded = true\n{text}"));
        let guards = outcome.config.expect("not fatal").guards;
        let shown: Vec<_> =
            guards.iter().map(|g| (g.id.as_str(), g.tools.as_slice(), g.fault.is_some())).collect();
        let tools: Vec<String> = tools.iter().map(|tool| (*tool).to_owned()).collect();
        assert_eq!(shown, [(id, tools.as_slice(), true)], "{text}");
    }
}

#[test]
fn one_of_at_most_and_per_is_not_enough() {
    assert_eq!(
        told("tools = ['a']\nat_most = 3"),
        ["sedge.toml:4:1: `at_most` without `per`; add `per`, such as `per = \"1h\"`"]
    );
    assert_eq!(
        told("tools = ['a']\nper = '1h'"),
        ["sedge.toml:4:1: `per` without `at_most`; add `at_most`, such as `at_most = 10`"]
    );
}

#[test]
fn a_mistake_in_a_condition_is_shown_within_the_text() {
    for (text, place) in [
        ("only_if = 'a ? b'", "4:14"),
        ("only_if = \"\\u00fc ? b\"", "4:19"),
        ("only_if = \"\"\"\na\n  = b\"\"\"", "6:3"),
        ("only_if = 'a >'", "4:15"),
        ("only_if = \"\"\"a >\"\"\"", "4:17"),
    ] {
        let text = format!("tools = ['a']\n{text}");
        let told = told(&text);
        assert!(told.len() == 1 && told[0].starts_with(&format!("sedge.toml:{place}: ")), "{text}: {told:?}");
    }
    let variables = vec![("SEDGE__GUARD__G__ONLY_IF".to_owned(), "\"a\" ? b".to_owned())];
    let layers = [
        super::layers::file("sedge.toml", "mqtt.embedded = true\nguard.g.tools = ['a']"),
        sedge_config::Layer::Environment(variables),
    ];
    let outcome = super::layers::parse(&layers);
    let diagnostic = &outcome.diagnostics[0];
    assert_eq!(diagnostic.column, "SEDGE__GUARD__G__ONLY_IF=\"a\" ?".len(), "{diagnostic:?}");
}

#[test]
fn a_guard_that_restricts_nothing_is_a_warning() {
    assert_eq!(
        told("tools = ['a']\nmax_age = '1m'"),
        [
            "sedge.toml:2:1: the guard `g` restricts nothing; add one of allow, deny, cooldown, at_most, per, only_if",
            "sedge.toml:4:1: `max_age` has no effect without `only_if`",
        ]
    );
    assert!(guard("tools = ['a']").fault.is_none());
}
