//! A tool as an entity, where its arguments are of a shape that Home Assistant has a control for.
//!
//! | required arguments | entity |
//! |---|---|
//! | none, and no others | `button` |
//! | one that is true or false | `switch` |
//! | one number with a lowest and a highest value | `number` |
//! | one of some texts | `select` |
//! | one text | `text` |
//! | one of these, and one with `x-states` | one for each entry of `x-states` |
//!
//! `x-states` is an object in the schema of the argument that says which output is meant: for each of its values the
//! field, of the sensor with the tool's id, that tells how that output stands. A tool of any other shape is not shown, nor
//! one that changes nothing.

use sedge_plugin::field::FieldKind;
use sedge_plugin::{Id, Name, Tool, Unit};
use serde_json::{Map, Value as Json, json};

use super::document::{Command, Component, EntityCategory, Payload, Platform, Scene};
use super::{names, sensors};

/// The longest text that Home Assistant has as a state.
const MAX_TEXT: u64 = 255;

/// Controls of one tool at most.
const MAX_OUTPUTS: usize = 64;

/// A control.
pub(super) struct Control {
    pub(super) key: String,
    pub(super) component: Component,
    /// The field that tells its state.
    field: Option<Name>,
}

impl Control {
    /// The field that tells its state: it needs no entity of its own, unless nobody sees the control.
    pub(super) fn tells(&self) -> Option<(&Id, &Name)> {
        self.component.enabled.is_none_or(|enabled| enabled).then_some(())?;
        Some((self.component.sensor.as_ref()?, self.field.as_ref()?))
    }
}

/// What an argument can be set to.
enum Shape {
    Flag,
    Number { min: f64, max: f64, step: Option<f64>, whole: bool },
    Choice(Vec<String>),
    Text { min: u64, max: u64 },
}

/// The controls of a tool.
pub(super) fn controls(scene: &Scene<'_>, tool: &Tool) -> Vec<Control> {
    if tool.annotations.read_only {
        return Vec::new();
    }
    let tool = Told::new(scene, tool);
    let Some(required) = tool.required() else { return Vec::new() };
    match required[..] {
        [] if !tool.has_arguments() => vec![tool.button()],
        [one] => tool.control(one, None).into_iter().collect(),
        [one, other] => {
            let outputs = |name: &str| tool.outputs(tool.argument(name)?);
            let (selector, argument, outputs) = match (outputs(one), outputs(other)) {
                (Some(outputs), None) => (one, other, outputs),
                (None, Some(outputs)) => (other, one, outputs),
                _ => return Vec::new(),
            };
            let each = outputs.into_iter().take(MAX_OUTPUTS);
            each.filter_map(|(value, field)| tool.control(argument, Some((selector, value, field)))).collect()
        }
        _ => Vec::new(),
    }
}

/// A tool, and whose it is.
struct Told<'a> {
    scene: &'a Scene<'a>,
    tool: &'a Tool,
    /// The id that the tool's name begins with, and the rest of the name.
    owner: Option<(&'a Id, &'a str)>,
}

impl<'a> Told<'a> {
    fn new(scene: &'a Scene<'a>, tool: &'a Tool) -> Self {
        let owner = scene.owner_of(&tool.name);
        Self { scene, tool, owner }
    }

    /// The schema of an argument.
    fn argument(&self, name: &str) -> Option<&'a Json> {
        self.tool.input_schema.get("properties")?.get(name)
    }

    fn has_arguments(&self) -> bool {
        let none = |properties: &Json| properties.as_object().is_some_and(Map::is_empty);
        !self.tool.input_schema.get("properties").is_none_or(none)
    }

    /// The arguments that must be given. The others are left as they are.
    fn required(&self) -> Option<Vec<&'a str>> {
        match self.tool.input_schema.get("required") {
            None => Some(Vec::new()),
            // A name that is none of ours could mean something to a template.
            Some(names) => {
                names.as_array()?.iter().map(|name| name.as_str().filter(|n| Name::new(n).is_ok())).collect()
            }
        }
    }

    fn button(&self) -> Control {
        let what = self.owner.map_or("", |owner| owner.1);
        let component = self.component(Platform::Button, None, what);
        self.done(component, None, Payload::Press(json!({ "args": {} }).to_string()), None)
    }

    /// A control of one argument; of one output, where the tool has many.
    fn control(&self, argument: &str, output: Option<(&str, Json, Name)>) -> Option<Control> {
        let shape = self.shape(self.argument(argument)?)?;
        let (field, fixed) = match &output {
            Some((selector, value, field)) => (field.clone(), Some((*selector, value.clone()))),
            None => (Name::new(argument).ok()?, None),
        };
        let part = match (&output, self.owner) {
            (Some((_, _, field)), _) => field.as_str(),
            (None, Some((_, "set"))) => argument,
            (None, Some((_, operation))) => operation,
            (None, None) => argument,
        };
        let kind = match shape {
            Shape::Flag => FieldKind::State,
            Shape::Number { .. } => FieldKind::Measurement,
            Shape::Choice(_) | Shape::Text { .. } => FieldKind::Text,
        };
        let state = self.state(&field, kind);
        let platform = match shape {
            Shape::Flag => Platform::Switch,
            Shape::Number { .. } => Platform::Number,
            Shape::Choice(_) => Platform::Select,
            Shape::Text { .. } => Platform::Text,
        };
        let suffix = fixed.as_ref().map(|(_, value)| value.to_string());
        let mut component = self.component(platform, suffix.as_deref(), part);
        let set = |value: &str| call(fixed.as_ref(), argument, value);
        let mut value_template = state.is_some().then(|| sensors::template(&field, kind));
        let payload = match shape {
            Shape::Flag => {
                (component.state_on, component.state_off) = (Some("ON"), Some("OFF"));
                Payload::Switch { on: set("true"), off: set("false") }
            }
            Shape::Number { min, max, step, whole } => {
                // Told in percent, set as a part of one.
                let percent = (min, max) == (0.0, 1.0) && state == Some(Unit::Percent);
                let factor = if percent { 100.0 } else { 1.0 };
                (component.min, component.max) = (Some(min * factor), Some(max * factor));
                let step = step.map_or_else(|| fineness(min, max, whole), Some);
                component.step = step.map(|step| (step * factor).max(0.001));
                component.unit = state.filter(|unit| *unit != Unit::None).map(Unit::symbol);
                Payload::Template(set(if percent { "{{ value / 100 }}" } else { "{{ value }}" }))
            }
            Shape::Choice(options) => {
                component.options = Some(options);
                Payload::Template(set("{{ value | tojson }}"))
            }
            Shape::Text { min, max } => {
                (component.min, component.max) = (Some(min as f64), Some(max as f64));
                Payload::Template(set("{{ value | tojson }}"))
            }
        };
        if state.is_some() {
            component.value_template = value_template.take();
            component.sensor = self.owner.map(|owner| owner.0.clone());
            component.state_topic = component.sensor.as_ref().map(|id| self.scene.topics.reading(id));
        }
        Some(self.done(component, suffix.as_deref(), payload, state.map(|_| field)))
    }

    fn component(&self, platform: Platform, suffix: Option<&str>, part: &str) -> Component {
        let (node, tool) = (&self.scene.directory.node.id, &self.tool.name);
        let name = match self.owner {
            Some((id, _)) => names::name(node, id.as_str(), part),
            None => names::name(node, tool.as_str(), part),
        };
        let plugin =
            self.owner.map(|owner| owner.0).filter(|id| self.scene.directory.plugins.contains_key(*id));
        let mut component = self.scene.component(platform, &key(tool, suffix), name, plugin);
        if self.tool.annotations.destructive {
            (component.category, component.enabled) = (Some(EntityCategory::Config), Some(false));
        }
        component
    }

    fn done(
        &self,
        component: Component,
        suffix: Option<&str>,
        payload: Payload,
        field: Option<Name>,
    ) -> Control {
        let topic = self.scene.topics.call(self.tool.name.as_str());
        let component = Component { command: Some(Command::new(topic, payload)), ..component };
        Control { key: key(&self.tool.name, suffix), component, field }
    }

    /// The unit of the field that tells a state of that kind; none where no sensor of the tool's id has it.
    fn state(&self, field: &Name, kind: FieldKind) -> Option<Unit> {
        let field = self.scene.directory.sensor(self.owner?.0)?.fields.get(field)?;
        (field.kind == kind).then_some(field.unit)
    }

    /// The outputs of an argument that says which one is meant, each with its field.
    fn outputs(&self, schema: &Json) -> Option<Vec<(Json, Name)>> {
        let states = self.resolved(schema)?.get("x-states")?.as_object()?;
        let output = |(value, field): (&String, &Json)| {
            Some((Json::from(value.parse::<i64>().ok()?), Name::new(field.as_str()?).ok()?))
        };
        let mut outputs: Vec<(Json, Name)> = states.iter().filter_map(output).collect();
        outputs.sort_by_key(|output| output.0.as_i64());
        Some(outputs)
    }

    fn shape(&self, schema: &Json) -> Option<Shape> {
        let schema = self.resolved(schema)?;
        if let Some(options) = options(schema) {
            return Some(Shape::Choice(options));
        }
        let number = |key: &str| schema.get(key).and_then(Json::as_f64).filter(|number| number.is_finite());
        match schema.get("type")?.as_str()? {
            "boolean" => Some(Shape::Flag),
            "string" if schema.get("format").is_none() => {
                let length = |key: &str| schema.get(key).and_then(Json::as_u64);
                let max = length("maxLength").unwrap_or(MAX_TEXT).min(MAX_TEXT);
                let min = length("minLength").unwrap_or(0);
                (min < max).then_some(Shape::Text { min, max })
            }
            number_type @ ("number" | "integer") => {
                let (min, max) = (number("minimum")?, number("maximum")?);
                let whole = number_type == "integer";
                (min < max).then(|| Shape::Number { min, max, step: number("multipleOf"), whole })
            }
            _ => None,
        }
    }

    /// What a reference to the schema's own definitions stands for.
    fn resolved(&self, schema: &'a Json) -> Option<&'a Json> {
        match schema.get("$ref").and_then(Json::as_str) {
            None => Some(schema),
            Some(reference) => self.tool.input_schema.pointer(reference.strip_prefix('#')?),
        }
    }
}

/// The texts that may be chosen from, at least two; none where it is no choice of texts.
fn options(schema: &Json) -> Option<Vec<String>> {
    let text = |value: &Json| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let texts: Vec<String> = match (schema.get("enum"), schema.get("oneOf")) {
        (Some(values), _) => values.as_array()?.iter().map(text).collect::<Option<_>>()?,
        (None, Some(ways)) => {
            ways.as_array()?.iter().map(|way| text(way.get("const")?)).collect::<Option<_>>()?
        }
        (None, None) => return None,
    };
    (texts.len() > 1).then_some(texts)
}

/// A hundred steps or a few more.
fn fineness(min: f64, max: f64, whole: bool) -> Option<f64> {
    let step = 10_f64.powf((max - min).log10().floor() - 2.0);
    Some(if whole { 1.0 } else { step })
}

/// The JSON of a call, whose value may be a template.
fn call(fixed: Option<&(&str, Json)>, argument: &str, value: &str) -> String {
    let fixed = fixed.map(|(name, value)| format!("\"{name}\":{value},")).unwrap_or_default();
    format!("{{\"args\":{{{fixed}\"{argument}\":{value}}}}}")
}

/// No key of a sensor's field: an id has no `_`, and this begins with a name up to its last `-`.
fn key(tool: &Name, suffix: Option<&str>) -> String {
    suffix.map_or_else(|| tool.to_string(), |suffix| format!("{tool}-{suffix}"))
}
