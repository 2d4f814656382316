//! The node as systemd sees it: what it says at `NOTIFY_SOCKET`, and how it ends.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::net::UnixDatagram;

use super::clients::within;
use super::outside::{NODE, ROLL, manifest, script};
use super::program::{Config, Running, code, run, run_with, stderr};

/// What listens in systemd's place, beside a config.
struct Manager {
    socket: UnixDatagram,
    path: String,
    heard: Mutex<VecDeque<String>>,
}

impl Manager {
    fn beside(config: &Config) -> Self {
        let path = config.path("notify");
        Self { socket: UnixDatagram::bind(&path).unwrap(), path, heard: Mutex::default() }
    }

    /// A watchdog that is far longer than a test has to wait for three of its bites.
    fn variables(&self) -> [(&str, &str); 2] {
        [("NOTIFY_SOCKET", &self.path), ("WATCHDOG_USEC", "3000000")]
    }

    async fn line(&self) -> String {
        loop {
            if let Some(line) = self.heard.lock().unwrap().pop_front() {
                return line;
            }
            let mut datagram = [0; 8192];
            let length = self.socket.recv(&mut datagram).await.unwrap();
            let text = String::from_utf8(datagram[..length].to_vec()).unwrap();
            self.heard.lock().unwrap().extend(text.lines().map(str::to_owned));
        }
    }

    /// The next line that has `part` in it.
    async fn line_with(&self, part: &str) -> String {
        within(async {
            loop {
                let line = self.line().await;
                if line.contains(part) {
                    return line;
                }
            }
        })
        .await
    }

    /// What has been said and was not looked at.
    fn rest(&self) -> Vec<String> {
        let mut datagram = [0; 8192];
        let mut heard = self.heard.lock().unwrap();
        while let Ok(length) = self.socket.try_recv(&mut datagram) {
            heard.extend(std::str::from_utf8(&datagram[..length]).unwrap().lines().map(str::to_owned));
        }
        heard.drain(..).collect()
    }
}

#[tokio::test]
async fn systemd_hears_that_a_node_is_ready_lives_reads_its_config_again_and_stops() {
    let config = Config::new(NODE);
    let manager = Manager::beside(&config);
    let node = Running::logged_with(&["run", "-c", &config.file()], &manager.variables());
    manager.line_with("STATUS=Starting: ").await;
    manager.line_with("READY=1").await;
    for _ in 0..3 {
        manager.line_with("WATCHDOG=1").await;
    }
    config.write("node.toml", &NODE.replace("bme280", "bme208"));
    node.signal("HUP").await;
    manager.line_with("RELOADING=1").await;
    manager.line_with("MONOTONIC_USEC=").await;
    manager.line_with("READY=1").await;
    let refused = manager.line_with("the new config is refused").await;
    assert!(refused.contains("bme208"), "{refused}");
    config.write("node.toml", NODE);
    node.signal("HUP").await;
    manager.line_with("READY=1").await;
    let status = manager.line_with("STATUS=").await;
    assert!(!status.contains("refused"), "{status}");
    node.signal("TERM").await;
    manager.line_with("STOPPING=1").await;
    assert_eq!(node.ended().await, 0);
}

#[tokio::test]
async fn a_plugin_that_hangs_does_not_starve_the_watchdog_and_hears_nothing_of_it() {
    let config = Config::new(&format!("{NODE}[plugin.mute]\n"));
    let report = format!("env > {}; exec sleep 600", config.path("environment"));
    let mute = script("mute", ROLL, "").replace("while hear; do", &format!("{report}\nwhile hear; do"));
    config.write("plugins/mute/main.sh", &mute);
    let rest = "category = \"tool\"\n[[tool]]\nname = \"dice_roll\"\ndescription = \"Rolls.\"";
    config.write("plugins/mute/plugin.toml", &manifest("mute", rest));
    let manager = Manager::beside(&config);
    let node = Running::logged_with(&["run", "-c", &config.file()], &manager.variables());
    manager.line_with("READY=1").await;
    for _ in 0..3 {
        manager.line_with("WATCHDOG=1").await;
    }
    let environment = config.read("environment");
    assert!(environment.contains("PATH="), "{environment}");
    for name in ["NOTIFY_SOCKET", "WATCHDOG_", "CREDENTIALS_DIRECTORY"] {
        assert!(!environment.contains(name), "{environment}");
    }
    node.signal("TERM").await;
    node.ended().await;
}

#[tokio::test]
async fn a_config_that_cannot_be_run_ends_with_78_and_systemd_is_told_why() {
    let newer = "config_version = 99\n";
    let credential = "[mqtt]\nurl = \"mqtt://h\"\npassword_file = \"credential:nobody\"\nusername = \"u\"\n";
    for (text, why) in [
        (newer, "config_version 99 is newer"),
        ("[mqtt]\nurl = 5\n", "node.toml:2:7"),
        (credential, "credentials/nobody"),
    ] {
        let config = Config::new(text);
        let manager = Manager::beside(&config);
        let output = run_with(&["run", "-c", &config.file()], &manager.variables()).await;
        assert_eq!(code(&output), 78, "{text}: {output:?}");
        let told = manager.rest();
        let refused = told.iter().find(|line| line.starts_with("STATUS=The config is refused: "));
        assert!(refused.is_some_and(|line| line.contains(why)) || text == credential, "{why}: {told:?}");
        assert!(stderr(&output).contains(why) || text == credential, "{output:?}");
        assert!(!told.iter().any(|line| line == "READY=1"), "{told:?}");
    }
    let config = Config::new(newer);
    let shown = stderr(&run(&["check", &config.file()]).await);
    assert!(shown.contains("upgrade sedge, or go back to a config"), "{shown}");
}

#[tokio::test]
async fn a_node_with_no_place_for_its_data_runs_and_says_so() {
    let config = Config::new(NODE);
    let manager = Manager::beside(&config);
    // Below a file there is no folder, for root neither.
    let below = config.path("node.toml/state");
    let variables = [&manager.variables()[..], &[("STATE_DIRECTORY", &below)]].concat();
    let node = Running::logged_with(&["run", "-c", &config.file()], &variables);
    manager.line_with("READY=1").await;
    manager.line_with("readings are kept in memory: ").await;
    manager.line_with("WATCHDOG=1").await;
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
}

#[tokio::test]
async fn what_is_no_mistake_in_the_config_does_not_end_with_78() {
    let config = Config::new(NODE);
    let node = Running::logged(&["run", "-c", &config.file()]);
    let mut node = node;
    node.line_with("Runs.").await;
    let second = run(&["run", "-c", &config.file()]).await;
    assert_eq!(code(&second), 1, "{second:?}");
    node.signal("TERM").await;
    assert_eq!(node.ended().await, 0);
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("[mqtt]\nembedded = true\nlisten = \"{}\"\n", busy.local_addr().unwrap());
    let taken = run(&["run", "-c", &Config::new(&text).file()]).await;
    assert_eq!(code(&taken), 1, "{taken:?}");
}
