use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use sedge_actors::{Bus, Node, PluginSpec, RunningNode, TokioClock, node_info};
use sedge_plugin::prelude::*;
use sedge_plugin::topic::{Chain, Collect, First, Observe};

use super::support::{Does, Numbers, id};

/// A chain that plugins write their letters into.
struct Letters;
impl Topic for Letters {
    type Message = String;
    type Answer = ();
    type Kind = Chain;
    const NAME: &'static str = "letters";
    const DOC: &'static str = "Fired by a test.";
}

struct Census;
impl Topic for Census {
    type Message = ();
    type Answer = String;
    type Kind = Collect;
    const NAME: &'static str = "census";
    const DOC: &'static str = "Fired by a test.";
}

struct WhoKnows;
impl Topic for WhoKnows {
    type Message = u32;
    type Answer = String;
    type Kind = First;
    const NAME: &'static str = "who_knows";
    const DOC: &'static str = "Fired by a test.";
}

/// Makes the plugin of that id panic.
struct Stumble;
impl Topic for Stumble {
    type Message = Id;
    type Answer = ();
    type Kind = Observe;
    const NAME: &'static str = "stumble";
    const DOC: &'static str = "Fired by a test.";
}

/// Appends its letter, or fails as told; answers to the name `n` of its own.
struct Letter {
    id: Id,
    args: LetterArgs,
}

#[derive(Clone)]
struct LetterArgs {
    letter: char,
    does: Does,
    knows: u32,
    veto: bool,
}

/// The same at any priority: a plugin's subscriptions are fixed by its type.
struct At<const PRIORITY: i32>(Letter);

impl<const PRIORITY: i32> Plugin for At<PRIORITY> {
    type Args = LetterArgs;
    const MANIFEST: Manifest = Manifest::new("letter", "1.0.0", "Appends its letter.");
    async fn setup(args: &LetterArgs, ctx: Context) -> Result<Self, PluginError> {
        Ok(Self(Letter { id: ctx.id().clone(), args: args.clone() }))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        let options = Options { priority: PRIORITY, deadline: Duration::from_secs(1), ..Options::default() };
        hooks.chain::<Letters>(options.clone());
        hooks.collect::<Census>(options.clone());
        hooks.first::<WhoKnows>(options.clone());
        hooks.observe::<Stumble>(options);
    }
}

impl<const PRIORITY: i32> Observer<Stumble> for At<PRIORITY> {
    async fn observe(&mut self, who: Arc<Id>) -> Result<(), PluginError> {
        assert!(*who != self.0.id, "stumbled");
        Ok(())
    }
}

impl<const PRIORITY: i32> Link<Letters> for At<PRIORITY> {
    async fn step(&mut self, text: Arc<String>) -> Result<Step<String>, PluginError> {
        self.0.args.does.act().await?;
        if self.0.args.veto {
            return Ok(Step::Veto("enough".into()));
        }
        Ok(Step::Replace(format!("{text}{}", self.0.args.letter)))
    }
}

impl<const PRIORITY: i32> Answer<Census> for At<PRIORITY> {
    async fn answer(&mut self, _: Arc<()>) -> Result<Option<String>, PluginError> {
        self.0.args.does.act().await?;
        Ok(Some(self.0.args.letter.into()))
    }
}

impl<const PRIORITY: i32> Answer<WhoKnows> for At<PRIORITY> {
    async fn answer(&mut self, n: Arc<u32>) -> Result<Option<String>, PluginError> {
        self.0.args.does.act().await?;
        Ok((self.0.args.knows == *n).then(|| self.0.args.letter.into()))
    }
}

fn letter<const PRIORITY: i32>(letter: char, does: Does) -> PluginSpec {
    let args = LetterArgs { letter, does, knows: 7, veto: false };
    PluginSpec::new::<At<PRIORITY>>(id(&format!("p-{}", letter.to_ascii_lowercase())), args)
}

async fn node(plugins: Vec<PluginSpec>) -> RunningNode {
    Node::new(node_info("hooks"), Arc::new(TokioClock::default())).start(plugins).await
}

async fn run(node: &RunningNode) -> Chained<String> {
    node.bus().chain::<Letters>(String::new()).await
}

#[tokio::test(start_paused = true)]
async fn a_chain_runs_in_priority_order_and_ties_in_the_order_of_activation() {
    let node = node(vec![
        letter::<100>('c', Does::Well),
        letter::<200>('e', Does::Well),
        letter::<100>('d', Does::Well),
        letter::<50>('b', Does::Well),
        letter::<0>('a', Does::Well),
    ])
    .await;
    assert_eq!(run(&node).await, Chained::Passed("abcde".into()));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_restarts_keeps_its_place_in_a_chain() {
    let node = node(vec![letter::<1>('a', Does::Well), letter::<1>('b', Does::Well)]).await;
    assert_eq!(run(&node).await, Chained::Passed("ab".into()));
    node.bus().publish::<Stumble>(id("p-a")).await;
    let mut states = node.bus().subscribe::<topics::PluginStateChanged>(&id("ear"), Options::default());
    while states.next().await.state != State::Running {}
    assert_eq!(run(&node).await, Chained::Passed("ab".into()));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_panics_or_hangs_is_skipped_and_the_value_it_received_goes_on() {
    for does in [Does::Fails, Does::Panics, Does::Hangs] {
        let node =
            node(vec![letter::<1>('a', Does::Well), letter::<2>('x', does), letter::<3>('b', Does::Well)])
                .await;
        assert_eq!(run(&node).await, Chained::Passed("ab".into()), "{does:?}");
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_veto_stops_the_chain_with_its_reason() {
    let veto = LetterArgs { letter: 'v', does: Does::Well, knows: 0, veto: true };
    let node = node(vec![
        letter::<1>('a', Does::Well),
        PluginSpec::new::<At<2>>(id("guard"), veto),
        letter::<3>('b', Does::Well),
    ])
    .await;
    let vetoed = Chained::Vetoed { message: "a".into(), by: id("guard"), reason: "enough".into() };
    assert_eq!(run(&node).await, vetoed);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn collect_gets_all_answers_in_order_and_leaves_out_who_fails() {
    let node = node(vec![
        letter::<2>('b', Does::Well),
        letter::<1>('a', Does::Well),
        letter::<3>('x', Does::Fails),
        letter::<4>('y', Does::Hangs),
        letter::<5>('c', Does::Well),
    ])
    .await;
    let answers: Vec<_> =
        node.bus().collect::<Census>(()).await.into_iter().map(|(_, letter)| letter).collect();
    assert_eq!(answers, ["a", "b", "c"]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn first_stops_at_the_first_answer() {
    let knows = |n| LetterArgs { letter: 'k', does: Does::Well, knows: n, veto: false };
    let node = node(vec![
        PluginSpec::new::<At<1>>(id("one"), knows(1)),
        PluginSpec::new::<At<2>>(id("broken"), LetterArgs { does: Does::Fails, ..knows(2) }),
        PluginSpec::new::<At<3>>(id("two"), knows(2)),
        PluginSpec::new::<At<4>>(id("also-two"), knows(2)),
    ])
    .await;
    let who = |answer: Option<(Id, String)>| answer.map(|(id, _)| id.to_string());
    assert_eq!(who(node.bus().first::<WhoKnows>(2).await).as_deref(), Some("two"));
    assert_eq!(who(node.bus().first::<WhoKnows>(3).await), None);
    node.stop().await;
}

/// A step without state of its own, which panics when told.
struct Inline;
impl Plugin for Inline {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("inline", "1.0.0", "Appends in the caller.");
    async fn setup(_: &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.inline::<Letters>(Options::priority(1), |text| Ok(Step::Replace(format!("{text}1"))));
        hooks.inline::<Letters>(Options::priority(2), |text| panic!("at {text}"));
        hooks.inline::<Letters>(Options::priority(3), |_| Err(PluginError::failed("no")));
        hooks.inline::<Letters>(Options::priority(4), |_| Ok(Step::Pass));
        hooks.inline::<Letters>(Options::priority(6), |text| Ok(Step::Replace(format!("{text}6"))));
    }
}

#[tokio::test(start_paused = true)]
async fn inline_and_asked_steps_stand_in_one_ordered_list_and_a_panic_is_caught() {
    let node = node(vec![PluginSpec::new::<Inline>(id("inline"), ()), letter::<5>('a', Does::Well)]).await;
    assert_eq!(run(&node).await, Chained::Passed("1a6".into()));
    node.stop().await;
}

#[tokio::test]
async fn every_observer_gets_every_message_in_order() {
    let bus = Bus::default();
    let mut ears: Vec<_> = (0..8).map(|_| bus.subscribe::<Numbers>(&id("ear"), Options::default())).collect();
    for n in 0..100 {
        bus.publish::<Numbers>(n).await;
    }
    for ear in &mut ears {
        assert_eq!(
            std::iter::from_fn(|| ear.take()).map(|n| *n).collect::<Vec<_>>(),
            (0..100).collect::<Vec<_>>()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_subscription_overflows_as_it_asked_and_counts_what_it_lost() {
    let bus = Bus::default();
    let options = |overflow| Options { capacity: 4, overflow, ..Options::default() };
    let mut oldest = bus.subscribe::<Numbers>(&id("a"), options(Overflow::DropOldest));
    let mut newest = bus.subscribe::<Numbers>(&id("b"), options(Overflow::DropNewest));
    for n in 0..10 {
        bus.publish::<Numbers>(n).await;
    }
    let left = |ear: &mut sedge_actors::Subscription<Numbers>| -> Vec<u64> {
        std::iter::from_fn(|| ear.take()).map(|n| *n).collect()
    };
    assert_eq!((left(&mut oldest), oldest.dropped()), (vec![6, 7, 8, 9], 6));
    assert_eq!((left(&mut newest), newest.dropped()), (vec![0, 1, 2, 3], 6));
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_for_a_subscriber_that_asked_for_it_and_not_beyond_its_deadline() {
    let bus = Bus::default();
    let options = Options { capacity: 1, overflow: Overflow::Wait, ..Options::default() };
    let mut ear = bus.subscribe::<Numbers>(&id("slow"), options);
    bus.publish::<Numbers>(1).await;
    // The second waits for room, which the taking of the first makes.
    let sender = tokio::spawn({
        let bus = bus.clone();
        async move { bus.publish::<Numbers>(2).await }
    });
    tokio::task::yield_now().await;
    assert!(!sender.is_finished());
    assert_eq!(*ear.next().await, 1);
    sender.await.unwrap();
    assert_eq!((*ear.next().await, ear.dropped()), (2, 0));
    // Nobody takes the third: the fourth is dropped when its time is over.
    bus.publish::<Numbers>(3).await;
    bus.publish::<Numbers>(4).await;
    assert_eq!((*ear.next().await, ear.take(), ear.dropped()), (3, None, 1));
}

#[tokio::test]
async fn a_subscription_that_is_dropped_is_gone_and_no_other() {
    let bus = Bus::default();
    let one = bus.subscribe::<Numbers>(&id("me"), Options::default());
    let mut two = bus.subscribe::<Numbers>(&id("me"), Options::default());
    drop(one);
    bus.publish::<Numbers>(1).await;
    assert_eq!(two.take().as_deref(), Some(&1));
    drop(two);
    assert_eq!(bus.topics(), []);
}

/// Two topics in one plugin: a dispatch that falls into a restart must see both subscriptions or none.
struct Pair;
static SEEN: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];
struct Left;
struct Right;
impl Topic for Left {
    type Message = ();
    type Answer = ();
    type Kind = Observe;
    const NAME: &'static str = "left";
    const DOC: &'static str = "Fired by a test.";
}
impl Topic for Right {
    type Message = ();
    type Answer = ();
    type Kind = Observe;
    const NAME: &'static str = "right";
    const DOC: &'static str = "Fired by a test.";
}
impl Plugin for Pair {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("pair", "1.0.0", "Hears two topics.");
    async fn setup(_: &(), ctx: Context) -> Result<Self, PluginError> {
        // Fired while it is being set up: what it subscribed to is heard from before the set-up on.
        ctx.publish::<Left>(()).await;
        ctx.publish::<Right>(()).await;
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.observe::<Left>(Options::default());
        hooks.observe::<Right>(Options::default());
    }
}
impl Observer<Left> for Pair {
    async fn observe(&mut self, _: Arc<()>) -> Result<(), PluginError> {
        SEEN[0].fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
impl Observer<Right> for Pair {
    async fn observe(&mut self, _: Arc<()>) -> Result<(), PluginError> {
        SEEN[1].fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_happens_during_the_setup_is_missed() {
    let node = node(vec![PluginSpec::new::<Pair>(id("pair"), ())]).await;
    assert_eq!(
        node.bus().topics().into_iter().map(|topic| topic.name).collect::<Vec<_>>(),
        ["left", "right"]
    );
    node.stop().await;
    assert_eq!(SEEN.each_ref().map(|seen| seen.load(Ordering::SeqCst)), [1, 1]);
}

proptest! {
    #[test]
    fn a_queue_never_reorders_and_every_message_is_heard_or_counted(
        capacity in 1_usize..20, newest in any::<bool>(), takes in prop::collection::vec(any::<bool>(), 1..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bus = Bus::default();
            let overflow = if newest { Overflow::DropNewest } else { Overflow::DropOldest };
            let mut ear = bus.subscribe::<Numbers>(&id("ear"), Options { capacity, overflow, ..Options::default() });
            let (mut sent, mut heard) = (0, Vec::new());
            for take in takes {
                if take {
                    heard.extend(ear.take().map(|n| *n));
                } else {
                    bus.publish::<Numbers>(sent).await;
                    sent += 1;
                }
            }
            heard.extend(std::iter::from_fn(|| ear.take()).map(|n| *n));
            assert!(heard.is_sorted());
            assert_eq!(heard.len() as u64 + ear.dropped(), sent);
        });
    }
}
