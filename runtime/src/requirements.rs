//! Looks whether the host has what a plugin requires.

use std::env::var_os;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sedge_actors::CheckRequirement;
use sedge_plugin::Requirement;

/// Where the loader of Linux looks for libraries, beside the folders of an architecture within them.
const LIBRARIES: [&str; 5] = ["/lib", "/usr/lib", "/usr/local/lib", "/lib64", "/usr/lib64"];

/// Looks with the eyes of this process.
pub(crate) fn checker() -> CheckRequirement {
    let path = var_os("PATH").unwrap_or_default();
    let programs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    Arc::new(move |requirement| check(requirement, &programs))
}

fn check(requirement: &Requirement<String>, programs: &[PathBuf]) -> Result<(), String> {
    let there = match requirement {
        Requirement::Device(device) => Path::new(device).exists(),
        Requirement::Program(program) if program.contains('/') => Path::new(program).is_file(),
        Requirement::Program(program) => programs.iter().any(|folder| folder.join(program).is_file()),
        Requirement::Library(library) => {
            LIBRARIES.iter().any(|folder| has_library(Path::new(folder), library))
        }
        Requirement::Module(module) => {
            // The kernel writes `-` as `_`. One that is built in and has no settings shows in neither place.
            let module = module.replace('-', "_");
            Path::new("/sys/module").join(&module).exists() || is_built_in(&module)
        }
    };
    if there {
        Ok(())
    } else {
        Err(format!("needs {requirement}, which is not there; {}", remedy(requirement)))
    }
}

fn has_library(folder: &Path, library: &str) -> bool {
    let within = || std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    folder.join(library).exists()
        || within().any(|entry| {
            entry.file_name().to_string_lossy().contains("-linux-") && entry.path().join(library).exists()
        })
}

fn is_built_in(module: &str) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let list = format!("/lib/modules/{}/modules.builtin", release.trim());
    let name = |line: &str| {
        let file = line.rsplit('/').next().unwrap_or_default();
        file.trim_end_matches(".ko").replace('-', "_")
    };
    std::fs::read_to_string(list).is_ok_and(|text| text.lines().any(|line| name(line) == module))
}

fn remedy(requirement: &Requirement<String>) -> &'static str {
    match requirement {
        Requirement::Device(device) if device.starts_with("/dev/i2c") => {
            "switch I2C on: `sudo raspi-config nonint do_i2c 0`"
        }
        Requirement::Device(device) if device.starts_with("/dev/spi") => {
            "switch SPI on: `sudo raspi-config nonint do_spi 0`"
        }
        Requirement::Device(_) => "connect or switch on the device",
        Requirement::Program(_) => "install it, or put it on the PATH",
        Requirement::Library(_) => "install the package that has it",
        Requirement::Module(_) => "load it with `modprobe`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_what_is_not_is_named_with_a_remedy() {
        let programs = [PathBuf::from("/bin"), PathBuf::from("/usr/bin")];
        let check = |requirement: Requirement| super::check(&requirement.to_owned(), &programs);
        assert_eq!(check(Requirement::Device("/dev/null")), Ok(()));
        assert_eq!(check(Requirement::Program("sh")), Ok(()));
        assert_eq!(check(Requirement::Program("/bin/sh")), Ok(()));
        assert_eq!(check(Requirement::Library("libc.so.6")), Ok(()));
        for missing in [
            Requirement::Device("/dev/i2c-4711"),
            Requirement::Program("sedge-nothing"),
            Requirement::Library("libnothing.so.0"),
            Requirement::Module("sedge_nothing"),
        ] {
            let text = check(missing).unwrap_err();
            assert!(text.contains(&missing.to_string()) && text.contains("; "), "{text}");
        }
        assert!(check(Requirement::Device("/dev/i2c-4711")).unwrap_err().contains("raspi-config"));
    }
}
