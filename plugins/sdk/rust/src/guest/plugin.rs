//! A plugin outside of a node: what the protocol asks of it, given to its handlers.
//!
//! It must not run two handlers at once.

use std::collections::BTreeMap;
use std::time::Duration;

use sedge_plugin::tool::Progress;
use sedge_plugin::topic::{Step, Topic};
use sedge_plugin::{BoxFuture, Id, Name, Plugin, PluginError, Tool, ToolCall, ToolError, topics};
use sedge_protocol::Call;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::hooks::{Does, Subscriptions};
use super::{Home, Ready, Runs, cannot, describe, settings, tool_error};

/// A plugin, once it is set up.
pub(super) struct Plugged<P> {
    plugin: Option<P>,
    hooks: Subscriptions<P>,
    /// What the plugin calls its tools, by what its manifest does.
    names: BTreeMap<Name, Name>,
}

impl<P> Default for Plugged<P> {
    fn default() -> Self {
        Self { plugin: None, hooks: Subscriptions::default(), names: BTreeMap::new() }
    }
}

impl<P: Plugin<Args: DeserializeOwned>> Runs for Plugged<P> {
    fn start<'a>(&'a mut self, home: Home) -> BoxFuture<'a, Result<Ready, PluginError>> {
        Box::pin(async move {
            let args: P::Args = settings(&home.welcome.settings)?;
            let mut hooks = Subscriptions::default();
            let ctx = home.context();
            P::hooks(&mut hooks, &args, &ctx);
            self.hooks = hooks.finish()?;
            let id = ctx.id().clone();
            let plugin = self.plugin.insert(P::setup(&args, ctx).await?);
            let mut tools = self.hooks.tools.map(|(offer, _)| offer(plugin)).unwrap_or_default();
            self.names = declare(&mut tools, &id, P::MANIFEST.name);
            Ok(Ready { tools, every: plugin.every() })
        })
    }

    fn call(&mut self, call: Call, id: u64, progress: Progress) -> BoxFuture<'_, Result<Json, ToolError>> {
        Box::pin(async move {
            let Self { plugin: Some(plugin), hooks, names } = self else {
                return Err(cannot("before its set-up"));
            };
            match call {
                Call::Tool { tool, args, from, timeout_ms } => {
                    let Some((_, run)) = hooks.tools else {
                        return Err(cannot(&format!("the tool `{tool}`")));
                    };
                    let timeout = Some(Duration::from_millis(timeout_ms));
                    let tool = names.get(&tool).cloned().unwrap_or(tool);
                    let call =
                        ToolCall { from, timeout, progress, id: id.to_string(), ..ToolCall::new(tool, args) };
                    run(plugin, call).await
                }
                Call::Tick => plugin.tick().await.map(|()| Json::Null).map_err(|error| tool_error(&error)),
                Call::Stop { .. } => {
                    plugin.teardown().await.map(|()| Json::Null).map_err(|error| tool_error(&error))
                }
                Call::Step { topic, message } => {
                    step(plugin, hooks, &topic, message).await.map_err(|error| tool_error(&error))
                }
                Call::Answer { topic, message } => {
                    answer(plugin, hooks, &topic, message).await.map_err(|error| tool_error(&error))
                }
                Call::Deliver { readings } if hooks.of(topics::Deliver::NAME).next().is_some() => {
                    for reading in readings {
                        let heard = observe(plugin, hooks, topics::Deliver::NAME, reading).await;
                        heard.map_err(|error| tool_error(&error))?;
                    }
                    Ok(Json::Null)
                }
                other => Err(cannot(&describe(&other))),
            }
        })
    }

    fn event(&mut self, topic: String, message: Json) -> BoxFuture<'_, Result<(), PluginError>> {
        Box::pin(async move {
            let Self { plugin: Some(plugin), hooks, .. } = self else { return Ok(()) };
            observe(plugin, hooks, &topic, message).await
        })
    }
}

/// Calls tools that carry the instance's id, as those of a plugin that is compiled in do, what the manifest calls them: the node
/// does it the other way round. The answer has their own names.
fn declare(tools: &mut [Tool], instance: &Id, plugin: &str) -> BTreeMap<Name, Name> {
    let mut names = BTreeMap::new();
    let Ok(own) = Name::from_id(instance, None) else { return names };
    for tool in tools {
        let rest = tool.name.as_str().strip_prefix(own.as_str());
        let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('_')) else { continue };
        let Ok(declared) = Name::new(&format!("{}{rest}", plugin.replace('-', "_"))) else { continue };
        names.insert(declared.clone(), std::mem::replace(&mut tool.name, declared));
    }
    names
}

async fn observe<P: Plugin>(
    plugin: &mut P,
    hooks: &Subscriptions<P>,
    topic: &str,
    json: Json,
) -> Result<(), PluginError> {
    for one in hooks.of(topic) {
        let Does::Observe(observe) = &one.does else { continue };
        if let Some(message) = one.message(json.clone())? {
            observe(plugin, message).await?;
        }
    }
    Ok(())
}

/// Runs its steps of a chain, each with what the one before left.
async fn step<P: Plugin>(
    plugin: &mut P,
    hooks: &Subscriptions<P>,
    topic: &str,
    mut json: Json,
) -> Result<Json, PluginError> {
    let mut replaced = false;
    for one in hooks.of(topic) {
        let Some(message) = one.message(json.clone())? else { continue };
        let step = match &one.does {
            Does::Step(step) => step(plugin, message).await?,
            Does::Inline(step) => step(&message)?,
            Does::Observe(_) | Does::Answer(_) => continue,
        };
        match step {
            Step::Pass => {}
            Step::Replace(next) => (json, replaced) = (next, true),
            Step::Veto(reason) => return Ok(json!({ "veto": reason })),
        }
    }
    Ok(if replaced { json!({ "replace": json }) } else { "pass".into() })
}

async fn answer<P: Plugin>(
    plugin: &mut P,
    hooks: &Subscriptions<P>,
    topic: &str,
    json: Json,
) -> Result<Json, PluginError> {
    for one in hooks.of(topic) {
        let Does::Answer(answer) = &one.does else { continue };
        let Some(message) = one.message(json.clone())? else { continue };
        if let Some(answer) = answer(plugin, message).await? {
            return Ok(answer);
        }
    }
    Ok(Json::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_carries_the_id_of_the_instance_is_declared_as_the_manifest_has_it() {
        let name = |text: &str| Name::new(text).unwrap();
        let tool = |text: &str| Tool::new(name(text), "");
        let mut tools = ["wine_cellar_echo", "wine_cellar", "wine_cellars", "units"].map(tool);
        let names = declare(&mut tools, &Id::new("wine-cellar").unwrap(), "echo-er");
        assert_eq!(
            tools.map(|tool| tool.name.to_string()),
            ["echo_er_echo", "echo_er", "wine_cellars", "units"]
        );
        assert_eq!(names[&name("echo_er_echo")], name("wine_cellar_echo"));
        assert_eq!(names.len(), 2);
    }
}
