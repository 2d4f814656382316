//! `[guard.ID]`: who may call a tool, how often, and on which condition.
//!
//! A guard keeps something from happening, so a mistake in one must not open the gate: it stays in the config with its
//! fault and with whatever is legible of `tools`, and whoever enforces it refuses those tools. It must not evaluate its
//! condition: the catalogue has the one who can read it.

use std::ops::Range;

use schemars::JsonSchema;
use sedge_plugin::schema::child_pointer;
use sedge_plugin::{Every, Id};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalogue::{Catalogue, Section};
use crate::fingerprint::{fingerprint, nanos};
use crate::instance::{CommonKeys, Instance, Read};
use crate::report::{Fault, Report, Scope};
use crate::secret::Settings;
use crate::top;
use crate::written::offset_within;

/// A guard. When it has a fault, what is wrong stands at its default, so it must not be enforced as it stands: refuse
/// its [`tools`](Guard::tools); where none is legible, refuse all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Guard {
    /// Its name. Guards have a name space of their own.
    pub id: Id,
    /// Patterns of the tools that it is about; `*` stands for any characters.
    pub tools: Vec<String>,
    /// Patterns of the callers that may. Nothing: all.
    pub allow: Option<Vec<String>>,
    /// Patterns of the callers that may not, whatever `allow` says.
    pub deny: Vec<String>,
    /// How long after a call there is no other one.
    pub cooldown: Option<Every>,
    /// How many calls there are within `per`; always with it.
    pub at_most: Option<u32>,
    /// The time in which calls are counted; always with `at_most`.
    pub per: Option<Every>,
    /// The condition, such as `tank.level > 20`.
    pub only_if: Option<String>,
    /// How old the readings of the condition may be.
    pub max_age: Every,
    /// Whether a call that it lets through is not run, and said what would be done.
    pub dry_run: bool,
    /// Whether it is enforced.
    pub enabled: bool,
    /// What is wrong with it.
    pub fault: Option<String>,
    #[serde(skip)]
    pub(crate) mark: u64,
}

impl Guard {
    pub(crate) fn new(report: &Report<'_>, fault: Fault, read: Read<GuardKeys>) -> Self {
        let Read { instance, keys, .. } = read;
        let written = report.document.value.pointer(&child_pointer(&instance.pointer, "tools"));
        let tools = written.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        Self {
            id: instance.id,
            tools: tools.filter(|tool| wrong_tool(tool).is_none()).map(str::to_owned).collect(),
            allow: keys.allow,
            deny: keys.deny,
            cooldown: keys.cooldown,
            at_most: keys.at_most,
            per: keys.per,
            only_if: keys.only_if,
            max_age: keys.max_age,
            dry_run: keys.dry_run,
            enabled: keys.enabled,
            fault: fault.text,
            mark: fault.mark,
        }
    }

    /// A number that changes when anything here does; not when the section moves within its file.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let Self { id, tools, allow, deny, cooldown, at_most, per, only_if, .. } = self;
        let Self { max_age, dry_run, enabled, fault: _, mark, .. } = self;
        let [cooldown, per] = [cooldown, per].map(|every| every.map(nanos));
        let max_age = nanos(*max_age);
        let what = json!([id, tools, allow, deny, only_if, dry_run, enabled]);
        fingerprint(&json!([what, cooldown, at_most, per, max_age, mark]))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["tools"]))]
pub(crate) struct GuardKeys {
    /// The tools that it is about, such as "pump_*", or "greenhouse/*" on another node; `*` stands for any characters.
    #[schemars(length(min = 1))]
    tools: Vec<String>,
    /// The callers that may, such as "cli" or "attic"; `*` stands for any characters. Without it: all.
    allow: Option<Vec<String>>,
    /// The callers that may not, whatever `allow` says.
    deny: Vec<String>,
    /// How long after a call there is no other one, such as "30s".
    cooldown: Option<Every>,
    /// How many calls there are at most in the time that `per` says.
    #[schemars(range(min = 1))]
    at_most: Option<u32>,
    /// The time in which calls are counted, such as "1h".
    per: Option<Every>,
    /// The condition, such as "tank.level > 20".
    #[schemars(length(min = 1))]
    only_if: Option<String>,
    /// How old the readings of `only_if` may be, such as "5m".
    max_age: Every,
    /// Whether a call that it lets through is not run, and said what would be done.
    dry_run: bool,
    /// Whether it is enforced.
    enabled: bool,
}

impl Default for GuardKeys {
    fn default() -> Self {
        Self {
            tools: Vec::new(),
            allow: None,
            deny: Vec::new(),
            cooldown: None,
            at_most: None,
            per: None,
            only_if: None,
            max_age: Every::secs(300),
            dry_run: false,
            enabled: true,
        }
    }
}

impl CommonKeys for GuardKeys {
    const SECTION: Section = Section::Guard;
    fn kind<'a>(&'a self, _: &'a str) -> Option<&'a str> {
        None
    }
}

/// The guards of a misspelt section, each with its fault: `[gaurd.pump]` must not leave the pump unguarded.
pub(crate) fn misspelt(report: &mut Report<'_>) -> Vec<Read<GuardKeys>> {
    let mut guards = Vec::new();
    for section in top::misspelt(report.document, Section::Guard) {
        let Some(Value::Object(within)) = report.document.value.pointer(&section) else { continue };
        let names: Vec<&String> =
            within.iter().filter(|(_, guard)| guard.is_object()).map(|(name, _)| name).collect();
        let named = names.iter().map(|name| (child_pointer(&section, name), name.as_str()));
        let alone = names.is_empty().then(|| (section.clone(), section.trim_start_matches('/')));
        for (pointer, name) in named.chain(alone) {
            let id = Id::sanitized(name, "guard");
            let key = report.document.place(&pointer).key;
            let instance = Instance { section: Section::Guard, name: name.into(), id, pointer, key };
            let message = format!("the guard `{name}` stands in a section of another name");
            let help = format!("call it `{}`", instance.title());
            report.error(Scope::Instance(&instance), instance.key.clone(), &message).help(help);
            guards.push(Read {
                instance,
                keys: GuardKeys::default(),
                settings: Settings::default(),
                outside: None,
            });
        }
    }
    guards
}

/// What a pattern of tools may have, as a regular expression for other tools than this one.
pub(crate) const TOOL_PATTERN: &str = "^([a-z0-9*-]+/)?[a-z0-9_*]+$";

/// Checks what no schema can say.
pub(crate) fn check(report: &mut Report<'_>, catalogue: &Catalogue, read: &Read<GuardKeys>) {
    let Read { instance, keys, .. } = read;
    let scope = Scope::Instance(instance);
    for (place, tool) in elements(report, instance, "tools", &keys.tools) {
        if let Some(why) = wrong_tool(tool) {
            report.error(scope, place, &why).help("a tool's name, in which `*` stands for any characters");
        }
    }
    for (key, callers) in [("allow", keys.allow.as_deref().unwrap_or_default()), ("deny", &keys.deny)] {
        for (place, _) in elements(report, instance, key, callers).iter().filter(|(_, who)| who.is_empty()) {
            report.error(scope, place.clone(), "an empty text is no caller").help("such as \"cli\"");
        }
    }
    for (one, other, example) in [("at_most", "per", "\"1h\""), ("per", "at_most", "10")] {
        let is_there = |key| report.document.has(&child_pointer(&instance.pointer, key));
        if is_there(one) && !is_there(other) {
            let place = report.document.place(&child_pointer(&instance.pointer, one)).key;
            let message = format!("`{one}` without `{other}`");
            report
                .error(scope, place, &message)
                .help(format!("add `{other}`, such as `{other} = {example}`"));
        }
    }
    let place =
        |report: &Report<'_>, key: &str| report.document.place(&child_pointer(&instance.pointer, key));
    for (key, every) in [("cooldown", keys.cooldown), ("per", keys.per), ("max_age", Some(keys.max_age))] {
        if every.is_some_and(|every| every.0.is_zero()) {
            let place = place(report, key).value;
            report.error(scope, place, &format!("`{key}` is no time at all")).help("such as \"30s\"");
        }
    }
    check_condition(report, catalogue, instance, keys.only_if.as_deref());
    let no_effect = place(report, "max_age").key;
    if report.document.has(&child_pointer(&instance.pointer, "max_age")) && keys.only_if.is_none() {
        report.warning(no_effect, "`max_age` has no effect without `only_if`");
    }
    let restricts = ["allow", "deny", "cooldown", "at_most", "per", "only_if"];
    if !restricts.iter().any(|key| report.document.has(&child_pointer(&instance.pointer, key))) {
        let place = report.document.place(&instance.pointer).value;
        let message = format!("the guard `{}` restricts nothing", instance.name);
        report.warning(place, &message).help(format!("add one of {}", restricts.join(", ")));
    }
}

fn check_condition(
    report: &mut Report<'_>,
    catalogue: &Catalogue,
    instance: &Instance,
    condition: Option<&str>,
) {
    let Some((check, condition)) = catalogue.expression.zip(condition) else { return };
    if let Err((offset, why)) = check(condition) {
        let place = report.document.place(&child_pointer(&instance.pointer, "only_if")).value;
        let start = place.start + offset_within(report.written(&place), condition, offset);
        let span = if start < place.end { start..start + 1 } else { place };
        report.error(Scope::Instance(instance), span, &why).help("such as \"tank.level > 20\"");
    }
}

/// The elements of a list, each with its place.
pub(crate) fn elements<'l>(
    report: &Report<'_>,
    instance: &Instance,
    key: &str,
    list: &'l [String],
) -> Vec<(Range<usize>, &'l str)> {
    let pointer = child_pointer(&instance.pointer, key);
    let place = |at: usize| report.document.place(&child_pointer(&pointer, &at.to_string())).value;
    list.iter().enumerate().map(|(at, element)| (place(at), element.as_str())).collect()
}

/// Why a text is no pattern of tools. One that can match none would leave a gate open.
pub(crate) fn wrong_tool(tool: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '*';
    // Before a slash stands the node, whose id has `-` and no `_`.
    let (node, name) = tool.split_once('/').unwrap_or(("*", tool));
    let wrong_node = node.chars().find(|&c| c == '_' || !(is_allowed(c) || c == '-'));
    if let Some(found) = wrong_node.or(node.is_empty().then_some('/')) {
        return Some(format!("the pattern `{tool}` has `{found}` in its node, which no node has"));
    }
    match name.chars().find(|&c| !is_allowed(c)) {
        Some(found) => Some(format!("the pattern `{tool}` has `{found}`, which no tool has")),
        None if name.is_empty() && !tool.is_empty() => Some(format!("the pattern `{tool}` names no tool")),
        None => tool.is_empty().then(|| "an empty text is no tool".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_keys_are_checked_and_described() {
        crate::instance::assert_keys_are_checkable::<GuardKeys>();
    }

    #[test]
    fn a_pattern_that_no_tool_can_match_is_refused() {
        for tool in ["pump_*", "*", "pump", "a*b_2", "green-house/pump_*", "*/pump", "attic/*"] {
            assert_eq!(wrong_tool(tool), None, "{tool}");
        }
        for tool in ["", "pump-1", "Pump", "pump_?", "pump.*", "p mp", "a/", "/a", "a_b/c", "a/b/c", "/"] {
            assert!(wrong_tool(tool).is_some(), "{tool}");
        }
    }
}
