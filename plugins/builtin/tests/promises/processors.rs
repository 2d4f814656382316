//! What every kind of processor that comes with a node promises. A new kind is held to it by its row in the table.

use std::collections::BTreeSet;
use std::path::PathBuf;

use sedge_plugin::prelude::*;
use sedge_plugin::processor::Processing;
use sedge_plugin::schema::Schema;
use sedge_plugin::testing::TestNode;
use sedge_plugins::processors::{self, KINDS};
use serde_json::{Value as Json, json};

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "src", "processors"].iter().collect()
}

/// The settings of the example in the first lines of a kind's file, without those that every processor has.
fn example(kind: &ProcessorKind) -> Json {
    let file = std::fs::read_to_string(folder().join(format!("{}.rs", kind.kind))).unwrap();
    let mut docs =
        file.lines().map_while(|line| line.strip_prefix("//!")).skip_while(|line| *line != " ```toml");
    assert!(docs.next().is_some(), "{}: the module's documentation has an example", kind.kind);
    let text: String =
        docs.take_while(|line| *line != " ```").map(|line| format!("{}\n", line.trim())).collect();
    let mut settings: Json = toml::from_str(&text).unwrap();
    let map = settings.as_object_mut().unwrap();
    assert_eq!(map.remove("kind"), Some(kind.kind.into()));
    for every_processor_has in ["sensors", "priority"] {
        map.remove(every_processor_has);
    }
    settings
}

fn make(kind: &ProcessorKind) -> Box<dyn Processing> {
    (kind.make)(&example(kind), &TestNode::new().context("p"))
        .unwrap_or_else(|error| panic!("{}: {error}", kind.kind))
}

#[test]
fn the_table_names_every_file_in_the_folder() {
    let files =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files.filter(|name| name != "mod.rs" && name != "common.rs").collect();
    let kinds: BTreeSet<String> = KINDS.iter().map(|kind| format!("{}.rs", kind.kind)).collect();
    assert_eq!(files, kinds, "a kind has a file of its name in src/processors and a row in KINDS");
    assert_eq!(kinds.len(), KINDS.len(), "two rows have one name");
}

#[test]
fn a_kind_is_found_by_its_name_and_has_a_title() {
    for kind in KINDS {
        assert_eq!(processors::kind(kind.kind).unwrap().title, kind.title);
        assert!(Id::new(kind.kind).is_ok() && kind.title.len() > kind.kind.len(), "{}", kind.kind);
    }
    assert!(processors::kind("smoothe").is_none());
}

#[test]
fn the_node_understands_every_schema_and_every_example_fits_its_own() {
    for kind in KINDS {
        let raw = (kind.schema)();
        let schema = Schema::compile(&raw).unwrap_or_else(|error| panic!("{}: {error}", kind.kind));
        let mut settings = example(kind);
        assert_eq!(schema.check(&settings), [], "{}", kind.kind);
        make(kind);
        settings["no-such-key"] = json!(1);
        assert!(!schema.check(&settings).is_empty(), "{}", kind.kind);
        let error = (kind.make)(&settings, &TestNode::new().context("p")).err();
        assert!(
            matches!(&error, Some(PluginError::Settings(text)) if text.contains("no-such-key")),
            "{error:?}"
        );
        for (name, property) in raw["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{}: `{name}` is documented", kind.kind);
        }
    }
}

#[test]
fn what_it_cannot_judge_passes_as_it_is() {
    let mut frame = Frame::default();
    frame.missing("temperature", "crc");
    frame.missing("level", "crc");
    frame.push("mode", "eco");
    for kind in KINDS {
        let draft = Draft {
            sensor: Id::new("x").unwrap(),
            taken: Taken { up_ms: 5, wall_ms: None },
            frame: frame.clone(),
            origin: None,
        };
        assert_eq!(make(kind).process(&draft), Ok(Step::Pass), "{}", kind.kind);
    }
}

#[test]
fn no_run_of_readings_makes_one_panic_or_a_number_that_is_not_finite() {
    let odd = [0.0, -0.0, 1.0, -1e308, 1e308, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, -273.15, 100.0];
    const FIELDS: &[Field] = &[
        Field::new("temperature", Unit::Celsius).range(-1e308, 1e308),
        Field::new("humidity", Unit::Percent).range(0.0, 100.0),
        Field::new("level", Unit::None).range(1.0, 1.0),
    ];
    for kind in KINDS {
        let mut processor = make(kind);
        let sensor = |n: usize| Id::new(&format!("s{}", n % 3)).unwrap();
        for n in 0..3 {
            processor.describe(&mut SensorDescriptor::new(sensor(n), "x", "1", "here", FIELDS));
        }
        for n in 0..3000 {
            let mut frame = Frame::default();
            for (at, field) in ["temperature", "humidity", "level", "v"].into_iter().enumerate() {
                frame.push(field, odd[(n * (at + 3) + n / 7) % odd.len()]);
            }
            // Time stands still, leaps, and (a reading that overtook another) runs back.
            let up_ms = [5, u64::MAX, 0, 1000, 1000][n % 5];
            let draft =
                Draft { sensor: sensor(n), taken: Taken { up_ms, wall_ms: None }, frame, origin: None };
            if let Step::Replace(next) = processor.process(&draft).unwrap() {
                let numbers = next.frame.samples.iter().filter_map(Sample::number);
                assert!(
                    numbers.clone().all(f64::is_finite),
                    "{}: {:?} of {:?}",
                    kind.kind,
                    next.frame,
                    draft.frame
                );
            }
        }
    }
}
