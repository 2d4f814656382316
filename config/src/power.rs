//! What switches the supply of a sensor: `power = "rail"`, a `[gpio.rail]` of kind `power`.

use sedge_plugin::schema::{child_pointer, nearest};

use crate::catalogue::{Catalogue, Section};
use crate::gpio::GpioKeys;
use crate::instance::Read;
use crate::report::{Report, Scope};
use crate::sensor::SensorKeys;

/// The kind of GPIO component that switches a supply.
const KIND: &str = "power";

/// Checks that what switches the supply of a sensor is there, and is made for that.
pub(crate) fn check(
    report: &mut Report<'_>,
    catalogue: &Catalogue,
    sensor: &Read<SensorKeys>,
    gpios: &[Read<GpioKeys>],
) {
    let Some(name) = sensor.keys.power.as_deref() else { return };
    let span = report.document.place(&child_pointer(&sensor.instance.pointer, "power")).value;
    let switches =
        || gpios.iter().filter(|gpio| gpio.keys.kind == KIND).map(|gpio| gpio.instance.name.as_str());
    let Some(gpio) = gpios.iter().find(|gpio| gpio.instance.name == name) else {
        let help = match nearest(name, switches()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("add a section `[gpio.{name}]` of kind `{KIND}`"),
        };
        let scope = Scope::Instance(&sensor.instance);
        report.error(scope, span, &format!("there is no `[gpio.{name}]`")).help(help);
        return;
    };
    // A kind that is missing or unknown has its mistake already.
    let kind = &gpio.keys.kind;
    if kind == KIND || catalogue.find(Section::Gpio, kind).is_none() {
        return;
    }
    let message = format!("`{name}` is of kind `{kind}`, which switches no supply; `{KIND}` does");
    let diagnostic = report.conflict(&sensor.instance, span, &message, gpio.instance.key.clone(), "it is");
    let others: Vec<&str> = switches().collect();
    if !others.is_empty() {
        diagnostic.help(format!("those that do: {}", others.join(", ")));
    }
}
