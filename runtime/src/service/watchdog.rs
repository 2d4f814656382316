//! Feeds systemd's watchdog, for as long as the node answers.
//!
//! Fed by a timer it would say that the timer lives. So every third of the time that systemd gives, the node is asked, and only
//! its answer feeds. A node that does not answer is asked on: it may come back before it is killed. Who it is that does not is
//! in the log and in the status by then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{error, info};

use super::notify::{Notifier, Say};
use super::status::{Notes, shown};

/// How often the node is asked, and how long it may take to answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Within {
    every: Duration,
    answer: Duration,
}

impl Within {
    /// Twice without an answer, and there is still time to say so.
    pub(super) fn of(watchdog: Duration) -> Self {
        Self { every: watchdog / 3, answer: watchdog / 4 }
    }
}

/// What systemd asks for in `WATCHDOG_USEC`, where it asks this process.
pub(super) fn asked_for(usec: Option<String>, pid: Option<String>, own: u32) -> Option<Duration> {
    let is_meant = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let usec: u64 = usec?.parse().ok()?;
    (is_meant && usec > 0).then_some(Duration::from_micros(usec))
}

/// Until it is ended.
pub(super) async fn feed<P: Future<Output = Result<(), String>>>(
    within: Within,
    notifier: Arc<Notifier>,
    notes: watch::Sender<Notes>,
    pulse: impl Fn(Duration) -> P,
) {
    let mut ticks = tokio::time::interval(within.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_silent = false;
    loop {
        ticks.tick().await;
        let silent = match pulse(within.answer).await {
            Ok(()) => {
                notifier.tell(&[Say::Watchdog]);
                if is_silent {
                    info!("The node answers again.");
                }
                None
            }
            Err(who) => {
                if !is_silent {
                    error!(
                        who,
                        "The node does not answer; unless it does soon, systemd will end it and start it anew."
                    );
                    // Said here as well: what tells the status may be what does not answer.
                    notifier.tell(&[Say::Status(&format!("Does not answer: {}", shown(&who)))]);
                }
                Some(shown(&who))
            }
        };
        is_silent = silent.is_some();
        notes.send_if_modified(|notes| std::mem::replace(&mut notes.silent, silent.clone()) != silent);
    }
}
