//! Whether the broker can be reached, lets us in, and lets the node do what it needs.

use std::net::TcpListener;

use sedge_mqtt::remote::Remote;

use super::node::There;
use super::{DEADLINE, Finding, Patient, late};
use crate::cli::Global;
use crate::commands::remote::connect;
use crate::exit::Failure;

pub(super) async fn check(global: &Global, patient: &Patient, node: Option<&There>) -> Vec<Finding> {
    let mqtt = &patient.config.mqtt;
    if global.broker.is_none() && mqtt.urls.is_empty() {
        if !mqtt.embedded {
            return match patient.file {
                Some(_) => vec![Finding::ok("broker", "the config names none: readings stay on this node")],
                None => Vec::new(),
            };
        }
        if node.is_none() {
            return vec![embedded(mqtt.listen)];
        }
    }
    let mut found = Vec::new();
    let remote = match tokio::time::timeout(DEADLINE, connect(global)).await {
        Ok(Ok(remote)) => remote,
        Ok(Err(failure)) => {
            let remedy = match failure {
                Failure::Unreachable(_) => {
                    "see that the broker runs and listens on the network (`listener 1883` in mosquitto.conf, with TLS 8883), and that no firewall is between"
                }
                Failure::Untrusted(_) => {
                    "see `ca_file`, `cert_file` and `key_file` in `[mqtt]`, the name in the broker's URL, and this board's clock (`timedatectl`)"
                }
                Failure::Failed(_) => {
                    "correct `username` and `password` in `[mqtt]`; `mosquitto_passwd` sets one"
                }
                _ => "correct `[mqtt]` in the config",
            };
            return vec![Finding::fail("broker", failure.to_string(), remedy)];
        }
        Err(_) => {
            return vec![late(
                "broker",
                "see that its host is right and reachable: `ping` it, and look for a firewall",
            )]
            .into_iter()
            .map(|finding| Finding { level: super::Level::Fail, ..finding })
            .collect();
        }
    };
    found.push(Finding::ok("broker", "reached, and it lets this user in"));
    match tokio::time::timeout(DEADLINE, rights(&remote, patient, node)).await {
        Ok(rights) => found.extend(rights),
        Err(_) => found.push(late("broker", "it does not answer what it is asked; see its log")),
    }
    found
}

/// Whether the port of the broker inside is free.
fn embedded(listen: std::net::SocketAddr) -> Finding {
    if !cfg!(feature = "embedded-broker") {
        return Finding::fail(
            "broker",
            "this build has no embedded broker",
            "name one with `url` in `[mqtt]`",
        );
    }
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok("broker", format!("embedded; {listen} is free for it")),
        Err(error) => Finding::fail(
            "broker",
            format!("embedded, but {listen} cannot be had: {error}"),
            "stop what listens there (`ss -ltnp`), or choose another `listen` in `[mqtt]`",
        ),
    }
}

/// What the broker lets the node do, as far as it tells, and whether it knows another one of its id.
async fn rights(remote: &Remote, patient: &Patient, node: Option<&There>) -> Vec<Finding> {
    let (id, base) = (&patient.id, &patient.config.mqtt.base);
    let rule = |kind: &str| match kind {
        "write" => {
            format!("allow it: `topic write {base}/{id}/#` in mosquitto's acl_file, or as your broker has it")
        }
        _ => format!(
            "allow it: `topic read {base}/{id}/tool/+/call`; without it no tool of the node can be called"
        ),
    };
    let mut found = Vec::new();
    found.push(match remote.try_to_publish(id).await {
        Ok(()) => Finding::ok("rights", format!("may publish below {base}/{id}")),
        Err(error) => {
            Finding::fail("rights", format!("publishing below {base}/{id}: {error}"), rule("write"))
        }
    });
    found.push(match remote.try_to_hear_calls(id).await {
        Ok(()) => Finding::ok("rights", "may hear calls of its tools"),
        Err(error) => Finding::fail("rights", format!("hearing calls of its tools: {error}"), rule("read")),
    });
    if node.is_none() && remote.status(id).await == Ok(Some(true)) {
        found.push(Finding::fail(
            "id",
            format!("the broker knows a node `{id}` that is online, and none runs on this machine"),
            "two nodes of one id throw each other out: give one of them another `id` in `[node]`",
        ));
    }
    found
}
