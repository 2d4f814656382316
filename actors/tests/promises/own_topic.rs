//! A plugin brings topics of its own, of every kind; another subscribes to them by type.

use std::sync::{Arc, Mutex};

use sedge_actors::{PluginSpec, RunningNode};
use sedge_plugin::prelude::*;
use serde_json::json;

use self::kitchen::{Dish, Kitchen};
use super::puppet::{call, node, pass, told, watched};
use super::support::id;

/// What the crate of the one plugin would be.
mod kitchen {
    use sedge_plugin::prelude::*;
    use sedge_plugin::topic::{Around, Chain, Collect, First, Observe};

    #[derive(Debug, Clone, PartialEq)]
    pub struct Dish {
        pub name: String,
        pub salt: u32,
    }

    macro_rules! topic {
        ($name:ident, $word:literal, $kind:ty, $message:ty => $answer:ty) => {
            pub struct $name;
            impl Topic for $name {
                type Message = $message;
                type Answer = $answer;
                type Kind = $kind;
                const NAME: &'static str = $word;
                const DOC: &'static str = "Fired by the kitchen.";
            }
        };
    }
    topic!(Served, "served", Observe, Dish => ());
    topic!(Season, "season", Chain, Dish => ());
    topic!(Wishes, "wishes", Collect, String => String);
    topic!(WhoWashes, "who_washes", First, String => u32);
    topic!(Cook, "cook", Around, Dish => String);

    /// Cooks when its tool is called, and fires all of them.
    pub struct Kitchen(pub Context);
    impl Plugin for Kitchen {
        type Args = ();
        const MANIFEST: Manifest = Manifest::new("kitchen", "1.0.0", "Cooks.");
        async fn setup(_: &(), ctx: Context) -> Result<Self, PluginError> {
            Ok(Self(ctx))
        }
        fn hooks(hooks: &mut impl Hooks<Self>, _: &(), _: &Context) {
            hooks.tools();
        }
    }
    impl Tools for Kitchen {
        fn tools(&self) -> Vec<Tool> {
            vec![Tool::new(Name::new("cook").unwrap(), "Cooks.")]
        }
        async fn call(&mut self, _: ToolCall) -> Result<serde_json::Value, ToolError> {
            let ctx = &self.0;
            let wishes = ctx.collect::<Wishes>("soup?".into()).await;
            let dish = match ctx.chain::<Season>(Dish { name: "soup".into(), salt: 1 }).await {
                Chained::Passed(dish) => dish,
                Chained::Vetoed { by, reason, .. } => {
                    return Err(ToolError::failed(format!("{by}: {reason}")));
                }
            };
            let salt = dish.salt;
            let cooked = ctx
                .around::<Cook>(dish.clone(), |dish| Box::pin(async move { format!("hot {}", dish.name) }));
            let cooked = cooked.await.map_err(|error| ToolError::failed(error.to_string()))?;
            ctx.publish::<Served>(dish).await;
            let washes = ctx.first::<WhoWashes>("dishes".into()).await;
            Ok(serde_json::json!({
                "salt": salt,
                "cooked": cooked,
                "wishes": wishes.iter().map(|(who, wish)| format!("{who}: {wish}")).collect::<Vec<_>>(),
                "washes": washes.map(|(who, minutes)| format!("{who} in {minutes}")),
            }))
        }
    }
}

/// Subscribes to all of the kitchen's topics.
struct Guest {
    ctx: Context,
    eaten: Arc<Mutex<Vec<String>>>,
}
impl Plugin for Guest {
    type Args = Arc<Mutex<Vec<String>>>;
    const MANIFEST: Manifest = Manifest::new("guest", "1.0.0", "Eats.");
    async fn setup(eaten: &Self::Args, ctx: Context) -> Result<Self, PluginError> {
        Ok(Self { ctx, eaten: eaten.clone() })
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, ctx: &Context) {
        hooks.observe::<kitchen::Served>(Options::default());
        hooks.chain::<kitchen::Season>(Options::default());
        hooks.collect::<kitchen::Wishes>(Options::default());
        hooks.first::<kitchen::WhoWashes>(Options::default());
        let who = ctx.id().to_string();
        hooks.around::<kitchen::Cook>(Options::default(), move |dish, next| {
            let who = who.clone();
            Box::pin(async move { Ok(format!("{} for {who}", next.run(dish).await?)) })
        });
    }
}
impl Observer<kitchen::Served> for Guest {
    async fn observe(&mut self, dish: Arc<Dish>) -> Result<(), PluginError> {
        self.eaten.lock().unwrap().push(format!("{} ate {}", self.ctx.id(), dish.name));
        Ok(())
    }
}
impl Link<kitchen::Season> for Guest {
    async fn step(&mut self, dish: Arc<Dish>) -> Result<Step<Dish>, PluginError> {
        if dish.salt > 2 {
            return Ok(Step::Veto("too salty".into()));
        }
        Ok(Step::Replace(Dish { salt: dish.salt + 1, ..Dish::clone(&dish) }))
    }
}
impl Answer<kitchen::Wishes> for Guest {
    async fn answer(&mut self, question: Arc<String>) -> Result<Option<String>, PluginError> {
        Ok((*question == "soup?").then(|| "yes".into()))
    }
}
impl Answer<kitchen::WhoWashes> for Guest {
    async fn answer(&mut self, _: Arc<String>) -> Result<Option<u32>, PluginError> {
        Ok((self.ctx.id().as_str() == "bob").then_some(10))
    }
}

fn guests(names: &[&str], eaten: &Arc<Mutex<Vec<String>>>) -> Vec<PluginSpec> {
    let guest = |name: &&str| PluginSpec::new::<Guest>(id(name), eaten.clone());
    names.iter().map(guest).chain([PluginSpec::new::<Kitchen>(id("kitchen"), ())]).collect()
}

async fn cook(node: &RunningNode) -> Result<serde_json::Value, ToolError> {
    node.call(call("cook", json!({}))).await.result
}

#[tokio::test(start_paused = true)]
async fn a_plugins_own_topics_of_every_kind_reach_those_who_subscribed_by_type() {
    let eaten = Arc::default();
    let (node, mut errors) = watched(guests(&["ann", "bob"], &eaten)).await;
    let expected = json!({
        "salt": 3,
        "cooked": "hot soup for bob for ann",
        "wishes": ["ann: yes", "bob: yes"],
        "washes": "bob in 10",
    });
    assert_eq!(cook(&node).await, Ok(expected));
    pass(super::puppet::S).await;
    let mut ate = eaten.lock().unwrap().clone();
    ate.sort();
    assert_eq!(ate, ["ann ate soup", "bob ate soup"]);
    assert_eq!(told(&mut errors), []);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_of_ones_own_may_be_vetoed_by_another_plugin() {
    let node = node(guests(&["ann", "bob", "cid"], &Arc::default())).await;
    assert_eq!(cook(&node).await.unwrap_err().message, "cid: too salty");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_of_ones_own_that_nobody_subscribes_to_changes_nothing() {
    let node = node(guests(&[], &Arc::default())).await;
    let alone = json!({ "salt": 1, "cooked": "hot soup", "wishes": [], "washes": null });
    assert_eq!(cook(&node).await, Ok(alone));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn topics_of_ones_own_are_listed_with_their_kind_and_who_subscribes() {
    let node = node(guests(&["ann", "bob"], &Arc::default())).await;
    let topics = node.bus().topics();
    let own = topics.iter().filter(|topic| topic.doc == "Fired by the kitchen.");
    let own: Vec<_> = own.map(|topic| (topic.name, topic.kind, topic.subscribers.len())).collect();
    let expected = [
        ("cook", "around"),
        ("season", "chain"),
        ("served", "observe"),
        ("who_washes", "first"),
        ("wishes", "collect"),
    ];
    assert_eq!(own, expected.map(|(name, kind)| (name, kind, 2)));
    let cook = topics.iter().find(|topic| topic.name == "cook").unwrap();
    let how: Vec<_> = cook.subscribers.iter().map(|s| (s.plugin.as_str(), s.how)).collect();
    assert_eq!(how, [("ann", "around"), ("bob", "around")]);
    node.stop().await;
}
