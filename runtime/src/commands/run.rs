//! `sedge run`: a node, until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sedge_actors::{Change, NodeHandle, RunningNode};
use sedge_config::{BrokerUrl, Config, Mqtt, Severity as Gravity};
use sedge_plugin::topics::{Event, Severity};
use sedge_plugin::{Clock, Id, Name, NodeInfo, PluginStatus, State};
use serde_json::{Value as Json, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::node;
use crate::assemble::{Bridge, House, guards};
use crate::buses::simulated;
use crate::cli::{Global, RunArgs};
use crate::control;
use crate::exit::Failure;
use crate::load::{Loaded, find, load, only_plugins};
use crate::outbox::{Outbox, metrics};
use crate::synced::tell_of_time;

/// The signal of Linux for a file that is larger than its limit.
const SIGXFSZ: i32 = 25;

/// Runs a node.
pub async fn run(global: &Global, args: &RunArgs) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let mut hangup = signal(SignalKind::hangup()).map_err(no_signals)?;
    let loaded = load(global)?;
    loaded.show(global);
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
    let mut node =
        Reloadable { running, house, address, mqtt, data, outbox: outbox.clone(), kept, global, args };
    loop {
        tokio::select! {
            () = stop.asked() => break,
            Some(()) = hangup.recv() => drop(node.reload().await),
            Some(wish) = reloads.recv() => {
                let _ = wish.send(node.reload().await);
            }
        }
    }
    info!("Stopping.");
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

/// A node that can be told to read its config again.
struct Reloadable<'a> {
    running: RunningNode,
    house: House,
    /// Of the embedded broker.
    address: Option<SocketAddr>,
    mqtt: Mqtt,
    data: Option<PathBuf>,
    outbox: Option<Outbox>,
    kept: sedge_config::Outbox,
    global: &'a Global,
    args: &'a RunArgs,
}

impl Reloadable<'_> {
    /// Reads the config again, and restarts what has changed. A config with a mistake is refused whole.
    async fn reload(&mut self) -> Result<Json, String> {
        let outcome = self.read_and_apply().await;
        let (kind, severity, text, data) = match &outcome {
            Ok(changed) => (
                "config_applied",
                Severity::Info,
                "the config was read again and applied".into(),
                changed.clone(),
            ),
            Err(why) => {
                error!(why, "The new config is refused; all runs on as before.");
                ("config_refused", Severity::Error, format!("the new config is refused: {why}"), Json::Null)
            }
        };
        if let Ok(kind) = Name::new(kind) {
            self.running.raise(Event { kind, severity, text, data }).await;
        }
        outcome
    }

    async fn read_and_apply(&mut self) -> Result<Json, String> {
        let told = |failure: Failure| failure.to_string();
        let file = find(self.global.config.as_deref()).unwrap_or_default();
        // What somebody is about to write is empty for a moment, and a pipe has been read.
        if std::fs::metadata(&file).is_ok_and(|at| !at.is_file() || at.len() == 0) {
            return Err(format!("{} is empty, or not a file", file.display()));
        }
        let loaded = load(self.global).map_err(told)?;
        let along = loaded.along();
        let mistakes: Vec<String> = loaded
            .diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == Gravity::Error)
            .map(sedge_config::Diagnostic::one_line)
            .chain(loaded.refused.iter().cloned())
            .collect();
        if let Some(first) = mistakes.first() {
            let more = if mistakes.len() > 1 {
                format!(" (and {} more)", mistakes.len() - 1)
            } else {
                String::new()
            };
            return Err(format!("{first}{more}"));
        }
        let config =
            usable(loaded, self.args).and_then(|config| overridden(config, self.global)).map_err(told)?;
        self.check_what_stays(&config)?;
        let bridge = bridge(&config.mqtt, self.address).map_err(told)?;
        let (mqtt, kept) = (config.mqtt.clone(), config.outbox.clone());
        let before = self.running.directory().node.clone();
        let change = Change {
            guards: guards(&config),
            info: NodeInfo {
                id: before.id,
                started_at: before.started_at,
                ..node::info(&config, &sedge_hal::SystemClock, before.boot)
            },
            config: along.effective.clone(),
            plugins: {
                self.house.look_again(along);
                self.house.plugins(config, bridge, only_plugins().as_deref())
            },
        };
        let changed = self.running.apply(change).await?;
        self.mqtt = mqtt;
        if let Some(outbox) = &self.outbox {
            outbox.set_rules(&kept);
        }
        let sedge_actors::Changed { started, restarted, stopped, kept } = changed;
        Ok(json!({ "started": started, "restarted": restarted, "stopped": stopped, "kept": kept }))
    }

    /// What cannot change while the node runs.
    fn check_what_stays(&self, config: &Config) -> Result<(), String> {
        let running = &self.running.directory().node.id;
        let restart = |what: &str| Err(format!("{what} cannot change while the node runs; restart it"));
        // A host that has got another name is no reason to refuse a config that names no id.
        if config.node.id.as_ref().is_some_and(|id| id != running) {
            return restart("`id` of `[node]`");
        }
        if config.node.data != self.data {
            return restart("`data` of `[node]`");
        }
        if (config.outbox.storage, config.outbox.max_bytes) != (self.kept.storage, self.kept.max_bytes) {
            return restart("`storage` and `max_bytes` of `[outbox]`");
        }
        if (config.mqtt.embedded, config.mqtt.listen) != (self.mqtt.embedded, self.mqtt.listen) {
            return restart("the embedded broker of `[mqtt]`");
        }
        Ok(())
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

/// The signals that ask a program to stop.
pub(crate) struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stop {
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(no_signals);
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
