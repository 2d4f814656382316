//! The plugin that stands inside for one outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::metrics::Counter;
use sedge_plugin::topic::{Hooks, Options, Step, Topic};
use sedge_plugin::topics::{self as t, Command};
use sedge_plugin::{
    Claims, Context, Frame, Manifest, Name, Plugin, PluginError, Progress, Reading, SensorDescriptor, Stage,
    Tool, ToolCall, ToolError, ToolErrorCode,
};
use sedge_protocol::topics::{Shape, by_name, decode_step};
use sedge_protocol::{Call, frame};
use serde_json::Value as Json;

use super::asks::{self, Asker, descriptor};
use super::feed::{self, Feed};
use super::names::Tools;
use super::session::{self, Session};
use super::{OutsideArgs, Role, greeting, hooks};
use crate::manifest::{Declaration, DeclaredHook};

/// How long a plugin has for a reading, at least and at most: less than the engine gives a tick, so that one that is late is a
/// failed reading and not a hung plugin.
const READING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(25));
/// How long it has for a tick.
const TICK: Duration = Duration::from_secs(25);
/// How long it has for a message, unless its manifest says otherwise.
const STEP: Duration = Duration::from_secs(5);
/// By how much the engine is more patient.
const MARGIN: Duration = Duration::from_secs(1);

/// What one start of a plugin outside is inside. See the [module](super).
pub struct Outside {
    ctx: Context,
    declaration: Arc<Declaration>,
    role: Role,
    session: Session,
    tools: Tools,
    every: Option<Duration>,
    /// A destination on a node that keeps no journal.
    direct: bool,
    /// How long it has for a message of a topic.
    limits: BTreeMap<&'static str, Duration>,
    dropped: Counter,
}

impl Plugin for Outside {
    type Args = OutsideArgs;
    /// What it really is stands in the manifest on disk.
    const MANIFEST: Manifest = Manifest::new("outside", "", "Runs outside of the node.");

    fn declares(id: &sedge_plugin::Id, args: &OutsideArgs) -> Claims {
        let sensors = if matches!(args.role, Role::Sensor { .. }) { vec![id.clone()] } else { Vec::new() };
        let tools = Tools::of(&args.declaration, id).map(|tools| tools.offered).unwrap_or_default();
        Claims { sensors, tools }
    }

    async fn setup(args: &OutsideArgs, ctx: Context) -> Result<Self, PluginError> {
        let (declared, id) = (args.declaration.clone(), ctx.id().clone());
        let wrong = |why: String| PluginError::Settings(why.into());
        let hooks = hooked(args);
        for hook in &declared.hooks {
            check_hook(args, &ctx, hook)?;
        }
        let tools = Tools::of(&declared, &id).map_err(wrong)?;
        if matches!(args.role, Role::Sensor { .. }) && declared.sensor.is_none() {
            return Err(wrong(format!("`{}` is no kind of sensor", declared.info.name)));
        }
        let offered = tools.offered.iter().map(|tool| tool.name.clone());
        let asker = Asker::new(args, &ctx, offered);
        let (session, ticks) = session::open(args, &ctx, asker).await?;
        let mut every = ticks;
        let mut direct = false;
        match &args.role {
            Role::Sensor { every: often, place, .. } => {
                every = Some(*often);
                ctx.announce(described(&declared, &id, place, *often));
            }
            Role::Destination { sensors } => match ctx.cursor() {
                Some(cursor) => {
                    let (caller, sensors) = (session.caller().clone(), sensors.clone());
                    let feed =
                        Feed { ctx: ctx.clone(), caller, cursor, sensors, bytes: args.limits.message / 2 };
                    // Beside the plugin's handlers, and no longer than the plugin.
                    ctx.spawn(feed.run());
                }
                None => direct = true,
            },
            Role::Plain | Role::Processor { .. } => {}
        }
        let limits =
            hooks.iter().filter_map(|(topic, _, limit)| Some((by_name(topic)?.name, *limit))).collect();
        let dropped = Name::new("events_dropped").ok().and_then(|name| {
            ctx.counter(name, "Messages of observed topics that it did not take in time.").ok()
        });
        let dropped = dropped.unwrap_or_default();
        let (declaration, role) = (declared, args.role.clone());
        Ok(Self { ctx, declaration, role, session, tools, every, direct, limits, dropped })
    }

    fn hooks(hooks: &mut impl Hooks<Self>, args: &OutsideArgs, ctx: &Context) {
        for (topic, options, _) in hooked(args) {
            hooks::subscribe(hooks, topic, options);
        }
        if let (Role::Destination { sensors }, None) = (&args.role, ctx.cursor()) {
            let options = Options { deadline: feed::LIMIT + MARGIN, ..Options::default() };
            let options = match sensors {
                Some(sensors) => options.only(sensors.iter().cloned()),
                None => options,
            };
            hooks.observe::<t::Deliver>(options);
        }
        if !args.declaration.tools.is_empty() {
            hooks.tools();
        }
        if !args.declaration.commands.is_empty() {
            hooks.collect::<t::CommandRegistryBuild>(Options::default());
        }
    }

    fn every(&self) -> Option<Duration> {
        self.every
    }

    async fn tick(&mut self) -> Result<(), PluginError> {
        match self.role {
            Role::Sensor { every, .. } => self.read(every).await,
            _ => self.call(Call::Tick, TICK).await.map(drop).map_err(failed),
        }
    }

    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.session.stop().await
    }
}

/// What it subscribes to: the hooks that it was granted, and what its section is for.
fn hooked(args: &OutsideArgs) -> Vec<(&str, Options, Duration)> {
    let held = asks::held(args).topics;
    let of_role = match &args.role {
        Role::Processor { stage, sensors, priority } => {
            let topic = match stage {
                Stage::Process => t::Process::NAME,
                Stage::Validate => t::Validate::NAME,
                Stage::Admit => t::Admit::NAME,
            };
            let options = Options { deadline: STEP + MARGIN, ..Options::priority(*priority) };
            let options = match sensors {
                Some(sensors) => options.only(sensors.iter().cloned()),
                None => options,
            };
            Some((topic, options, STEP))
        }
        Role::Destination { .. } => Some((t::Deliver::NAME, Options::default(), STEP)),
        Role::Plain | Role::Sensor { .. } => None,
    };
    let mut hooked: Vec<(&str, Options, Duration)> = Vec::new();
    let own = of_role.as_ref().map(|(topic, ..)| *topic);
    for hook in
        args.declaration.hooks.iter().filter(|hook| held.contains(&hook.topic) && Some(&*hook.topic) != own)
    {
        let limit = hook.timeout.map_or(STEP, |timeout| timeout.0);
        hooked.push((
            &hook.topic,
            Options { deadline: limit + MARGIN, ..Options::priority(hook.priority) },
            limit,
        ));
    }
    // A destination is fed apart.
    hooked.extend(of_role.filter(|_| !matches!(args.role, Role::Destination { .. })));
    hooked
}

/// Whether a hook of its manifest can be had, and was granted: one that vetoes must not be missing in silence.
fn check_hook(args: &OutsideArgs, ctx: &Context, hook: &DeclaredHook) -> Result<(), PluginError> {
    let DeclaredHook { topic, .. } = hook;
    if by_name(topic).is_none() {
        let why = format!("its manifest hooks `{topic}`, which is no topic that can be used from outside");
        return Err(PluginError::Settings(why.into()));
    }
    let own = match &args.role {
        Role::Processor { stage: Stage::Process, .. } => t::Process::NAME,
        Role::Processor { stage: Stage::Validate, .. } => t::Validate::NAME,
        Role::Processor { stage: Stage::Admit, .. } => t::Admit::NAME,
        Role::Destination { .. } => t::Deliver::NAME,
        Role::Plain | Role::Sensor { .. } => "",
    };
    if topic == own || asks::held(args).topics.contains(topic) {
        return Ok(());
    }
    let section = asks::section(&args.role, ctx.id());
    let why = format!(
        "it is not granted the topic `{topic}` of its manifest: write `grant = {{ topics = [\"{topic}\"] }}` in [{section}]"
    );
    Err(PluginError::Settings(why.into()))
}

/// A kind of sensor, as its manifest describes it.
fn described(
    declared: &Declaration,
    id: &sedge_plugin::Id,
    place: &str,
    every: Duration,
) -> SensorDescriptor {
    let info = &declared.info;
    let fields = declared.sensor.iter().flat_map(|sensor| &sensor.fields);
    let fields = fields.map(|(name, field)| (name.clone(), descriptor(field))).collect();
    SensorDescriptor {
        fields,
        ..SensorDescriptor::new(id.clone(), &info.name, &info.version, place, &[]).every(every)
    }
}

/// In one line: it goes into the log and into tables, where a line that a stranger begins would look like the node's.
fn failed(error: ToolError) -> PluginError {
    PluginError::failed(greeting::one_line(&error.message))
}

impl Outside {
    async fn call(&self, call: Call, limit: Duration) -> Result<Json, ToolError> {
        self.session.caller().call(call, limit, Progress::default()).await
    }

    /// Takes a reading; what could not be read is missing with its reason.
    async fn read(&self, every: Duration) -> Result<(), PluginError> {
        let answer = self.call(Call::Read, every.clamp(READING.0, READING.1)).await;
        let is_over = self.session.caller().is_over();
        let reason = |error: &ToolError| if is_over { "gone".into() } else { reason(error) };
        let read = answer.map_err(|error| (reason(&error), failed(error)));
        let read = read.and_then(|json| {
            self.frame(&json).map_err(|why| ("garbage".to_owned(), PluginError::failed(why)))
        });
        let (frame, result) = match read {
            Ok(frame) => (frame, Ok(())),
            Err((reason, error)) => {
                let mut frame = Frame::default();
                self.fields().for_each(|field| frame.missing(field.as_str().to_owned(), reason.clone()));
                (frame, Err(error))
            }
        };
        self.ctx.submit(self.ctx.id(), frame).await?;
        result
    }

    fn fields(&self) -> impl Iterator<Item = &Name> {
        self.declaration.sensor.iter().flat_map(|sensor| sensor.fields.keys())
    }

    /// What was read: all fields of the manifest, and no others.
    fn frame(&self, json: &Json) -> Result<Frame, String> {
        let mut frame = frame::decode(json)?;
        let other =
            frame.samples.iter().find(|sample| self.fields().all(|field| *field.as_str() != *sample.field));
        if let Some(other) = other {
            return Err(format!("it read the field `{}`, which its manifest does not have", other.field));
        }
        for field in self.fields() {
            if frame.samples.iter().all(|sample| *field.as_str() != *sample.field) {
                frame.missing(field.as_str().to_owned(), "missing");
            }
        }
        Ok(frame)
    }

    /// Passes a message of an observed topic on.
    pub(super) fn hear<T: Shape>(&self, message: &T::Message) {
        if !self.session.caller().event(T::NAME, T::encode(message)) {
            self.dropped.inc();
        }
    }

    /// Asks what a step makes of a message.
    pub(super) async fn judge<T: Shape>(
        &self,
        message: &T::Message,
    ) -> Result<Step<T::Message>, PluginError> {
        let call = Call::Step { topic: T::NAME.to_owned(), message: T::encode(message) };
        let answer = self.call(call, self.limit(T::NAME)).await.map_err(failed)?;
        decode_step::<T>(message, answer).map_err(PluginError::failed)
    }

    /// Asks for an answer to a message.
    pub(super) async fn ask(&self, topic: &str, message: Json) -> Result<Json, PluginError> {
        let call = Call::Answer { topic: topic.to_owned(), message };
        self.call(call, self.limit(topic)).await.map_err(failed)
    }

    fn limit(&self, topic: &str) -> Duration {
        self.limits.get(topic).copied().unwrap_or(STEP)
    }

    /// Whether readings are handed to it as they come, because the node keeps no journal.
    pub(super) fn takes_away(&self) -> bool {
        self.direct
    }

    pub(super) async fn take_away(&self, reading: &Reading) -> Result<(), PluginError> {
        let call = Call::Deliver { readings: vec![t::Deliver::encode(reading)] };
        self.call(call, feed::LIMIT).await.map(drop).map_err(failed)
    }

    pub(super) fn commands(&self) -> Vec<Command> {
        self.tools.commands(&self.declaration)
    }
}

/// Why a value is missing, in a word: what the plugin says, where it says a word.
fn reason(error: &ToolError) -> String {
    let own = error.data.as_ref().and_then(|data| data.get("reason")).and_then(Json::as_str);
    let own = own.and_then(|word| Name::new(word).ok());
    match (own, error.code) {
        (Some(word), _) => word.as_str().to_owned(),
        (None, ToolErrorCode::Timeout) => "timeout".into(),
        (None, _) => "failed".into(),
    }
}

impl sedge_plugin::Tools for Outside {
    fn tools(&self) -> Vec<Tool> {
        self.tools.offered.clone()
    }

    async fn call(&mut self, call: ToolCall) -> Result<Json, ToolError> {
        let tool =
            self.tools.own(&call.tool).zip(self.tools().into_iter().find(|tool| tool.name == call.tool));
        let Some((own, tool)) = tool else {
            return Err(ToolError::new(ToolErrorCode::NotFound, format!("it has no tool `{}`", call.tool)));
        };
        let longest = Duration::from_millis(tool.timeout_ms);
        let limit = call.timeout.map_or(longest, |timeout| timeout.min(longest));
        let timeout_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let message = Call::Tool { tool: own.clone(), args: call.args, from: call.from, timeout_ms };
        self.session.caller().call(message, limit, call.progress).await
    }
}
