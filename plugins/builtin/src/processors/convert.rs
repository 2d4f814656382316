//! Converts a field to another unit; unit, range and decimals of its descriptor follow.
//!
//! ```toml
//! kind = "convert"
//! field = "temperature"
//! to = "°F"
//! ```
//!
//! The unit that a field has is known from its sensor. Without `field` every field is converted that can be. A sensor
//! without the field is left alone, and so is a field that cannot be converted: then the processor is degraded and says
//! what is possible, until the sensor is gone or another one. Expressions such as `dew_point` want °C: let [`derive`](super::derive) come before.

use std::collections::BTreeMap;

use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::prelude::*;

use super::common::{Fields, MAX_SENSORS, change, is_number, precision, round, wrong};

/// Settings of a `kind = "convert"` processor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which field, or fields. All that can be converted, unless given.
    #[serde(default)]
    field: Fields,
    /// The unit that they get.
    to: Unit,
}

/// A unit of a dimension: `value × scale + offset` is the value in the dimension's first unit.
struct Row(&'static str, Unit, f64, f64);

const TABLE: &[Row] = &[
    Row("temperature", Unit::Kelvin, 1.0, 0.0),
    Row("temperature", Unit::Celsius, 1.0, 273.15),
    Row("temperature", Unit::Fahrenheit, 5.0 / 9.0, 459.67 * 5.0 / 9.0),
    Row("pressure", Unit::Pascal, 1.0, 0.0),
    Row("pressure", Unit::Hectopascal, 100.0, 0.0),
    Row("pressure", Unit::Kilopascal, 1000.0, 0.0),
    Row("pressure", Unit::Bar, 100_000.0, 0.0),
    Row("pressure", Unit::MillimetreOfMercury, 133.322_387_415, 0.0),
    Row("pressure", Unit::PoundPerSquareInch, 6_894.757_293_168, 0.0),
    Row("speed", Unit::MetrePerSecond, 1.0, 0.0),
    Row("speed", Unit::KilometrePerHour, 1.0 / 3.6, 0.0),
    Row("speed", Unit::Knot, 1852.0 / 3600.0, 0.0),
    Row("length", Unit::Metre, 1.0, 0.0),
    Row("length", Unit::Centimetre, 0.01, 0.0),
    Row("length", Unit::Millimetre, 0.001, 0.0),
    Row("length", Unit::Inch, 0.0254, 0.0),
    Row("length", Unit::Foot, 0.3048, 0.0),
    Row("density", Unit::GramPerCubicMetre, 1.0, 0.0),
    Row("density", Unit::MicrogramPerCubicMetre, 1e-6, 0.0),
    Row("share", Unit::PartsPerMillion, 1.0, 0.0),
    Row("share", Unit::PartsPerBillion, 1e-3, 0.0),
    Row("size", Unit::Byte, 1.0, 0.0),
    Row("size", Unit::Mebibyte, 1_048_576.0, 0.0),
];

fn row(unit: Unit) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.1 == unit)
}

/// The units that one can become.
fn possible(unit: Unit) -> String {
    let dimension = row(unit).map(|row| row.0);
    let others = TABLE.iter().filter(|row| dimension.is_none_or(|it| it == row.0) && row.1 != unit);
    others.map(|row| row.1.symbol()).collect::<Vec<_>>().join(", ")
}

/// From one unit to another: `value × factor + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Conversion {
    factor: f64,
    offset: f64,
}

impl Conversion {
    fn between(from: Unit, to: Unit) -> Option<Self> {
        let (from, to) = (row(from)?, row(to)?);
        let one_dimension = from.0 == to.0;
        one_dimension.then(|| Self { factor: from.2 / to.2, offset: (from.3 - to.3) / to.2 })
    }

    fn of(self, n: f64) -> f64 {
        n * self.factor + self.offset
    }
}

/// What is converted of a sensor.
struct Converted {
    fields: BTreeMap<Name, Conversion>,
    /// Its place is free. It is kept until another one needs it: that a sensor is gone may be heard when it is back and
    /// described, and then a value must not lose its unit.
    gone: bool,
}

/// Converts fields.
pub struct Convert {
    ctx: Context,
    settings: Settings,
    /// What is converted of which sensor. Has [`MAX_SENSORS`]; the fields of others are described as they are.
    sensors: BTreeMap<Id, Converted>,
    /// What is amiss, by sensor.
    amiss: BTreeMap<Id, String>,
}

impl Processor for Convert {
    const KIND: &'static str = "convert";
    const TITLE: &'static str = "Converts a field to another unit";
    type Config = Settings;

    fn new(settings: Settings, ctx: &Context) -> Result<Self, PluginError> {
        let to = settings.to;
        if row(to).is_none() {
            let text = format!("nothing can be converted to `{}`; possible: {}", to.symbol(), possible(to));
            return Err(wrong(text));
        }
        Ok(Self { ctx: ctx.clone(), settings, sensors: BTreeMap::new(), amiss: BTreeMap::new() })
    }

    fn describe(&mut self, sensor: &mut SensorDescriptor) {
        self.sensors.remove(&sensor.id);
        self.amiss.remove(&sensor.id);
        if self.sensors.len() >= MAX_SENSORS {
            self.sensors.retain(|_, converted| !converted.gone);
        }
        if self.sensors.len() < MAX_SENSORS {
            let fields = self.follow(sensor);
            self.sensors.insert(sensor.id.clone(), Converted { fields, gone: false });
        }
        self.ctx.degraded(self.amiss.values().next().cloned());
    }

    fn process(&mut self, draft: &Draft) -> Result<Step<Draft>, PluginError> {
        let Some(Converted { fields, .. }) = self.sensors.get(&draft.sensor) else { return Ok(Step::Pass) };
        Ok(change(draft, &self.settings.field, |sample| {
            match (fields.get(sample.field.as_ref()), sample.number()) {
                (Some(conversion), Some(n)) => {
                    sample.set(conversion.of(n));
                    true
                }
                _ => false,
            }
        }))
    }

    fn forget(&mut self, sensor: &Id) {
        if let Some(converted) = self.sensors.get_mut(sensor) {
            converted.gone = true;
        }
        if self.amiss.remove(sensor).is_some() {
            self.ctx.degraded(self.amiss.values().next().cloned());
        }
    }
}

impl Convert {
    /// Describes the fields anew, and says how each is converted.
    fn follow(&mut self, sensor: &mut SensorDescriptor) -> BTreeMap<Name, Conversion> {
        let Settings { field: chosen, to } = &self.settings;
        let mut conversions = BTreeMap::new();
        for (name, field) in sensor
            .fields
            .iter_mut()
            .filter(|(name, field)| chosen.has(name.as_str()) && is_number(field) && field.unit != *to)
        {
            match Conversion::between(field.unit, *to) {
                Some(conversion) => {
                    convert(field, conversion, *to);
                    conversions.insert(name.clone(), conversion);
                }
                None if *chosen != Fields::All => {
                    let (id, from) = (&sensor.id, field.unit);
                    let text = match (from.symbol(), row(from)) {
                        ("", _) => format!("`{name}` of `{id}` has no unit to convert"),
                        (from, None) => format!("`{name}` of `{id}` is in {from}, which cannot be converted"),
                        (symbol, Some(_)) => format!(
                            "`{name}` of `{id}` is in {symbol}, which cannot become {}; possible: {}",
                            to.symbol(),
                            possible(from)
                        ),
                    };
                    self.amiss.insert(id.clone(), text);
                }
                None => {}
            }
        }
        conversions
    }
}

fn convert(field: &mut FieldDescriptor, conversion: Conversion, to: Unit) {
    (field.unit, field.ucum) = (to, to.ucum().into());
    field.precision = precision(field.precision, conversion.factor);
    let end = |n| round(conversion.of(n), field.precision);
    (field.min, field.max) = (field.min.map(end), field.max.map(end));
    // The other classes of Home Assistant take every unit of their dimension.
    let class_takes_it = match field.class.as_str() {
        "precipitation" => matches!(to, Unit::Millimetre | Unit::Centimetre | Unit::Inch),
        "carbon_dioxide" => to == Unit::PartsPerMillion,
        "pm1" | "pm25" | "pm10" => to == Unit::MicrogramPerCubicMetre,
        _ => true,
    };
    if !class_takes_it {
        field.class.clear();
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::testing::TestNode;
    use serde_json::json;

    use super::*;
    use crate::processors::common::bench::{described, draft, frame, make, refused, run};

    const FIELDS: &[Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(-20.0, 85.0),
        Field::new("pressure", Unit::Hectopascal).class("atmospheric_pressure").range(300.0, 1100.0),
        Field::new("rain", Unit::Millimetre).class("precipitation"),
        Field::new("humidity", Unit::Percent),
    ];

    #[test]
    fn the_published_equivalents_are_met() {
        use Unit::*;
        // NIST Special Publication 811, appendix B; fixed points of temperature.
        for (value, from, expected, to) in [
            (100.0, Celsius, 212.0, Fahrenheit),
            (-40.0, Fahrenheit, -40.0, Celsius),
            (0.0, Kelvin, -459.67, Fahrenheit),
            (25.0, Celsius, 298.15, Kelvin),
            (1013.25, Hectopascal, 1.01325, Bar),
            (1013.25, Hectopascal, 101.325, Kilopascal),
            (1013.25, Hectopascal, 759.999_892, MillimetreOfMercury),
            (1.0, PoundPerSquareInch, 6_894.757, Pascal),
            (10.0, Knot, 5.144_444, MetrePerSecond),
            (36.0, KilometrePerHour, 10.0, MetrePerSecond),
            (1.0, Foot, 30.48, Centimetre),
            (1.0, Inch, 25.4, Millimetre),
            (0.4, PartsPerMillion, 400.0, PartsPerBillion),
            (2.0, Mebibyte, 2_097_152.0, Byte),
            (12.0, MicrogramPerCubicMetre, 1.2e-5, GramPerCubicMetre),
        ] {
            let converted = Conversion::between(from, to).unwrap().of(value);
            assert!(
                (converted - expected).abs() <= expected.abs() * 1e-6 + 1e-9,
                "{from:?} {to:?}: {converted}"
            );
            let back = Conversion::between(to, from).unwrap().of(converted);
            assert!((back - value).abs() < 1e-9, "{to:?} {from:?}: {back}");
        }
    }

    #[test]
    fn value_and_descriptor_follow_together() {
        let mut it = make::<Convert>(json!({ "field": "temperature", "to": "°F" }));
        let sensor = described(&mut it, FIELDS);
        let field = &sensor.fields["temperature"];
        assert_eq!((field.unit, field.ucum.as_str(), field.precision), (Unit::Fahrenheit, "[degF]", 2));
        assert_eq!(field.class, "temperature");
        let near = |n: Option<f64>, m: f64| (n.unwrap() - m).abs() < 1e-9;
        assert!(near(field.min, -4.0) && near(field.max, 185.0), "{field:?}");
        assert_eq!(sensor.fields["pressure"].unit, Unit::Hectopascal);
        let after = run(&mut it, draft("x", 0, frame(&[("temperature", 20.0), ("pressure", 1000.0)])));
        assert!(near(after.samples[0].number(), 68.0));
        assert_eq!(after.samples[1].number(), Some(1000.0));
    }

    #[test]
    fn the_decimals_keep_what_was_measured_and_the_class_stays_only_where_it_takes_the_unit() {
        let mut bar = make::<Convert>(json!({ "to": "bar" }));
        let sensor = described(&mut bar, FIELDS);
        assert_eq!((sensor.fields["pressure"].unit, sensor.fields["pressure"].precision), (Unit::Bar, 5));
        let class =
            |to| described(&mut make::<Convert>(json!({ "to": to })), FIELDS).fields["rain"].class.clone();
        assert_eq!((class("in").as_str(), class("m").as_str()), ("precipitation", ""));
    }

    #[test]
    fn a_sensor_that_is_not_described_or_has_no_such_field_is_left_alone() {
        let mut it = make::<Convert>(json!({ "field": "temperature", "to": "K" }));
        let before = frame(&[("temperature", 20.0)]);
        assert_eq!(
            run(&mut it, draft("x", 0, before.clone())),
            before,
            "described and converted go together"
        );
        described(&mut it, &FIELDS[1..]);
        assert_eq!(run(&mut it, draft("x", 0, before.clone())), before);
        described(&mut it, FIELDS);
        assert_ne!(run(&mut it, draft("x", 0, before.clone())), before);
    }

    #[test]
    fn a_sensor_too_many_keeps_value_and_descriptor_and_one_that_is_known_may_change() {
        let mut it = make::<Convert>(json!({ "to": "K" }));
        let unit = |it: &mut Convert, n: usize| {
            let id = Id::new(&format!("s{n}")).unwrap();
            let mut sensor = SensorDescriptor::new(id, "x", "1", "here", FIELDS);
            it.describe(&mut sensor);
            sensor.fields["temperature"].unit
        };
        (0..MAX_SENSORS).for_each(|n| assert_eq!(unit(&mut it, n), Unit::Kelvin));
        assert_eq!(unit(&mut it, MAX_SENSORS), Unit::Celsius);
        let before = frame(&[("temperature", 20.0)]);
        assert_eq!(run(&mut it, draft(&format!("s{MAX_SENSORS}"), 0, before.clone())), before);
        assert_eq!(unit(&mut it, 7), Unit::Kelvin, "again");
    }

    #[test]
    fn an_impossible_conversion_says_what_is_possible() {
        let text = refused::<Convert>(json!({ "to": "lx" }));
        assert!(text.contains("`lx`; possible: K, °C"), "{text}");

        let node = TestNode::new();
        let settings = serde_json::from_value(json!({ "field": "pressure", "to": "K" })).unwrap();
        let mut it = Convert::new(settings, &node.context("p")).unwrap();
        assert_eq!(described(&mut it, FIELDS).fields["pressure"].unit, Unit::Hectopascal);
        let text = node.degraded("p").unwrap();
        assert!(
            text.contains("is in hPa, which cannot become K; possible: Pa, kPa, bar, mmHg, psi"),
            "{text}"
        );
        described(&mut it, &FIELDS[..1]);
        assert_eq!(node.degraded("p"), None, "well again");
    }

    #[test]
    fn the_ends_of_a_range_have_no_more_decimals_than_the_values() {
        let range = |to, name: &str| {
            let field = described(&mut make::<Convert>(json!({ "field": name, "to": to })), FIELDS).fields
                [name]
                .clone();
            (field.min.unwrap(), field.max.unwrap())
        };
        assert_eq!(range("°F", "temperature"), (-4.0, 185.0));
        assert_eq!(range("mmHg", "pressure"), (225.02, 825.07));
        assert_eq!(range("psi", "pressure"), (4.3511, 15.9542));
    }

    #[test]
    fn the_place_of_a_sensor_that_is_gone_is_for_another_and_one_that_is_back_already_keeps_its_unit() {
        let mut it = make::<Convert>(json!({ "field": "temperature", "to": "K" }));
        let describe = |it: &mut Convert, n: usize| {
            let id = Id::new(&format!("s{n}")).unwrap();
            let mut sensor = SensorDescriptor::new(id, "x", "1", "here", FIELDS);
            it.describe(&mut sensor);
            sensor.fields["temperature"].unit
        };
        (0..MAX_SENSORS).for_each(|n| assert_eq!(describe(&mut it, n), Unit::Kelvin));
        let before = frame(&[("temperature", 20.0)]);
        it.forget(&Id::new("s7").unwrap());
        assert_ne!(run(&mut it, draft("s7", 0, before.clone())), before, "heard late");
        assert_eq!(describe(&mut it, MAX_SENSORS), Unit::Kelvin);
        assert_eq!(describe(&mut it, 7), Unit::Celsius);
    }
}
