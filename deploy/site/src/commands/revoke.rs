//! `sedge site revoke`, `forget` and `revoke-token`: who is not to come back.

use sedge_plugin::Id;
use sedge_token::{Purpose, Token};

use super::{Failure, at, now_ms, opened, tell_broker, to_the_second};
use crate::cli::say;
use crate::places::Places;

/// Shuts a node or an operator out; with `forget` the name is free again.
pub fn revoke(places: &Places, id: &Id, forget: bool) -> Result<(), Failure> {
    let (mut open, authority) = opened(places)?;
    let ledger = &mut open.ledger;
    if ledger.site.registrar.as_ref() == Some(id) && !forget {
        let text = format!("`{id}` is the registrar itself; without it no board joins");
        return Err(Failure::Usage(text));
    }
    let by = ledger.nodes.get(id).map(|row| row.by.clone());
    let node = ledger.nodes.get_mut(id).map(|row| (&mut row.serial, &mut row.revoked));
    let person = ledger.people.get_mut(id).map(|row| (&mut row.serial, &mut row.revoked));
    let Some((serial, revoked)) = node.or(person) else {
        // Forgotten by a command that was stopped half-way: it is made up for.
        if ledger.untold {
            tell_broker(places, &mut open, &authority)?;
        }
        let text = format!("nobody is called `{id}` here; `sedge site list` says who there is");
        return Err(Failure::Failed(text));
    };
    *revoked = true;
    let serial = serial.clone();
    ledger.revoke(&serial);
    ledger.untold = true;
    if forget {
        ledger.nodes.remove(id);
        ledger.people.remove(id);
    }
    open.save().map_err(at(places.state().display()))?;
    let what = if forget { "forgotten" } else { "shut out" };
    open.log(now_ms(), what, id.as_str(), &serial).map_err(at(places.state().display()))?;
    tell_broker(places, &mut open, &authority)?;
    say(format_args!("`{id}` is {what}."));
    let Some(by) = by else { return Ok(()) };
    let hub = open.ledger.site.registrar.as_ref().filter(|hub| open.ledger.nodes.contains_key(*hub));
    if hub.is_some() {
        say(format_args!("What it left at the broker goes with: sudo sedge node decommission {id} --yes"));
    }
    if let Some(token) = open.ledger.tokens.get(&by).filter(|token| token.counts(now_ms())) {
        let until = to_the_second(token.expires_ms);
        let left = token.uses.saturating_sub(token.used);
        say(format_args!(
            "It joined by token {by}, which still counts ({left} of {} uses left, until {until}), and whoever has the board may have it: sedge site revoke-token {by}",
            token.uses
        ));
    }
    Ok(())
}

/// Shuts a token out.
pub fn revoke_token(places: &Places, text: &str) -> Result<(), Failure> {
    let (mut open, authority) = opened(places)?;
    let name = match Token::parse(text) {
        Ok(Token { purpose: Purpose::Join { secret, .. }, .. }) => secret.kept().name(),
        Ok(Token { purpose: Purpose::Node { id }, .. }) => {
            return Err(Failure::Usage(format!("that token is `{id}` itself: sedge site revoke {id}")));
        }
        Err(_) => text.trim().to_owned(),
    };
    let token = open.ledger.tokens.get_mut(&name).ok_or_else(|| {
        Failure::Failed("this site knows no such token; `sedge site list` says which there are".into())
    })?;
    token.revoked = true;
    let serial = token.serial.clone();
    open.ledger.revoke(&serial);
    open.ledger.untold = true;
    open.save().map_err(at(places.state().display()))?;
    open.log(now_ms(), "token revoked", &name, &serial).map_err(at(places.state().display()))?;
    tell_broker(places, &mut open, &authority)?;
    say(format_args!("Token {name} is shut out. Boards that joined with it stay."));
    Ok(())
}
