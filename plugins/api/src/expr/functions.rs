//! The functions of an expression. One is added by a row here and a word in the table of the module.

use std::fmt;

/// A function of numbers.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// How many values it takes, at least and at most.
    pub(super) takes: (usize, usize),
    pub(super) apply: fn(&[f64]) -> f64,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn row(name: &'static str, takes: (usize, usize), apply: fn(&[f64]) -> f64) -> Function {
    Function { name, takes, apply }
}

/// More values than an expression has room for.
pub(super) const MANY: usize = super::MAX_LENGTH;

pub(super) static FUNCTIONS: &[Function] = &[
    row("abs", (1, 1), |x| x[0].abs()),
    row("absolute_humidity", (2, 2), |x| absolute_humidity(x[0], x[1])),
    row("clamp", (3, 3), |x| x[0].max(x[1]).min(x[2])),
    row("dew_point", (2, 2), |x| dew_point(x[0], x[1])),
    row("exp", (1, 1), |x| x[0].exp()),
    row("ln", (1, 1), |x| x[0].ln()),
    row("log10", (1, 1), |x| x[0].log10()),
    row("max", (1, MANY), |x| x.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
    row("min", (1, MANY), |x| x.iter().copied().fold(f64::INFINITY, f64::min)),
    row("pow", (2, 2), |x| x[0].powf(x[1])),
    row("round", (1, 2), |x| {
        let scale = 10_f64.powf(x.get(1).copied().unwrap_or(0.0).round());
        (x[0] * scale).round() / scale
    }),
    row("sqrt", (1, 1), |x| x[0].sqrt()),
];

/// Magnus' parameters over water, -45 to 60 °C (Sonntag 1990): no unit, °C, hPa.
const BETA: f64 = 17.62;
const LAMBDA: f64 = 243.12;
const ALPHA: f64 = 6.112;

/// °C, of °C and % relative humidity.
fn dew_point(temperature: f64, humidity: f64) -> f64 {
    let gamma = (humidity / 100.0).ln() + BETA * temperature / (LAMBDA + temperature);
    LAMBDA * gamma / (BETA - gamma)
}

/// g/m³, of °C and % relative humidity: water vapour as an ideal gas, 216.7 g·K/J being its molar mass by the gas
/// constant.
fn absolute_humidity(temperature: f64, humidity: f64) -> f64 {
    let pressure = humidity / 100.0 * ALPHA * (BETA * temperature / (LAMBDA + temperature)).exp();
    216.7 * pressure / (273.15 + temperature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dew_point_is_as_sensirions_note_has_it() {
        // Sensirion, SHTxx application note "Dew-point calculation", section 2.
        assert!((dew_point(25.0, 10.0) - -8.77).abs() < 0.005);
        assert!((dew_point(50.0, 90.0) - 47.90).abs() < 0.005);
        for temperature in [-30.0, 0.0, 21.5, 60.0] {
            assert!(
                (dew_point(temperature, 100.0) - temperature).abs() < 1e-9,
                "saturated air is at its dew point"
            );
        }
    }

    #[test]
    fn the_absolute_humidity_of_saturated_air_is_as_the_table_has_it() {
        // Water content of saturated air, mg/L.
        for (temperature, content) in
            [(19.0, 16.3), (20.0, 17.3), (25.0, 23.0), (30.0, 30.4), (37.0, 43.9), (40.0, 51.1)]
        {
            let computed = absolute_humidity(temperature, 100.0);
            assert!((computed / content - 1.0).abs() < 0.005, "{temperature} °C: {computed}");
        }
    }

    #[test]
    fn every_function_is_in_the_modules_table_and_stands_once() {
        let docs = include_str!("mod.rs");
        for function in FUNCTIONS {
            assert!(docs.contains(&format!("`{}(", function.name)), "{}", function.name);
        }
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
    }
}
