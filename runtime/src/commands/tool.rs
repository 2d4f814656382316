//! `sedge tool list | info | call`: the tools of nodes, over the broker; with `--local` of the node on this machine,
//! without one.

use std::time::Duration;

use sedge_mqtt::remote::Remote;
use sedge_mqtt::wire::{Answer, ResultFrame, Signer};
use sedge_plugin::schema::nearest;
use sedge_plugin::{Id, Name, Progress, Tool, ToolPath};
use serde_json::{Map, Value as Json, json};

use super::local;
use super::remote::{connect, node_named};
use crate::cli::{CallArgs, Global, ToolName};
use crate::control::{Ask, Line, Local};
use crate::exit::Failure;
use crate::show::say;

/// Lists the tools of a node or of all.
pub async fn list(global: &Global) -> Result<(), Failure> {
    let tools = Way::find(global).await?.tools(global.node.as_deref()).await?;
    if global.json {
        say(tools.iter().map(|(node, tool)| described(node, tool)).collect::<Json>())?;
        return Ok(());
    }
    let width = tools
        .iter()
        .map(|(node, tool)| node.as_str().len() + tool.name.as_str().len() + 1)
        .max()
        .unwrap_or(0);
    for (node, tool) in &tools {
        say(format_args!("{:<width$}  {}", format!("{node}/{}", tool.name), tool.description))?;
    }
    Ok(())
}

/// Describes a tool.
pub async fn info(global: &Global, args: &ToolName) -> Result<(), Failure> {
    let way = Way::find(global).await?;
    let (node, tool) = find(global, &way, &args.name).await?;
    if global.json {
        say(described(&node, &tool))?;
        return Ok(());
    }
    say(format_args!("{node}/{}  {}", tool.name, tool.description))?;
    for (name, schema) in properties(&tool) {
        let required =
            tool.input_schema["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
        let need = if required { "required" } else { "optional" };
        let kind = schema["type"].as_str().unwrap_or("any");
        say(format_args!(
            "  {name} ({kind}, {need})  {}",
            schema["description"].as_str().unwrap_or_default()
        ))?;
    }
    let hints = json!(tool.annotations);
    let hints: Vec<&str> = hints
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, on)| **on == json!(true))
        .map(|(name, _)| name.as_str())
        .collect();
    say(format_args!(
        "  takes at most {} ms; hints: {}",
        tool.timeout_ms,
        if hints.is_empty() { "none".into() } else { hints.join(", ") }
    ))?;
    Ok(())
}

/// Calls a tool and prints its result.
pub async fn call(global: &Global, args: &CallArgs) -> Result<(), Failure> {
    // What is wrong with the command line is told before anybody is asked.
    let given = match &args.args {
        Some(text) => Given::Json(
            serde_json::from_str(text).map_err(|error| Failure::Usage(format!("--args: {error}")))?,
        ),
        None => Given::Pairs(pairs(&args.pairs)?),
    };
    let signer = match (&args.sign_as, &args.key) {
        (Some(name), Some(file)) => Some(super::caller::signer(name, file)?),
        _ => None,
    };
    let way = Way::find(global).await?.signing(signer);
    let (node, tool) = find(global, &way, &args.tool.name).await?;
    let arguments = given.fitted_to(&tool);
    let own = Duration::from_millis(tool.timeout_ms) + Duration::from_secs(2);
    let timeout = global.timeout.map_or(own, |timeout| timeout.0);
    let progress = Progress::to(|update| {
        let percent =
            update.fraction.map(|fraction| format!("{:3.0} % ", fraction * 100.0)).unwrap_or_default();
        crate::show::complain(format_args!("{percent}{}", update.text));
    });
    let frame = way.call(&node, &tool.name, arguments, timeout, progress).await?;
    let failed = matches!(&frame.answer, Answer::Done { result: Err(_), .. });
    match &frame.answer {
        _ if global.json => say(json!(frame))?,
        Answer::Done { result: Ok(result), .. } => say(result)?,
        Answer::Done { result: Err(error), .. } => {
            crate::show::complain(format_args!(
                "error: {}: {}",
                json!(error.code).as_str().unwrap_or_default(),
                error.message
            ));
        }
        Answer::Progress { .. } => {}
    }
    if failed { Err(Failure::FailedShown) } else { Ok(()) }
}

/// How a node is reached.
enum Way {
    Broker(Remote),
    Local(Local),
}

impl Way {
    async fn find(global: &Global) -> Result<Self, Failure> {
        if global.local {
            return local::node(global).map(Self::Local);
        }
        match connect(global).await {
            Ok(remote) => Ok(Self::Broker(remote)),
            Err(Failure::Unreachable(text)) if local::node(global).is_ok() => {
                Err(Failure::Unreachable(format!("{text}; or ask the node on this machine with --local")))
            }
            Err(Failure::Config(text)) if local::node(global).is_ok() => {
                Err(Failure::Config(format!("{text}; or ask the node on this machine with --local")))
            }
            Err(error) => Err(error),
        }
    }

    /// The same; calls over the broker are signed.
    fn signing(self, signer: Option<Signer>) -> Self {
        match (self, signer) {
            (Self::Broker(remote), Some(signer)) => Self::Broker(remote.signing_as(signer)),
            (way, _) => way,
        }
    }

    /// The tools of a node or of all.
    async fn tools(&self, node: Option<&str>) -> Result<Vec<(Id, Tool)>, Failure> {
        match self {
            Self::Broker(remote) => Ok(remote.tools(node_named(node)?.as_ref()).await?),
            Self::Local(local) => {
                #[derive(serde::Deserialize)]
                struct Told {
                    node: Option<Id>,
                    #[serde(flatten)]
                    tool: Tool,
                }
                let wanted = node_named(node)?;
                let tools: Vec<Told> = serde_json::from_value(local.ask(&Ask::Tools).await?)
                    .map_err(|error| Failure::Failed(format!("the node's answer cannot be read: {error}")))?;
                let tools =
                    tools.into_iter().map(|told| (told.node.unwrap_or_else(|| local.node()), told.tool));
                Ok(tools.filter(|(node, _)| wanted.as_ref().is_none_or(|wanted| wanted == node)).collect())
            }
        }
    }

    async fn call(
        &self,
        node: &Id,
        tool: &Name,
        args: Json,
        timeout: Duration,
        progress: Progress,
    ) -> Result<ResultFrame, Failure> {
        let local = match self {
            Self::Broker(remote) => return Ok(remote.call(node, tool, args, timeout, progress).await?),
            Self::Local(local) => local,
        };
        let timeout_ms = u64::try_from(timeout.as_millis()).ok();
        let node = (*node != local.node()).then(|| node.clone());
        let ask = Ask::Call { tool: ToolPath { node, tool: tool.clone() }, args, timeout_ms };
        let (result, ms) = match local.ask_with(&ask, &progress).await? {
            Line::Done(done) => (Ok(done["result"].clone()), done["ms"].as_u64().unwrap_or_default()),
            Line::ToolFailed(error) => (Err(error), 0),
            Line::Failed(why) | Line::Refused(why) => return Err(Failure::Failed(why)),
            Line::Progress { .. } => return Err(Failure::Failed("the node ended the answer halfway".into())),
        };
        Ok(ResultFrame { id: String::new(), answer: Answer::Done { result, ms, ts: None } })
    }
}

fn described(node: &Id, tool: &Tool) -> Json {
    let mut object = json!({ "node": node });
    if let (Some(object), Json::Object(tool)) = (object.as_object_mut(), json!(tool)) {
        object.extend(tool);
    }
    object
}

/// The tool that is named, on the node that is named or on the only one that has it.
async fn find(global: &Global, way: &Way, name: &str) -> Result<(Id, Tool), Failure> {
    let (node, name) = match name.split_once('/') {
        Some((node, name)) => (Some(node), name),
        None => (global.node.as_deref(), name),
    };
    // The node on this machine is asked for its own tools; one of another is named with it.
    let local = if let Way::Local(local) = way { Some(local.node()) } else { None };
    let node = node.or(local.as_ref().map(Id::as_str));
    let tools = way.tools(node).await?;
    let mut found: Vec<(Id, Tool)> =
        tools.iter().filter(|(_, tool)| tool.name.as_str() == name).cloned().collect();
    if let (Way::Broker(remote), true) = (way, found.len() > 1) {
        found = online(remote, found).await?;
    }
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            let nodes: Vec<String> = found.iter().chain([&last]).map(|(node, _)| node.to_string()).collect();
            Err(Failure::Usage(format!(
                "several nodes have `{name}`: {}; name one with --node",
                nodes.join(", ")
            )))
        }
        (None, _) => {
            let hint = nearest(name, tools.iter().map(|(_, tool)| tool.name.as_str()));
            let hint = hint.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let place = node.map_or("any node".into(), |node| format!("node `{node}`"));
            Err(Failure::Failed(format!("there is no tool `{name}` on {place}{hint}")))
        }
    }
}

/// Those whose node is online; all of them where none is.
async fn online(remote: &Remote, found: Vec<(Id, Tool)>) -> Result<Vec<(Id, Tool)>, Failure> {
    let mut online = Vec::new();
    for (node, tool) in &found {
        if remote.status(node).await? == Some(true) {
            online.push((node.clone(), tool.clone()));
        }
    }
    Ok(if online.is_empty() { found } else { online })
}

fn properties(tool: &Tool) -> impl Iterator<Item = (&String, &Json)> {
    tool.input_schema["properties"].as_object().into_iter().flatten()
}

/// Arguments as they were given.
enum Given<'a> {
    Json(Json),
    Pairs(Vec<(&'a str, &'a str)>),
}

impl Given<'_> {
    /// As an object, each value as the tool's schema wants it.
    fn fitted_to(self, tool: &Tool) -> Json {
        let schema = |key: &str| &tool.input_schema["properties"][key];
        match self {
            Self::Json(json) => json,
            Self::Pairs(pairs) => pairs
                .into_iter()
                .map(|(key, text)| (key.to_owned(), value(text, schema(key))))
                .collect::<Map<_, _>>()
                .into(),
        }
    }
}

/// `on=true level=3` as pairs.
fn pairs(texts: &[String]) -> Result<Vec<(&str, &str)>, Failure> {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for text in texts {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::Usage(format!("`{text}` is not KEY=VALUE; such as `on=true`")))?;
        if pairs.iter().any(|(other, _)| *other == key) {
            return Err(Failure::Usage(format!("`{key}` is given twice")));
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// A value as its schema wants it; where it does not say, JSON, and else a text. What does not fit is for the node to say.
fn value(text: &str, schema: &Json) -> Json {
    let wants = |kind: &str| match &schema["type"] {
        Json::String(one) => one == kind,
        Json::Array(several) => several.iter().any(|one| one == kind),
        _ => false,
    };
    let boolean = match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" => Some(true),
        "false" | "off" | "no" => Some(false),
        _ => None,
    };
    match boolean {
        Some(on) if wants("boolean") => on.into(),
        _ if wants("string") => text.into(),
        _ => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_the_schema_wants_it() {
        let boolean = json!({ "type": "boolean" });
        let text = json!({ "type": ["string", "null"] });
        let number = json!({ "type": "number" });
        assert_eq!(value("on", &boolean), json!(true));
        assert_eq!(value("No", &boolean), json!(false));
        assert_eq!(value("5", &boolean), json!(5), "the node says that it does not fit");
        assert_eq!(value("5", &text), json!("5"));
        assert_eq!(value("true", &text), json!("true"));
        assert_eq!(value("5", &number), json!(5));
        assert_eq!(value("[1,2]", &Json::Null), json!([1, 2]));
        assert_eq!(value("five", &Json::Null), json!("five"));
    }
}
