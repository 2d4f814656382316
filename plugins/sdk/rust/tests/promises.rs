//! What the SDK promises: one binary for all.

#[path = "promises/component.rs"]
mod component;
#[path = "promises/hardware.rs"]
mod hardware;
#[path = "promises/node.rs"]
mod node;
#[path = "promises/plugins.rs"]
mod plugins;
#[path = "promises/process.rs"]
mod process;
