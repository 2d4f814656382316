//! The sensors of a plugin outside: its own id, and ids that begin with it and `-`.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use sedge_plugin::directory::FieldDescriptor;
use sedge_plugin::{Id, Name, SensorDescriptor, ToolError, ToolErrorCode};
use sedge_protocol::frame::MOST_FIELDS;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Asker, bad, short};
use crate::manifest::DeclaredField;

/// Sensors that one plugin may announce.
const MOST: usize = 64;

/// A field of the manifest as others see it.
pub(in crate::outside) fn descriptor(field: &DeclaredField) -> FieldDescriptor {
    FieldDescriptor {
        unit: field.unit,
        ucum: field.unit.ucum().into(),
        kind: field.kind,
        class: field.class.clone(),
        precision: field.precision,
        min: field.min,
        max: field.max,
    }
}

impl Asker {
    /// Whether a sensor is its own.
    pub(super) fn own(&self, sensor: &Id) -> Result<(), ToolError> {
        let id = self.ctx.id().as_str();
        let is_of = |id: &str| {
            sensor.as_str().strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        // The section with the longest fitting id has it: `tank-level` is none of `tank`'s where there is one.
        let directory = self.ctx.directory();
        let others = directory.plugins.keys().map(Id::as_str);
        let own = is_of(id) && !others.filter(|other| other.len() > id.len()).any(is_of);
        match own {
            true => Ok(()),
            false => {
                let text = format!(
                    "the sensor `{sensor}` is not its own: those are `{id}` and `{id}-…`, where no other section is called so"
                );
                Err(ToolError::new(ToolErrorCode::Denied, text))
            }
        }
    }

    pub(super) fn announce(
        &self,
        sensor: Id,
        kind: String,
        fields: BTreeMap<Name, Json>,
        interval_ms: Option<u64>,
    ) -> Result<Json, ToolError> {
        self.own(&sensor)?;
        if fields.len() > MOST_FIELDS {
            return Err(bad(format!("a sensor has at most {MOST_FIELDS} fields; found {}", fields.len())));
        }
        let field = |(name, json): (Name, Json)| match DeclaredField::deserialize(json) {
            Ok(field) => Ok((name, descriptor(&field))),
            Err(error) => Err(bad(format!("the field `{name}`: {error}"))),
        };
        let fields = fields.into_iter().map(field).collect::<Result<_, _>>()?;
        {
            let mut sensors = self.sensors.lock().unwrap_or_else(PoisonError::into_inner);
            if sensors.len() >= MOST && !sensors.contains(&sensor) {
                return Err(ToolError::new(
                    ToolErrorCode::Busy,
                    format!("a plugin has at most {MOST} sensors"),
                ));
            }
            sensors.insert(sensor.clone());
        }
        let kind = if kind.is_empty() { self.kind.clone() } else { short(&kind) };
        let (plugin, place) = (self.plugin.clone(), self.place.clone());
        let interval = interval_ms.map(Duration::from_millis);
        self.ctx.announce(SensorDescriptor { id: sensor, kind, plugin, place, interval, fields, node: None });
        Ok(Json::Null)
    }

    pub(super) fn withdraw(&self, sensor: &Id) -> Result<Json, ToolError> {
        self.own(sensor)?;
        self.sensors.lock().unwrap_or_else(PoisonError::into_inner).remove(sensor);
        self.ctx.withdraw(sensor);
        Ok(Json::Null)
    }
}
