use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sedge_plugin::testing::{TestNode, block_on};
use serde_json::json;

use super::*;

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sedge-audit-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("audit")).unwrap();
        Self(path)
    }
    fn logs(&self) -> PathBuf {
        self.0.join("audit")
    }
    fn read(&self) -> Vec<Map<String, Json>> {
        read(&self.logs()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn audit(node: &TestNode, folder: &Folder, max_size: Size) -> Audit {
    node.keep_data_in(&folder.0);
    node.clock().set_wall(Some(1_795_195_704_123));
    let args = AuditArgs::new(Settings { max_size }).unwrap();
    block_on(Audit::setup(&args, node.context("audit"))).unwrap()
}

fn record(id: &str) -> CallRecord {
    CallRecord {
        tool: "pump_set".into(),
        id: id.into(),
        from: "attic".into(),
        verified: true,
        args: Some(json!({ "on": true, "pin": "hunter2" })),
        outcome: Ok(Duration::from_millis(12)),
    }
}

#[test]
fn a_call_is_a_line_with_all_but_its_arguments() {
    let (node, folder) = (TestNode::new(), Folder::new("line"));
    let mut audit = audit(&node, &folder, Size(1 << 20));
    let denied = ToolError::new(ToolErrorCode::Denied, "not \"now\"\nnor later");
    let refused = CallRecord { args: None, verified: false, outcome: Err(denied), ..record("2") };
    for record in [record("1"), refused] {
        block_on(audit.observe(Arc::new(record))).unwrap();
    }
    let text = fs::read_to_string(folder.logs().join("audit.log")).unwrap();
    assert_eq!(text.lines().count(), 2);
    let first = text.lines().next().unwrap();
    let (start, end) = (
        r#"{"ts":"2026-11-20T17:28:24.123Z","from":"attic","verified":true,"tool":"pump_set","id":"1","args":""#,
        r#"","ok":true,"ms":12}"#,
    );
    assert!(first.starts_with(start) && first.ends_with(end), "{first}");
    assert_eq!(first.len(), start.len() + 64 + end.len());
    assert!(!text.contains("hunter2"));
    let lines = folder.read();
    assert_eq!(
        (&lines[1]["ok"], &lines[1]["code"], &lines[1]["args"]),
        (&json!(false), &json!("denied"), &Json::Null)
    );
    assert_eq!(lines[1]["why"], "not \"now\"\nnor later");
    let mode = fs::metadata(folder.logs().join("audit.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else's");
}

#[test]
fn the_hash_of_arguments_is_that_of_their_compact_json() {
    let text = line(&CallRecord { args: Some(json!({})), ..record("1") }, None);
    // printf '{}' | openssl dgst -sha512-256
    assert!(
        text.contains("\"args\":\"a6202e7635867740d52b081ffef7d187d78aa51e316ef7450de56f916e60eeb8\""),
        "{text}"
    );
}

#[test]
fn two_files_of_the_size_are_all_that_there_is_and_the_newest_lines_stay() {
    let (node, folder) = (TestNode::new(), Folder::new("rotate"));
    let mut audit = audit(&node, &folder, Size(10 * 1024));
    for n in 0..500 {
        block_on(audit.observe(Arc::new(record(&n.to_string())))).unwrap();
    }
    let sizes = FILES.map(|file| fs::metadata(folder.logs().join(file)).unwrap().len());
    assert!(sizes.iter().all(|size| *size <= 10 * 1024), "{sizes:?}");
    assert_eq!(fs::read_dir(folder.logs()).unwrap().count(), 2);
    let ids: Vec<u64> =
        folder.read().iter().map(|line| line["id"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(ids.last(), Some(&499));
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "without a hole");
}

#[test]
fn what_a_caller_makes_long_is_cut() {
    let long = "ü".repeat(70_000);
    let error = ToolError::new(ToolErrorCode::NotFound, long.clone());
    let record =
        CallRecord { tool: long.clone(), id: long.clone(), from: long, outcome: Err(error), ..record("1") };
    assert!(line(&record, None).len() < 2500);
}

#[test]
fn lines_wait_for_a_disk_that_cannot_be_written_and_what_is_given_up_is_told() {
    let (node, folder) = (TestNode::new(), Folder::new("full"));
    let mut audit = audit(&node, &folder, Size(1 << 20));
    fs::remove_dir_all(folder.logs()).unwrap();
    for n in 0..WAITING + 3 {
        block_on(audit.observe(Arc::new(record(&n.to_string())))).unwrap();
    }
    assert!(node.degraded("audit").unwrap().contains("audit.log"));
    fs::create_dir_all(folder.logs()).unwrap();
    block_on(audit.tick()).unwrap();
    assert_eq!(node.degraded("audit"), None);
    let lines = folder.read();
    assert_eq!(lines.len(), WAITING + 1);
    assert_eq!(lines[0]["lost"], 3);
    assert_eq!(lines[1]["id"], "3");
}

#[test]
fn a_line_that_was_torn_costs_no_other() {
    let (node, folder) = (TestNode::new(), Folder::new("torn"));
    fs::write(folder.logs().join("audit.log"), "{\"ts\":null,\"fr").unwrap();
    let mut audit = audit(&node, &folder, Size(1 << 20));
    block_on(audit.observe(Arc::new(record("1")))).unwrap();
    assert_eq!(folder.read().len(), 1);
}

#[test]
fn without_a_place_for_data_it_says_what_is_missing() {
    let node = TestNode::new();
    let args = AuditArgs::new(Settings::default()).unwrap();
    let error = block_on(Audit::setup(&args, node.context("audit"))).err().unwrap();
    assert!(matches!(error, PluginError::Unmet(_)), "{error}");
}
