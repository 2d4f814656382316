//! What is known of the other nodes, and what is made of it here: sensors, readings, tools.
//!
//! A descriptor that came is kept until it is taken back, also while its node is away: so all is there again at once when
//! the node is. A sensor is announced here while its node is online and it is not silent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::metrics::Counter;
use sedge_plugin::wire::ReadingFrame;
use sedge_plugin::{
    Context, Frame, Id, Name, Origin, RemoteNode, Sample, SensorDescriptor, Taken, Tool, glob,
};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::Import;
use super::calls::{Asked, Who};
use super::names::local_id;
use super::seen::Seen;
use crate::link::Incoming;
use crate::wire::{BacklogFrame, ONLINE, Place, SensorFrame};

/// Messages with readings of sensors that are not known yet.
const MAX_EARLY: usize = 1024;
const MAX_EARLY_BYTES: usize = 4 << 20;

/// The largest descriptor of a tool that is kept.
const MAX_TOOL_BYTES: usize = 16 * 1024;

/// Nodes of one section.
const MAX_NODES: usize = 1024;
/// Sensors, and tools, of one section.
const MAX_OF_A_KIND: usize = 4096;

/// A sensor of another node.
pub(super) struct Far {
    /// What it is called here.
    pub(super) local: Id,
    descriptor: SensorDescriptor,
    pub(super) announced: bool,
    /// Whether the broker has named it since we connected.
    confirmed: bool,
    /// When it last said something that was not old, or was announced.
    pub(super) heard: Duration,
    /// Why it cannot be known here.
    pub(super) conflict: Option<String>,
    seen: Seen,
}

/// Another node.
#[derive(Default)]
pub(super) struct Node {
    /// None until it was heard.
    pub(super) online: Option<bool>,
    pub(super) sensors: BTreeMap<Id, Far>,
    /// Each with whether the broker has named it since we connected.
    tools: BTreeMap<Name, (Arc<Tool>, bool)>,
    /// Another plugin reaches it.
    pub(super) taken: bool,
}

struct Counters {
    imported: Counter,
    duplicates: Counter,
    passed_over: Counter,
}

/// See the [module](self).
pub(super) struct Fleet {
    pub(super) ctx: Context,
    pub(super) import: Import,
    own: Id,
    who: Who,
    line: mpsc::Sender<Asked>,
    pub(super) nodes: BTreeMap<Id, Node>,
    /// Readings of sensors that are not known yet: what a broker has kept for us comes before it says what there is.
    early: VecDeque<(Id, Id, Incoming)>,
    counters: Counters,
}

impl Fleet {
    pub(super) fn new(ctx: Context, import: Import, who: Who, line: mpsc::Sender<Asked>) -> Self {
        let counter = |name: &str, help| {
            Name::new(name).ok().and_then(|name| ctx.counter(name, help).ok()).unwrap_or_default()
        };
        let counters = Counters {
            imported: counter("imported", "Readings of other nodes that were imported."),
            duplicates: counter("duplicates", "Readings of other nodes that had come already."),
            passed_over: counter("passed_over", "Readings of other nodes of which no sense could be made."),
        };
        let own = ctx.directory().node.id.clone();
        Self { ctx, import, own, who, line, nodes: BTreeMap::new(), early: VecDeque::new(), counters }
    }

    /// Takes a message.
    pub(super) async fn take(&mut self, message: Incoming) {
        let Some(place) = self.who.base.place(&message.topic) else { return };
        if let Place::Reading(node, sensor) | Place::Backlog(node, sensor) = &place
            && !message.retain
            && self.is_expected(node, sensor)
        {
            return self.hold((node.clone(), sensor.clone(), message));
        }
        match place {
            Place::Status(node) if message.payload.is_empty() => self.forget(&node),
            Place::Status(node) => self.status(&node, message.payload == ONLINE.as_bytes()),
            Place::Sensor(node, sensor) => {
                self.sensor(&node, &sensor, &message.payload);
                self.release(&node, &sensor).await;
            }
            Place::Tool(node, tool) => self.tool(&node, &tool, &message.payload),
            // A retained reading is nothing new.
            Place::Reading(node, sensor) if !message.retain => {
                match serde_json::from_slice::<ReadingFrame>(&message.payload) {
                    Ok(frame) => self.readings(&node, &sensor, vec![frame], true).await,
                    Err(error) => self.unreadable(&message.topic, &error),
                }
            }
            Place::Backlog(node, sensor) if !message.retain && self.import.backlog => {
                match serde_json::from_slice::<BacklogFrame>(&message.payload) {
                    Ok(frames) => self.readings(&node, &sensor, frames.0, false).await,
                    Err(error) => self.unreadable(&message.topic, &error),
                }
            }
            _ => {}
        }
    }

    /// Whether a sensor is wanted and not known.
    fn is_expected(&mut self, id: &Id, sensor: &Id) -> bool {
        let wanted = self.import.sensors.iter().any(|pattern| glob(pattern, sensor.as_str()));
        wanted && self.node(id).is_some_and(|node| !node.sensors.contains_key(sensor))
    }

    fn hold(&mut self, early: (Id, Id, Incoming)) {
        self.early.push_back(early);
        let bytes =
            |early: &VecDeque<(Id, Id, Incoming)>| early.iter().map(|(.., m)| m.payload.len()).sum::<usize>();
        while self.early.len() > MAX_EARLY || bytes(&self.early) > MAX_EARLY_BYTES {
            self.early.pop_front();
            self.counters.passed_over.inc();
        }
    }

    /// A sensor is known now: what came before it said so.
    async fn release(&mut self, id: &Id, sensor: &Id) {
        if self.is_expected(id, sensor) {
            return;
        }
        let (ready, early) =
            std::mem::take(&mut self.early).into_iter().partition(|(node, of, _)| (node, of) == (id, sensor));
        self.early = early;
        let ready: VecDeque<(Id, Id, Incoming)> = ready;
        for (.., message) in ready {
            Box::pin(self.take(message)).await;
        }
    }

    fn unreadable(&self, topic: &str, error: &serde_json::Error) {
        debug!(topic, %error, "Not a reading.");
        self.counters.passed_over.inc();
    }

    /// A node that is wanted; this one never is.
    fn node(&mut self, id: &Id) -> Option<&mut Node> {
        let wanted = match &self.import.node {
            Some(node) => node == id,
            None => !self.import.except.contains(id),
        };
        if !wanted || *id == self.own || (self.nodes.len() >= MAX_NODES && !self.nodes.contains_key(id)) {
            return None;
        }
        Some(self.nodes.entry(id.clone()).or_default())
    }

    fn status(&mut self, id: &Id, online: bool) {
        let Some(node) = self.node(id) else { return };
        node.online = Some(online);
        let sensors: Vec<Id> = node.sensors.keys().cloned().collect();
        for sensor in &sensors {
            if online { self.announce(id, sensor) } else { self.withdraw(id, sensor) }
        }
        self.reach(id);
    }

    /// A node was decommissioned.
    fn forget(&mut self, id: &Id) {
        let sensors = self.nodes.get(id).map(|node| node.sensors.keys().cloned().collect::<Vec<_>>());
        sensors.iter().flatten().for_each(|sensor| self.withdraw(id, sensor));
        if self.nodes.remove(id).is_some() {
            self.ctx.forget_node(id);
        }
    }

    fn sensor(&mut self, id: &Id, sensor: &Id, payload: &[u8]) {
        let full = self.nodes.values().map(|node| node.sensors.len()).sum::<usize>() >= MAX_OF_A_KIND;
        let wanted = self.import.sensors.iter().any(|pattern| glob(pattern, sensor.as_str()));
        let now = self.ctx.clock().up();
        let Some(node) = self.node(id).filter(|_| wanted) else { return };
        let frame = match serde_json::from_slice::<SensorFrame>(payload) {
            Ok(frame) => frame,
            Err(error) => {
                if !payload.is_empty() {
                    debug!(node = %id, %sensor, %error, "The descriptor of a remote sensor cannot be read.");
                }
                self.withdraw(id, sensor);
                if let Some(node) = self.node(id) {
                    node.sensors.remove(sensor);
                }
                return;
            }
        };
        let local = local_id(id, sensor);
        let descriptor = SensorDescriptor {
            id: local.clone(),
            kind: frame.kind,
            plugin: frame.plugin,
            place: format!("{id}/{sensor}"),
            interval: frame.interval_ms.map(Duration::from_millis),
            fields: frame.fields,
            node: Some(id.clone()),
        };
        match node.sensors.get_mut(sensor) {
            Some(far) => {
                far.confirmed = true;
                if far.descriptor == descriptor {
                    return;
                }
                (far.descriptor, far.announced) = (descriptor, false);
            }
            None if full => return,
            None => {
                let (seen, conflict) = (Seen::default(), None);
                let far =
                    Far { local, descriptor, announced: false, confirmed: true, heard: now, conflict, seen };
                node.sensors.insert(sensor.clone(), far);
            }
        }
        if node.online == Some(true) {
            self.announce(id, sensor);
        }
    }

    fn announce(&mut self, id: &Id, sensor: &Id) {
        let now = self.ctx.clock().up();
        let Some(far) = self.nodes.get(id).and_then(|node| node.sensors.get(sensor)) else { return };
        if far.announced {
            return;
        }
        let conflict = self.conflict(id, sensor, &far.local);
        let descriptor = far.descriptor.clone();
        if conflict.is_none() {
            self.ctx.announce(descriptor);
        }
        let Some(far) = self.nodes.get_mut(id).and_then(|node| node.sensors.get_mut(sensor)) else { return };
        if let (Some(conflict), None) = (&conflict, &far.conflict) {
            warn!(node = %id, %sensor, conflict, "A remote sensor is not imported.");
        }
        (far.announced, far.heard, far.conflict) = (conflict.is_none(), now, conflict);
    }

    /// Why a sensor cannot be known here by its name: something else is.
    fn conflict(&self, id: &Id, sensor: &Id, local: &Id) -> Option<String> {
        let directory = self.ctx.directory();
        let place = format!("{id}/{sensor}");
        if let Some(other) =
            directory.sensor(local).filter(|other| other.node.is_none() || other.place != place)
        {
            let whose = if other.node.is_some() { other.place.as_str() } else { "a sensor of this node" };
            return Some(format!("`{place}` would be `{local}` here, which is {whose}"));
        }
        directory
            .plugin(local.as_str())
            .map(|_| format!("`{place}` would be `{local}` here, which is a component of this node"))
    }

    pub(super) fn withdraw(&mut self, id: &Id, sensor: &Id) {
        let Some(far) = self.nodes.get_mut(id).and_then(|node| node.sensors.get_mut(sensor)) else { return };
        if std::mem::take(&mut far.announced) {
            self.ctx.withdraw(&far.local);
        }
    }

    async fn readings(&mut self, id: &Id, sensor: &Id, frames: Vec<ReadingFrame>, live: bool) {
        let now = self.ctx.clock().taken();
        let max_age = self.import.max_age;
        for frame in frames {
            let known = self.node(id).and_then(|node| node.sensors.get_mut(sensor));
            let (Some(far), Some(taken)) = (known, taken(&frame, now, live)) else {
                self.counters.passed_over.inc();
                continue;
            };
            if !far.seen.is_new(frame.boot, frame.seq) {
                self.counters.duplicates.inc();
                continue;
            }
            let fresh = Duration::from_millis(now.up_ms.saturating_sub(taken.up_ms)) <= max_age;
            self.announce(id, sensor);
            let Some(far) = self.nodes.get_mut(id).and_then(|node| node.sensors.get_mut(sensor)) else {
                continue;
            };
            if !far.announced {
                self.counters.passed_over.inc();
                continue;
            }
            if fresh {
                far.heard = Duration::from_millis(now.up_ms);
            }
            let local = far.local.clone();
            let origin =
                Origin { node: id.clone(), sensor: sensor.clone(), boot: frame.boot, seq: frame.seq };
            match self.ctx.import(&local, origin, taken, samples(frame)).await {
                Ok(()) => self.counters.imported.inc(),
                Err(error) => warn!(sensor = %local, %error, "A remote reading was not taken."),
            }
        }
    }

    fn tool(&mut self, id: &Id, name: &Name, payload: &[u8]) {
        let full = self.nodes.values().map(|node| node.tools.len()).sum::<usize>() >= MAX_OF_A_KIND;
        let wanted = self.import.tools.iter().any(|pattern| glob(pattern, name.as_str()));
        let Some(node) = self.node(id).filter(|_| wanted && payload.len() <= MAX_TOOL_BYTES) else { return };
        let tool = serde_json::from_slice::<Tool>(payload).ok().filter(|tool| tool.name == *name);
        let changed = match tool {
            Some(tool) => {
                let before = node.tools.get(name).map(|(tool, _)| tool.clone());
                let same = before.as_deref() == Some(&tool);
                if before.is_none() && full {
                    return;
                }
                let tool = before.filter(|_| same).unwrap_or_else(|| Arc::new(tool));
                node.tools.insert(name.clone(), (tool, true));
                !same
            }
            None => node.tools.remove(name).is_some(),
        };
        if changed && node.online == Some(true) {
            self.reach(id);
        }
    }

    /// Tells the node how another one stands, and what can be called there.
    fn reach(&mut self, id: &Id) {
        if self.import.tools.is_empty() {
            return;
        }
        let call = self.who.caller(id, &self.line);
        let Some(node) = self.nodes.get_mut(id) else { return };
        let online = node.online == Some(true);
        let tools =
            node.tools.iter().filter(|_| online).map(|(name, (tool, _))| (name.clone(), tool.clone()));
        let told = RemoteNode { id: id.clone(), online, tools: tools.collect() };
        node.taken = !self.ctx.reach(told, call);
    }

    /// The connection is there: what the broker does not name from now on is gone.
    pub(super) fn up(&mut self) {
        for node in self.nodes.values_mut() {
            node.sensors.values_mut().for_each(|far| far.confirmed = false);
            node.tools.values_mut().for_each(|(_, confirmed)| *confirmed = false);
        }
    }

    /// All that is retained has come.
    pub(super) fn settled(&mut self) {
        let mut gone: BTreeSet<(Id, Id)> = BTreeSet::new();
        let mut changed = Vec::new();
        for (id, node) in &mut self.nodes {
            let unconfirmed = node.sensors.iter().filter(|(_, far)| !far.confirmed);
            gone.extend(unconfirmed.map(|(sensor, _)| (id.clone(), sensor.clone())));
            let before = node.tools.len();
            node.tools.retain(|_, (_, confirmed)| *confirmed);
            if node.tools.len() != before && node.online == Some(true) {
                changed.push(id.clone());
            }
        }
        for (id, sensor) in gone {
            self.withdraw(&id, &sensor);
            self.nodes.get_mut(&id).and_then(|node| node.sensors.remove(&sensor));
        }
        changed.iter().for_each(|id| self.reach(id));
    }

    /// The connection is gone: no tool can be called. Sensors stay until they count as silent.
    pub(super) fn down(&mut self) {
        let ids: Vec<Id> = self.nodes.keys().cloned().collect();
        for id in ids {
            let was = self.nodes.get_mut(&id).and_then(|node| node.online.take());
            if was.is_some() {
                self.reach(&id);
            }
        }
    }
}

/// When a reading was taken, in this node's time. `live` ones are taken now where nothing else is known; of one of an
/// outage that has no time nobody can say when it was.
fn taken(frame: &ReadingFrame, now: Taken, live: bool) -> Option<Taken> {
    let up_ms = match (frame.ts, now.wall_ms) {
        (Some(ts), Some(wall)) => {
            let age = u64::try_from(wall.saturating_sub(ts)).unwrap_or(0);
            now.up_ms.saturating_sub(age)
        }
        (Some(_), None) if !live => 0,
        (None, _) if !live => return None,
        _ => now.up_ms,
    };
    Some(Taken { up_ms, wall_ms: frame.ts.or(now.wall_ms) })
}

fn samples(frame: ReadingFrame) -> Frame {
    let ReadingFrame { fields, err, q, .. } = frame;
    let sample = |(field, value): (String, Option<sedge_plugin::Value>)| {
        let why = || err.iter().find(|(name, _)| *name == field).map_or("missing", |(_, why)| why).to_owned();
        let quality = q.iter().find(|(name, _)| *name == field).map(|(_, quality)| *quality);
        let value = value.ok_or_else(|| why().into());
        Sample { value, quality: quality.unwrap_or_default(), field: field.into() }
    };
    // A name that no node gives a field is none of ours to show or to pass on.
    let named = fields.into_iter().filter(|(field, _)| Name::new(field).is_ok());
    Frame { samples: named.map(sample).collect() }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::{Boot, Quality, Value};

    use super::*;

    fn frame(ts: Option<i64>) -> ReadingFrame {
        ReadingFrame {
            ts,
            seq: 1,
            boot: Boot(1),
            fields: vec![("a".into(), Some(Value::Number(1.0))), ("b".into(), None)],
            err: vec![("b".into(), "crc".into())],
            q: vec![("a".into(), Quality::Stuck)],
            clock: None,
            up_ms: None,
        }
    }

    #[test]
    fn a_reading_is_as_old_here_as_it_is_there() {
        let now = Taken { up_ms: 100_000, wall_ms: Some(1_000_000) };
        let at = |ts, now, live| taken(&frame(ts), now, live).map(|taken| (taken.up_ms, taken.wall_ms));
        assert_eq!(at(Some(990_000), now, true), Some((90_000, Some(990_000))));
        assert_eq!(at(Some(1_005_000), now, true), Some((100_000, Some(1_005_000))), "a clock that is ahead");
        assert_eq!(at(Some(0), now, false), Some((0, Some(0))), "from before this machine was on");
        assert_eq!(at(None, now, true), Some((100_000, Some(1_000_000))));
        assert_eq!(at(None, now, false), None, "nobody knows when");
        let unknown = Taken { wall_ms: None, ..now };
        assert_eq!(at(Some(5), unknown, true), Some((100_000, Some(5))));
        assert_eq!(at(Some(5), unknown, false), Some((0, Some(5))), "old, that is all that is known");
    }

    #[test]
    fn values_reasons_and_marks_come_along() {
        let samples = samples(frame(None)).samples;
        assert_eq!((&samples[0].value, samples[0].quality), (&Ok(Value::Number(1.0)), Quality::Stuck));
        assert_eq!((&samples[1].value, samples[1].quality), (&Err("crc".into()), Quality::Ok));
    }
}
