//! How a command reaches a broker, and which node it means.

use sedge_config::{BrokerUrl, Mqtt};
use sedge_mqtt::remote::Remote;
use sedge_plugin::Id;

use super::node;
use crate::cli::Global;
use crate::exit::Failure;
use crate::load::{find, load};

/// Connects to the broker that is named, else to the config's, else to the one on this machine.
pub async fn connect(global: &Global) -> Result<Remote, Failure> {
    let mqtt = configured(global)?;
    let settings = match (&global.broker, &mqtt.url) {
        (Some(url), _) => {
            let url = BrokerUrl::parse(url).map_err(|error| Failure::Usage(format!("--broker: {error}")))?;
            let (username, password) = (url.username.clone(), url.password.clone());
            let mqtt = Mqtt { username, password, password_file: None, ..mqtt };
            node::settings(&mqtt, &url.host, url.port)?
        }
        (None, Some(url)) => node::settings(&mqtt, &url.host, url.port)?,
        (None, None) => node::settings(&mqtt, &node::host_of(mqtt.listen), mqtt.listen.port())?,
    };
    let client_id = format!("sedge-cli-{}-{}", node::host_id(), std::process::id());
    let broker = format!("mqtt://{}:{}", settings.host, settings.port);
    let connected = Remote::connect(&settings, &client_id).await;
    // The same from call to call, so that a guard can name it.
    let named = connected.map(|remote| remote.calling_as(&format!("cli@{}", node::host_id())));
    named.map_err(|error| match Failure::from(error) {
        Failure::Unreachable(text) => Failure::Unreachable(format!("{broker}: {text}")),
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
