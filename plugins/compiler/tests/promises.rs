//! What a node, and an author, may count on of WebAssembly components.
//!
//! They stand here and not at the carrier, because they need the compiler too. The guest is built once; where the target
//! `wasm32-unknown-unknown` is missing they are skipped, unless `SEDGE_REQUIRE_WASM` is set.

/// With native code, and with the interpreter: what boards with 32 bits have.
macro_rules! in_both_ways {
    ($($name:ident($options:ident) $body:block)*) => {
        $(mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn promise($options: sedge_host::wasm::ComponentOptions) $body

            async fn run(interpreted: bool) {
                if !crate::rig::is_here() {
                    return;
                }
                let folder = crate::rig::Folder::with_probe(interpreted);
                promise(sedge_host::wasm::ComponentOptions { interpreted, ..folder.options() }).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn compiled() {
                run(false).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn interpreted() {
                run(true).await;
            }
        })*
    };
}

#[path = "promises/apart.rs"]
mod apart;
#[path = "promises/artefacts.rs"]
mod artefacts;
#[path = "promises/bounds.rs"]
mod bounds;
#[path = "promises/calls.rs"]
mod calls;
#[path = "promises/making.rs"]
mod making;
#[path = "promises/rig.rs"]
mod rig;
