//! Against folders that look like cgroups: where there are real ones depends on the machine.

use super::*;

struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sedge-cgroup-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn group(&self, path: &str, controllers: &str, procs: &str) -> PathBuf {
        let folder = self.0.join(path);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("cgroup.controllers"), controllers).expect("a file");
        fs::write(folder.join("cgroup.procs"), procs).expect("a file");
        folder
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn the_nodes_own_group_is_found_also_in_a_container() {
    let mounts =
        "24 1 0:22 / /proc rw - proc proc rw\n31 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
    assert_eq!(mount(mounts), Some(("/sys/fs/cgroup".into(), "/".to_owned())));
    assert_eq!(mount("24 1 0:22 / /proc rw - proc proc rw\n"), None);
    let own = |groups, root| own(groups, root).map(|path| path.display().to_string());
    assert_eq!(
        own("1:cpu:/\n0::/system.slice/sedge.service\n", "/"),
        Some("system.slice/sedge.service".into())
    );
    assert_eq!(own("0::/docker/7/node\n", "/docker/7"), Some("node".into()));
    assert_eq!(own("0::/../elsewhere\n", "/"), None);
    assert_eq!(own("1:cpu:/\n", "/"), None);
}

#[test]
fn a_node_that_is_alone_makes_room_for_its_plugins() {
    let tree = Tree::new("alone");
    let own = tree.group("sedge.service", "cpu memory", "77\n");
    let home = Home::prepare(&own, &tree.0, 77).expect("a home");
    assert_eq!(text(&own.join("node/cgroup.procs")), "77");
    assert_eq!(text(&own.join("cgroup.subtree_control")), "+cpu", "the last of what was written");

    let group = home.group("attic", Some(64 << 20), Some(0.5)).expect("a group");
    assert_eq!(text(&group.folder.join("memory.max")), "67108864");
    assert_eq!(text(&group.folder.join("memory.swap.max")), "0");
    assert_eq!(text(&group.folder.join("cpu.max")), "50000 100000");
    fs::write(group.folder.join("memory.events"), "low 0\noom 1\noom_kill 0\n").expect("a file");
    assert!(!group.has_run_out());
    fs::write(group.folder.join("memory.events"), "low 0\noom 1\noom_kill 1\n").expect("a file");
    assert!(group.has_run_out());
    group.kill();
    assert_eq!(text(&group.folder.join("cgroup.kill")), "1");

    // What it left behind is taken on; how often it ran out before does not count.
    let again = home.group("attic", None, None).expect("a group");
    assert!(!again.has_run_out());
    assert_eq!(text(&again.folder.join("memory.max")), "max");
    assert_eq!(text(&again.folder.join("cpu.max")), "max");
}

#[test]
fn a_node_that_was_placed_uses_the_group_above() {
    let tree = Tree::new("placed");
    let above = tree.group("sedge.service", "memory", "");
    let own = tree.group("sedge.service/node", "", "77\n78\n");
    let home = Home::prepare(&own, &tree.0, 77).expect("a home");
    assert_eq!(home.folder, above);
    assert_eq!(text(&own.join("cgroup.procs")), "77\n78\n", "nobody was moved");
}

#[test]
fn a_group_that_is_shared_or_cannot_bound_memory_is_left_alone() {
    let tree = Tree::new("shared");
    let shared = tree.group("session.scope", "cpu memory", "77\n78\n");
    let why = Home::prepare(&shared, &tree.0, 77).err().expect("no home");
    assert!(why.ends_with("session.scope is not the node's alone; `Delegate=yes` makes it so"), "{why}");
    let poor = tree.group("poor.service", "cpu pids", "77\n");
    let why = Home::prepare(&poor, &tree.0, 77).err().expect("no home");
    assert!(why.ends_with("poor.service cannot bound memory"), "{why}");
    for folder in [shared, poor] {
        assert_eq!(fs::read_dir(folder).expect("a list").count(), 2, "nothing was made");
    }
}

#[test]
fn what_a_node_has_left_behind_that_is_no_more_is_ended() {
    let tree = Tree::new("left");
    let own = tree.group("sedge.service/node", "memory", "77\n");
    let above = tree.group("sedge.service", "memory", "");
    let left = ["sedge-76-attic", "sedge-77-attic", "sedge-attic"].map(|name| above.join(name));
    for group in &left {
        fs::create_dir(group).expect("a folder");
    }
    let home = Home::prepare(&own, &tree.0, 77).expect("a home");
    let processes = tree.group("proc/77", "", "");
    for group in &left {
        let _ = fs::remove_file(group.join("cgroup.kill"));
    }
    home.clear(processes.parent().expect("a folder"));
    assert_eq!(left.map(|group| text(&group.join("cgroup.kill"))), ["1", "", ""].map(str::to_owned));
}
