//! The commands, one file each.

pub mod check;
pub mod config;
pub mod demo;
pub mod hooks;
mod local;
pub mod metrics;
pub mod node;
pub mod once;
pub mod other;
pub mod plugin;
pub mod readings;
pub mod reload;
pub mod remote;
pub mod run;
pub mod sensor;
pub mod tool;
pub mod version;
