//! The path of a reading: process, validate, number, deliver.
//!
//! ```text
//! bytes ─▶ Extract (first)
//!             │
//! draft ◀─────┘
//!   └───▶ Process (chain) ─▶ Validate (chain) ─▶ Admit (chain) ─▶ sequence number ─▶ journal ─▶ Deliver (observe)
//!             veto: held back,    veto: marked,     veto: held back,
//!             counted             counted, kept     counted
//! ```
//!
//! A number is given last, so that a hole in the numbers is always a loss. Nothing here knows what is measured.

use std::sync::Arc;

use sedge_plugin::topic::Chained;
use sedge_plugin::topics::{Admit, Deliver, Process, Validate};
use sedge_plugin::{Draft, Frame, Id, PluginError, Quality, Reading, Value};

use crate::state::NodeState;

/// Takes a draft down the path.
pub(crate) async fn submit(state: &NodeState, plugin: &Id, mut draft: Draft) -> Result<(), PluginError> {
    let (sensor, origin) = (draft.sensor.clone(), draft.origin.clone());
    let directory = state.directory();
    let source = state
        .source(&sensor)
        .filter(|source| source.plugin == *plugin && directory.sensors.contains_key(&sensor))
        .ok_or_else(|| PluginError::failed(format!("sensor `{sensor}` was not announced by `{plugin}`")))?;
    keep_finite(&mut draft.frame);
    let draft = match state.bus.chain::<Process>(draft).await {
        Chained::Passed(draft) => draft,
        Chained::Vetoed { .. } => {
            state.counters.suppressed.inc();
            return Ok(());
        }
    };
    let draft = match state.bus.chain::<Validate>(draft).await {
        Chained::Passed(draft) => draft,
        Chained::Vetoed { message: mut draft, .. } => {
            state.counters.rejected.inc();
            draft.frame.samples.iter_mut().for_each(|sample| sample.quality = Quality::Rejected);
            draft
        }
    };
    let draft = match state.bus.chain::<Admit>(draft).await {
        Chained::Passed(draft) => draft,
        Chained::Vetoed { .. } => {
            state.counters.suppressed.inc();
            return Ok(());
        }
    };
    let boot = directory.node.boot;
    // A step may change what was measured, not whose it is.
    let Draft { taken, mut frame, .. } = draft;
    keep_finite(&mut frame);
    let reading = Arc::new(Reading { sensor, boot, seq: source.next_seq(), taken, frame, origin });
    state.counters.delivered.inc();
    source.keep(reading.clone());
    // Before anybody is told of it: what was told is kept.
    if let Some(journal) = &state.journal {
        journal.record(reading.clone()).await;
    }
    state.bus.publish::<Deliver>(reading).await;
    Ok(())
}

/// A number that is none is a missing value, whoever put it there.
fn keep_finite(frame: &mut Frame) {
    for sample in &mut frame.samples {
        if matches!(sample.value, Ok(Value::Number(n)) if !n.is_finite()) {
            sample.value = Err("not_finite".into());
        }
    }
}
