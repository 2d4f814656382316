//! Plugins from outside: a component on a real bus, and a process within the bounds of a real cgroup.
//!
//! The process is `guest/plugins/hungry`: 16 MiB of memory, a quarter of a core. It does what it should not, to order.

use serde_json::json;

use super::{LATER, SOON, Stage, has_value};
use crate::prove::Outcome;

/// Where its cgroup is; the number is the node's.
const GROUP: &str = "/sys/fs/cgroup/sedge.service/sedge-$(cat /run/sedge.pid)-hungry";
/// What it may take of each period of the kernel's, in microseconds.
const QUOTA: u64 = 25_000;
/// How often it must have been held before its usage is looked at.
const HELD: u64 = 10;
/// What it starts within its process group, and in a session of its own.
const INSIDE: &str = "sleep 70001";
const OUTSIDE: &str = "sleep 70002";

/// How often it is looked whether a process is there, or gone, and what the guest does in between.
const LOOKS: usize = 20;
const PAUSE: &str = "usleep 500000";

/// Looks at all of them.
pub fn look(stage: &mut Stage) {
    stage.promise("a component reads a chip on a real bus", |stage| {
        let seen = stage.reading("sandboxed", LATER, has_value)?;
        Ok(format!("{seen}, {}", isolation(stage, "wasm-bme280", "WebAssembly, compiled")?))
    });
    stage.promise("what bounds a process is shown", |stage| {
        isolation(stage, "hungry", "16 MiB by cgroup, 0.25 CPU by cgroup")
    });
    stage.promise("one that wants more memory than it may is ended, told of, and started again", eats);
    stage.promise("one that never rests has its share and no more", spins);
    stage.promise("nothing is left of one that is switched off, not even in a session of its own", |stage| {
        leaves(stage)?;
        stage.guest.run("sedge plugin disable hungry -c /etc/node.toml")?;
        gone(stage, &["main.sh", INSIDE, OUTSIDE])?;
        stage.guest.run("sedge plugin enable hungry -c /etc/node.toml")?;
        running(stage)
    });
    stage.promise("nothing is left of it when the node is killed, and started again", killed);
}

/// What `sedge plugin info` says of it.
fn isolation(stage: &mut Stage, kind: &str, wanted: &str) -> Outcome {
    let told = stage.guest.run(&format!("sedge plugin info {kind} -c /etc/node.toml"))?;
    let line = told.lines().find_map(|line| line.trim().strip_prefix("isolation: "));
    match line {
        Some(line) if line.contains(wanted) => Ok(line.to_owned()),
        _ => Err(format!("no `{wanted}` in: {told}")),
    }
}

fn running(stage: &mut Stage) -> Outcome {
    let found = stage.watch.until(LATER, |heard| {
        matches!(heard.state("hungry"), Some(("running", _))).then(|| "it runs again".to_owned())
    });
    found.map_err(|why| format!("{why}: it is {:?}", stage.watch.heard.state("hungry")))
}

fn eats(stage: &mut Stage) -> Outcome {
    running(stage)?;
    stage.watch.send("hungry_eat", &json!({}))?;
    let told = stage.amiss("hungry", SOON, &["wanted more memory than 16 MiB"])?;
    let result = stage.watch.until(SOON, |heard| heard.results.get("hungry_eat").cloned())?;
    if result["ok"] != false {
        return Err(format!("{told}, but: {result}"));
    }
    running(stage)?;
    Ok(told)
}

fn spins(stage: &mut Stage) -> Outcome {
    let most = stage.guest.run(&format!("cat {GROUP}/cpu.max"))?;
    if most.trim() != format!("{QUOTA} 100000") {
        return Err(format!("cpu.max is {most}"));
    }
    let before = cpu(stage)?;
    stage.watch.call("hungry_spin", &json!({}), SOON)?;
    let mut now = before;
    for _ in 0..60 {
        now = cpu(stage)?;
        if now.throttled >= before.throttled + HELD {
            break;
        }
        next_reading(stage)?;
    }
    stage.guest.run("killall yes")?;
    let [used, periods, held] =
        [now.usage - before.usage, now.periods - before.periods, now.throttled - before.throttled];
    let seen = format!("{used} µs in {periods} periods, held in {held} of them");
    // The kernel gives its share out in slices, and may be a few milliseconds late to take one back.
    let most = QUOTA * (periods + 1) * 3 / 2;
    if held >= HELD && used <= most { Ok(seen) } else { Err(format!("{seen}; {most} µs is the most")) }
}

#[derive(Clone, Copy)]
struct Cpu {
    usage: u64,
    periods: u64,
    throttled: u64,
}

fn cpu(stage: &mut Stage) -> Result<Cpu, String> {
    let stat = stage.guest.run(&format!("cat {GROUP}/cpu.stat"))?;
    let of = |word: &str| {
        let value = stat.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
        value.ok_or_else(|| format!("no {word} in: {stat}"))
    };
    Ok(Cpu { usage: of("usage_usec ")?, periods: of("nr_periods ")?, throttled: of("nr_throttled ")? })
}

/// Something to wait for where there is nothing to listen to.
fn next_reading(stage: &mut Stage) -> Result<(), String> {
    stage.watch.catch_up()?;
    let since = stage.watch.heard.count("board");
    stage.watch.until(SOON, |heard| (heard.count("board") > since).then_some(()))
}

/// It starts what is to be looked for; both are there.
fn leaves(stage: &mut Stage) -> Result<(), String> {
    stage.watch.call("hungry_leave", &json!({}), SOON)?;
    // It answers when it has forked, and they show their names when they have begun.
    for _ in 0..LOOKS {
        let there = processes(stage, &[INSIDE, OUTSIDE])?;
        if there.contains(INSIDE) && there.contains(OUTSIDE) {
            return Ok(());
        }
        stage.guest.run(PAUSE)?;
    }
    Err(format!("of {INSIDE} and {OUTSIDE} there is: {}", processes(stage, &[INSIDE, OUTSIDE])?))
}

fn processes(stage: &mut Stage, words: &[&str]) -> Result<String, String> {
    // Neither the search itself, nor the shell that was told to search.
    let all = stage.guest.run("ps -o pid,stat,args")?;
    let fits = |line: &&str| words.iter().any(|word| line.ends_with(word)) && !line.contains(" Z ");
    Ok(all.lines().filter(fits).collect::<Vec<_>>().join("\n"))
}

fn gone(stage: &mut Stage, words: &[&str]) -> Outcome {
    for _ in 0..LOOKS {
        if processes(stage, words)?.is_empty() {
            return Ok(format!("no {}", words.join(", no ")));
        }
        stage.guest.run(PAUSE)?;
    }
    Err(format!("there is still: {}", processes(stage, words)?))
}

/// What is in its group goes with the node. What has left it is found by the next one, as it would be by systemd.
fn killed(stage: &mut Stage) -> Outcome {
    leaves(stage)?;
    stage.guest.run("kill -9 $(cat /run/sedge.pid)")?;
    let first = gone(stage, &["main.sh", INSIDE])?;
    stage.guest.run("setsid sh /run/start < /dev/null > /dev/console 2>&1 &")?;
    stage.watch.back(LATER)?;
    running(stage)?;
    let second = gone(stage, &[INSIDE, OUTSIDE])?;
    Ok(format!("{first}; then {second}"))
}
