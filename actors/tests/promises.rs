//! What the engine promises. Each test is named as the promise that it keeps; time is paused throughout.

#[path = "promises/answers.rs"]
mod answers;
#[path = "promises/around.rs"]
mod around;
#[path = "promises/context.rs"]
mod context;
#[path = "promises/deadlines.rs"]
mod deadlines;
#[path = "promises/describe.rs"]
mod describe;
#[path = "promises/errors.rs"]
mod errors;
#[path = "promises/guards.rs"]
mod guards;
#[path = "promises/historic.rs"]
mod historic;
#[path = "promises/hooks.rs"]
mod hooks;
#[path = "promises/life.rs"]
mod life;
#[path = "promises/logs.rs"]
mod logs;
#[path = "promises/misbehave.rs"]
mod misbehave;
#[path = "promises/moments.rs"]
mod moments;
#[path = "promises/needs.rs"]
mod needs;
#[path = "promises/offers.rs"]
mod offers;
#[path = "promises/ondemand.rs"]
mod ondemand;
#[path = "promises/order.rs"]
mod order;
#[path = "promises/own_topic.rs"]
mod own_topic;
#[path = "promises/peculiar.rs"]
mod peculiar;
#[path = "promises/puppet.rs"]
mod puppet;
#[path = "promises/readings.rs"]
mod readings;
#[path = "promises/records.rs"]
mod records;
#[path = "promises/reload.rs"]
mod reload;
#[path = "promises/services.rs"]
mod services;
#[path = "promises/store.rs"]
mod store;
#[path = "promises/supervision.rs"]
mod supervision;
#[path = "promises/support.rs"]
mod support;
#[path = "promises/swap.rs"]
mod swap;
#[path = "promises/tools.rs"]
mod tools;
