//! What readings go through, and where they go.

use super::{lines, parse};

const SECTIONS: &str = "mqtt.embedded = true
[sensor.kitchen]
kind = 'cpu'
process = ['smooth-it', 'cap']
[sensor.attic]
kind = 'cpu'
[processor.cap]
kind = 'limit'
max = 50
sensors = ['attic']
[processor.smooth-it]
kind = 'smooth'
priority = 101
[destination.disk]
kind = 'file'
path = '/x'
sensors = ['kitchen']
enabled = false
";

#[test]
fn a_processor_and_a_destination_say_what_they_are_and_whom_they_are_for() {
    let outcome = parse(SECTIONS);
    assert_eq!(lines(&outcome), [""; 0], "a sensor may name a processor that is for others");
    let config = outcome.config.expect("no mistake");
    let process = |at: usize| config.sensors[at].process.as_ref();
    let named: Vec<&str> = process(0).into_iter().flatten().map(|id| id.as_str()).collect();
    assert_eq!((named, process(1)), (vec!["smooth-it", "cap"], None), "in the order that it says");
    let [cap, smooth] = config.processors.as_slice() else { panic!("two processors") };
    assert_eq!((cap.id.as_str(), cap.kind.as_str(), cap.priority, cap.enabled), ("cap", "limit", 100, true));
    assert_eq!((cap.sensors.as_deref(), &cap.settings["max"]), (Some(&["attic".to_owned()][..]), &50.into()));
    assert_eq!((smooth.sensors.as_deref(), smooth.priority), (None, 101), "for all");
    let [disk] = config.destinations.as_slice() else { panic!("one destination") };
    assert_eq!((disk.kind.as_str(), disk.enabled, &disk.settings["path"]), ("file", false, &"/x".into()));
}

#[test]
fn an_empty_chain_is_not_the_usual_one() {
    let config = parse("sensor.a = { kind = 'cpu', process = [] }").config.expect("no mistake");
    assert_eq!(config.sensors[0].process, Some(Vec::new()));
}

#[test]
fn a_mistake_in_a_chain_is_one_of_its_sensor() {
    let outcome = parse(&SECTIONS.replace("['smooth-it', 'cap']", "['smooth_it', 'cap', 'cap', 'xyz']"));
    assert_eq!(
        lines(&outcome),
        [
            "sedge.toml:4:12: there is no processor `smooth_it`; did you mean `smooth-it`?",
            "sedge.toml:4:32: the processor `cap` is named twice; it is named first at 4:25; keep one of them",
            "sedge.toml:4:39: there is no processor `xyz`; add a section `[processor.xyz]`",
        ]
    );
    let config = outcome.config.expect("not fatal");
    assert!(config.sensors[0].fault.is_some() && config.sensors[1].fault.is_none());
    assert!(config.processors.iter().all(|processor| processor.fault.is_none()));
}

#[test]
fn a_sensor_without_a_section_is_a_warning_because_a_plugin_may_have_it() {
    let outcome = parse(&SECTIONS.replace("['attic']", "['atic', 'x']"));
    assert!(!outcome.has_errors());
    assert_eq!(
        lines(&outcome),
        [
            "sedge.toml:10:12: no section is about a sensor `atic`; a plugin may have one of that name; did you mean `attic`?",
            "sedge.toml:10:20: no section is about a sensor `x`; a plugin may have one of that name",
        ]
    );
}

#[test]
fn the_settings_of_a_processor_and_a_destination_are_those_of_its_kind() {
    let outcome = parse(
        "mqtt.embedded = true\n[processor.a]\nkind = 'limit'\nmx = 1\n[processor.b]\nkind = 'file'\n[destination.c]\nkind = 'fil'\n[destination.d]\npath = 'x'",
    );
    assert_eq!(
        lines(&outcome),
        [
            "sedge.toml:4:1: unknown key `mx`; did you mean `max`? allowed: enabled, kind, priority, sensors, max",
            "sedge.toml:6:8: unknown kind `file`; `file` belongs into `[destination.…]`",
            "sedge.toml:8:8: unknown kind `fil`; did you mean `file`? known: file",
            "sedge.toml:9:1: missing key `kind` — What it is, such as \"file\".",
        ]
    );
    let config = outcome.config.expect("not fatal");
    assert!(config.processors.iter().all(|processor| processor.fault.is_some()));
    assert!(config.destinations.iter().all(|destination| destination.fault.is_some()));
}

#[test]
fn processors_and_destinations_share_the_name_space() {
    let outcome = parse(
        "mqtt.embedded = true\nsensor.x.kind = 'cpu'\nprocessor.x.kind = 'limit'\ndestination.x.kind = 'file'\nguard.x = { tools = ['*'], deny = ['*'] }",
    );
    let taken = lines(&outcome);
    assert_eq!(taken.len(), 2, "a guard may be called as a sensor: {taken:?}");
    let config = outcome.config.expect("not fatal");
    assert_eq!((config.sensors.len(), config.processors.len(), config.destinations.len()), (1, 0, 0));
}

#[test]
fn one_plugin_can_run_twice_under_two_names() {
    let outcome = parse(
        "mqtt.embedded = true\n[plugin.near]\nkind = 'weather'\n[plugin.far]\nkind = 'weather'\napi_token = 'x'",
    );
    assert_eq!(lines(&outcome), [""; 0]);
    let plugins = outcome.config.expect("no mistake").plugins;
    let kinds: Vec<_> = plugins.iter().map(|plugin| (plugin.id.as_str(), plugin.kind.as_str())).collect();
    assert_eq!(kinds, [("near", "weather"), ("far", "weather")]);

    let outcome =
        parse("mqtt.embedded = true\n[plugin.system]\nkind = 'weather'\n[plugin.near]\nkind = 'wether'");
    assert_eq!(
        lines(&outcome),
        [
            "sedge.toml:3:8: a plugin of kind `weather` cannot be called `system`, which is another plugin; choose another name",
            "sedge.toml:5:8: unknown kind `wether`; did you mean `weather`? known: system, weather, strange",
        ]
    );
}

#[test]
fn a_mistake_in_where_plugins_are_stops_nothing() {
    let outcome = parse("mqtt.embedded = true\n[plugins]\npaths = '/x'\nsystem = 1\n[plugin.system]");
    assert_eq!(
        lines(&outcome),
        [
            "sedge.toml:3:9: expected an array, found the string `/x` — Folders with plugins in them, such as \"/srv/plugins\".",
            "sedge.toml:4:1: unknown key `system`; allowed: keys, paths, require",
        ]
    );
    assert!(outcome.config.is_some_and(|config| config.plugins[0].fault.is_none()));
}

#[test]
fn the_folder_for_data_is_named_in_the_node() {
    let config = parse("node.data = '/var/lib/sedge'").config.expect("no mistake");
    assert_eq!(config.node.data.as_deref(), Some(std::path::Path::new("/var/lib/sedge")));
}
