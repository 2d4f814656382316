//! The text of a first config: what is active is what was wished for and found; the rest explains itself as comments.
//!
//! A comment that is a setting begins with `#` and no space, one that is a sentence with `# `. So the settings can be made
//! active by taking the `#` away, and a test does so. It must not read or write anything.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use sedge_plugin::{Every, Id};

use super::Broker;
use super::board::Board;
use crate::cli::Template;
use crate::commands::example;
use crate::commands::scan::{Names, toml_every};

/// Column at which the explanation of a key begins.
const COLUMN: usize = 40;

/// What the config is to say. Where another file says something already: which one.
pub(super) struct Plan<'a> {
    pub(super) id: Result<&'a Id, &'a String>,
    pub(super) broker: Result<&'a Broker, &'a String>,
    pub(super) login: &'a Login,
    pub(super) every: Every,
    pub(super) template: Template,
    pub(super) file: &'a Path,
}

/// Where the password is.
#[derive(Debug)]
pub(super) enum Login {
    /// There is none.
    Nothing,
    /// In a file that systemd makes a credential of: the config need not name it.
    Credential(PathBuf),
    /// In a file that is written beside the config.
    File(PathBuf),
    /// In a file that somebody else has.
    Theirs(PathBuf),
}

impl Login {
    /// Whether a file is to be written.
    pub(super) fn is_written(&self) -> bool {
        matches!(self, Self::Credential(_) | Self::File(_))
    }
}

/// The text. Names that are taken are not taken again.
pub(super) fn text(plan: &Plan<'_>, board: &Board, mut names: Names) -> String {
    let mut text = head(plan);
    node(&mut text, plan);
    mqtt(&mut text, plan);
    system(&mut text, plan);
    found(&mut text, plan, board, &mut names);
    if plan.template == Template::Full {
        text.push_str(MORE);
    }
    text
}

/// A line with an explanation behind it.
fn key(text: &mut String, line: &str, why: &str) {
    let _ = writeln!(text, "{line:<width$} # {why}", width = COLUMN - 3);
}

fn string(value: &str) -> String {
    example::toml(&value.into())
}

fn head(plan: &Plan<'_>) -> String {
    format!(
        "# The config of a Sedge node, written by `sedge init`. It is yours: change what you like.\n\
         # `sedge check -c {}` finds mistakes; `sudo systemctl reload sedge` (or `sedge reload`) makes changes effective.\n\
         # All keys: `sedge config schema`. Files in conf.d/ beside this one are laid over it.\n\n\
         config_version = 1\n",
        plan.file.display()
    )
}

fn node(text: &mut String, plan: &Plan<'_>) {
    text.push_str("\n[node]\n");
    match plan.id {
        Ok(id) => key(
            text,
            &format!("id = \"{id}\""),
            &format!("in all topics: sedge/v1/{id}/…; no other node has it"),
        ),
        Err(place) => {
            let _ = writeln!(text, "# the node's id is set already: {place}");
        }
    }
    key(text, "#labels = { room = \"kitchen\" }", "words that others are told of this node");
}

fn mqtt(text: &mut String, plan: &Plan<'_>) {
    text.push_str("\n[mqtt]\n");
    match plan.broker {
        Err(place) => {
            let _ = writeln!(text, "# the broker is set already: {place}");
        }
        Ok(Broker { url, .. }) if url == "embedded" => {
            key(text, "embedded = true", "the broker is inside the node");
            key(text, "#listen = \"0.0.0.0:1883\"", "let others in; it asks nobody for a password");
        }
        Ok(Broker { url, user }) => {
            key(
                text,
                &format!("url = {}", string(url)),
                "mqtts:// for TLS, ws:// and wss:// over websockets",
            );
            login(text, user.as_deref(), plan.login);
            if url.starts_with("mqtts") || url.starts_with("wss") {
                key(
                    text,
                    "#ca_file = \"/etc/sedge/ca.pem\"",
                    "who signed the broker's certificate [the system's authorities]",
                );
            }
        }
    }
    match plan.template {
        Template::Ha => {
            key(text, "discovery = true", "Home Assistant finds the node's sensors and tools by itself");
            key(text, "discovery_prefix = \"homeassistant\"", "as in the settings of its MQTT integration");
        }
        _ => key(text, "#discovery = false", "tell Home Assistant nothing of this node"),
    }
}

fn login(text: &mut String, user: Option<&str>, login: &Login) {
    let Some(user) = user else {
        key(text, "#username = \"NAME\"", "where the broker wants to know who it is");
        return;
    };
    let user = format!("username = {}", string(user));
    match login {
        Login::Nothing => {
            key(text, &user, "no password was given; it would stand in credentials/mqtt-password")
        }
        Login::Credential(file) => key(text, &user, &format!("its password is in {}", file.display())),
        Login::File(file) | Login::Theirs(file) => {
            let _ = writeln!(text, "{user}");
            let _ = writeln!(text, "password_file = {}", string(&file.display().to_string()));
        }
    }
}

fn system(text: &mut String, plan: &Plan<'_>) {
    text.push_str("\n[plugin.system]\n");
    key(
        text,
        &format!("every = \"{}\"", plan.every),
        "this board itself: processor, memory, disks, networks",
    );
    key(text, "#enabled = false", "measure nothing of it");
}

fn found(text: &mut String, plan: &Plan<'_>, board: &Board, names: &mut Names) {
    let (looks, devices) = board.part(true);
    let sections = toml_every(&looks, &devices, names, plan.every);
    if !sections.is_empty() {
        text.push_str("\n# ---- What was found. The name behind the dot is the sensor's in topics: call it as you like.\n\n");
        text.push_str(sections.trim_end());
        text.push('\n');
    }
    let (mut looks, devices) = board.part(false);
    // The bus of what is in the config has its section.
    let has = |bus: &str| text.contains(&format!("[bus.{bus}]\n"));
    looks.iter_mut().for_each(|look| look.configured |= has(&look.bus));
    let sections = toml_every(&looks, &devices, names, plan.every);
    if !sections.is_empty() {
        text.push_str("\n# ---- Found as well, and not sure: take the `#` away where it is right.\n\n");
        text.push_str(&off(sections.trim_end()));
    }
    if sections.is_empty() && board.items.is_empty() {
        nothing(text, plan, board);
    }
    outputs(text, board);
}

/// What to do where no sensor was found.
fn nothing(text: &mut String, plan: &Plan<'_>, board: &Board) {
    let bus = board.around.looks.iter().find(|look| !look.configured);
    let why = match (&board.no_i2c, bus) {
        _ if !board.seen => "Nobody looked for sensors.".to_owned(),
        (Some(remedy), _) => format!("No sensor was found.\n# There is no I2C bus yet: {remedy}."),
        (None, Some(look)) => format!("No sensor was found, on {} neither.", look.place),
        (None, None) => "No sensor was found that is not in another file already.".into(),
    };
    let name = bus.map_or("i2c-1", |look| look.bus.as_str());
    let _ = write!(
        text,
        "\n# ---- {why}\n# Connect one, and `sedge sensor scan` prints the sections for it. By hand it is this\n\
         # (`sedge sensor kinds` lists what `kind` there is):\n\n{}",
        off(&format!(
            "{}\n[sensor.kitchen]\nkind = \"bme280\"\nbus = \"{name}\"\naddress = 0x76\nevery = \"{}\"",
            example::bus_section(name, "i2c"),
            plan.every
        ))
    );
}

/// Where switches and chips on SPI would go.
fn outputs(text: &mut String, board: &Board) {
    let free = |bus: &str| !text.contains(&format!("[bus.{bus}]\n"));
    let has_spi = board.around.spi.first().filter(|_| free("spi0")).is_some();
    let chips = &board.around.chips;
    let header = chips.iter().find(|chip| chip.label.starts_with("pinctrl-")).or(chips.first());
    let header =
        header.filter(|_| free("gpio0")).map(|chip| (chip.path.display().to_string(), chip.label.clone()));
    if has_spi {
        let section =
            "[bus.spi0]\nkind = \"spi\"\n\n[sensor.oven]\nkind = \"max31855\"\nbus = \"spi0\"\naddress = 0";
        let _ = write!(
            text,
            "\n# ---- SPI is on; what sits there cannot be asked. The address is the chip select:\n\n{}",
            off(section)
        );
    }
    if let Some((path, label)) = header {
        let section = format!(
            "[bus.gpio0]\nkind = \"gpio\"\ndevice = {}\n\n[gpio.relay]\nkind = \"relay\"\nbus = \"gpio0\"\nline = 17\n\n\
             [gpio.door]\nkind = \"input\"\nbus = \"gpio0\"\nline = 23\npull = \"up\"\ndebounce = \"20ms\"",
            string(&path)
        );
        let _ =
            write!(text, "\n# ---- GPIO lines are on {label}; a relay, and a contact:\n\n{}", off(&section));
    }
}

/// Sections as comments that can be made active.
fn off(sections: &str) -> String {
    let line = |line: &str| match line {
        "" => "#\n".to_owned(),
        line if line.starts_with('#') => format!("{line}\n"),
        line => format!("#{line}\n"),
    };
    sections.lines().map(line).collect()
}

/// More that a node can do, with the defaults where there are some.
const MORE: &str = r#"
# ---- Readings are kept on the disk until everybody has them. A power cut loses at most what is younger than `commit`;
# ---- a longer one writes less to an SD card.

#[outbox]
#commit = "1s"
#max_bytes = "256MiB"
#max_age = "30d"

# ---- Report on change: hold back what is not news.

#[processor.change]
#kind = "deadband"
#field = "temperature"
#change = 0.2
#heartbeat = "10m"

# ---- Readings into a file, besides the broker.

#[destination.card]
#kind = "file"
#path = "readings.csv"
#format = "csv"
#max_size = "10MB"
#keep = 7

# ---- Counters for Prometheus at http://127.0.0.1:9464/metrics

#[plugin.prometheus]
#listen = "127.0.0.1:9464"

# ---- Who may call tools, how often and when.

#[guard.relays]
#tools = ["relay_*"]
#allow = ["cli", "cli@*"]
#cooldown = "5s"
"#;

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
