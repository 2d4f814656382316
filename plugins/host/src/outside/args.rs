//! What an instance of a plugin outside is given: by whoever composes the node.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::context::BoxFuture;
use sedge_plugin::grant::{Direction, GpioGrant, Grants, I2cGrant};
use sedge_plugin::{BusError, Id, Stage};
use sedge_protocol::{GpioOperation, I2cOperation, Limits};
use serde_json::Value as Json;

use super::Carrier;
use crate::manifest::Declaration;

/// What an instance is given: outlives its restarts.
pub struct OutsideArgs {
    /// What its manifest says.
    pub declaration: Arc<Declaration>,
    /// Its folder.
    pub folder: PathBuf,
    /// What runs it.
    pub carrier: Arc<dyn Carrier>,
    /// Its settings, which fit the schema of its manifest.
    pub settings: Json,
    /// What the config grants it. It holds of that what its manifest asks for.
    pub grants: Grants,
    /// What it must stay within.
    pub limits: Limits,
    /// By what kind of section it is named.
    pub role: Role,
    /// The node's hardware.
    pub hardware: Arc<dyn Hardware>,
}

/// By what kind of section an instance is named: what it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Role {
    /// `[plugin.ID]`: its tools, its hooks.
    Plain,
    /// `[sensor.ID]`: a reading every so often.
    Sensor {
        /// How often.
        every: Duration,
        /// Where it is, for people: `i2c-1/0x76`; empty where it is nowhere.
        place: String,
        /// The device that its section names: what the label `device` reaches. Granted thereby.
        device: Option<I2cGrant>,
    },
    /// `[processor.ID]`: a step of the path of a reading.
    Processor {
        /// Where.
        stage: Stage,
        /// Of these sensors; none for all.
        sensors: Option<BTreeSet<Id>>,
        /// Lower runs earlier.
        priority: i32,
    },
    /// `[destination.ID]`: all readings, until they have arrived.
    Destination {
        /// Of these sensors; none for all.
        sensors: Option<BTreeSet<Id>>,
    },
}

/// The hardware that a node has, for plugins that were granted some of it.
pub trait Hardware: Send + Sync + 'static {
    /// Transfers with one device, without letting go of the bus: one answer per read, in order.
    fn i2c(
        &self,
        device: &I2cGrant,
        operations: Vec<I2cOperation>,
    ) -> BoxFuture<'static, Result<Vec<Vec<u8>>, BusError>>;

    /// Sets or reads a line, for an instance, which owns it from its first use to [`release`](Self::release).
    fn gpio(
        &self,
        plugin: &Id,
        line: &GpioGrant,
        direction: Direction,
        operation: GpioOperation,
    ) -> BoxFuture<'static, Result<bool, String>>;

    /// An instance has ended: its outputs are made safe, its lines are free.
    fn release(&self, plugin: &Id);
}
