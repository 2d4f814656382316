//! Where all of it lies, below a root that only tests change.
//!
//! | what | where | whose |
//! |---|---|---|
//! | the authority | `/etc/sedge-site/ca.crt`, `ca.key` | root; the key may be read by the group `sedge`, as the registrar signs with it |
//! | config for boards | `/etc/sedge-site/config/` | root |
//! | who has joined | `/var/lib/sedge/_site/` | `sedge`: below its hardened unit the registrar may write nowhere else. No node is called so |
//! | the broker's files | `/etc/mosquitto/conf.d/sedge-site.conf`, `/etc/mosquitto/sedge-site/` | `mosquitto` |
//! | this machine's node | `/etc/sedge/` | as `sedge node join` has it |

use std::path::PathBuf;

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Places {
    root: PathBuf,
}

impl Places {
    /// Below a root: `/`, but for tests.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Whether it is the machine's own root, where services can be told of changes.
    pub fn is_this_machine(&self) -> bool {
        self.root.as_os_str() == "/"
    }

    /// The site's folder.
    pub fn site(&self) -> PathBuf {
        self.root.join("etc/sedge-site")
    }

    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.site().join("ca.crt")
    }

    /// Its key.
    pub fn ca_key(&self) -> PathBuf {
        self.site().join("ca.key")
    }

    /// The config that boards are given.
    pub fn fragments(&self) -> PathBuf {
        self.site().join("config")
    }

    /// What the registrar writes.
    pub fn state(&self) -> PathBuf {
        self.root.join("var/lib/sedge/_site")
    }

    /// Mosquitto's own folder.
    pub fn mosquitto(&self) -> PathBuf {
        self.root.join("etc/mosquitto")
    }

    /// The config of the node on this machine.
    pub fn sedge(&self) -> PathBuf {
        self.root.join("etc/sedge")
    }
}
