//! `sedge run`: a node, until it is told to stop.

mod again;
mod stop;

use std::net::SocketAddr;
use std::sync::Arc;

use sedge_actors::{NodeHandle, RunningNode};
use sedge_config::{BrokerUrl, Config, Mqtt};
use sedge_plugin::topics::{Event, Severity};
use sedge_plugin::{Clock, Id, Name, PluginStatus, State};
use serde_json::Value as Json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::node;
use crate::assemble::Bridge;
use crate::buses::simulated;
use crate::cli::{Global, RunArgs};
use crate::control;
use crate::exit::Failure;
use crate::load::{Loaded, load, only_plugins};
use crate::outbox::{Outbox, metrics};
use crate::service::Service;
use crate::synced::tell_of_time;
use again::Reloadable;
pub(crate) use stop::Stop;

/// The signal of Linux for a file that is larger than its limit.
const SIGXFSZ: i32 = 25;

/// Runs a node.
pub async fn run(global: &Global, args: &RunArgs) -> Result<(), Failure> {
    let service = Service::from_environment();
    let mut mistake = None;
    let result = until_stopped(global, args, &service, &mut mistake).await;
    result.inspect_err(|failure| service.fails(failure, mistake.as_deref()))
}

async fn until_stopped(
    global: &Global,
    args: &RunArgs,
    service: &Service,
    mistake: &mut Option<String>,
) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let mut hangup = signal(SignalKind::hangup()).map_err(no_signals)?;
    let loaded = load(global)?;
    loaded.show(global);
    *mistake = loaded.mistake();
    let along = loaded.along();
    let config = overridden(usable(loaded, args)?, global)?;
    let (mqtt, data, kept) = (config.mqtt.clone(), config.node.data.clone(), config.outbox.clone());
    let id = config.node.id.clone().unwrap_or_else(node::host_id);
    if control::find(Some(&id)).is_ok_and(|node| node.answers()) {
        return Err(Failure::Failed(format!(
            "a node called `{id}` runs on this machine already; give this one another `id` in `[node]`"
        )));
    }
    tell_of_restriction(&config);
    service.starts("opens the journal");
    let prepared = node::prepare(config, along, node::Keep::Configured);

    #[cfg(feature = "embedded-broker")]
    let broker = match mqtt.embedded {
        true => Some(embedded(&mqtt).await?),
        false => None,
    };
    #[cfg(feature = "embedded-broker")]
    let address = broker.as_ref().map(crate::broker::EmbeddedBroker::local_addr);
    #[cfg(not(feature = "embedded-broker"))]
    let address: Option<SocketAddr> = match mqtt.embedded {
        true => {
            return Err(Failure::Config(
                "this build has no embedded broker; name one with [mqtt] url".into(),
            ));
        }
        false => None,
    };

    let bridge = bridge(&mqtt, address)?;
    // Heard so that it does not kill: a file that may not grow any more is an error like a full disk.
    let _full = signal(SignalKind::from_raw(SIGXFSZ)).map_err(no_signals)?;
    let outbox = prepared.outbox.clone();
    service.starts("starts the plugins");
    let (running, house) = prepared.start(bridge).await;
    let watches = watches(outbox.as_ref(), &running);
    let (wishes, mut reloads) = mpsc::channel(1);
    let control = control::serve(control::Shown {
        node: running.handle(),
        outbox: outbox.clone(),
        isolation: house.isolation(),
        reload: wishes,
    });
    say_how_it_runs(&running);
    service.runs(&running, outbox.as_ref());
    let mut node =
        Reloadable { running, house, address, mqtt, data, outbox: outbox.clone(), kept, global, args };
    loop {
        tokio::select! {
            () = stop.asked() => break,
            Some(()) = hangup.recv() => drop(service.reloads(node.reload()).await),
            Some(wish) = reloads.recv() => {
                let _ = wish.send(service.reloads(node.reload()).await);
            }
        }
    }
    info!("Stopping.");
    service.stops();
    drop(control);
    let forced = tokio::select! {
        () = node.running.stop() => false,
        () = stop.asked_again() => true,
    };
    #[cfg(feature = "embedded-broker")]
    if let Some(broker) = broker {
        broker.shutdown().await;
    }
    watches.iter().for_each(JoinHandle::abort);
    if let Some(outbox) = outbox {
        // It blocks, and nothing else is left to be done.
        outbox.close();
    }
    match forced {
        true => Err(Failure::Failed("told to stop twice: ended at once".into())),
        false => Ok(()),
    }
}

/// What looks after the node while it runs.
fn watches(outbox: Option<&Outbox>, running: &RunningNode) -> Vec<JoinHandle<()>> {
    let node = running.handle();
    let clock: Arc<dyn Clock> = Arc::new(sedge_hal::SystemClock);
    let mut all = vec![tokio::spawn(tell_of_time(clock, node.clone(), outbox.cloned()))];
    if let Some(outbox) = outbox {
        all.push(tokio::spawn(tell_of_trouble(outbox.clone(), node.clone())));
        all.push(tokio::spawn(metrics::count(outbox.clone(), node.registry())));
    }
    all
}

/// Tells people when the disk of the journal fails, and when it works again.
async fn tell_of_trouble(outbox: Outbox, node: NodeHandle) {
    let mut trouble = outbox.trouble();
    let mut told = false;
    loop {
        let now = trouble.borrow_and_update().clone();
        let (severity, text) = match &now {
            Some(why) => (Severity::Error, format!("the journal fails, readings are kept in memory: {why}")),
            None => (Severity::Info, "the journal works again".into()),
        };
        if (told || now.is_some())
            && let Ok(kind) = Name::new("journal_trouble")
        {
            told = now.is_some();
            node.raise(Event { kind, severity, text, data: Json::Null }).await;
        }
        if trouble.changed().await.is_err() {
            return;
        }
    }
}

/// A variable that was forgotten in a unit is easily looked for elsewhere.
fn tell_of_restriction(config: &Config) {
    let Some(named) = only_plugins() else { return };
    let ids = config.sensors.iter().map(|it| &it.id).chain(config.gpios.iter().map(|it| &it.id));
    let ids = ids.chain(config.processors.iter().map(|it| &it.id));
    let ids = ids.chain(config.destinations.iter().map(|it| &it.id));
    let ids = ids.chain(config.remotes.iter().map(|it| &it.id));
    let ids = ids.chain(config.plugins.iter().map(|it| &it.id)).map(Id::as_str);
    let known: Vec<&str> = ids.chain(["audit", "mqtt", "history", "plausible", "system"]).collect();
    warn!(plugins = named.join(","), "SEDGE_LOAD_PLUGINS is set: no other plugin is started.");
    for name in named.iter().filter(|name| !known.contains(&name.as_str())) {
        let near = sedge_plugin::schema::nearest(name, known.iter().copied()).unwrap_or("-");
        warn!(%name, near, "SEDGE_LOAD_PLUGINS names what is not there.");
    }
}

fn say_how_it_runs(running: &RunningNode) {
    let directory = running.directory();
    let well = directory.plugins.values().filter(|status| status.state.is_active()).count();
    // Those that wait for a call are as they should be.
    let off = |status: &&Arc<PluginStatus>| matches!(status.state, State::Disabled | State::Discovered);
    let amiss = directory.plugins.len() - well - directory.plugins.values().filter(off).count();
    info!(node = %directory.node.id, plugins = well, amiss, "Runs.");
}

/// The bridge to the broker of the config, or to the one inside.
fn bridge(mqtt: &Mqtt, inside: Option<SocketAddr>) -> Result<Option<Bridge>, Failure> {
    match inside {
        Some(address) => node::bridge_to(mqtt, address).map(Some),
        None if mqtt.urls.is_empty() => Ok(None),
        None => node::bridge(mqtt, node::brokers(&mqtt.urls)).map(Some),
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
            (config.mqtt.username_file, config.mqtt.password_file) = (None, None);
        }
        config.mqtt.urls = vec![url];
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

fn no_signals(error: std::io::Error) -> Failure {
    Failure::Failed(format!("cannot listen to signals: {error}"))
}
