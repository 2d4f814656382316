//! What plugins keep on disk.

use std::path::Path;

use sedge_actors::{RunningNode, Surroundings};
use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::puppet::{Puppet, S, call, pass, unstarted};
use super::support::Numbers;

/// Keeps, loads and forgets as its tool is told. It panics when it hears a number.
fn keeper(tool: &str) -> Puppet {
    let does = async |ctx: &Context, args: &Json| -> Result<Json, PluginError> {
        let key = args["key"].as_str().unwrap_or_default();
        match args.get("value") {
            Some(Json::Null) => ctx.forget(key).await?,
            Some(value) => ctx.store(key, value).await?,
            None => {}
        }
        Ok(ctx.load::<Json>(key).await?.into())
    };
    let told = |error: PluginError| ToolError::failed(error.to_string());
    Puppet::new()
        .tool(tool)
        .on_call(move |ctx, call| async move { does(&ctx, &call.args).await.map_err(told) })
        .on_hear(|_, _| async { panic!("start me anew") })
}

async fn node(data: Option<&Path>) -> RunningNode {
    let around = Surroundings { data: data.map(Path::to_owned), ..Surroundings::default() };
    unstarted(around).0.start(vec![keeper("one").spec("one"), keeper("two").spec("two")]).await
}

async fn ask(node: &RunningNode, tool: &str, args: Json) -> Result<Json, String> {
    node.call(call(tool, args)).await.result.map_err(|error| error.message)
}

fn file(data: &TempDir, name: &str) -> std::path::PathBuf {
    data.path().join("store").join(name)
}

#[tokio::test(start_paused = true)]
async fn what_a_plugin_keeps_survives_its_restart_and_that_of_the_node() {
    let data = tempfile::tempdir().unwrap();
    let first = node(Some(data.path())).await;
    let kept = json!({ "litres": 12.5, "since": "spring" });
    assert_eq!(ask(&first, "one", json!({ "key": "water", "value": kept })).await, Ok(kept.clone()));
    first.bus().publish::<Numbers>(1).await;
    pass(5 * S).await;
    assert_eq!(first.directory().plugins["one"].restarts, 1);
    assert_eq!(ask(&first, "one", json!({ "key": "water" })).await, Ok(kept.clone()));
    first.stop().await;
    let second = node(Some(data.path())).await;
    assert_eq!(ask(&second, "one", json!({ "key": "water" })).await, Ok(kept));
    assert_eq!(ask(&second, "one", json!({ "key": "water", "value": null })).await, Ok(Json::Null));
    second.stop().await;
    let third = node(Some(data.path())).await;
    assert_eq!(
        ask(&third, "one", json!({ "key": "water" })).await,
        Ok(Json::Null),
        "what is forgotten stays so"
    );
    third.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_plugin_keeps_is_its_own() {
    let data = tempfile::tempdir().unwrap();
    let node = node(Some(data.path())).await;
    ask(&node, "one", json!({ "key": "k", "value": 1 })).await.unwrap();
    assert_eq!(ask(&node, "two", json!({ "key": "k" })).await, Ok(Json::Null));
    ask(&node, "two", json!({ "key": "k", "value": 2 })).await.unwrap();
    assert_eq!(ask(&node, "one", json!({ "key": "k" })).await, Ok(json!(1)));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_is_bounded_per_value_and_in_all_and_what_was_there_stays() {
    let data = tempfile::tempdir().unwrap();
    let node = node(Some(data.path())).await;
    ask(&node, "one", json!({ "key": "k", "value": "small" })).await.unwrap();
    let error = ask(&node, "one", json!({ "key": "k", "value": "x".repeat(64 * 1024) })).await.unwrap_err();
    assert!(error.contains("`k`") && error.contains("65536"), "{error}");
    let mut kept = 0;
    let error = loop {
        let value = "x".repeat(60 * 1024);
        match ask(&node, "one", json!({ "key": format!("k{kept}"), "value": value })).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 100, "there is no end");
    };
    assert_eq!(kept, 17, "a mebibyte");
    assert!(error.contains("1048576"), "{error}");
    assert_eq!(ask(&node, "one", json!({ "key": "k" })).await, Ok(json!("small")));
    assert_eq!(
        ask(&node, "one", json!({ "key": "k17" })).await,
        Ok(Json::Null),
        "what was refused is not there"
    );
    assert!(ask(&node, "two", json!({ "key": "k", "value": 1 })).await.is_ok(), "it is full for nobody else");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_store_is_moved_aside_and_not_written_over() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(data.path().join("store")).unwrap();
    std::fs::write(file(&data, "one.json"), b"{ \"k\": 1, \x00").unwrap();
    let node = node(Some(data.path())).await;
    assert_eq!(ask(&node, "one", json!({ "key": "k" })).await, Ok(Json::Null));
    assert_eq!(ask(&node, "one", json!({ "key": "k", "value": 2 })).await, Ok(json!(2)));
    assert_eq!(std::fs::read(file(&data, "one.damaged")).unwrap(), b"{ \"k\": 1, \x00");
    assert_eq!(std::fs::read_to_string(file(&data, "one.json")).unwrap(), r#"{"k":2}"#);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_in_the_middle_of_a_write_leaves_what_was_there() {
    let data = tempfile::tempdir().unwrap();
    let before = node(Some(data.path())).await;
    ask(&before, "one", json!({ "key": "k", "value": "old" })).await.unwrap();
    assert!(!file(&data, "one.new").exists(), "what is on disk is whole");
    before.stop().await;
    // The new file was begun, and never took the old one's place.
    std::fs::write(file(&data, "one.new"), br#"{"k":"ne"#).unwrap();
    let after = node(Some(data.path())).await;
    assert_eq!(ask(&after, "one", json!({ "key": "k" })).await, Ok(json!("old")));
    assert_eq!(ask(&after, "one", json!({ "key": "k", "value": "new" })).await, Ok(json!("new")));
    assert!(!file(&data, "one.new").exists());
    assert_eq!(std::fs::read_to_string(file(&data, "one.json")).unwrap(), r#"{"k":"new"}"#);
    after.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_an_error_and_is_not_kept_in_memory_either() {
    let data = tempfile::tempdir().unwrap();
    let node = node(Some(data.path())).await;
    ask(&node, "one", json!({ "key": "k", "value": 1 })).await.unwrap();
    // A directory stands where the new file would.
    std::fs::create_dir(file(&data, "one.new")).unwrap();
    assert!(ask(&node, "one", json!({ "key": "k", "value": 2 })).await.unwrap_err().contains("cannot write"));
    assert_eq!(ask(&node, "one", json!({ "key": "k" })).await, Ok(json!(1)));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_value_of_another_type_is_an_error_that_names_the_key() {
    let data = tempfile::tempdir().unwrap();
    let puppet = Puppet::new().tool("odd").on_call(|ctx, _| async move {
        let told = |error: PluginError| ToolError::failed(error.to_string());
        ctx.store("count", "many").await.map_err(told)?;
        ctx.load::<u32>("count").await.map(|_| json!(null)).map_err(told)
    });
    let around = Surroundings { data: Some(data.path().into()), ..Surroundings::default() };
    let node = unstarted(around).0.start(vec![puppet.spec("odd")]).await;
    assert!(ask(&node, "odd", json!({})).await.unwrap_err().contains("`count`"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_of_ones_own_is_made_when_it_is_first_asked_for_and_is_there_again() {
    let data = tempfile::tempdir().unwrap();
    let puppet = || {
        Puppet::new().tool("dir").on_call(|ctx, _| async move {
            let dir = ctx.data_dir().map_err(|error| ToolError::failed(error.to_string()))?;
            let before = dir.join("mark").exists();
            std::fs::write(dir.join("mark"), "x").map_err(|error| ToolError::failed(error.to_string()))?;
            Ok(json!(before))
        })
    };
    for expected in [false, true] {
        let around = Surroundings { data: Some(data.path().into()), ..Surroundings::default() };
        let node = unstarted(around).0.start(vec![puppet().spec("mine")]).await;
        assert_eq!(data.path().join("plugins/mine").exists(), expected, "not before it is asked for");
        assert_eq!(ask(&node, "dir", json!({})).await, Ok(json!(expected)));
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_place_for_data_nothing_can_be_kept_and_that_is_said() {
    let node = node(None).await;
    let error = ask(&node, "one", json!({ "key": "k", "value": 1 })).await.unwrap_err();
    assert!(error.contains("no place for data"), "{error}");
    node.stop().await;
}
