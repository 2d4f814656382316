//! `sedge node join`: a board comes to its site, with its id, its certificate and its config.
//!
//! The private key is made here and stays here. Nothing counts before the certificate was tried at the broker and the config as it
//! will be was checked; `conf.d/50-site.toml` is written last, so a power cut at any moment leaves a board that either has
//! joined or joins when it is asked again, with the same key and so the same answer.
//!
//! | module | what it does |
//! |---|---|
//! | `ask` | reaches the broker and asks the registrar |
//! | `given` | what was typed: token, broker |
//! | `standing` | the files of a board that has joined: read, checked, written |
//! | `service` | starts the service anew |
//!
//! It must not show the token, nor leave anything of it on the disk but what the node needs.

mod ask;
mod given;
mod service;
mod standing;

use std::path::Path;

use sedge_config::BrokerUrl;
use sedge_plugin::Id;
use sedge_token::{JoinAnswer, NodeKey, Purpose, Token, pem};

use crate::cli::{Global, JoinArgs};
use crate::exit::Failure;
use crate::identity::fresh;
use crate::load::load_as_if;
use crate::show::say;
use standing::{Standing, State};

/// Where the config of the service lies.
const CONFIG: &str = "/etc/sedge/sedge.toml";

/// Has this board join a site.
pub async fn join(global: &Global, args: &JoinArgs) -> Result<(), Failure> {
    let token = given::token(args)?;
    let broker = given::broker(&args.broker)?;
    if let (Purpose::Join { .. }, true) = (&token.purpose, args.offline) {
        return Err(Failure::Usage(
            "--offline is for a token of one board (sedge site add ID); with this one the registrar must be asked".into(),
        ));
    }
    let file = global.config.clone().unwrap_or_else(|| CONFIG.into());
    let standing = Standing::at(&file)?;
    let before = node_of(global, &standing);
    match standing.state(&token) {
        State::Joined if !args.again => return already(before, &token, global),
        State::Elsewhere if !args.again => {
            return Err(Failure::Failed(format!(
                "this board has joined another site: {}; --again makes it leave that one for this",
                standing.site_file().display()
            )));
        }
        _ => {}
    }
    let (id, why) = chosen(global, &token, before)?;
    standing.prepare()?;
    say(format_args!("This board is `{id}` ({why})."))?;
    let answer = match &token.purpose {
        Purpose::Join { registrar, secret } => {
            let key = standing.key()?;
            let asking =
                ask::Asking { standing: &standing, token: &token, broker: &broker, id: &id, key: &key };
            let answer = asking.registrar(registrar, secret, args.wait.0).await?;
            (answer, key)
        }
        Purpose::Node { .. } => {
            let key = NodeKey::from_der(&token.key)
                .map_err(|error| Failure::Usage(format!("the key in the token: {error}")))?;
            let certificate = pem::encode("CERTIFICATE", &token.certificate);
            (JoinAnswer { certificate, config: Vec::new() }, key)
        }
    };
    let (answer, key) = answer;
    verify(&answer, &key, &id)?;
    let plan = standing.plan(&token, &broker, &id, &answer, &key)?;
    let loaded = load_as_if(global, &file, &plan.changes)?;
    if loaded.has_errors() {
        loaded.show(global);
        crate::show::complain(
            "error: with what the site has for this board its config has mistakes; nothing of it was written. \
             Mend it here, or at the site (sedge site check), and join again",
        );
        return Err(Failure::ConfigShown);
    }
    if !args.offline {
        let asking = ask::Asking { standing: &standing, token: &token, broker: &broker, id: &id, key: &key };
        asking.try_certificate(&answer.certificate, args.wait.0).await?;
    }
    plan.write()?;
    tell(global, &plan, &id, &broker, args)?;
    service::restart(file == Path::new(CONFIG) && !args.no_restart).await
}

/// The id in the config as it is.
fn node_of(global: &Global, standing: &Standing) -> Option<Id> {
    let loaded = load_as_if(global, standing.config(), &standing.main_file()).ok()?;
    loaded.config.and_then(|config| config.node.id)
}

fn already(id: Option<Id>, token: &Token, global: &Global) -> Result<(), Failure> {
    let other = |wanted: &Id| id.as_ref().is_some_and(|id| id != wanted);
    let wanted = match &token.purpose {
        Purpose::Node { id } => Some(id.clone()),
        Purpose::Join { .. } => global.node.as_deref().and_then(|id| Id::new(id).ok()),
    };
    let shown = id.as_ref().map(|id| format!(" as `{id}`")).unwrap_or_default();
    if wanted.as_ref().is_some_and(other) {
        return Err(Failure::Failed(format!(
            "this board has joined this site{shown} already; --again renames it"
        )));
    }
    say(format_args!("This board has joined this site{shown} already; --again does it anew."))
}

/// The board's id, and why it is that one.
fn chosen(global: &Global, token: &Token, before: Option<Id>) -> Result<(Id, String), Failure> {
    let named = global.node.as_deref().map(Id::new).transpose();
    let named = named.map_err(|error| Failure::Usage(format!("--node {error}")))?;
    match (&token.purpose, named, before) {
        (Purpose::Node { id }, Some(named), _) if *id != named => {
            Err(Failure::Usage(format!("the token is for `{id}` alone, not for `{named}`")))
        }
        (Purpose::Node { id }, _, _) => Ok((id.clone(), "the token says so".into())),
        (_, Some(named), _) => Ok((named, "as --node says".into())),
        (_, None, Some(before)) => Ok((before, "as its config has it".into())),
        (_, None, None) => {
            let fresh = fresh(Path::new("/"));
            Ok((fresh.id, fresh.reason))
        }
    }
}

/// Whether the certificate is for this key and this id. Whether the site has signed it the broker says.
fn verify(answer: &JoinAnswer, key: &NodeKey, id: &Id) -> Result<(), Failure> {
    let wrong = |what: &str| Failure::Failed(format!("what the site answered cannot be used: {what}"));
    let der = pem::decode("CERTIFICATE", &answer.certificate).ok_or_else(|| wrong("it is no certificate"))?;
    if !key.is_in(&der) {
        return Err(wrong("its certificate is for another key"));
    }
    // A text in DER: its kind (UTF-8 or printable), its length, its letters.
    let length = u8::try_from(id.as_str().len()).unwrap_or_default();
    let named = |kind: u8| [&[kind, length], id.as_str().as_bytes()].concat();
    let has = |name: Vec<u8>| der.windows(name.len()).any(|part| part == name);
    if has(named(0x0c)) || has(named(0x13)) {
        Ok(())
    } else {
        Err(wrong("its certificate is for another id"))
    }
}

fn tell(
    global: &Global,
    plan: &standing::Plan,
    id: &Id,
    broker: &BrokerUrl,
    args: &JoinArgs,
) -> Result<(), Failure> {
    if global.json {
        let files: Vec<_> = plan.files().map(|file| file.display().to_string()).collect();
        return say(
            serde_json::json!({ "node": id, "broker": broker.to_string(), "files": files, "tried": !args.offline }),
        );
    }
    let tried = if args.offline { "; it was not tried at the broker" } else { "" };
    say(format_args!("`{id}` has joined the site at {broker}{tried}. Written:"))?;
    plan.files().try_for_each(|file| say(format_args!("  {}", file.display())))
}
