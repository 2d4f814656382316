//! What the engine promises. Each test is named as the promise that it keeps; time is paused throughout.

#[path = "promises/hooks.rs"]
mod hooks;
#[path = "promises/peculiar.rs"]
mod peculiar;
#[path = "promises/readings.rs"]
mod readings;
#[path = "promises/supervision.rs"]
mod supervision;
#[path = "promises/support.rs"]
mod support;
#[path = "promises/tools.rs"]
mod tools;
