//! A plugin as a WebAssembly component: `sedge_sdk::component!(sensor: Bme280);`.
//!
//! The node calls what the component exports, one call at a time, and the component what it imports; nothing runs between two
//! calls. A future that waits for time lets the node wait; one that was started beside a handler goes on during the next call.
//!
//! It must not use what only a real machine has: threads, files, the environment, the clock of `std`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sedge_plugin::{PluginError, ToolError, ToolErrorCode};
use serde_json::{Value as Json, json};

use crate::executor::Stuck;
use crate::guest::{Guest, Welcome, why};
use crate::link::Link;
use crate::session::Session;

/// What the world `plugin` says, as Rust.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[allow(missing_docs, unsafe_code, clippy::all, reason = "generated from plugin.wit")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "plugin",
        pub_export_macro: true,
        default_bindings_module: "sedge_sdk::component::bindings",
    });
}

mod call;
#[cfg(target_family = "wasm")]
mod imports;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use imports::{call, event, hello, start};

/// A component, whatever stands behind its imports. The texts are those of `plugin.wit`.
#[doc(hidden)]
pub struct Component {
    session: Session,
}

impl Component {
    /// One whose imports are `link`.
    pub fn new(guest: Guest, link: Arc<dyn Link>) -> Self {
        crate::log::to(link.clone());
        Self { session: Session::new(guest, link) }
    }

    /// Its `HelloMessage`.
    pub fn hello(&self) -> String {
        text(&self.session.hello())
    }

    /// Told a `Welcome`, answers a `Ready` or a `Failed`.
    pub fn start(&mut self, welcome: &str) -> String {
        let executor = self.session.executor.clone();
        let welcome =
            serde_json::from_str::<Json>(welcome).map_err(|error| format!("the node's welcome: {error}"));
        let welcome = welcome.and_then(Welcome::try_from);
        let started = executor
            .block_on(self.session.start(welcome))
            .unwrap_or_else(|Stuck| Err(PluginError::failed("its set-up waits for what cannot come")));
        let said = match started {
            Ok(ready) => json!({ "type": "ready", "tools": ready.tools, "every_ms": ready.every_ms() }),
            Err(error) => json!({ "type": "failed", "why": why(&error), "message": error.to_string() }),
        };
        said.to_string()
    }

    /// Answers a `Call`.
    ///
    /// # Errors
    /// A `ToolError`.
    pub fn call(&mut self, call: &str) -> Result<String, String> {
        let open = Arc::new(AtomicBool::new(true));
        let executor = self.session.executor.clone();
        let read = serde_json::from_str(call).map_err(|error| error.to_string()).and_then(call::read);
        let answer = match read {
            Ok(call) => executor.block_on(self.session.call(0, call, &open)).unwrap_or_else(|Stuck| {
                Err(ToolError::new(ToolErrorCode::Internal, "the plugin waits for what cannot come"))
            }),
            Err(error) => Err(ToolError::new(ToolErrorCode::BadRequest, format!("the call: {error}"))),
        };
        answer.map(|result| result.to_string()).map_err(|error| text(&error))
    }

    /// Hears a message of an observed topic.
    ///
    /// # Panics
    /// When too many in a row failed: the node starts it anew.
    pub fn event(&mut self, topic: &str, message: &str) {
        let message = serde_json::from_str(message).unwrap_or_default();
        let executor = self.session.executor.clone();
        match executor.block_on(self.session.event(topic.into(), message)) {
            Ok(Ok(())) => {}
            Ok(Err(why)) => panic!("{why}"),
            Err(Stuck) => panic!("the observer of `{topic}` waits for what cannot come"),
        }
    }
}

fn text(message: &impl serde::Serialize) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

/// Makes the crate a component: one of `plugin: Type`, `sensor: Type`, `processor: Type`. Elsewhere than on WebAssembly it is
/// nothing, so that the same crate is tested, and compiled in, as any other.
///
/// ```
/// # use sedge_plugin::prelude::*;
/// # struct Spike;
/// # impl Processor for Spike {
/// #     const KIND: &'static str = "spike";
/// #     const TITLE: &'static str = "";
/// #     type Config = NoSettings;
/// #     fn new(_: NoSettings, _: &Context) -> Result<Self, PluginError> { Ok(Self) }
/// #     fn process(&mut self, _: &Draft) -> Result<Step<Draft>, PluginError> { Ok(Step::Pass) }
/// # }
/// sedge_sdk::component!(processor: Spike);
/// ```
#[macro_export]
macro_rules! component {
    (plugin: $type:ty) => {
        $crate::component!(@ $crate::Guest::plugin::<$type>());
    };
    (sensor: $type:ty) => {
        $crate::component!(@ $crate::Guest::sensor::<$type>(env!("CARGO_PKG_VERSION")));
    };
    (processor: $type:ty) => {
        $crate::component!(@ $crate::Guest::processor::<$type>(env!("CARGO_PKG_VERSION")));
    };
    (@ $guest:expr) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Exported;
            impl $crate::component::bindings::Guest for Exported {
                fn hello() -> String {
                    $crate::component::hello(|| $guest)
                }
                fn start(welcome: String) -> String {
                    $crate::component::start(|| $guest, &welcome)
                }
                fn call(call: String) -> Result<String, String> {
                    $crate::component::call(|| $guest, &call)
                }
                fn event(topic: String, message: String) {
                    $crate::component::event(|| $guest, &topic, &message);
                }
            }
            $crate::component::bindings::export!(Exported with_types_in $crate::component::bindings);
        };
    };
}
