//! What was last sent over topics that are replayed to those who come late.
//!
//! One message per topic and key. A message is kept and handed out under one lock, and a new observer gets what was kept
//! under the same lock, so that it gets every message once: either from here or from its queue.

use std::any::TypeId;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use sedge_plugin::Id;
use sedge_plugin::topic::Topic;

use super::queue::Queue;
use super::table::Payload;

/// Keys of one topic that are remembered; the one that was heard of longest ago goes first.
const MOST: usize = 1024;

/// Hands what was kept to a new observer.
pub(crate) type Replay = Box<dyn FnOnce(&History) + Send + Sync>;

/// The last messages of historic topics.
#[derive(Default)]
pub(crate) struct History(HashMap<TypeId, Vec<(Option<Id>, Payload)>>);

impl History {
    pub(crate) fn keep(&mut self, topic: TypeId, key: Option<Id>, message: Payload) {
        let kept = self.0.entry(topic).or_default();
        kept.retain(|(other, _)| *other != key);
        if kept.len() >= MOST {
            kept.remove(0);
        }
        kept.push((key, message));
    }

    pub(crate) fn replay<T: Topic>(queue: Arc<Queue<T::Message>>, only: Option<Arc<BTreeSet<Id>>>) -> Replay {
        Box::new(move |history| {
            let kept = history.0.get(&TypeId::of::<T>()).into_iter().flatten();
            for (key, message) in kept {
                let wanted =
                    only.as_ref().is_none_or(|only| key.as_ref().is_some_and(|key| only.contains(key)));
                if let (true, Ok(message)) = (wanted, message.clone().downcast()) {
                    // A queue that has no room for all of them counts the rest; nobody waits for it.
                    if queue.offer(message).is_err() {
                        queue.lose();
                    }
                }
            }
        })
    }
}
