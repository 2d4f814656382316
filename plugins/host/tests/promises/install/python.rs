//! Python plugins, each with an environment of its own. Without network: packages lie in a folder.

use sedge_host::install::interpreter;

use super::*;

/// Writes a wheel: a package with one module, and what more.
const WHEEL: &str = r#"
import sys, zipfile
folder, name, entry = sys.argv[1:4]
info = f"{name}-1.2.0.dist-info"
files = {
    f"{name}/__init__.py": "VALUE = 42\n",
    f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.0\n",
    f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{info}/entry_points.txt": "[console_scripts]\nhello = " + name + ":VALUE\n",
}
if entry:
    files[f"{name}/plugin.toml"] = entry
    files[f"{name}/main.py"] = f"import {name}\nprint({name}.VALUE)\n"
    files[f"{info}/entry_points.txt"] += f"[sedge.plugins]\npump = {name}\n"
files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
with zipfile.ZipFile(f"{folder}/{name}-1.2.0-py3-none-any.whl", "w") as wheel:
    for path, text in files.items():
        wheel.writestr(path, text)
"#;

/// A bench whose index is a folder with a wheel; nothing where there is no Python that can do it.
fn bench(name: &str, entry: &str) -> Option<Bench> {
    let mut bench = Bench::new();
    fs::create_dir_all(bench.at.path("wheels")).unwrap();
    let wheels = bench.at.path("wheels").display().to_string();
    if Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        run(&bench.at.0, &["python3", "-c", WHEEL, &wheels, name, entry])?;
        bench.environment.insert("PIP_NO_INDEX".into(), "1".into());
        bench.environment.insert("PIP_FIND_LINKS".into(), wheels);
        bench.environment.insert("PIP_CONFIG_FILE".into(), "/dev/null".into());
        return Some(bench);
    }
    skipped("there is no python3 with venv");
    None
}

fn plugin(bench: &Bench, requirements: &str) -> String {
    bench.at.write("work/pump/requirements.txt", requirements);
    bench.source("pump", "1.0.0", "[python]\nrequirements = \"requirements.txt\"\n")
}

fn works(folder: &Path) -> String {
    let python = interpreter(folder).unwrap();
    run(folder, &[python.to_str().unwrap(), "-c", "import thing; print(thing.VALUE, thing.__file__)"])
        .unwrap()
}

#[test]
fn requirements_are_installed_into_an_environment_of_its_own() {
    let Some(mut bench) = bench("thing", "") else { return };
    bench.start = |folder| Ok(works(folder));
    let source = plugin(&bench, "thing==1.2.0\n");
    let installed = bench.install(&source).unwrap();
    let folder = bench.root().join("pump");
    assert!(
        installed.loads.starts_with("42 ") && installed.loads.contains(".staging-"),
        "{}",
        installed.loads
    );
    let expected = format!("42 {}", folder.join("venv").display());
    assert!(works(&folder).starts_with(&expected), "it works where it was moved to");
    let script = fs::read_to_string(folder.join("venv/bin/hello")).unwrap();
    assert!(script.starts_with(&format!("#!{}", folder.join("venv/bin/python").display())), "{script}");
    let names = sedge_host::install::standing(&folder, &Trust::default());
    assert!(names.is_ok(), "an environment is no change");
    let module = works(&folder).split_once(' ').unwrap().1.to_owned();
    let before = fs::read(&module).unwrap();
    fs::write(&module, "VALUE = 43\n").unwrap();
    let said = sedge_host::install::standing(&folder, &Trust::default()).unwrap_err().to_string();
    assert!(said.contains("installed: venv;"), "{said}");
    fs::write(&module, before).unwrap();
    assert!(sedge_host::install::standing(&folder, &Trust::default()).is_ok());

    bench.source("pump", "2.0.0", "[python]\nrequirements = \"requirements.txt\"\n");
    assert!(matches!(bench.upgrade("pump").unwrap(), Upgraded::Done(_)));
    assert!(works(&folder).starts_with(&expected));
}

#[test]
fn requirements_that_cannot_be_had_leave_nothing() {
    let Some(bench) = bench("thing", "") else { return };
    let said = bench.refused(plugin(&bench, "nothing-of-that-name==1\n"));
    assert!(said.contains("requirements could not be installed") && said.contains("pip says:"), "{said}");
    assert!(said.contains("nothing-of-that-name"), "{said}");
    fs::remove_file(bench.at.path("work/pump/requirements.txt")).unwrap();
    assert!(bench.refused("./work/pump").contains("there is no file `requirements.txt`"));
}

#[test]
fn a_package_of_an_index_brings_its_plugin() {
    let entry = manifest("pump", "1.2.0", "").replace("python3", "{python}");
    let Some(bench) = bench("thing", &entry) else { return };
    let installed = bench.install("pypi:thing").unwrap();
    assert_eq!((&*installed.name, &*installed.source), ("pump", "pypi:thing"));
    assert_eq!(installed.commit.as_deref(), Some("1.2.0"));
    let folder = bench.root().join("pump");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), 4, "{files:?}");
    let python = interpreter(&folder).unwrap();
    assert_eq!(run(&folder, &[python.to_str().unwrap(), "main.py"]).unwrap(), "42");
    assert!(matches!(bench.upgrade("pump").unwrap(), Upgraded::Same { .. }));
}

#[test]
fn a_package_without_a_plugin_is_refused() {
    let Some(bench) = bench("thing", "") else { return };
    let said = bench.refused("pypi:thing==1.2.0");
    assert!(said.contains("the package names 0 plugins; expected one entry point"), "{said}");
    assert!(bench.refused("pypi:nothing-of-that-name").contains("pip says:"));
}
