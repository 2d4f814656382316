//! A field of a sensor as an entity.

use std::collections::BTreeSet;

use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::field::FieldKind;
use sedge_plugin::{Id, Name, SensorDescriptor, Unit};

use super::document::{Component, EntityCategory, Platform, Scene, expiry};
use super::{classes, names};

/// The plugin that measures the board: how the machine fares is not what the device is for.
const BOARD: &str = "system";

/// The entities of a sensor, each with its key; without the fields that a control tells.
pub(super) fn components(
    scene: &Scene<'_>,
    sensor: &SensorDescriptor,
    told: &BTreeSet<(&Id, &Name)>,
) -> Vec<(String, Component)> {
    let owner = owner(scene, sensor);
    let fields = sensor.fields.iter().filter(|(name, _)| !told.contains(&(&sensor.id, *name)));
    fields.map(|(name, field)| component(scene, sensor, name, field, owner)).collect()
}

/// When the node's process began.
pub(super) fn start(scene: &Scene<'_>) -> [(String, Component); 1] {
    let component = Component {
        device_class: Some("timestamp"),
        category: Some(EntityCategory::Diagnostic),
        state_topic: Some(scene.topics.info()),
        value_template: Some("{{ value_json['started_at'] }}".into()),
        ..scene.component(Platform::Sensor, "started", "Started".into(), None)
    };
    // No sensor's key and no tool's begins so.
    [("_started".into(), component)]
}

fn component(
    scene: &Scene<'_>,
    sensor: &SensorDescriptor,
    name: &Name,
    field: &FieldDescriptor,
    owner: Option<&Id>,
) -> (String, Component) {
    let platform = if field.kind == FieldKind::State { Platform::BinarySensor } else { Platform::Sensor };
    let unique = format!("{}_{name}", sensor.id);
    let text = names::name(&scene.directory.node.id, sensor.id.as_str(), name.as_str());
    let mut component = scene.component(platform, &unique, text, owner);
    match field.kind {
        FieldKind::State => component.device_class = classes::contact(name.as_str(), field),
        FieldKind::Text => {}
        FieldKind::Measurement | FieldKind::TotalIncreasing => {
            (component.device_class, component.state_class) = classes::number(name.as_str(), field);
            component.unit = (field.unit != Unit::None).then(|| field.unit.symbol());
            component.precision = Some(field.precision);
        }
    }
    let aside = sensor.kind == BOARD
        || matches!(component.device_class, Some("signal_strength"))
        || (platform, component.device_class) == (Platform::BinarySensor, Some("problem"));
    component.category = aside.then_some(EntityCategory::Diagnostic);
    component.expire_after = expiry(scene.directory, &sensor.id);
    component.state_topic = Some(scene.topics.reading(&sensor.id));
    component.value_template = Some(template(name, field.kind));
    component.sensor = Some(sensor.id.clone());
    (format!("{}-{name}", sensor.id), component)
}

/// Reads a field's value; null becomes `None`, which Home Assistant takes for unknown. In brackets: behind a dot some
/// names would be methods.
pub(super) fn template(field: &Name, kind: FieldKind) -> String {
    match kind {
        FieldKind::State => {
            format!("{{{{ {{true:'ON',false:'OFF'}}.get(value_json['fields']['{field}']) }}}}")
        }
        _ => format!("{{{{ value_json['fields']['{field}'] }}}}"),
    }
}

/// The plugin of a sensor: of the same id, or, for one that has many, of the same kind and with an id that the sensor's
/// begins with.
fn owner<'a>(scene: &Scene<'a>, sensor: &SensorDescriptor) -> Option<&'a Id> {
    let plugins = &scene.directory.plugins;
    let exact = plugins.get_key_value(&sensor.id).map(|(id, _)| id);
    let begins =
        |id: &Id| sensor.id.as_str().strip_prefix(id.as_str()).is_some_and(|rest| rest.starts_with('-'));
    let of_kind = plugins.iter().filter(|(id, status)| status.kind == sensor.kind && begins(id));
    exact.or_else(|| of_kind.map(|(id, _)| id).max_by_key(|id| id.as_str().len()))
}
