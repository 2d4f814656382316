//! How long a list of ten thousand plugins takes: `cargo bench -p sedge-host`.
//!
//! Each plugin has a manifest and a schema of its own. "With its process" starts this program anew and waits for its
//! end, as a person waits for `sedge plugin list`. The files are in the page cache: on a board that has just started,
//! a first list waits for its storage too.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sedge_host::{Cache, Place, discover};

const PLUGINS: usize = 10_000;
const ROUNDS: usize = 11;
const ONE_LIST: &str = "--one-list";

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    if let (Some(ONE_LIST), Some(root)) = (arguments.next().as_deref(), arguments.next()) {
        return one_list(Path::new(&root), arguments.next().is_some());
    }
    let root = std::env::temp_dir().join(format!("sedge-host-bench-{}", std::process::id()));
    generate(&root)?;
    let outcome = measure(&root);
    fs::remove_dir_all(&root)?;
    outcome
}

fn generate(root: &Path) -> Outcome {
    for at in 0..PLUGINS {
        let name = format!("plugin-{at:05}");
        let folder = root.join("plugins").join(&name);
        fs::create_dir_all(folder.join("schema"))?;
        let manifest = format!(
            "manifest = 1\n\n[plugin]\nname = \"{name}\"\nversion = \"1.{at}.0\"\n\
             description = \"Measures what there is to measure at place {at}.\"\nauthor = \"A. Grower\"\n\
             category = \"sensor\"\ntags = [\"water\", \"garden\"]\nneeds = [\"clock\"]\n\
             requires = [{{ device = \"/dev/i2c-1\" }}, {{ program = \"python3\" }}]\n\n\
             [entry]\ncommand = [\"python3\", \"main.py\"]\n\n[settings]\nschema = \"schema/settings.json\"\n"
        );
        let properties: Vec<String> = ["address", "offset", "every", "mode", "line"]
            .iter()
            .map(|key| {
                format!("    \"{key}\": {{ \"type\": \"string\", \"description\": \"The {key} of it.\" }}")
            })
            .collect();
        let schema = format!(
            "{{\n  \"type\": \"object\",\n  \"additionalProperties\": false,\n  \"properties\": {{\n{}\n  }}\n}}\n",
            properties.join(",\n")
        );
        fs::write(folder.join("plugin.toml"), manifest)?;
        fs::write(folder.join("schema/settings.json"), schema)?;
    }
    Ok(())
}

fn measure(root: &Path) -> Outcome {
    let places = [Place::user(root.join("plugins"))];
    let cache = Cache::new(root.join("cache"));
    println!("{PLUGINS} plugins, median (slowest) of {ROUNDS}");
    report("without a cache", || drop(black_box(discover(&places))));
    report("with an empty cache, written", || {
        let _ = fs::remove_file(root.join("cache"));
        drop(black_box(cache.discover(&places)));
    });
    println!("{:>34}: {:.1} MB", "the cache", fs::metadata(root.join("cache"))?.len() as f64 / 1e6);
    report("from the cache", || drop(black_box(cache.discover(&places))));
    let program = std::env::current_exe()?;
    let run = |with_cache: Option<&str>| {
        let status = Command::new(&program).arg(ONE_LIST).arg(root).args(with_cache).status();
        assert!(status.is_ok_and(|status| status.success()), "the list failed");
    };
    report("without a cache, with its process", || run(None));
    report("from the cache, with its process", || run(Some("cache")));
    Ok(())
}

fn one_list(root: &Path, with_cache: bool) -> Outcome {
    let places = [Place::user(root.join("plugins"))];
    let listing =
        if with_cache { Cache::new(root.join("cache")).discover(&places) } else { discover(&places) };
    let good = listing.found.iter().filter(|found| found.outcome.is_ok()).count();
    if good == PLUGINS { Ok(()) } else { Err(format!("{good} of {PLUGINS} plugins").into()) }
}

fn report(what: &str, mut run: impl FnMut()) {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{what:>34}: {:>6.1} ms ({:.1} ms)",
        milliseconds(times[ROUNDS / 2]),
        milliseconds(times[ROUNDS - 1])
    );
}
