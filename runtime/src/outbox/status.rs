//! What the outbox says of itself: `sedge outbox status`.

use sedge_plugin::clock::rfc3339;
use serde_json::{Value as Json, json};

use super::{Outbox, lock};

impl Outbox {
    /// What it holds, for whom, and what is lost.
    pub fn status(&self) -> Json {
        let shared = &self.0;
        let stats = shared.reader.stats();
        let (tail, head) = (shared.reader.tail(), *shared.head.borrow());
        let time = |position: u64| {
            let chunk = shared.reader.read(position, 1, 256 << 10);
            let (position, bytes) = chunk.records.into_iter().next()?;
            let record = sedge_plugin::record::Record::decode(&bytes).ok()?;
            shared.entry(position, record).reading.taken.wall_ms.map(rfc3339)
        };
        let readers: Vec<Json> = shared
            .places()
            .iter()
            .map(|place| {
                let open = place.pending(tail..head);
                let pending: u64 = open.iter().map(|open| open.end - open.start).sum();
                json!({
                    "reader": place.reader,
                    "pending": pending,
                    "oldest": open.first().and_then(|open| time(open.start)),
                })
            })
            .collect();
        let losses = lock(&shared.ledger).losses(None);
        let lost: u64 = losses.iter().map(|loss| loss.count).sum();
        json!({
            "storage": if shared.durable { "disk" } else { "memory" },
            "place": shared.disk.place(),
            "bytes": stats.bytes,
            "max_bytes": shared.max_bytes,
            "segments": stats.segments,
            "first": tail,
            "next": head,
            "durable": shared.reader.durable(),
            "oldest": time(tail),
            "trouble": *shared.trouble.borrow(),
            "damaged": shared.found.damaged,
            "readers": readers,
            "lost": lost,
            "losses": losses,
        })
    }
}
