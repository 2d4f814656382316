//! Plugins that are compiled in, for what a promise needs besides the one that it is about.

use std::sync::{Arc, Mutex};

use sedge_actors::PluginSpec;
use sedge_plugin::prelude::*;
use sedge_plugin::topics::{Extract, PreToolExecute, Process, RawPayload};
use serde_json::{Value as Json, json};

fn any() -> Json {
    json!({ "type": "object" })
}

/// What is kept between starts, and looked at by a test.
#[derive(Clone, Default)]
pub struct Shelf {
    put: Arc<Mutex<Vec<(String, u64)>>>,
    /// What whoever puts something is told, once each.
    answers: Arc<Mutex<Vec<&'static str>>>,
}

impl Shelf {
    /// The next ones who put something are told this.
    pub fn answers(&self, answers: &[&'static str]) {
        *self.answers.lock().unwrap() = answers.iter().rev().copied().collect();
    }

    /// What was put there so far.
    pub fn put(&self) -> Vec<(String, u64)> {
        self.put.lock().unwrap().clone()
    }
}

/// The tool `target` answers with its arguments, the tool `shelf_put` keeps them; `source_submit` submits a reading of the
/// sensor `tank`, or bytes of it. It knows the format `test`.
pub struct Helper {
    ctx: Context,
    shelf: Shelf,
}

impl Helper {
    pub fn spec(shelf: &Shelf) -> PluginSpec {
        PluginSpec::new::<Self>(Id::new("tank").unwrap(), shelf.clone())
    }
}

const FIELDS: &[Field] = &[Field::new("level", Unit::Percent)];

impl Plugin for Helper {
    type Args = Shelf;
    const MANIFEST: Manifest = Manifest::new("helper", "1.0.0", "Helps tests.");
    async fn setup(shelf: &Shelf, ctx: Context) -> Result<Self, PluginError> {
        ctx.announce(SensorDescriptor::new(ctx.id().clone(), "helper", "1.0.0", "nowhere", FIELDS));
        Ok(Self { ctx, shelf: shelf.clone() })
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Shelf, _: &Context) {
        hooks.first::<Extract>(Options::default());
        hooks.tools();
    }
}

impl Answer<Extract> for Helper {
    async fn answer(&mut self, raw: Arc<RawPayload>) -> Result<Option<Frame>, PluginError> {
        let mut frame = Frame::default();
        match raw.bytes[..] {
            [level] if raw.format == "test" => frame.push("level", f64::from(level)),
            _ => return Ok(None),
        }
        Ok(Some(frame))
    }
}

impl Tools for Helper {
    fn tools(&self) -> Vec<Tool> {
        let names = ["target", "shelf_put", "source_submit"].map(|name| Name::new(name).unwrap());
        names.map(|name| Tool { input_schema: any(), ..Tool::new(name, "Helps tests.") }).into()
    }
    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let failed = |error: PluginError| ToolError::failed(error.to_string());
        match call.tool.as_str() {
            "target" => Ok(call.args),
            "shelf_put" => {
                let readings: Vec<(String, u64)> =
                    serde_json::from_value(call.args["readings"].clone()).unwrap();
                self.shelf.put.lock().unwrap().extend(readings);
                let answer = self.shelf.answers.lock().unwrap().pop();
                Ok(json!({ "do": answer.unwrap_or("well") }))
            }
            _ => {
                let args = &call.args;
                if let Some(format) = args["format"].as_str() {
                    let bytes = vec![u8::try_from(args["level"].as_u64().unwrap()).unwrap()];
                    self.ctx.submit_raw(self.ctx.id(), format, bytes).await.map_err(failed)?;
                } else {
                    let mut frame = Frame::default();
                    frame.push("level", args["level"].as_f64().unwrap());
                    self.ctx.submit(self.ctx.id(), frame).await.map_err(failed)?;
                }
                Ok(Json::Null)
            }
        }
    }
}

/// Marks calls of `target` and levels of readings, at a priority.
pub struct Marker;

impl Marker {
    pub fn spec(id: &str, priority: i32) -> PluginSpec {
        PluginSpec::new::<Self>(Id::new(id).unwrap(), priority)
    }
}

impl Plugin for Marker {
    type Args = i32;
    const MANIFEST: Manifest = Manifest::new("marker", "1.0.0", "Marks what passes.");
    async fn setup(_: &i32, _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, priority: &i32, ctx: &Context) {
        let id = ctx.id().clone();
        hooks.inline::<PreToolExecute>(Options::priority(*priority), move |call| {
            let mut next = call.clone();
            match next.args["trail"].as_array_mut() {
                Some(trail) => trail.push(json!(id)),
                None => next.args["trail"] = json!([id]),
            }
            Ok(Step::Replace(next))
        });
        // Twice as much: whether it comes before or after another step is seen in what comes of it.
        hooks.inline::<Process>(Options::priority(*priority), |draft| {
            let mut next = draft.clone();
            for sample in next.frame.samples.iter_mut().filter(|sample| sample.field == "level") {
                let level = sample.number().unwrap_or_default();
                sample.set(level * 2.0);
            }
            Ok(Step::Replace(next))
        });
    }
}
