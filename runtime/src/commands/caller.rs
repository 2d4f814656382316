//! `sedge caller new NAME`: a key pair for somebody who signs calls.
//!
//! The private half stays where it is made, in a file for its owner alone; the public half is printed as the section that
//! nodes need in their config.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sedge_mqtt::wire::Signer;
use sedge_plugin::Id;
use serde_json::json;

use crate::cli::{Global, NewCallerArgs};
use crate::exit::Failure;
use crate::show::{complain, say};

/// Bytes of a file with a private key.
const MOST_KEY_BYTES: u64 = 16 * 1024;

/// Makes a key pair.
pub fn new(global: &Global, args: &NewCallerArgs) -> Result<(), Failure> {
    let name = named(&args.name)?;
    let signer = Signer::generate(name.clone()).map_err(|error| Failure::Failed(error.to_string()))?;
    let file = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.key")));
    write(&file, signer.to_pem().expose()).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::Failed(format!(
            "{} is there already, and a key that is overwritten is gone; name another file with --output",
            file.display()
        )),
        _ => Failure::Failed(format!("{}: {error}", file.display())),
    })?;
    let key = signer.public();
    if global.json {
        say(json!({ "name": name, "key": key, "file": file }))?;
        return Ok(());
    }
    complain(format_args!(
        "The private key is in {}: it stays with the caller. Add this to the config of each node that it may call, and say \
         which tools:\n",
        file.display()
    ));
    say(format_args!("[caller.{name}]\nkey = \"{key}\"\ntools = [\"*\"]"))?;
    Ok(())
}

/// Reads the key with which calls are signed as `name`.
pub fn signer(name: &str, file: &Path) -> Result<Signer, Failure> {
    let name = named(name)?;
    let wrong = |why: String| Failure::Usage(format!("--key {}: {why}", file.display()));
    let at = fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    if !at.is_file() || at.len() > MOST_KEY_BYTES {
        return Err(wrong("not a file with a key".into()));
    }
    let pem = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    Signer::from_pem(name, &pem).map_err(|error| wrong(error.to_string()))
}

fn named(name: &str) -> Result<Id, Failure> {
    Id::new(name).map_err(|error| Failure::Usage(format!("the caller's name {error}")))
}

/// Never over another file, and for its owner alone from the first byte.
fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()
}
