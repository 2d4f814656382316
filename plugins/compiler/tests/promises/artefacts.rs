//! Which native code is loaded, and which is not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sedge_compile::{Target, native};
use sedge_host::outside::Carrier;
use sedge_host::wasm::{ComponentCarrier, ComponentOptions, artefact_name, find_compiler};
use sedge_plugin::PluginError;
use sha2::{Digest, Sha256};

use super::rig::{Folder, Running, altered, code, is_here, probe, start};

/// A folder without native code, and a compiler.
fn uncompiled() -> (Folder, ComponentOptions) {
    let folder = Folder::with(probe(), None);
    let compiler = Some(PathBuf::from(env!("CARGO_BIN_EXE_sedge-compile")));
    let options = ComponentOptions { compiler, ..folder.options() };
    (folder, options)
}

async fn refused(options: ComponentOptions) -> PluginError {
    match start(options).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

fn cached(options: &ComponentOptions) -> Vec<PathBuf> {
    let entries = fs::read_dir(&options.cache).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_not_compiled_is_compiled_once_and_kept_for_this_user_alone() {
    if !is_here() {
        return;
    }
    let (_folder, options) = uncompiled();
    Running::ready(options.clone()).await;
    let files = cached(&options);
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&options.cache).unwrap().permissions().mode() & 0o777, 0o700);
    // Next time without a compiler.
    Running::ready(ComponentOptions { compiler: None, ..options }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_file_of_the_cache_with_a_flipped_bit_is_not_loaded() {
    if !is_here() {
        return;
    }
    let (_folder, options) = uncompiled();
    Running::ready(options.clone()).await;
    let file = cached(&options).remove(0);
    let whole = fs::read(&file).unwrap();
    for at in [0, 40, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&file, bytes).unwrap();
        let error = refused(ComponentOptions { compiler: None, ..options.clone() }).await;
        assert!(error.to_string().contains("no native code"), "byte {at}: {error}");
    }
    // With a compiler it is mended.
    Running::ready(options.clone()).await;
    assert_eq!(fs::read(&file).unwrap(), whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_cache_into_which_others_can_write_is_not_used() {
    if !is_here() {
        return;
    }
    let (_folder, options) = uncompiled();
    Running::ready(options.clone()).await;
    let file = cached(&options).remove(0);
    let without = ComponentOptions { compiler: None, ..options.clone() };
    for (path, mode, usual) in [(&options.cache, 0o777, 0o700), (&file, 0o622, 0o600)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let error = refused(without.clone()).await;
        assert!(matches!(error, PluginError::Unmet(_)), "{error:?}");
        fs::set_permissions(path, fs::Permissions::from_mode(usual)).unwrap();
    }
    let elsewhere = options.cache.with_extension("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(matches!(refused(without).await, PluginError::Unmet(_)), "a link");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn native_code_in_a_plugin_is_loaded_only_when_its_hash_is_vouched_for() {
    if !is_here() {
        return;
    }
    let folder = Folder::with_probe(false);
    let hash: [u8; 32] = Sha256::digest(code(Target::host())).into();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let asks = Arc::clone(&asked);
    let trusted = Arc::new(move |path: &Path, found: &[u8; 32]| {
        asks.lock().unwrap().push(path.to_owned());
        *found == hash
    });
    let options = ComponentOptions { trusted, ..folder.options() };
    Running::ready(options.clone()).await;
    let file = folder.0.join("compiled").join(artefact_name(Target::host()));
    assert_eq!(*asked.lock().unwrap(), std::slice::from_ref(&file));

    let mut bytes = code(Target::host()).to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = refused(options).await;
    assert!(error.to_string().contains("no native code"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn native_code_of_another_engine_is_refused_though_somebody_vouches_for_it() {
    if !is_here() {
        return;
    }
    // The same wasmtime with other settings; another machine's; no code at all.
    let mut config = wasmtime::Config::new();
    config.consume_fuel(true);
    let other = wasmtime::Engine::new(&config).unwrap().precompile_component(probe()).unwrap();
    let another = if Target::host() == Target::Aarch64 { Target::X86_64 } else { Target::Aarch64 };
    for (code, why) in [
        (&*other, "Module was compiled with incompatible version"),
        (&*native(probe(), another).unwrap(), "Module was compiled for architecture"),
        (b"\x7fELF".as_slice(), ""),
        (b"".as_slice(), ""),
    ] {
        let folder = Folder::with(probe(), Some((Target::host(), code)));
        let error = refused(folder.options()).await.to_string();
        assert!(error.contains("probe.wasm cannot be loaded: ") && error.contains(why), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_component_for_another_version_of_the_interface_is_told_which() {
    if !is_here() {
        return;
    }
    let component = altered("@1.0.0", "@0.9.0");
    let folder =
        Folder::with(&component, Some((Target::host(), &native(&component, Target::host()).unwrap())));
    let error = refused(folder.options()).await;
    assert!(matches!(error, PluginError::Settings(_)), "{error:?}");
    let said = "probe.wasm: this component was built for sedge:plugin 0.9; this node offers 1.0. Build it with the SDK \
                of this node's version";
    assert!(error.to_string().ends_with(said), "{error}");
    // As the document of all faults has it.
    let document = include_str!("../../../host/FAULTS.md");
    assert!(said.strip_prefix("probe.wasm: ").is_some_and(|said| document.contains(said)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_component_for_a_later_minor_version_runs_if_it_needs_nothing_new_and_is_told_otherwise() {
    if !is_here() {
        return;
    }
    let component = altered("@1.0.0", "@1.7.0");
    let folder =
        Folder::with(&component, Some((Target::host(), &native(&component, Target::host()).unwrap())));
    Running::ready(folder.options()).await;

    let component = {
        let from = altered("@1.0.0", "@1.7.0");
        let text = b"address";
        let mut bytes = from.clone();
        for at in 0..from.len() - text.len() {
            if from[at..].starts_with(text) {
                bytes[at..at + text.len()].copy_from_slice(b"advance");
            }
        }
        bytes
    };
    let folder =
        Folder::with(&component, Some((Target::host(), &native(&component, Target::host()).unwrap())));
    let error = refused(folder.options()).await.to_string();
    assert!(error.contains("this component was built for sedge:plugin 1.7; this node offers 1.0"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_component_that_imports_wasi_is_refused_by_name_before_it_runs() {
    if !is_here() {
        return;
    }
    let component = altered("sedge:plugin/delay@1.0.0", "wasi:filesys/delay@1.0.0");
    let folder =
        Folder::with(&component, Some((Target::host(), &native(&component, Target::host()).unwrap())));
    let error = refused(folder.options()).await.to_string();
    assert!(error.contains("imports wasi:filesys/delay@1.0.0, which a node does not have"), "{error}");
    assert!(error.contains("there is no WASI here"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_code_and_compiler_it_is_said_what_to_do() {
    if !is_here() {
        return;
    }
    let (_folder, options) = uncompiled();
    let error = refused(ComponentOptions { compiler: None, ..options }).await;
    assert!(matches!(error, PluginError::Unmet(_)), "{error:?}");
    assert!(error.to_string().contains(&format!("--target {}", Target::host())), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_cannot_be_compiled_is_said_and_leaves_nothing_behind() {
    if !is_here() {
        return;
    }
    let (folder, options) = uncompiled();
    fs::write(folder.0.join("probe.wasm"), &probe()[..probe().len() / 2]).unwrap();
    let error = refused(options.clone()).await.to_string();
    assert!(error.contains("probe.wasm cannot be compiled: "), "{error}");
    assert!(!options.cache.exists());
    fs::remove_file(folder.0.join("probe.wasm")).unwrap();
    let error = refused(options).await.to_string();
    assert!(error.contains("probe.wasm cannot be read: "), "{error}");
}

#[test]
fn the_compiler_is_found_beside_the_program_and_on_the_path() {
    let compiler = Path::new(env!("CARGO_BIN_EXE_sedge-compile"));
    let folder = compiler.parent().unwrap();
    assert_eq!(find_compiler(&folder.join("sedge"), None).as_deref(), Some(compiler));
    let elsewhere = Path::new("/nowhere/sedge");
    assert_eq!(find_compiler(elsewhere, Some(folder.as_os_str())).as_deref(), Some(compiler));
    assert_eq!(find_compiler(elsewhere, Some("relative".as_ref())), None);
}

#[test]
fn how_it_is_kept_apart_is_said() {
    let folder = Folder::new();
    let carrier = ComponentCarrier::new(folder.options());
    assert!(carrier.isolation().starts_with("WebAssembly, "), "{}", carrier.isolation());
}
