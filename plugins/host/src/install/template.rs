//! `sedge plugin new`: a plugin to begin with, that builds and passes its own test at once.
//!
//! | language | what it is | how it is built |
//! |---|---|---|
//! | `python` | a program of Python, with the SDK beside it: it needs nothing else | not at all |
//! | `rust` | a process | `cargo build --release` |
//! | `wasm` | the same source, as a component | `cargo build --release --target wasm32-unknown-unknown`, `sedge-compile` |
//!
//! It must not write over anything.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sedge_plugin::Id;

use super::sdk::FILES;

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A kind of sensor.
    Sensor,
    /// A tool.
    Tool,
    /// A step of the path of a reading.
    Processor,
}

/// What it is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust, as a process.
    Rust,
    /// Python.
    Python,
    /// Rust, as a WebAssembly component.
    Wasm,
}

/// Why there is no new plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NewError {
    /// The name is not legal.
    #[error("the name {0}")]
    Name(String),
    /// There is something already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Code, its test where that is apart, and the manifest from its description on.
struct Template {
    code: &'static str,
    test: &'static str,
    manifest: &'static str,
}

impl Template {
    fn of(kind: Kind, language: Language) -> Self {
        match (language, kind) {
            (Language::Python, Kind::Sensor) => Self {
                code: include_str!("templates/python/sensor.py"),
                test: include_str!("templates/python/sensor_test.py"),
                manifest: include_str!("templates/python/sensor.toml"),
            },
            (Language::Python, Kind::Tool) => Self {
                code: include_str!("templates/python/tool.py"),
                test: include_str!("templates/python/tool_test.py"),
                manifest: include_str!("templates/python/tool.toml"),
            },
            (Language::Python, Kind::Processor) => Self {
                code: include_str!("templates/python/processor.py"),
                test: include_str!("templates/python/processor_test.py"),
                manifest: include_str!("templates/python/processor.toml"),
            },
            (Language::Rust | Language::Wasm, Kind::Sensor) => Self {
                code: include_str!("templates/rust/sensor.rs"),
                test: "",
                manifest: include_str!("templates/rust/sensor.toml"),
            },
            (Language::Rust | Language::Wasm, Kind::Tool) => Self {
                code: include_str!("templates/rust/tool.rs"),
                test: "",
                manifest: include_str!("templates/rust/tool.toml"),
            },
            (Language::Rust | Language::Wasm, Kind::Processor) => Self {
                code: include_str!("templates/rust/processor.rs"),
                test: "",
                manifest: include_str!("templates/rust/processor.toml"),
            },
        }
    }
}

/// Writes a plugin into the folder `below`/NAME, and gives that. `clone` is a clone of Sedge, whose SDK Rust takes; without one it
/// is that of crates.io.
///
/// # Errors
/// The name is not legal, or there is something of that name; nothing is written then.
pub fn create(
    kind: Kind,
    language: Language,
    name: &str,
    below: &Path,
    clone: Option<&Path>,
) -> Result<PathBuf, NewError> {
    let name = Id::new(name).map_err(|error| NewError::Name(error.to_string()))?;
    if name.as_str().starts_with(|c: char| c.is_ascii_digit()) {
        return Err(NewError::Name(format!("`{name}` begins with a digit, which no name in code may")));
    }
    if TAKEN.contains(&name.as_str()) {
        return Err(NewError::Name(format!("`{name}` means something else in code; choose another one")));
    }
    let folder = below.join(name.as_str());
    fs::create_dir_all(below).map_err(|source| NewError::Io { path: below.into(), source })?;
    fs::create_dir(&folder).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => NewError::Exists(folder.clone()),
        _ => NewError::Io { path: folder.clone(), source },
    })?;
    for (path, text) in files(kind, language, &name, clone) {
        write(&folder.join(path), &text).inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
    }
    Ok(folder)
}

fn write(path: &Path, text: &str) -> Result<(), NewError> {
    let written = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::File::create_new(path)?.write_all(text.as_bytes())
    };
    written().map_err(|source| NewError::Io { path: path.into(), source })
}

/// What it consists of: paths below its folder, and texts.
fn files(kind: Kind, language: Language, name: &Id, clone: Option<&Path>) -> Vec<(String, String)> {
    let words = Words::of(kind, language, name, clone);
    let template = Template::of(kind, language);
    let head = "manifest = 1\n\n[plugin]\nname = \"{{name}}\"\nversion = \"0.1.0\"\n";
    let mut files = vec![
        ("plugin.toml".to_owned(), words.fill(&format!("{head}{}", template.manifest))),
        ("README.md".into(), words.fill(README)),
    ];
    if language == Language::Python {
        files.push(("main.py".into(), words.fill(template.code)));
        files.push(("test_main.py".into(), words.fill(template.test)));
        files.push((".gitignore".into(), "__pycache__/\nvenv/\n".into()));
        files.extend(FILES.iter().map(|(path, text)| (format!("sedge_sdk/{path}"), (*text).to_owned())));
        return files;
    }
    files.push(("src/lib.rs".into(), words.fill(template.code)));
    files.push(("Cargo.toml".into(), words.fill(include_str!("templates/rust/cargo.toml"))));
    files.push((".gitignore".into(), "target/\n".into()));
    if language == Language::Rust {
        files.push(("src/main.rs".into(), words.fill(MAIN)));
    }
    files
}

const MAIN: &str = "//! The plugin as a process.\n\nfn main() -> std::process::ExitCode {\n    {{run}}\n}\n";

const README: &str = "\
# {{name}}

```text
{{test}}
sedge plugin install . --link       # this folder, as it is while you work on it
```

In the config:

```toml
{{section}}
```

Before it is given to others: `sedge plugin check .`
";

/// What is filled in.
struct Words(Vec<(&'static str, String)>);

impl Words {
    fn of(kind: Kind, language: Language, name: &Id, clone: Option<&Path>) -> Self {
        let snake = name.as_str().replace('-', "_");
        let kind_type = camel(name.as_str());
        let word = match kind {
            Kind::Sensor => "sensor",
            Kind::Tool => "plugin",
            Kind::Processor => "processor",
        };
        let wasm = language == Language::Wasm;
        let entry = match wasm {
            true => format!("# Made by `sedge-compile .`, see README.md.\n[entry]\nwasm = \"{name}.wasm\""),
            false => format!("[entry]\ncommand = [\"target/release/{name}\"]"),
        };
        let test = match language {
            Language::Python => "python3 -m unittest                 # its test".to_owned(),
            Language::Rust => "cargo test                          # its test\ncargo build --release".into(),
            Language::Wasm => format!(
                "cargo test                          # its test\n\
                 cargo build --release --target wasm32-unknown-unknown\n\
                 cp target/wasm32-unknown-unknown/release/{snake}.wasm {name}.wasm\n\
                 sedge-compile {name}.wasm           # the component, and its native code"
            ),
        };
        let section = match (kind, language) {
            (Kind::Sensor, Language::Python) => {
                format!("[sensor.{name}-1]\nkind = \"{name}\"\nevery = \"10s\"")
            }
            (Kind::Sensor, _) => {
                format!(
                    "[sensor.{name}-1]\nkind = \"{name}\"\nbus = \"i2c-1\"\naddress = 0x48\nevery = \"10s\""
                )
            }
            (Kind::Tool, _) => format!("[plugin.{name}]"),
            (Kind::Processor, _) => format!(
                "[processor.{name}-1]\nkind = \"{name}\"\nsensors = [\"tank\"]\nfield = \"level\"\noffset = 2.0"
            ),
        };
        let run = match kind {
            Kind::Tool => format!("sedge_sdk::plugin::<{snake}::{kind_type}>()"),
            Kind::Sensor | Kind::Processor => {
                format!("sedge_sdk::{word}::<{snake}::{kind_type}>(env!(\"CARGO_PKG_VERSION\"))")
            }
        };
        let crate_at = |path: &str| match clone {
            Some(clone) => {
                format!("{{ path = {} }}", toml::Value::from(clone.join(path).to_string_lossy().as_ref()))
            }
            None => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
        };
        Self(vec![
            (
                "export",
                if wasm { format!("\nsedge_sdk::component!({word}: {kind_type});\n") } else { String::new() },
            ),
            (
                "lib",
                if wasm { "\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n".into() } else { String::new() },
            ),
            ("profile", if wasm { "panic = \"abort\"".into() } else { String::new() }),
            ("entry", entry),
            ("test", test),
            ("section", section),
            ("run", run),
            ("plugin", crate_at("plugins/api")),
            ("sdk", crate_at("plugins/sdk/rust")),
            ("name", name.to_string()),
            ("snake", snake),
            ("type", kind_type),
        ])
    }

    fn fill(&self, text: &str) -> String {
        let fill =
            |text: String, (word, value): &(&str, String)| text.replace(&format!("{{{{{word}}}}}"), value);
        let text = self.0.iter().fold(text.to_owned(), fill);
        format!("{}\n", text.trim_end())
    }
}

/// `water-pump` is `WaterPump`; where that is the name of something else, `MyPump`.
fn camel(name: &str) -> String {
    let parts = name.split(['-', '_']).filter(|part| !part.is_empty());
    let text: String = parts.map(|part| part[..1].to_uppercase() + &part[1..]).collect();
    if TYPES.contains(&&*text) { format!("My{text}") } else { text }
}

/// Names of crates and modules that the code needs, and words of the languages.
const TAKEN: &[&str] = &[
    "alloc",
    "as",
    "async",
    "await",
    "class",
    "const",
    "core",
    "crate",
    "def",
    "del",
    "dyn",
    "else",
    "enum",
    "except",
    "extern",
    "false",
    "fn",
    "for",
    "from",
    "if",
    "impl",
    "import",
    "in",
    "is",
    "let",
    "loop",
    "main",
    "match",
    "mod",
    "move",
    "mut",
    "not",
    "or",
    "os",
    "pass",
    "proc-macro",
    "pub",
    "raise",
    "random",
    "ref",
    "return",
    "run",
    "schemars",
    "sedge",
    "sedge-plugin",
    "sedge-sdk",
    "self",
    "serde",
    "serde-json",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "tool",
    "trait",
    "true",
    "try",
    "type",
    "unittest",
    "unsafe",
    "use",
    "where",
    "while",
    "with",
    "yield",
];

/// Names of types that the code needs.
const TYPES: &[&str] = &[
    "Box",
    "Category",
    "Config",
    "Context",
    "Draft",
    "False",
    "Field",
    "Frame",
    "Hooks",
    "Id",
    "Identity",
    "Manifest",
    "Missing",
    "Name",
    "None",
    "Option",
    "Plugin",
    "Processor",
    "Result",
    "Self",
    "Sensor",
    "Settings",
    "Some",
    "Step",
    "String",
    "Sum",
    "Taken",
    "Tool",
    "Tools",
    "True",
    "Unit",
    "Value",
    "Vec",
];
