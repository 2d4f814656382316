//! Who called what: told for every call that changes something, and for every one without a result.
//!
//! A caller that goes away takes its call with it. The plugin may have done what it was asked by then, so such a call is
//! told of as well: whoever keeps records must not miss the one that somebody wants to hide.

use std::sync::Arc;

use sedge_plugin::topics::{CallRecord, CallRecorded};
use sedge_plugin::{ToolCall, ToolError, ToolErrorCode, ToolOutcome};
use tokio::runtime::Handle;

use crate::state::NodeState;

/// Tells of one call, at the latest when it is dropped.
pub(super) struct Witness {
    state: Arc<NodeState>,
    record: Option<CallRecord>,
}

impl Witness {
    /// Sees a call that has just come in.
    pub(super) fn new(state: &Arc<NodeState>, call: &ToolCall) -> Self {
        let record = CallRecord {
            tool: call.tool.to_string(),
            id: call.id.clone(),
            from: call.from.clone(),
            verified: call.verified,
            args: Some(call.args.clone()),
            outcome: Err(ToolError::new(
                ToolErrorCode::Failed,
                "the caller went away before there was a result",
            )),
        };
        Self { state: state.clone(), record: Some(record) }
    }

    /// Tells what came of it. Whoever keeps it may hold up the answer, so that none is given of what is not kept.
    pub(super) async fn tell(mut self, outcome: &ToolOutcome) {
        let Some(record) = self.record.take() else { return };
        let outcome = outcome.result.as_ref().map(|_| outcome.took).map_err(Clone::clone);
        self.state.bus.publish::<CallRecorded>(CallRecord { outcome, ..record }).await;
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // A full queue is waited for by a task, and there is none after the node's end.
        if let Some(record) = self.record.take().filter(|_| Handle::try_current().is_ok()) {
            self.state.bus.tell::<CallRecorded>(record);
        }
    }
}
