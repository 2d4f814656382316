//! A plugin from a Python package index: `pypi:NAME`.
//!
//! The package says where its plugin is by an entry point of the group `sedge.plugins`, whose value is a package that has
//! `plugin.toml` among its files:
//!
//! ```toml
//! [project.entry-points."sedge.plugins"]
//! pump = "sedge_pump"
//! ```
//!
//! The files of that package become the plugin's folder; the environment beside them has the package and what it needs. Nothing
//! of the package is run for it, unless `pip` has to build it.

use std::path::{Path, PathBuf};

use super::{InstallError, Installer, unpack, venv};

/// Prints the version, and the folder of the plugin. Finds both without importing anything of the package.
const LOOK: &str = r#"
import importlib.metadata as m, pathlib, sys
found = m.distribution(sys.argv[1])
print(found.version)
for point in found.entry_points:
    if point.group == "sedge.plugins":
        print(found.locate_file(pathlib.Path(*point.value.split(":")[0].strip().split("."))))
"#;

/// Makes the environment of `pypi:NAME` in an empty folder, and lays the plugin's files beside it; gives the package's version.
pub(super) fn fetch(
    installer: &Installer<'_>,
    name: &str,
    version: Option<&str>,
    into: &Path,
) -> Result<String, InstallError> {
    venv::create(installer, into, false)?;
    let wanted = version.map_or_else(|| name.to_owned(), |version| format!("{name}=={version}"));
    venv::pip(installer, into, &["--", &wanted])?;
    let printed = venv::ask(installer, into, LOOK, name)?;
    let mut lines = printed.lines();
    let version = lines.next().unwrap_or_default().to_owned();
    let folders: Vec<PathBuf> = lines.map(PathBuf::from).collect();
    let refuse = |why: String| Err(InstallError::refused(format!("pypi:{wanted}"), why));
    let [folder] = &folders[..] else {
        return refuse(format!(
            "the package names {} plugins; expected one entry point of the group `sedge.plugins`",
            folders.len()
        ));
    };
    if !folder.starts_with(into) || !folder.join(crate::manifest::MANIFEST_FILE).is_file() {
        return refuse("its entry point leads to no package with a plugin.toml among its files".into());
    }
    unpack::directory(folder, into, &|| (installer.watch)(super::Step::Waiting))?;
    Ok(version)
}
