//! A plugin outside whose words a test says, and a node's hardware that is none.
//!
//! ```
//! # use sedge_host::outside::testing::{carrier, declaration};
//! let declared = declaration("pump", "[entry]\ncommand = [\"pump\"]");
//! let (carrier, starts) = carrier();
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sedge_plugin::context::BoxFuture;
use sedge_plugin::grant::{Direction, GpioGrant, Grants, I2cGrant};
use sedge_plugin::{BusError, Id, PluginError, Tool};
use sedge_protocol::{
    Ask, Call, GpioOperation, HelloMessage, I2cOperation, IN_FLIGHT, Limits, MAX_MESSAGE, PROTOCOL, ToNode,
    ToPlugin,
};
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, oneshot};

use super::{Carrier, End, Hardware, Line, OutsideArgs, Role, Start};
use crate::manifest::Declaration;

/// Messages that may wait on either side of the line.
const LENGTH: usize = 64;
/// How long a test waits for anything, on its own clock.
const PATIENCE: Duration = Duration::from_secs(300);

/// Hands each start to a test.
pub struct FakeCarrier(mpsc::Sender<FakePlugin>);

/// A carrier, and the starts of what it carries.
pub fn carrier() -> (Arc<FakeCarrier>, mpsc::Receiver<FakePlugin>) {
    let (starts, started) = mpsc::channel(LENGTH);
    (Arc::new(FakeCarrier(starts)), started)
}

impl Carrier for FakeCarrier {
    fn start(&self, start: Start) -> BoxFuture<'_, Result<Line, PluginError>> {
        Box::pin(async move {
            let (to, hears) = mpsc::channel(LENGTH);
            let (says, from) = mpsc::channel(LENGTH);
            let (ends, end) = oneshot::channel();
            let (alive, killed) = oneshot::channel::<()>();
            let plugin = FakePlugin { start, hears, says: Some(says), ends: Some(ends), killed };
            self.0.send(plugin).await.map_err(|_| PluginError::unmet("nobody plays the plugin"))?;
            Ok(Line { to, from, end, guard: Box::new(alive) })
        })
    }

    fn isolation(&self) -> String {
        "none".into()
    }
}

/// One start of a plugin that a test plays.
pub struct FakePlugin {
    /// What the carrier was told.
    pub start: Start,
    hears: mpsc::Receiver<ToPlugin>,
    says: Option<mpsc::Sender<ToNode>>,
    ends: Option<oneshot::Sender<End>>,
    killed: oneshot::Receiver<()>,
}

/// What `hello` says where all is well.
pub fn hello(declared: &Declaration) -> HelloMessage {
    HelloMessage {
        protocol: PROTOCOL,
        plugin: declared.info.name.clone(),
        version: declared.info.version.clone(),
        sdk: "test/0".into(),
        encodings: Vec::new(),
        features: Vec::new(),
        credit: None,
    }
}

/// What `ready` says where all is well.
pub fn ready(declared: &Declaration) -> ToNode {
    ToNode::Ready { tools: declared.tools.iter().cloned().map(Tool::from).collect(), every_ms: None }
}

impl FakePlugin {
    /// Says something. False where nobody hears it any more.
    ///
    /// # Panics
    /// When the node does not take it.
    pub async fn say(&self, message: ToNode) -> bool {
        match &self.says {
            Some(says) => soon("taken by the node", says.send(message)).await.is_ok(),
            None => false,
        }
    }

    /// What it is told next; none once the node has closed the line.
    ///
    /// # Panics
    /// When it is told nothing.
    pub async fn hear(&mut self) -> Option<ToPlugin> {
        soon("told anything", self.hears.recv()).await
    }

    /// Does what a plugin does at its start; answers with its welcome.
    ///
    /// # Panics
    /// When it is not welcomed.
    pub async fn greet(&mut self, declared: &Declaration) -> ToPlugin {
        let welcome = self.begin(declared).await;
        self.say(ready(declared)).await;
        welcome
    }

    /// As [`greet`](Self::greet), and is not ready yet.
    ///
    /// # Panics
    /// When it is not welcomed.
    pub async fn begin(&mut self, declared: &Declaration) -> ToPlugin {
        self.say(ToNode::Hello(hello(declared))).await;
        match self.hear().await {
            Some(welcome @ ToPlugin::Welcome { .. }) => welcome,
            other => panic!("expected a welcome, heard {other:?}"),
        }
    }

    /// The next call, with its number. Pings before it are answered.
    ///
    /// # Panics
    /// When there is none.
    pub async fn called(&mut self) -> (u64, Call) {
        loop {
            match self.hear().await {
                Some(ToPlugin::Call { id, call }) => return (id, call),
                Some(ToPlugin::Ping { id }) => drop(self.say(ToNode::Pong { id }).await),
                other => panic!("expected a call, heard {other:?}"),
            }
        }
    }

    /// Answers a call.
    pub async fn answer(&self, id: u64, result: Json) {
        self.say(ToNode::Ok { id, result }).await;
    }

    /// Asks the node for something, and waits for the answer.
    ///
    /// # Panics
    /// When something else comes first.
    pub async fn ask(&mut self, id: u64, ask: Ask) -> Result<Json, sedge_plugin::ToolError> {
        self.say(ToNode::Ask { id, ask }).await;
        match self.hear().await {
            Some(ToPlugin::Ok { id: answered, result }) if answered == id => Ok(result),
            Some(ToPlugin::Error { id: answered, error }) if answered == id => Err(error),
            other => panic!("expected an answer to {id}, heard {other:?}"),
        }
    }

    /// Ends, as it was asked to or not.
    pub fn end(&mut self, end: End) {
        if let Some(ends) = self.ends.take() {
            let _ = ends.send(end);
        }
        self.says = None;
    }

    /// Waits until it is killed.
    ///
    /// # Panics
    /// When it is not.
    pub async fn killed(&mut self) {
        let _ = soon("killed", &mut self.killed).await;
    }

    /// Whether it is killed.
    pub fn is_killed(&mut self) -> bool {
        !matches!(self.killed.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

/// Waits for what a plugin may count on.
///
/// # Panics
/// When it does not happen.
async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    let happened = tokio::time::timeout(PATIENCE, happens).await;
    happened.unwrap_or_else(|_| panic!("the plugin was not {what} within {PATIENCE:?}"))
}

/// What a manifest says: its name and, after `[plugin]`, the rest.
///
/// # Panics
/// When it has mistakes.
pub fn declaration(name: &str, rest: &str) -> Arc<Declaration> {
    let text = format!(
        "manifest = 1\n[plugin]\nname = \"{name}\"\nversion = \"1.0.0\"\ndescription = \"Is {name}.\"\n{rest}\n"
    );
    match crate::manifest::parse(&Path::new("/plugins").join(name), text.as_bytes()) {
        Ok(declared) => Arc::new(declared),
        Err(mistakes) => panic!("{mistakes:?}"),
    }
}

/// What an instance is given, without grants.
pub fn args(declaration: &Arc<Declaration>, carrier: Arc<dyn Carrier>, role: Role) -> OutsideArgs {
    OutsideArgs {
        declaration: declaration.clone(),
        folder: PathBuf::from("/plugins"),
        carrier,
        settings: json!({}),
        grants: Grants::default(),
        limits: Limits { message: MAX_MESSAGE, in_flight: IN_FLIGHT, memory: 64 << 20, start_ms: 10_000 },
        role,
        hardware: Arc::new(FakeHardware::default()),
    }
}

/// Remembers what was done with it. Every byte that is read is the address of the device; every line is high.
#[derive(Default)]
pub struct FakeHardware(Mutex<Vec<String>>);

impl FakeHardware {
    /// What was done since this was asked last.
    pub fn done(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn does(&self, what: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

impl Hardware for FakeHardware {
    fn i2c(
        &self,
        device: &I2cGrant,
        operations: Vec<I2cOperation>,
    ) -> BoxFuture<'static, Result<Vec<Vec<u8>>, BusError>> {
        self.does(format!("i2c {} {:#04x}", device.bus, device.address));
        let read = |operation: I2cOperation| match operation {
            I2cOperation::Read(count) => Some(vec![device.address; count.into()]),
            I2cOperation::Write(_) => None,
        };
        let read: Vec<Vec<u8>> = operations.into_iter().filter_map(read).collect();
        Box::pin(std::future::ready(Ok(read)))
    }

    fn gpio(
        &self,
        plugin: &Id,
        line: &GpioGrant,
        _: Direction,
        operation: GpioOperation,
    ) -> BoxFuture<'static, Result<bool, String>> {
        self.does(format!("gpio {plugin} {} {operation:?}", line.line));
        Box::pin(std::future::ready(Ok(true)))
    }

    fn release(&self, plugin: &Id) {
        self.does(format!("release {plugin}"));
    }
}
