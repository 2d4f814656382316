//! The two brokers that every promise is kept with: the embedded one, and Mosquitto.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::clients::within;

#[path = "../../../../../runtime/src/broker.rs"]
#[expect(dead_code, reason = "the node's broker, taken as it is")]
mod embedded;

/// A running broker; dropping it ends it.
pub struct Broker {
    pub address: SocketAddr,
    #[allow(dead_code, reason = "this file is used by the tests of two crates")]
    keeper: Keeper,
}

#[expect(dead_code, reason = "kept so that the broker runs")]
enum Keeper {
    Embedded(embedded::EmbeddedBroker),
    Mosquitto(Child, tempdir::Dir, tokio::net::TcpSocket),
}

/// Which one.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Embedded,
    Mosquitto,
}

impl Broker {
    /// None where Mosquitto is wanted and not installed.
    pub async fn start(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Embedded => {
                let broker = embedded::EmbeddedBroker::start(([127, 0, 0, 1], 0).into()).await.unwrap();
                Some(Self { address: broker.local_addr(), keeper: Keeper::Embedded(broker) })
            }
            Kind::Mosquitto => Self::mosquitto("allow_anonymous true").await,
        }
    }

    /// Has Mosquitto read its files again.
    #[allow(dead_code, reason = "this file is used by the tests of two crates")]
    pub fn reload(&self) {
        if let Keeper::Mosquitto(child, ..) = &self.keeper {
            let pid = child.id().unwrap().to_string();
            assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        }
    }

    /// Mosquitto with more lines in its config.
    pub async fn mosquitto(config: &str) -> Option<Self> {
        let dir = tempdir::Dir::new();
        let (reserved, address) = reserved();
        let file = dir.path().join("mosquitto.conf");
        let listener = format!("listener {} 127.0.0.1\n", address.port());
        std::fs::write(&file, format!("{listener}persistence false\nmax_queued_messages 100000\n{config}\n"))
            .unwrap();
        let child = Command::new("mosquitto")
            .env("PATH", format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default()))
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) if std::env::var_os("SEDGE_REQUIRE_MOSQUITTO").is_some() => {
                panic!("no mosquitto: {error}")
            }
            Err(_) => {
                #[expect(clippy::print_stdout, reason = "a test that was not run should say so")]
                {
                    println!("skipped: mosquitto is not installed");
                }
                return None;
            }
        };
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        within(async {
            loop {
                let line = log.next_line().await.unwrap().expect("mosquitto did not start");
                if line.contains(" running") {
                    break;
                }
            }
        })
        .await;
        // It goes on writing; somebody must read.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Some(Self { address, keeper: Keeper::Mosquitto(child, dir, reserved) })
    }
}

/// An address of nobody's. Bound and not listening: Mosquitto, which asks for reuse too, may listen there.
pub fn reserved() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

pub mod tempdir {
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};

    static NEXT: AtomicU32 = AtomicU32::new(0);

    /// A folder that goes with its value.
    pub struct Dir(PathBuf);

    impl Dir {
        pub fn new() -> Self {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("sedge-mqtt-{}-{number}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
