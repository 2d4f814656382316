use sedge_plugin::Id;

use super::*;
use crate::ledger::PersonRow;

fn bench(name: &str) -> (Places, PathBuf) {
    let root = std::env::temp_dir().join(format!("sedge-site-{name}-{}", std::process::id()));
    fs::create_dir_all(root.join("etc/mosquitto/conf.d")).unwrap();
    (Places::below(&root), root)
}

#[test]
fn what_does_not_go_with_the_sites_listener_is_named_with_its_file_and_line() {
    let (places, root) = bench("conflicts");
    let write = |file: &str, text: &str| fs::write(root.join("etc/mosquitto").join(file), text).unwrap();
    // As Debian has it.
    write(
        "mosquitto.conf",
        "pid_file /run/mosquitto/mosquitto.pid\n# listener 1883\npersistence true\ninclude_dir /x\n",
    );
    assert_eq!(conflicts(&places, 8883).unwrap(), Vec::<String>::new());
    write("conf.d/mine.conf", "listener 1883 127.0.0.1\nallow_anonymous true\n");
    write("conf.d/sedge-site.conf", "listener 8883\n");
    let found = conflicts(&places, 8883).unwrap();
    assert_eq!(found.len(), 2);
    assert!(found[0].ends_with("mine.conf:1: listener 1883 127.0.0.1"), "{found:?}");
    // Each listener has its own rules: only the port matters.
    write("mosquitto.conf", "per_listener_settings true\n");
    assert!(conflicts(&places, 8883).unwrap().is_empty());
    assert_eq!(conflicts(&places, 1883).unwrap().len(), 1);
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn operators_get_their_rules_and_who_was_shut_out_gets_none() {
    let mut ledger = Ledger::default();
    ledger.site.registrar = Some(Id::new("hub").unwrap());
    for (name, read_only, revoked) in
        [("anna", false, false), ("grafana", true, false), ("bert", false, true)]
    {
        ledger.people.insert(Id::new(name).unwrap(), PersonRow { serial: "0".into(), read_only, revoked });
    }
    let row = |revoked| {
        let json = serde_json::json!({ "serial": "1", "key": null, "certificate": null, "group": null, "since_ms": null,
            "by": "site", "facts": {}, "revoked": revoked });
        serde_json::from_value(json).unwrap()
    };
    ledger.nodes.insert(Id::new("hub").unwrap(), row(false));
    ledger.nodes.insert(Id::new("pi-01").unwrap(), row(false));
    ledger.nodes.insert(Id::new("pi-02").unwrap(), row(true));
    let rules = rules(&ledger);
    let of = |user: &str| {
        let (_, rest) = rules.split_once(&format!("\nuser {user}\n")).unwrap();
        rest.split("\n\n").next().unwrap().to_owned()
    };
    assert!(of("anna").contains("write sedge/v1/+/tool/+/call") && of("anna").contains("read sedge/v1/#"));
    assert!(of("grafana").contains("read sedge/v1/#") && !of("grafana").contains("write"));
    assert_eq!(of("bert").trim(), "topic deny #");
    assert!(of("hub").contains("readwrite sedge/v1/#"));
    assert!(!rules.contains("user pi-01") && of("pi-02").trim() == "topic deny #");
    // Forgotten, and not made anew yet.
    ledger.nodes.remove("hub");
    assert!(!super::rules(&ledger).contains("user hub"));
    assert!(of("join").contains("write sedge/v1/hub/tool/site_join/call"));
}
