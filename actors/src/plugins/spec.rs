//! What a node is told of a plugin before it starts it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use sedge_plugin::{Context, Id, Plugin, State};

use super::lifecycle::RestartPolicy;
use super::wiring::{Order, Start};

/// Whether a plugin is to be started at all.
pub(crate) enum Standing {
    Enabled,
    Barred { state: State, reason: Option<String> },
}

/// One plugin instance: its id, its type, its arguments, and how it is to be kept.
///
/// ```
/// # use sedge_plugin::prelude::*;
/// # struct Nothing;
/// # impl Plugin for Nothing {
/// #     type Args = ();
/// #     const MANIFEST: Manifest = Manifest::new("nothing", "1.0.0", "Does nothing.");
/// #     async fn setup(_: &(), _: Context) -> Result<Self, PluginError> { Ok(Self) }
/// # }
/// let spec = sedge_actors::PluginSpec::new::<Nothing>(Id::new("idle").unwrap(), ());
/// ```
pub struct PluginSpec {
    pub(crate) id: Id,
    pub(crate) kind: String,
    pub(crate) version: String,
    pub(crate) named: bool,
    pub(crate) standing: Standing,
    pub(crate) policy: RestartPolicy,
    pub(crate) setup_deadline: Duration,
    pub(crate) teardown_deadline: Duration,
    pub(crate) start: Box<dyn Fn(Context, Arc<AtomicU64>, Order) -> Start + Send + Sync>,
}

impl PluginSpec {
    /// A plugin to be started with these arguments.
    pub fn new<P: Plugin>(id: Id, args: P::Args) -> Self {
        let args = Arc::new(args);
        Self {
            id,
            kind: P::MANIFEST.name.into(),
            version: P::MANIFEST.version.into(),
            named: true,
            standing: Standing::Enabled,
            policy: RestartPolicy::default(),
            setup_deadline: Duration::from_secs(30),
            teardown_deadline: Duration::from_secs(5),
            start: Box::new(move |ctx, dropped, order| Start::of::<P>(args.clone(), ctx, dropped, order)),
        }
    }

    /// A plugin that is listed and not started: switched off ([`State::Disabled`]) or wrong ([`State::Failed`]).
    pub fn barred(id: Id, kind: &str, state: State, reason: Option<String>) -> Self {
        Self {
            kind: kind.into(),
            version: String::new(),
            standing: Standing::Barred { state, reason },
            ..Self::new::<Nobody>(id, ())
        }
    }

    /// What it is called in lists, where that is not its manifest's name: a sensor's kind.
    pub fn kind(self, kind: &str) -> Self {
        Self { kind: kind.into(), ..self }
    }

    /// Not named in the config: that it is skipped is no news.
    pub fn by_default(self) -> Self {
        Self { named: false, ..self }
    }

    /// With another restart policy.
    pub fn policy(self, policy: RestartPolicy) -> Self {
        Self { policy, ..self }
    }

    /// With other limits for its set-up and its teardown.
    pub fn deadlines(self, setup: Duration, teardown: Duration) -> Self {
        Self { setup_deadline: setup, teardown_deadline: teardown, ..self }
    }
}

/// Stands in for a plugin that is never started.
struct Nobody;

impl Plugin for Nobody {
    type Args = ();
    const MANIFEST: sedge_plugin::Manifest = sedge_plugin::Manifest::new("nobody", "", "");
    async fn setup(_: &(), _: Context) -> Result<Self, sedge_plugin::PluginError> {
        Err(sedge_plugin::PluginError::failed("is not to be started"))
    }
}
