//! What a node says of an instance: its welcome, as far as the SDK needs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sedge_plugin::Id;
use sedge_plugin::grant::I2cGrant;
use sedge_protocol::{API, PROTOCOL, SensorWelcome, ToPlugin, Version};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// What a node says of the instance: [`ToPlugin::Welcome`].
#[derive(Debug, PartialEq)]
pub(crate) struct Welcome {
    pub(crate) id: Id,
    pub(crate) settings: Json,
    pub(crate) data_dir: Option<String>,
    pub(crate) sensor: Option<SensorWelcome>,
    pub(crate) config: Arc<Json>,
    pub(crate) i2c: BTreeMap<String, I2cGrant>,
}

impl TryFrom<ToPlugin> for Welcome {
    type Error = String;

    fn try_from(message: ToPlugin) -> Result<Self, String> {
        let ToPlugin::Welcome { protocol, api, id, settings, grants, data_dir, sensor, config, .. } = message
        else {
            return Err("the node's first message is no welcome".into());
        };
        understands(protocol, api)?;
        let config = Arc::new(config.unwrap_or_default());
        Ok(Self { id, settings, data_dir, sensor, config, i2c: grants.i2c })
    }
}

impl TryFrom<Json> for Welcome {
    type Error = String;

    /// By hand: what reads every message of the protocol is the larger part of a small component.
    fn try_from(mut message: Json) -> Result<Self, String> {
        if message["type"] != "welcome" {
            return Err("the node's first message is no welcome".into());
        }
        understands(part(&mut message, "protocol")?, part(&mut message, "api")?)?;
        Ok(Self {
            id: part(&mut message, "id")?,
            settings: message["settings"].take(),
            data_dir: part(&mut message, "data_dir")?,
            sensor: part(&mut message, "sensor")?,
            config: Arc::new(message["config"].take()),
            i2c: serde_json::from_value(message["grants"]["i2c"].take()).unwrap_or_default(),
        })
    }
}

fn part<T: DeserializeOwned>(message: &mut Json, key: &str) -> Result<T, String> {
    serde_json::from_value(message[key].take())
        .map_err(|error| format!("the node's welcome: `{key}`: {error}"))
}

fn understands(protocol: Version, api: Version) -> Result<(), String> {
    for (what, theirs, ours) in [("protocol", protocol, PROTOCOL), ("topics", api, API)] {
        if theirs.major != ours.major {
            let major = theirs.major;
            return Err(format!(
                "the node speaks {what} {theirs}, this plugin {ours}: build it with an SDK that speaks {major}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_component_reads_the_welcome_that_a_process_reads() {
        let mut welcome = json!({
            "type": "welcome", "protocol": "1.3", "api": "1.0", "encoding": "json", "id": "attic", "plugin": "probe",
            "node": "greenhouse", "settings": { "a": 1 }, "grants": { "data": true }, "data_dir": "/data",
            "limits": { "message": 65536, "in_flight": 4, "memory": 1, "start_ms": 1 },
            "sensor": { "every_ms": 1000, "address": 118 }, "config": { "node": {} },
        });
        let typed: ToPlugin = serde_json::from_value(welcome.clone()).unwrap();
        assert_eq!(Welcome::try_from(typed), Welcome::try_from(welcome.clone()));
        assert_eq!(Welcome::try_from(welcome.clone()).unwrap().sensor.unwrap().address, Some(118));
        for optional in ["data_dir", "sensor", "config"] {
            welcome.as_object_mut().unwrap().remove(optional);
        }
        let typed: ToPlugin = serde_json::from_value(welcome.clone()).unwrap();
        assert_eq!(Welcome::try_from(typed), Welcome::try_from(welcome.clone()));
        welcome["api"] = "2.0".into();
        assert!(Welcome::try_from(welcome).unwrap_err().contains("topics 2.0"));
    }
}
