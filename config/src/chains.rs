//! Which processors a sensor names, and which sensors a processor or a destination does.
//!
//! A processor has a section, so one that has none is a mistake. A sensor need not have one: plugins make sensors of
//! their own, so one without is only a warning.

use sedge_plugin::schema::{child_pointer, nearest};

use crate::instance::Instance;
use crate::report::{Report, Scope};

/// Checks the processors that a sensor names: each is there, and is named once.
pub(crate) fn check_process(
    report: &mut Report<'_>,
    sensor: &Instance,
    process: &[String],
    processors: &[&Instance],
) {
    let pointer = child_pointer(&sensor.pointer, "process");
    let place = |report: &Report<'_>, at: usize| {
        report.document.place(&child_pointer(&pointer, &at.to_string())).value
    };
    for (at, name) in process.iter().enumerate() {
        let span = place(report, at);
        if let Some(first) = process[..at].iter().position(|other| other == name) {
            let (message, first) = (format!("the processor `{name}` is named twice"), place(report, first));
            report.conflict(sensor, span, &message, first, "it is named first").help("keep one of them");
        } else if !processors.iter().any(|processor| processor.name == *name) {
            let help = match nearest(name, processors.iter().map(|processor| processor.name.as_str())) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("add a section `[processor.{name}]`"),
            };
            let message = format!("there is no processor `{name}`");
            report.error(Scope::Instance(sensor), span, &message).help(help);
        }
    }
}

/// Thinks about the sensors that a processor or a destination names.
pub(crate) fn check_sensors(
    report: &mut Report<'_>,
    instance: &Instance,
    named: &[String],
    sensors: &[&Instance],
    elsewhere: &dyn Fn(&str) -> bool,
) {
    let pointer = child_pointer(&instance.pointer, "sensors");
    for (at, name) in named.iter().enumerate() {
        if elsewhere(name) || sensors.iter().any(|sensor| sensor.name == *name) {
            continue;
        }
        let span = report.document.place(&child_pointer(&pointer, &at.to_string())).value;
        let message = format!("no section is about a sensor `{name}`; a plugin may have one of that name");
        let diagnostic = report.warning(span, &message);
        if let Some(word) = nearest(name, sensors.iter().map(|sensor| sensor.name.as_str())) {
            diagnostic.help(format!("did you mean `{word}`?"));
        }
    }
}
