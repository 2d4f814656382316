//! A network of the harness's own: a namespace for the node, and a cable to it that can be pulled or made to drop everything.
//!
//! It needs root. It must leave nothing behind: what it made goes when it is dropped.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Output, Stdio};

use crate::Trouble;

/// See the module.
pub struct Network {
    namespace: String,
    cable: String,
    /// The address of this end of the cable.
    pub here: IpAddr,
}

impl Drop for Network {
    fn drop(&mut self) {
        // The cable goes with the namespace.
        let _ = ip(&["netns", "del", &self.namespace]);
        let _ = ip(&["link", "del", &self.cable]);
    }
}

impl Network {
    /// Makes the namespace and the cable.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn new() -> Result<Self, Trouble> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let id = std::process::id();
        let name = format!("sf{id}x{number}");
        // Benchmarking addresses (RFC 2544), which nobody else uses.
        let subnet = (id.wrapping_mul(64).wrapping_add(number)) % 0x8000;
        let address = |end: u32| Ipv4Addr::from(0xC612_0000_u32 + subnet * 4 + end);
        let [here, there] = [1, 2].map(address);
        let network = Self { namespace: name.clone(), cable: format!("{name}a"), here: here.into() };
        let (a, b) = (network.cable.as_str(), format!("{name}b"));
        let inside = ["netns", "exec", &name, "ip"];
        for args in [
            vec!["netns", "add", &name],
            vec!["link", "add", a, "type", "veth", "peer", "name", &b, "netns", &name],
            vec!["addr", "add", &format!("{here}/30"), "dev", a],
            vec!["link", "set", a, "up"],
            [&inside[..], &["addr", "add", &format!("{there}/30"), "dev", &b]].concat(),
            [&inside[..], &["link", "set", &b, "up"]].concat(),
            [&inside[..], &["link", "set", "lo", "up"]].concat(),
        ] {
            allowed(&args)?;
        }
        Ok(network)
    }

    /// What stands before a program to run it at the other end.
    pub fn prefix(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.namespace].map(String::from).to_vec()
    }

    /// Pulls the cable, or puts it back.
    ///
    /// # Errors
    /// When that fails.
    pub fn plug(&self, plugged: bool) -> Result<(), Trouble> {
        allowed(&["link", "set", &self.cable, if plugged { "up" } else { "down" }])
    }

    /// Drops every packet at the other end, in both directions, or none.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn drop_all(&self, drop: bool) -> Result<(), Trouble> {
        let inside = ["netns", "exec", &self.namespace, "nft"];
        let rules: &[&[&str]] = match drop {
            false => &[&["delete", "table", "ip", "faults"]],
            true => &[
                &["add", "table", "ip", "faults"],
                &[
                    "add",
                    "chain",
                    "ip",
                    "faults",
                    "in",
                    "{ type filter hook input priority 0; policy drop; }",
                ],
                &[
                    "add",
                    "chain",
                    "ip",
                    "faults",
                    "out",
                    "{ type filter hook output priority 0; policy drop; }",
                ],
            ],
        };
        rules.iter().try_for_each(|rule| allowed(&[&inside[..], rule].concat()))
    }
}

fn ip(args: &[&str]) -> std::io::Result<Output> {
    Command::new("ip").args(args).stdin(Stdio::null()).output()
}

fn allowed(args: &[&str]) -> Result<(), Trouble> {
    let command = || format!("ip {}", args.join(" "));
    let output = ip(args).map_err(|error| Trouble::NotAllowed(format!("{}: {error}", command())))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Trouble::NotAllowed(format!("{}: {said}", command())))
}
