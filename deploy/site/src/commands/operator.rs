//! `sedge site operator`: a certificate for somebody who is no node, in a folder that can be carried away.

use std::path::{Path, PathBuf};

use sedge_plugin::Id;
use sedge_token::{NodeKey, pem};

use super::{Failure, at, must_be_free, now_ms, opened, tell_broker};
use crate::cli::say;
use crate::files::{self, Owner};
use crate::ledger::{MOST_PEOPLE, PersonRow};
use crate::places::Places;

/// Makes it.
pub fn operator(places: &Places, name: &Id, read_only: bool, out: Option<&Path>) -> Result<(), Failure> {
    let (mut open, authority) = opened(places)?;
    must_be_free(&open, name)?;
    if open.ledger.people.len() >= MOST_PEOPLE {
        return Err(Failure::Failed(format!("the site has {MOST_PEOPLE} operators, and no more are kept")));
    }
    let folder = out.map_or_else(|| PathBuf::from(name.as_str()), PathBuf::from);
    let folder = std::path::absolute(&folder).map_err(at(folder.display()))?;
    if folder.exists() {
        return Err(Failure::Failed(format!(
            "{} is there already; name another with --out",
            folder.display()
        )));
    }
    let key = NodeKey::generate()?;
    let certificate = authority.client(name.as_str(), key.public(), now_ms())?;
    let serial = certificate.serial.clone();
    files::folder(&folder, 0o700, Owner::default()).map_err(at(folder.display()))?;
    let (host, port) =
        (open.ledger.site.hosts.first().map_or("localhost", |host| host), open.ledger.site.port);
    let shown = folder.display();
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let config = format!(
        "# The user is the name in the certificate. The files lie beside this one.\n[mqtt]\nusername = \"{name}\"\nurl = \"mqtts://{host}:{port}\"\nca_file = \"ca.crt\"\ncert_file = \"client.crt\"\nkey_file = \"client.key\"\n"
    );
    let texts = [
        ("ca.crt", pem::encode("CERTIFICATE", &authority.der)),
        ("client.crt", certificate.pem()),
        ("client.key", key.to_pem()),
        ("sedge.toml", config),
    ];
    // It is for a person, who is not root.
    let owner = Owner::behind_sudo();
    for (file, text) in texts {
        let file = folder.join(file);
        files::write(&file, text.as_bytes(), 0o600, owner).map_err(at(file.display()))?;
    }
    // Only now: until then nobody else can put anything there.
    owner.takes(&folder).map_err(at(folder.display()))?;
    open.ledger.people.insert(name.clone(), PersonRow { serial, read_only, revoked: false });
    open.ledger.untold = true;
    open.save().map_err(at(places.state().display()))?;
    tell_broker(places, &mut open, &authority)?;
    let may = if read_only { "reads all nodes" } else { "reads all nodes and calls their tools" };
    say(format_args!(
        "`{name}` {may}: {shown} has the certificate, its key and a config; it may be carried to another machine.\n    sedge node list -c {shown}/sedge.toml"
    ));
    Ok(())
}
