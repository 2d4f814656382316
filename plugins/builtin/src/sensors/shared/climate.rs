//! The air around a sensor: what sensors of it are set to, and what a simulated one measures.

use std::time::Duration;

use sedge_plugin::prelude::*;
use sedge_plugin::sim::Curve;

/// Settings of a sensor of temperature and humidity.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Added to every temperature, to correct for warmth from the board. °C, at most 20 up or down. The humidity stays that
    /// of the warm sensor.
    #[serde(default)]
    offset: f32,
}

impl Settings {
    /// The offset in °C.
    pub(crate) fn offset(&self) -> Result<f32, SensorError> {
        within("offset", self.offset, -20.0, 20.0)
    }
}

/// Settings of a gas sensor: the air that its chip computes for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Air {
    /// The usual temperature where it is. °C, -10 to 50.
    #[serde(default = "usual_temperature")]
    temperature: f32,
    /// The usual relative humidity where it is. %, 0 to 100.
    #[serde(default = "usual_humidity")]
    humidity: f32,
}

fn usual_temperature() -> f32 {
    25.0
}

fn usual_humidity() -> f32 {
    50.0
}

impl Air {
    /// The temperature in °C and the humidity in %.
    pub(crate) fn checked(&self) -> Result<(f32, f32), SensorError> {
        let temperature = within("temperature", self.temperature, -10.0, 50.0)?;
        Ok((temperature, within("humidity", self.humidity, 0.0, 100.0)?))
    }
}

/// A setting that is refused outside of its range.
pub(crate) fn within(name: &str, value: f32, min: f32, max: f32) -> Result<f32, SensorError> {
    match (min..=max).contains(&value) {
        true => Ok(value),
        false => Err(SensorError::Settings(format!("`{name}` is {min} to {max}, not {value}").into())),
    }
}

/// A simulated room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    warmth: Curve,
    damp: Curve,
}

impl Room {
    /// One seed, one room.
    pub(crate) fn new(seed: u64) -> Self {
        Self { warmth: Curve::new(seed, 21.0, 3.0), damp: Curve::new(seed ^ 0x1000, 45.0, 15.0) }
    }

    /// °C.
    pub(crate) fn celsius(&self, now: Duration) -> f64 {
        self.warmth.at(now)
    }

    /// Relative humidity in %.
    pub(crate) fn percent(&self, now: Duration) -> f64 {
        self.damp.at(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_its_range_is_refused_and_infinity_too() {
        assert_eq!(within("offset", -20.0, -20.0, 20.0), Ok(-20.0));
        for value in [20.1, f32::INFINITY, f32::NAN] {
            assert!(matches!(within("offset", value, -20.0, 20.0), Err(SensorError::Settings(_))), "{value}");
        }
    }
}
