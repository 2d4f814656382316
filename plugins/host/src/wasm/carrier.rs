//! From a folder to a line: finds the code, checks that it fits, and gives it a thread.

use std::sync::Arc;

use sedge_plugin::PluginError;
use sedge_plugin::context::BoxFuture;
use sedge_protocol::{CREDIT, IN_FLIGHT, ToPlugin};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use wasmtime::component::{HasSelf, Linker};

use super::bindings::{Plugin, PluginPre};
use super::engine::engine;
use super::imports::Guest;
use super::inbox::Inbox;
use super::instance::{Prepared, run};
use super::settings::{STACK, Target};
use super::{ComponentCarrier, ComponentOptions, artefact, interface, load};
use crate::outside::{Carrier, Line, Start};

/// The stack of a component's thread: its own, and what answers it.
const THREAD_STACK: usize = STACK + 768 * 1024;

/// How many messages of a component may wait for the node.
const SAID: usize = 32;

impl Carrier for ComponentCarrier {
    fn start(&self, start: Start) -> BoxFuture<'_, Result<Line, PluginError>> {
        let options = Arc::clone(&self.options);
        Box::pin(async move {
            let limits = start.limits;
            let clock = Arc::clone(&options.clock);
            let prepared = tokio::task::spawn_blocking(move || prepare(&options, limits));
            let prepared =
                prepared.await.map_err(|_| PluginError::failed("a component could not be loaded"))??;
            let inbox = Arc::new(Inbox::default());
            let (to, heard) = mpsc::channel(CREDIT as usize + IN_FLIGHT);
            let (said, from) = mpsc::channel(SAID);
            let (ended, end) = oneshot::channel();
            let guest = Guest::new(Arc::clone(&inbox), said, limits.message, clock);
            let name = format!("wasm-{}", start.id);
            let thread = std::thread::Builder::new().name(name).stack_size(THREAD_STACK);
            let thread = thread.spawn(move || ended.send(run(prepared, guest)));
            thread.map_err(|error| PluginError::failed(format!("no thread for a component: {error}")))?;
            let hearing = tokio::spawn(hear(heard, Arc::clone(&inbox))).abort_handle();
            Ok(Line { to, from, end, guard: Box::new(Guard { inbox, hearing }) })
        })
    }

    fn isolation(&self) -> String {
        // On 32 bits there is nothing but the interpreter.
        let how = if self.options.target() == Target::pulley() { "interpreted" } else { "compiled" };
        format!("WebAssembly, {how}, a thread of the node")
    }
}

impl ComponentOptions {
    pub(super) fn target(&self) -> Target {
        if self.interpreted { Target::pulley() } else { Target::host() }
    }
}

/// What takes time: reading, hashing, compiling, loading.
fn prepare(options: &ComponentOptions, limits: sedge_protocol::Limits) -> Result<Prepared, PluginError> {
    let file = options.folder.join(&options.file);
    let target = options.target();
    let artefact = artefact::find(options, target)?;
    let clockwork = engine(target).map_err(PluginError::failed)?;
    let component = load::load(&clockwork.engine, &artefact)
        .map_err(|error| PluginError::failed(format!("{} cannot be loaded: {error:#}", file.display())))?;
    let named = |message: String| PluginError::Settings(format!("{}: {message}", file.display()).into());
    interface::check(&clockwork.engine, &component).map_err(named)?;
    let mut linker = Linker::<Guest>::new(&clockwork.engine);
    let linked = Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)
        .and_then(|()| linker.instantiate_pre(&component))
        .and_then(PluginPre::new)
        .map_err(|error| named(interface::unlinked(&clockwork.engine, &component, &error)))?;
    Ok(Prepared { clockwork, component: linked, limits })
}

/// Puts what comes into the inbox, also while the component runs.
async fn hear(mut heard: mpsc::Receiver<ToPlugin>, inbox: Arc<Inbox>) {
    while let Some(message) = heard.recv().await {
        if !inbox.put(message) {
            tracing::error!("A component was sent more than it has granted, and is stopped.");
            inbox.kill();
        }
    }
    inbox.close();
}

/// Ends the component when it is dropped, whatever it does.
struct Guard {
    inbox: Arc<Inbox>,
    hearing: AbortHandle,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.inbox.kill();
        self.hearing.abort();
    }
}
