//! What port expanders share: which pins are driven, at which level each is on, and how one is switched.
//!
//! ```toml
//! outputs = [0, 1]    # the others are read
//! active_low = true   # most relay boards switch on at the low level
//! safe = false        # off when the node starts, stops and fails
//! ```
//!
//! It knows no chip, and speaks to none.

use sedge_plugin::prelude::*;
use serde_json::Value as Json;

/// The arguments of `set`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetPin {
    /// The pin, counted from 0.
    pub(crate) pin: u8,
    /// Whether it is switched on.
    pub(crate) on: bool,
}

/// The operation of each of them.
pub(crate) const SET: Operation =
    Operation::new::<SetPin>("set", "Switch a pin", "Switches one of the pins that are driven on or off.")
        .refined(driven);

/// Says in the schema which pins are driven, and which field tells how each stands.
fn driven(settings: &Json, schema: &mut Json) {
    let outputs = settings.get("outputs").and_then(Json::as_array).into_iter().flatten();
    let states = outputs.filter_map(Json::as_u64).map(|pin| (pin.to_string(), Json::from(format!("p{pin}"))));
    if let Some(pin) = schema.pointer_mut("/properties/pin").and_then(Json::as_object_mut) {
        pin.insert("x-states".into(), Json::Object(states.collect()));
    }
}

/// The pins that are driven. Bit 0 is pin 0; a bit that is set is the high level.
pub(crate) struct Outputs {
    /// Which pins those are.
    pub(crate) mask: u16,
    /// The level of each. Zero for pins that are not driven.
    pub(crate) levels: u16,
    /// The levels when nobody is there to ask for others.
    pub(crate) safe: u16,
    active_low: bool,
}

impl Outputs {
    /// All at their safe level.
    pub(crate) fn new(count: u8, pins: &[u8], active_low: bool, safe: bool) -> Result<Self, SensorError> {
        let mask = mask("outputs", count, pins)?;
        let safe = if safe != active_low { mask } else { 0 };
        Ok(Self { mask, levels: safe, safe, active_low })
    }

    /// What `set` asks for, and the levels that the outputs have with it.
    pub(crate) fn set(&self, args: &Json) -> Result<(SetPin, u16), SensorError> {
        let wanted =
            SetPin::deserialize(args).map_err(|error| SensorError::Settings(error.to_string().into()))?;
        let bit = 1_u16.checked_shl(wanted.pin.into()).unwrap_or_default();
        if self.mask & bit == 0 {
            let outputs: Vec<u8> = (0..16).filter(|pin| self.mask >> pin & 1 != 0).collect();
            let text = format!("pin {} is not driven; `outputs` are {outputs:?}", wanted.pin);
            return Err(SensorError::Settings(text.into()));
        }
        let high = wanted.on != self.active_low;
        let levels = if high { self.levels | bit } else { self.levels & !bit };
        Ok((wanted, levels))
    }

    /// Adds every pin: an output as on or off, another as high or low.
    pub(crate) fn push(&self, frame: &mut Frame, fields: &[Field], levels: u16) {
        let inverted = if self.active_low { self.mask } else { 0 };
        for (pin, field) in fields.iter().enumerate() {
            frame.push(field.name, (levels ^ inverted) >> pin & 1 != 0);
        }
    }
}

/// The bits of some pins.
pub(crate) fn mask(key: &str, count: u8, pins: &[u8]) -> Result<u16, SensorError> {
    if let Some(pin) = pins.iter().find(|pin| **pin >= count) {
        let text = format!("`{key}`: the chip has the pins 0 to {}, not {pin}", count.saturating_sub(1));
        return Err(SensorError::Settings(text.into()));
    }
    Ok(pins.iter().fold(0, |mask, pin| mask | 1 << pin))
}

/// A pin does not have the level that it was given.
pub(crate) fn held(pin: u8) -> SensorError {
    SensorError::Garbage(format!("pin {pin} does not follow (held by what is wired to it?)").into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn on_is_the_level_that_the_settings_say() {
        let on_and_off = |active_low| {
            let outputs = Outputs::new(8, &[0, 3], active_low, false).unwrap();
            let levels = |on| outputs.set(&json!({ "pin": 3, "on": on })).unwrap().1;
            (outputs.safe, levels(true), levels(false))
        };
        assert_eq!(on_and_off(false), (0, 0b1000, 0));
        assert_eq!(on_and_off(true), (0b1001, 0b0001, 0b1001));
        assert_eq!(Outputs::new(8, &[0, 3], true, true).unwrap().safe, 0);
    }

    #[test]
    fn the_schema_says_which_pins_are_driven() {
        let mut schema = (SET.input)();
        SET.refine.unwrap()(&json!({ "outputs": [0, 12] }), &mut schema);
        assert_eq!(schema["properties"]["pin"]["x-states"], json!({ "0": "p0", "12": "p12" }));
        assert!(sedge_plugin::schema::Schema::compile(&schema).is_ok());
    }

    #[test]
    fn a_pin_that_is_not_there_or_not_driven_is_refused() {
        assert!(matches!(Outputs::new(8, &[8], false, false), Err(SensorError::Settings(_))));
        let outputs = Outputs::new(16, &[15], false, false).unwrap();
        for pin in [0, 16, 255] {
            let error = outputs.set(&json!({ "pin": pin, "on": true })).err();
            assert!(
                matches!(&error, Some(SensorError::Settings(text)) if text.contains("[15]")),
                "{error:?}"
            );
        }
        assert!(matches!(outputs.set(&json!({ "pin": 15 })), Err(SensorError::Settings(_))));
    }
}
