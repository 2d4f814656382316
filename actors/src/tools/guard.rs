//! Guards: what the config says about who may call a tool, how often, and under which conditions.
//!
//! The node enforces them itself, innermost, where no plugin can be in the way: a guard that cannot be understood, or
//! whose condition has no value, lets nothing through.
//!
//! ```
//! use sedge_actors::tools::Guard;
//! use sedge_plugin::Id;
//! let guard = Guard {
//!     tools: vec!["pump_*".into()],
//!     allow: vec!["cli".into()],
//!     only_if: Some(sedge_plugin::expr::parse("tank.level > 20").unwrap()),
//!     ..Guard::new(Id::new("dry-tank").unwrap())
//! };
//! assert!(guard.covers("pump_set"));
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use sedge_plugin::expr::Expr;
use sedge_plugin::{Id, Quality, Reading, ToolError, ToolErrorCode, Value, glob};

/// How old the readings of a condition may be, unless told otherwise.
pub const MAX_AGE: Duration = Duration::from_secs(300);

/// One guard.
#[derive(Debug, Clone)]
pub struct Guard {
    /// What it is called in messages.
    pub id: Id,
    /// The tools that it is about, those of other nodes as `node/tool`; `*` stands for anything.
    pub tools: Vec<String>,
    /// Who may call; all, where it is empty. `*` stands for anything.
    pub allow: Vec<String>,
    /// Who may not, whatever `allow` says.
    pub deny: Vec<String>,
    /// The least time between two runs of one tool.
    pub cooldown: Option<Duration>,
    /// So many runs of one tool within that time.
    pub at_most: Option<(u32, Duration)>,
    /// What must hold, over the latest readings.
    pub only_if: Option<Expr>,
    /// How old those readings may be.
    pub max_age: Duration,
    /// Says what would be done, and does not do it.
    pub dry_run: bool,
    /// Why it cannot be understood: then it lets nothing through.
    pub fault: Option<String>,
}

impl Guard {
    /// A guard that is about no tool and forbids nothing.
    pub fn new(id: Id) -> Self {
        Self {
            id,
            tools: Vec::new(),
            allow: Vec::new(),
            deny: Vec::new(),
            cooldown: None,
            at_most: None,
            only_if: None,
            max_age: MAX_AGE,
            dry_run: false,
            fault: None,
        }
    }

    /// Whether it is about a tool.
    pub fn covers(&self, tool: &str) -> bool {
        self.tools.iter().any(|pattern| glob(pattern, tool))
    }

    fn admits(&self, caller: &str) -> Result<(), String> {
        let fit = |patterns: &[String]| patterns.iter().any(|pattern| glob(pattern, caller));
        if let Some(fault) = &self.fault {
            return Err(format!("it is misconfigured, so nothing passes: {fault}"));
        }
        if fit(&self.deny) || !(self.allow.is_empty() || fit(&self.allow)) {
            return Err(format!("`{caller}` may not call this tool"));
        }
        Ok(())
    }
}

/// What a guard needs to know of the node.
pub(crate) trait Around {
    fn now(&self) -> Duration;
    fn latest(&self, sensor: &Id) -> Option<std::sync::Arc<Reading>>;
}

/// What is to be done with a call that passed.
#[derive(Debug, PartialEq)]
pub(crate) enum Admission {
    Run,
    /// Say what would be done.
    DryRun(Id),
}

/// When a tool ran under a guard.
type Runs = HashMap<(Id, String), VecDeque<Duration>>;

/// All guards of a node, with their memory.
#[derive(Default)]
pub(crate) struct Guards {
    guards: Vec<Guard>,
    runs: Mutex<Runs>,
}

impl Guards {
    pub(crate) fn new(guards: Vec<Guard>) -> Self {
        Self { guards, runs: Mutex::default() }
    }

    /// The same guards' memory goes on: a reload is no way around a cooldown.
    pub(crate) fn remembering(self, former: &Self) -> Self {
        let mut runs = former.runs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        runs.retain(|(id, _), _| self.guards.iter().any(|guard| guard.id == *id));
        Self { guards: self.guards, runs: Mutex::new(runs) }
    }

    /// The guards that are about none of these tools: most likely their patterns are misspelt. Tools of other nodes come and
    /// go, so a guard about those is not idle.
    pub(crate) fn idle(&self, tools: &[String]) -> Vec<Id> {
        let far = |guard: &Guard| guard.tools.iter().any(|pattern| pattern.contains('/'));
        let idle = |guard: &&Guard| !far(guard) && !tools.iter().any(|tool| guard.covers(tool));
        self.guards.iter().filter(idle).map(|guard| guard.id.clone()).collect()
    }

    fn about<'a>(&'a self, tool: &'a str) -> impl Iterator<Item = &'a Guard> {
        self.guards.iter().filter(|guard| guard.covers(tool))
    }

    /// Whether a caller may call at all.
    pub(crate) fn admit_caller(&self, tool: &str, caller: &str) -> Result<(), ToolError> {
        self.about(tool).try_for_each(|guard| guard.admits(caller).map_err(|why| denied(guard, &why)))
    }

    /// Whether a tool may run now. One that may is counted as having run.
    pub(crate) fn admit_run(&self, tool: &str, around: &dyn Around) -> Result<Admission, ToolError> {
        let now = around.now();
        for guard in self.about(tool) {
            holds(guard, around).map_err(|why| denied(guard, &why))?;
        }
        if let Some(guard) = self.about(tool).find(|guard| guard.dry_run) {
            return Ok(Admission::DryRun(guard.id.clone()));
        }
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        for guard in self.about(tool) {
            let before = runs.entry((guard.id.clone(), tool.to_owned())).or_default();
            rested(guard, before, now).map_err(|why| denied(guard, &why))?;
        }
        for guard in self.about(tool) {
            let before = runs.entry((guard.id.clone(), tool.to_owned())).or_default();
            let most = guard.at_most.map_or(1, |(most, _)| most as usize).max(1);
            while before.len() >= most {
                before.pop_front();
            }
            before.push_back(now);
        }
        Ok(Admission::Run)
    }
}

fn denied(guard: &Guard, why: &str) -> ToolError {
    ToolError::new(ToolErrorCode::Denied, format!("guard `{}`: {why}", guard.id))
}

/// Whether a guard's condition holds. One without a value does not.
fn holds(guard: &Guard, around: &dyn Around) -> Result<(), String> {
    let Some(condition) = &guard.only_if else { return Ok(()) };
    let now = around.now();
    let lookup = |input: &sedge_plugin::expr::Input| {
        let reading = around.latest(input.sensor.as_ref()?)?;
        let age = now.saturating_sub(Duration::from_millis(reading.taken.up_ms));
        let sample = reading.frame.samples.iter().find(|sample| sample.field == input.field.as_str())?;
        let good = age <= guard.max_age && !matches!(sample.quality, Quality::Rejected | Quality::Stale);
        sample.value.clone().ok().filter(|_| good)
    };
    match condition.eval(&lookup) {
        Ok(Value::Bool(true)) => Ok(()),
        Ok(Value::Bool(false)) => Err(format!("only if {condition}, which is not so")),
        Ok(_) => Err(format!("only if {condition}, which is no condition")),
        Err(error) => Err(format!("only if {condition}, which nobody can tell now: {error}")),
    }
}

fn rested(guard: &Guard, runs: &VecDeque<Duration>, now: Duration) -> Result<(), String> {
    let left = |since: Duration, pause: Duration| pause.saturating_sub(now.saturating_sub(since));
    if let (Some(cooldown), Some(&last)) = (guard.cooldown, runs.back()) {
        let left = left(last, cooldown);
        if !left.is_zero() {
            return Err(format!("it ran a moment ago; again in {}", shown(left)));
        }
    }
    if let Some((most, per)) = guard.at_most {
        let within = runs.iter().filter(|&&run| now.saturating_sub(run) < per).count();
        if within >= most as usize {
            let left = runs.iter().find(|&&run| now.saturating_sub(run) < per).map(|&run| left(run, per));
            let left = shown(left.unwrap_or(per));
            return Err(format!("it ran {most} times within {}; again in {left}", shown(per)));
        }
    }
    Ok(())
}

fn shown(time: Duration) -> String {
    // Up to the next second: what is told to wait for has passed then.
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    sedge_plugin::Every(Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use sedge_plugin::{Boot, Frame, Taken};

    use super::*;

    struct Tank {
        now: Cell<u64>,
        level: Option<f64>,
    }

    impl Around for Tank {
        fn now(&self) -> Duration {
            Duration::from_secs(self.now.get())
        }
        fn latest(&self, sensor: &Id) -> Option<Arc<Reading>> {
            let mut frame = Frame::default();
            frame.push("level", self.level.filter(|_| sensor.as_str() == "tank")?);
            let taken = Taken { up_ms: 0, wall_ms: None };
            Some(Arc::new(Reading {
                sensor: sensor.clone(),
                boot: Boot(1),
                seq: 1,
                taken,
                frame,
                origin: None,
            }))
        }
    }

    fn guard() -> Guard {
        Guard { tools: vec!["pump_*".into()], ..Guard::new(Id::new("g").unwrap()) }
    }

    fn why(result: Result<Admission, ToolError>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::Denied);
        error.message
    }

    fn tool() -> &'static str {
        "pump_set"
    }

    #[test]
    fn who_is_denied_stays_out_and_who_is_not_allowed_too() {
        let guards = |allow: &[&str], deny: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
            Guards::new(vec![Guard { allow: owned(allow), deny: owned(deny), ..guard() }])
        };
        assert!(guards(&[], &[]).admit_caller(tool(), "anyone").is_ok());
        assert!(guards(&["node:*"], &[]).admit_caller(tool(), "node:attic").is_ok());
        assert!(guards(&["node:*"], &[]).admit_caller(tool(), "cli").is_err());
        assert!(guards(&["*"], &["node:attic"]).admit_caller(tool(), "node:attic").is_err());
        assert!(guards(&[], &["*"]).admit_caller("lamp_set", "anyone").is_ok(), "it is about pumps");
    }

    #[test]
    fn after_a_run_it_rests_and_within_a_time_it_runs_so_often() {
        let tank = Tank { now: Cell::new(100), level: None };
        let (cooldown, at_most) = (Some(Duration::from_secs(10)), Some((2, Duration::from_secs(60))));
        let guards = Guards::new(vec![Guard { cooldown, at_most, ..guard() }]);
        assert_eq!(guards.admit_run(tool(), &tank), Ok(Admission::Run));
        tank.now.set(105);
        assert_eq!(why(guards.admit_run(tool(), &tank)), "guard `g`: it ran a moment ago; again in 5s");
        tank.now.set(110);
        assert_eq!(guards.admit_run(tool(), &tank), Ok(Admission::Run), "what was denied does not count");
        tank.now.set(130);
        assert_eq!(why(guards.admit_run(tool(), &tank)), "guard `g`: it ran 2 times within 1m; again in 30s");
        tank.now.set(160);
        assert_eq!(guards.admit_run(tool(), &tank), Ok(Admission::Run));
    }

    #[test]
    fn a_reload_is_no_way_around_a_cooldown() {
        let tank = Tank { now: Cell::new(100), level: None };
        let with = |id: &str| {
            let cooldown = Some(Duration::from_secs(10));
            Guards::new(vec![Guard { cooldown, id: Id::new(id).unwrap(), ..guard() }])
        };
        let guards = with("g");
        assert_eq!(guards.admit_run(tool(), &tank), Ok(Admission::Run));
        assert!(with("g").remembering(&guards).admit_run(tool(), &tank).is_err());
        assert!(with("another").remembering(&guards).admit_run(tool(), &tank).is_ok());
    }

    #[test]
    fn a_condition_that_does_not_hold_or_that_nobody_can_tell_lets_nothing_through() {
        let only_if = sedge_plugin::expr::parse("tank.level > 20").ok();
        let guards = Guards::new(vec![Guard { only_if, ..guard() }]);
        let mut tank = Tank { now: Cell::new(100), level: Some(21.0) };
        assert_eq!(guards.admit_run(tool(), &tank), Ok(Admission::Run));
        tank.now.set(301);
        assert!(why(guards.admit_run(tool(), &tank)).contains("nobody can tell"), "the reading is too old");
        tank = Tank { now: Cell::new(1), level: Some(20.0) };
        assert_eq!(
            why(guards.admit_run(tool(), &tank)),
            "guard `g`: only if tank.level > 20, which is not so"
        );
        tank.level = None;
        assert!(guards.admit_run(tool(), &tank).is_err());
    }

    #[test]
    fn a_guard_with_a_mistake_lets_nothing_through() {
        let guards = Guards::new(vec![Guard { fault: Some("`per` is missing".into()), ..guard() }]);
        assert!(guards.admit_caller(tool(), "cli").unwrap_err().message.contains("`per` is missing"));
    }

    #[test]
    fn a_dry_run_says_so_and_does_not_count() {
        let tank = Tank { now: Cell::new(1), level: None };
        let guards = Guards::new(vec![Guard { dry_run: true, cooldown: Some(MAX_AGE), ..guard() }]);
        for _ in 0..2 {
            assert!(matches!(guards.admit_run(tool(), &tank), Ok(Admission::DryRun(_))));
        }
    }
}
