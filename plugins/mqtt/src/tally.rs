//! Counts what is refused of what the broker brings, by reason.

use sedge_plugin::metrics::Counter;
use sedge_plugin::{Context, Name};

/// Why something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is no call.
    Malformed,
    /// The broker kept it: whoever sent it may be long gone.
    Retained,
    /// It is out of date, or from the future.
    Expired,
    /// No tool can have that name.
    NoTool,
    /// It should have been signed.
    Unsigned,
    /// Its signature does not hold.
    Signature,
    /// It was made already.
    Replayed,
    /// This caller may not call this tool.
    Rights,
    /// Too many calls of this caller or of all.
    Rate,
    /// Too much to do at once, or its id was used.
    Busy,
    /// The node does not know the time.
    Clock,
    /// It is at a topic that nobody asked for.
    Foreign,
}

/// Each with the name of its counter and what it says.
const COUNTERS: [(Reason, &str, &str); 12] = [
    (Reason::Malformed, "calls_refused_malformed", "Calls refused because they could not be read."),
    (Reason::Retained, "calls_refused_retained", "Calls dropped because the broker had kept them."),
    (Reason::Expired, "calls_refused_expired", "Calls refused because they were out of date."),
    (Reason::NoTool, "calls_refused_no_tool", "Calls refused because no tool can have that name."),
    (Reason::Unsigned, "calls_refused_unsigned", "Calls refused because they were not signed."),
    (Reason::Signature, "calls_refused_signature", "Calls refused because their signature does not hold."),
    (Reason::Replayed, "calls_refused_replayed", "Signed calls refused because they were made before."),
    (
        Reason::Rights,
        "calls_refused_rights",
        "Signed calls refused because the caller may not call the tool.",
    ),
    (Reason::Rate, "calls_refused_rate", "Calls refused because there were too many."),
    (Reason::Busy, "calls_refused_busy", "Calls refused because too much was to be done at once."),
    (Reason::Clock, "calls_refused_clock", "Signed calls refused because the time was not known."),
    (Reason::Foreign, "messages_foreign", "Messages dropped because nobody asked for them."),
];

/// See the [module](self).
pub(crate) struct Tally([Counter; COUNTERS.len()]);

impl Tally {
    /// Counts under the plugin's name; where that cannot be, for nobody.
    pub(crate) fn new(ctx: &Context) -> Self {
        let counter = |name: &str, help| Name::new(name).ok().and_then(|name| ctx.counter(name, help).ok());
        Self(COUNTERS.map(|(_, name, help)| counter(name, help).unwrap_or_default()))
    }

    /// One more.
    pub(crate) fn count(&self, reason: Reason) {
        let at = COUNTERS.iter().position(|(other, ..)| *other == reason);
        at.and_then(|at| self.0.get(at)).into_iter().for_each(Counter::inc);
    }
}

#[cfg(test)]
mod tests {
    use sedge_plugin::metrics::Metric;
    use sedge_plugin::testing::TestNode;

    use super::*;

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        let node = TestNode::new();
        let ctx = node.context("mqtt");
        let tally = Tally::new(&ctx);
        COUNTERS.iter().for_each(|(reason, ..)| tally.count(*reason));
        let counted = ctx.metrics().snapshot();
        assert_eq!(counted.len(), COUNTERS.len());
        assert!(counted.iter().all(|measured| measured.metric == Metric::Counter(1)));
    }
}
