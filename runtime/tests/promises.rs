//! What a whole node promises: the real binary, real brokers, simulated hardware.
//!
//! Waiting is for events, under one generous limit; nothing sleeps and nothing measures time.

#[path = "broker/mod.rs"]
mod broker;
#[path = "../../plugins/mqtt/tests/promises/support/brokers.rs"]
mod brokers;
#[path = "promises/callers.rs"]
mod callers;
#[path = "promises/commands.rs"]
mod commands;
#[path = "promises/contract.rs"]
mod contract;
#[path = "promises/demo.rs"]
mod demo;
#[path = "promises/discovery.rs"]
mod discovery;
#[path = "promises/doctor.rs"]
mod doctor;
#[path = "promises/faults.rs"]
mod faults;
#[path = "promises/guide.rs"]
mod guide;
#[path = "promises/hardware.rs"]
mod hardware;
#[path = "../../plugins/mqtt/tests/promises/support/home_assistant.rs"]
mod home_assistant;
#[path = "promises/init.rs"]
mod init;
#[path = "promises/join.rs"]
mod join;
#[path = "promises/layers.rs"]
mod layers;
#[path = "promises/node.rs"]
mod node;
#[path = "promises/outbox.rs"]
mod outbox;
#[path = "promises/outside.rs"]
mod outside;
#[path = "promises/program.rs"]
mod program;
#[path = "promises/rack.rs"]
mod rack;
#[path = "promises/record.rs"]
mod record;
#[path = "promises/remote.rs"]
mod remote;
#[path = "promises/service.rs"]
mod service;
#[path = "promises/sysfs.rs"]
mod sysfs;
#[path = "promises/table.rs"]
mod table;
#[path = "promises/trust.rs"]
mod trust;

use broker::clients;
