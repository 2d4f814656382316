//! The nonces of signed calls that were run: none of them is run again, also not after a restart.
//!
//! A nonce is on the disk before its call is run, and stays there until the signature is out of date by itself. Where the
//! set is full a call is refused: room is never made by forgetting. One that is lost (a first start, a damaged file) is
//! made good by time: what was signed before this node began to remember is refused.
//!
//! [`Nonces`] is pure; [`keep`] is the task that owns it, writes many nonces at once, and answers when they are written.

use std::collections::BTreeMap;
use std::fmt::Write;

use sedge_plugin::{Context, chain};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512_256};
use tokio::sync::{mpsc, oneshot};

use crate::calls::MAX_RUNNING;
use crate::gate::SKEW_S;
use crate::wire::Signature;

/// Nonces that are remembered; what a plugin's store takes under one key, with room to spare.
const MAX_NONCES: usize = 1000;

/// Where they are kept.
const KEY: &str = "nonces";

/// Why a signed call is not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stale {
    /// It was run.
    #[error("this call was made already: each needs a nonce of its own")]
    Replayed,
    /// It was signed when nobody remembered nonces.
    #[error("it was signed before this node began to remember calls; sign it anew")]
    TooOld,
    /// There is no room.
    #[error("{MAX_NONCES} signed calls were made within a minute; try again in a moment")]
    Full,
    /// It could not be written.
    #[error("the nonce of a signed call cannot be kept, so none is run: {0}")]
    NotKept(String),
}

/// See the [module](self). Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nonces {
    /// What was issued before this is not known.
    since: i64,
    /// What ended before this is forgotten, whatever the clock says later.
    forgotten: i64,
    /// Each with when it ends.
    seen: BTreeMap<String, i64>,
}

impl Nonces {
    /// None is known of what was issued before `since`.
    pub(crate) fn new(since: i64) -> Self {
        Self { since, forgotten: i64::MIN, seen: BTreeMap::new() }
    }

    /// Takes a nonce in, at `now`.
    pub(crate) fn claim(&mut self, signature: &Signature, now: i64) -> Result<(), Stale> {
        let end = signature.exp.saturating_add(SKEW_S);
        if signature.iat < self.since || end < self.forgotten {
            return Err(Stale::TooOld);
        }
        let print = print(signature);
        if self.seen.contains_key(&print) {
            return Err(Stale::Replayed);
        }
        self.forget(now);
        if self.seen.len() >= MAX_NONCES {
            return Err(Stale::Full);
        }
        self.seen.insert(print, end);
        Ok(())
    }

    fn forget(&mut self, now: i64) {
        let before = self.seen.len();
        self.seen.retain(|_, end| *end >= now);
        if self.seen.len() < before {
            self.forgotten = self.forgotten.max(now);
        }
    }
}

/// The same nonce of another caller is another one.
fn print(signature: &Signature) -> String {
    let digest = Sha512_256::digest(format!("{}\n{}", signature.key, signature.nonce.as_str()));
    digest.iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A nonce that is to be kept before its call is run.
pub(crate) struct Claim {
    pub(crate) signature: Signature,
    pub(crate) done: oneshot::Sender<Result<(), Stale>>,
}

impl Claim {
    /// A claim, and what will come of it.
    pub(crate) fn of(signature: &Signature) -> (Self, oneshot::Receiver<Result<(), Stale>>) {
        let (done, kept) = oneshot::channel();
        (Self { signature: signature.clone(), done }, kept)
    }
}

/// Where claims are put.
pub(crate) type Claims = mpsc::Sender<Claim>;

/// As many as there are calls at a time.
pub(crate) fn claims() -> (Claims, mpsc::Receiver<Claim>) {
    mpsc::channel(MAX_RUNNING)
}

/// Keeps nonces in the plugin's store, until there is nobody who claims any.
pub(crate) async fn keep(ctx: Context, mut claims: mpsc::Receiver<Claim>) {
    let begun = ctx.clock().up();
    let mut kept: Option<Nonces> = None;
    while let Some(first) = claims.recv().await {
        let mut batch = vec![first];
        while let Ok(next) = claims.try_recv() {
            batch.push(next);
        }
        // A clock that is not known yet, or not any more, was the gate's to see.
        let now = ctx.clock().wall_ms().unwrap_or_default() / 1000;
        let up = i64::try_from(ctx.clock().up().saturating_sub(begun).as_secs()).unwrap_or(i64::MAX);
        let outcome = match &kept {
            Some(kept) => Ok(kept.clone()),
            None => ctx
                .load(KEY)
                .await
                .map(|known: Option<Nonces>| known.unwrap_or_else(|| Nonces::new(now - up))),
        };
        let mut next = match outcome {
            Ok(nonces) => nonces,
            Err(error) => {
                answer(batch.into_iter().map(|claim| (claim.done, Err(Stale::NotKept(chain(&error))))));
                continue;
            }
        };
        let claimed: Vec<_> =
            batch.into_iter().map(|claim| (claim.done, next.claim(&claim.signature, now))).collect();
        match ctx.store(KEY, &next).await {
            Ok(()) => {
                kept = Some(next);
                answer(claimed);
            }
            Err(error) => {
                // What was refused stays so; what was taken in is not on the disk.
                let not_kept = Stale::NotKept(chain(&error));
                answer(claimed.into_iter().map(|(done, it)| (done, it.and(Err(not_kept.clone())))));
            }
        }
    }
}

fn answer(claimed: impl IntoIterator<Item = (oneshot::Sender<Result<(), Stale>>, Result<(), Stale>)>) {
    for (done, outcome) in claimed {
        let _ = done.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sedge_plugin::Id;

    use super::*;

    const NOW: i64 = 1_795_195_704;

    fn signature(key: &str, nonce: &str, iat: i64, exp: i64) -> Signature {
        let (key, nonce) = (Id::new(key).unwrap(), nonce.to_owned().try_into().unwrap());
        Signature { key, nonce, iat, exp, sig: [0; 64] }
    }

    fn one(nonce: &str) -> Signature {
        signature("attic", nonce, NOW, NOW + 30)
    }

    #[test]
    fn a_nonce_is_good_once_for_each_caller() {
        let mut nonces = Nonces::new(NOW);
        assert_eq!(nonces.claim(&one("12345678"), NOW), Ok(()));
        assert_eq!(nonces.claim(&one("12345678"), NOW), Err(Stale::Replayed));
        assert_eq!(nonces.claim(&signature("cellar", "12345678", NOW, NOW + 30), NOW), Ok(()));
    }

    #[test]
    fn what_is_written_and_read_again_is_refused_still() {
        let mut nonces = Nonces::new(NOW);
        assert_eq!(nonces.claim(&one("12345678"), NOW), Ok(()));
        let text = serde_json::to_string(&nonces).unwrap();
        let mut nonces: Nonces = serde_json::from_str(&text).unwrap();
        assert_eq!(nonces.claim(&one("12345678"), NOW), Err(Stale::Replayed));
    }

    #[test]
    fn what_was_signed_before_anything_was_remembered_is_refused() {
        assert_eq!(Nonces::new(NOW + 1).claim(&one("12345678"), NOW + 2), Err(Stale::TooOld));
    }

    #[test]
    fn a_full_set_refuses_and_forgets_nothing_and_fits_the_store() {
        let mut nonces = Nonces::new(NOW);
        for n in 0..MAX_NONCES {
            assert_eq!(nonces.claim(&one(&format!("number-{n}")), NOW), Ok(()));
        }
        assert_eq!(nonces.claim(&one("one-more"), NOW), Err(Stale::Full));
        assert_eq!(nonces.claim(&one("number-0"), NOW), Err(Stale::Replayed));
        assert!(serde_json::to_string(&nonces).unwrap().len() < 60 * 1024);
        let later = NOW + 30 + SKEW_S + 1;
        assert_eq!(nonces.claim(&signature("attic", "one-more", later, later + 9), later), Ok(()));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_bring_back_what_was_forgotten() {
        let mut nonces = Nonces::new(NOW);
        assert_eq!(nonces.claim(&one("12345678"), NOW), Ok(()));
        let later = NOW + 100;
        assert_eq!(nonces.claim(&signature("attic", "87654321", later, later + 30), later), Ok(()));
        assert_eq!(nonces.claim(&one("12345678"), NOW), Err(Stale::TooOld));
    }

    proptest! {
        #[test]
        fn none_is_let_through_twice_whatever_the_clock_does(
            steps in prop::collection::vec((0_usize..12, -40_i64..90), 1..80),
        ) {
            let (mut nonces, mut now) = (Nonces::new(NOW), NOW);
            let mut issued: Vec<Option<Signature>> = vec![None; 12];
            let mut run = [false; 12];
            for (which, step) in steps {
                now += step;
                let fresh = || signature("attic", &format!("number-{which}"), now, now + 60);
                let signature = issued[which].get_or_insert_with(fresh).clone();
                let ok = nonces.claim(&signature, now).is_ok();
                prop_assert!(!(ok && run[which]), "run twice");
                run[which] |= ok;
                nonces = serde_json::from_str(&serde_json::to_string(&nonces).unwrap()).unwrap();
            }
        }
    }
}
