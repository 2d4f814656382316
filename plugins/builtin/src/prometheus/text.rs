//! The page: Prometheus' text format, version 0.0.4. Pure, but for asking the node.
//!
//! All lines of one name stand together, as the format wants. Of two metrics that come out with one name and different types
//! (`a-b` with `c`, and `a` with `b-c`) the later is left out: a page with both would be refused as a whole.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sedge_plugin::metrics::{Measured, Metric};
use sedge_plugin::prelude::*;

use crate::destinations::word;

/// Names that end with what a label should say: alerts add them up and compare them, which PromQL does with labels. Each
/// with its label and what the whole counts.
const LABELLED: [(&str, &str, &str); 3] = [
    ("sedge_mqtt_calls_refused_", "reason", "Calls of tools that were refused, by reason."),
    ("sedge_outbox_lost_", "cause", "Readings that some reader will never get, by cause."),
    ("sedge_outbox_pending_", "reader", "Readings in the journal that a reader has not had yet."),
];

/// What is known of one name.
struct Family {
    help: String,
    kind: &'static str,
    lines: String,
}

#[derive(Default)]
struct Page(BTreeMap<String, Family>);

/// The page of a node as it is now.
pub(super) fn page(ctx: &Context) -> String {
    let directory = ctx.directory();
    let mut page = Page::default();
    page.node(&directory);
    if let Some(ms) = ctx.clock().wall_ms() {
        let help = "The node's own time, in seconds since 1970; missing while it does not know it.";
        page.one("sedge_time_seconds", help, "gauge", &[], seconds(ms));
    }
    page.plugins(directory.plugins.values().map(AsRef::as_ref));
    for sensor in directory.sensors.values() {
        if let Some(reading) = ctx.latest(&sensor.id) {
            page.reading(sensor, &reading);
        }
    }
    // Names of the page's own are not a plugin's to add to.
    let own: Vec<String> = page.0.keys().cloned().collect();
    for measured in ctx.metrics().snapshot() {
        let kind = directory.plugins.get(&measured.plugin).map(|status| status.kind.as_str());
        page.measured(&measured, kind, &own);
    }
    page.written()
}

/// The part of a page that is about these plugins.
#[cfg(test)]
pub(super) fn plugins<'a>(plugins: impl IntoIterator<Item = &'a PluginStatus>) -> String {
    let mut page = Page::default();
    page.plugins(plugins);
    page.written()
}

impl Page {
    /// Where lines of that name go; nowhere, if the name has another type.
    fn family(&mut self, name: &str, help: &str, kind: &'static str) -> Option<&mut String> {
        let family = self.0.entry(name.to_owned());
        let family = family.or_insert_with(|| Family { help: help.into(), kind, lines: String::new() });
        (family.kind == kind).then_some(&mut family.lines)
    }

    fn one(&mut self, name: &str, help: &str, kind: &'static str, labels: &[(&str, &str)], value: f64) {
        if let Some(lines) = self.family(name, help, kind) {
            line(lines, name, labels, &number(value));
        }
    }

    fn node(&mut self, directory: &Directory) {
        let info = &directory.node;
        let labels = [("node", info.id.as_str()), ("version", &info.version), ("target", &info.target)];
        self.one("sedge_info", "The node and its version.", "gauge", &labels, 1.0);
    }

    fn plugins<'a>(&mut self, plugins: impl IntoIterator<Item = &'a PluginStatus>) {
        for status in plugins {
            let labels =
                [("plugin", status.id.as_str()), ("kind", &status.kind), ("state", status.state.word())];
            let named = &labels[..1];
            let up = if status.state.is_active() { 1.0 } else { 0.0 };
            self.one("sedge_plugin_up", "Whether the plugin runs.", "gauge", &labels[..2], up);
            self.one("sedge_plugin_state", "The state that the plugin is in.", "gauge", &labels, 1.0);
            let restarts = f64::from(status.restarts);
            self.one(
                "sedge_plugin_restarts_total",
                "How often it was restarted.",
                "counter",
                named,
                restarts,
            );
            let help = "Messages that its full queues did not take.";
            if let Some(lines) = self.family("sedge_plugin_dropped_total", help, "counter") {
                line(lines, "sedge_plugin_dropped_total", named, &status.dropped.to_string());
            }
        }
    }

    fn reading(&mut self, sensor: &SensorDescriptor, reading: &Reading) {
        for sample in &reading.frame.samples {
            let (sensor_id, field) = (("sensor", sensor.id.as_str()), ("field", sample.field.as_ref()));
            if sample.quality != Quality::Ok {
                let labels = [sensor_id, field, ("quality", word(sample.quality))];
                let help = "The quality of the newest value of a field, where that is not ok.";
                self.one("sedge_reading_quality", help, "gauge", &labels, 1.0);
            }
            if sample.quality == Quality::Rejected {
                continue;
            }
            let value = match sample.value {
                Ok(Value::Number(n)) => n,
                Ok(Value::Bool(on)) => f64::from(u8::from(on)),
                Ok(Value::Text(_)) | Err(_) => continue,
            };
            let unit = sensor.fields.get(sample.field.as_ref()).map_or("", |field| field.ucum.as_str());
            let labels = [sensor_id, field, ("unit", unit)];
            self.one("sedge_reading", "The newest value of a field, in its unit.", "gauge", &labels, value);
        }
        if let Some(ms) = reading.taken.wall_ms {
            let help = "When the newest reading was taken, in seconds since 1970.";
            let labels = [("sensor", sensor.id.as_str())];
            self.one("sedge_reading_timestamp_seconds", help, "gauge", &labels, seconds(ms));
        }
    }

    fn measured(&mut self, measured: &Measured, kind: Option<&str>, own: &[String]) {
        let plugin = measured.plugin.as_str();
        // By its kind, so that a query is the same for each plugin of it; what is no plugin has only a name.
        let owner = kind.unwrap_or(plugin).replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let mut name = format!("sedge_{owner}_{}", measured.name);
        let (mut help, mut which) = (measured.help, None);
        for (stem, label, whole) in LABELLED {
            let value = name.strip_prefix(stem).map(|end| end.trim_end_matches("_total").to_owned());
            if let Some(value) = value {
                (name, help, which) = (stem.trim_end_matches('_').into(), whole, Some((label, value)));
                break;
            }
        }
        let (name, kind) = match &measured.metric {
            Metric::Counter(_) if name.ends_with("_total") => (name, "counter"),
            Metric::Counter(_) => (name + "_total", "counter"),
            Metric::Gauge(_) => (name, "gauge"),
            Metric::Histogram { .. } => (name, "histogram"),
        };
        if own.contains(&name) {
            return;
        }
        let mut labels = vec![("plugin", plugin)];
        labels.extend(which.as_ref().map(|(label, value)| (*label, value.as_str())));
        let Some(lines) = self.family(&name, help, kind) else { return };
        match &measured.metric {
            Metric::Counter(count) => line(lines, &name, &labels, &count.to_string()),
            Metric::Gauge(value) => line(lines, &name, &labels, &number(*value)),
            Metric::Histogram { buckets, count, sum } => {
                let total = count.to_string();
                let bucket = format!("{name}_bucket");
                for (bound, below) in buckets {
                    let labels = [labels[0], ("le", &number(*bound))];
                    line(lines, &bucket, &labels, &below.to_string());
                }
                line(lines, &bucket, &[labels[0], ("le", "+Inf")], &total);
                line(lines, &format!("{name}_sum"), &labels, &number(*sum));
                line(lines, &format!("{name}_count"), &labels, &total);
            }
        }
    }

    fn written(self) -> String {
        let mut text = String::new();
        for (name, Family { help, kind, lines }) in self.0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n{lines}", escaped(&help, false));
        }
        text
    }
}

fn line(into: &mut String, name: &str, labels: &[(&str, &str)], value: &str) {
    if labels.is_empty() {
        let _ = writeln!(into, "{name} {value}");
        return;
    }
    let labels: Vec<_> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value, true))).collect();
    let _ = writeln!(into, "{name}{{{}}} {value}", labels.join(","));
}

fn seconds(ms: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact for the next 285,000 years")]
    let seconds = ms as f64 / 1000.0;
    seconds
}

fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

fn number(n: f64) -> String {
    match n {
        n if n.is_nan() => "NaN".into(),
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        n => n.to_string(),
    }
}
