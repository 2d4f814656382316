//! The program under test, as its user runs it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::{Trouble, payload};

/// How it names itself.
pub const ID: &str = "faults";

/// What its topics begin with.
pub const STEM: &str = "sedge/v1/faults";

/// How long it may take to end in good order.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a node is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program.
    pub program: PathBuf,
    /// Its sensors.
    pub sensors: Vec<String>,
    /// The time between two readings of a sensor.
    pub every: Duration,
    /// Where it keeps what it must keep; none: a folder beside its config.
    pub data: Option<PathBuf>,
    /// What stands before the program, to run it elsewhere.
    pub prefix: Vec<String>,
    /// Variables.
    pub variables: Vec<(String, String)>,
    /// More lines of the config.
    pub more: String,
}

impl Setup {
    /// Four sensors that are read fifty times a second.
    pub fn new(program: &Path) -> Self {
        Self {
            program: program.into(),
            sensors: (1..=4).map(|n| format!("s{n}")).collect(),
            every: Duration::from_millis(20),
            data: None,
            prefix: Vec::new(),
            variables: Vec::new(),
            more: String::new(),
        }
    }

    /// Writes its config and its cassettes.
    ///
    /// # Errors
    /// When that fails.
    pub fn write(&self, folder: &Path, broker: std::net::SocketAddr) -> Result<(), Trouble> {
        let about = || Trouble::about("the node's config");
        let data = self.data.clone().unwrap_or_else(|| folder.join("data"));
        let mut config = format!(
            "[node]\nid = \"{ID}\"\ndata = \"{}\"\n[mqtt]\nurl = \"mqtt://{broker}\"\nkeep_alive = \"5s\"\n{}\n",
            data.display(),
            self.more,
        );
        config.push_str("[plugin.system]\nenabled = false\n[plugin.plausible]\nenabled = false\n");
        for sensor in &self.sensors {
            let (file, every) = (format!("{sensor}.cassette"), self.every.as_millis());
            std::fs::write(folder.join(&file), payload::cassette(sensor)).map_err(about())?;
            config.push_str(&format!(
                "[bus.of-{sensor}]\nkind = \"replay\"\nfile = \"{file}\"\n[sensor.{sensor}]\nkind = \"mpu6050\"\n\
                 bus = \"of-{sensor}\"\naddress = 0x68\nevery = \"{every}ms\"\n"
            ));
        }
        std::fs::write(folder.join("node.toml"), config).map_err(about())
    }

    /// A command of the program, for the node whose config is in a folder.
    pub fn command(&self, folder: &Path, args: &[&str]) -> Command {
        let mut words = self.prefix.iter().map(PathBuf::from).chain([self.program.clone()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(args).arg("-c").arg(folder.join("node.toml"));
        command.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
        for variable in ["STATE_DIRECTORY", "SEDGE_LOG", "SEDGE_LOAD_PLUGINS"] {
            command.env_remove(variable);
        }
        command.env("RUNTIME_DIRECTORY", folder.join("run")).env("XDG_DATA_HOME", folder.join("home"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it. Its log is beside its config.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, folder: &Path) -> Result<Node, Trouble> {
        let log = File::options().create(true).append(true).open(folder.join("node.log"));
        let log = log.map_err(Trouble::about("the node's log"))?;
        let mut command = self.command(folder, &["run"]);
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        Ok(Node { child: child.map_err(Trouble::about("the node"))? })
    }
}

/// One that runs. Dropping it kills it.
pub struct Node {
    child: Child,
}

impl Node {
    /// Kills it, now.
    ///
    /// # Errors
    /// When it has ended before.
    pub async fn kill(&mut self) -> Result<(), Trouble> {
        if let Some(status) = self.ended()? {
            return Err(Trouble::about("the node")(std::io::Error::other(format!(
                "it ended by itself: {status}"
            ))));
        }
        self.child.kill().await.map_err(Trouble::about("killing the node"))
    }

    /// How it has ended; none while it runs.
    ///
    /// # Errors
    /// When that cannot be known.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>, Trouble> {
        self.child.try_wait().map_err(Trouble::about("the node"))
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub async fn stop(mut self) -> Result<(), Trouble> {
        signal(&self.child, Signal::SIGTERM)?;
        let late = |_| Trouble::Late { what: "the node's end".into(), seconds: PATIENCE.as_secs() };
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.map_err(late)?;
        let status = status.map_err(Trouble::about("the node's end"))?;
        match status.success() {
            true => Ok(()),
            false => Err(Trouble::about("the node's end")(std::io::Error::other(status.to_string()))),
        }
    }
}

/// Sends a signal to a child that has not been waited for.
pub(crate) fn signal(child: &Child, signal: Signal) -> Result<(), Trouble> {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let gone = || Trouble::about("a signal")(std::io::Error::other("the process has ended"));
    kill(pid.ok_or_else(gone)?, signal).map_err(|error| Trouble::about("a signal")(error.into()))
}
