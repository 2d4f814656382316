//! One start of a plugin outside, from its hello to its end.
//!
//! [`open`] greets it and waits until it is ready. From then on a [`Session`] calls it and sends it events, from wherever; a
//! task of its own, [`Talk`](super::talk::Talk), hears what it says. When that ends, for whatever reason, whoever waits for an
//! answer is told at once, and what runs there is killed.
//!
//! It must not know what a call is for, nor carry out what the plugin asks for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sedge_plugin::{Context, PluginError, Progress, ToolError, ToolErrorCode};
use sedge_protocol::{API, CREDIT, Call, Encoding, PROTOCOL, SensorWelcome, ToNode, ToPlugin, fits};
use serde_json::Value as Json;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::asks::{Asker, section};
use super::calls::{Answer, Calls};
use super::events::Events;
use super::line::{End, Line, Start};
use super::talk::Talk;
use super::{OutsideArgs, Role, greeting};

/// How long a plugin has to hand on what it has when it is stopped.
const GRACE: Duration = Duration::from_secs(3);
/// How long it may take to end after that.
const LINGER: Duration = Duration::from_millis(800);
/// How long the reason of an end is waited for.
const WORDS: Duration = Duration::from_secs(1);

/// What a [`Session`] and its [`Talk`] share.
pub(super) struct Shared {
    pub(super) to: mpsc::Sender<ToPlugin>,
    calls: Mutex<Calls>,
    events: Mutex<Events>,
    /// Tells the talk that there is something to send.
    pub(super) wake: Notify,
    /// Whether its end is news: not while it is set up, which fails then, nor once it was told to stop.
    pub(super) well: AtomicBool,
    encoding: Encoding,
    /// Bytes that a message may have.
    longest: usize,
    /// As the section is named: `plugin.attic`.
    section: String,
}

impl Shared {
    pub(super) fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a message may be sent: one that is too long would end the plugin, which reads no such message.
    pub(super) fn check(&self, message: &ToPlugin) -> Result<(), String> {
        match fits(message, self.encoding, self.longest) {
            true => Ok(()),
            false => Err(too_long(self.longest, &self.section)),
        }
    }
}

/// What is said of a message that a plugin is not sent.
fn too_long(longest: usize, section: &str) -> String {
    format!(
        "it is longer than a message to this plugin may be, {longest} bytes: write `limits = {{ message = \"…\" }}` with more in [{section}]"
    )
}

/// The way to a plugin outside that runs. Clones are the same.
#[derive(Clone)]
pub(super) struct Caller(Arc<Shared>);

impl Caller {
    /// Has it do something, within so long. Dropped, or when the time is over, the plugin is told that nobody waits.
    pub(super) async fn call(&self, call: Call, limit: Duration, progress: Progress) -> Answer {
        let until = Instant::now() + limit;
        let (id, answer) = self.0.calls().begin(progress, until)?;
        let _given_up = GivenUp { shared: &self.0, id };
        let call = ToPlugin::Call { id, call };
        self.check(&call).map_err(|why| ToolError::new(ToolErrorCode::BadRequest, why))?;
        let called = async {
            // An error means that the plugin has ended, which its answer says better.
            if let Ok(permit) = self.0.to.reserve().await {
                self.0.calls().sent(id);
                permit.send(call);
            }
            answer.await
        };
        match timeout_at(until, called).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ToolError::new(ToolErrorCode::Unavailable, "it has ended")),
            Err(_) => {
                Err(ToolError::new(ToolErrorCode::Timeout, format!("it did not answer within {limit:?}")))
            }
        }
    }

    /// Whether a message is short enough to be sent.
    pub(super) fn check(&self, message: &ToPlugin) -> Result<(), String> {
        self.0.check(message)
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.0.calls().why_over().is_some()
    }

    /// Sends it a message of an observed topic, as soon as it can take one. False where another one went for it, or it is too long.
    pub(super) fn event(&self, topic: &'static str, message: Json) -> bool {
        let event = ToPlugin::Event { topic: topic.to_owned(), message };
        if self.0.check(&event).is_err() {
            return false;
        }
        let fits = self.0.events().push(event);
        self.0.wake.notify_one();
        fits
    }
}

/// Says that nobody waits for a call, when nobody does.
struct GivenUp<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if self.shared.calls().give_up(self.id, Instant::now()) {
            self.shared.wake.notify_one();
        }
    }
}

/// A plugin outside that runs. Dropped, it is ended.
pub(super) struct Session {
    caller: Caller,
    quit: Option<oneshot::Sender<()>>,
    over: oneshot::Receiver<()>,
}

impl Session {
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Ends it: asks it to, and sees to it.
    pub(super) async fn stop(&mut self) -> Result<(), PluginError> {
        self.caller.0.well.store(false, Ordering::SeqCst);
        let grace_ms = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
        let stopped = self.caller.call(Call::Stop { grace_ms }, GRACE, Progress::default()).await;
        let has_gone = self.caller.is_over();
        let is_over = stopped.is_ok() && timeout(LINGER, &mut self.over).await.is_ok();
        if let Some(quit) = self.quit.take() {
            let _ = quit.send(());
        }
        if !is_over {
            let _ = timeout(LINGER, &mut self.over).await;
        }
        match stopped {
            // It has gone before it could answer; why was told when it did.
            Ok(_) => Ok(()),
            Err(_) if has_gone => Ok(()),
            Err(error) => {
                Err(PluginError::failed(format!("it was killed, because it did not stop well: {error}")))
            }
        }
    }
}

/// Starts it, and waits until it is ready. Says how often it wants to be ticked.
pub(super) async fn open(
    args: &OutsideArgs,
    ctx: &Context,
    asker: Asker,
) -> Result<(Session, Option<Duration>), PluginError> {
    let declared = &args.declaration;
    let limit = Duration::from_millis(args.limits.start_ms);
    let until = Instant::now() + limit;
    let late = |what: &str| PluginError::failed(format!("{what} within {limit:?}"));
    let data_dir = asker.held().data.then(|| ctx.data_dir()).transpose()?;
    let start = Start {
        id: ctx.id().clone(),
        folder: args.folder.clone(),
        data_dir: data_dir.clone(),
        limits: args.limits,
        environment: Default::default(),
    };
    let started = timeout_at(until, args.carrier.start(start)).await;
    let mut line = started.map_err(|_| late("it could not be started"))??;
    let hello = match timeout_at(until, line.from.recv()).await {
        Ok(Some(ToNode::Hello(hello))) => hello,
        Ok(Some(_)) => return Err(PluginError::failed("its first message was not `hello`")),
        Ok(None) => return Err(PluginError::failed(ended(&mut line).await)),
        Err(_) => return Err(late("it did not say `hello`")),
    };
    let encoding = greeting::hello(declared, &hello)?;
    let welcome = ToPlugin::Welcome {
        protocol: PROTOCOL,
        api: API,
        encoding,
        features: Vec::new(),
        id: ctx.id().clone(),
        plugin: declared.info.name.clone(),
        node: ctx.directory().node.id.clone(),
        settings: args.settings.clone(),
        grants: asker.held().clone(),
        limits: args.limits,
        data_dir: data_dir.map(|path| path.to_string_lossy().into_owned()),
        sensor: sensor(&args.role),
        config: asker.held().config.then(|| Json::clone(&ctx.config())),
    };
    let section = section(&args.role, ctx.id());
    if !fits(&welcome, Encoding::Json, args.limits.message) {
        let why = format!("its `welcome`, with its settings: {}", too_long(args.limits.message, &section));
        return Err(PluginError::Settings(why.into()));
    }
    match timeout_at(until, line.to.send(welcome)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(PluginError::failed(ended(&mut line).await)),
        Err(_) => return Err(late("it did not read its `welcome`")),
    }
    let shared = Arc::new(Shared {
        to: line.to.clone(),
        calls: Mutex::default(),
        events: Mutex::new(Events::new(hello.credit.unwrap_or(CREDIT))),
        wake: Notify::new(),
        well: AtomicBool::new(false),
        encoding,
        longest: args.limits.message,
        section,
    });
    let (ready, is_ready) = oneshot::channel();
    let (quit, quits) = oneshot::channel();
    let (is_over, over) = oneshot::channel();
    ctx.spawn(Talk::new(ctx.clone(), shared.clone(), line, asker, ready, quits, is_over).run());
    // Dropped on the way out, it ends the talk, and that what runs there.
    let session = Session { caller: Caller(shared.clone()), quit: Some(quit), over };
    let answer = match timeout_at(until, is_ready).await {
        Ok(Ok(answer)) => answer.map_err(PluginError::failed)?,
        Ok(Err(_)) => return Err(PluginError::failed("it ended before it was ready")),
        Err(_) => return Err(late("it was not ready")),
    };
    let every = greeting::ready(declared, answer)?;
    // In this order, so that an end is either news or found here.
    shared.well.store(true, Ordering::SeqCst);
    match shared.calls().why_over() {
        Some(why) => Err(PluginError::failed(why)),
        None => Ok((session, every)),
    }
}

fn sensor(role: &Role) -> Option<SensorWelcome> {
    let Role::Sensor { every, device, .. } = role else { return None };
    let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
    Some(SensorWelcome { every_ms, address: device.as_ref().map(|device| device.address) })
}

/// How a plugin has ended that nobody had asked to.
pub(super) async fn ended(line: &mut Line) -> String {
    match timeout(WORDS, &mut line.end).await {
        Ok(Ok(End::Broken(why))) => why,
        Ok(Ok(End::Stopped)) => "it ended by itself".into(),
        Ok(Err(_)) | Err(_) => "it is gone".into(),
    }
}
