//! What an author may count on of the compiler.

use std::fs;
use std::process::Command;

use sedge_compile::{Error, Target, build, component, native};
use sedge_host::wasm::{WASMTIME, artefact_name, fingerprint};
use sha2::{Digest, Sha256};

use super::rig::{Folder, altered, is_here, module, probe};

const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

#[test]
fn the_fingerprint_names_the_version_of_wasmtime_that_is_built_in() {
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
    let (_, rest) = lock.split_once("name = \"wasmtime\"\nversion = \"").unwrap();
    assert_eq!(rest.split_once('"').unwrap().0, WASMTIME);
    assert!(fingerprint().starts_with(WASMTIME));
}

#[test]
fn of_a_module_a_component_is_made_and_a_component_is_left_as_it_is() {
    if !is_here() {
        return;
    }
    assert_ne!(probe(), module().unwrap());
    assert_eq!(component(probe()).unwrap(), probe());
    for target in Target::ALL {
        assert!(native(probe(), target).unwrap().starts_with(b"\x7fELF"), "{target}");
    }
}

#[test]
fn what_a_node_does_not_have_is_refused_by_name() {
    if !is_here() {
        return;
    }
    let error = component(&altered("sedge:plugin/delay@1.0.0", "wasi:filesys/delay@1.0.0")).unwrap_err();
    assert!(matches!(&error, Error::Imports(names) if names == &["wasi:filesys/delay@1.0.0"]), "{error}");
    // (import "env" "f" (func))
    let module = [EMPTY, b"\x01\x04\x01\x60\0\0", b"\x02\x09\x01\x03env\x01f\0\0"].concat();
    let error = component(&module).unwrap_err();
    assert!(
        error.to_string().starts_with("it imports env, which a node does not have for components."),
        "{error}"
    );
}

#[test]
fn what_is_no_plugin_is_refused() {
    assert!(matches!(component(b"#!/bin/sh"), Err(Error::NoWasm(_))));
    assert!(matches!(component(b""), Err(Error::NoWasm(_))));
    let error = component(EMPTY).unwrap_err();
    assert!(matches!(error, Error::NoPlugin("hello")), "{error}");
}

#[test]
fn the_files_of_a_plugin_are_made_beside_its_manifest_with_their_hashes() {
    if !is_here() {
        return;
    }
    let folder = Folder::new();
    let plugin = folder.0.join("probe");
    fs::create_dir(&plugin).unwrap();
    let manifest = "manifest = 1\n[plugin]\nname = \"probe\"\nversion = \"1.0.0\"\ndescription = \"Is told.\"\n\
                    [entry]\nwasm = \"the-probe.wasm\"\n";
    fs::write(plugin.join("plugin.toml"), manifest).unwrap();
    let error = build(&plugin, None, &[]).unwrap_err().to_string();
    assert!(error.contains("cargo build --release --target wasm32-unknown-unknown"), "{error}");

    let built = folder.0.join("built.wasm");
    fs::write(&built, module().unwrap()).unwrap();
    let targets = [Target::host(), Target::Pulley32];
    let made = build(&built, Some(&plugin), &targets).unwrap();
    assert_eq!(made.component, plugin.join("the-probe.wasm"), "named as the manifest says");
    assert_eq!(fs::read(&made.component).unwrap(), probe());
    let mut sums = String::new();
    let mut names = targets.map(artefact_name);
    names.sort();
    for name in names {
        let code = fs::read(plugin.join("compiled").join(&name)).unwrap();
        let hash: String = Sha256::digest(code).iter().map(|byte| format!("{byte:02x}")).collect();
        sums += &format!("{hash}  {name}\n");
    }
    assert_eq!(fs::read_to_string(plugin.join("compiled/SHA256SUMS")).unwrap(), sums);
    // Again, from what is there now.
    assert_eq!(build(&plugin, None, &targets).unwrap(), made);
    assert_eq!(fs::read_dir(plugin.join("compiled")).unwrap().count(), 3, "nothing is left lying about");
}

#[test]
fn the_program_says_what_it_made_and_what_is_wrong() {
    let compile = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_sedge-compile")).args(arguments).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let (fine, said) = compile(&["--version"]);
    assert!(fine && said.contains(&fingerprint()), "{said}");
    let (fine, said) = compile(&["nowhere.wasm"]);
    assert!(!fine && said.starts_with("nowhere.wasm: "), "{said}");
    let (fine, said) = compile(&["x.wasm", "--target", "z80"]);
    assert!(!fine && said.contains("`z80` is no target: there are host, x86_64"), "{said}");
    let (fine, said) = compile(&[]);
    assert!(!fine && said.contains("Usage: "), "{said}");
    if !is_here() {
        return;
    }
    let folder = Folder::with(probe(), None);
    let file = folder.0.join("probe.wasm").display().to_string();
    let (fine, said) = compile(&[&file, "--target=pulley32"]);
    assert!(fine && said.ends_with(&format!("compiled/{}\n", artefact_name(Target::Pulley32))), "{said}");
}
