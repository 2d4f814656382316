//! Shows the node's metrics to Prometheus.
//!
//! ```toml
//! [plugin.prometheus]
//! listen = "127.0.0.1:9464"
//! ```
//!
//! `GET /metrics` has what all plugins count of themselves (`sedge_KIND_NAME{plugin="ID"}`), how they fare, the node's time,
//! and the newest reading of each sensor: `sedge_reading{sensor="kitchen",field="temperature",unit="Cel"} 21.5`. A value whose quality is `rejected` is
//! left out; each quality but `ok` is told: `sedge_reading_quality{sensor="kitchen",field="humidity",quality="stuck"} 1`.
//!
//! It answers whoever reaches `listen`: there is no password and no TLS. Another address than the own machine's is the
//! operator's choice.

mod server;
mod text;

use std::net::SocketAddr;
use std::time::Duration;

use sedge_hal::{Worker, WorkerError};
use sedge_plugin::prelude::*;

use self::server::Server;
use crate::flight::Flight;

/// How often it looks whether its server is still there.
const LOOK: Duration = Duration::from_secs(5);

/// Settings of `[plugin.prometheus]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where it listens: an address and a port. `0.0.0.0:9464` is every address of the machine.
    #[schemars(extend("format" = "socket-address"))]
    pub listen: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".into() }
    }
}

/// The plugin: it has a server, as a service.
pub struct Prometheus;

impl Plugin for Prometheus {
    type Args = Settings;
    const MANIFEST: Manifest =
        Manifest::new("prometheus", env!("CARGO_PKG_VERSION"), "Shows the node's metrics to Prometheus.")
            .category(Category::Service)
            .tags(&["metrics"]);

    async fn setup(settings: &Settings, _: Context) -> Result<Self, PluginError> {
        settings.address()?;
        Ok(Self)
    }

    fn hooks(hooks: &mut impl Hooks<Self>, settings: &Settings, _: &Context) {
        hooks.service::<Exporter>("http", settings.clone());
    }
}

impl Settings {
    fn address(&self) -> Result<SocketAddr, PluginError> {
        self.listen.parse().map_err(|_| {
            let text =
                format!("listen = \"{}\": write an address and a port, such as 127.0.0.1:9464", self.listen);
            PluginError::Settings(text.into())
        })
    }
}

/// Serves `/metrics` until it is stopped.
pub struct Exporter {
    server: Server,
    /// The thread that accepts; it ends when the port is free and all connections are closed.
    serving: Flight<Result<(), WorkerError>>,
}

impl Plugin for Exporter {
    type Args = Settings;
    const MANIFEST: Manifest =
        Manifest::new("prometheus-http", env!("CARGO_PKG_VERSION"), "Serves the node's metrics.")
            .category(Category::Service);

    async fn setup(settings: &Settings, ctx: Context) -> Result<Self, PluginError> {
        let mut server = Server::bind(settings.address()?).map_err(PluginError::failed)?;
        let worker = Worker::spawn("prometheus", || ());
        let worker = worker.map_err(|error| PluginError::failed(format!("no thread: {error}")))?;
        let accepting = server.accepting(move || text::page(&ctx));
        let mut exporter = Self { server, serving: Flight::NONE };
        exporter.serving.begin(async move { worker.ask(move |()| accepting.run()).await });
        exporter.alive().await?;
        Ok(exporter)
    }

    fn every(&self) -> Option<Duration> {
        Some(LOOK)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        self.alive().await
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.server.stop();
        self.serving.end().await;
        Ok(())
    }
}

impl Exporter {
    async fn alive(&mut self) -> Result<(), PluginError> {
        let ended = self.serving.look().await;
        if ended.is_none() && self.serving.is_on() {
            return Ok(());
        }
        let why = ended.and_then(Result::err).map(|error| format!(": {error}")).unwrap_or_default();
        Err(PluginError::failed(format!("its server has ended{why}")))
    }
}

#[cfg(test)]
mod tests;
