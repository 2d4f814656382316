//! Runs a component as a node does, on whatever machine this was built for; what it asks of I2C is answered by a simulated BME280.
//!
//! ```console
//! $ component FILE.wasm                        # takes a reading, and looks whether it is the datasheet's
//! $ component FILE.wasm --interpreted          # the same by wasmtime's interpreter
//! $ component FILE.wasm --call loop '{}' 500   # says how the component ended, or what it answered, within 500 ms
//! ```
//!
//! Why: a component may be wrong on one kind of processor alone, and a node for each is long in the making. There is no compiler
//! here: what `sedge-compile` has made must lie in `compiled/` beside the file. `plugins/compiler/tests/targets` builds this for the
//! processors of the boards, and runs it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sedge_host::outside::{Carrier, End, Line, Start};
use sedge_host::wasm::{ComponentCarrier, ComponentOptions};
use sedge_plugin::grant::{Grants, I2cGrant};
use sedge_plugin::prelude::*;
use sedge_plugin::sim::I2cModel;
use sedge_protocol::{
    Ask, Bytes, Call, Encoding, I2cOperation, Limits, SensorWelcome, ToNode, ToPlugin, Version,
};
use serde_json::{Value as Json, json};

/// How long anything may take, also where each instruction is emulated.
const PATIENCE: Duration = Duration::from_secs(120);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what the program is for")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let ran = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(&arguments)));
    match ran {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<String> {
    let interpreted = arguments.iter().any(|word| word == "--interpreted");
    let words: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|word| *word != "--interpreted").collect();
    let (file, call) = match *words {
        [file] => (file, Call::Read),
        [file, "--call", tool, args, timeout_ms] => {
            let (tool, args, timeout_ms) =
                (Name::new(tool)?, serde_json::from_str(args)?, timeout_ms.parse()?);
            (file, Call::Tool { tool, args, from: "test".into(), timeout_ms })
        }
        _ => return Err("component FILE.wasm [--interpreted] [--call TOOL ARGS MS]".into()),
    };
    let is_reading = call == Call::Read;
    let mut node = Node::start(Path::new(file), interpreted).await?;
    let how = node.how.clone();
    node.greet().await?;
    node.line.to.send(ToPlugin::Call { id: 1, call }).await?;
    let said = match node.answer().await? {
        Some(ToNode::Ok { result, .. }) if is_reading => {
            check(&result)?;
            node.line.to.send(ToPlugin::Call { id: 2, call: Call::Stop { grace_ms: 10_000 } }).await?;
            node.answer().await?;
            result.to_string()
        }
        Some(ToNode::Ok { result, .. }) => return Ok(format!("{how}: answered {result}")),
        Some(ToNode::Error { error, .. }) if !is_reading => {
            return Ok(format!("{how}: refused, {}", error.message));
        }
        Some(other) => return Err(format!("{how}: {other:?}").into()),
        None => String::new(),
    };
    match tokio::time::timeout(PATIENCE, node.line.end).await?? {
        End::Stopped => Ok(format!("{how}: {said}")),
        End::Broken(why) if is_reading => Err(format!("{how}: {why}").into()),
        End::Broken(why) => Ok(format!("{how}: ended, {why}")),
    }
}

/// The example of the datasheet, section 4.2.3 and its appendix.
fn check(frame: &Json) -> Result<()> {
    for (field, wanted) in [("temperature", 25.08), ("pressure", 1006.53)] {
        let value = frame[field].as_f64().ok_or_else(|| format!("no {field}: {frame}"))?;
        if (value - wanted).abs() > 0.01 {
            return Err(format!("{field} is {value}, and should be {wanted}").into());
        }
    }
    Ok(())
}

/// As much of a node as a component needs.
struct Node {
    line: Line,
    chip: Box<dyn I2cModel>,
    how: String,
}

const LIMITS: Limits =
    Limits { message: 64 * 1024, in_flight: 16, memory: 4 * 1024 * 1024, start_ms: 60_000 };

impl Node {
    async fn start(file: &Path, interpreted: bool) -> Result<Self> {
        let folder = file.parent().ok_or("a file in a folder")?.to_owned();
        let name = file.file_name().ok_or("a file")?.to_string_lossy().into_owned();
        let carrier = ComponentCarrier::new(ComponentOptions {
            cache: folder.join("cache"),
            folder: folder.clone(),
            file: name,
            compiler: None,
            // Made by whoever runs this, a moment ago.
            trusted: Arc::new(|_, _| true),
            clock: Arc::new(|| Taken { up_ms: 0, wall_ms: None }),
            interpreted,
        });
        let how = format!(
            "{}, {} bits: {}",
            std::env::consts::ARCH,
            usize::BITS,
            carrier.isolation().replace("WebAssembly, ", "")
        );
        let start = Start {
            id: Id::new("attic")?,
            folder,
            data_dir: None,
            limits: LIMITS,
            environment: Default::default(),
        };
        let line = carrier.start(start).await.map_err(|error| format!("{how}: {error}"))?;
        Ok(Self { line, chip: wasm_bme280::Bme280::simulate(0), how })
    }

    async fn greet(&mut self) -> Result<()> {
        let hello = self.answer().await?;
        let Some(ToNode::Hello(hello)) = hello else { return Err(format!("no hello: {hello:?}").into()) };
        let device = I2cGrant { bus: "i2c-1".into(), address: 0x76 };
        self.line
            .to
            .send(ToPlugin::Welcome {
                protocol: Version { major: 1, minor: 0 },
                api: Version { major: 1, minor: 0 },
                encoding: Encoding::Json,
                features: Vec::new(),
                id: Id::new("attic")?,
                plugin: hello.plugin,
                node: Id::new("pi")?,
                settings: json!({}),
                grants: Grants { i2c: [("device".to_owned(), device)].into(), ..Grants::default() },
                limits: LIMITS,
                data_dir: None,
                sensor: Some(SensorWelcome { every_ms: 1000, address: Some(0x76) }),
                config: None,
            })
            .await?;
        match self.answer().await? {
            Some(ToNode::Ready { .. }) => Ok(()),
            other => Err(format!("not ready: {other:?}, {:?}", self.line.end.try_recv()).into()),
        }
    }

    /// Answers what it asks, until it says something else; nothing once it has ended.
    async fn answer(&mut self) -> Result<Option<ToNode>> {
        loop {
            match tokio::time::timeout(PATIENCE, self.line.from.recv()).await? {
                Some(ToNode::Ask { id, ask }) => {
                    let message = match self.transfer(&ask) {
                        Ok(result) => ToPlugin::Ok { id, result },
                        Err(error) => ToPlugin::Error { id, error },
                    };
                    self.line.to.send(message).await?;
                }
                Some(ToNode::Log { .. } | ToNode::Credit { .. }) => {}
                other => return Ok(other),
            }
        }
    }

    fn transfer(&mut self, ask: &Ask) -> std::result::Result<Json, ToolError> {
        let operations = match ask {
            Ask::I2c { device, operations } if device == "device" => operations,
            _ => return Err(ToolError::new(ToolErrorCode::Denied, "not granted: there is one chip here")),
        };
        let failed = |error: sedge_plugin::device::BusError| ToolError::failed(error.to_string());
        let mut read = Vec::new();
        for operation in operations {
            match operation {
                I2cOperation::Write(Bytes(bytes)) => {
                    self.chip.write(bytes, Duration::ZERO).map_err(failed)?;
                }
                I2cOperation::Read(length) => {
                    let mut bytes = vec![0; usize::from(*length)];
                    self.chip.read(&mut bytes, Duration::ZERO).map_err(failed)?;
                    read.push(Bytes(bytes));
                }
            }
        }
        Ok(json!({ "read": read }))
    }
}
