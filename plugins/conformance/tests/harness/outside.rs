//! The homes outside of the node: a process, and what a component has in common with one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use embedded_hal::i2c::{I2c as _, Operation};
use sedge_actors::PluginSpec;
use sedge_hal::SimBus;
use sedge_host::outside::{Carrier, Hardware, Outside, OutsideArgs, Role};
use sedge_host::process::{ProcessCarrier, ProcessOptions};
use sedge_plugin::grant::{Direction, GpioGrant, I2cGrant};
use sedge_plugin::{BoxFuture, BusError, Id, Stage};
use sedge_protocol::{GpioOperation, I2cOperation, IN_FLIGHT, Limits, MAX_MESSAGE};

use super::home::{Home, Instance, Part, policy};
use super::node::World;

/// Of a process.
const MEMORY: u64 = 256 * 1024 * 1024;

/// A process that was written in Rust.
pub struct ProcessRust;

impl Home for ProcessRust {
    fn name(&self) -> &'static str {
        "process_rust"
    }
    fn title(&self) -> &'static str {
        "process, Rust"
    }
    fn spec(&self, instance: &Instance, world: &World) -> PluginSpec {
        let program = match instance.part {
            Part::Probe => env!("CARGO_BIN_EXE_probe"),
            Part::Chip => env!("CARGO_BIN_EXE_probe-chip"),
            Part::Step => env!("CARGO_BIN_EXE_probe-step"),
            Part::Judge => env!("CARGO_BIN_EXE_probe-judge"),
            Part::Out => env!("CARGO_BIN_EXE_probe-out"),
        };
        let folder = folder(instance, world, "command = [\"./plugin\"]");
        std::os::unix::fs::symlink(program, folder.join("plugin")).expect("a link");
        let options = ProcessOptions { command: vec!["./plugin".into()], ..ProcessOptions::default() };
        spec(instance, world, folder, MEMORY, Arc::new(ProcessCarrier::new(options)))
    }
}

/// A process that was written in Python.
pub struct ProcessPython;

impl Home for ProcessPython {
    fn name(&self) -> &'static str {
        "process_python"
    }
    fn title(&self) -> &'static str {
        "process, Python"
    }
    fn missing(&self) -> Option<String> {
        let version = std::process::Command::new("python3").arg("--version").output();
        version.is_err().then(|| "there is no program `python3` on the PATH".into())
    }
    fn is_required(&self) -> bool {
        std::env::var("SEDGE_REQUIRE_PYTHON").as_deref() == Ok("1")
    }
    fn spec(&self, instance: &Instance, world: &World) -> PluginSpec {
        let main = format!("{}.py", instance.part.name());
        let folder = folder(instance, world, &format!("command = [\"{{python}}\", \"{main}\"]"));
        copy(&home().join("python"), &folder);
        let path = home().join("../sdk/python/src").to_string_lossy().into_owned();
        let options = ProcessOptions {
            command: vec!["{python}".into(), main],
            environment: BTreeMap::from([("PYTHONPATH".into(), path)]),
            ..ProcessOptions::default()
        };
        spec(instance, world, folder, MEMORY, Arc::new(ProcessCarrier::new(options)))
    }
}

/// The folder of this crate.
fn home() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// The folder of a plugin: its manifest, with what the instance wants to hear, and how it is started.
pub(super) fn folder(instance: &Instance, world: &World, entry: &str) -> PathBuf {
    let name = instance.part.name();
    let folder = world.plugins().join(instance.id.as_str()).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("a folder of our own");
    }
    copy(&home().join("manifests").join(name), &folder);
    let file = folder.join("plugin.toml");
    let manifest = std::fs::read_to_string(&file).expect("a manifest");
    let mut manifest = manifest.replace("0.0.0", env!("CARGO_PKG_VERSION"));
    manifest += &format!("\n[entry]\n{entry}\n");
    for topic in instance.settings["topics"].as_array().into_iter().flatten() {
        manifest += &format!("\n[[hook]]\ntopic = {topic}\ntimeout = \"300ms\"\n");
    }
    std::fs::write(file, manifest).expect("a manifest");
    folder
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(std::fs::copy(from, to).expect("a file")),
        }
    }
}

pub(super) fn spec(
    instance: &Instance,
    world: &World,
    folder: PathBuf,
    memory: u64,
    carrier: Arc<dyn Carrier>,
) -> PluginSpec {
    let declaration = sedge_host::read(&folder).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let device = I2cGrant { bus: "i2c-1".into(), address: instance.address };
    let role = match instance.part {
        Part::Probe => Role::Plain,
        Part::Chip => Role::Sensor {
            every: instance.every,
            place: format!("i2c-1/{:#04x}", instance.address),
            device: Some(device),
        },
        Part::Step => Role::Processor { stage: Stage::Process, sensors: None, priority: 100 },
        Part::Judge => Role::Processor { stage: Stage::Validate, sensors: None, priority: 100 },
        Part::Out => Role::Destination { sensors: None },
    };
    let args = OutsideArgs {
        declaration: Arc::new(declaration),
        folder,
        carrier,
        settings: instance.settings.clone(),
        grants: instance.grants.clone(),
        limits: Limits {
            message: MAX_MESSAGE,
            in_flight: IN_FLIGHT,
            memory,
            start_ms: u64::try_from(instance.start.as_millis()).unwrap_or(u64::MAX),
        },
        role,
        hardware: Arc::new(Rack(world.bus.clone())),
    };
    // The node is more patient than the session with the plugin, which knows better what went wrong.
    let deadline = instance.start + Duration::from_secs(1);
    let spec = PluginSpec::new::<Outside>(instance.id.clone(), args).kind(instance.part.name());
    instance.kept(spec.policy(policy()).deadlines(deadline, Duration::from_secs(5)))
}

/// The simulated bus, for plugins that were granted a device on it.
struct Rack(SimBus);

impl Hardware for Rack {
    fn i2c(
        &self,
        device: &I2cGrant,
        operations: Vec<I2cOperation>,
    ) -> BoxFuture<'static, Result<Vec<Vec<u8>>, BusError>> {
        let (mut bus, _) = self.0.device(device.address).split();
        let mut read: Vec<Vec<u8>> = operations
            .iter()
            .map(|operation| match operation {
                I2cOperation::Read(count) => vec![0; usize::from(*count)],
                I2cOperation::Write(_) => Vec::new(),
            })
            .collect();
        let mut transfer: Vec<Operation<'_>> = operations
            .iter()
            .zip(&mut read)
            .map(|(operation, read)| match operation {
                I2cOperation::Write(bytes) => Operation::Write(&bytes.0),
                I2cOperation::Read(_) => Operation::Read(read),
            })
            .collect();
        let done = bus.transaction(device.address, &mut transfer);
        drop(transfer);
        let is_read = |operation: &I2cOperation| matches!(operation, I2cOperation::Read(_));
        let answers = operations.iter().zip(read).filter(|(operation, _)| is_read(operation));
        let answers = done.map(|()| answers.map(|(_, read)| read).collect());
        Box::pin(std::future::ready(answers))
    }

    fn gpio(
        &self,
        _: &Id,
        _: &GpioGrant,
        _: Direction,
        _: GpioOperation,
    ) -> BoxFuture<'static, Result<bool, String>> {
        Box::pin(std::future::ready(Err("there are no lines here".into())))
    }

    fn release(&self, _: &Id) {}
}
