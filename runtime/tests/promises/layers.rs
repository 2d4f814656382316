//! The direction of imports, held over the Cargo.tomls.

use std::collections::BTreeSet;

/// Each crate, where it lives, and what of ours it may import. A new edge belongs into the architecture page first.
const LAYERS: &[(&str, &str, &[&str])] = &[
    ("sedge-plugin", "plugins/api", &[]),
    ("sedge-config", "config", &["sedge-plugin"]),
    ("sedge-hal", "hal", &["sedge-plugin"]),
    ("sedge-actors", "actors", &["sedge-plugin"]),
    ("sedge-journal", "actors/journal", &[]),
    ("sedge-protocol", "plugins/protocol", &["sedge-plugin"]),
    ("sedge-host", "plugins/host", &["sedge-plugin", "sedge-protocol"]),
    ("sedge-sdk", "plugins/sdk/rust", &["sedge-plugin", "sedge-protocol"]),
    ("sedge-compile", "plugins/compiler", &["sedge-host"]),
    ("sedge-conformance", "plugins/conformance", &["sedge-host", "sedge-plugin", "sedge-sdk"]),
    ("rust-tally", "plugins/examples/rust-tally", &["sedge-plugin", "sedge-sdk"]),
    ("wasm-bme280", "plugins/examples/wasm-bme280", &["sedge-plugin", "sedge-sdk"]),
    ("sedge-mqtt", "plugins/mqtt", &["sedge-plugin"]),
    ("sedge-plugins", "plugins/builtin", &["sedge-plugin", "sedge-hal"]),
    ("sedge-virtual-pi", "deploy/virtual-pi", &["sedge-plugin", "sedge-plugins"]),
    ("sedge-faults", "deploy/faults", &[]),
    ("sedge-token", "deploy/site/token", &["sedge-plugin"]),
    ("sedge-site", "deploy/site", &["sedge-plugin", "sedge-sdk", "sedge-token"]),
    (
        "sedge",
        "runtime",
        &[
            "sedge-actors",
            "sedge-config",
            "sedge-hal",
            "sedge-host",
            "sedge-journal",
            "sedge-mqtt",
            "sedge-plugin",
            "sedge-plugins",
            "sedge-protocol",
            "sedge-token",
        ],
    ),
];

/// What a crate must not import from outside, also not for a convenience.
const BANNED: &[(&str, &[&str])] = &[
    ("sedge-plugin", &["tokio", "kameo", "rumqttc", "toml", "tracing"]),
    ("sedge-config", &["tokio", "kameo", "rumqttc"]),
    ("sedge-hal", &["kameo", "rumqttc", "toml"]),
    ("sedge-actors", &["rumqttc", "toml", "embedded-hal", "linux-embedded-hal", "gpiocdev"]),
    ("sedge-journal", &["tokio", "kameo", "rumqttc", "serde", "toml", "tracing"]),
    ("sedge-plugins", &["tokio", "kameo", "rumqttc", "toml", "linux-embedded-hal", "gpiocdev"]),
    ("sedge-protocol", &["tokio", "kameo", "toml"]),
    ("sedge-host", &["kameo", "rumqttc"]),
    ("sedge-sdk", &["tokio", "kameo", "toml"]),
    ("sedge-token", &["tokio", "kameo", "toml", "rcgen", "x509-parser"]),
    ("sedge-site", &["tokio", "kameo", "rumqttc"]),
    ("sedge-mqtt", &["kameo", "rumqttc", "toml", "linux-embedded-hal", "gpiocdev"]),
];

/// The files that may hold unsafe code.
const UNSAFE: &[&str] = &[
    // Speaks to the kernel.
    "hal/src/linux/ioctl.rs",
    // Starts a process within its limits.
    "plugins/host/src/process/spawn.rs",
    // Loads native code that was compiled ahead of time.
    "plugins/host/src/wasm/load.rs",
    // Takes the descriptor that a node hands to a process.
    "plugins/sdk/rust/src/process/socket.rs",
];

fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names under `[dependencies]` and under `[target.….dependencies]`; not those of tests.
fn dependencies(folder: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
    let mut counts = false;
    let mut names = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with('[') {
            counts = line.ends_with("dependencies]") && !line.contains("dev-dependencies");
        } else if counts && let Some((name, _)) = line.split_once(['.', '=']) {
            names.insert(name.trim().to_owned());
        }
    }
    names
}

#[test]
fn every_crate_imports_only_what_its_layer_may() {
    for (name, folder, may) in LAYERS {
        let ours: BTreeSet<_> =
            dependencies(folder).into_iter().filter(|name| name.starts_with("sedge")).collect();
        let may: BTreeSet<String> = may.iter().map(ToString::to_string).collect();
        assert!(ours.is_subset(&may), "{name} imports {:?}", ours.difference(&may));
    }
    for (name, banned) in BANNED {
        let folder = LAYERS.iter().find(|layer| layer.0 == *name).unwrap().1;
        let found: Vec<_> =
            dependencies(folder).into_iter().filter(|name| banned.contains(&name.as_str())).collect();
        assert!(found.is_empty(), "{name} imports {found:?}");
    }
}

#[test]
fn every_member_of_the_workspace_has_a_layer() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = text.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    let members: BTreeSet<&str> =
        members.trim_end_matches(']').split(',').map(|m| m.trim().trim_matches('"')).collect();
    assert_eq!(members, LAYERS.iter().map(|layer| layer.1).collect());
}

#[test]
fn unsafe_code_stands_in_few_files() {
    let with: BTreeSet<String> = LAYERS
        .iter()
        .flat_map(|(_, folder, _)| sources(&format!("{folder}/src")))
        .filter(|(_, text)| text.lines().any(|line| line.contains("unsafe {") || line.contains("unsafe fn")))
        .map(|(file, _)| file)
        .collect();
    let with: BTreeSet<&str> =
        with.iter().filter_map(|file| file.split_once("/../")).map(|(_, file)| file).collect();
    assert_eq!(with, UNSAFE.iter().copied().collect());
}

/// All Rust files below a folder.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut folders = vec![root().join(folder)];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                sources.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!sources.is_empty());
    sources
}

#[test]
fn no_file_of_a_sensor_imports_tokio_files_clocks_or_linux() {
    for (file, text) in sources("plugins/builtin/src/sensors") {
        // Their tests sit on a simulated bus.
        let text = text.split("#[cfg(test)]").next().unwrap();
        for banned in ["tokio", "std::fs", "std::time::Instant", "SystemTime", "linux", "sedge_hal::"] {
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            assert!(!code.clone().any(|line| line.contains(banned)), "{file} uses {banned}");
        }
    }
}

#[test]
fn only_the_runtime_reads_the_environment_and_installs_a_log() {
    for folder in [
        "plugins/api/src",
        "config/src",
        "hal/src",
        "actors/src",
        "actors/journal/src",
        "plugins/host/src",
        "plugins/mqtt/src",
        "plugins/builtin/src",
    ] {
        for (file, text) in sources(folder) {
            for banned in ["env::var", "env::args", "tracing_subscriber"] {
                assert!(!text.contains(banned), "{file} uses {banned}");
            }
        }
    }
}
