//! Names for people, made of ids: `system-disk-root` and `used` are `System disk root used`.
//!
//! Home Assistant puts the device's name in front of every entity's: what the node's id says is not said again.

use sedge_plugin::Id;

/// Words that are not written as they are spoken of.
const WORDS: &[(&str, &str)] = &[
    ("adc", "ADC"),
    ("aqi", "AQI"),
    ("co2", "CO2"),
    ("cpu", "CPU"),
    ("eco2", "eCO2"),
    ("gpu", "GPU"),
    ("nox", "NOx"),
    ("pm1", "PM1"),
    ("pm25", "PM2.5"),
    ("pm4", "PM4"),
    ("pm10", "PM10"),
    ("rtc", "RTC"),
    ("rx", "RX"),
    ("tvoc", "TVOC"),
    ("tx", "TX"),
    ("usb", "USB"),
    ("voc", "VOC"),
];

/// The name of a part of something: of a sensor's field, of what a tool does. `on` says nothing.
pub(super) fn name(node: &Id, whole: &str, part: &str) -> String {
    let node: Vec<&str> = words(node.as_str()).collect();
    let mut said: Vec<&str> = words(whole).collect();
    if said.starts_with(&node) {
        said.drain(..node.len());
    }
    for word in words(part).filter(|word| *word != "on") {
        if said.last() != Some(&word) {
            said.push(word);
        }
    }
    if said.is_empty() {
        said.push("state");
    }
    let mut text = String::new();
    for word in said {
        let known = WORDS.iter().find(|row| row.0 == word).map(|row| row.1);
        match (known, text.is_empty()) {
            (known, false) => text.extend([" ", known.unwrap_or(word)]),
            (Some(known), true) => text.push_str(known),
            (None, true) => {
                let mut letters = word.chars();
                text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
                text.push_str(letters.as_str());
            }
        }
    }
    text
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(['-', '_']).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_everything_once() {
        let node = Id::new("pi-kitchen").unwrap();
        for (whole, part, expected) in [
            ("air", "temperature", "Air temperature"),
            ("system", "cpu_usage", "System CPU usage"),
            ("system-disk-root", "used", "System disk root used"),
            ("pi-kitchen-air", "co2", "Air CO2"),
            ("pi-kitchen", "eco2", "eCO2"),
            ("outside-temperature", "temperature", "Outside temperature"),
            ("front-door", "on", "Front door"),
            ("pi-kitchen", "on", "State"),
        ] {
            assert_eq!(name(&node, whole, part), expected);
        }
    }
}
