//! Plugins that run outside of the node, and the one plugin that stands for them inside.
//!
//! [`Outside`] is a [`Plugin`](sedge_plugin::Plugin) like any other: the engine starts, supervises and restarts it. What it
//! is asked it passes on as messages of [`sedge_protocol`]; what the plugin outside asks of the node it passes to its
//! [`Context`](sedge_plugin::Context), as far as that is granted. A [`Carrier`] takes the messages to where the plugin runs: a
//! process, or a WebAssembly component.
//!
//! It must not know what carries the messages, nor do anything for a plugin that its grants do not have.

mod args;
mod asks;
mod calls;
mod events;
mod feed;
pub(crate) mod greeting;
mod hooks;
mod line;
pub(crate) mod log;
mod names;
mod plugin;
mod session;
mod talk;
#[doc(hidden)]
pub mod testing;

pub use args::{Hardware, OutsideArgs, Role};
pub use line::{Carrier, End, Line, Start};
pub use names::tool_name;
pub use plugin::Outside;
