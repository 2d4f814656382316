use proptest::prelude::*;
use sedge_token::{Facts, JoinSecret, NodeKey};

use super::*;
use crate::ledger::{NodeRow, PersonRow, TokenRow};

const NOW: i64 = 1_795_000_000_000;

struct Bench {
    ledger: Ledger,
    secret: JoinSecret,
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

impl Bench {
    fn new() -> Self {
        let secret = JoinSecret::generate().unwrap();
        let kept = secret.kept();
        let name = kept.name();
        let (serial, group) = ("07".into(), Some(id("greenhouse")));
        let row = TokenRow { kept, serial, group, uses: 2, used: 0, expires_ms: NOW + 1000, revoked: false };
        let mut ledger = Ledger::default();
        ledger.tokens.insert(name, row);
        Self { ledger, secret }
    }

    fn asks(&self, node: &str, key: &NodeKey) -> JoinRequest {
        JoinRequest::new(&self.secret, id(node), key, Facts::new()).unwrap()
    }

    fn token(&mut self) -> &mut TokenRow {
        self.ledger.tokens.values_mut().next().unwrap()
    }

    fn joined(&mut self, node: &str, request: &JoinRequest) {
        let row = NodeRow {
            serial: "01".into(),
            key: Some(request.key.clone()),
            certificate: Some("its certificate".into()),
            group: None,
            since_ms: Some(NOW),
            by: "x".into(),
            facts: Facts::new(),
            revoked: false,
        };
        self.ledger.nodes.insert(id(node), row);
    }

    fn refused(&self, request: &JoinRequest, now: Option<i64>) -> String {
        admit(&self.ledger, request, now).unwrap_err().message
    }
}

#[test]
fn a_board_with_the_token_is_let_in_with_its_key_and_the_group_of_the_token() {
    let (bench, key) = (Bench::new(), NodeKey::generate().unwrap());
    let admitted = admit(&bench.ledger, &bench.asks("pi-07", &key), Some(NOW)).unwrap();
    assert_eq!(admitted, Admitted::New { point: key.public().to_vec(), group: Some(id("greenhouse")) });
}

#[test]
fn a_token_that_ended_is_used_up_revoked_or_another_sites_lets_nobody_in() {
    let (mut bench, key) = (Bench::new(), NodeKey::generate().unwrap());
    let request = bench.asks("pi-07", &key);
    assert!(bench.refused(&request, Some(NOW + 1000)).contains("ended at"));
    bench.token().used = 2;
    assert!(bench.refused(&request, Some(NOW)).contains("was for 2 boards"));
    bench.token().used = 0;
    bench.token().revoked = true;
    assert!(bench.refused(&request, Some(NOW)).contains("was revoked"));
    assert!(Bench::new().refused(&request, Some(NOW)).contains("knows no token"));
    let forged = JoinRequest::new(&JoinSecret::generate().unwrap(), id("pi-07"), &key, Facts::new()).unwrap();
    let forged = JoinRequest { token: request.token, ..forged };
    assert!(bench.refused(&forged, Some(NOW)).contains("not made with the token"));
}

#[test]
fn a_second_board_of_one_name_is_refused_and_the_first_gets_its_answer_again_also_when_the_token_has_ended() {
    let mut bench = Bench::new();
    let (first, second) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let request = bench.asks("pi-07", &first);
    bench.joined("pi-07", &request);
    bench.token().used = 2;
    let again = admit(&bench.ledger, &request, Some(NOW + 5000)).unwrap();
    assert_eq!(again, Admitted::Again { certificate: "its certificate".into(), group: None });
    let refused = bench.refused(&bench.asks("pi-07", &second), Some(NOW));
    assert!(
        refused.contains("another board is called `pi-07`") && refused.contains("sedge site forget pi-07")
    );
    bench.ledger.nodes.get_mut(&id("pi-07")).unwrap().revoked = true;
    assert!(bench.refused(&request, Some(NOW)).contains("was shut out"));
}

#[test]
fn while_the_time_is_not_known_nobody_new_is_let_in_and_is_told_to_come_again() {
    let (bench, key) = (Bench::new(), NodeKey::generate().unwrap());
    let error = admit(&bench.ledger, &bench.asks("pi-07", &key), None).unwrap_err();
    assert_eq!(error.code, ToolErrorCode::Unavailable);
}

#[test]
fn names_that_the_brokers_rules_give_rights_to_are_nobodys() {
    let (mut bench, key) = (Bench::new(), NodeKey::generate().unwrap());
    let person = PersonRow { serial: "09".into(), read_only: false, revoked: false };
    bench.ledger.people.insert(id("anna"), person);
    bench.ledger.site.registrar = Some(id("hub"));
    for name in ["join", "viewer", "operator", "anna", "hub"] {
        assert!(
            bench.refused(&bench.asks(name, &key), Some(NOW)).contains("is no name for a node"),
            "{name}"
        );
    }
}

proptest! {
    /// Whatever JSON comes: it is no request, or it is decided; and only who has the token gets in.
    #[test]
    fn no_request_breaks_the_registrar(
        known in any::<bool>(), node in "[a-z0-9-]{0,40}", key in "[A-Za-z0-9_-]{0,100}",
        possession in "\\PC{0,60}", proof in "\\PC{0,60}",
    ) {
        let bench = Bench::new();
        let token = if known { bench.secret.kept().name() } else { possession.clone() };
        let json = serde_json::json!({ "token": token, "id": node, "key": key, "possession": possession, "proof": proof });
        if let Ok(request) = serde_json::from_value::<JoinRequest>(json) {
            prop_assert!(admit(&bench.ledger, &request, Some(NOW)).is_err());
        }
    }
}
