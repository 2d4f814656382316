//! Adds a field that is computed from others, of the reading or of other sensors.
//!
//! ```toml
//! kind = "derive"
//! field = "dew_point"
//! unit = "°C"
//! class = "temperature"
//! precision = 1
//! expression = "dew_point(temperature, humidity)"
//! ```
//!
//! What an expression may have: [`sedge_plugin::expr`]. `outside.temperature` is the newest value of another sensor. A sensor
//! that has not all of its own fields that the expression names is left alone; one that names none of them wants `sensors`.
//! If the field is there already, it is replaced. A condition, or a switch passed on, becomes a state.
//!
//! The value is marked `estimated`, or with the worst mark of the inputs that it was made of, those of validators included;
//! `stale` where a reading of another sensor is older than three of its intervals. With `max_age` age is judged by that
//! alone: older is as good as missing. (A sensor without a cadence wants one, such as one that a
//! [`deadband`](super::deadband) without a heartbeat holds back.) Without an input there is no value, and that is said.

use std::cell::RefCell;
use std::time::Duration;

use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::expr::{self, EvalError, Expr, Input};
use sedge_plugin::prelude::*;

use super::common::{MAX_PRECISION, Memory, worse, wrong};

/// A reading of a sensor that missed so many beats is stale.
const INTERVALS: u32 = 3;

/// Settings of a `kind = "derive"` processor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The name of the field.
    field: Name,
    /// How it is computed.
    #[schemars(length(min = 1, max = 1024))]
    expression: String,
    /// Its unit. None, unless given.
    #[serde(default = "dimensionless")]
    unit: Unit,
    /// Home Assistant's device class, such as `temperature`.
    #[serde(default)]
    class: String,
    /// Decimals worth sending, 0 to 9. 2 unless given.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 9))]
    precision: u8,
    /// How old the reading of another sensor may be.
    max_age: Option<Every>,
}

fn dimensionless() -> Unit {
    Unit::None
}

fn two() -> u8 {
    2
}

/// Adds a field.
pub struct Derive {
    ctx: Context,
    settings: Settings,
    expression: Expr,
    /// The fields of the reading itself that the last value of each sensor was made of.
    used: Memory<Vec<Name>>,
}

/// What an input is worth.
enum Found {
    Value(Value, Quality),
    Nothing,
    TooOld,
}

impl Processor for Derive {
    const KIND: &'static str = "derive";
    const TITLE: &'static str = "Adds a field that is computed from others";
    /// The marks that validators set are not there yet when the value is computed.
    const JUDGES: bool = true;
    type Config = Settings;

    fn new(settings: Settings, ctx: &Context) -> Result<Self, PluginError> {
        let expression = expr::parse(&settings.expression)
            .map_err(|error| wrong(format!("`expression`: {error}: {}", settings.expression)))?;
        if settings.precision > MAX_PRECISION {
            return Err(wrong(format!("`precision` is at most {MAX_PRECISION}")));
        }
        Ok(Self { ctx: ctx.clone(), settings, expression, used: Memory::default() })
    }

    fn for_all(&self) -> Result<(), PluginError> {
        if self.own().next().is_none() {
            return Err(wrong("`expression` names no field of the reading itself: say `sensors`"));
        }
        Ok(())
    }

    fn describe(&mut self, sensor: &mut SensorDescriptor) {
        if !self.own().all(|input| sensor.fields.contains_key(&input.field)) {
            return;
        }
        let Settings { field, unit, class, precision, .. } = &self.settings;
        let kind = if self.is_state(sensor) { FieldKind::State } else { FieldKind::Measurement };
        let (ucum, class) = (unit.ucum().into(), class.clone());
        let described =
            FieldDescriptor { unit: *unit, ucum, kind, class, precision: *precision, min: None, max: None };
        sensor.fields.insert(field.clone(), described);
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let named = |field: &str| draft.frame.samples.iter().any(|sample| sample.field == field);
        if !self.own().all(|input| named(input.field.as_str())) {
            return Ok(Step::Pass);
        }
        let (sample, used) = self.derived(draft);
        *self.used.of(&draft.sensor) = used;
        let mut next = draft.clone();
        next.frame.samples.retain(|other| other.field != sample.field);
        next.frame.samples.push(sample);
        Ok(Step::Replace(next))
    }

    fn judge(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let samples = &draft.frame.samples;
        let Some(at) = samples.iter().position(|sample| sample.field == self.settings.field.as_str()) else {
            return Ok(Step::Pass);
        };
        let used = self.used.of(&draft.sensor);
        let inputs = samples.iter().filter(|sample| used.iter().any(|name| sample.field == name.as_str()));
        let before = samples[at].quality;
        let quality = inputs.map(|sample| sample.quality).fold(before, worse);
        if quality == before {
            return Ok(Step::Pass);
        }
        let mut next = draft.clone();
        next.frame.samples[at].quality = quality;
        Ok(Step::Replace(next))
    }

    fn forget(&mut self, sensor: &Id) {
        self.used.forget(sensor);
    }
}

impl Derive {
    /// The fields of the reading itself that are needed.
    fn own(&self) -> impl Iterator<Item = &Input> {
        self.expression.inputs().iter().filter(|input| input.sensor.is_none())
    }

    /// Whether it is on or off: a condition, or a field alone that is so.
    fn is_state(&self, sensor: &SensorDescriptor) -> bool {
        let alone = |input: &&Input| input.to_string() == self.settings.expression.trim();
        let Some(Input { sensor: other, field }) = self.expression.inputs().iter().find(alone) else {
            return self.expression.is_condition();
        };
        let state = |sensor: &SensorDescriptor| {
            sensor.fields.get(field).is_some_and(|field| field.kind == FieldKind::State)
        };
        match other {
            None => state(sensor),
            Some(other) => self.ctx.directory().sensor(other).is_some_and(state),
        }
    }

    /// The field, and which fields of the reading itself it was made of.
    fn derived(&self, draft: &Draft) -> (Sample, Vec<Name>) {
        // A choice between two looks at one of them.
        let used = RefCell::new(Vec::new());
        let value = self.expression.eval(&|input| match self.find(input, draft) {
            Found::Value(value, quality) => {
                used.borrow_mut().push((input.clone(), quality));
                Some(value)
            }
            Found::Nothing | Found::TooOld => None,
        });
        let used = used.into_inner();
        let mut sample = Sample {
            field: self.settings.field.to_string().into(),
            value: Err("needs an input".into()),
            quality: used.iter().map(|(_, quality)| *quality).fold(Quality::Estimated, worse),
        };
        match value {
            Ok(value) => sample.set(value),
            Err(EvalError::Missing(input)) if matches!(self.find(&input, draft), Found::TooOld) => {
                sample.value = Err(format!("{input} is too old").into());
            }
            Err(error) => sample.value = Err(error.to_string().into()),
        }
        let own = used.into_iter().filter(|(input, _)| input.sensor.is_none());
        (sample, own.map(|(input, _)| input.field).collect())
    }

    fn find(&self, input: &Input, draft: &Draft) -> Found {
        let Some(sensor) = &input.sensor else { return Found::of(&draft.frame, &input.field) };
        let Some(reading) = self.ctx.latest(sensor) else { return Found::Nothing };
        let age = Duration::from_millis(draft.taken.up_ms.saturating_sub(reading.taken.up_ms));
        let interval = || self.ctx.directory().sensors.get(sensor).and_then(|sensor| sensor.interval);
        match (Found::of(&reading.frame, &input.field), self.settings.max_age) {
            (_, Some(Every(most))) if age > most => Found::TooOld,
            (Found::Value(value, Quality::Ok | Quality::Estimated), None)
                if interval().is_some_and(|interval| age > interval * INTERVALS) =>
            {
                Found::Value(value, Quality::Stale)
            }
            (found, _) => found,
        }
    }
}

impl Found {
    fn of(frame: &Frame, field: &Name) -> Self {
        let sample = frame.samples.iter().find(|sample| sample.field == field.as_str());
        match sample.map(|sample| (&sample.value, sample.quality)) {
            Some((Ok(value), quality)) => Self::Value(value.clone(), quality),
            _ => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::testing::TestNode;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::processors::common::bench::{described, draft, frame, make, refused, run};

    const FIELDS: &[Field] =
        &[Field::new("temperature", Unit::Celsius), Field::new("humidity", Unit::Percent)];

    fn air(up_ms: u64) -> Draft {
        draft("x", up_ms, frame(&[("temperature", 25.0), ("humidity", 10.0)]))
    }

    /// A node on which `pi-kitchen`, read every ten seconds, said something at 100 s.
    fn house(said: Frame) -> TestNode {
        let node = TestNode::new();
        let id = Id::new("pi-kitchen").unwrap();
        let sensor =
            SensorDescriptor::new(id.clone(), "x", "1", "here", FIELDS).every(Duration::from_secs(10));
        node.context("pi-kitchen").announce(sensor);
        let taken = Taken { up_ms: 100_000, wall_ms: None };
        node.saw(Reading { sensor: id, boot: Boot(0), seq: 1, taken, frame: said, origin: None });
        node
    }

    fn difference(node: &TestNode, more: Json) -> Derive {
        let mut settings =
            json!({ "field": "difference", "expression": "temperature - pi-kitchen.temperature" });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Derive::new(serde_json::from_value(settings).unwrap(), &node.context("p")).unwrap()
    }

    #[test]
    fn a_field_is_added_to_reading_and_descriptor() {
        let mut it = make::<Derive>(json!({
            "field": "dew_point", "expression": "dew_point(temperature, humidity)",
            "unit": "°C", "class": "temperature", "precision": 1
        }));
        let after = run(&mut it, air(0));
        let sample = &after.samples[2];
        assert_eq!((sample.field.as_ref(), sample.quality), ("dew_point", Quality::Estimated));
        assert!((sample.number().unwrap() - -8.77).abs() < 0.005, "as Sensirion's note has it");
        let field = &described(&mut it, FIELDS).fields["dew_point"];
        assert_eq!((field.unit, field.ucum.as_str(), field.precision), (Unit::Celsius, "Cel", 1));
        assert_eq!((field.class.as_str(), field.kind), ("temperature", FieldKind::Measurement));
    }

    #[test]
    fn a_sensor_without_the_fields_is_left_alone() {
        let mut it = make::<Derive>(json!({ "field": "f", "expression": "temperature * humidity" }));
        let before = frame(&[("temperature", 1.0)]);
        assert_eq!(run(&mut it, draft("x", 0, before.clone())), before);
        assert_eq!(described(&mut it, &FIELDS[..1]).fields.len(), 1);
    }

    #[test]
    fn a_condition_is_on_or_off() {
        let mut it = make::<Derive>(json!({ "field": "damp", "expression": "humidity > 60" }));
        assert_eq!(run(&mut it, air(0)).get("damp"), Some(&Value::Bool(false)));
        assert_eq!(described(&mut it, FIELDS).fields["damp"].kind, FieldKind::State);
    }

    #[test]
    fn a_field_that_is_there_is_replaced() {
        let mut it = make::<Derive>(json!({ "field": "temperature", "expression": "temperature + 1" }));
        let after = run(&mut it, air(0));
        assert_eq!((after.samples.len(), after.get("temperature")), (2, Some(&Value::Number(26.0))));
    }

    #[test]
    fn the_newest_value_of_another_sensor_is_stale_after_three_of_its_intervals() {
        let node = house(frame(&[("temperature", 21.0)]));
        let mut it = difference(&node, json!({}));
        for (up_ms, quality) in
            [(100_000, Quality::Estimated), (130_000, Quality::Estimated), (130_001, Quality::Stale)]
        {
            let sample = run(&mut it, air(up_ms)).samples.remove(2);
            assert_eq!((sample.number(), sample.quality), (Some(4.0), quality), "{up_ms}");
        }
    }

    #[test]
    fn with_max_age_an_older_value_is_as_good_as_missing() {
        let node = house(frame(&[("temperature", 21.0)]));
        let mut it = difference(&node, json!({ "max_age": "10m" }));
        let sample = run(&mut it, air(700_000)).samples.remove(2);
        assert_eq!((sample.number(), sample.quality), (Some(4.0), Quality::Estimated));
        let sample = run(&mut it, air(700_001)).samples.remove(2);
        assert_eq!(sample.value, Err("pi-kitchen.temperature is too old".into()));
    }

    #[test]
    fn what_is_missing_is_said() {
        let reason =
            |node: &TestNode, reading| run(&mut difference(node, json!({})), reading).samples.remove(2).value;
        assert_eq!(reason(&TestNode::new(), air(0)), Err("needs pi-kitchen.temperature".into()));
        let mut gone = Frame::default();
        gone.missing("temperature", "crc");
        assert_eq!(reason(&house(gone.clone()), air(0)), Err("needs pi-kitchen.temperature".into()));
        gone.push("humidity", 1.0);
        let node = house(frame(&[("temperature", 21.0)]));
        assert_eq!(reason(&node, draft("x", 0, gone)), Err("needs temperature".into()));
        let mut it = make::<Derive>(json!({ "field": "f", "expression": "1 / (temperature - 25)" }));
        assert_eq!(run(&mut it, air(0)).samples[2].value, Err("not_finite".into()));
    }

    #[test]
    fn the_mark_of_an_input_is_the_mark_of_the_result() {
        let mut marked = frame(&[("temperature", 21.0)]);
        marked.samples[0].quality = Quality::Stuck;
        let sample = run(&mut difference(&house(marked), json!({})), air(999_000)).samples.remove(2);
        assert_eq!(sample.quality, Quality::Stuck);
    }

    #[test]
    fn a_mistake_is_told_with_its_column() {
        let text = refused::<Derive>(json!({ "field": "f", "expression": "2 * (a + b" }));
        assert!(text.starts_with("`expression`: expected `)` at column 11"), "{text}");
    }

    fn judged(it: &mut Derive, draft: Draft) -> Frame {
        match it.judge(&draft).unwrap() {
            Step::Pass => draft.frame,
            Step::Replace(next) => next.frame,
            Step::Veto(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn the_worst_mark_of_the_inputs_counts() {
        let mut it = make::<Derive>(json!({ "field": "f", "expression": "temperature * humidity" }));
        let mut reading = air(0);
        reading.frame.samples[0].quality = Quality::Stale;
        reading.frame.samples[1].quality = Quality::OutOfRange;
        assert_eq!(run(&mut it, reading).samples[2].quality, Quality::OutOfRange);
    }

    #[test]
    fn a_mark_that_is_set_later_counts_and_one_of_an_input_that_was_not_used_does_not() {
        let mut it =
            make::<Derive>(json!({ "field": "f", "expression": "if(humidity > 5, humidity, temperature)" }));
        let processed = run(&mut it, air(0));
        let marked = |at: usize| {
            let mut frame = processed.clone();
            frame.samples[at].quality = Quality::Rejected;
            draft("x", 0, frame)
        };
        assert_eq!(judged(&mut it, marked(0)).samples[2].quality, Quality::Estimated);
        assert_eq!(judged(&mut it, marked(1)).samples[2].quality, Quality::Rejected);
        assert_eq!(judged(&mut it, marked(2)).samples[2].quality, Quality::Rejected, "its own stays");
        it.forget(&air(0).sensor);
        assert_eq!(judged(&mut it, marked(1)).samples[2].quality, Quality::Estimated, "made by nobody known");
    }

    #[test]
    fn a_switch_that_is_passed_on_is_a_state() {
        const SWITCH: &[Field] =
            &[Field::new("on", Unit::None).kind(FieldKind::State), Field::new("v", Unit::Volt)];
        let kind = |expression: &str| {
            let mut it = make::<Derive>(json!({ "field": "f", "expression": expression }));
            described(&mut it, SWITCH).fields["f"].kind
        };
        assert_eq!(
            (kind(" on"), kind("not on"), kind("v > 1")),
            (FieldKind::State, FieldKind::State, FieldKind::State)
        );
        assert_eq!((kind("v"), kind("v + 1")), (FieldKind::Measurement, FieldKind::Measurement));
    }
}
