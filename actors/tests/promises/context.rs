//! What a plugin gets: its view of the node, its numbers, how far a call is.

use std::sync::{Arc, Mutex};

use sedge_actors::Surroundings;
use sedge_plugin::http::{HttpClient, HttpError, Request, Response};
use sedge_plugin::metrics::Metric;
use sedge_plugin::prelude::*;
use sedge_plugin::tool::Update;
use sedge_plugin::{BoxFuture, MASK};
use serde_json::json;

use super::puppet::{Puppet, S, call, node, pass, unstarted};
use super::support::{Numbers, id};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_plugin_sees_the_config_as_it_was_given_masked() {
    let config = json!({ "mqtt": { "password": MASK, "host": "broker" } });
    let around = Surroundings { config: Arc::new(config.clone()), ..Surroundings::default() };
    let looks = Puppet::new().tool("look").on_call(|ctx, _| async move { Ok((*ctx.config()).clone()) });
    let node = unstarted(around).0.start(vec![looks.spec("p")]).await;
    assert_eq!(node.call(call("look", json!({}))).await.result, Ok(config));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_metrics_of_a_plugin_stand_under_its_name_and_go_on_after_a_restart() {
    let counts = Puppet::new().on_hear(|ctx, n| async move {
        ctx.counter(name("heard"), "Numbers heard.").unwrap().inc();
        ctx.gauge(name("last"), "The last one.").unwrap().set(n as f64);
        ctx.histogram(name("seconds"), "How long it took.").unwrap().observe(0.02);
        assert!(ctx.gauge(name("heard"), "Another type.").is_err());
        assert!(n != 7, "start me anew");
        Ok(())
    });
    let node = node(vec![counts.spec("one"), Puppet::new().spec("two")]).await;
    for n in [3, 7, 4] {
        node.bus().publish::<Numbers>(n).await;
        pass(5 * S).await;
    }
    assert_eq!(node.directory().plugins["one"].restarts, 1);
    let own: Vec<_> = node.metrics().into_iter().filter(|m| m.plugin == id("one")).collect();
    assert_eq!(own.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["heard", "last", "seconds"]);
    assert_eq!((&own[0].metric, &own[1].metric), (&Metric::Counter(3), &Metric::Gauge(4.0)));
    assert!(matches!(own[2].metric, Metric::Histogram { count: 3, .. }));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_tools_are_counted_under_the_nodes_name() {
    let node = node(vec![Puppet::new().tool("one").spec("p")]).await;
    node.call(call("one", json!({}))).await.result.unwrap();
    node.call(call("two", json!({}))).await.result.unwrap_err();
    let own: Vec<_> = node.metrics().into_iter().filter(|m| m.plugin == id("node")).collect();
    let of = |name: &str| own.iter().find(|m| m.name.as_str() == name).map(|m| m.metric.clone());
    assert_eq!((of("tool_calls"), of("tool_failures")), (Some(Metric::Counter(2)), Some(Metric::Counter(1))));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_reads_the_newest_reading_of_another() {
    let tank = Puppet::new().sensor().on_hear(|ctx, n| async move {
        let mut frame = Frame::default();
        frame.push("level", n as f64);
        ctx.submit(ctx.id(), frame).await
    });
    let reads = Puppet::new().tool("read").on_call(|ctx, _| async move {
        let level = |reading: Arc<Reading>| json!([reading.seq, reading.frame.samples[0].number()]);
        Ok(ctx.latest(&id("tank")).map(level).into())
    });
    let node = node(vec![reads.spec("reads"), tank.spec("tank")]).await;
    let read = async || node.call(call("read", json!({}))).await.result.unwrap();
    assert_eq!(read().await, json!(null), "before its first");
    for n in [4, 5] {
        node.bus().publish::<Numbers>(n).await;
        pass(S).await;
    }
    assert_eq!(read().await, json!([2, 5.0]));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_progress_is_told_once_the_result_is_there() {
    let heard = Arc::new(Mutex::new(0));
    let hears = heard.clone();
    let leaves = Puppet::new().tool("rinse").on_call(|ctx, call| async move {
        let later = ctx.clone();
        ctx.spawn(async move {
            later.sleep(S).await;
            call.progress.report(0.5, "too late");
        });
        Ok(json!("clean"))
    });
    let node = node(vec![leaves.spec("leaves")]).await;
    let progress = Progress::to(move |_| *hears.lock().unwrap() += 1);
    let outcome = node.call(ToolCall { progress, ..call("rinse", json!({})) }).await;
    assert!(outcome.result.is_ok());
    tokio::time::sleep(S * 2).await;
    assert_eq!(*heard.lock().unwrap(), 0);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn how_far_a_call_is_reaches_its_caller_in_order_and_before_the_result() {
    let rinses = Puppet::new().tool("rinse").on_call(|ctx, call| async move {
        for step in 1..=3_u32 {
            ctx.sleep(S).await;
            call.progress.report(f64::from(step) / 3.0, format!("step {step}"));
        }
        call.progress.say("drying");
        call.progress.report(f64::NAN, "lost count");
        call.progress.report(7.0, "done");
        Ok(json!("clean"))
    });
    // Another plugin calls, and listens.
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let calls = Puppet::new().tool("wash").on_call(move |ctx, _| {
        let (hears, later) = (hears.clone(), hears.clone());
        async move {
            let progress = Progress::to(move |update: Update| {
                hears.lock().unwrap().push((update.fraction, update.text))
            });
            let outcome = ctx.call(ToolCall { progress, ..call("rinse", json!({})) }).await;
            later.lock().unwrap().push((None, "answered".into()));
            outcome.result
        }
    });
    let node = node(vec![rinses.spec("rinses"), calls.spec("calls")]).await;
    assert_eq!(node.call(call("wash", json!({}))).await.result, Ok(json!("clean")));
    let third = |n: f64| Some(n / 3.0);
    let expected = [
        (third(1.0), "step 1"),
        (third(2.0), "step 2"),
        (third(3.0), "step 3"),
        (None, "drying"),
        (None, "lost count"),
        (Some(1.0), "done"),
        (None, "answered"),
    ];
    assert_eq!(*heard.lock().unwrap(), expected.map(|(fraction, text)| (fraction, text.to_owned())));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_outcome_says_who_did_it_and_how_long_it_took() {
    let slow = Puppet::new().tool("slow").on_call(|ctx, _| async move {
        ctx.sleep(3 * S).await;
        Ok(json!(null))
    });
    let node = node(vec![slow.spec("p")]).await;
    let outcome = node.call(ToolCall { id: "42".into(), ..call("slow", json!({})) }).await;
    assert_eq!((outcome.id.as_str(), outcome.tool.as_str(), outcome.by), ("42", "slow", Some(id("p"))));
    assert_eq!(outcome.took, 3 * S, "by the node's clock");
    let outcome = node.call(call("none", json!({}))).await;
    assert_eq!((outcome.by, outcome.result.unwrap_err().code), (None, ToolErrorCode::NotFound));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_asks_who_runs() {
    let asks = Puppet::new().tool("who").on_call(|ctx, call| async move {
        let directory = ctx.directory();
        let who = call.args["who"].as_str().unwrap();
        Ok(json!([directory.is_active(who), directory.plugin(who).map(|status| status.state.word())]))
    });
    let degraded = Puppet::new().on_setup(|ctx| async move {
        ctx.degraded(Some("half a wire".into()));
        Ok(())
    });
    let broken = Puppet::new().on_setup(|_| async { Err(PluginError::failed("no")) });
    let node = node(vec![asks.spec("asks"), degraded.spec("half"), broken.spec("broken")]).await;
    for (who, expected) in [
        ("asks", json!([true, "running"])),
        ("half", json!([true, "degraded"])),
        ("broken", json!([false, "backing_off"])),
        ("nobody", json!([false, null])),
    ] {
        assert_eq!(node.call(call("who", json!({ "who": who }))).await.result, Ok(expected), "{who}");
    }
    node.stop().await;
}

struct Echo;
impl HttpClient for Echo {
    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, HttpError>> {
        Box::pin(async move { Ok(Response { status: 418, body: request.body, ..Response::default() }) })
    }
}

#[tokio::test(start_paused = true)]
async fn requests_go_through_the_client_of_the_node_and_without_one_nowhere() {
    let sends = Puppet::new().tool("send").on_call(|ctx, _| async move {
        match ctx.http(Request::post("http://pot", b"tea".to_vec())).await {
            Ok(response) => Ok(json!([response.status, response.body])),
            Err(error) => Err(ToolError::failed(error.to_string())),
        }
    });
    let around = Surroundings { http: Some(Arc::new(Echo)), ..Surroundings::default() };
    let with = unstarted(around).0.start(vec![sends.spec("p")]).await;
    assert_eq!(with.call(call("send", json!({}))).await.result, Ok(json!([418, b"tea"])));
    with.stop().await;
    let without = node(vec![sends.spec("p")]).await;
    assert!(without.call(call("send", json!({}))).await.result.is_err());
    without.stop().await;
}
