//! The table of promises names tests. This holds that each is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names of all tests of the project.
fn tests(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().filter_map(Result::ok) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            tests(&path, names);
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let functions = text.split("fn ").skip(1);
            names.extend(functions.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
        }
    }
}

/// The tests of each row, by its id.
fn rows() -> Vec<(String, Vec<String>)> {
    let text = std::fs::read_to_string(root().join("plugins/api/PROMISES.md")).unwrap();
    let cells = |line: &str| line.split(" | ").map(|cell| cell.trim_matches(['|', ' ']).to_owned()).collect();
    let rows = text.lines().filter(|line| line.starts_with("| ")).map(cells);
    rows.filter(|cells: &Vec<String>| cells.len() == 3 && cells[0] != "id")
        .map(|cells| {
            let quoted = cells[2].split('`').skip(1).step_by(2).map(str::to_owned);
            (cells[0].clone(), quoted.filter(|name| !name.contains('/') && name != "compile_fail").collect())
        })
        .collect()
}

#[test]
fn every_promise_has_a_test_that_exists() {
    let mut names = BTreeSet::new();
    tests(&root(), &mut names);
    let rows = rows();
    for (id, tests) in &rows {
        assert!(!tests.is_empty(), "{id} has no test");
        for test in tests {
            assert!(names.contains(test), "{id}: there is no test `{test}`");
        }
    }
    let wanted = [("H", 13), ("T", 7), ("L", 16), ("X", 6), ("G", 4)];
    let wanted = wanted.iter().flat_map(|(group, most)| (1..=*most).map(move |n| format!("{group}{n}")));
    for id in wanted {
        assert!(rows.iter().any(|(row, _)| *row == id), "{id} is missing");
    }
    let topic = std::fs::read_to_string(root().join("plugins/api/src/topic.rs")).unwrap();
    assert!(topic.contains("```compile_fail"), "the test of H1");
}
