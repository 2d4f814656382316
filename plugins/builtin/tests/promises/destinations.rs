//! What every kind of destination promises. A new kind is held to it by its row in the table.

use std::collections::{BTreeMap, BTreeSet};

use sedge_plugin::prelude::*;
use sedge_plugin::schema::Schema;
use sedge_plugins::destinations::{self, DESTINATIONS, Start};
use serde_json::{Value as Json, json};

/// The least that a config must say of each kind.
fn least(kind: &str) -> Json {
    match kind {
        "file" => json!({ "path": "readings.jsonl" }),
        "http" => json!({ "url": "http://db.lan/" }),
        _ => json!({}),
    }
}

/// Tells what would be started.
struct Tell;

impl Start for Tell {
    type Out = Manifest;
    fn start<P: Plugin>(self, _: P::Args) -> Manifest {
        P::MANIFEST
    }
}

#[test]
fn the_table_names_every_file_in_the_folder_of_destinations() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/destinations");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().into_string().unwrap().strip_suffix(".rs").map(String::from)
        })
        .filter(|name| name != "mod")
        .collect();
    let kinds: BTreeSet<String> = DESTINATIONS.iter().map(|kind| kind.name.to_string()).collect();
    assert_eq!(files, kinds, "a kind has a file of its name in src/destinations and a row in DESTINATIONS");
    assert_eq!(kinds.len(), DESTINATIONS.len(), "two rows have one name");
}

#[test]
fn every_kind_of_destination_can_be_started_and_says_what_it_is() {
    for kind in DESTINATIONS {
        let manifest = destinations::start(kind.name, least(kind.name), None, Tell).unwrap().unwrap();
        assert_eq!((manifest.name, manifest.category), (kind.name, Category::Destination));
        assert!(manifest.description.ends_with('.'), "{}", kind.name);
    }
    assert!(destinations::start("pigeon", json!({}), None, Tell).is_none());
}

#[test]
fn the_node_understands_every_schema_of_a_destination_and_both_refuse_what_is_unknown() {
    for kind in DESTINATIONS {
        let schema =
            Schema::compile(&(kind.schema)()).unwrap_or_else(|error| panic!("{}: {error}", kind.name));
        assert!(
            schema.check(&least(kind.name)).is_empty(),
            "{}: {:?}",
            kind.name,
            schema.check(&least(kind.name))
        );
        let mut wrong = least(kind.name);
        wrong["no-such-key"] = json!(1);
        assert!(!schema.check(&wrong).is_empty(), "{}", kind.name);
        let error = destinations::start(kind.name, wrong, None, Tell).unwrap().unwrap_err();
        assert!(matches!(&error, PluginError::Settings(text) if text.contains("no-such-key")), "{error}");
    }
}

#[test]
fn every_setting_of_a_destination_is_described() {
    for kind in DESTINATIONS {
        let schema = (kind.schema)();
        for (name, property) in schema["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{}.{name}", kind.name);
        }
    }
}

#[test]
fn a_check_of_the_config_finds_a_wrong_fsync() {
    let schema = (DESTINATIONS.iter().find(|kind| kind.name == "file").unwrap().schema)();
    let schema = Schema::compile(&schema).unwrap();
    for (fsync, right) in [("never", true), ("each", true), ("5s", true), ("sometimes", false), ("5", false)]
    {
        let mistakes = schema.check(&json!({ "path": "a", "fsync": fsync }));
        assert_eq!(mistakes.is_empty(), right, "{fsync}: {mistakes:?}");
    }
}

#[test]
fn the_values_of_headers_are_secrets() {
    let schema = (DESTINATIONS.iter().find(|kind| kind.name == "http").unwrap().schema)();
    assert_eq!(schema["properties"]["headers"]["additionalProperties"]["writeOnly"], true);
}

/// What a destination subscribes to.
#[derive(Default)]
struct Subscriptions(BTreeMap<&'static str, Options>);

impl<P: Plugin> Hooks<P> for Subscriptions {
    fn observe<T: topic::Topic<Kind = topic::Observe>>(&mut self, options: Options)
    where
        P: Observer<T>,
    {
        self.0.insert(T::NAME, options);
    }
    fn chain<T: topic::Topic<Kind = topic::Chain>>(&mut self, _: Options)
    where
        P: Link<T>,
        T::Message: Clone,
    {
        panic!("a destination changes nothing");
    }
    fn inline<T: topic::Topic<Kind = topic::Chain>>(
        &mut self,
        _: Options,
        _: impl Fn(&T::Message) -> Result<Step<T::Message>, PluginError> + Send + Sync + 'static,
    ) where
        T::Message: Clone,
    {
        panic!("a destination changes nothing");
    }
    fn collect<T: topic::Topic<Kind = topic::Collect>>(&mut self, _: Options)
    where
        P: Answer<T>,
    {
    }
    fn first<T: topic::Topic<Kind = topic::First>>(&mut self, _: Options)
    where
        P: Answer<T>,
    {
    }
    fn around<T: topic::Topic<Kind = topic::Around>>(
        &mut self,
        _: Options,
        _: impl Fn(T::Message, Next<T>) -> BoxFuture<'static, Result<T::Answer, PluginError>>
        + Send
        + Sync
        + 'static,
    ) where
        T::Message: Clone,
        T::Answer: Clone + Sync,
    {
        panic!("a destination changes nothing");
    }
    fn tools(&mut self)
    where
        P: Tools,
    {
    }
    fn service<S: Plugin>(&mut self, _: &str, _: S::Args) {}
}

struct Subscribe;

impl Start for Subscribe {
    type Out = Subscriptions;
    fn start<P: Plugin>(self, args: P::Args) -> Subscriptions {
        let mut subscriptions = Subscriptions::default();
        let ctx = sedge_plugin::testing::TestNode::new().context("x");
        P::hooks(&mut subscriptions, &args, &ctx);
        subscriptions
    }
}

#[test]
fn a_destination_hears_the_sensors_that_it_was_given_or_all() {
    for kind in DESTINATIONS {
        let only = |sensors| {
            let subscriptions = destinations::start(kind.name, least(kind.name), sensors, Subscribe);
            let mut subscriptions = subscriptions.unwrap().unwrap().0;
            assert_eq!(subscriptions.len(), 1, "{}", kind.name);
            subscriptions.remove("deliver").unwrap().only
        };
        let air = Id::new("air").unwrap();
        assert_eq!(only(None), None, "{}", kind.name);
        let some = only(Some(vec![air.clone()])).unwrap();
        assert_eq!(some.iter().collect::<Vec<_>>(), [&air], "{}", kind.name);
    }
}
