//! What a node is told of a plugin before it starts it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use sedge_plugin::{Activation, Category, Claims, Context, Id, Plugin, PluginStatus, Requirement, State};

use super::lifecycle::RestartPolicy;
use super::wiring::{Order, Start};

/// How long a plugin that is started on demand runs on after its last call, unless told otherwise.
const IDLE: Duration = Duration::from_secs(300);

/// Whether a plugin is to be started at all.
#[derive(Debug, Clone, PartialEq)]
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
    pub(crate) category: Category,
    /// The plugin that it is a service of.
    pub(crate) service_of: Option<Id>,
    /// Plugins that must run before it starts.
    pub(crate) needs: Vec<String>,
    pub(crate) requires: Vec<Requirement<String>>,
    pub(crate) claims: Claims,
    /// Started on demand, and stopped after so long without a call.
    pub(crate) idle: Option<Duration>,
    /// Changes with what the config says of it.
    pub(crate) fingerprint: u64,
    pub(crate) start: Box<dyn Fn(Context, Arc<AtomicU64>, Order) -> Start + Send + Sync>,
}

impl PluginSpec {
    /// A plugin to be started with these arguments.
    pub fn new<P: Plugin>(id: Id, args: P::Args) -> Self {
        let args = Arc::new(args);
        let manifest = P::MANIFEST;
        // It is the plugin's code, so it may break.
        let claims = catch_unwind(AssertUnwindSafe(|| P::declares(&id, &args))).unwrap_or_default();
        Self {
            id,
            kind: manifest.name.into(),
            version: manifest.version.into(),
            category: manifest.category,
            service_of: None,
            needs: manifest.needs.iter().map(|&need| need.into()).collect(),
            requires: manifest.requires.iter().map(Requirement::to_owned).collect(),
            claims,
            idle: (manifest.activation == Activation::OnDemand).then_some(IDLE),
            fingerprint: 0,
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

    /// With its version, where its manifest's is not its own: one type stands for many plugins.
    pub fn version(self, version: &str) -> Self {
        Self { version: version.into(), ..self }
    }

    /// With its category, where its manifest's is not its own.
    pub fn category(self, category: Category) -> Self {
        Self { category, ..self }
    }

    /// Not named in the config: that it is skipped is no news.
    pub fn by_default(self) -> Self {
        Self { named: false, ..self }
    }

    /// With what it needs beside what its manifest says: other plugins, by id.
    pub fn needs(mut self, ids: impl IntoIterator<Item = Id>) -> Self {
        self.needs.extend(ids.into_iter().map(String::from));
        self
    }

    /// With what it requires of the host beside what its manifest says.
    pub fn requires(mut self, requirements: impl IntoIterator<Item = Requirement<String>>) -> Self {
        self.requires.extend(requirements);
        self
    }

    /// Started at the first call of one of its tools, and stopped after so long without one.
    pub fn on_demand(self, idle: Duration) -> Self {
        Self { idle: Some(idle), ..self }
    }

    /// With a number that changes when its part of the config does: what decides whether a reload restarts it.
    pub fn fingerprint(self, fingerprint: u64) -> Self {
        Self { fingerprint, ..self }
    }

    /// Its id.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Listed, and not started: [`State::Disabled`] or [`State::Failed`].
    pub fn not_started(self, state: State, reason: Option<String>) -> Self {
        Self { standing: Standing::Barred { state, reason }, ..self }
    }

    pub(crate) fn service_of(self, parent: Id) -> Self {
        Self { service_of: Some(parent), category: Category::Service, ..self }
    }

    /// As it stands before anybody has looked at it.
    pub(crate) fn discovered(&self) -> PluginStatus {
        PluginStatus {
            id: self.id.clone(),
            kind: self.kind.clone(),
            version: self.version.clone(),
            state: State::Discovered,
            reason: None,
            since_ms: None,
            restarts: 0,
            dropped: 0,
            service_of: self.service_of.clone(),
        }
    }

    /// Not to be started, for a reason that was found before any start.
    pub(crate) fn bar(&mut self, reason: String) {
        self.standing = Standing::Barred { state: State::Failed, reason: Some(reason) };
    }

    pub(crate) fn is_barred(&self) -> bool {
        matches!(self.standing, Standing::Barred { .. })
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
