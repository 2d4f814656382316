use sedge_token::{Fragment, Purpose};

use super::*;

struct Board(PathBuf);

impl Board {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sedge-join-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn standing(&self) -> Standing {
        Standing::at(&self.0.join("sedge.toml")).unwrap()
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn token(authority: &[u8]) -> Token {
    let purpose = Purpose::Node { id: id("pi-07") };
    Token { authority: authority.into(), certificate: vec![2], key: vec![3], purpose }
}

/// What stands for a certificate: it has the key in it.
fn answer(key: &NodeKey, config: &[&str]) -> JoinAnswer {
    let config = config.iter().map(|name| Fragment { name: id(name), text: format!("# for {name}\n") });
    JoinAnswer { certificate: pem::encode("CERTIFICATE", key.public()), config: config.collect() }
}

fn joined(board: &Board, authority: &[u8], config: &[&str]) -> Plan {
    let standing = board.standing();
    standing.prepare().unwrap();
    let key = standing.key().unwrap();
    let broker = BrokerUrl::parse("mqtts://broker.local").unwrap();
    let plan = standing.plan(&token(authority), &broker, &id("pi-07"), &answer(&key, config), &key).unwrap();
    plan.write().unwrap();
    plan
}

#[test]
fn cut_short_after_any_file_a_board_has_not_joined_and_keeps_its_key() {
    let board = Board::new("cut");
    let standing = board.standing();
    standing.prepare().unwrap();
    let key = standing.key().unwrap();
    let broker = BrokerUrl::parse("mqtts://broker.local").unwrap();
    let plan = standing.plan(&token(&[1]), &broker, &id("pi-07"), &answer(&key, &["all"]), &key).unwrap();
    for (file, text, mode) in &plan.files {
        assert_eq!(standing.state(&token(&[1])), State::Apart, "before {}", file.display());
        assert_eq!(standing.key().unwrap().public(), key.public());
        write(file, text, *mode).unwrap();
    }
    assert_eq!(standing.state(&token(&[1])), State::Joined);
    assert_eq!(standing.state(&token(&[9])), State::Elsewhere);
    // The key of another: as after half of a second joining.
    write(&standing.key_file(), &NodeKey::generate().unwrap().to_pem(), SECRET).unwrap();
    assert_eq!(standing.state(&token(&[1])), State::Apart);
}

#[test]
fn the_key_is_for_root_alone_and_what_the_site_has_no_more_goes() {
    let board = Board::new("files");
    joined(&board, &[1], &["all", "greenhouse"]);
    let mode = |name: &str| fs::metadata(board.0.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("credentials"), mode("credentials/mqtt-key"), mode("site/node.crt")),
        (0o700, 0o600, 0o644)
    );
    let plan = joined(&board, &[1], &["all"]);
    assert!(board.0.join("conf.d/60-site-all.toml").exists());
    assert!(!board.0.join("conf.d/61-site-greenhouse.toml").exists());
    assert_eq!(plan.changes[&board.0.join("conf.d/61-site-greenhouse.toml")], None);
    let text = fs::read_to_string(board.0.join("conf.d/50-site.toml")).unwrap();
    assert!(
        text.contains("id = \"pi-07\"") && text.contains("url = \"mqtts://broker.local:8883\""),
        "{text}"
    );
    let config = fs::read_to_string(board.0.join("sedge.toml")).unwrap();
    assert!(config.contains("config_version = 1"));
}

#[test]
fn a_path_with_quotes_is_still_a_text_of_toml() {
    assert_eq!(toml_text("a\"b\\c\n"), r#""a\"b\\c\u000A""#);
}
