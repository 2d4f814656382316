//! What a plugin may count on, wherever it runs: each promise against each home.
//!
//! `SEDGE_GOLDEN=write cargo test -p sedge-conformance` writes the table `PROMISES.md` anew.

mod harness;

#[path = "promises/context.rs"]
mod context;
#[path = "promises/destination.rs"]
mod destination;
#[path = "promises/hooks.rs"]
mod hooks;
#[path = "promises/life.rs"]
mod life;
#[path = "promises/path.rs"]
mod path;
#[path = "promises/readings.rs"]
mod readings;
#[path = "promises/sensor.rs"]
mod sensor;
#[path = "promises/tools.rs"]
mod tools;

use harness::home;
use harness::table::{Row, page};

/// A module of tests for each home.
macro_rules! homes {
    ($promises:tt $($home:ident $is:ident,)*) => {
        $(homes! { @ $promises $home $is })*
    };
    (@ { $($name:ident of $of:ident)* } $home:ident $is:ident) => {
        mod $home {
            $(#[test] fn $name() {
                super::harness::hold(&super::home::$is, super::row(stringify!($name)), super::$of::$name);
            })*
        }
    };
}

/// Makes of the list of promises the table, and a test for each promise and each home.
macro_rules! promises {
    ($($group:literal, $hardware:literal, $of:ident {
        $($name:ident: $title:literal $(, not $home:ident: $why:expr)*;)*
    })*) => {
        const GROUPS: &[(&str, &[Row])] = &[$(($group, &[$(Row {
            name: stringify!($name),
            title: $title,
            hardware: $hardware,
            except: &[$((stringify!($home), $why)),*],
        }),*])),*];

        homes! { { $($($name of $of)*)* }
            in_process InProcess, process_rust ProcessRust, process_python ProcessPython,
            component Component, component_apart ComponentApart,
        }
    };
}

/// Whoever compiles a plugin in has read it.
const TRUSTED: &str = "What is compiled in is trusted: nothing has to be granted.";
/// Nobody can take a thread from who does not give it back.
const THREADS: &str = "What is compiled in shares the threads of the node: nothing ends a loop there.";
/// `plugin.wit` has none.
const FILES: &str = "A component has no files: what it keeps, it keeps under keys.";
/// It gives its tools their names by itself.
const NAMES: &str = "What is compiled in names its own sensors and tools.";

promises! {
    "Life", false, life {
        its_settings_arrive: "Its settings arrive as the config has them.";
        wrong_settings_fail_it_for_good: "Wrong settings: it has failed, says why, and is not tried again.";
        what_it_lacks_skips_it_until_it_is_there: "What it lacks: it is skipped, says why, and comes when it is there.";
        a_set_up_that_fails_is_tried_again: "A set-up that fails is tried again after a pause, and counted.";
        a_set_up_that_breaks_is_tried_again: "A set-up that breaks too.";
        a_set_up_that_hangs_is_ended_and_tried_again: "A set-up that never ends is ended at its deadline, and tried again.";
        it_ticks_as_it_wants_and_never_faster: "It ticks at once and then as often as it wants, never faster.";
        three_failures_in_a_row_restart_it: "A tick that fails shows as degraded; three in a row restart it, after its teardown.";
        one_that_breaks_is_restarted_and_the_others_never_notice: "One that breaks is restarted after a pause; the others never notice.";
        one_that_hangs_is_ended_and_serves_again: "One that hangs is ended, by a restart where it has to be, and serves again.";
        one_that_loops_is_ended_and_the_others_never_notice: "One that loops without end is ended, and serves again; the others never notice.", not in_process: THREADS;
        one_that_hangs_over_what_it_hears_serves_again: "One that hangs over what it hears is ended at the latest when it is called, and serves again.";
        readings_of_others_have_no_hole_while_one_breaks: "While one breaks and is restarted, readings of others go on, without a hole.";
        one_on_demand_is_there_when_it_is_called: "One that is started on demand is listed all the time, there when it is called, and stopped when it was not for a while.";
        the_stop_runs_its_teardown: "The stop of the node runs its teardown.";
        its_states_have_the_words_that_all_plugins_have: "Its states are those of every plugin.";
    }
    "Tools", false, tools {
        a_tool_is_listed_as_it_was_declared: "A tool is listed with the description and the schema that were declared.";
        a_call_is_answered_and_says_who_did_it: "A call is answered, and the outcome says who did it.";
        arguments_are_checked_before_it_sees_them: "Arguments are checked before it sees them; the mistake names the field.";
        an_error_arrives_with_its_code_and_its_data: "An error arrives with its code, its text and its data.";
        how_far_it_is_arrives_before_the_result: "How far a call is arrives in order, before the result.";
        a_call_past_its_limit_is_ended_and_the_next_one_served: "A call past its limit is answered `timeout`, and the next one served.";
        a_caller_that_gives_up_ends_its_call: "A caller that gives up ends its call, and the next one is served.";
        an_unknown_tool_is_answered_with_the_nearest: "A tool that there is not is answered with the nearest name.";
        a_tool_that_breaks_it_is_answered_and_it_comes_back: "A tool that breaks it is answered with an error, stays listed, and answers again after the restart.";
        two_instances_have_tools_of_their_own: "Two instances have tools of their own, each under its id.";
    }
    "Hooks", false, hooks {
        readings_are_heard_in_order: "It hears readings in order, each once.";
        a_step_passes_changes_and_vetoes: "A step before a tool passes, changes or vetoes the call; the veto says whose it is and why.";
        a_step_after_a_tool_changes_and_vetoes: "A step after a tool changes the result or withholds it.";
        steps_run_by_priority_among_those_compiled_in: "Steps run by their priority, among those that are compiled in.";
        a_step_that_fails_breaks_or_hangs_lets_pass: "A step that fails, breaks or hangs is skipped: the call goes on as it was.";
        bytes_of_a_format_that_it_knows_become_a_reading: "Bytes of a format that it knows become a reading; others are left to others.";
        a_failing_observer_is_told_of: "A failure while it hears something is told to all who listen for failures.";
        a_topic_that_is_not_granted_fails_it_for_good: "A topic that it wants and is not granted: it has failed, and says what to write.", not in_process: TRUSTED;
    }
    "Readings", false, readings {
        a_reading_of_its_own_is_numbered_and_delivered: "A reading of its own sensor is numbered and delivered: values, texts, and why one is missing.";
        numbers_have_no_holes_over_a_restart: "Numbers go on without a hole when it is restarted.";
        a_sensor_is_announced_and_withdrawn: "A sensor that it announces is there, one that it withdraws is gone.";
        a_sensor_that_was_not_announced_has_no_readings: "A sensor that was not announced has no readings.";
        the_sensor_of_another_is_left_alone: "The sensor of another plugin is left alone.";
        only_names_of_its_own_are_announced: "It announces sensors of its own id, or that begin with it.", not in_process: NAMES;
        bytes_become_a_reading_by_whoever_knows_them: "Bytes that it submits become a reading by whoever knows their format.";
    }
    "The path of a reading", false, path {
        a_processor_changes_and_holds_back: "A processor changes readings, and holds back what it vetoes.";
        a_validator_marks_and_rejects: "A validator marks readings; what it vetoes is marked as rejected and not lost.";
        it_stands_among_those_compiled_in_by_its_priority: "It stands among those that are compiled in by its priority.";
        a_processor_that_fails_or_breaks_lets_pass: "One that fails or breaks is skipped: the reading goes on as it was.";
    }
    "Sensors", true, sensor {
        it_is_announced_as_it_was_declared_and_measures: "It is announced with place, cadence and fields, and measures them with its settings.";
        it_is_read_as_often_as_its_section_says_and_never_more: "It is read as often as its section says, and never more often.";
        a_read_that_fails_is_a_reading_of_missing_values: "A read that fails gives missing values with the reason, and it recovers.";
        another_chip_is_told_and_the_right_one_found: "Another chip in its place is told by its identity; the right one is found when it is there.";
        it_does_what_it_is_told: "What it can be told to do is a tool, under its id.";
        a_driver_that_breaks_is_opened_again: "A driver that breaks is opened again; other sensors never notice.";
        two_of_a_kind_have_a_device_each: "Two of a kind have a device each.";
    }
    "Context", false, context {
        what_it_keeps_survives_its_restart_and_the_nodes: "What it keeps under a key survives its restart and that of the node, and can be forgotten.";
        a_directory_of_its_own_is_kept: "It has a directory of its own, where that is granted.", not component: FILES, not component_apart: FILES;
        it_has_no_directory_that_was_not_granted: "It has none where that is not granted, and is told what to write.", not in_process: TRUSTED;
        it_calls_a_tool_of_another: "It calls a tool of another plugin.";
        it_calls_no_tool_that_was_not_granted: "It calls none that was not granted, and is told what to write.", not in_process: TRUSTED;
        it_knows_the_newest_reading_of_another: "It knows the newest reading of another sensor.";
        it_asks_over_http: "It asks over HTTP, through the client of the node.";
        it_asks_no_host_that_was_not_granted: "It asks no host that was not granted, and is told what to write.", not in_process: TRUSTED;
        it_sees_the_config_of_the_node: "It sees the config of the node, secrets masked.";
        it_sees_no_config_that_was_not_granted: "It does not where that is not granted.", not in_process: TRUSTED;
        it_sees_the_tools_that_there_are: "It sees the tools that there are.";
        an_event_that_it_raises_is_heard: "An event that it raises is heard.";
        what_is_amiss_shows_and_ends: "What it says is amiss shows in its state, until it says that it is well.";
        its_metrics_stand_under_its_name: "Its metrics stand under its name, and go on after a restart.";
    }
    "Destinations", false, destination {
        every_reading_arrives_in_order: "Every reading arrives, in order, those from before its start too.";
        what_did_not_arrive_comes_again: "What it fails to take comes again, in order; nothing is lost.";
        after_it_broke_nothing_is_lost: "After it broke, what it had not taken comes again, in order; nothing is lost.";
    }
}

fn row(name: &str) -> &'static Row {
    GROUPS.iter().flat_map(|(_, rows)| *rows).find(|row| row.name == name).expect("a promise")
}

#[test]
fn the_table_is_the_one_that_stands_in_the_documentation() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("PROMISES.md");
    let page = page(GROUPS);
    if std::env::var("SEDGE_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(&file, &page).expect("the table");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), page, "SEDGE_GOLDEN=write writes it anew");
}

#[test]
fn no_promise_has_two_tests_of_one_name() {
    let names: Vec<&str> = GROUPS.iter().flat_map(|(_, rows)| *rows).map(|row| row.name).collect();
    let once: std::collections::BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(once.len(), names.len());
}
