//! Tools of other nodes, called `node/tool`: known here as long as whoever reaches the node says so.
//!
//! A call of one goes the way of every call; only the last step is another: not a plugin's actor runs it, but the caller
//! that the plugin gave along, in the task of whoever calls, so that one slow node holds up nobody else.
//!
//! A node that cannot be reached has no tools, and a call of one says `unavailable`, not `not_found`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sedge_plugin::schema::{Schema, nearest};
use sedge_plugin::{Id, Name, RemoteCaller, RemoteNode, Tool, ToolError, ToolErrorCode, ToolPath};
use serde_json::json;
use tracing::debug;

use super::{Entry, Runner, ToolRegistry};

/// A node, as calls of its tools see it.
#[derive(Clone)]
pub(super) struct Reached {
    /// The plugin that reaches it.
    owner: Id,
    online: bool,
    tools: BTreeMap<Name, (Arc<Tool>, Arc<Schema>)>,
    call: RemoteCaller,
}

pub(super) type Nodes = HashMap<Id, Arc<Reached>>;

impl ToolRegistry {
    /// A node is there, with these tools. False where another plugin reaches it already.
    pub(crate) fn reach(&self, owner: &Id, node: RemoteNode, call: RemoteCaller) -> bool {
        let told = node.clone();
        self.change_nodes(|nodes| {
            if node.id == self.state.directory().node.id
                || nodes.get(&node.id).is_some_and(|other| other.owner != *owner)
            {
                return false;
            }
            let tools = node.tools.into_iter().map(|(name, tool)| {
                let input = Arc::new(schema_of(&node.id, &tool));
                (name, (tool, input))
            });
            let reached = Reached { owner: owner.clone(), online: node.online, tools: tools.collect(), call };
            nodes.insert(node.id, Arc::new(reached));
            self.state.set_node(told);
            true
        })
    }

    /// A plugin reaches a node no more.
    pub(crate) fn forget(&self, owner: &Id, node: &Id) {
        self.change_nodes(|nodes| {
            if nodes.get(node).is_some_and(|reached| reached.owner == *owner) {
                nodes.remove(node);
                self.state.remove_node(node);
            }
        });
    }

    /// A plugin has ended; with it the ways to the nodes that it reached. Where it comes back they are `away` until then.
    pub(super) fn lose_nodes(&self, owner: &Id, for_good: bool) {
        if self.nodes.load().values().all(|reached| reached.owner != *owner) {
            return;
        }
        self.change_nodes(|nodes| {
            let lost: Vec<Id> =
                nodes.iter().filter(|(_, r)| r.owner == *owner).map(|(id, _)| id.clone()).collect();
            for id in lost {
                let Some(reached) = nodes.remove(&id) else { continue };
                if for_good {
                    self.state.remove_node(&id);
                    continue;
                }
                let away = Reached { online: false, tools: BTreeMap::new(), ..Reached::clone(&reached) };
                nodes.insert(id.clone(), Arc::new(away));
                self.state.set_node(RemoteNode { id, online: false, tools: BTreeMap::new() });
            }
        });
    }

    fn change_nodes<R>(&self, change: impl FnOnce(&mut Nodes) -> R) -> R {
        let _writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut next = Nodes::clone(&self.nodes.load());
        let result = change(&mut next);
        self.nodes.store(Arc::new(next));
        result
    }

    /// The entry of a tool of another node.
    pub(super) fn find_on(&self, node: &Id, path: &ToolPath) -> Result<Entry, ToolError> {
        let nodes = self.nodes.load();
        let Some(reached) = nodes.get(node) else {
            let near = nearest(node.as_str(), nodes.keys().map(Id::as_str));
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let text = format!(
                "no node `{node}` is reached from here{hint}; a section `[remote.{node}]` makes it so"
            );
            return Err(ToolError::new(ToolErrorCode::NotFound, text));
        };
        if !reached.online {
            return Err(ToolError::new(ToolErrorCode::Unavailable, format!("node `{node}` is away")));
        }
        let (tool, input) = reached.tools.get(&path.tool).ok_or_else(|| {
            let near = nearest(path.tool.as_str(), reached.tools.keys().map(Name::as_str));
            let hint = near.map(|near| format!("; did you mean `{node}/{near}`?")).unwrap_or_default();
            ToolError::new(ToolErrorCode::NotFound, format!("there is no tool `{path}`{hint}"))
        })?;
        Ok(Entry {
            tool: tool.clone(),
            input: input.clone(),
            owner: reached.owner.clone(),
            runner: Runner::Elsewhere(reached.call.clone()),
            wake: None,
        })
    }

    /// All tools of all nodes that are reached, as `node/tool`.
    pub(super) fn elsewhere(&self) -> Vec<String> {
        let nodes = self.nodes.load();
        nodes.iter().flat_map(|(node, r)| r.tools.keys().map(move |tool| format!("{node}/{tool}"))).collect()
    }
}

/// What arguments must fit. Of a schema that this version cannot read nothing is known: the other node checks them anyway.
fn schema_of(node: &Id, tool: &Tool) -> Schema {
    Schema::compile(&tool.input_schema).unwrap_or_else(|error| {
        debug!(%node, tool = %tool.name, %error, "The schema of a remote tool cannot be used.");
        Schema::compile(&json!({ "type": "object" })).unwrap_or_else(|_| unreachable!("it is a schema"))
    })
}
