//! One plugin of every kind, for the table of promises: what a plugin may count on, wherever it runs.
//!
//! | part | what it is |
//! |---|---|
//! | [`probe`] | a plugin that does what it is told: tools, hooks, everything that a context has |
//! | [`chip`] | a kind of sensor on I2C, which does what its registers say |
//! | [`step`] | a processor and a validator |
//! | [`out`] | a destination |
//!
//! Why: a plugin that is compiled in, a process, and a WebAssembly component are the same thing to whoever writes them. Here
//! the same source is all of them; `python` has its twin. `tests/promises.rs` holds each promise against each home, and
//! writes the table `PROMISES.md`.
//!
//! ```
//! use sedge_conformance::probe::Settings;
//! let settings: Settings = serde_json::from_str(r#"{ "greeting": "hello", "setup": "unmet" }"#).unwrap();
//! assert_eq!(settings.greeting, "hello");
//! ```
//!
//! It must not know where it runs, nor use anything of a node but `sedge_plugin`.

pub mod chip;
pub mod out;
pub mod probe;
pub mod step;

use std::future::pending;

use sedge_plugin::PluginError;
use serde::Deserialize;

/// What a part does where it is told to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// Nothing special.
    #[default]
    Well,
    /// Reports a failure.
    Fails,
    /// Breaks.
    Panics,
    /// Never ends.
    Hangs,
    /// Never ends, and is busy at it.
    Loops,
    /// Lacks something.
    Unmet,
    /// Finds its settings wrong.
    Settings,
}

impl Does {
    /// Does it.
    ///
    /// # Errors
    /// As told.
    ///
    /// # Panics
    /// As told.
    pub async fn act(self) -> Result<(), PluginError> {
        match self {
            Self::Well => Ok(()),
            Self::Fails => Err(PluginError::failed("it broke as it was told")),
            Self::Panics => panic!("it panicked as it was told"),
            Self::Hangs => pending().await,
            Self::Loops => loop {
                std::hint::spin_loop();
            },
            Self::Unmet => Err(PluginError::unmet("there is no such device")),
            Self::Settings => Err(PluginError::Settings("setup: these settings are wrong".into())),
        }
    }
}
