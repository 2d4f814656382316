//! The gate: who calls, and whether they may. Before anything of the node is asked.
//!
//! A caller with a key proves who it is by signing; its name is nobody else's then. Whoever only says a name is let in where
//! the config lets calls without a signature in, and never under the name of a caller with a key.
//!
//! Rates are kept before a signature is looked up in what was run already, and apart: those without a key cannot use up what
//! callers with one have.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sedge_plugin::{Directory, Id, Name, PublicKey, Rate, Tool, ToolErrorCode, glob};

use crate::bucket::{Bucket, Buckets, Take};
use crate::tally::Reason;
use crate::wire::{self, MAX_VALIDITY_S, Signature, Signed};

/// How far a caller's clock may be off, in seconds.
pub(crate) const SKEW_S: i64 = 5;

/// Names that nobody bears who comes over MQTT: the caller at the node's own socket.
const RESERVED: &str = "cli";

/// Refused calls that are told one by one; the others are counted. What somebody sends to be refused must not push out of
/// the audit log what was done.
const TOLD: Rate = Rate::per_minute(60);

/// Which calls must be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MustSign {
    /// None. A signature that does not hold is refused all the same.
    #[default]
    None,
    /// Those of tools that are not read-only.
    Changing,
    /// All.
    All,
}

/// Somebody who signs calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name that no one else bears.
    pub name: Id,
    /// What signatures are checked with; none where the config has a mistake: then all are refused.
    pub key: Option<PublicKey>,
    /// Patterns of the tools that it may call.
    pub tools: Vec<String>,
    /// How often; as all others, where it is not said.
    pub rate: Option<Rate>,
}

/// What is asked of calls that come over MQTT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRules {
    /// Which calls must be signed.
    pub signed: MustSign,
    /// Patterns of the tools that may be called without a signature all the same.
    pub allow_unsigned: Vec<String>,
    /// How often each caller may call.
    pub per_caller: Rate,
    /// How often all those may call who do not sign.
    pub unsigned: Rate,
    /// Those who sign.
    pub callers: Vec<Caller>,
}

impl Default for CallRules {
    fn default() -> Self {
        Self {
            signed: MustSign::None,
            allow_unsigned: Vec::new(),
            per_caller: Rate::per_minute(60),
            unsigned: Rate::per_minute(600),
            callers: Vec::new(),
        }
    }
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) from: String,
    /// With which it was proved.
    pub(crate) signature: Option<Box<Signature>>,
}

/// Why a call does not come through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) code: ToolErrorCode,
    pub(crate) text: String,
    /// Who it was, as far as known.
    pub(crate) who: Who,
    /// Whether it is to be told; otherwise it is counted.
    pub(crate) told: bool,
}

/// A call that comes.
pub(crate) struct Coming<'a> {
    pub(crate) tool: &'a Name,
    /// Who they say they are.
    pub(crate) from: Option<String>,
    pub(crate) sig: Option<Signed>,
}

/// See the [module](self).
pub(crate) struct Gate {
    node: Id,
    rules: CallRules,
    callers: BTreeMap<Id, Caller>,
    caps: Mutex<Caps>,
}

#[derive(Default)]
struct Caps {
    signed: Buckets,
    each: Buckets,
    unsigned: Bucket,
    told: Bucket,
}

impl Gate {
    pub(crate) fn new(node: Id, mut rules: CallRules) -> Self {
        let callers = std::mem::take(&mut rules.callers).into_iter().map(|caller| {
            let key = caller.key.filter(wire::is_usable);
            if key.is_none() {
                tracing::error!(caller = %caller.name, "The caller has no usable key; its calls are refused.");
            }
            (caller.name.clone(), Caller { key, ..caller })
        });
        Self { node, callers: callers.collect(), rules, caps: Mutex::default() }
    }

    /// Whether a call may be made; `wall_ms` is none while the time is not known.
    pub(crate) fn admit(
        &self,
        coming: Coming<'_>,
        directory: &Directory,
        now: Duration,
        wall_ms: Option<i64>,
    ) -> Result<Who, Refusal> {
        let tool = directory.tools.get(coming.tool).map(AsRef::as_ref);
        match coming.sig {
            Some(signed) => self.signed(coming.tool, signed, now, wall_ms),
            None => self.unsigned(coming.tool, tool, coming.from, now),
        }
    }

    fn signed(
        &self,
        tool: &Name,
        signed: Signed,
        now: Duration,
        wall_ms: Option<i64>,
    ) -> Result<Who, Refusal> {
        let name = &signed.signature.key;
        let claimed = Who { from: format!("mqtt:{name}"), signature: None };
        let refused = |reason, code, text: String| self.refusal(reason, code, text, claimed.clone(), now);
        let denied = |text: String| refused(Reason::Signature, ToolErrorCode::Denied, text);
        let Some(caller) = self.callers.get(name) else {
            return Err(denied(format!(
                "this node knows no caller `{name}`; add `[caller.{name}]` to its config"
            )));
        };
        let Some(key) = &caller.key else {
            return Err(denied(format!("`[caller.{name}]` has a mistake in this node's config")));
        };
        if !signed.is_by(key, &self.node, tool) {
            let what = format!("node `{}`, tool `{tool}` and the arguments as they were sent", self.node);
            return Err(denied(format!("the signature does not hold for caller `{name}`, {what}")));
        }
        // From here on it is the caller, and what it does counts as its own.
        let who = Who { from: name.to_string(), signature: Some(signed.signature.clone().into()) };
        let rate = caller.rate.unwrap_or(self.rules.per_caller);
        let take = self.caps().signed.take(name.as_str(), rate, now);
        capped(take, rate, &who)?;
        let refused = |reason, code, text| Refusal { reason, code, text, who: who.clone(), told: true };
        let Some(wall_ms) = wall_ms else {
            let text = "this node does not know the time yet, so it cannot tell whether a signed call is fresh; try again later";
            return Err(refused(Reason::Clock, ToolErrorCode::Unavailable, text.into()));
        };
        fresh(&signed.signature, wall_ms.div_euclid(1000))
            .map_err(|(code, text)| refused(Reason::Expired, code, text))?;
        if !caller.tools.iter().any(|pattern| glob(pattern, tool.as_str())) {
            let text =
                format!("`{name}` may not call `{tool}`: it is not among `tools` of `[caller.{name}]`");
            return Err(refused(Reason::Rights, ToolErrorCode::Denied, text));
        }
        Ok(who)
    }

    fn unsigned(
        &self,
        name: &Name,
        tool: Option<&Tool>,
        from: Option<String>,
        now: Duration,
    ) -> Result<Who, Refusal> {
        let who = Who { from: self.named(from), signature: None };
        {
            let mut caps = self.caps();
            let each = caps.each.take(&who.from, self.rules.per_caller, now);
            let all =
                if each == Take::Taken { caps.unsigned.take(self.rules.unsigned, now) } else { Take::Taken };
            capped(each, self.rules.per_caller, &who)?;
            capped(all, self.rules.unsigned, &who)?;
        }
        let changes = tool.is_none_or(|tool| !tool.annotations.read_only);
        let must = match self.rules.signed {
            MustSign::None => false,
            MustSign::Changing => changes,
            MustSign::All => true,
        };
        let excepted = || self.rules.allow_unsigned.iter().any(|pattern| glob(pattern, name.as_str()));
        if must && !excepted() {
            let text = format!("calls of `{name}` must be signed: see `[calls] signed` of this node");
            return Err(self.told(Reason::Unsigned, ToolErrorCode::Denied, text, who, now));
        }
        Ok(who)
    }

    /// The name under which somebody goes who has not proved one.
    pub(crate) fn named(&self, from: Option<String>) -> String {
        match from {
            None => "mqtt".into(),
            Some(from) if from == RESERVED || self.callers.contains_key(from.as_str()) => {
                format!("mqtt:{from}")
            }
            Some(from) => from,
        }
    }

    /// A refusal of somebody unknown, which is taken off what all those may do who do not sign.
    pub(crate) fn refusal(
        &self,
        reason: Reason,
        code: ToolErrorCode,
        text: String,
        who: Who,
        now: Duration,
    ) -> Refusal {
        let rate = self.rules.unsigned;
        let take = self.caps().unsigned.take(rate, now);
        match capped(take, rate, &who) {
            Ok(()) => self.told(reason, code, text, who, now),
            Err(refusal) => refusal,
        }
    }

    fn told(&self, reason: Reason, code: ToolErrorCode, text: String, who: Who, now: Duration) -> Refusal {
        let told = self.caps().told.take(TOLD, now) == Take::Taken;
        Refusal { reason, code, text, who, told }
    }

    fn caps(&self) -> MutexGuard<'_, Caps> {
        self.caps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Told once per burst.
fn capped(take: Take, rate: Rate, who: &Who) -> Result<(), Refusal> {
    if take == Take::Taken {
        return Ok(());
    }
    Err(Refusal {
        reason: Reason::Rate,
        code: ToolErrorCode::Busy,
        text: format!("too many calls: {rate} are let through; try again later"),
        who: who.clone(),
        told: take == Take::FirstTooMany,
    })
}

/// Whether a signature may be used at this time.
fn fresh(signature: &Signature, now: i64) -> Result<(), (ToolErrorCode, String)> {
    let Signature { iat, exp, .. } = *signature;
    let valid = exp.saturating_sub(iat);
    if !(1..=MAX_VALIDITY_S).contains(&valid) {
        let text = format!("`exp` is 1 to {MAX_VALIDITY_S} seconds after `iat`, and here it is {valid}");
        return Err((ToolErrorCode::BadRequest, text));
    }
    let ahead = iat.saturating_sub(now);
    if ahead > SKEW_S {
        let text =
            format!("it was issued {ahead} s in the future by this node's clock: one of the two is wrong");
        return Err((ToolErrorCode::Denied, text));
    }
    let late = now.saturating_sub(exp);
    if late > SKEW_S {
        let text = format!("the signature ended {late} s ago by this node's clock; sign the call anew");
        return Err((ToolErrorCode::Expired, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
