//! Writes readings into a file, and begins a new one now and then.
//!
//! ```toml
//! [destination.card]
//! kind = "file"
//! path = "/media/stick/readings.csv"
//! format = "csv"          # or "jsonl"
//! max_size = "10MB"       # begin a new file when it would be bigger
//! every = "1d"            # and at midnight UTC
//! keep = 7                # former files: readings.000042.csv, the highest number is the newest
//! fsync = "5s"            # "never", "each", or at most so long after a reading
//! ```
//!
//! A file that cannot be written (no room, no stick) is told as what is amiss; readings wait, so many at most, and are
//! written when there is room again, and what is given up meanwhile is told (the event `readings_lost`). It never makes a
//! folder: that of a stick which is not there is the card's.
//!
//! The file may be moved, deleted, replaced or emptied by others, such as logrotate: the next reading goes into the file
//! that is at the path then. A CSV file with other columns is somebody's data: it gets the next number, is never deleted,
//! and is told once (the event `file_set_aside`).

mod log;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};
use sedge_hal::Worker;
use sedge_plugin::prelude::*;

use self::log::{Log, Plan};
use super::Args;
use super::parts::lines;
use super::parts::pump::{BEAT, Encode, Pump};

/// Settings of a `kind = "file"` destination.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The file. Its folder must be there; a relative path is below the destination's own data directory.
    #[schemars(length(min = 1))]
    pub path: String,
    /// What it looks like.
    #[serde(default)]
    pub format: Format,
    /// A new file is begun when this one would be bigger: a number with `B`, `kB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`.
    #[serde(default = "max_size")]
    pub max_size: Size,
    /// A new file is begun so often, counted from midnight UTC; only when the first is full, unless told otherwise.
    #[serde(default)]
    pub every: Option<Every>,
    /// Former files that are kept.
    #[serde(default = "keep")]
    #[schemars(range(min = 1, max = 10_000))]
    pub keep: usize,
    /// When what was written is made to be on the disk: `never` (the system decides), `each` time, or a duration such as
    /// `5s`, after which at the latest.
    #[serde(default)]
    pub fsync: Fsync,
    /// Readings that wait while the file cannot be written; the oldest are given up.
    #[serde(default = "buffer")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub buffer: usize,
}

fn max_size() -> Size {
    Size(10_000_000)
}
fn keep() -> usize {
    7
}
fn buffer() -> usize {
    10_000
}

/// What a file looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A line of JSON per reading, as it is on MQTT, with `node` and `sensor`.
    #[default]
    Jsonl,
    /// A row per field, for spreadsheets: `time,sensor,boot,seq,up_ms,field,value,unit,quality`.
    Csv,
}

/// When what was written is made to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fsync {
    /// The system decides.
    #[default]
    Never,
    /// Each time.
    Each,
    /// At most so long after it was written.
    Within(Duration),
}

impl<'de> Deserialize<'de> for Fsync {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "never" => Ok(Self::Never),
            "each" => Ok(Self::Each),
            text => match sedge_plugin::duration::parse(text) {
                Ok(time) if !time.is_zero() => Ok(Self::Within(time)),
                _ => Err(serde::de::Error::custom(format!(
                    "`{text}` is none of \"never\", \"each\" and a duration such as \"5s\""
                ))),
            },
        }
    }
}

impl JsonSchema for Fsync {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fsync".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "enum": ["never", "each"] }, { "type": "string", "format": "duration" }] })
    }
}

/// Writes into a file.
pub struct FileDestination(Pump<Log>);

impl Plugin for FileDestination {
    type Args = Args<Settings, Worker<Log>>;
    const MANIFEST: Manifest =
        Manifest::new("file", env!("CARGO_PKG_VERSION"), "Writes readings into a file.")
            .category(Category::Destination)
            .tags(&["csv", "jsonl", "log"]);

    async fn setup(args: &Self::Args, ctx: Context) -> Result<Self, PluginError> {
        let plan = args.settings.plan(&ctx)?;
        let start = || Worker::spawn(ctx.id().as_str(), move || Log::new(plan));
        let worker = args.kept(start).map_err(|error| PluginError::failed(format!("no thread: {error}")))?;
        let node = ctx.directory().node.id.clone();
        let encode: Encode = match args.settings.format {
            Format::Jsonl => Box::new(move |_, reading| lines::json(&node, reading)),
            Format::Csv => Box::new(lines::csv),
        };
        Ok(Self(Pump::new(
            ctx.clone(),
            worker,
            encode,
            args.settings.buffer,
            (ctx.cursor(), args.sensors.clone()),
        )?))
    }

    fn hooks(hooks: &mut impl Hooks<Self>, args: &Self::Args, _: &Context) {
        hooks.observe::<topics::Deliver>(args.options());
    }

    fn every(&self) -> Option<Duration> {
        Some(BEAT)
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        self.0.tick().await;
        Ok(())
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.0.finish(None).await
    }
}

impl Observer<topics::Deliver> for FileDestination {
    async fn observe(&mut self, reading: Arc<Reading>) -> Result<(), PluginError> {
        self.0.push(reading).await;
        Ok(())
    }
}

impl Settings {
    fn plan(&self, ctx: &Context) -> Result<Plan, PluginError> {
        let wrong = |why: String| Err(PluginError::Settings(why.into()));
        if self.max_size < Size(1000) {
            return wrong(format!("max_size = \"{}\": at least 1kB", self.max_size));
        }
        if let Some(every) = self.every.filter(|every| every.0 < Duration::from_secs(60)) {
            return wrong(format!("every = \"{every}\": at least 1m"));
        }
        let path = PathBuf::from(&self.path);
        if path.file_name().is_none() || self.path.ends_with('/') {
            return wrong(format!("path = \"{}\": names no file", self.path));
        }
        Ok(Plan {
            destination: ctx.id().clone(),
            path: if path.is_absolute() { path } else { ctx.data_dir()?.join(path) },
            header: if self.format == Format::Csv { lines::CSV_HEADER } else { "" },
            max_size: self.max_size.0,
            every: self.every.map(|every| every.0),
            keep: self.keep,
            fsync: self.fsync,
        })
    }
}

#[cfg(test)]
mod tests;
