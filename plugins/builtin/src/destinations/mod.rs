//! The kinds of destinations, one file each: where readings go besides the broker.
//!
//! To add one: write its file, name it below, give it a row in [`DESTINATIONS`] and a line in [`start`].
//!
//! ```toml
//! [destination.card]
//! kind = "file"
//! sensors = ["air"]        # without it: all
//! path = "/var/lib/sedge/readings.jsonl"
//! ```
//!
//! ```
//! use sedge_plugins::destinations::DESTINATIONS;
//! assert!(DESTINATIONS.iter().any(|kind| kind.name == "file"));
//! ```
//!
//! A destination that cannot be reached must not hold up a reading: what it cannot take waits in a bounded backlog,
//! and what is given up is counted and told (the event `readings_lost`).

pub mod file;
pub mod http;
mod parts;
pub mod stdout;

use std::sync::OnceLock;

use sedge_plugin::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

pub(crate) use self::parts::lines::word;
pub use self::parts::lines::{CSV_HEADER, csv_rows};
use crate::Kind;

/// Every kind of destination that comes with a node.
pub const DESTINATIONS: &[Kind] = &[
    Kind::of::<file::FileDestination>(|| schemars::schema_for!(file::Settings).to_value()),
    Kind::of::<http::HttpDestination>(|| schemars::schema_for!(http::Settings).to_value()),
    Kind::of::<stdout::StdoutDestination>(|| schemars::schema_for!(stdout::Settings).to_value()),
];

/// What a destination is given: outlives its restarts.
pub struct Args<S, K = ()> {
    /// The settings of its kind.
    pub settings: S,
    /// The sensors whose readings it gets; none for all.
    pub sensors: Option<Vec<Id>>,
    /// What it keeps over its restarts: a thread that may hang is not started twice.
    kept: OnceLock<K>,
}

impl<S, K> Args<S, K> {
    /// What a destination of these settings is given.
    pub fn new(settings: S, sensors: Option<Vec<Id>>) -> Self {
        Self { settings, sensors, kept: OnceLock::new() }
    }

    /// How it subscribes.
    fn options(&self) -> Options {
        match &self.sensors {
            Some(sensors) => Options::default().only(sensors.iter().cloned()),
            None => Options::default(),
        }
    }

    /// What is kept, made at the first time.
    fn kept<E>(&self, make: impl FnOnce() -> Result<K, E>) -> Result<K, E>
    where
        K: Clone,
    {
        if let Some(kept) = self.kept.get() {
            return Ok(kept.clone());
        }
        let made = make()?;
        Ok(self.kept.get_or_init(|| made).clone())
    }
}

/// Starts a plugin whose type only [`start`] knows.
pub trait Start {
    /// What comes of it.
    type Out;
    /// Starts it.
    fn start<P: Plugin>(self, args: P::Args) -> Self::Out;
}

/// Has the destination of that kind started by `with`; none where there is no such kind.
///
/// ```
/// # use sedge_plugin::prelude::*;
/// use sedge_plugins::destinations::{self, Start};
/// struct NameIt;
/// impl Start for NameIt {
///     type Out = &'static str;
///     fn start<P: Plugin>(self, _: P::Args) -> Self::Out { P::MANIFEST.name }
/// }
/// let started = destinations::start("stdout", serde_json::json!({}), None, NameIt);
/// assert_eq!(started, Some(Ok("stdout")));
/// ```
///
/// # Errors
/// When the settings are not those of the kind.
pub fn start<W: Start>(
    kind: &str,
    settings: Json,
    sensors: Option<Vec<Id>>,
    with: W,
) -> Option<Result<W::Out, PluginError>> {
    fn of<P, S: DeserializeOwned, K, W: Start>(
        settings: Json,
        sensors: Option<Vec<Id>>,
        with: W,
    ) -> Result<W::Out, PluginError>
    where
        P: Plugin<Args = Args<S, K>>,
    {
        let settings = serde_json::from_value(settings);
        let settings = settings.map_err(|error| PluginError::Settings(error.to_string().into()))?;
        Ok(with.start::<P>(Args::new(settings, sensors)))
    }
    Some(match kind {
        "file" => of::<file::FileDestination, _, _, _>(settings, sensors, with),
        "http" => of::<http::HttpDestination, _, _, _>(settings, sensors, with),
        "stdout" => of::<stdout::StdoutDestination, _, _, _>(settings, sensors, with),
        _ => return None,
    })
}
