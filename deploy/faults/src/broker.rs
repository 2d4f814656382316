//! A Mosquitto of the harness's own, that can be killed, stopped, wiped, and told to let nobody in.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::Trouble;
use crate::node::signal;

/// How long it may take to start and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a broker keeps over its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing.
    Nothing,
    /// Sessions and what waits in them, where it ends in good order.
    Sessions,
}

/// See the module. Dropping it kills it.
pub struct Broker {
    /// Where it listens.
    pub address: SocketAddr,
    program: PathBuf,
    folder: PathBuf,
    keeps: Keeps,
    child: Option<Child>,
}

impl Broker {
    /// Starts one with its files in a folder.
    ///
    /// # Errors
    /// When Mosquitto is not there or does not start.
    pub async fn start(folder: &Path, keeps: Keeps) -> Result<Self, Trouble> {
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"];
        let program = program.iter().map(PathBuf::from).find(|path| path.exists());
        let program = program.ok_or_else(|| Trouble::NotAllowed("mosquitto is not installed".into()))?;
        let address = free(IpAddr::from([127, 0, 0, 1]))?;
        let mut broker = Self { address, program, folder: folder.into(), keeps, child: None };
        broker.again(true).await?;
        Ok(broker)
    }

    /// Starts it again, at the same address. `open`: whether it lets anybody in.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn again(&mut self, open: bool) -> Result<(), Trouble> {
        let config = self.folder.join("mosquitto.conf");
        std::fs::write(&config, self.config(open)).map_err(Trouble::about("the broker's config"))?;
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("mosquitto.log"));
        let log = log.map_err(Trouble::about("the broker's log"))?;
        let mut command = Command::new(&self.program);
        command
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        self.child = Some(command.spawn().map_err(Trouble::about("mosquitto"))?);
        let listens = async {
            while TcpStream::connect(self.address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let late = |_| Trouble::Late { what: "the broker's start".into(), seconds: PATIENCE.as_secs() };
        tokio::time::timeout(PATIENCE, listens).await.map_err(late)
    }

    fn config(&self, open: bool) -> String {
        let Self { address, folder, .. } = self;
        let mut config = format!("listener {} {}\nallow_anonymous {open}\n", address.port(), address.ip());
        // Nothing of what waits for the subscriber may be dropped.
        config.push_str("max_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n");
        if self.keeps == Keeps::Sessions {
            config.push_str(&format!("persistence true\npersistence_location {}/\n", folder.display()));
        }
        if nix::unistd::geteuid().is_root() {
            config.push_str("user root\n");
        }
        config
    }

    /// Ends it in good order: it keeps what it is to keep.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&mut self) -> Result<(), Trouble> {
        self.end(Signal::SIGTERM).await
    }

    /// Kills it: it keeps nothing of what is new.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn kill(&mut self) -> Result<(), Trouble> {
        self.end(Signal::SIGKILL).await
    }

    async fn end(&mut self, how: Signal) -> Result<(), Trouble> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(&child, how)?;
        let late = |_| Trouble::Late { what: "the broker's end".into(), seconds: PATIENCE.as_secs() };
        tokio::time::timeout(PATIENCE, child.wait())
            .await
            .map_err(late)?
            .map_err(Trouble::about("mosquitto"))?;
        Ok(())
    }

    /// Takes away what it has kept. It must have ended.
    ///
    /// # Errors
    /// When that fails.
    pub fn wipe(&self) -> Result<(), Trouble> {
        match std::fs::remove_file(self.folder.join("mosquitto.db")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Trouble::Harness { what: "wiping the broker".into(), error })
            }
            _ => Ok(()),
        }
    }

    /// Stops it where it stands: its connections stay, and nobody answers.
    ///
    /// # Errors
    /// When it is gone.
    pub fn freeze(&self) -> Result<(), Trouble> {
        self.child.as_ref().map_or(Ok(()), |child| signal(child, Signal::SIGSTOP))
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn thaw(&self) -> Result<(), Trouble> {
        self.child.as_ref().map_or(Ok(()), |child| signal(child, Signal::SIGCONT))
    }
}

/// An address that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free(ip: IpAddr) -> Result<SocketAddr, Trouble> {
    let bound = std::net::TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr());
    bound.map_err(Trouble::about("a free port"))
}
