//! A node as the commands start it: from a config, with or without a broker.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sedge_actors::{Node, RunningNode, Surroundings};
use sedge_config::{Config, Mqtt};
use sedge_hal::SystemClock;
use sedge_plugin::clock::rfc3339;
use sedge_plugin::{Boot, Clock, Id, NodeInfo, Secret};
use serde_json::Value as Json;

use super::version::{VERSION, target};
use crate::assemble::{Bridge, House, guards};
use crate::exit::Failure;
use crate::http::SharedHttp;
use crate::load::only_plugins;
use crate::{place, requirements};

/// Bytes of a file with a password.
const MOST_PASSWORD_BYTES: u64 = 64 * 1024;

/// A node that is ready to start.
pub struct Prepared {
    /// The node: to be subscribed to before it starts.
    pub node: Node,
    /// What makes its plugins; kept for a reload.
    pub house: House,
    config: Config,
}

/// Makes a node of a config that lies in `folder`. `effective` is the config for plugins to see.
pub fn prepare(config: Config, effective: Arc<Json>, folder: &Path) -> Prepared {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let info = info(&config, &*clock, Boot(random()));
    let around = Surroundings {
        data: place::data(config.node.data.as_deref(), &info.id),
        http: Some(Arc::new(SharedHttp::new())),
        requirements: Some(requirements::checker()),
        config: effective,
    };
    let node = Node::within(info, clock.clone(), around).guards(guards(&config));
    Prepared { node, config, house: House::new(clock, folder.into()) }
}

/// What is said of the node.
pub fn info(config: &Config, clock: &dyn Clock, boot: Boot) -> NodeInfo {
    // Of what was understood, secrets masked: a hash of a password can be guessed.
    let told = serde_json::to_vec(config).unwrap_or_default();
    NodeInfo {
        id: config.node.id.clone().unwrap_or_else(host_id),
        boot,
        started_at: clock.wall_ms().map(rfc3339),
        version: VERSION.into(),
        target: target(),
        config: format!("{:08x}", sedge_plugin::fnv1a(&told) as u32),
        labels: config.node.labels.clone(),
        hardware: model(),
    }
}

impl Prepared {
    /// Starts the node, and its bridge where there is a broker.
    pub async fn start(mut self, bridge: Option<Bridge>) -> (RunningNode, House) {
        let specs = self.house.plugins(self.config, bridge, only_plugins().as_deref());
        (self.node.start(specs).await, self.house)
    }
}

/// The bridge of a config, with what changes when its settings do.
pub fn bridge(mqtt: &Mqtt, host: &str, port: u16) -> Result<Bridge, Failure> {
    let settings = settings(mqtt, host, port)?;
    // With what stands in the password's file: it may change while its name stays.
    let password = settings.password.as_ref().map(Secret::expose).unwrap_or_default();
    let fingerprint = format!("{:x} {host}:{port} {password}", mqtt.fingerprint());
    Ok((settings, sedge_plugin::fnv1a(fingerprint.as_bytes())))
}

/// What a client must be told, for a broker at `host`.
pub fn settings(mqtt: &Mqtt, host: &str, port: u16) -> Result<sedge_mqtt::Settings, Failure> {
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
        discovery: mqtt.discovery,
        discovery_prefix: mqtt.discovery_prefix.clone(),
    };
    settings.check().map_err(|error| Failure::Config(format!("[mqtt]: {error}")))?;
    Ok(settings)
}

/// The bridge's settings for a broker inside this process.
pub fn bridge_to(mqtt: &Mqtt, broker: SocketAddr) -> Result<Bridge, Failure> {
    bridge(mqtt, &host_of(broker), broker.port())
}

/// The host under which this process reaches an address that it listens at.
pub fn host_of(broker: SocketAddr) -> String {
    if broker.ip().is_unspecified() { "127.0.0.1".into() } else { broker.ip().to_string() }
}

fn read_password(file: &Path) -> Result<sedge_plugin::Secret, Failure> {
    let at = std::fs::metadata(file);
    if at.is_ok_and(|at| !at.is_file() || at.len() > MOST_PASSWORD_BYTES) {
        let shown = file.display();
        return Err(Failure::Config(format!("[mqtt] password_file {shown}: not a file with a password")));
    }
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
