//! Makes plugins of `[remote.ID]`: which broker, as whom, and what of the other node.

use sedge_actors::PluginSpec;
use sedge_config::{Config, Mqtt, Remote, Tools};
use sedge_mqtt::{Import, RemoteImport, Settings};
use sedge_plugin::Secret;

use crate::assemble::{Barred, Bridge};
use crate::commands::node;

/// What a section is, in lists and in health.
const KIND: &str = "remote";

/// The plugins of all sections. `bridge` is how this node itself is connected.
pub(crate) fn specs(config: &Config, bridge: Option<&Bridge>) -> Vec<PluginSpec> {
    config.remotes.iter().map(|remote| spec(config, remote, bridge)).collect()
}

fn spec(config: &Config, remote: &Remote, bridge: Option<&Bridge>) -> PluginSpec {
    let import = Barred::check(remote.fault.clone(), remote.enabled)
        .and_then(|()| Ok(import(config, remote, bridge.map(|(settings, _)| settings))?));
    let id = remote.id.clone();
    match import {
        Ok(import) => {
            // With what stands in the password's file, and what was taken over from `[mqtt]`.
            let secret = import.broker.password.as_ref().map(Secret::expose).unwrap_or_default();
            let told = format!("{:x} {import:?} {secret}", remote.fingerprint());
            let mark = sedge_plugin::fnv1a(told.as_bytes());
            PluginSpec::new::<RemoteImport>(id, import).kind(KIND).fingerprint(mark)
        }
        Err(barred) => barred.spec(id, KIND).kind(KIND).fingerprint(remote.fingerprint()),
    }
}

fn import(config: &Config, remote: &Remote, bridge: Option<&Settings>) -> Result<Import, String> {
    let all = || vec!["*".to_owned()];
    let same_broker = |other: &&Remote| (&other.url, &other.base) == (&remote.url, &remote.base);
    // A node with a section of its own is that section's.
    let others =
        config.remotes.iter().filter(|other| other.enabled && other.id != remote.id).filter(same_broker);
    let max_age = remote.max_age.0;
    Ok(Import {
        broker: broker(config, remote, bridge)?,
        node: remote.node.clone(),
        except: others.filter_map(|other| other.node.clone()).collect(),
        sensors: remote.sensors.clone().unwrap_or_else(all),
        tools: match &remote.tools {
            Tools::All(true) => all(),
            Tools::All(false) => Vec::new(),
            Tools::Some(tools) => tools.clone(),
        },
        backlog: remote.backlog,
        max_age,
    })
}

/// The broker. One of its own is not shown the password of another.
fn broker(config: &Config, remote: &Remote, bridge: Option<&Settings>) -> Result<Settings, String> {
    let own = remote.username.is_some() || remote.url.is_some();
    let base = remote.base.clone().unwrap_or_else(|| config.mqtt.base.clone());
    let mqtt = if own {
        let (username, password) = (remote.username.clone(), remote.password.clone());
        Mqtt { username, password, password_file: remote.password_file.clone(), ..config.mqtt.clone() }
    } else {
        config.mqtt.clone()
    };
    let brokers = match (&remote.url, bridge) {
        (Some(url), _) => node::brokers(std::slice::from_ref(url)),
        (None, Some(bridge)) => bridge.brokers.clone(),
        (None, None) => return Err("there is no broker to find it at; add `url`, or `[mqtt]`".into()),
    };
    // A client id is one connection's: that of `[mqtt]` is the bridge's.
    let mqtt = Mqtt { base, client_id: None, ..mqtt };
    node::settings(&mqtt, brokers).map_err(|error| error.to_string())
}
