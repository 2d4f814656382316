use std::sync::Arc;

use sedge_plugin::testing::TestNode;
use serde_json::json;

use super::*;
use crate::wire::Signer;

const NOW: i64 = 1_795_195_704;

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn tool(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn directory() -> Directory {
    let node = TestNode::new();
    let mut look = Tool::new(tool("look"), "Looks.");
    look.annotations.read_only = true;
    node.offer([Tool::new(tool("pump_set"), "Switches."), Tool::new(tool("lamp_set"), "Switches."), look]);
    Directory::clone(&node.context("x").directory())
}

struct Fixture {
    gate: Gate,
    signer: Signer,
    directory: Arc<Directory>,
}

fn fixture(change: impl FnOnce(&mut CallRules)) -> Fixture {
    let signer = Signer::generate(id("attic")).unwrap();
    let caller = |name: &str, key| Caller { name: id(name), key, tools: vec!["pump_*".into()], rate: None };
    let callers = vec![caller("attic", Some(signer.public())), caller("broken", None)];
    let mut rules = CallRules { callers, ..CallRules::default() };
    change(&mut rules);
    Fixture { gate: Gate::new(id("pi"), rules), signer, directory: directory().into() }
}

impl Fixture {
    fn signed(&self, name: &str, at: i64) -> Signed {
        self.signer.sign(&id("pi"), &tool(name), &json!({}), at).unwrap()
    }

    fn call(
        &self,
        name: &str,
        from: Option<&str>,
        sig: Option<Signed>,
        wall: Option<i64>,
    ) -> Result<Who, Refusal> {
        let name = tool(name);
        let coming = Coming { tool: &name, from: from.map(Into::into), sig };
        self.gate.admit(coming, &self.directory, Duration::from_secs(1), wall.map(|s| s * 1000))
    }

    fn sign_and_call(&self, name: &str, wall: i64) -> Result<Who, Refusal> {
        self.call(name, None, Some(self.signed(name, NOW)), Some(wall))
    }

    fn from(&self, from: Option<&str>) -> String {
        self.call("lamp_set", from, None, None).unwrap().from
    }
}

fn reason(outcome: Result<Who, Refusal>) -> Reason {
    let refusal = outcome.unwrap_err();
    assert!(!refusal.text.is_empty());
    refusal.reason
}

#[test]
fn a_caller_that_signs_bears_its_name_and_nobody_else_does() {
    let it = fixture(|_| ());
    let who = it.sign_and_call("pump_set", NOW).unwrap();
    assert_eq!((who.from.as_str(), who.signature.is_some()), ("attic", true));
    assert_eq!(it.from(Some("attic")), "mqtt:attic");
    assert_eq!(it.from(Some("broken")), "mqtt:broken", "nor that of a caller with a mistake");
    assert_eq!(it.from(Some("cli")), "mqtt:cli");
    assert_eq!(it.from(Some("somebody")), "somebody");
    assert_eq!(it.from(None), "mqtt");
}

#[test]
fn what_a_caller_may_not_call_it_cannot_call_by_signing() {
    let it = fixture(|_| ());
    assert_eq!(reason(it.sign_and_call("lamp_set", NOW)), Reason::Rights);
}

#[test]
fn a_signature_that_does_not_hold_is_refused_whatever_need_not_be_signed() {
    let it = fixture(|_| ());
    let other = it.signed("pump_stop", NOW);
    let refusal = it.call("pump_set", None, Some(other), Some(NOW)).unwrap_err();
    assert_eq!((refusal.reason, refusal.who.from.as_str()), (Reason::Signature, "mqtt:attic"));
    for name in ["nobody", "broken"] {
        let stranger = Signer::generate(id(name)).unwrap();
        let sig = stranger.sign(&id("pi"), &tool("pump_set"), &json!({}), NOW).unwrap();
        assert_eq!(reason(it.call("pump_set", None, Some(sig), Some(NOW))), Reason::Signature, "{name}");
    }
}

#[test]
fn which_calls_must_be_signed_is_as_the_config_says() {
    for (signed, allowed, pump, lamp, look) in [
        (MustSign::None, "", true, true, true),
        (MustSign::Changing, "", false, false, true),
        (MustSign::Changing, "lamp_*", false, true, true),
        (MustSign::All, "", false, false, false),
        (MustSign::All, "look", false, false, true),
    ] {
        let it = fixture(|rules| {
            rules.signed = signed;
            rules.allow_unsigned = vec![allowed.into()];
        });
        let passes = |name: &str| match it.call(name, None, None, None) {
            Ok(_) => true,
            Err(refusal) => refusal.reason != Reason::Unsigned,
        };
        assert_eq!(
            (passes("pump_set"), passes("lamp_set"), passes("look")),
            (pump, lamp, look),
            "{signed:?}"
        );
        assert_eq!(passes("unheard_of"), signed == MustSign::None, "what it does nobody knows");
        assert!(it.sign_and_call("pump_set", NOW).is_ok());
    }
}

#[test]
fn a_signature_is_good_for_its_time_and_as_far_as_clocks_may_differ() {
    let it = fixture(|rules| rules.per_caller = Rate::per_minute(1000));
    // A signer's calls are good for half a minute.
    for (wall, good) in [(-6, false), (-5, true), (0, true), (30, true), (35, true), (36, false)] {
        assert_eq!(it.sign_and_call("pump_set", NOW + wall).is_ok(), good, "{wall}");
    }
    let long = |iat: i64, exp: i64| {
        let signature = Signature { iat, exp, ..it.signed("pump_set", NOW).signature };
        let sig = it.signer.seal(signature, b"{}", &id("pi"), &tool("pump_set"));
        it.call("pump_set", None, Some(sig), Some(NOW)).is_ok()
    };
    assert!(long(NOW, NOW + 60));
    for (iat, exp) in
        [(NOW, NOW + 61), (NOW, NOW), (NOW, NOW - 1), (i64::MIN, i64::MAX), (i64::MAX, i64::MIN)]
    {
        assert!(!long(iat, exp), "{iat} to {exp}");
    }
}

#[test]
fn a_node_that_does_not_know_the_time_runs_no_signed_call_and_says_so() {
    let it = fixture(|_| ());
    let refusal = it.call("pump_set", None, Some(it.signed("pump_set", NOW)), None).unwrap_err();
    assert_eq!((refusal.reason, refusal.code), (Reason::Clock, ToolErrorCode::Unavailable));
    assert!(refusal.text.contains("does not know the time"));
}

#[test]
fn who_calls_too_often_is_told_once_and_takes_nothing_from_others() {
    let it = fixture(|rules| rules.per_caller = Rate::per_minute(2));
    let call = |from: &str| it.call("lamp_set", Some(from), None, None);
    assert!(call("a").is_ok() && call("a").is_ok());
    let (first, second) = (call("a").unwrap_err(), call("a").unwrap_err());
    assert_eq!((first.reason, first.code, first.told), (Reason::Rate, ToolErrorCode::Busy, true));
    assert_eq!((second.reason, second.told), (Reason::Rate, false));
    assert!(call("b").is_ok());
    assert!(it.sign_and_call("pump_set", NOW).is_ok());
}

#[test]
fn strangers_with_many_names_and_bad_signatures_do_not_lock_out_who_signs() {
    let it = fixture(|rules| rules.unsigned = Rate::per_minute(5));
    let passed = (0..100).filter(|n| it.call("lamp_set", Some(&format!("s{n}")), None, None).is_ok());
    assert_eq!(passed.count(), 5);
    for _ in 0..100 {
        assert!(it.call("pump_set", None, Some(it.signed("pump_stop", NOW)), Some(NOW)).is_err());
    }
    assert!(it.sign_and_call("pump_set", NOW).is_ok());
}

#[test]
fn what_is_sent_to_be_refused_does_not_fill_the_log() {
    let it = fixture(|rules| rules.signed = MustSign::All);
    let told =
        (0..600).filter(|n| it.call("look", Some(&format!("s{}", n % 50)), None, None).unwrap_err().told);
    assert!(told.count() <= 60 + 50);
}
