//! Whether the node runs here, and how its plugins fare.

use sedge_plugin::{Id, State};
use serde_json::Value as Json;

use super::{DEADLINE, Finding, Patient, late};
use crate::control::{self, Ask, Local};
use crate::exit::Failure;
use crate::{identity, place};

/// States in which a plugin is as it should be.
const WELL: [State; 5] =
    [State::Running, State::Starting, State::Disabled, State::Stopped, State::Discovered];

/// The node of the config, as it answers on this machine.
pub(super) struct There {
    pub(super) id: Id,
    /// Empty where it does not let this user ask.
    pub(super) plugins: Vec<Json>,
    /// What it says of its journal.
    outbox: Json,
    trouble: Option<Finding>,
}

/// The node on this machine that the config is about, where one runs.
pub(super) async fn find(patient: &Patient) -> Option<There> {
    let node = control::find(Some(&patient.id)).ok().filter(Local::answers)?;
    let asked = tokio::time::timeout(DEADLINE, node.ask(&Ask::Plugins)).await;
    let (plugins, trouble) = match asked {
        Ok(Ok(plugins)) => (plugins.as_array().cloned().unwrap_or_default(), None),
        Ok(Err(Failure::Unreachable(why))) => {
            (Vec::new(), Some(Finding::warn("node", why, "it may be starting or stopping; try again")))
        }
        Ok(Err(error)) => {
            let remedy = "run this with `sudo`, or join the group of the user that runs the node";
            (Vec::new(), Some(Finding::warn("node", error.to_string(), remedy)))
        }
        Err(_) => (Vec::new(), Some(late("node", "restart it: `sudo systemctl restart sedge`"))),
    };
    let outbox = match &trouble {
        None => tokio::time::timeout(DEADLINE, node.ask(&Ask::Outbox)).await.ok().and_then(Result::ok),
        Some(_) => None,
    };
    Some(There { id: node.node(), plugins, outbox: outbox.unwrap_or_default(), trouble })
}

/// Whether the id is the one of every new board.
pub(super) fn name(patient: &Patient) -> Vec<Finding> {
    let host = identity::host_name(&patient.root);
    if patient.config.node.id.is_some() || patient.file.is_none() || !identity::is_generic(&host) {
        return Vec::new();
    }
    let fresh = identity::fresh_id(&patient.root);
    vec![Finding::warn(
        "id",
        format!(
            "the config has no id, so the node is called `{}`, as other new boards are; of one id the broker keeps one",
            patient.id
        ),
        format!("write `id = \"{fresh}\"` or another into `[node]`, as `sedge init` does"),
    )]
}

pub(super) fn check(patient: &Patient, node: Option<&There>) -> Vec<Finding> {
    let Some(There { id, plugins, outbox, trouble }) = node else {
        return vec![match control::find(None) {
            Ok(other) if patient.file.is_some() => Finding::warn(
                "node",
                format!("node `{}` runs here, not `{}`, which the config is about", other.node(), patient.id),
                "name its config with -c FILE, or the node with --node",
            ),
            _ if place::is_barred() => Finding::warn("node", control::BARRED, control::REMEDY),
            _ => Finding::ok("node", format!("`{}` does not run here; `sedge run` starts it", patient.id)),
        }];
    };
    if let Some(trouble) = trouble {
        return vec![trouble.clone()];
    }
    let state = |plugin: &Json| plugin["state"].as_str().unwrap_or_default().to_owned();
    let unwell = plugins.iter().filter(|plugin| !WELL.map(State::word).contains(&state(plugin).as_str()));
    let unwell: Vec<Finding> = unwell.map(|plugin| told(plugin, &state(plugin))).collect();
    let well = plugins.len() - unwell.len();
    let runs = Finding::ok("node", format!("`{id}` runs; {well} of its {} plugins are well", plugins.len()));
    std::iter::once(runs).chain(unwell).chain(journal(outbox)).collect()
}

/// What is amiss with the journal of a node that runs.
fn journal(outbox: &Json) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(trouble) = outbox["trouble"].as_str() {
        let remedy = "readings are in memory until it works; see `dmesg` for errors of the card, and whether it is full";
        found.push(Finding::fail("journal", trouble, remedy));
    }
    if let Some(lost @ 1..) = outbox["lost"].as_u64() {
        let what = format!("{lost} readings did not reach everybody");
        found.push(Finding::warn("journal", what, "`sedge outbox status` tells which, and why"));
    }
    found
}

fn told(plugin: &Json, state: &str) -> Finding {
    let id = plugin["id"].as_str().unwrap_or_default();
    let what = format!("{state}: {}", plugin["reason"].as_str().unwrap_or("it gives no reason"));
    let check = format!("plugin {id}");
    let remedy = format!("`sedge plugin info {id}` tells more; it is tried again by itself");
    match state == State::Failed.word() || state == State::Resting.word() {
        true if state == State::Failed.word() => Finding::fail(
            &check,
            what,
            format!("`sedge plugin info {id}` tells more; correct the config, then `sedge reload`"),
        ),
        true => Finding::fail(&check, what, remedy),
        false => Finding::warn(&check, what, remedy),
    }
}
