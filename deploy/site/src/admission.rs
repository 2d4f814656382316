//! Whether a board may join: a decision, without a file, a clock or a key of ours.
//!
//! | asked | decided |
//! |---|---|
//! | by whom has no token, or not the key that it shows | no |
//! | under the name and with the key of a board that has joined | what it was given, again: its answer was lost |
//! | under the name of another | no: a second board of that name would push the first one off the broker |
//! | with a token that has ended, is used up or shut out | no |
//! | else | yes, and it costs one use |
//!
//! A refusal says what to do on the broker machine. Nothing is believed of what the board says of itself.

use sedge_plugin::clock::rfc3339;
use sedge_plugin::{Id, ToolError, ToolErrorCode};
use sedge_token::{JOINING, JoinRequest};

use crate::ledger::{Ledger, MOST_NODES};

/// Names that rules of the broker give rights to.
pub const RESERVED: [&str; 3] = [JOINING, "viewer", "operator"];

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It has joined already, with this key.
    Again {
        /// Its certificate, PEM.
        certificate: String,
        /// What it belongs to.
        group: Option<Id>,
    },
    /// It may join.
    New {
        /// The public half of its key.
        point: Vec<u8>,
        /// What it belongs to.
        group: Option<Id>,
    },
}

/// Decides. Nothing is changed in the ledger.
pub fn admit(ledger: &Ledger, request: &JoinRequest, now_ms: Option<i64>) -> Result<Admitted, ToolError> {
    let denied = |text: String| ToolError::new(ToolErrorCode::Denied, text);
    let Some(token) = ledger.tokens.get(&request.token) else {
        let text = format!("this site knows no token {}; it may be another site's", shown(&request.token));
        return Err(denied(text));
    };
    if !request.is_by_who_has(&token.kept) {
        return Err(denied("the request was not made with the token that it names".into()));
    }
    let Some(point) = request.public_key() else {
        return Err(denied("the request was not made with the key that it shows".into()));
    };
    let (id, name) = (&request.id, &request.token);
    if token.revoked {
        return Err(denied(format!("token {name} was revoked; make another: sedge site token")));
    }
    if let Some(node) = ledger.nodes.get(id) {
        if node.revoked {
            let text = format!("`{id}` was shut out; on the broker machine: sedge site forget {id}");
            return Err(denied(text));
        }
        return match (&node.certificate, node.key.as_deref() == Some(&request.key)) {
            (Some(certificate), true) => {
                Ok(Admitted::Again { certificate: certificate.clone(), group: node.group.clone() })
            }
            _ => Err(denied(taken(ledger, id))),
        };
    }
    // The registrar's name has rights at the broker, also while `init` has not given it a new certificate.
    let is_hub = ledger.site.registrar.as_ref() == Some(id);
    if RESERVED.contains(&id.as_str()) || is_hub || ledger.has(id).is_some() {
        return Err(denied(format!("`{id}` is no name for a node at this site; choose another with --node")));
    }
    // From here on it is a new one.
    let Some(now) = now_ms else {
        let text =
            "the broker machine does not know the time yet, so it cannot tell whether the token still counts";
        return Err(ToolError::new(ToolErrorCode::Unavailable, text));
    };
    if now >= token.expires_ms {
        let until = rfc3339(token.expires_ms);
        return Err(denied(format!("token {name} ended at {until}; make another: sedge site token")));
    }
    if token.used >= token.uses {
        let boards = if token.uses == 1 { "board" } else { "boards" };
        let text = format!(
            "token {name} was for {} {boards}, and so many have joined; sedge site token",
            token.uses
        );
        return Err(denied(text));
    }
    if ledger.nodes.len() >= MOST_NODES {
        return Err(denied(format!("the site has {MOST_NODES} nodes, and no more are kept")));
    }
    Ok(Admitted::New { point, group: token.group.clone() })
}

fn taken(ledger: &Ledger, id: &Id) -> String {
    let since = ledger.nodes.get(id).and_then(|node| node.since_ms).map(rfc3339);
    let since = since.map(|since| format!(" since {since}")).unwrap_or_default();
    format!(
        "another board is called `{id}`{since}; choose another name with --node, or, where this one takes its place, on the broker machine: sedge site forget {id}"
    )
}

/// What a stranger wrote, for a message.
fn shown(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).take(16).collect()
}

#[cfg(test)]
#[path = "admission_tests.rs"]
mod tests;
