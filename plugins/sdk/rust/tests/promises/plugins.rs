//! What is run by the tests: written against `sedge-plugin` alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::RegisterFile;
use serde_json::{Value as Json, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    #[serde(default)]
    refuse: Option<String>,
    #[serde(default)]
    only: Option<Id>,
}

/// Does what a call tells it to.
pub struct Probe {
    ctx: Context,
    heard: Vec<(Id, u64)>,
    litres: sedge_plugin::metrics::Counter,
}

/// How often a probe was torn down whose instance is called so.
pub static TORN_DOWN: AtomicU32 = AtomicU32::new(0);

impl Plugin for Probe {
    type Args = Settings;
    const MANIFEST: Manifest = Manifest::new("probe", "1.2.3", "Does what it is told.");

    async fn setup(settings: &Settings, ctx: Context) -> Result<Self, PluginError> {
        match settings.refuse.as_deref() {
            Some("unmet") => return Err(PluginError::unmet("no pump is there")),
            Some(_) => return Err(PluginError::failed("the pump is dry")),
            None => {}
        }
        let litres = ctx.counter(Name::new("litres").unwrap(), "Pumped.").unwrap();
        Ok(Self { ctx, heard: Vec::new(), litres })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, settings: &Settings, _: &Context) {
        let options = settings.only.iter().fold(Options::default(), |options, id| options.only([id.clone()]));
        hooks.observe::<topics::Deliver>(options);
        hooks.chain::<topics::PreToolExecute>(Options::default());
        hooks.inline::<topics::Admit>(Options::default(), |draft| match draft.frame.get("level") {
            Some(Value::Number(level)) if *level > 100.0 => Ok(Step::Veto("too much".into())),
            _ => Ok(Step::Pass),
        });
        hooks.first::<topics::Extract>(Options::default());
        hooks.tools();
    }

    fn every(&self) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        Err(PluginError::failed("the tick failed"))
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        if self.ctx.id().as_str() == "counted" {
            TORN_DOWN.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Observer<topics::Deliver> for Probe {
    async fn observe(&mut self, reading: Arc<Reading>) -> Result<(), PluginError> {
        if reading.frame.get("level") == Some(&Value::Number(-1.0)) {
            return Err(PluginError::failed("below the ground"));
        }
        self.heard.push((reading.sensor.clone(), reading.seq));
        Ok(())
    }
}

impl Link<topics::PreToolExecute> for Probe {
    async fn step(&mut self, call: Arc<ToolCall>) -> Result<Step<ToolCall>, PluginError> {
        Ok(match call.tool.as_str() {
            "pump_boil" => Step::Veto("never".into()),
            "pump_set" => Step::Replace(ToolCall { args: json!({ "on": false }), ..(*call).clone() }),
            _ => Step::Pass,
        })
    }
}

impl Answer<topics::Extract> for Probe {
    async fn answer(&mut self, raw: Arc<topics::RawPayload>) -> Result<Option<Frame>, PluginError> {
        if raw.format != "bytes" {
            return Ok(None);
        }
        let mut frame = Frame::default();
        frame.push("level", f64::from(raw.bytes[0]));
        Ok(Some(frame))
    }
}

impl Tools for Probe {
    fn tools(&self) -> Vec<Tool> {
        vec![Tool::new(Name::new("probe_do").unwrap(), "Does it.")]
    }

    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let failed = |error: PluginError| ToolError::failed(error.to_string());
        let Some(what) = call.args["what"].as_str() else {
            return Err(ToolError::failed("what?"));
        };
        match what {
            "heard" => Ok(json!(self.heard)),
            "panic" => panic!("the probe broke"),
            "kept" => {
                let kept: Option<u32> = self.ctx.load("n").await.map_err(failed)?;
                self.ctx.store("n", kept.unwrap_or_default() + 1).await.map_err(failed)?;
                Ok(json!(kept))
            }
            "latest" => {
                let latest = self.ctx.latest(&Id::new("tank").unwrap());
                Ok(json!(latest.map(|reading| reading.seq)))
            }
            "progress" => {
                call.progress.report(0.5, "half");
                self.ctx.sleep(Duration::from_millis(1)).await;
                Ok(Json::Null)
            }
            "beside" => {
                // A future beside the handlers, that the handler does not wait for.
                let ctx = self.ctx.clone();
                self.ctx.spawn(async move {
                    let mut frame = Frame::default();
                    frame.push("level", 4.5);
                    frame.missing("flow", "crc");
                    let _ = ctx.submit(ctx.id(), frame).await;
                });
                Ok(Json::Null)
            }
            "many" => {
                // More asks at once than the node takes.
                let asks = (0..10).map(|n| {
                    let ctx = self.ctx.clone();
                    async move { ctx.store(&format!("k{n}"), n).await }
                });
                for ask in asks {
                    let ctx = self.ctx.clone();
                    ctx.spawn(async move { drop(ask.await) });
                }
                Ok(Json::Null)
            }
            "litres" => {
                self.litres.add(12);
                Ok(Json::Null)
            }
            "big" => Ok("x".repeat(100_000).into()),
            "cannot" => {
                let cursor = self.ctx.cursor().is_none();
                let history = self.ctx.history().is_none();
                let dir = self.ctx.data_dir().unwrap_err().to_string();
                Ok(json!([cursor, history, dir]))
            }
            "caller" => Ok(json!([call.from, call.timeout.map(|time| time.as_millis())])),
            other => Err(ToolError::failed(format!("{other}?"))),
        }
    }
}

/// Wants what cannot be had from outside.
pub struct Insider;

impl Plugin for Insider {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("insider", "1.0.0", "Wants too much.");
    async fn setup((): &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, (): &(), _: &Context) {
        hooks.around::<topics::ToolExecute>(Options::default(), |call, next| Box::pin(next.run(call)));
        hooks.service::<Insider>("helper", ());
    }
}

/// Needs no settings.
pub struct Bare;

impl Plugin for Bare {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("bare", "1.0.0", "Needs nothing.");
    async fn setup((): &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
}

/// One register, and a lamp.
pub struct Gauge {
    device: I2cDevice,
}

const LAMP: Operation = Operation::new::<NoSettings>("lamp", "Lamp", "Lights its lamp.");

impl Sensor for Gauge {
    const KIND: &'static str = "water-gauge";
    const TITLE: &'static str = "A gauge";
    const ADDRESSES: &'static [u8] = &[0x21];
    const FIELDS: &'static [Field] = &[Field::new("level", Unit::Metre)];
    const OPERATIONS: &'static [Operation] = &[LAMP];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(mut device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        match device.read_u8(0x00)? {
            0x42 => Ok(Self { device }),
            found => Err(SensorError::WrongDevice { expected: 0x42, found: found.into() }),
        }
    }
    fn start(&mut self) -> Result<Option<Duration>, SensorError> {
        self.device.write(&[0x01, 0x01])?;
        Ok(Some(Duration::from_millis(1)))
    }
    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        frame.push("level", f64::from(self.device.read_u16_be(0x02)?) / 100.0);
        Ok(())
    }
    fn operate(&mut self, _: &str, _: &Json) -> Result<Json, SensorError> {
        self.device.write_u8(0x04, 1)?;
        Ok(json!({ "lit": true }))
    }
    fn simulate(_: u64) -> Box<dyn I2cModel> {
        Box::new(RegisterFile::new(&[(0x00, &[0x42])]))
    }
}

/// Doubles.
pub struct Double {
    seen: std::collections::BTreeMap<Id, u32>,
}

impl Processor for Double {
    const KIND: &'static str = "double";
    const TITLE: &'static str = "Doubles";
    const JUDGES: bool = true;
    type Config = NoSettings;

    fn new(_: NoSettings, _: &Context) -> Result<Self, PluginError> {
        Ok(Self { seen: std::collections::BTreeMap::new() })
    }
    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let seen = self.seen.entry(draft.sensor.clone()).or_default();
        *seen += 1;
        let mut next = draft.clone();
        for sample in &mut next.frame.samples {
            if let Some(number) = sample.number() {
                sample.set(number * 2.0);
            }
        }
        next.frame.push("seen", *seen);
        Ok(Step::Replace(next))
    }
    fn judge(&mut self, _: &Draft) -> Result<Step<Draft>, PluginError> {
        Ok(Step::Veto("judged".into()))
    }
    fn forget(&mut self, sensor: &Id) {
        self.seen.remove(sensor);
    }
}
