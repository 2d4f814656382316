//! A broker inside the node, for the demo, for tests and for a board that stands alone.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sedge::broker::EmbeddedBroker;
//! let broker = EmbeddedBroker::start(([127, 0, 0, 1], 1883).into()).await?;
//! println!("mqtt://{}", broker.local_addr());
//! broker.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! MQTT 5 and 3.1.1 on one port. It asks nobody for a password, so it belongs on the loopback address. Everything it
//! keeps, it keeps in memory: nothing is written to disk, and a restart forgets retained messages and sessions. In
//! production a broker of its own (Mosquitto) does this work.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mqtt5::broker::config::{BrokerConfig, StorageBackend, StorageConfig};
use mqtt5::broker::{BrokerShutdownHandle, MqttBroker};
use tokio::task::JoinHandle;

/// For the node's log filter: what the broker's library has to say at each connection is not an operator's matter.
pub const QUIET: &str = "mqtt5=error,mqtt5_protocol=error";

const MAX_CLIENTS: usize = 1000;
const MAX_PACKET_BYTES: usize = 1024 * 1024;
const MAX_RETAINED: usize = 20_000;
const MAX_SUBSCRIPTIONS_PER_CLIENT: usize = 1000;
/// What is kept for a client that is away.
const MAX_QUEUED_PER_CLIENT: usize = 10_000;
const MAX_QUEUED_BYTES_PER_CLIENT: usize = 8 * 1024 * 1024;
/// What clients get to read what was published last.
const LAST_WORDS: Duration = Duration::from_millis(250);
const LONGEST_SESSION: Duration = Duration::from_secs(24 * 3600);

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Somebody else has the port. Another one, or 0 for any, may be tried.
    #[error("port {} of {} is taken", .0.port(), .0.ip())]
    PortTaken(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The library did not start.
    #[error("the embedded broker did not start: {0}")]
    Start(String),
}

/// A running broker. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct EmbeddedBroker {
    address: SocketAddr,
    stop: Stop,
    task: JoinHandle<()>,
}

/// Stops the broker when it is dropped.
struct Stop(BrokerShutdownHandle);

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stop")
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

impl EmbeddedBroker {
    /// Starts it; with port 0 on any free one. Clients may connect when this returns.
    pub async fn start(address: SocketAddr) -> Result<Self, BrokerError> {
        // The library tells a failure to bind as a text; the error of the system is wanted.
        std::net::TcpListener::bind(address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => BrokerError::PortTaken(address),
            _ => BrokerError::Listen { address, error },
        })?;
        let started = MqttBroker::with_config(config(address)).await;
        let mut broker = started.map_err(|error| BrokerError::Start(error.to_string()))?;
        let address = broker.local_addr().ok_or_else(|| BrokerError::Start("it does not listen".into()))?;
        let stop = Stop(broker.shutdown_handle());
        let mut ready = broker.ready_receiver();
        let task = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                tracing::error!(%error, "The embedded broker has ended.");
            }
        });
        match ready.wait_for(|ready| *ready).await {
            Ok(_) => {}
            Err(_) => return Err(BrokerError::Start("it ended at once".into())),
        }
        Ok(Self { address, stop, task })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Says goodbye to the clients and frees the port. Takes at most about five seconds.
    pub async fn shutdown(self) {
        // The library drops what it has not written yet, such as the last word of the node to a subscriber.
        tokio::time::sleep(LAST_WORDS).await;
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "The embedded broker did not end in good order.");
        }
    }
}

fn config(address: SocketAddr) -> BrokerConfig {
    let storage = StorageConfig::new()
        .with_backend(StorageBackend::Memory)
        .with_max_queued_messages_per_client(MAX_QUEUED_PER_CLIENT)
        .with_max_queued_bytes_per_client(MAX_QUEUED_BYTES_PER_CLIENT);
    let mut config = BrokerConfig::new()
        .with_bind_address(address)
        .with_storage(storage)
        .with_max_clients(MAX_CLIENTS)
        .with_max_packet_size(MAX_PACKET_BYTES)
        .with_max_retained_messages(MAX_RETAINED)
        .with_max_retained_message_size(MAX_PACKET_BYTES)
        .with_max_subscriptions_per_client(MAX_SUBSCRIPTIONS_PER_CLIENT)
        .with_session_expiry(LONGEST_SESSION)
        .with_sys_topics_enabled(false);
    // It limits wrong passwords, and there are none.
    config.auth_config.rate_limit.enabled = false;
    config
}
