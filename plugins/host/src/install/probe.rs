//! Starting a plugin once, to see that it loads.
//!
//! A plugin loads when it says who it is, as its manifest does, and then either offers the tools of its manifest or says why it
//! cannot without settings, grants and hardware: it has none of them here. It must not be given anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use sedge_plugin::{Id, ToolError};
use sedge_protocol::{
    API, HelloMessage, IN_FLIGHT, Limits, MAX_MESSAGE, PROTOCOL, SensorWelcome, ToNode, ToPlugin,
};
use serde_json::{Map, Value as Json};
use tokio::time::timeout;

use crate::manifest::Declaration;
use crate::outside::greeting::lies;
use crate::outside::{Carrier, End, Line, Start};

/// How long it may take to load.
const TIME: Duration = Duration::from_secs(30);

/// Memory for it, in bytes.
const MEMORY: u64 = 256 * 1024 * 1024;

/// Messages that are listened to.
const MOST: usize = 1000;

/// Starts the plugin in a folder, and ends it.
///
/// # Errors
/// Why it does not load.
pub async fn probe(
    carrier: &dyn Carrier,
    folder: &Path,
    declaration: &Declaration,
) -> Result<String, String> {
    let limits = Limits {
        message: MAX_MESSAGE,
        in_flight: IN_FLIGHT,
        memory: MEMORY,
        start_ms: u64::try_from(TIME.as_millis()).unwrap_or(u64::MAX),
    };
    let id = Id::new(&declaration.info.name).map_err(|error| error.to_string())?;
    let start =
        Start { id: id.clone(), folder: folder.into(), data_dir: None, limits, environment: BTreeMap::new() };
    let looked = async {
        let line = carrier.start(start).await.map_err(|error| sedge_plugin::chain(&error))?;
        looked_at(line, id, limits, declaration).await
    };
    timeout(TIME, looked).await.map_err(|_| format!("it was not ready within {TIME:?}"))?
}

async fn looked_at(
    mut line: Line,
    id: Id,
    limits: Limits,
    declaration: &Declaration,
) -> Result<String, String> {
    let hello = match line.from.recv().await {
        Some(ToNode::Hello(hello)) => hello,
        Some(_) => return Err("its first message is no hello".into()),
        None => return Err(ended(line).await),
    };
    is_who_it_should_be(&hello, declaration)?;
    let welcome = ToPlugin::Welcome {
        protocol: PROTOCOL,
        api: API,
        encoding: sedge_protocol::Encoding::Json,
        features: Vec::new(),
        id: id.clone(),
        plugin: declaration.info.name.clone(),
        node: id,
        settings: defaults(declaration),
        grants: Default::default(),
        limits,
        data_dir: None,
        sensor: declaration
            .sensor
            .as_ref()
            .map(|sensor| SensorWelcome { every_ms: 60_000, address: sensor.addresses.first().copied() }),
        config: None,
    };
    if line.to.send(welcome).await.is_err() {
        return Err(ended(line).await);
    }
    for _ in 0..MOST {
        match line.from.recv().await {
            Some(ToNode::Ready { tools, .. }) => {
                let names: BTreeSet<_> = tools.iter().map(|tool| tool.name.clone()).collect();
                let told = as_declared(&names, declaration)?;
                // What a node would refuse it for.
                return lies(declaration, &tools).map_or(Ok(told), Err);
            }
            Some(ToNode::Failed { message, .. }) => {
                let message: String = message.chars().filter(|c| !c.is_control()).take(500).collect();
                return Ok(format!("it loads; without settings and grants it says: {message}"));
            }
            Some(ToNode::Ask { id, .. }) => {
                let error = ToolError::failed("the plugin is only being looked at: nothing is granted");
                // Where it is gone, its end comes next.
                let _ = line.to.send(ToPlugin::Error { id, error }).await;
            }
            Some(_) => {}
            None => return Err(ended(line).await),
        }
    }
    Err(format!("it was not ready after {MOST} messages"))
}

fn is_who_it_should_be(hello: &HelloMessage, declaration: &Declaration) -> Result<(), String> {
    let info = &declaration.info;
    if hello.protocol.major != PROTOCOL.major {
        return Err(format!(
            "it speaks version {} of the protocol, and this sedge {PROTOCOL}",
            hello.protocol
        ));
    }
    if hello.plugin != info.name {
        return Err(format!(
            "it says that it is `{}`, and its manifest `{}`",
            hello.plugin.escape_debug(),
            info.name
        ));
    }
    if hello.version != info.version {
        let (said, version) = (hello.version.escape_debug(), &info.version);
        return Err(format!("it says that it is version {said}, and its manifest {version}"));
    }
    Ok(())
}

fn as_declared(tools: &BTreeSet<sedge_plugin::Name>, declaration: &Declaration) -> Result<String, String> {
    let declared: BTreeSet<_> = declaration.tools.iter().map(|tool| tool.name.clone()).collect();
    let list = |names: Vec<&sedge_plugin::Name>| {
        names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let (more, less) =
        (tools.difference(&declared).collect::<Vec<_>>(), declared.difference(tools).collect::<Vec<_>>());
    if !more.is_empty() {
        return Err(format!("it offers tools that its manifest does not declare: {}", list(more)));
    }
    if !less.is_empty() {
        return Err(format!("it does not offer tools that its manifest declares: {}", list(less)));
    }
    Ok(match tools.len() {
        0 => "it loads".into(),
        1 => "it loads, with 1 tool".into(),
        n => format!("it loads, with {n} tools"),
    })
}

async fn ended(line: Line) -> String {
    let Line { end, guard, .. } = line;
    let why = match end.await {
        Ok(End::Broken(why)) => why,
        Ok(End::Stopped) | Err(_) => "it ended before it was ready".into(),
    };
    drop(guard);
    why
}

/// Of the settings that have one.
fn defaults(declaration: &Declaration) -> Json {
    let schema = declaration.settings.as_ref().map(crate::SchemaText::value).unwrap_or_default();
    let properties = schema["properties"].as_object().into_iter().flatten();
    let with = properties.filter_map(|(key, rule)| Some((key.clone(), rule.get("default")?.clone())));
    Json::Object(with.collect::<Map<_, _>>())
}
