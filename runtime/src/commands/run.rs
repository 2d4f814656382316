//! `sedge run`: a node, until it is told to stop.

use std::time::Duration;

use sedge_config::{BrokerUrl, Config};
use sedge_plugin::{Id, State};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tracing::{error, info};

use super::node;
use crate::assemble::simulated;
use crate::cli::{Global, RunArgs};
use crate::exit::Failure;
use crate::load::{Loaded, load};

/// Runs a node.
pub async fn run(global: &Global, args: &RunArgs) -> Result<(), Failure> {
    let loaded = load(global.config.as_deref())?;
    loaded.show(global);
    let config = overridden(usable(loaded, args)?, global)?;
    let mqtt = config.mqtt.clone();
    let prepared = node::prepare(config);

    #[cfg(feature = "embedded-broker")]
    let broker = match mqtt.embedded {
        true => Some(embedded(&mqtt).await?),
        false => None,
    };
    #[cfg(feature = "embedded-broker")]
    let address = broker.as_ref().map(crate::broker::EmbeddedBroker::local_addr);
    #[cfg(not(feature = "embedded-broker"))]
    let address: Option<std::net::SocketAddr> = match mqtt.embedded {
        true => {
            return Err(Failure::Config(
                "this build has no embedded broker; name one with [mqtt] url".into(),
            ));
        }
        false => None,
    };

    let bridge = match (address, &mqtt.url) {
        (Some(address), _) => Some(node::bridge_to(&mqtt, address)?),
        (None, Some(url)) => Some(node::bridge(&mqtt, &url.host, url.port)?),
        (None, None) => None,
    };
    let mut stop = Stop::new()?;
    let running = prepared.start(bridge).await;
    let directory = running.directory();
    let well = directory.plugins.values().filter(|status| status.state == State::Running).count();
    let off = directory.plugins.values().filter(|status| status.state == State::Disabled).count();
    let amiss = directory.plugins.len() - well - off;
    info!(node = %directory.node.id, plugins = well, amiss, "Runs.");
    stop.asked().await;
    info!("Stopping.");
    let forced = tokio::select! {
        () = running.stop() => false,
        () = stop.asked_again() => true,
    };
    #[cfg(feature = "embedded-broker")]
    if let Some(broker) = broker {
        broker.shutdown().await;
    }
    match forced {
        true => Err(Failure::Failed("told to stop twice: ended at once, what was queued is lost".into())),
        false => Ok(()),
    }
}

/// The config with what the command line says instead.
fn overridden(mut config: Config, global: &Global) -> Result<Config, Failure> {
    let usage = |what: &str, error: &dyn std::fmt::Display| Failure::Usage(format!("--{what}: {error}"));
    if let Some(url) = &global.broker {
        let url = BrokerUrl::parse(url).map_err(|error| usage("broker", &error))?;
        config.mqtt.embedded = false;
        if url.username.is_some() {
            (config.mqtt.username, config.mqtt.password) = (url.username.clone(), url.password.clone());
            config.mqtt.password_file = None;
        }
        config.mqtt.url = Some(url);
    }
    if let Some(id) = &global.node {
        config.node.id = Some(Id::new(id).map_err(|error| usage("node", &error))?);
    }
    Ok(config)
}

/// The config, where it can be run.
pub(crate) fn usable(loaded: Loaded, args: &RunArgs) -> Result<Config, Failure> {
    let (errors, _) = loaded.counts();
    let config = loaded.config.ok_or(Failure::ConfigShown)?;
    if errors > 0 {
        error!(errors, "The config has mistakes: what they concern does not run, the rest does.");
    }
    Ok(if args.sim { simulated(config) } else { config })
}

#[cfg(feature = "embedded-broker")]
async fn embedded(mqtt: &sedge_config::Mqtt) -> Result<crate::broker::EmbeddedBroker, Failure> {
    let broker = crate::broker::EmbeddedBroker::start(mqtt.listen)
        .await
        .map_err(|error| Failure::Failed(format!("[mqtt] embedded: {}", sedge_plugin::chain(&error))))?;
    let address = broker.local_addr();
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "The embedded broker asks nobody for a password, and this address is not the loopback's.");
    }
    info!(broker = %format_args!("mqtt://{address}"), "The embedded broker listens.");
    Ok(broker)
}

/// The signals that ask a program to stop.
pub(crate) struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::Failed(format!("cannot listen to signals: {error}")))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Returns when the program is asked to stop once more. What comes within a second is the same wish: a terminal and
    /// `timeout` both signal more than once.
    async fn asked_again(&mut self) {
        let first = Instant::now();
        loop {
            self.asked().await;
            if first.elapsed() > Duration::from_secs(1) {
                return;
            }
        }
    }

    /// Returns when the program is asked to stop.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
