//! The author's guide: its files are compiled here, their tests run here, and the page has them word for word.

/// The program of the guide; nobody calls its `main` here.
#[allow(dead_code)]
#[path = "guide/main.rs"]
mod program;

/// The example of the page about drivers.
#[allow(dead_code)]
#[path = "guide/opt3001.rs"]
mod opt3001;

const GUIDE: &str = include_str!("../../../plugins/README.md");

#[test]
fn every_block_of_the_authors_guide_is_a_file_that_is_tested() {
    let blocks: Vec<&str> =
        GUIDE.split("```rust,ignore\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    let files =
        [include_str!("guide/spike.rs"), include_str!("guide/tally.rs"), include_str!("guide/main.rs")];
    assert_eq!(blocks, files, "copy the files into the page");
    assert_eq!(GUIDE.matches("```rust").count(), files.len(), "no block is left out");
}

#[test]
fn the_example_driver_is_a_file_that_is_tested_and_goes_into_a_program() {
    const PAGE: &str = include_str!("../../../plugins/builtin/README.md");
    let block = PAGE.split_once("```rust,ignore\n").unwrap().1.split_once("```").unwrap().0;
    assert_eq!(block, include_str!("guide/opt3001.rs"), "copy the file into the page");
    let _ = sedge::with().sensor::<opt3001::Opt3001>();

    use sedge_plugin::prelude::*;
    let clock = std::sync::Arc::new(sedge_plugin::testing::HandClock::default());
    let bus = sedge_hal::SimBus::new("desk", clock.clone());
    bus.attach(0x44, opt3001::Opt3001::simulate(1));
    let settings = serde_json::from_str("{}").unwrap();
    let mut driver = opt3001::Opt3001::open(bus.device(0x44), settings).unwrap();
    for _ in 0..2 {
        let mut frame = Frame::default();
        clock.advance(driver.start().unwrap().unwrap());
        driver.read(&mut frame).unwrap();
        assert!(frame.get("illuminance").is_some(), "{frame:?}");
    }
}

#[test]
fn the_config_of_the_authors_guide_is_right() {
    let toml = GUIDE.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    let mut catalogue = sedge::catalogue::catalogue();
    let kind = |section, name: &str, schema| sedge_config::Kind {
        section,
        name: name.into(),
        schema,
        addresses: Vec::new(),
        buses: Vec::new(),
        outside: None,
    };
    // Their settings are checked where they are used: in their own tests.
    let any = || serde_json::json!({ "type": "object" });
    catalogue.kinds.push(kind(sedge_config::Section::Processor, "spike", any()));
    catalogue.kinds.push(kind(sedge_config::Section::Plugin, "tally", any()));
    let outcome = sedge_config::parse("guide", toml, &catalogue);
    assert!(!outcome.has_errors(), "{:?}", outcome.diagnostics);
}

/// The blocks of the guide for Python, and its files.
#[test]
fn every_block_of_the_python_guide_is_a_file_that_is_tested() {
    const PAGE: &str = include_str!("../../../plugins/sdk/python/GUIDE.md");
    let blocks = |language: &str| -> Vec<&str> {
        PAGE.split(language).skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect()
    };
    let main = include_str!("../../../plugins/sdk/python/guide/newest/main.py");
    let test = include_str!("../../../plugins/sdk/python/guide/newest/test_main.py");
    let manifest = include_str!("../../../plugins/sdk/python/guide/newest/plugin.toml");
    assert_eq!(blocks("```python\n"), [main, test], "copy the files into the page");
    assert_eq!(blocks("```toml\n")[0], manifest, "copy the file into the page");

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/sdk/python/guide/newest");
    assert_eq!(sedge_host::check(std::path::Path::new(folder)), []);
    let run = std::process::Command::new("python3")
        .args(["-B", "-m", "unittest"])
        .current_dir(folder)
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/sdk/python/src"))
        .output();
    match run {
        Ok(run) => assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr)),
        Err(error) if std::env::var_os("SEDGE_REQUIRE_PYTHON").is_none() => {
            #[expect(clippy::print_stdout, reason = "a part of a test that was not run should say so")]
            {
                println!("skipped: no python3 here ({error})");
            }
        }
        Err(error) => panic!("python3: {error}"),
    }
}
