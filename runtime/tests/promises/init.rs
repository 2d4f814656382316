//! The first config of a board: what is written, what is not overwritten, and that nothing is left of what was ended.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};

use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};
use serde_json::json;

use super::program::{Config, code, json, run, stderr, stdout};

/// What the package brings.
const PACKAGED: &str = "# The config of the node.\n\nconfig_version = 1   # of the file's form\n";

/// A picture of a new board: two thermometers on 1-Wire, I2C not enabled, a package that is installed.
fn board() -> Config {
    let board = Config::new("");
    for (file, text) in [
        ("root/sys/bus/w1/devices/28-0316a2794cff/temperature", "21437\n"),
        ("root/sys/bus/w1/devices/28-0316a2794d00/temperature", "4125\n"),
        ("root/sys/class/hwmon/hwmon0/name", "cpu_thermal\n"),
        ("root/boot/firmware/config.txt", "#dtparam=i2c_arm=on\n"),
        ("root/proc/sys/kernel/hostname", "raspberrypi\n"),
        ("root/proc/device-tree/serial-number", "10000000abcdef12\0"),
        ("root/proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.5\0"),
        ("root/etc/sedge/sedge.toml", PACKAGED),
        ("root/usr/lib/systemd/system/sedge.service", ""),
    ] {
        board.write(file, text);
    }
    board
}

const FILE: &str = "root/etc/sedge/sedge.toml";

async fn init(board: &Config, args: &[&str]) -> std::process::Output {
    let root = board.path("root");
    run(&[&["init", "--root", &root], args].concat()).await
}

/// The files in the folder of the config.
fn files(board: &Config) -> Vec<String> {
    let entries = std::fs::read_dir(board.path("root/etc/sedge")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_new_board_gets_a_config_that_is_right_and_gives_readings() {
    let board = board();
    let output = init(&board, &["--broker", "mqtts://broker.lan", "--every", "5s"]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    let text = stdout(&output);
    for part in [
        "sedge.toml is written: node `pi-abcdef12`, 2 sensors.",
        "sudo systemctl restart sedge",
        "sedge doctor",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let told = stderr(&output);
    assert!(told.contains("from the board's serial number"), "{told}");
    assert!(told.contains("there is no I2C bus: run `sudo raspi-config nonint do_i2c 0`"), "{told}");
    assert_eq!(files(&board), ["sedge.toml"]);
    let file = board.path(FILE);
    let output = run(&["check", "--deny-warnings", "-c", &file]).await;
    assert!(stdout(&output).ends_with("sedge.toml: ok\n"), "{output:?}");
    let shown = json(&run(&["config", "show", "--json", "-c", &file]).await).to_string();
    assert!(shown.contains("broker.lan") && shown.contains("\"every\":\"5s\""), "{shown}");
    let output = run(&["run", "--once", "--sim", "--json", "-c", &file]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    let readings = json(&output)["readings"].to_string();
    for sensor in ["\"ds18b20\"", "\"ds18b20-2\""] {
        assert!(readings.contains(sensor), "{readings}");
    }
}

#[tokio::test]
async fn what_a_person_wrote_is_not_replaced_and_with_force_it_is_kept() {
    let board = board();
    let mine = format!("{PACKAGED}\n[node]\nid = \"mine\"\n");
    board.write(FILE, &mine);
    let output = init(&board, &[]).await;
    assert_eq!((code(&output), board.read(FILE)), (1, mine.clone()), "{output:?}");
    for part in ["has settings in it", "--dry-run", "--force", "-o FILE"] {
        assert!(stderr(&output).contains(part), "{part}: {output:?}");
    }
    assert_eq!(files(&board), ["sedge.toml"]);

    let output = init(&board, &["--dry-run"]).await;
    assert_eq!((code(&output), board.read(FILE)), (0, mine.clone()), "{output:?}");
    assert!(stdout(&output).contains("id = \"pi-abcdef12\""), "{output:?}");

    for kept in ["sedge.toml.old", "sedge.toml.old-2"] {
        let before = board.read(FILE);
        let output = init(&board, &["--force", "--json", "--node", "pi-new"]).await;
        assert_eq!(code(&output), 0, "{output:?}");
        assert!(json(&output)["kept"].as_str().unwrap().ends_with(kept), "{output:?}");
        assert_eq!(
            (json(&output)["node"].as_str(), json(&output)["mistakes"].as_u64()),
            (Some("pi-new"), Some(0))
        );
        assert_eq!(board.read(&format!("root/etc/sedge/{kept}")), before);
    }

    let other = board.path("other.toml");
    let output = init(&board, &["-o", &other, "--no-scan"]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(board.read("other.toml").contains("Nobody looked for sensors"));
    assert!(stdout(&output).contains(&format!("sedge run -c {other}")), "{output:?}");
    assert_eq!(std::fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o644);
}

#[tokio::test]
async fn a_password_goes_into_a_file_of_its_own_that_is_its_owners_alone() {
    let board = board();
    board.write("secret", "hunter2\n");
    let secret = board.path("secret");
    let output = init(&board, &["--broker", "mqtts://b", "--password-file", &secret]).await;
    assert_eq!(code(&output), 2, "whose is it? {output:?}");
    assert_eq!(board.read(FILE), PACKAGED);
    for args in [
        &["--broker", "mqtts://b", "--user", "me", "--password-file", &secret][..],
        &["--broker", "mqtts://me:hunter2@b", "--force"],
    ] {
        let output = init(&board, args).await;
        assert_eq!(code(&output), 0, "{output:?}");
        let (config, told) = (board.read(FILE), stdout(&output) + &stderr(&output));
        assert!(config.contains("username = \"me\"") && !config.contains("hunter2"), "{config}");
        assert!(!told.contains("hunter2"), "{told}");
        let file = board.path("root/etc/sedge/credentials/mqtt-password");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "hunter2\n");
        let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&board.path("root/etc/sedge/credentials"))), (0o600, 0o700));
        let output = run(&["check", "--deny-warnings", "-c", &board.path(FILE)]).await;
        assert_eq!(code(&output), 0, "{output:?}");
    }
}

#[tokio::test]
async fn the_config_of_a_service_is_readable_for_its_group_and_nobody_else() {
    let board = board();
    let own = std::fs::metadata(board.path("root")).unwrap().gid();
    board.write("root/etc/group", &format!("root:x:0:\nsedge-site:x:1:\nsedge:x:{own}:\n"));
    assert_eq!(code(&init(&board, &[]).await), 0);
    let at = std::fs::metadata(board.path(FILE)).unwrap();
    assert_eq!((at.permissions().mode() & 0o777, at.gid()), (0o640, own));
}

#[tokio::test]
async fn what_another_file_says_already_is_not_said_again() {
    let board = board();
    let site = "node.id = \"pi-07\"\nmqtt.urls = [\"mqtts://site.lan\"]\n[bus.w1]\nkind = \"w1\"\n[sensor.tank]\nkind = \"ds18b20\"\n\
                bus = \"w1\"\naddress = \"28-0316a2794cff\"\n";
    board.write("root/etc/sedge/conf.d/50-site.toml", site);
    let output = init(&board, &["--json"]).await;
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(json(&output)["node"], "pi-07");
    let output = run(&["check", "--deny-warnings", "-c", &board.path(FILE)]).await;
    assert_eq!(code(&output), 0, "{output:?}\n{}", board.read(FILE));
    let text = board.read(FILE);
    assert!(text.contains("50-site.toml") && !text.contains("\nurl = "), "{text}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let board = board();
    for (args, part) in [
        (&["--node", "Pi_1"][..], "such as `pi-1`"),
        (&["--node", "all"], "means every node"),
        (&["--broker", "ftp://x"], "mqtt://"),
        (&["--every", "5ms"], "out of range"),
        (&["--user", "me", "--password-file", "/no/such/file"], "/no/such/file"),
        (&["-o", "a.toml", "-c", "b.toml"], "two files"),
    ] {
        let output = init(&board, args).await;
        assert_eq!(code(&output), 2, "{output:?}");
        assert!(stderr(&output).contains(part), "{part}: {output:?}");
    }
    let output = init(&board, &["-o", &board.path("nowhere/x.toml")]).await;
    assert!(code(&output) == 1 && stderr(&output).contains("there is no folder"), "{output:?}");
    assert_eq!((files(&board), board.read(FILE)), (vec!["sedge.toml".to_owned()], PACKAGED.to_owned()));
}

/// The program at a terminal.
struct Terminal {
    child: Child,
    terminal: File,
    /// Keeps it from ending before its settings are looked at.
    _line: OwnedFd,
    seen: String,
}

impl Terminal {
    fn init(board: &Config, args: &[&str]) -> Self {
        let pair = openpty(None, None).unwrap();
        let line = || Stdio::from(pair.slave.try_clone().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_sedge"));
        command.args(["init", "--root", &board.path("root")]).args(args).current_dir(std::env::temp_dir());
        command.env("RUNTIME_DIRECTORY", board.path("run")).env_remove("SEDGE_LOG");
        let child = command.stdin(line()).stdout(line()).stderr(line()).spawn().unwrap();
        Self { child, terminal: pair.master.into(), _line: pair.slave, seen: String::new() }
    }

    /// Waits for what it asks. The test ends where it never does, by the limit of the runner: it has ended then.
    fn asked(&mut self, part: &str) {
        let mut bytes = [0; 4096];
        while !self.seen.contains(part) {
            let count = self.terminal.read(&mut bytes).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    fn answer(&mut self, question: &str, answer: &str) {
        self.asked(question);
        self.seen.clear();
        self.terminal.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.terminal).unwrap().local_flags.contains(LocalFlags::ECHO)
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn ended(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn at_a_terminal_it_asks_and_what_was_answered_stands_in_the_config() {
    let board = board();
    let mut terminal = Terminal::init(&board, &[]);
    terminal.answer("Node id [pi-abcdef12]: ", "greenhouse");
    terminal.answer("[mqtt://127.0.0.1:1883]: ", "mqtts://broker.lan");
    terminal.answer("User at the broker", "me");
    terminal.asked("Password");
    // What is typed before that is thrown away, as it would be shown.
    while terminal.echoes() {
        std::thread::yield_now();
    }
    terminal.answer("Password", "hunter2");
    terminal.answer("[10s]: ", "");
    assert!(!terminal.seen.contains("hunter2"));
    terminal.answer("or none [all]: ", "2");
    terminal.asked("sedge check");
    assert!(terminal.echoes());
    assert!(!terminal.seen.contains("hunter2"));
    assert_eq!(terminal.ended(), 0);
    let text = board.read(FILE);
    for part in ["id = \"greenhouse\"", "username = \"me\"", "28-0316a2794d00"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("\naddress = \"28-0316a2794cff\""), "{text}");
    assert_eq!(board.read("root/etc/sedge/credentials/mqtt-password"), "hunter2\n");
    assert_eq!(files(&board), ["credentials", "sedge.toml"]);
}

#[test]
fn whoever_ends_the_questions_finds_nothing_changed_and_a_terminal_that_shows_what_is_typed() {
    for at in ["Node id", "Password"] {
        let board = board();
        let mut terminal = Terminal::init(&board, &[]);
        if at == "Password" {
            terminal.answer("Node id", "");
            terminal.answer("Broker", "");
            terminal.answer("User", "me");
        }
        terminal.asked(at);
        while at == "Password" && terminal.echoes() {
            std::thread::yield_now();
        }
        terminal.signal("-INT");
        terminal.asked("nothing was written");
        assert!(terminal.echoes(), "{at}");
        assert_eq!(terminal.ended(), 1);
        assert_eq!(
            (files(&board), board.read(FILE)),
            (vec!["sedge.toml".to_owned()], PACKAGED.to_owned()),
            "{at}"
        );
    }
}

#[test]
fn what_was_found_is_told_to_a_program() {
    let board = board();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = json(&runtime.block_on(init(&board, &["--dry-run", "--json", "--template", "full"])));
    assert_eq!(told["sensors"], json!(["ds18b20 28-0316a2794cff on w1", "ds18b20 28-0316a2794d00 on w1"]));
    assert!(told["text"].as_str().unwrap().contains("#[outbox]"), "{told}");
}
