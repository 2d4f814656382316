//! The line that `systemctl status` shows.
//!
//! It is of bounded length, and told at most once a second. The words of plugins are made harmless: a line break in one would
//! be taken for something that the node says to systemd.

use std::sync::Arc;
use std::time::Duration;

use sedge_actors::NodeHandle;
use sedge_plugin::topic::Options;
use sedge_plugin::topics::PluginStateChanged;
use sedge_plugin::{Directory, Id, PluginStatus, State};
use tokio::sync::watch;

use super::notify::{Notifier, Say};

/// Plugins that are named.
const MOST_NAMED: usize = 3;
/// Letters of what a plugin says.
const FEW: usize = 100;
/// Letters of what is to be read whole: a mistake with its place and its remedy.
const MANY: usize = 400;
/// How often the line may change.
const EVERY: Duration = Duration::from_secs(1);

/// What there is to say beside how the plugins fare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// Why the new config is refused.
    pub(super) refused: Option<String>,
    /// What is wrong with the disk of the journal.
    pub(super) journal: Option<String>,
    /// Who does not answer.
    pub(super) silent: Option<String>,
    /// How often the config was read again: something else stood in the line meanwhile.
    pub(super) reloads: u64,
    /// Nothing is said any more but that.
    pub(super) stops: bool,
}

/// Tells the line whenever it changes.
pub(super) async fn tell_status(notifier: Arc<Notifier>, node: NodeHandle, notes: watch::Sender<Notes>) {
    let mut notes = notes.subscribe();
    let options = Options { capacity: 1, ..Options::default() };
    let mut states =
        node.bus().subscribe::<PluginStateChanged>(&Id::sanitized("systemd", "systemd"), options);
    let mut told = (String::new(), 0);
    loop {
        let now = notes.borrow_and_update().clone();
        if now.stops {
            return;
        }
        let line = (line(&node.directory(), &now), now.reloads);
        if line != told {
            notifier.tell(&[Say::Status(&line.0)]);
            told = line;
        }
        tokio::select! {
            _ = states.next() => {}
            changed = notes.changed() => if changed.is_err() { return },
        }
        // What changes in this time is one line. What changes after it is in the queue again.
        tokio::time::sleep(EVERY).await;
        while states.take().is_some() {}
    }
}

/// `13 plugins run, 1 amiss: kitchen (no answer at 0x76)`, and what else there is to say.
pub(super) fn line(directory: &Directory, notes: &Notes) -> String {
    let count =
        |is: fn(&PluginStatus) -> bool| directory.plugins.values().filter(|status| is(status)).count();
    let run = count(|status| status.state.is_active() && !is_amiss(status));
    let mut parts = vec![match run {
        1 => "1 plugin runs".to_owned(),
        run => format!("{run} plugins run"),
    }];
    let amiss: Vec<&PluginStatus> =
        directory.plugins.values().map(|status| &**status).filter(|status| is_amiss(status)).collect();
    if !amiss.is_empty() {
        let named: Vec<String> = amiss.iter().take(MOST_NAMED).map(|status| named(status)).collect();
        let more = amiss.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(format!("{} amiss: {}{more}", amiss.len(), named.join(", ")));
    }
    let mut line = parts.join(", ");
    let also = [
        ("does not answer: ", &notes.silent),
        ("the new config is refused, the former one runs on: ", &notes.refused),
        ("readings are kept in memory: ", &notes.journal),
    ];
    for (what, text) in also.into_iter().filter_map(|(what, text)| Some((what, text.as_ref()?))) {
        line.push_str("; ");
        line.push_str(what);
        line.push_str(text);
    }
    line
}

fn is_amiss(status: &PluginStatus) -> bool {
    match status.state {
        State::Degraded
        | State::Skipped
        | State::BackingOff
        | State::Resting
        | State::Failed
        | State::Stopped => true,
        State::Discovered | State::Disabled | State::Starting | State::Running => false,
    }
}

fn named(status: &PluginStatus) -> String {
    match status.reason.as_deref() {
        Some(why) => format!("{} ({})", status.id, at_most(FEW, why)),
        None => format!("{} ({})", status.id, status.state.word()),
    }
}

/// One line of bounded length, of a text that anybody may have made.
pub(super) fn shown(text: &str) -> String {
    at_most(MANY, text)
}

fn at_most(letters: usize, text: &str) -> String {
    let harmless = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.trim().chars().take(letters).map(harmless).collect();
    if text.trim().chars().nth(letters).is_some() {
        shown.push('…');
    }
    shown
}
