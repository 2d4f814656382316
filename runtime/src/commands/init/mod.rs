//! `sedge init`: the first config of a board, with what is connected to it.
//!
//! It asks on a terminal, and takes flags and defaults elsewhere. What it writes passes `sedge check` without a warning; a
//! file that has anything of the user's in it is not replaced unless told so, and then kept beside. A password goes into a
//! file of its own, never into the config. Whoever ends it while it asks finds nothing changed.

mod ask;
mod board;
mod target;
mod text;

use std::path::{Path, PathBuf};

use sedge_config::BrokerUrl;
use sedge_plugin::{Every, Id, Secret};
use serde_json::json;

use crate::cli::{Global, InitArgs, Template};
use crate::commands::example::EVERY;
use crate::commands::scan::Names;
use crate::control;
use crate::exit::Failure;
use crate::identity::{Fresh, fresh};
use crate::load::{Loaded, load_as};
use crate::show::{complain, print, say};

use board::Board;
use target::Target;
use text::Plan;

/// A shorter cadence is no way to begin, and more than `[plugin.system]` takes.
const SHORTEST: Every = Every::secs(1);
/// A longer one looks like a sensor that is dead.
const LONGEST: Every = Every::secs(24 * 3600);
/// The broker, where none is named.
const BROKER: &str = "mqtt://127.0.0.1:1883";
/// The broker of Home Assistant, where none is named.
const HOME: &str = "mqtt://homeassistant.local:1883";

/// What is wanted, by flags or by answers.
#[derive(Debug, Clone)]
struct Wishes {
    id: Option<Id>,
    broker: Option<Broker>,
    password: Option<Secret>,
    /// The file that the password is from.
    password_file: Option<PathBuf>,
    every: Every,
    template: Template,
}

/// A broker, as it goes into the config.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Broker {
    /// Without a user; `embedded` for the one inside.
    url: String,
    user: Option<String>,
}

/// Writes a config.
pub async fn init(global: &Global, args: &InitArgs) -> Result<(), Failure> {
    let target = Target::choose(global, args)?;
    if !args.dry_run {
        target.is_free(args.force)?;
    }
    // What is laid over the main file, such as that of `sedge node join`, need not be said again.
    let others = load_as(&target.file, String::new())?;
    let mut wishes = wishes(global, args)?;
    let Fresh { id, reason } = fresh(&args.root);
    let mut board = board(global, args, &target).await?;
    let given = Given { id: said(&others, "node.id"), broker: said(&others, "mqtt.url") };
    let mut told = None;
    if ask::is_wanted(global, args) {
        (wishes, board) = ask::ask(wishes, board, &given, &id, &reason, args.guesses).await?;
    } else {
        board.choose_certain(args.guesses);
        if given.id.is_none() && wishes.id.is_none() {
            told = Some(format!("the node's id is `{id}`, {reason}"));
        }
        if given.broker.is_none() && wishes.broker.is_none() {
            board.notes.push("no broker was named with --broker, so a usual one stands in the config".into());
        }
    }
    board.notes.extend(told);
    let usual = if wishes.template == Template::Ha { HOME } else { BROKER };
    let broker = wishes.broker.clone().unwrap_or(Broker { url: usual.into(), user: None });
    let id = wishes.id.clone().unwrap_or(id);
    let password = target.password_place(&wishes.password_file, wishes.password.is_some());
    let plan = Plan {
        id: given.id.as_ref().map_or(Ok(&id), Err),
        broker: given.broker.as_ref().map_or(Ok(&broker), Err),
        login: &password,
        every: wishes.every,
        template: wishes.template,
        file: &target.file,
    };
    let text = text::text(&plan, &board, Names::of(&others.effective));
    let loaded = load_as(&target.file, text.clone())?;
    if args.dry_run {
        return shown(global, &target, &id, &board, &text);
    }
    let kept = target.write(&text, wishes.password.as_ref().filter(|_| password.is_written()), args.force)?;
    ended(global, &target, &loaded, &board, kept.as_deref())
}

/// What other files of the config say already, each with the place that does.
struct Given {
    id: Option<String>,
    broker: Option<String>,
}

/// Where a key is set, if it is; `mqtt.url` may be `mqtt.urls` or `mqtt.embedded` as well.
fn said(others: &Loaded, key: &str) -> Option<String> {
    let keys = match key {
        "mqtt.url" => &["mqtt.url", "mqtt.urls", "mqtt.embedded"][..],
        _ => &[key][..],
    };
    let is_it = |path: &str| {
        keys.iter().any(|key| {
            path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    };
    let set = others.origins.iter().find(|origin| is_it(&origin.path) && origin.source != "default");
    set.map(|origin| origin.source.clone())
}

fn wishes(global: &Global, args: &InitArgs) -> Result<Wishes, Failure> {
    let id = match global.node.as_deref() {
        Some(node) => Some(node_id(node).map_err(|error| Failure::Usage(format!("--node: {error}")))?),
        None => None,
    };
    let mut password = None;
    let mut broker = match global.broker.as_deref() {
        Some(url) => {
            let wrong = |error| Failure::Usage(format!("--broker: {error}"));
            let (broker, secret) = broker_of(url).map_err(wrong)?;
            password = secret;
            Some(broker)
        }
        None => None,
    };
    if let Some(user) = &args.user {
        let usual = if args.template == Template::Ha { HOME } else { BROKER };
        broker.get_or_insert(Broker { url: usual.into(), user: None }).user = Some(user.clone());
    }
    if let Some(file) = &args.password_file {
        if broker.as_ref().is_none_or(|broker| broker.user.is_none()) {
            return Err(Failure::Usage("--password-file without a user; name one with --user NAME".into()));
        }
        password = Some(target::password(file)?);
    }
    let every = args.every.unwrap_or(EVERY);
    let every = cadence(every).map_err(|error| Failure::Usage(format!("--every: {error}")))?;
    Ok(Wishes {
        id,
        broker,
        password,
        password_file: args.password_file.clone(),
        every,
        template: args.template,
    })
}

/// An id that a node may have; `all` means every node on the command line.
fn node_id(text: &str) -> Result<Id, String> {
    match Id::new(text) {
        Ok(_) if text == "all" => Err("`all` means every node; choose another id".into()),
        Ok(id) => Ok(id),
        Err(error) => Err(format!("the id {error}; such as `{}`", Id::sanitized(text, "node"))),
    }
}

/// A broker as a person writes it: a URL, or its host alone.
fn broker_of(text: &str) -> Result<(Broker, Option<Secret>), String> {
    let text = text.trim();
    if text == "embedded" {
        let has = cfg!(feature = "embedded-broker");
        let broker = Broker { url: text.into(), user: None };
        return has
            .then_some((broker, None))
            .ok_or("this build has no broker inside; name one by its URL".into());
    }
    let url = if text.contains("://") { text.to_owned() } else { format!("mqtt://{text}") };
    let url =
        BrokerUrl::parse(&url).map_err(|error| format!("{error}; such as `mqtt://broker.local:1883`"))?;
    let (user, password) = (url.username.clone(), url.password.clone());
    let url = BrokerUrl { username: None, password: None, ..url };
    Ok((Broker { url: url.to_string(), user }, password))
}

fn cadence(every: Every) -> Result<Every, String> {
    match every {
        every if every.0 < SHORTEST.0 || every.0 > LONGEST.0 => {
            Err(format!("{every} is out of range: {SHORTEST} to {LONGEST}; a single sensor may have another"))
        }
        every => Ok(every),
    }
}

/// Looks at the board, unless told not to.
async fn board(global: &Global, args: &InitArgs, target: &Target) -> Result<Board, Failure> {
    if args.no_scan {
        return Ok(Board::unseen(&args.root));
    }
    let running = match control::find(None) {
        Ok(node) => crate::commands::scan::Running::at(&node).await,
        Err(_) => None,
    };
    // A scan would spoil what a node reads, and the config that says where that is will be replaced.
    let old = std::fs::read_to_string(&target.file).ok();
    let old = old.and_then(|text| load_as(&target.file, text).ok()?.config);
    let read = old.iter().flat_map(|config| &config.sensors).map(|sensor| sensor.id.to_string());
    let read: Vec<String> =
        read.filter(|id| running.as_ref().is_some_and(|node| node.reads.contains(id))).collect();
    if !read.is_empty() && !args.dry_run {
        return Err(Failure::Failed(format!(
            "a node runs on this board and reads {}; stop it for the scan (`sudo systemctl stop sedge`), or write a config \
             without looking: --no-scan",
            read.join(", ")
        )));
    }
    if !global.quiet && !global.json {
        complain("Looking for buses and sensors …");
    }
    Board::look(&target.file, &args.root, running.as_ref()).await
}

/// What would be written.
fn shown(global: &Global, target: &Target, id: &Id, board: &Board, text: &str) -> Result<(), Failure> {
    if global.json {
        return say(json!({
            "file": target.file, "node": id, "sensors": board.names(), "notes": notes(target, board), "text": text,
        }));
    }
    print(text)?;
    notes(target, board).iter().for_each(|note| complain(format_args!("note: {note}")));
    Ok(())
}

fn notes(target: &Target, board: &Board) -> Vec<String> {
    target.notes.iter().chain(&board.notes).cloned().collect()
}

/// What was written, and what to do now.
fn ended(
    global: &Global,
    target: &Target,
    loaded: &Loaded,
    board: &Board,
    kept: Option<&Path>,
) -> Result<(), Failure> {
    let file = target.file.display();
    let config = loaded.config.as_ref();
    let id = config.and_then(|config| config.node.id.clone());
    let sensors: Vec<String> =
        config.iter().flat_map(|config| &config.sensors).map(|sensor| sensor.id.to_string()).collect();
    let (errors, warnings) = loaded.counts();
    if global.json {
        return say(json!({
            "file": target.file, "kept": kept, "node": id, "sensors": sensors, "notes": notes(target, board),
            "mistakes": errors, "warnings": warnings,
        }));
    }
    if errors + warnings > 0 {
        loaded.show(global);
    }
    if global.quiet {
        return Ok(());
    }
    if let Some(kept) = kept {
        say(format_args!("The former config is in {}.", kept.display()))?;
    }
    let count = match sensors.len() {
        0 => "no sensor yet".into(),
        1 => "1 sensor".into(),
        n => format!("{n} sensors"),
    };
    let id = id.map(|id| format!("node `{id}`, ")).unwrap_or_default();
    say(format_args!("{file} is written: {id}{count}."))?;
    notes(target, board).iter().for_each(|note| complain(format_args!("note: {note}")));
    say("\nNext:")?;
    crate::show::table(&target.next_steps())
}
