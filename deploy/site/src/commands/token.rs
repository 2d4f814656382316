//! `sedge site token` and `add`: one line for many boards, or one for a single one.
//!
//! Standard output has the token and nothing else, so that it can go into a variable. It is kept nowhere.

use sedge_plugin::Id;
use sedge_token::{JOINING, JoinSecret, NodeKey, Purpose, Token};
use serde_json::json;

use super::{Failure, at, must_be_free, now_ms, opened, to_the_second};
use crate::cli::{TokenArgs, complain, say};
use crate::ledger::{MOST_NODES, MOST_TOKENS, NodeRow, TokenRow};
use crate::places::Places;

/// For many boards.
pub fn token(places: &Places, args: &TokenArgs, json: bool) -> Result<(), Failure> {
    let (mut open, authority) = opened(places)?;
    let Some(registrar) = open.ledger.site.registrar.clone() else {
        return Err(Failure::Failed(
            "this site has no registrar; `sedge site init` makes one, or make a token per board: sedge site add ID".into(),
        ));
    };
    super::check::fragments_are_good(places)?;
    let now = now_ms().ok_or_else(|| {
        Failure::Failed("this machine does not know the time, so no token can end; set its clock".into())
    })?;
    // What has ended is of no more interest after a month.
    let month = 30 * 24 * 3600 * 1000;
    open.ledger.tokens.retain(|_, token| token.expires_ms.saturating_add(month) > now);
    if open.ledger.tokens.len() >= MOST_TOKENS {
        return Err(Failure::Failed(format!("{MOST_TOKENS} tokens are there, and no more are kept")));
    }
    let (secret, key) = (JoinSecret::generate()?, NodeKey::generate()?);
    let valid = i64::try_from(args.valid.as_millis()).unwrap_or(i64::MAX);
    let end = now.saturating_add(valid);
    let certificate = authority.client_until(JOINING, key.public(), Some(now), Some(end))?;
    let kept = secret.kept();
    let name = kept.name();
    let row = TokenRow {
        kept,
        serial: certificate.serial,
        group: args.group.clone(),
        uses: args.uses,
        used: 0,
        expires_ms: end,
        revoked: false,
    };
    let until = to_the_second(row.expires_ms);
    open.ledger.tokens.insert(name.clone(), row);
    open.save().map_err(at(places.state().display()))?;
    let purpose = Purpose::Join { registrar, secret };
    let key = sedge_token::pem::decode("PRIVATE KEY", &key.to_pem()).unwrap_or_default();
    let token = Token { authority: authority.der.clone(), certificate: certificate.der, key, purpose };
    let boards = if args.uses == 1 { "one board" } else { &format!("{} boards", args.uses) };
    complain(format_args!("Token {name}: for {boards}, until {until}. On each:"));
    told(&open.ledger.site.hosts, &token, &name, json);
    Ok(())
}

/// For one board.
pub fn add(places: &Places, id: &Id, group: Option<&Id>, json: bool) -> Result<(), Failure> {
    let (mut open, authority) = opened(places)?;
    must_be_free(&open, id)?;
    if open.ledger.nodes.len() >= MOST_NODES {
        return Err(Failure::Failed(format!("the site has {MOST_NODES} nodes, and no more are kept")));
    }
    let key = NodeKey::generate()?;
    let now = now_ms();
    let certificate = authority.client(id.as_str(), key.public(), now)?;
    let row = NodeRow {
        serial: certificate.serial,
        key: None,
        certificate: None,
        group: group.cloned(),
        since_ms: now,
        by: "site".into(),
        facts: Default::default(),
        revoked: false,
    };
    open.ledger.nodes.insert(id.clone(), row);
    open.save().map_err(at(places.state().display()))?;
    let purpose = Purpose::Node { id: id.clone() };
    let key = sedge_token::pem::decode("PRIVATE KEY", &key.to_pem()).unwrap_or_default();
    let token = Token { authority: authority.der.clone(), certificate: certificate.der, key, purpose };
    complain(format_args!("For `{id}` alone: it has the node's key in it. On that board:"));
    told(&open.ledger.site.hosts, &token, id.as_str(), json);
    Ok(())
}

fn told(hosts: &[String], token: &Token, name: &str, json: bool) {
    let host = hosts.first().map_or("BROKER", String::as_str);
    // In a file: arguments are for everybody on the board to see, and stay in the shell's history.
    complain(format_args!("    sudo sedge node join {host} --token-file FILE\n"));
    match json {
        true => say(json!({ "name": name, "token": token.to_text(), "host": host })),
        false => say(token.to_text()),
    }
}
