//! `sedge site init`: all of a site on the broker machine. What is there stays as it is, so it may be run again: with other hosts
//! the broker gets another certificate, and what is missing is made.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use sedge_plugin::Id;
use sedge_token::{NodeKey, PLUGIN, pem};

use super::{Failure, at, now_ms, restart};
use crate::admission::RESERVED;
use crate::authority::Authority;
use crate::cli::{InitArgs, say};
use crate::files::{self, Owner};
use crate::ledger::{NodeRow, Open};
use crate::mosquitto::{self, Broker};
use crate::places::Places;

/// The user as whom a node runs.
const USER: &str = "sedge";
const PORT: u16 = 8883;
/// Hosts of a broker.
const MOST_HOSTS: usize = 32;

/// Makes the site.
pub fn init(places: &Places, args: &InitArgs) -> Result<(), Failure> {
    args.hosts.iter().try_for_each(|host| is_host(host))?;
    if args.hosts.len() > MOST_HOSTS {
        return Err(Failure::Usage(format!("{MOST_HOSTS} hosts at most")));
    }
    if !args.no_mosquitto && !places.mosquitto().join("mosquitto.conf").exists() {
        let text = "Mosquitto is not installed: apt-get install mosquitto; or --no-mosquitto, for a broker elsewhere";
        return Err(Failure::Failed(text.into()));
    }
    folders(places)?;
    let mut open = Open::wait(places).map_err(at(places.state().display()))?;
    let before = open.ledger.site.clone();
    settle(&mut open, args)?;
    let port = open.ledger.site.port;
    if !args.no_mosquitto {
        goes_together(places, port)?;
    }
    let authority = authority(places, args, &open)?;
    let broker = Broker::at(places, !args.no_mosquitto);
    let mut changed = false;
    if before.hosts != open.ledger.site.hosts || !broker.certificate().exists() || is_torn(&broker) {
        let (certificate, key) = authority.server(&open.ledger.site.hosts, now_ms())?;
        let wrong = || at(broker.folder.display());
        broker.keep("server.key", &key, 0o600).map_err(wrong())?;
        changed |= broker.keep("server.crt", &certificate.pem(), 0o644).map_err(wrong())?;
        say(format_args!(
            "The broker's certificate is for {}, and this machine's own names.",
            open.ledger.site.hosts.join(", ")
        ));
    }
    // Only now: after a power cut before this the hosts are still new ones, and the certificate is made again.
    open.save().map_err(at(places.state().display()))?;
    let wrong = || at(broker.folder.display());
    changed |= broker.keep("ca.crt", &pem::encode("CERTIFICATE", &authority.der), 0o644).map_err(wrong())?;
    changed |= broker.keep_rules(&open.ledger, &authority)?;
    changed |= broker.keep_config(port).map_err(at(broker.config.display()))?;
    if changed {
        say(format_args!("The broker's files: {} and {}/", broker.config.display(), broker.folder.display()));
    }
    let node = own_node(places, &mut open, &authority)?;
    // Its former certificate may have come onto the list.
    changed |= broker.keep_rules(&open.ledger, &authority)?;
    changed |= open.ledger.untold;
    open.ledger.untold = !restart(places, "mosquitto", changed && !args.no_mosquitto, !args.no_restart);
    open.save().map_err(at(places.state().display()))?;
    // The registrar reads it when it starts.
    drop(open);
    restart(places, "sedge", node, !args.no_restart);
    say("The site is ready. A token for forty boards: sedge site token --uses 40");
    Ok(())
}

/// Whether a power cut has left a new key beside an old certificate: Mosquitto would not start. A key of another kind is somebody's own.
fn is_torn(broker: &Broker) -> bool {
    let read = |name: &str| files::read(&broker.folder.join(name)).unwrap_or_default();
    let certificate = pem::decode("CERTIFICATE", &read("server.crt"));
    let key = NodeKey::from_pem(&read("server.key"));
    matches!((key, certificate), (Ok(key), Some(certificate)) if !key.is_in(&certificate))
}

fn is_host(host: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let named = (1..=253).contains(&host.len()) && host.chars().all(plain) && !host.starts_with(['-', '.']);
    if named || host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "`{host}` is neither the name nor the address of a machine; no port, no mqtts://"
    )))
}

fn folders(places: &Places) -> Result<(), Failure> {
    let make = |folder: &Path, mode, owner| files::folder(folder, mode, owner).map_err(at(folder.display()));
    make(&places.site(), 0o755, Owner::default())?;
    make(&places.fragments(), 0o755, Owner::default())?;
    make(&places.fragments().join("nodes"), 0o755, Owner::default())?;
    let state = places.state();
    make(state.parent().unwrap_or(&state), 0o755, Owner::user(USER))?;
    make(&state, 0o750, Owner::user(USER))
}

/// What the site is to be: as before where nothing else is said.
fn settle(open: &mut Open, args: &InitArgs) -> Result<(), Failure> {
    let site = &mut open.ledger.site;
    if !args.hosts.is_empty() {
        site.hosts.clone_from(&args.hosts);
    }
    if site.hosts.is_empty() {
        return Err(Failure::Usage(
            "name the host under which boards reach this machine: sedge site init broker.local".into(),
        ));
    }
    site.port = args.port.unwrap_or(if site.port == 0 { PORT } else { site.port });
    match (&site.registrar, &args.id) {
        (Some(known), Some(asked)) if known != asked => {
            Err(Failure::Usage(format!("the registrar is `{known}`, and tokens name it; leave --id out")))
        }
        (Some(_), _) => Ok(()),
        (None, asked) => {
            let id = asked.clone().unwrap_or_else(host_id);
            if RESERVED.contains(&id.as_str()) {
                return Err(Failure::Usage(format!(
                    "`{id}` is no name for the registrar: the broker's rules have a use for it; name another with --id"
                )));
            }
            site.registrar = Some(id);
            Ok(())
        }
    }
}

fn host_id() -> Id {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Id::from_host(name.trim())
}

fn goes_together(places: &Places, port: u16) -> Result<(), Failure> {
    let folder = places.mosquitto();
    let clashes = mosquitto::conflicts(places, port).map_err(at(folder.display()))?;
    if clashes.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "Mosquitto is set up already, and the site's rules would hold there too, or its rules here:\n  {}\n\
         Take these lines away (deploy/mosquitto says how passwords and certificates go together), or begin mosquitto.conf with \
         `per_listener_settings true` and choose a free --port; or place the files yourself: --no-mosquitto",
        clashes.join("\n  ")
    )))
}

fn authority(places: &Places, args: &InitArgs, open: &Open) -> Result<Authority, Failure> {
    let (file, key_file) = (places.ca(), places.ca_key());
    let read = |file: &Path| files::read(file).map_err(at(file.display()));
    let texts = match (&args.ca, &args.ca_key) {
        (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
        _ => None,
    };
    let (certificate, key) = match (file.exists(), texts) {
        (true, None) => (read(&file)?, read(&key_file)?),
        (true, Some((given, _))) if read(&file)? != given => {
            return Err(Failure::Failed(format!(
                "{} is this site's authority, which its nodes trust; another one is another site",
                file.display()
            )));
        }
        (_, Some(texts)) => texts,
        (false, None) => {
            let name = open.ledger.site.hosts.first().map_or("", String::as_str);
            let texts = Authority::generate(name, now_ms())?;
            say(format_args!(
                "A new authority: {}; its key is {}: make a copy of it.",
                file.display(),
                key_file.display()
            ));
            texts
        }
    };
    let authority = Authority::load(&certificate, &key)?;
    // The key first: a certificate without it would look like an authority that is there.
    files::keep(&key_file, key.as_bytes(), 0o640, Owner::group(USER)).map_err(at(key_file.display()))?;
    files::keep(&file, certificate.as_bytes(), 0o644, Owner::default()).map_err(at(file.display()))?;
    Ok(authority)
}

/// The node on this machine, on which the registrar runs; says whether anything changed.
fn own_node(places: &Places, open: &mut Open, authority: &Authority) -> Result<bool, Failure> {
    let Some(id) = open.ledger.site.registrar.clone() else { return Ok(false) };
    let sedge = places.sedge();
    let (site, credentials) = (sedge.join("site"), sedge.join("credentials"));
    for (folder, mode) in
        [(&sedge, 0o755), (&site, 0o755), (&sedge.join("conf.d"), 0o755), (&credentials, 0o700)]
    {
        files::folder(folder, mode, Owner::default()).map_err(at(folder.display()))?;
    }
    let (ca_file, cert_file, key_file) =
        (site.join("ca.crt"), site.join("node.crt"), credentials.join("mqtt-key"));
    let keep = |file: &Path, text: &str, mode| {
        files::keep(file, text.as_bytes(), mode, Owner::default()).map_err(at(file.display()))
    };
    let mut changed = false;
    if !open.ledger.nodes.contains_key(&id) || !cert_file.exists() || !key_file.exists() {
        let key = NodeKey::generate()?;
        let signed = authority.client(id.as_str(), key.public(), now_ms())?;
        if let Some(old) = open.ledger.nodes.get(&id).map(|row| row.serial.clone()) {
            open.ledger.revoke(&old);
        }
        let row = NodeRow {
            serial: signed.serial.clone(),
            key: None,
            certificate: None,
            group: None,
            since_ms: now_ms(),
            by: "site".into(),
            facts: Default::default(),
            revoked: false,
        };
        keep(&key_file, &key.to_pem(), 0o600)?;
        changed |= keep(&cert_file, &signed.pem(), 0o644)?;
        open.ledger.nodes.insert(id.clone(), row);
        open.save().map_err(at(places.state().display()))?;
    }
    changed |= keep(&ca_file, &pem::encode("CERTIFICATE", &authority.der), 0o644)?;
    let client = fs::read_to_string(&key_file)
        .ok()
        .and_then(|text| NodeKey::from_pem(&text).ok())
        .map(|key| format!("client_id = \"{}\"\n", key.client_id(id.as_str())))
        .unwrap_or_default();
    let (here, port) = (places.is_this_machine(), open.ledger.site.port);
    let key = if here { "credential:mqtt-key".to_owned() } else { key_file.display().to_string() };
    let root = if here { String::new() } else { format!("root = \"{}\"\n", sedge.join("../..").display()) };
    let text = format!(
        "# Written by `sedge site init`, which writes it anew. This machine's node is the registrar of the site.\n\
         [node]\nid = \"{id}\"\n\n[mqtt]\nusername = \"{id}\"\n{client}url = \"mqtts://localhost:{port}\"\nca_file = \"{}\"\ncert_file = \"{}\"\nkey_file = \"{key}\"\n\n\
         [plugin.{PLUGIN}]\n{root}",
        ca_file.display(),
        cert_file.display(),
    );
    let file = sedge.join("conf.d/50-site.toml");
    changed |= keep(&file, &text, 0o644)?;
    if changed {
        say(format_args!("The registrar is the node `{id}` on this machine: {}", file.display()));
    }
    Ok(changed)
}
