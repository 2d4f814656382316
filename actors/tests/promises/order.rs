//! In which order subscribers run, and for which messages.

use sedge_actors::{PluginSpec, RunningNode};
use sedge_plugin::prelude::*;
use sedge_plugin::topic::Chain;

use super::puppet::{Puppet, call, node, subscriber, subscriptions};
use super::reload::change;
use super::support::{Numbers, id};

/// A word that is about something, or about nothing in particular.
#[derive(Debug, Clone, PartialEq)]
struct Word {
    about: Option<Id>,
    text: String,
}

struct Words;
impl Topic for Words {
    type Message = Word;
    type Answer = ();
    type Kind = Chain;
    const NAME: &'static str = "words";
    const DOC: &'static str = "Fired by a test.";
    fn key(word: &Word) -> Option<&Id> {
        word.about.as_ref()
    }
}

/// Each letter is a step of its own, in the order in which they are registered.
type Steps = Vec<(Options, char)>;
subscriber!(Letters, Steps, |hooks, steps| {
    for (options, letter) in steps.clone() {
        hooks.inline::<Words>(options, move |word| {
            Ok(Step::Replace(Word { text: format!("{}{letter}", word.text), ..word.clone() }))
        });
    }
});

fn letters(name: &str, steps: Vec<(Options, char)>) -> PluginSpec {
    PluginSpec::new::<Letters>(id(name), steps)
}

fn word(about: &str) -> Word {
    Word { about: Id::new(about).ok(), text: String::new() }
}

async fn spelled(node: &RunningNode, about: &str) -> String {
    let Chained::Passed(word) = node.bus().chain::<Words>(word(about)).await else { panic!("vetoed") };
    word.text
}

#[tokio::test(start_paused = true)]
async fn first_and_last_marks_go_before_and_after_every_priority() {
    let (least, most) = (Options::priority(i32::MIN), Options::priority(i32::MAX));
    let node = node(vec![
        letters("a", vec![(Options::last(), 'y'), (most, 'd'), (Options::default(), 'c')]),
        letters("b", vec![(least, 'b'), (Options::first(), 'a'), (Options::last(), 'z')]),
    ])
    .await;
    assert_eq!(spelled(&node, "").await, "abcdyz");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn within_a_mark_the_priority_still_decides() {
    let first = |priority| Options { priority, ..Options::first() };
    let node = node(vec![letters("a", vec![(first(9), 'b'), (first(1), 'a'), (Options::priority(0), 'c')])]);
    let node = node.await;
    assert_eq!(spelled(&node, "").await, "abc");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ties_run_in_the_order_of_activation_and_then_of_registration() {
    let any = Options::default;
    // The alphabet decides who is activated first, not the order in which they were given.
    let node = node(vec![
        letters("z", vec![(any(), 'e'), (any(), 'f')]),
        letters("a", vec![(any(), 'a'), (any(), 'b')]),
        letters("m", vec![(any(), 'c'), (any(), 'd')]),
    ])
    .await;
    assert_eq!(spelled(&node, "").await, "abcdef");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_to_some_keys_gets_messages_about_these_alone() {
    let only = |keys: &[&str]| Options::default().only(keys.iter().map(|key| id(key)));
    let node = node(vec![
        letters("a", vec![(only(&["tank"]), 't')]),
        letters("b", vec![(only(&["tank", "well"]), 'b'), (only(&["well"]), 'w')]),
        letters("c", vec![(only(&[]), 'n')]),
    ])
    .await;
    for (about, expected) in [("tank", "tb"), ("well", "bw"), ("roof", ""), ("", "")] {
        assert_eq!(spelled(&node, about).await, expected, "{about}");
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_to_no_key_at_all_gets_nothing() {
    let node = node(vec![letters("a", vec![(Options::default().only([]), 'x')])]).await;
    assert_eq!(spelled(&node, "tank").await, "");
    assert_eq!(spelled(&node, "").await, "");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn keyed_and_general_subscriptions_stand_in_one_order_whoever_came_first() {
    let only = |priority, key: &str| Options::priority(priority).only([id(key)]);
    let node = node(vec![
        letters("a", vec![(Options::priority(30), 'c'), (only(20, "tank"), 'b')]),
        letters("b", vec![(only(40, "tank"), 'd'), (Options::priority(10), 'a'), (Options::last(), 'e')]),
    ])
    .await;
    assert_eq!(spelled(&node, "tank").await, "abcde");
    assert_eq!(spelled(&node, "well").await, "ace");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_fires_a_chain_reaches_the_same_subscribers_as_the_node() {
    let fires = Puppet::new().tool("spell").on_call(|ctx, call| async move {
        let about = call.args["about"].as_str().unwrap_or_default().to_owned();
        let Chained::Passed(word) = ctx.chain::<Words>(word(&about)).await else { panic!("vetoed") };
        Ok(word.text.into())
    });
    let only = Options::default().only([id("tank")]);
    let node = node(vec![letters("a", vec![(only, 't'), (Options::default(), 'g')]), fires.spec("b")]).await;
    for (about, expected) in [("tank", "tg"), ("well", "g")] {
        let said = node.call(call("spell", serde_json::json!({ "about": about }))).await.result.unwrap();
        assert_eq!(said, expected);
        assert_eq!(spelled(&node, about).await, expected);
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_plugin_leaves_no_keyed_subscription_behind() {
    let only = |key: &str| Options::default().only([id(key)]);
    let mixed = || letters("a", vec![(only("tank"), 'a'), (Options::default(), 'b')]);
    let keyed = || letters("b", vec![(only("tank"), 'c'), (only("well"), 'd')]);
    let general = || letters("c", vec![(Options::default(), 'e')]);
    let mut node = node(vec![mixed(), keyed(), general()]).await;
    let spelled = async |node: &RunningNode| (spelled(node, "tank").await, spelled(node, "well").await);
    let are = |tank: &str, well: &str| (tank.to_owned(), well.to_owned());
    assert_eq!(spelled(&node).await, are("abce", "bde"));
    node.apply(change(vec![mixed(), general()])).await.unwrap();
    assert_eq!(spelled(&node).await, are("abe", "be"));
    node.apply(change(vec![keyed(), general()])).await.unwrap();
    // What starts later comes later.
    assert_eq!(spelled(&node).await, are("ec", "ed"));
    node.apply(change(vec![keyed()])).await.unwrap();
    assert_eq!(spelled(&node).await, are("c", "d"));
    node.apply(change(vec![])).await.unwrap();
    assert_eq!(spelled(&node).await, are("", ""));
    assert_eq!(subscriptions(node.bus()), []);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_observer_of_some_keys_is_told_of_no_other() {
    use sedge_plugin::topics::PluginStateChanged;
    let bus = sedge_actors::Bus::default();
    let mut ear = bus.subscribe::<PluginStateChanged>(&id("ear"), Options::default().only([id("pump")]));
    let mut all = bus.subscribe::<PluginStateChanged>(&id("all"), Options::default());
    // Its messages are about nothing: one who asks for keys gets none.
    let mut numbers = bus.subscribe::<Numbers>(&id("ear"), Options::default().only([id("pump")]));
    for name in ["pump", "lamp", "pump"] {
        let status = PluginStatus {
            id: id(name),
            kind: String::new(),
            version: String::new(),
            state: State::Running,
            reason: None,
            since_ms: None,
            restarts: 0,
            dropped: 0,
            service_of: None,
        };
        bus.publish::<PluginStateChanged>(status).await;
    }
    bus.publish::<Numbers>(1).await;
    let heard = |ear: &mut sedge_actors::Subscription<PluginStateChanged>| {
        std::iter::from_fn(|| ear.take()).map(|status| status.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(heard(&mut ear), ["pump", "pump"]);
    assert_eq!(heard(&mut all), ["pump", "lamp", "pump"]);
    assert_eq!(numbers.take(), None);
}
