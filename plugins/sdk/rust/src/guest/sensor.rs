//! A sensor's driver outside of a node: opened at its first reading, and again after an error, as inside.
//!
//! It must not reach another device than the one that its section names.

use std::marker::PhantomData;
use std::sync::Arc;

use sedge_plugin::tool::Progress;
use sedge_plugin::{
    Annotations, BoxFuture, BusError, Driver, Frame, I2cDevice, Name, Operation, PluginError, Sensor,
    SensorError, SensorKind, Tool, ToolError,
};
use sedge_plugin::{Attachment, chain};
use sedge_protocol::{Call, frame};
use serde_json::{Value as Json, json};

use super::{Home, Ready, Runs, cannot, describe, settings};
use crate::executor::Executor;
use crate::link::{self, Link};

/// The label of the device that a sensor's own section names.
const DEVICE: &str = "device";

/// A driver, opened or not.
pub(super) struct Sensing<S> {
    set_up: Option<SetUp>,
    driver: Option<Box<dyn Driver>>,
    sort: PhantomData<fn() -> S>,
}

struct SetUp {
    executor: Arc<Executor>,
    link: Arc<dyn Link>,
    address: u8,
    settings: Json,
}

impl<S> Default for Sensing<S> {
    fn default() -> Self {
        Self { set_up: None, driver: None, sort: PhantomData }
    }
}

impl<S: Sensor<Device = I2cDevice>> Runs for Sensing<S> {
    fn start<'a>(&'a mut self, home: Home) -> BoxFuture<'a, Result<Ready, PluginError>> {
        Box::pin(async move {
            let Home { executor, link, welcome, .. } = home;
            settings::<S::Config>(&welcome.settings)?;
            let address = welcome.sensor.as_ref().and_then(|sensor| sensor.address);
            let Some(address) = address else {
                let text = format!("`{}` sits on I2C: its section is to name `bus` and `address`", S::KIND);
                return Err(PluginError::Settings(text.into()));
            };
            let settings = welcome.settings.clone();
            let tools = S::OPERATIONS.iter().filter_map(|operation| tool::<S>(operation, &settings));
            let ready = Ready { tools: tools.collect(), every: None };
            self.set_up = Some(SetUp { executor, link, address, settings });
            Ok(ready)
        })
    }

    fn call(&mut self, call: Call, _: u64, _: Progress) -> BoxFuture<'_, Result<Json, ToolError>> {
        Box::pin(async move {
            let done = match call {
                Call::Read => self.read().await,
                Call::Tool { tool, args, .. } => {
                    let operation = tool.as_str().strip_prefix(&prefix::<S>()).unwrap_or_default();
                    let known = S::OPERATIONS.iter().find(|known| known.name == operation);
                    let Some(known) = known else { return Err(cannot(&format!("the tool `{tool}`"))) };
                    self.open().and_then(|driver| driver.operate(known.name, &args))
                }
                Call::Stop { .. } => {
                    self.close();
                    Ok(Json::Null)
                }
                Call::Tick => Ok(Json::Null),
                other => return Err(cannot(&describe(&other))),
            };
            if done.is_err() {
                self.close();
            }
            done.map_err(|error| sensor_error(&error))
        })
    }

    fn event(&mut self, _: String, _: Json) -> BoxFuture<'_, Result<(), PluginError>> {
        Box::pin(async { Ok(()) })
    }
}

impl<S: Sensor<Device = I2cDevice>> Sensing<S> {
    fn open(&mut self) -> Result<&mut Box<dyn Driver>, SensorError> {
        let driver = match (self.driver.take(), &self.set_up) {
            (Some(driver), _) => driver,
            (None, None) => return Err(SensorError::Closed),
            (None, Some(set_up)) => {
                let Attachment::I2c { open, .. } = SensorKind::i2c::<S>().attachment else {
                    return Err(SensorError::Closed);
                };
                open(link::device(&set_up.link, DEVICE, set_up.address), &set_up.settings)?
            }
        };
        Ok(self.driver.insert(driver))
    }

    async fn read(&mut self) -> Result<Json, SensorError> {
        let wait = self.open()?.start()?;
        if let (Some(time), Some(set_up)) = (wait, &self.set_up) {
            set_up.executor.sleep(time).await;
        }
        let mut frame = Frame::default();
        self.open()?.read(&mut frame)?;
        Ok(frame::encode(&frame))
    }

    fn close(&mut self) {
        if let Some(mut driver) = self.driver.take() {
            driver.close();
        }
    }
}

/// The tool of an operation, as the manifest names it.
fn tool<S: Sensor>(operation: &Operation, settings: &Json) -> Option<Tool> {
    let name = Name::new(&format!("{}{}", prefix::<S>(), operation.name)).ok()?;
    let mut input_schema = (operation.input)();
    if let Some(refine) = operation.refine {
        refine(settings, &mut input_schema);
    }
    let annotations = Annotations { ..operation.annotations };
    let title = operation.title.into();
    Some(Tool { title, input_schema, annotations, ..Tool::new(name, operation.description) })
}

fn prefix<S: Sensor>() -> String {
    format!("{}_", S::KIND.replace('-', "_"))
}

/// As the node knows it of its own sensors: the reason is why the fields are missing.
fn sensor_error(error: &SensorError) -> ToolError {
    let message = match error {
        SensorError::Bus(BusError::NoAnswer) => error.to_string(),
        error => chain(error),
    };
    ToolError { data: Some(json!({ "reason": error.reason() })), ..ToolError::failed(message) }
}
