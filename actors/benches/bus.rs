//! What the bus costs beside other ways to do the same: `cargo bench -p sedge-actors`.
//!
//! Every variant delivers the same 100-byte readings, each subscriber in a task of its own, nothing lost. All variants
//! run in one process, in turn, round after round; a ratio is the median of the rounds' ratios to the baseline of the
//! same round. On one thread the time that passed counts, on two the CPU time of both: what a delivery costs the board.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kameo::Actor;
use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context as KameoContext, Message};
use kameo_actors::DeliveryStrategy;
use kameo_actors::pubsub::PubSub;
use sedge_actors::{Bus, Node, PluginSpec, TokioClock, node_info};
use sedge_plugin::prelude::*;
use sedge_plugin::topic::{Chain, Observe};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{broadcast, mpsc};

const DELIVERIES: usize = 256_000;
const CAPACITY: usize = 256;
const ROUNDS: usize = 11;
const FAN_OUTS: [usize; 3] = [1, 8, 64];

/// A hundred bytes without heap fields.
#[derive(Debug, Clone, Copy)]
struct Hundred {
    seq: u32,
    values: [f64; 12],
}

impl Hundred {
    fn new(seq: usize) -> Self {
        Self { seq: seq as u32, values: [21.5; 12] }
    }

    fn weigh(&self) {
        black_box((self.seq, self.values[0]));
    }
}

struct Readings;
impl Topic for Readings {
    type Message = Hundred;
    type Answer = ();
    type Kind = Observe;
    const NAME: &'static str = "readings";
    const DOC: &'static str = "Fired by a benchmark.";
}

type Run = Pin<Box<dyn Future<Output = ()>>>;
type Variant = (&'static str, fn(usize) -> Run);

const VARIANTS: &[Variant] = &[
    ("tokio mpsc, bounded (baseline)", |n| Box::pin(tokio_mpsc(n))),
    ("tokio mpsc, by value", |n| Box::pin(tokio_mpsc_by_value(n))),
    ("tokio broadcast", |n| Box::pin(tokio_broadcast(n))),
    ("kameo tell", |n| Box::pin(kameo_tell(n))),
    ("kameo_actors PubSub", |n| Box::pin(kameo_pubsub(n))),
    ("sedge observe", |n| Box::pin(sedge_observe(n, Overflow::Wait))),
    ("sedge observe, drop-oldest", |n| Box::pin(sedge_observe(n, Overflow::DropOldest))),
    ("sedge observe, into a plugin", |n| Box::pin(sedge_plugin_observe(n))),
];

async fn tokio_mpsc(subscribers: usize) {
    let mut senders = Vec::new();
    let mut tasks = Vec::new();
    for _ in 0..subscribers {
        let (sender, mut receiver) = mpsc::channel::<Arc<Hundred>>(CAPACITY);
        senders.push(sender);
        tasks.push(tokio::spawn(async move {
            while let Some(reading) = receiver.recv().await {
                reading.weigh();
            }
        }));
    }
    tokio::spawn(async move {
        for seq in 0..DELIVERIES / subscribers {
            let reading = Arc::new(Hundred::new(seq));
            for sender in &senders {
                sender.send(reading.clone()).await.unwrap();
            }
        }
    })
    .await
    .unwrap();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn tokio_mpsc_by_value(subscribers: usize) {
    let mut senders = Vec::new();
    let mut tasks = Vec::new();
    for _ in 0..subscribers {
        let (sender, mut receiver) = mpsc::channel::<Hundred>(CAPACITY);
        senders.push(sender);
        tasks.push(tokio::spawn(async move {
            while let Some(reading) = receiver.recv().await {
                reading.weigh();
            }
        }));
    }
    tokio::spawn(async move {
        for seq in 0..DELIVERIES / subscribers {
            let reading = Hundred::new(seq);
            for sender in &senders {
                sender.send(reading).await.unwrap();
            }
        }
    })
    .await
    .unwrap();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Broadcast never waits for a slow receiver: the sender keeps itself within a window so that nothing is lost.
async fn tokio_broadcast(subscribers: usize) {
    let (sender, _) = broadcast::channel::<Arc<Hundred>>(CAPACITY);
    let mut tasks = Vec::new();
    for _ in 0..subscribers {
        let mut receiver = sender.subscribe();
        tasks.push(tokio::spawn(async move {
            let mut heard = 0;
            while heard < DELIVERIES / subscribers {
                receiver.recv().await.unwrap().weigh();
                heard += 1;
            }
        }));
    }
    tokio::spawn(async move {
        for seq in 0..DELIVERIES / subscribers {
            while sender.len() >= CAPACITY {
                tokio::task::yield_now().await;
            }
            sender.send(Arc::new(Hundred::new(seq))).unwrap();
        }
    })
    .await
    .unwrap();
    for task in tasks {
        task.await.unwrap();
    }
}

struct Ear {
    left: usize,
}

impl Actor for Ear {
    type Args = usize;
    type Error = std::convert::Infallible;
    async fn on_start(left: usize, _: ActorRef<Self>) -> Result<Self, Self::Error> {
        Ok(Self { left })
    }
}

impl Message<Arc<Hundred>> for Ear {
    type Reply = ();
    async fn handle(&mut self, reading: Arc<Hundred>, ctx: &mut KameoContext<Self, ()>) {
        reading.weigh();
        self.left -= 1;
        if self.left == 0 {
            ctx.stop();
        }
    }
}

fn ears(subscribers: usize) -> Vec<ActorRef<Ear>> {
    let spawn = |_| Ear::spawn_with_mailbox(DELIVERIES / subscribers, mailbox::bounded(CAPACITY));
    (0..subscribers).map(spawn).collect()
}

async fn kameo_tell(subscribers: usize) {
    let ears = ears(subscribers);
    let told = ears.clone();
    tokio::spawn(async move {
        for seq in 0..DELIVERIES / subscribers {
            let reading = Arc::new(Hundred::new(seq));
            for ear in &told {
                ear.tell(reading.clone()).send().await.unwrap();
            }
        }
    })
    .await
    .unwrap();
    for ear in ears {
        ear.wait_for_shutdown().await;
    }
}

async fn kameo_pubsub(subscribers: usize) {
    let ears = ears(subscribers);
    let mut pubsub = PubSub::<Arc<Hundred>>::new(DeliveryStrategy::Guaranteed);
    ears.iter().for_each(|ear| pubsub.subscribe(ear.clone()));
    tokio::spawn(async move {
        for seq in 0..DELIVERIES / subscribers {
            pubsub.publish(Arc::new(Hundred::new(seq))).await;
        }
    })
    .await
    .unwrap();
    for ear in ears {
        ear.wait_for_shutdown().await;
    }
}

async fn sedge_observe(subscribers: usize, overflow: Overflow) {
    let bus = Bus::default();
    let me = Id::new("bench").unwrap();
    let mut tasks = Vec::new();
    for _ in 0..subscribers {
        let options = Options { capacity: CAPACITY, overflow, ..Options::default() };
        let mut subscription = bus.subscribe::<Readings>(&me, options);
        tasks.push(tokio::spawn(async move {
            for _ in 0..DELIVERIES / subscribers {
                subscription.next().await.weigh();
            }
            assert_eq!(subscription.dropped(), 0);
        }));
    }
    tokio::spawn(async move {
        for seq in 0..DELIVERIES / subscribers {
            bus.publish::<Readings>(Hundred::new(seq)).await;
            // A publisher that does not wait for its subscribers keeps itself within a window, as with broadcast.
            if overflow == Overflow::DropOldest && seq % CAPACITY == CAPACITY - 1 {
                while !drained(&bus) {
                    tokio::task::yield_now().await;
                }
            }
        }
    })
    .await
    .unwrap();
    for task in tasks {
        task.await.unwrap();
    }
}

fn drained(bus: &Bus) -> bool {
    bus.waiting::<Readings>() == 0
}

/// Hears readings as a plugin does: through its actor and its handler.
struct Listener {
    left: usize,
    done: mpsc::Sender<()>,
}

impl Plugin for Listener {
    type Args = (usize, mpsc::Sender<()>);
    const MANIFEST: Manifest = Manifest::new("listener", "1.0.0", "Hears readings.");
    async fn setup(args: &Self::Args, _: Context) -> Result<Self, PluginError> {
        Ok(Self { left: args.0, done: args.1.clone() })
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        hooks.observe::<Readings>(Options {
            capacity: CAPACITY,
            overflow: Overflow::Wait,
            ..Options::default()
        });
    }
}

impl Observer<Readings> for Listener {
    async fn observe(&mut self, reading: Arc<Hundred>) -> Result<(), PluginError> {
        reading.weigh();
        self.left -= 1;
        if self.left == 0 {
            let _ = self.done.send(()).await;
        }
        Ok(())
    }
}

async fn sedge_plugin_observe(subscribers: usize) {
    let (done, mut is_done) = mpsc::channel(subscribers);
    let spec = |n| {
        let id = Id::new(&format!("listener-{n}")).unwrap();
        PluginSpec::new::<Listener>(id, (DELIVERIES / subscribers, done.clone()))
    };
    let specs = (0..subscribers).map(spec).collect();
    let node = Node::new(node_info("bench"), Arc::new(TokioClock::default())).start(specs).await;
    let bus = node.bus().clone();
    tokio::spawn(async move {
        for seq in 0..DELIVERIES / subscribers {
            bus.publish::<Readings>(Hundred::new(seq)).await;
        }
    })
    .await
    .unwrap();
    for _ in 0..subscribers {
        is_done.recv().await;
    }
    node.stop().await;
}

/// Time that passed since the first call.
fn wall() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// CPU time of all threads of this process; the kernel counts it in steps of some milliseconds.
fn cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn fan_out(name: &str, runtime: &Runtime, clock: fn() -> Duration) {
    println!("\n{name}: time per delivery, ratio to the baseline");
    println!("{:<34}{:>9}{:>12}{:>9}", "variant", "fan-out", "ns", "ratio");
    for subscribers in FAN_OUTS {
        let mut spent = vec![Vec::new(); VARIANTS.len()];
        for round in 0..=ROUNDS {
            for (variant, spent) in VARIANTS.iter().zip(&mut spent) {
                let before = clock();
                runtime.block_on(variant.1(subscribers));
                let nanos = (clock() - before).as_nanos() as f64 / DELIVERIES as f64;
                if round > 0 {
                    spent.push(nanos); // The first round warms up.
                }
            }
        }
        for (variant, nanos) in VARIANTS.iter().zip(&spent) {
            let ratios = nanos.iter().zip(&spent[0]).map(|(own, base)| own / base).collect();
            let (nanos, ratio) = (median(nanos.clone()), format!("{:.2}x", median(ratios)));
            println!("{:<34}{subscribers:>9}{nanos:>12.0}{ratio:>9}", variant.0);
        }
    }
}

struct Steps;
impl Topic for Steps {
    type Message = Hundred;
    type Answer = ();
    type Kind = Chain;
    const NAME: &'static str = "steps";
    const DOC: &'static str = "Fired by a benchmark.";
}

fn add_one(reading: &Hundred) -> Hundred {
    let mut next = *reading;
    next.values[0] += 1.0;
    next
}

/// Five steps of a chain, none with a state of its own.
struct FiveSteps;
impl Plugin for FiveSteps {
    type Args = ();
    const MANIFEST: Manifest = Manifest::new("five-steps", "1.0.0", "Adds one, five times.");
    async fn setup(_: &(), _: Context) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn hooks(hooks: &mut impl Hooks<Self>, _: &Self::Args, _: &Context) {
        for priority in 0..5 {
            hooks.inline::<Steps>(Options::priority(priority), |reading| Ok(Step::Replace(add_one(reading))));
        }
    }
}

/// A chain of five inline steps beside five calls of the same function.
fn chain(runtime: &Runtime) {
    const TIMES: usize = 200_000;
    let call: fn(&Hundred) -> Hundred = add_one;
    runtime.block_on(async {
        let specs = vec![PluginSpec::new::<FiveSteps>(Id::new("five").unwrap(), ())];
        let node = Node::new(node_info("bench"), Arc::new(TokioClock::default())).start(specs).await;
        let (mut calls, mut steps) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let began = Instant::now();
            for seq in 0..TIMES {
                let mut reading = Hundred::new(seq);
                for _ in 0..5 {
                    reading = black_box(call)(&reading);
                }
                reading.weigh();
            }
            calls.push(began.elapsed().as_nanos() as f64 / (TIMES * 5) as f64);
            let began = Instant::now();
            for seq in 0..TIMES {
                let Chained::Passed(reading) = node.bus().chain::<Steps>(Hundred::new(seq)).await else {
                    return;
                };
                reading.weigh();
            }
            steps.push(began.elapsed().as_nanos() as f64 / (TIMES * 5) as f64);
        }
        node.stop().await;
        let ratios = steps.iter().zip(&calls).map(|(step, call)| step / call).collect();
        println!("\na chain of five inline steps: time per step, ratio to a plain call");
        println!("{:<34}{:>12.1} ns{:>9}", "plain function call (baseline)", median(calls), "1.00x");
        println!(
            "{:<34}{:>12.1} ns{:>9}",
            "sedge inline step",
            median(steps),
            format!("{:.2}x", median(ratios))
        );
    });
}

fn main() {
    let current = Builder::new_current_thread().enable_time().build().unwrap();
    let multi = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    fan_out("one thread", &current, wall);
    fan_out("two threads", &multi, cpu);
    chain(&current);
}
