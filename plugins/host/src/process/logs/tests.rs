use super::*;

fn log() -> Log {
    let id = Id::new("attic").expect("an id");
    Log { id, last: Last::default(), line: Vec::new(), is_cut: false, bucket: Bucket::new() }
}

#[test]
fn a_line_may_begin_with_its_level() {
    let cases = [("E! no", b'E', "no"), ("D!  x", b'D', "x"), ("I!x", b'I', "I!x"), ("X! x", b'I', "X! x")];
    for (line, wanted, text) in cases {
        assert_eq!(level(line), (wanted, text));
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_is_cut_and_cannot_steer_a_terminal() {
    let mut log = log();
    for piece in vec![b'a'; 100_000].chunks(999) {
        log.take(piece);
        assert!(log.line.len() <= LINE);
    }
    log.take(b"\n\x1b[2Jb\tc\xff\r\n");
    let lines = log.last.0.lock().expect("lines").clone();
    assert_eq!(lines[0], "a".repeat(LINE) + "…");
    assert_eq!(lines[1], "·[2Jb    c\u{fffd}");
}

#[tokio::test(start_paused = true)]
async fn so_many_lines_at_once_and_then_so_many_a_second() {
    let mut bucket = Bucket::new();
    let mut taken = |times: u32| (0..times).filter(|_| bucket.take()).count();
    assert_eq!(taken(1000), 100);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(taken(1000), 40);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(taken(1000), 100);
}

#[tokio::test(start_paused = true)]
async fn the_very_last_words_count_most() {
    let last = Last::default();
    assert_eq!(last.words(), "");
    for number in 0..100 {
        last.push(&format!("line {number}"));
    }
    last.push("");
    assert!(
        last.words().starts_with("line 81 | line 82") && last.words().ends_with("| line 99"),
        "{}",
        last.words()
    );
    last.push(&"x".repeat(5000));
    assert_eq!(last.words(), "x".repeat(WORDS));
}
