//! Runs the component of a folder in a process of its own: what the node's own program is for a section with
//! `sandbox = "process"`.

#![cfg_attr(target_family = "wasm", no_main)]

#[cfg(not(target_family = "wasm"))]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;
    use std::sync::Arc;

    use sedge_host::wasm::{ComponentOptions, serve};
    use sedge_plugin::Taken;

    let began = std::time::Instant::now();
    let options = ComponentOptions {
        folder: std::env::args_os().nth(1).unwrap_or_default().into(),
        file: "plugin.wasm".into(),
        cache: "nowhere".into(),
        compiler: None,
        // Of the test's own making.
        trusted: Arc::new(|_, _| true),
        clock: Arc::new(move || {
            let up_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            Taken { up_ms, wall_ms: None }
        }),
        interpreted: false,
    };
    let Err(why) = serve(options, 3) else { return ExitCode::SUCCESS };
    // Nobody is left to tell where even that cannot be written.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{why}\n").as_bytes());
    ExitCode::FAILURE
}
