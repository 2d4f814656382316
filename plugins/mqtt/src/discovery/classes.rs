//! Which device class and state class a field has: the one place that knows Home Assistant's words for them.
//!
//! Home Assistant drops an entity whose class does not take its unit, so a class goes rather than the entity. The test
//! compares the table with Home Assistant's own.

use sedge_plugin::Unit;
use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::field::FieldKind;

/// How the values of a class may behave over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum States {
    Measurement,
    /// Only grows.
    Total,
    /// Either.
    Any,
    /// Goes round.
    Angle,
}

use States::{Angle, Any, Measurement, Total};

const TEMPERATURES: &[Unit] = &[Unit::Celsius, Unit::Fahrenheit, Unit::Kelvin];
const PRESSURES: &[Unit] = &[
    Unit::Hectopascal,
    Unit::Pascal,
    Unit::Kilopascal,
    Unit::Bar,
    Unit::MillimetreOfMercury,
    Unit::PoundPerSquareInch,
];
const LENGTHS: &[Unit] = &[Unit::Metre, Unit::Millimetre, Unit::Centimetre, Unit::Inch, Unit::Foot];
const DEPTHS: &[Unit] = &[Unit::Millimetre, Unit::Centimetre, Unit::Inch];
const SPEEDS: &[Unit] = &[Unit::MetrePerSecond, Unit::KilometrePerHour, Unit::Knot];
const VOLUMES: &[Unit] = &[Unit::Litre, Unit::CubicMetre];
const ENERGIES: &[Unit] = &[Unit::WattHour, Unit::KilowattHour];
const PARTS: &[Unit] = &[Unit::PartsPerMillion, Unit::PartsPerBillion];

/// The classes that fields of ours can have, with those of our units that they take.
const CLASSES: &[(&str, &[Unit], States)] = &[
    ("temperature", TEMPERATURES, Measurement),
    ("humidity", &[Unit::Percent], Measurement),
    ("moisture", &[Unit::Percent], Measurement),
    ("battery", &[Unit::Percent], Measurement),
    ("atmospheric_pressure", PRESSURES, Measurement),
    ("pressure", PRESSURES, Measurement),
    ("carbon_dioxide", &[Unit::PartsPerMillion], Measurement),
    ("volatile_organic_compounds_parts", PARTS, Measurement),
    ("volatile_organic_compounds", &[Unit::MicrogramPerCubicMetre], Measurement),
    ("pm1", &[Unit::MicrogramPerCubicMetre], Measurement),
    ("pm25", &[Unit::MicrogramPerCubicMetre], Measurement),
    ("pm10", &[Unit::MicrogramPerCubicMetre], Measurement),
    ("aqi", &[Unit::None], Measurement),
    ("voltage", &[Unit::Volt], Measurement),
    ("current", &[Unit::Ampere], Measurement),
    ("power", &[Unit::Watt], Measurement),
    ("energy", ENERGIES, Total),
    ("illuminance", &[Unit::Lux], Measurement),
    ("distance", LENGTHS, Any),
    ("precipitation", DEPTHS, Any),
    ("speed", SPEEDS, Measurement),
    ("wind_speed", SPEEDS, Measurement),
    ("wind_direction", &[Unit::Degree], Angle),
    ("frequency", &[Unit::Hertz], Measurement),
    ("signal_strength", &[Unit::DecibelMilliwatt], Measurement),
    ("data_size", &[Unit::Byte, Unit::Mebibyte], Any),
    ("data_rate", &[Unit::BytePerSecond], Measurement),
    ("duration", &[Unit::Second], Any),
    ("volume", VOLUMES, Total),
    ("water", VOLUMES, Total),
    ("gas", VOLUMES, Total),
    ("volume_flow_rate", &[Unit::LitrePerMinute], Measurement),
];

/// What the words of a field's name say about it, and the unit that it must have.
const WORDS: &[(&str, &str)] = &[
    ("humidity", "humidity"),
    ("moisture", "moisture"),
    ("soil", "moisture"),
    ("battery", "battery"),
    ("co2", "carbon_dioxide"),
    ("eco2", "carbon_dioxide"),
    ("voc", "volatile_organic_compounds_parts"),
    ("tvoc", "volatile_organic_compounds_parts"),
    ("voc", "aqi"),
    ("aqi", "aqi"),
    ("pm1", "pm1"),
    ("pm25", "pm25"),
    ("pm10", "pm10"),
    ("distance", "distance"),
    ("rain", "precipitation"),
    ("precipitation", "precipitation"),
    ("wind", "wind_speed"),
    ("wind", "wind_direction"),
];

/// Units that say by themselves what is measured.
const UNITS: &[&str] = &[
    "temperature",
    "pressure",
    "voltage",
    "current",
    "power",
    "energy",
    "illuminance",
    "speed",
    "frequency",
    "signal_strength",
    "data_size",
    "data_rate",
    "duration",
    "volume_flow_rate",
];

/// What the words of the name of something that is on or off say about it: on is what the class calls so.
const CONTACTS: &[(&str, &str)] = &[
    ("motion", "motion"),
    ("pir", "motion"),
    ("moving", "moving"),
    ("occupancy", "occupancy"),
    ("occupied", "occupancy"),
    ("presence", "presence"),
    ("door", "door"),
    ("window", "window"),
    ("garage", "garage_door"),
    ("open", "opening"),
    ("leak", "moisture"),
    ("flood", "moisture"),
    ("wet", "moisture"),
    ("smoke", "smoke"),
    ("vibration", "vibration"),
    ("tamper", "tamper"),
    ("connected", "connectivity"),
    ("charging", "battery_charging"),
    ("running", "running"),
    ("plugged", "plug"),
    ("problem", "problem"),
    ("fault", "problem"),
    ("alarm", "problem"),
    ("stopped", "problem"),
    ("throttled", "problem"),
    ("undervoltage", "problem"),
    ("under", "problem"),
];

/// The device class and the state class of a number.
pub(super) fn number(name: &str, field: &FieldDescriptor) -> (Option<&'static str>, Option<&'static str>) {
    let takes = |class: &str| CLASSES.iter().find(|row| row.0 == class && row.1.contains(&field.unit));
    let row = match field.class.as_str() {
        "" => named(WORDS, name).find_map(takes).or_else(|| UNITS.iter().find_map(|class| takes(class))),
        class => takes(class),
    };
    let grows = field.kind == FieldKind::TotalIncreasing;
    let state = match row.map(|row| (row.0, row.2)) {
        // A time since something began is no total that one would want the sum of.
        Some(("duration", _)) => Some("measurement"),
        Some((_, Angle)) => Some("measurement_angle"),
        None | Some((_, Any)) => Some(if grows { "total_increasing" } else { "measurement" }),
        Some((_, Measurement)) => (!grows).then_some("measurement"),
        Some((_, Total)) => grows.then_some("total_increasing"),
    };
    (row.map(|row| row.0), state)
}

/// The device class of something that is on or off.
pub(super) fn contact(name: &str, field: &FieldDescriptor) -> Option<&'static str> {
    let declared = CONTACTS.iter().find(|row| row.1 == field.class).map(|row| row.1);
    declared.or_else(|| named(CONTACTS, name).next())
}

/// The classes of the words that stand in a name, in the order of the table.
fn named(table: &'static [(&str, &str)], name: &str) -> impl Iterator<Item = &'static str> {
    table.iter().filter(move |row| name.split('_').any(|word| word == row.0)).map(|row| row.1)
}

#[cfg(test)]
mod tests {
    use sedge_plugin::Field;
    use serde_json::Value as Json;

    use super::*;

    /// `sensor/const.py` of Home Assistant, as `deploy/home-assistant/check.py --classes` writes it.
    const HOME_ASSISTANT: &str = include_str!("../../tests/fixtures/home-assistant.json");

    fn of(name: &'static str, unit: Unit) -> (Option<&'static str>, Option<&'static str>) {
        number(name, &FieldDescriptor::from(&Field::new(name, unit)))
    }

    #[test]
    fn every_pair_of_the_table_is_one_of_home_assistants() {
        let theirs: Json = serde_json::from_str(HOME_ASSISTANT).unwrap();
        let has = |list: &Json, word: &str| list.as_array().unwrap().iter().any(|one| one == word);
        for (class, units, states) in CLASSES {
            let theirs = &theirs["sensor"][class];
            for unit in *units {
                let symbol = match *unit {
                    Unit::None => "None".into(),
                    // It reads the micro sign, and calls the Greek letter its own.
                    unit => unit.symbol().replace('\u{b5}', "\u{3bc}"),
                };
                assert!(has(&theirs["units"], &symbol), "{class} in {symbol}: {theirs}");
            }
            let states: &[&str] = match states {
                Measurement => &["measurement"],
                Total => &["total_increasing"],
                Any => &["measurement", "total_increasing"],
                Angle => &["measurement_angle"],
            };
            assert!(states.iter().all(|state| has(&theirs["state_classes"], state)), "{class}: {theirs}");
        }
        for (_, class) in CONTACTS {
            assert!(has(&theirs["binary_sensor"], class), "{class}");
        }
        for class in WORDS.iter().map(|row| row.1).chain(UNITS.iter().copied()) {
            assert!(CLASSES.iter().any(|row| row.0 == class), "{class} has a row");
        }
    }

    #[test]
    fn a_class_that_does_not_take_the_unit_is_left_out() {
        for (class, unit) in
            [("illuminance", Unit::Percent), ("carbon_dioxide", Unit::Percent), ("nonsense", Unit::Volt)]
        {
            let field =
                FieldDescriptor { class: class.into(), ..FieldDescriptor::from(&Field::new("x", unit)) };
            assert_eq!(number("x", &field), (None, Some("measurement")), "{class}");
        }
    }

    #[test]
    fn what_is_not_declared_is_known_by_its_unit_and_its_name() {
        assert_eq!(of("pipe", Unit::Celsius).0, Some("temperature"));
        assert_eq!(of("soil", Unit::Percent).0, Some("moisture"));
        assert_eq!(of("voc_index", Unit::None).0, Some("aqi"));
        assert_eq!(of("wind", Unit::Degree), (Some("wind_direction"), Some("measurement_angle")));
        for (name, unit) in [("cpu_usage", Unit::Percent), ("load_1", Unit::None), ("level", Unit::Metre)] {
            assert_eq!(of(name, unit), (None, Some("measurement")), "{name}");
        }
    }

    #[test]
    fn a_total_is_one_that_grows() {
        let energy = Field::new("total", Unit::KilowattHour);
        let state = |field: Field| number("total", &FieldDescriptor::from(&field));
        assert_eq!(state(energy), (Some("energy"), None), "never a measurement");
        let grows = |field: Field| state(field.kind(FieldKind::TotalIncreasing));
        assert_eq!(grows(energy), (Some("energy"), Some("total_increasing")));
        assert_eq!(grows(Field::new("total", Unit::None)), (None, Some("total_increasing")));
        assert_eq!(grows(Field::new("total", Unit::Second)), (Some("duration"), Some("measurement")));
    }

    #[test]
    fn a_contact_has_a_class_where_its_name_says_so() {
        let class = |name| contact(name, &FieldDescriptor::from(&Field::new("x", Unit::None)));
        assert_eq!(
            ["on", "door_open", "stopped", "motion", "p3"].map(class),
            [None, Some("door"), Some("problem"), Some("motion"), None]
        );
    }
}
