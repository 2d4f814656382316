//! All messages for a manifest full of mistakes.
//!
//! `SEDGE_GOLDEN=write cargo test -p sedge-host` writes them anew; read the difference before you keep it.

use std::fs;
use std::path::Path;

#[test]
fn all_mistakes_of_a_manifest_are_told_in_one_run() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let write = std::env::var_os("SEDGE_GOLDEN").is_some();
    for name in ["pump", "no-toml"] {
        let folder = golden.join(name);
        let mistakes = sedge_host::check(&folder);
        let found: String = super::lines(&golden, &mistakes).into_iter().map(|line| line + "\n").collect();
        let expected = golden.join(format!("{name}.txt"));
        if write {
            fs::write(&expected, found).expect("writable");
        } else {
            assert_eq!(found, fs::read_to_string(&expected).unwrap_or_default(), "{name}");
        }
    }
}
