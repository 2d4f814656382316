//! The commands, one file each.

pub mod audit;
pub mod caller;
pub mod check;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod example;
pub mod fleet;
pub mod hardware;
pub mod hooks;
mod local;
pub mod metrics;
pub mod node;
pub mod once;
pub mod other;
pub mod plugin;
pub mod read;
pub mod readings;
pub mod record;
pub mod reload;
pub mod remote;
pub mod run;
pub mod scan;
pub mod sensor;
pub mod tool;
pub mod version;
