use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use sedge_plugin::testing::{TestNode, block_on};
use sedge_plugin::topics::Severity;
use serde_json::{Value as Json, json};

use super::super::parts::pump::{Now, Sink as _};
use super::super::parts::testing::{WALL_MS, frame, nth, reading};
use super::super::parts::told;
use super::*;

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("sedge-file-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Bench {
    node: TestNode,
    folder: Folder,
    args: Args<Settings, Worker<Log>>,
}

impl Bench {
    /// A destination that writes `name`, with more settings than the path.
    fn new(name: &str, more: Json) -> Self {
        let folder = Folder::new();
        let mut settings = json!({ "path": folder.path(name) });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let node = TestNode::new();
        node.clock().set_wall(Some(WALL_MS));
        Self { node, folder, args: Args::new(serde_json::from_value(settings).unwrap(), None) }
    }

    fn start(&self) -> FileDestination {
        block_on(FileDestination::setup(&self.args, self.node.context("card"))).unwrap()
    }

    /// Writes the readings of these numbers, and ends.
    fn write(&self, seqs: impl IntoIterator<Item = u32>) {
        let mut file = self.start();
        for seq in seqs {
            block_on(file.observe(nth(seq))).unwrap();
            file.0.wait();
        }
        block_on(file.teardown()).unwrap();
    }

    fn count(&self, name: &str) -> u64 {
        self.node.context("card").counter(Name::new(name).unwrap(), "").unwrap().get()
    }
}

/// The numbers of the readings in a file of JSON lines; a line that is none is 0.
fn seqs(text: &str) -> Vec<u64> {
    let seq = |line: &str| serde_json::from_str::<Json>(line).ok().and_then(|line| line["seq"].as_u64());
    text.lines().map(|line| seq(line).unwrap_or(0)).collect()
}

#[test]
fn what_was_observed_is_in_the_file_after_the_teardown_and_appended_after_a_restart() {
    let bench = Bench::new("a.jsonl", json!({}));
    bench.write([1, 2]);
    bench.write([3]);
    assert_eq!(seqs(&bench.folder.read("a.jsonl")), [1, 2, 3]);
    assert_eq!(bench.count("written"), 3);
}

#[test]
fn a_csv_file_has_its_header_once_also_after_a_restart_and_in_each_new_file() {
    let bench = Bench::new("a.csv", json!({ "format": "csv", "max_size": "1500B" }));
    bench.write(1..20);
    bench.write(20..40);
    let (former, now) = (bench.folder.read("a.000001.csv"), bench.folder.read("a.csv"));
    for text in [&former, &now] {
        assert!(text.starts_with("time,sensor,boot,seq,up_ms,field,value,unit,quality\n"), "{text}");
        assert_eq!(text.matches("quality").count(), 1);
    }
    assert_eq!(former.lines().count() + now.lines().count(), 39 + 2);
}

#[test]
fn no_file_is_bigger_than_it_may_be_and_nothing_is_lost_between_two() {
    let bench = Bench::new("a.jsonl", json!({ "max_size": "1kB", "keep": 100 }));
    // Many at once.
    let mut file = bench.start();
    for seq in 1..=50 {
        block_on(file.observe(nth(seq))).unwrap();
    }
    block_on(file.teardown()).unwrap();
    bench.write(51..=70);
    let mut names = bench.folder.names();
    assert_eq!(names.pop().unwrap(), "a.jsonl");
    names.push("a.jsonl".into());
    let mut all = Vec::new();
    for name in &names {
        let text = bench.folder.read(name);
        assert!(text.len() <= 1000 && !text.is_empty(), "{name}: {}", text.len());
        all.extend(seqs(&text));
    }
    assert!(names.len() > 3);
    assert_eq!(all, (1..=70).collect::<Vec<u64>>());
}

#[test]
fn only_the_newest_former_files_are_kept_and_no_file_of_others_is_touched() {
    let bench = Bench::new("a.jsonl", json!({ "max_size": "1kB", "keep": 2 }));
    let others = [
        "a.000000001.jsonl",
        "a.77.jsonl",
        "a.000001.jsonl.gz",
        "a.backup.jsonl",
        "ab.000001.jsonl",
        "a.00000x.jsonl",
    ];
    for name in others {
        bench.folder.put(name, "mine");
    }
    bench.write(1..=50);
    let names = bench.folder.names();
    let ours: Vec<_> = names.iter().filter(|name| !others.contains(&name.as_str())).collect();
    assert_eq!(ours.len(), 3, "{ours:?}");
    assert!(!names.contains(&"a.000001.jsonl".to_owned()), "the oldest went: {names:?}");
    assert!(
        ours.iter().all(|name| name.as_str() < "a.000070" || *name == "a.jsonl"),
        "nor are their numbers: {ours:?}"
    );
    for name in others {
        assert_eq!(bench.folder.read(name), "mine");
    }
}

#[test]
fn a_former_file_is_never_overwritten() {
    let bench = Bench::new("a.jsonl", json!({ "max_size": "1kB", "keep": 100 }));
    bench.folder.put("a.000007.jsonl", "precious");
    bench.write(1..=20);
    assert_eq!(bench.folder.read("a.000007.jsonl"), "precious");
    assert_eq!(seqs(&bench.folder.read("a.000008.jsonl"))[0], 1);
}

#[test]
fn a_new_file_begins_with_a_new_day_of_utc_also_after_a_restart() {
    let bench = Bench::new("a.jsonl", json!({ "every": "1d" }));
    let day = Duration::from_secs(24 * 3600);
    let mut file = bench.start();
    for (n, passes) in [(1, Duration::ZERO), (2, Duration::from_secs(3600)), (3, day)] {
        bench.node.clock().advance(passes);
        block_on(file.observe(nth(n))).unwrap();
        file.0.wait();
    }
    block_on(file.teardown()).unwrap();
    assert_eq!(seqs(&bench.folder.read("a.000001.jsonl")), [1, 2]);
    assert_eq!(seqs(&bench.folder.read("a.jsonl")), [3]);

    let millis = bench.node.clock().wall_ms().unwrap().try_into().unwrap();
    let file = fs::File::options().append(true).open(bench.folder.path("a.jsonl")).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_millis(millis)).unwrap();
    bench.write([4]);
    assert_eq!(seqs(&bench.folder.read("a.jsonl")), [3, 4]);
    file.set_modified(UNIX_EPOCH + Duration::from_millis(millis)).unwrap();
    bench.node.clock().advance(day);
    bench.write([5]);
    assert_eq!(seqs(&bench.folder.read("a.000002.jsonl")), [3, 4]);
    assert_eq!(seqs(&bench.folder.read("a.jsonl")), [5]);
}

#[test]
fn while_the_time_is_unknown_no_day_begins() {
    let bench = Bench::new("a.jsonl", json!({ "every": "1d" }));
    bench.node.clock().set_wall(None);
    bench.write([1, 2]);
    assert_eq!(bench.folder.names(), ["a.jsonl"]);
}

#[test]
fn a_line_that_a_crash_tore_is_ended_so_that_later_ones_can_be_read() {
    let bench = Bench::new("a.jsonl", json!({}));
    bench.folder.put("a.jsonl", "{\"seq\":1}\n{\"se");
    bench.write([2, 3]);
    assert_eq!(seqs(&bench.folder.read("a.jsonl")), [1, 0, 2, 3]);
}

#[test]
fn a_csv_row_that_a_crash_tore_is_ended_also_within_quotes() {
    let header = super::super::parts::lines::CSV_HEADER;
    for (torn, ended) in [
        ("t,air,1,note,\"he said \"\"a", "t,air,1,note,\"he said \"\"a\"\n"),
        ("t,air,1,note,\"one\n", "t,air,1,note,\"one\n\"\n"),
        ("t,air,1,le", "t,air,1,le\n"),
        ("t,air,1,level,1,,ok\n", "t,air,1,level,1,,ok\n"),
    ] {
        let bench = Bench::new("a.csv", json!({ "format": "csv" }));
        bench.folder.put("a.csv", &format!("{header}{torn}"));
        bench.write([2]);
        let row = "2026-11-20T17:28:24.123Z,air,9f3c21ab,2,5000,level,2,,ok\n";
        assert_eq!(bench.folder.read("a.csv"), format!("{header}{ended}{row}"));
    }
    let bench = Bench::new("a.csv", json!({ "format": "csv" }));
    bench.folder.put("a.csv", &header[..9]);
    bench.write([2]);
    assert_eq!(bench.folder.read("a.csv").lines().count(), 2, "a torn header is written anew");
}

#[test]
fn a_csv_file_with_other_columns_is_set_aside_told_once_and_never_deleted() {
    let bench = Bench::new("a.csv", json!({ "format": "csv", "max_size": "1kB", "keep": 1 }));
    let theirs = "name,amount\nrent,700\n";
    bench.folder.put("a.csv", theirs);
    bench.write(1..=60);
    assert_eq!(bench.node.degraded("card"), None);
    assert_eq!((bench.count("written"), bench.count("failed")), (60, 0));
    assert!(bench.folder.read("a.csv").starts_with("time,sensor,"));
    assert_eq!(bench.folder.read("a.000001.csv"), theirs);
    assert_eq!(
        bench.folder.names().len(),
        3,
        "theirs, one former and the newest: {:?}",
        bench.folder.names()
    );
    let events = bench.node.published::<topics::EventRaised>();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.kind.as_str(), &event.data["destination"]), ("file_set_aside", &json!("card")));
    assert!(event.text.contains("a.000001.csv"), "{}", event.text);
}

#[test]
fn readings_wait_for_a_folder_that_is_not_there_and_the_oldest_are_given_up() {
    let bench = Bench::new("stick/a.jsonl", json!({ "buffer": 3 }));
    let mut file = bench.start();
    for n in 1..=5 {
        block_on(file.observe(nth(n))).unwrap();
        file.0.wait();
    }
    let why = bench.node.degraded("card").unwrap();
    assert!(why.contains("folder is not there"), "{why}");
    assert_eq!((bench.count("failed"), bench.count("dropped")), (1, 2), "it pauses after a failure");
    assert_eq!(told(&bench.node), [(Severity::Warning, 1)]);
    let event = bench.node.published::<topics::EventRaised>().remove(0);
    assert!(event.text.contains("`card`") && event.text.contains("folder is not there"), "{}", event.text);
    assert_eq!(event.data, json!({ "destination": "card", "count": 1 }));

    fs::create_dir(bench.folder.path("stick")).unwrap();
    bench.node.clock().advance(Duration::from_secs(5));
    block_on(file.tick()).unwrap();
    file.0.wait();
    assert_eq!(bench.node.degraded("card"), None);
    assert_eq!(seqs(&bench.folder.read("stick/a.jsonl")), [3, 4, 5]);
    assert_eq!(told(&bench.node)[1..], [(Severity::Info, 2)]);
    block_on(file.teardown()).unwrap();
    assert_eq!(told(&bench.node).len(), 2);
}

#[test]
fn on_a_full_disk_whole_lines_remain_and_the_rest_is_written_when_there_is_room() {
    let bench = Bench::new("a.jsonl", json!({}));
    let room = Arc::new(AtomicUsize::new(250));
    let (plan, left) = (bench.args.settings.plan(&bench.node.context("card")).unwrap(), room.clone());
    let full = move || {
        Log::putting(
            plan,
            Box::new(move |file, bytes| {
                let most = left.load(Ordering::Relaxed).min(bytes.len());
                if most == 0 {
                    return Err(std::io::ErrorKind::StorageFull.into());
                }
                left.fetch_sub(most, Ordering::Relaxed);
                std::io::Write::write(file, &bytes[..most])
            }),
        )
    };
    bench.args.kept(|| Worker::spawn("test", full)).unwrap();
    let mut file = bench.start();
    for n in 1..=5 {
        block_on(file.observe(nth(n))).unwrap();
    }
    file.0.wait();
    block_on(file.tick()).unwrap();
    file.0.wait();
    let why = bench.node.degraded("card").unwrap();
    assert!(why.ends_with("no room on the disk"), "{why}");
    let text = bench.folder.read("a.jsonl");
    assert_eq!(seqs(&text), [1, 2]);
    assert!(text.ends_with('\n'), "what was torn was taken back");

    room.store(100_000, Ordering::Relaxed);
    bench.node.clock().advance(Duration::from_secs(5));
    block_on(file.tick()).unwrap();
    file.0.wait();
    assert_eq!(seqs(&bench.folder.read("a.jsonl")), [1, 2, 3, 4, 5]);
    assert_eq!(bench.node.degraded("card"), None);
    assert_eq!((bench.count("written"), bench.count("dropped")), (5, 0));
    block_on(file.teardown()).unwrap();
}

#[test]
fn a_file_that_somebody_moved_away_is_begun_anew() {
    let bench = Bench::new("a.jsonl", json!({}));
    let mut file = bench.start();
    block_on(file.observe(nth(1))).unwrap();
    file.0.wait();
    fs::rename(bench.folder.path("a.jsonl"), bench.folder.path("old")).unwrap();
    block_on(file.observe(nth(2))).unwrap();
    block_on(file.teardown()).unwrap();
    assert_eq!(seqs(&bench.folder.read("old")), [1]);
    assert_eq!(seqs(&bench.folder.read("a.jsonl")), [2]);
}

#[test]
fn a_file_that_somebody_deleted_replaced_or_emptied_is_begun_anew_and_nothing_goes_elsewhere() {
    type Meddle = fn(&Path);
    let meddling: [(&str, Meddle); 4] = [
        ("deleted", |path| fs::remove_file(path).unwrap()),
        ("replaced", |path| {
            fs::rename(path, path.with_extension("1")).unwrap();
            fs::write(path, "").unwrap();
        }),
        ("emptied", |path| fs::write(path, "").unwrap()),
        ("cut", |path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, &text[..text.len() - 5]).unwrap();
        }),
    ];
    for (what, meddle) in meddling {
        let bench = Bench::new("a.csv", json!({ "format": "csv" }));
        let mut file = bench.start();
        for n in 1..=3 {
            block_on(file.observe(nth(n))).unwrap();
            file.0.wait();
            if n == 1 {
                meddle(&bench.folder.path("a.csv"));
            }
        }
        block_on(file.teardown()).unwrap();
        let text = bench.folder.read("a.csv");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "time,sensor,boot,seq,up_ms,field,value,unit,quality", "{what}");
        assert_eq!(lines.len(), if what == "cut" { 4 } else { 3 }, "{what}: {text}");
        assert!(
            text.ends_with("level,2,,ok\n2026-11-20T17:28:24.123Z,air,9f3c21ab,3,5000,level,3,,ok\n"),
            "{text}"
        );
    }
}

#[test]
fn a_new_file_begins_when_it_is_full_also_where_somebody_else_adds_to_it() {
    let bench = Bench::new("a.jsonl", json!({ "max_size": "1kB" }));
    let mut file = bench.start();
    block_on(file.observe(nth(1))).unwrap();
    file.0.wait();
    let text = bench.folder.read("a.jsonl") + &"x".repeat(900) + "\n";
    bench.folder.put("a.jsonl", &text);
    block_on(file.observe(nth(2))).unwrap();
    block_on(file.teardown()).unwrap();
    assert_eq!(bench.folder.read("a.000001.jsonl"), text);
    assert_eq!(seqs(&bench.folder.read("a.jsonl")), [2]);
}

#[test]
fn two_destinations_do_not_write_one_file() {
    let bench = Bench::new("a.jsonl", json!({}));
    let mut first = bench.start();
    block_on(first.observe(nth(1))).unwrap();
    first.0.wait();
    let args = Args::new(bench.args.settings.clone(), None);
    let mut other = block_on(FileDestination::setup(&args, bench.node.context("other"))).unwrap();
    block_on(other.observe(nth(2))).unwrap();
    other.0.wait();
    assert!(bench.node.degraded("other").unwrap().contains("somebody else"));
    block_on(first.teardown()).unwrap();
    block_on(other.teardown()).unwrap();
    assert_eq!(seqs(&bench.folder.read("a.jsonl")), [1, 2]);
}

#[test]
fn what_is_at_the_path_and_no_file_is_told() {
    let bench = Bench::new("a", json!({}));
    fs::create_dir(bench.folder.path("a")).unwrap();
    let mut file = bench.start();
    block_on(file.observe(nth(1))).unwrap();
    file.0.wait();
    assert!(bench.node.degraded("card").unwrap().contains("no file"));
}

#[test]
fn with_fsync_after_a_time_it_is_done_then_also_when_no_reading_comes() {
    let bench = Bench::new("a.jsonl", json!({ "fsync": "5s" }));
    let plan = bench.args.settings.plan(&bench.node.context("card")).unwrap();
    let mut log = Log::new(plan);
    let at = |seconds| Now { up: Duration::from_secs(seconds), wall_ms: None };
    assert!(log.write(&["{}\n".into()], at(0)).unfinished);
    assert!(log.write(&[], at(4)).unfinished);
    assert!(!log.write(&[], at(5)).unfinished);
    assert!(serde_json::from_value::<Fsync>("sometimes".into()).is_err());
    assert_eq!(serde_json::from_value::<Fsync>("each".into()).unwrap(), Fsync::Each);
}

#[test]
fn a_relative_path_is_below_the_data_directory() {
    let folder = Folder::new();
    let node = TestNode::new();
    node.keep_data_in(&folder.0);
    fs::create_dir(folder.path("card")).unwrap();
    let settings = serde_json::from_value(json!({ "path": "a.jsonl" })).unwrap();
    let args = Args::new(settings, None);
    let mut file = block_on(FileDestination::setup(&args, node.context("card"))).unwrap();
    block_on(file.observe(Arc::new(reading(1, frame(&[]))))).unwrap();
    block_on(file.teardown()).unwrap();
    assert_eq!(seqs(&folder.read("card/a.jsonl")), [1]);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    for more in [json!({ "max_size": "10B" }), json!({ "every": "1s" }), json!({ "path": "/" })] {
        let bench = Bench::new("a", more.clone());
        let error = block_on(FileDestination::setup(&bench.args, bench.node.context("card"))).err();
        assert!(matches!(error, Some(PluginError::Settings(_))), "{more}: {error:?}");
    }
}
