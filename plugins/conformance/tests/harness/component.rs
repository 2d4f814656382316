//! The homes of WebAssembly components: a thread of the node, and a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use sedge_actors::PluginSpec;
use sedge_compile::{Target, component, native};
use sedge_hal::SystemClock;
use sedge_host::outside::Carrier;
use sedge_host::process::{ProcessCarrier, ProcessOptions};
use sedge_host::wasm::{ComponentCarrier, ComponentOptions, artefact_name};
use sedge_plugin::{Clock, Taken};

use super::home::{Home, Instance, Part};
use super::node::World;
use super::outside::{folder, spec};

const MIB: u64 = 1024 * 1024;
/// Of a component.
const MEMORY: u64 = 16 * MIB;
/// Of the process around one.
const AROUND: u64 = 128 * MIB;
const TARGET: &str = "wasm32-unknown-unknown";
const FILE: &str = "plugin.wasm";

/// A component on a thread of the node.
pub struct Component;

impl Home for Component {
    fn name(&self) -> &'static str {
        "component"
    }
    fn title(&self) -> &'static str {
        "WebAssembly"
    }
    fn missing(&self) -> Option<String> {
        missing()
    }
    fn is_required(&self) -> bool {
        is_required()
    }
    fn is_component(&self) -> bool {
        true
    }
    fn prepare(&self) {
        made(Part::Probe);
    }
    fn spec(&self, instance: &Instance, world: &World) -> PluginSpec {
        let folder = laid(instance, world);
        let carrier = ComponentCarrier::new(ComponentOptions {
            folder: folder.clone(),
            file: FILE.into(),
            cache: world.plugins().join("cache"),
            compiler: None,
            // Of our own making.
            trusted: Arc::new(|_, _| true),
            clock: Arc::new(now),
            interpreted: false,
        });
        spec(instance, world, folder, MEMORY, Arc::new(carrier))
    }
}

/// A component in a process of its own.
pub struct ComponentApart;

impl Home for ComponentApart {
    fn name(&self) -> &'static str {
        "component_apart"
    }
    fn title(&self) -> &'static str {
        "WebAssembly in a process"
    }
    fn missing(&self) -> Option<String> {
        missing()
    }
    fn is_required(&self) -> bool {
        is_required()
    }
    fn is_component(&self) -> bool {
        true
    }
    fn prepare(&self) {
        made(Part::Probe);
    }
    fn spec(&self, instance: &Instance, world: &World) -> PluginSpec {
        let folder = laid(instance, world);
        let command = vec![env!("CARGO_BIN_EXE_apart").to_owned(), folder.display().to_string()];
        let options = ProcessOptions { command, memory: Some(MEMORY + AROUND), ..ProcessOptions::default() };
        let carrier: Arc<dyn Carrier> = Arc::new(ProcessCarrier::new(options));
        spec(instance, world, folder, MEMORY, carrier)
    }
}

fn is_required() -> bool {
    std::env::var("SEDGE_REQUIRE_WASM").as_deref() == Ok("1")
}

fn missing() -> Option<String> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = sysroot.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let is_there = sysroot.is_ok_and(|sysroot| Path::new(&sysroot).join("lib/rustlib").join(TARGET).exists());
    (!is_there).then(|| format!("there is no target {TARGET} (`rustup target add {TARGET}`)"))
}

fn now() -> Taken {
    let up_ms = u64::try_from(SystemClock.up().as_millis()).unwrap_or(u64::MAX);
    Taken { up_ms, wall_ms: SystemClock.wall_ms() }
}

/// The folder of a plugin, with its component and its native code.
fn laid(instance: &Instance, world: &World) -> PathBuf {
    let made = made(instance.part);
    let folder = folder(instance, world, &format!("wasm = \"{FILE}\""));
    let compiled = folder.join("compiled");
    fs::create_dir(&compiled).expect("a folder");
    fs::copy(made.join(FILE), folder.join(FILE)).expect("a component");
    let code = artefact_name(Target::host());
    fs::copy(made.join(&code), compiled.join(&code)).expect("its code");
    folder
}

/// Where the component of a part lies with its native code: made once per module, whoever runs the tests.
fn made(part: Part) -> PathBuf {
    static MADE: OnceLock<Vec<(&'static str, PathBuf)>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let modules = modules();
        Part::ALL.iter().map(|part| (part.name(), compiled(&modules, part.name()))).collect()
    });
    let of_part = made.iter().find(|(name, _)| *name == part.name());
    of_part.map(|(_, folder)| folder.clone()).expect("all parts")
}

/// Where cargo has put the modules.
fn modules() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let bins = Part::ALL.iter().flat_map(|part| ["--bin", part.name()]);
    // Small: what is small is quickly compiled, by a compiler that is not optimised itself.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--package", env!("CARGO_PKG_NAME"), "--profile", "guest", "--target", TARGET])
        .args(bins)
        .arg("--target-dir")
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join(TARGET).join("guest")
}

fn compiled(modules: &Path, name: &str) -> PathBuf {
    let module = fs::read(modules.join(name).with_extension("wasm")).expect("a module");
    let made = component(&module).unwrap_or_else(|error| panic!("{name}: {error}"));
    let code = artefact_name(Target::host());
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components").join(name);
    let is_current = fs::read(kept.join(FILE)).is_ok_and(|kept| kept == made) && kept.join(&code).exists();
    if !is_current {
        // The component comes last: where it is there, its code is whole.
        let _ = fs::remove_file(kept.join(FILE));
        fs::create_dir_all(&kept).expect("a folder");
        let native = native(&made, Target::host()).unwrap_or_else(|error| panic!("{name}: {error}"));
        fs::write(kept.join(&code), native).expect("its code");
        fs::write(kept.join(FILE), made).expect("a component");
    }
    kept
}
