//! A node as the commands start it: from a config, with or without a broker.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sedge_actors::{Node, RunningNode};
use sedge_config::{Config, Mqtt};
use sedge_hal::SystemClock;
use sedge_plugin::clock::rfc3339;
use sedge_plugin::{Boot, Clock, Id, NodeInfo};

use super::version::{VERSION, target};
use crate::assemble::assemble;
use crate::exit::Failure;

/// A node that is ready to start.
pub struct Prepared {
    /// The node: to be subscribed to before it starts.
    pub node: Node,
    config: Config,
    clock: Arc<dyn Clock>,
}

/// Makes a node of a config.
pub fn prepare(config: Config) -> Prepared {
    // Of what was understood, secrets masked: a hash of a password can be guessed.
    let told = serde_json::to_vec(&config).unwrap_or_default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let info = NodeInfo {
        id: config.node.id.clone().unwrap_or_else(host_id),
        boot: Boot(random()),
        started_at: clock.wall_ms().map(rfc3339),
        version: VERSION.into(),
        target: target(),
        config: format!("{:08x}", sedge_plugin::fnv1a(&told) as u32),
        labels: config.node.labels.clone(),
        hardware: model(),
    };
    Prepared { node: Node::new(info, clock.clone()), config, clock }
}

impl Prepared {
    /// Starts the node, and its bridge where there is a broker.
    pub async fn start(self, bridge: Option<sedge_mqtt::Settings>) -> RunningNode {
        let specs = assemble(self.config, bridge, &self.clock);
        self.node.start(specs).await
    }
}

/// What the bridge must be told, for a broker at `address`.
pub fn bridge(mqtt: &Mqtt, host: &str, port: u16) -> Result<sedge_mqtt::Settings, Failure> {
    let password = match (&mqtt.password, &mqtt.password_file) {
        (Some(password), _) => Some(password.clone()),
        (None, Some(file)) => Some(read_password(file)?),
        (None, None) => None,
    };
    let settings = sedge_mqtt::Settings {
        host: host.into(),
        port,
        base: mqtt.base.clone(),
        client_id: mqtt.client_id.clone(),
        username: mqtt.username.clone(),
        password,
        keep_alive: mqtt.keep_alive,
        queue: mqtt.queue,
    };
    settings.check().map_err(|error| Failure::Config(format!("[mqtt]: {error}")))?;
    Ok(settings)
}

/// The bridge's settings for a broker inside this process.
pub fn bridge_to(mqtt: &Mqtt, broker: SocketAddr) -> Result<sedge_mqtt::Settings, Failure> {
    let host = if broker.ip().is_unspecified() { "127.0.0.1".into() } else { broker.ip().to_string() };
    bridge(mqtt, &host, broker.port())
}

fn read_password(file: &Path) -> Result<sedge_plugin::Secret, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Config(format!("[mqtt] password_file {}: {error}", file.display())))?;
    Ok(sedge_plugin::Secret::new(text.trim_end_matches(['\r', '\n'])))
}

/// The id of this host.
pub fn host_id() -> Id {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Id::from_host(name.trim())
}

/// What the board calls itself, where it does.
fn model() -> Option<String> {
    let text = std::fs::read_to_string("/proc/device-tree/model").ok()?;
    Some(text.trim_end_matches('\0').trim().to_owned()).filter(|model| !model.is_empty())
}

/// A number that another start does not draw.
fn random() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u128(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos());
    hasher.finish() as u32
}
