//! Services: plugins of a plugin, which run while it does.

use std::sync::{Arc, Mutex};

use sedge_actors::PluginSpec;
use sedge_plugin::prelude::*;
use serde_json::json;

use super::puppet::{Puppet, S, Strung, call, count, node, pass, status, subscriptions, told, watched};
use super::reload::change;
use super::support::{Does, Numbers, id};

type Log = Arc<Mutex<Vec<String>>>;

/// A plugin with services.
struct Parent(Family);
#[derive(Clone, Default)]
struct Family {
    log: Log,
    children: Vec<(&'static str, Puppet)>,
}
impl Family {
    /// With a service that tells when it starts and ends.
    fn with(mut self, name: &'static str, child: Puppet) -> Self {
        let (up, down) = (self.log.clone(), self.log.clone());
        let child = child
            .before_setup(move || up.lock().unwrap().push(format!("{name} up")))
            .before_teardown(move || down.lock().unwrap().push(format!("{name} down")));
        self.children.push((name, child));
        self
    }
    fn spec(&self) -> PluginSpec {
        PluginSpec::new::<Parent>(id("parent"), self.clone())
    }
    fn logged(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}
impl Plugin for Parent {
    type Args = Family;
    const MANIFEST: Manifest = Manifest::new("parent", "1.0.0", "Has services.");
    async fn setup(family: &Family, ctx: Context) -> Result<Self, PluginError> {
        ctx.sleep(S).await;
        family.log.lock().unwrap().push("parent up".into());
        Ok(Self(family.clone()))
    }
    fn hooks(hooks: &mut impl Hooks<Self>, family: &Family, _: &Context) {
        hooks.observe::<Numbers>(Options::default());
        for (name, child) in family.children.clone() {
            hooks.service::<Strung>(name, child);
        }
    }
    async fn teardown(&mut self) -> Result<(), PluginError> {
        self.0.log.lock().unwrap().push("parent down".into());
        Ok(())
    }
}
impl Observer<Numbers> for Parent {
    async fn observe(&mut self, n: Arc<u64>) -> Result<(), PluginError> {
        match *n {
            1 => panic!("fell over"),
            2 => Err(PluginError::Settings("never again".into())),
            _ => Ok(()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_starts_after_its_parents_set_up_and_ends_before_its_teardown() {
    let family = Family::default().with("one", Puppet::new()).with("two", Puppet::new());
    let node = node(vec![family.spec()]).await;
    pass(S).await;
    assert_eq!(family.logged(), ["parent up", "one up", "two up"]);
    let directory = node.directory();
    let one = &directory.plugins["parent-one"];
    assert_eq!((one.state, one.service_of.as_ref()), (State::Running, Some(&id("parent"))));
    assert!(directory.is_active("parent-two"));
    let bus = node.bus().clone();
    node.stop().await;
    let mut log = family.logged();
    assert_eq!(log.pop().as_deref(), Some("parent down"));
    log.sort();
    assert_eq!(log, ["one down", "two down"]);
    assert_eq!(subscriptions(&bus), []);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_breaks_is_restarted_and_its_parent_never_notices() {
    let child = Puppet::new().on_hear(|_, n| async move {
        assert!(n != 7, "fell over");
        Ok(())
    });
    let family = Family::default().with("one", child.clone());
    let node = node(vec![family.spec()]).await;
    pass(S).await;
    node.bus().publish::<Numbers>(7).await;
    pass(S / 10).await;
    assert_eq!(status(&node, "parent-one"), (State::BackingOff, "panicked: fell over".into()));
    assert_eq!(status(&node, "parent").0, State::Running);
    pass(10 * S).await;
    let directory = node.directory();
    assert_eq!(
        (directory.plugins["parent-one"].state, directory.plugins["parent-one"].restarts),
        (State::Running, 1)
    );
    assert_eq!(directory.plugins["parent"].restarts, 0);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_stops_and_starts_with_its_parent() {
    let family = Family::default().with("one", Puppet::new());
    let node = node(vec![family.spec()]).await;
    pass(S).await;
    let before = subscriptions(node.bus());
    family.logged();
    node.bus().publish::<Numbers>(1).await;
    pass(S / 10).await;
    assert_eq!(status(&node, "parent-one").0, State::Stopped);
    pass(10 * S).await;
    assert_eq!((status(&node, "parent").0, status(&node, "parent-one").0), (State::Running, State::Running));
    let mut log = family.logged();
    log.sort();
    assert_eq!(log, ["one down", "one up", "parent down", "parent up"]);
    assert_eq!(subscriptions(node.bus()), before, "nothing is there twice");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_parent_that_goes_takes_along_what_its_services_had() {
    let offers = || Puppet::new().tool("brew").sensor();
    let family = Family::default().with("one", offers());
    let mut node = node(vec![family.spec()]).await;
    pass(2 * S).await;
    assert!(node.directory().sensors.contains_key("parent-one"));
    assert!(node.call(call("brew", json!({}))).await.result.is_ok());
    // Failed for good.
    node.bus().publish::<Numbers>(2).await;
    pass(S).await;
    let directory = node.directory();
    assert_eq!(directory.plugins["parent"].state, State::Failed);
    assert_eq!((directory.sensors.len(), directory.tools.len()), (0, 0), "{:?}", directory.tools);
    // Gone from the config.
    node.apply(change(vec![family.spec().fingerprint(1)])).await.unwrap();
    pass(2 * S).await;
    assert_eq!(node.directory().tools.len(), 1);
    node.apply(change(vec![])).await.unwrap();
    let directory = node.directory();
    assert_eq!((directory.plugins.len(), directory.sensors.len(), directory.tools.len()), (0, 0, 0));
    assert_eq!(subscriptions(node.bus()), []);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn services_that_hang_at_their_end_do_not_keep_their_parent_from_its_own() {
    let hangs = || Puppet::new().on_teardown(|_| Does::Hangs.act());
    let mut family = Family::default();
    for name in ["a", "b", "c", "d"] {
        family.children.push((name, hangs()));
    }
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let node = node(vec![family.spec()]).await;
    pass(S).await;
    let bus = node.bus().clone();
    let mut states = bus.subscribe::<topics::PluginStateChanged>(&id("ear"), Options::default());
    let began = tokio::time::Instant::now();
    node.stop().await;
    assert!(began.elapsed() < 30 * S, "{:?}", began.elapsed());
    assert_eq!(family.logged(), ["parent up", "parent down"]);
    let mut last = None;
    while let Some(status) = states.take() {
        if status.id == id("parent") {
            last = Some(status.state);
        }
    }
    assert_eq!(last, Some(State::Stopped));
    drop(states);
    assert_eq!(subscriptions(&bus), []);
    pass(S).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_set_up_fails_is_tried_again_and_its_parent_runs() {
    let broken = Puppet::new().on_setup(|_| Does::Fails.act());
    let family = Family { children: vec![("one", broken.clone())], ..Family::default() };
    let node = node(vec![family.spec()]).await;
    pass(10 * S).await;
    assert_eq!(
        (status(&node, "parent").0, status(&node, "parent-one").0),
        (State::Running, State::BackingOff)
    );
    assert!(count(&broken.ran.setups) > 1);
    node.stop().await;
    assert_eq!(count(&broken.ran.teardowns), 0, "what was never set up is not torn down");
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_id_is_anothers_is_not_started_and_told_of() {
    let (own, twin, other) = (Puppet::new(), Puppet::new(), Puppet::new());
    let children = vec![("one", own.clone()), ("two", twin.clone()), ("two", twin.clone())];
    let family = Family { children, ..Family::default() };
    // Starts after the parent: its id was its own all the same.
    let (node, mut errors) = watched(vec![family.spec(), other.spec("parent-one")]).await;
    pass(2 * S).await;
    let ran = |puppet: &Puppet| count(&puppet.ran.setups);
    assert_eq!((ran(&own), ran(&twin), ran(&other)), (0, 1, 1));
    assert_eq!((status(&node, "parent").0, status(&node, "parent-one").0), (State::Running, State::Running));
    assert_eq!(node.directory().plugins["parent-one"].service_of, None);
    let told: Vec<_> = told(&mut errors).into_iter().map(|failure| failure.error).collect();
    let taken = |id| format!("its service `{id}` has the id of another plugin and is not started");
    assert_eq!(told, [taken("parent-one"), taken("parent-two")]);
    // The parent goes, and takes along nothing that is not its own.
    let mut node = node;
    node.apply(change(vec![other.spec("parent-one")])).await.unwrap();
    assert_eq!(node.directory().plugins.keys().map(Id::as_str).collect::<Vec<_>>(), ["parent-one"]);
    drop(errors);
    assert_eq!(subscriptions(node.bus()), [("parent-one".to_owned(), "numbers")]);
    node.stop().await;
}
