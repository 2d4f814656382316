//! What the tests stand on: brokers, a node that is none, a wire that can be cut.

pub mod authority;
pub mod brokers;
#[path = "../../../../../runtime/tests/broker/clients.rs"]
#[expect(dead_code, reason = "shared with the tests of the embedded broker")]
pub mod clients;
pub mod home_assistant;
pub mod node;
pub mod proxy;
