//! A node as the commands start it: from a config, with or without a broker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sedge_actors::{Node, RunningNode, Surroundings};
use sedge_config::{BrokerScheme, BrokerUrl, Config, Mqtt, Protocol};
use sedge_hal::SystemClock;
use sedge_mqtt::wire::Encoding;
use sedge_mqtt::{Broker, Scheme, Settings, Version};
use sedge_plugin::clock::rfc3339;
use sedge_plugin::journal::Journal;
use sedge_plugin::{Boot, Clock, Id, NodeInfo, Secret};

use super::version::{VERSION, target};
use crate::assemble::{Bridge, House, guards};
use crate::exit::Failure;
use crate::http::SharedHttp;
use crate::load::only_plugins;
use crate::outbox::{Home, Outbox};
use crate::shelf::Along;
use crate::{credentials, place, requirements};

/// A node that is ready to start.
pub struct Prepared {
    /// The node: to be subscribed to before it starts.
    pub node: Node,
    /// What makes its plugins; kept for a reload.
    pub house: House,
    /// Where its readings are kept; none where nobody is to have them later.
    pub outbox: Option<Outbox>,
    config: Config,
}

/// Whether a node keeps its readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// As its config says.
    Configured,
    /// Until it ends.
    InMemory,
    /// Not at all.
    Nothing,
}

/// Makes a node of a config.
pub fn prepare(config: Config, mut along: Along, keep: Keep) -> Prepared {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let info = info(&config, &*clock, Boot(random()));
    let data = place::data(config.node.data.as_deref(), &info.id);
    let home = match (keep, &data) {
        (Keep::Configured, Some(data)) => Some(Home::Folder(data.join("outbox"))),
        (Keep::Configured | Keep::InMemory, _) => Some(Home::Memory),
        (Keep::Nothing, _) => None,
    };
    let outbox = home.map(|home| Outbox::open(&config.outbox, &home, clock.clone()));
    along.data.clone_from(&data);
    let around = Surroundings {
        data,
        journal: outbox.clone().map(|outbox| Arc::new(outbox) as Arc<dyn Journal>),
        http: Some(Arc::new(SharedHttp::new())),
        requirements: Some(requirements::checker()),
        config: along.effective.clone(),
    };
    let node = Node::within(info, clock.clone(), around).guards(guards(&config));
    Prepared { node, config, outbox, house: House::new(clock, along) }
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
pub fn bridge(mqtt: &Mqtt, brokers: Vec<Broker>) -> Result<Bridge, Failure> {
    let shown: Vec<String> = brokers.iter().map(ToString::to_string).collect();
    let settings = settings(mqtt, brokers)?;
    // With what stands in the files of user and password: it may change while their names stay.
    let password = settings.password.as_ref().map(Secret::expose).unwrap_or_default();
    let user = settings.username.as_deref().unwrap_or_default();
    let fingerprint = format!("{:x} {shown:?} {user} {password}", mqtt.fingerprint());
    Ok((settings, sedge_plugin::fnv1a(fingerprint.as_bytes())))
}

/// What a client must be told, for these brokers.
pub fn settings(mqtt: &Mqtt, brokers: Vec<Broker>) -> Result<Settings, Failure> {
    let login = credentials::login(mqtt)?;
    let file = |file: &Option<PathBuf>| file.as_deref().map(credentials::path).transpose();
    let settings = Settings {
        brokers,
        version: match mqtt.protocol {
            Protocol::V5 => Version::V5,
            Protocol::V3 => Version::V3,
        },
        base: mqtt.base.clone(),
        client_id: mqtt.client_id.clone(),
        username: login.username,
        password: login.password,
        ca_file: file(&mqtt.ca_file)?,
        cert_file: file(&mqtt.cert_file)?,
        key_file: file(&mqtt.key_file)?,
        keep_alive: mqtt.keep_alive,
        session_expiry: mqtt.session_expiry,
        receive_maximum: mqtt.receive_maximum,
        qos: mqtt.qos,
        backlog_rate: mqtt.backlog_rate,
        encoding: match mqtt.encoding {
            sedge_config::Encoding::Json => Encoding::Json,
            sedge_config::Encoding::Cbor => Encoding::Cbor,
        },
        discovery: mqtt.discovery,
        discovery_prefix: mqtt.discovery_prefix.clone(),
        ..Settings::default()
    };
    settings.check().map_err(|error| Failure::Config(format!("[mqtt]: {error}")))?;
    Ok(settings)
}

/// The brokers that URLs name.
pub fn brokers(urls: &[BrokerUrl]) -> Vec<Broker> {
    let scheme = |url: &BrokerUrl| match url.scheme {
        BrokerScheme::Mqtt => Scheme::Mqtt,
        BrokerScheme::Mqtts => Scheme::Mqtts,
        BrokerScheme::Ws => Scheme::Ws,
        BrokerScheme::Wss => Scheme::Wss,
    };
    let broker = |url: &BrokerUrl| Broker {
        scheme: scheme(url),
        host: url.host.clone(),
        port: url.port,
        path: url.path.clone(),
    };
    urls.iter().map(broker).collect()
}

/// The bridge's settings for a broker inside this process.
pub fn bridge_to(mqtt: &Mqtt, broker: SocketAddr) -> Result<Bridge, Failure> {
    bridge(mqtt, vec![Broker::at(host_of(broker), broker.port())])
}

/// The host under which this process reaches an address that it listens at.
pub fn host_of(broker: SocketAddr) -> String {
    if broker.ip().is_unspecified() { "127.0.0.1".into() } else { broker.ip().to_string() }
}

/// The id of this host.
pub fn host_id() -> Id {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Id::from_host(name.trim())
}

/// What the board calls itself, where it does.
pub(crate) fn model() -> Option<String> {
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
