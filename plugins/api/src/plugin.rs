//! A plugin: something that runs on a node, supervised, and speaks to the rest over the bus.
//!
//! ```
//! use sedge_plugin::prelude::*;
//! use std::sync::Arc;
//!
//! /// Counts readings and tells how many there were.
//! struct Counter { readings: u64 }
//!
//! impl Plugin for Counter {
//!     type Args = ();
//!     const MANIFEST: Manifest = Manifest::new("counter", env!("CARGO_PKG_VERSION"), "Counts readings.");
//!
//!     async fn setup(_: &(), _: Context) -> Result<Self, PluginError> {
//!         Ok(Self { readings: 0 })
//!     }
//!     fn hooks(hooks: &mut impl Hooks<Self>, _: &(), _: &Context) {
//!         hooks.observe::<topics::Deliver>(Options::default());
//!         hooks.tools();
//!     }
//! }
//!
//! impl Observer<topics::Deliver> for Counter {
//!     async fn observe(&mut self, _: Arc<Reading>) -> Result<(), PluginError> {
//!         self.readings += 1;
//!         Ok(())
//!     }
//! }
//!
//! impl Tools for Counter {
//!     fn tools(&self) -> Vec<Tool> {
//!         vec![Tool::new(Name::new("count").unwrap(), "How many readings there were.")]
//!     }
//!     async fn call(&mut self, _: ToolCall) -> Result<serde_json::Value, ToolError> {
//!         Ok(self.readings.into())
//!     }
//! }
//! ```
//!
//! The node runs its handlers one at a time, so a plugin needs no locks. A handler that fails is logged; three failures
//! in a row, a panic, or a handler that misses its deadline restart the plugin, each time after a longer pause. What a
//! plugin must not do is block: it shares its thread with others.

use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use crate::manifest::Manifest;
use crate::topic::Hooks;
use crate::{Context, Id, Tool};

/// Runs on a node. See the [module](self) for an example.
pub trait Plugin: Send + Sized + 'static {
    /// What it is given besides its context: its settings, its hardware. Outlives restarts.
    type Args: Send + Sync + 'static;

    /// What it says of itself.
    const MANIFEST: Manifest;

    /// What an instance lays claim to, known before it runs: two that claim one thing are told apart before the start.
    /// The tools of a plugin that starts [on demand](crate::Activation::OnDemand) are listed from here. Must be quick, and
    /// do nothing.
    fn declares(id: &Id, args: &Self::Args) -> Claims {
        let _ = (id, args);
        Claims::default()
    }

    /// Starts it, or starts it again. Has thirty seconds.
    fn setup(args: &Self::Args, ctx: Context) -> impl Future<Output = Result<Self, PluginError>> + Send;

    /// Subscribes it. Runs before [`setup`](Self::setup), so that nothing is missed that happens during it; the first
    /// message is handed over after. Steps that run [inline](Hooks::inline) may take a copy of what they need.
    fn hooks(hooks: &mut impl Hooks<Self>, args: &Self::Args, ctx: &Context) {
        let _ = (hooks, args, ctx);
    }

    /// How often [`tick`](Self::tick) wants to be called; never, unless told otherwise. A beat that is missed is skipped.
    fn every(&self) -> Option<Duration> {
        None
    }

    /// Called at once after [`setup`](Self::setup) and then once per [`every`](Self::every). Has the longer of that and
    /// thirty seconds.
    fn tick(&mut self) -> impl Future<Output = Result<(), PluginError>> + Send {
        async { Ok(()) }
    }

    /// Ends it: hardware made safe, what was queued handed on. Runs whenever the setup had succeeded, also before a
    /// restart; after a panic too. Has five seconds, or what the plugin was given.
    fn teardown(&mut self) -> impl Future<Output = Result<(), PluginError>> + Send {
        async { Ok(()) }
    }
}

/// What an instance of a plugin has for itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Claims {
    /// Sensors that it will announce.
    pub sensors: Vec<Id>,
    /// Tools that it will offer.
    pub tools: Vec<Tool>,
}

/// Why a plugin could not do something. The text says what happened and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// Something that it needs is not there: a device node, a program. Not a mistake of the plugin: it is skipped and
    /// tried again later.
    #[error("{0}")]
    Unmet(Cow<'static, str>),
    /// Its settings are wrong. Trying again does not help: it has failed until the config changes.
    #[error("{0}")]
    Settings(Cow<'static, str>),
    /// It tried and failed.
    #[error("{0}")]
    Failed(Cow<'static, str>),
}

impl PluginError {
    /// It tried and failed.
    pub fn failed(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed(why.into())
    }

    /// Something that it needs is not there.
    pub fn unmet(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Unmet(why.into())
    }
}

/// The text of an error and of all its causes, joined by `: `. A cause that was quoted already is not said again.
///
/// ```
/// let inner = std::io::Error::other("wire loose");
/// assert_eq!(sedge_plugin::chain(&inner), "wire loose");
/// ```
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let says = error.to_string();
        if !text.ends_with(&says) {
            text.push_str(": ");
            text.push_str(&says);
        }
        cause = error.source();
    }
    text
}
