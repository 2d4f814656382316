//! A temperature that the kernel measures itself: the processor, an NVMe disk, a chip on the board.
//!
//! Kernel: `/sys/class/hwmon`, where each device has a `name` and files such as `temp1_input`.

use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, Folder};

/// Settings of a `kind = "hwmon"` sensor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Which of the device's temperatures: `temp1`, `temp2` and so on.
    input: String,
    /// Added to every reading. °C.
    offset: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { input: "temp1".into(), offset: 0.0 }
    }
}

/// A device of `/sys/class/hwmon`.
pub struct Hwmon {
    device: FileDevice,
    offset: f64,
    value: String,
    /// Where the device tells a broken sensor, if it does.
    fault: Option<String>,
}

impl Sensor for Hwmon {
    const KIND: &'static str = "hwmon";
    const TITLE: &'static str = "Temperature that the kernel measures (hwmon)";
    const SYSFS: Option<Sysfs> = Some(Sysfs { bus: "hwmon", names: &[] });
    const FIELDS: &'static [Field] = &[Field::new("temperature", Unit::Celsius).class("temperature")];
    type Device = FileDevice;
    type Config = Settings;

    fn open(mut device: FileDevice, settings: Settings) -> Result<Self, SensorError> {
        let Settings { input, offset } = settings;
        let number = input.strip_prefix("temp").unwrap_or_default();
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SensorError::Settings(format!("`input` is temp1, temp2 …, not `{input}`").into()));
        }
        let (value, fault) = (format!("{input}_input"), format!("{input}_fault"));
        let names = device.names()?;
        if !names.contains(&value) {
            let others = names.iter().filter_map(|name| name.strip_suffix("_input"));
            let others: Vec<&str> = others.filter(|name| name.starts_with("temp")).collect();
            let text = format!("the device has no `{input}`; it has: {}", others.join(", "));
            return Err(BusError::Absent(text.into()).into());
        }
        let fault = names.contains(&fault).then_some(fault);
        Ok(Self { device, offset, value, fault })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        if let Some(file) = &self.fault
            && self.device.number(file)? != 0.0
        {
            frame.missing("temperature", "fault");
            return Ok(());
        }
        frame.push("temperature", self.device.number(&self.value)? / 1000.0 + self.offset);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn FileModel> {
        let chip = Curve::new(seed, 52.0, 9.0);
        Box::new(Folder::live(move |files, now| {
            files.insert("name".into(), "cpu_thermal".into());
            files.insert("temp1_input".into(), format!("{:.0}", chip.at(now) * 1000.0));
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(files: &[(&str, &str)], input: &str) -> Result<Frame, SensorError> {
        let settings = Settings { input: input.into(), ..Settings::default() };
        let mut frame = Frame::default();
        Hwmon::open(FileDevice::new("hwmon0", Folder::new(files)), settings)?.read(&mut frame)?;
        Ok(frame)
    }

    #[test]
    fn the_temperature_that_was_asked_for_is_read() {
        let files = [("temp1_input", "52077"), ("temp2_input", "-1500"), ("temp2_fault", "0")];
        assert_eq!(read(&files, "temp1").unwrap().get("temperature"), Some(&Value::Number(52.077)));
        assert_eq!(read(&files, "temp2").unwrap().get("temperature"), Some(&Value::Number(-1.5)));
    }

    #[test]
    fn one_that_is_not_there_is_refused_with_those_that_are() {
        let files = [("in0_input", "1"), ("temp1_input", "52077")];
        let error = read(&files, "temp3").err();
        let text = "the device has no `temp3`; it has: temp1";
        assert_eq!(error, Some(BusError::Absent(text.into()).into()), "it may come back");
        for input in ["in0", "temp", "../temp1", "temp1/x"] {
            assert!(matches!(read(&files, input), Err(SensorError::Settings(_))), "{input}");
        }
    }

    #[test]
    fn a_broken_sensor_is_missing_with_its_reason() {
        let frame = read(&[("temp1_input", "127000"), ("temp1_fault", "1")], "temp1").unwrap();
        assert_eq!(frame.samples[0].value, Err("fault".into()));
    }

    #[test]
    fn a_simulated_reading_is_that_of_the_curve() {
        let text = Hwmon::simulate(5).read("temp1_input", Duration::ZERO).unwrap();
        let frame = read(&[("temp1_input", &text)], "temp1").unwrap();
        let expected = Curve::new(5, 52.0, 9.0).at(Duration::ZERO);
        assert!((frame.samples[0].number().unwrap() - expected).abs() < 0.001, "{frame:?}");
    }
}
