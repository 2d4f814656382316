//! The outbox as metrics: what it takes, who waits for how much, what is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sedge_plugin::journal::Cause;
use sedge_plugin::metrics::Registry;
use sedge_plugin::{Id, Name};

use super::Outbox;

/// How often they are brought up to date.
const EVERY: Duration = Duration::from_secs(5);

/// Keeps the metrics of an outbox up to date, for ever. Looks at what is in memory, and not at the disk.
pub async fn count(outbox: Outbox, registry: Arc<Registry>) {
    loop {
        update(&outbox, &registry);
        tokio::time::sleep(EVERY).await;
    }
}

/// Its metrics stand under the name of the node. One that cannot be had is not counted.
pub(crate) fn update(outbox: &Outbox, registry: &Registry) {
    let node = Id::sanitized("outbox", "outbox");
    let gauge = |name: &str, help, value: u64| {
        if let Ok(gauge) =
            Name::new(name).map_err(drop).and_then(|name| registry.gauge(&node, name, help).map_err(drop))
        {
            #[expect(clippy::cast_precision_loss, reason = "exact up to nine petabytes")]
            gauge.set(value as f64);
        }
    };
    gauge("bytes", "Bytes that the journal takes.", outbox.bytes());
    for (reader, pending) in outbox.waiting() {
        let name = format!("pending_{}", reader.as_str().replace('-', "_"));
        gauge(&name, "Readings that this reader has not had yet.", pending);
    }
    // Each from the start: what counts an increase does not see one from nothing.
    let mut lost: BTreeMap<_, u64> = Cause::ALL.map(|cause| (cause, 0)).into();
    for (cause, count) in outbox.lost() {
        *lost.entry(cause).or_default() += count;
    }
    for (cause, count) in lost {
        let help = "Readings that some reader will never get, for this cause.";
        let name = Name::new(&format!("lost_{}", cause.word()));
        if let Ok(counter) =
            name.map_err(drop).and_then(|name| registry.counter(&node, name, help).map_err(drop))
        {
            counter.add(count.saturating_sub(counter.get()));
        }
    }
}
