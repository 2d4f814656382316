//! How a command reaches a broker, and which node it means.

use sedge_config::{BrokerUrl, Mqtt};
use sedge_mqtt::Broker;
use sedge_mqtt::remote::Remote;
use sedge_plugin::Id;

use super::node;
use crate::cli::Global;
use crate::exit::Failure;
use crate::load::{find, load};

/// What a user needs who may not read at the broker.
pub const OPERATOR: &str = "use an operator's config: -c FOLDER/sedge.toml";

/// Connects to the broker that is named, else to the config's, else to the one on this machine.
pub async fn connect(global: &Global) -> Result<Remote, Failure> {
    let mqtt = configured(global)?;
    let settings = match &global.broker {
        Some(url) => {
            let url = BrokerUrl::parse(url).map_err(|error| Failure::Usage(format!("--broker: {error}")))?;
            let (username, password) = (url.username.clone(), url.password.clone());
            let mqtt = Mqtt { username, password, username_file: None, password_file: None, ..mqtt };
            node::settings(&mqtt, node::brokers(&[url]))?
        }
        None if mqtt.urls.is_empty() => {
            node::settings(&mqtt, vec![Broker::at(node::host_of(mqtt.listen), mqtt.listen.port())])?
        }
        None => node::settings(&mqtt, node::brokers(&mqtt.urls))?,
    };
    let client_id = format!("sedge-cli-{}-{}", node::host_id(), std::process::id());
    let brokers: Vec<String> = settings.brokers.iter().map(ToString::to_string).collect();
    let connected = Remote::connect(&settings, &client_id).await;
    // The same from call to call, so that a guard can name it.
    let named = connected.map(|remote| remote.calling_as(&format!("cli@{}", node::host_id())));
    named.map_err(|error| match Failure::from(error) {
        Failure::Unreachable(text) => Failure::Unreachable(format!("{}: {text}", brokers.join(", "))),
        other => other,
    })
}

/// The `[mqtt]` of the config; the defaults where none is named and none is found, or another broker is named.
fn configured(global: &Global) -> Result<Mqtt, Failure> {
    if global.config.is_none() && (global.broker.is_some() || find(None).is_none()) {
        return Ok(Mqtt::default());
    }
    let loaded = load(global)?;
    match loaded.config {
        Some(config) => Ok(config.mqtt),
        None => {
            loaded.show(global);
            Err(Failure::ConfigShown)
        }
    }
}

/// The node that is named; none for all.
pub fn node_named(name: Option<&str>) -> Result<Option<Id>, Failure> {
    match name {
        None | Some("all" | "+" | "*") => Ok(None),
        Some(name) => Id::new(name).map(Some).map_err(|error| Failure::Usage(format!("node {error}"))),
    }
}
