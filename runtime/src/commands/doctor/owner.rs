//! Who runs the node, and what that user may do.
//!
//! Where the package's service has the config, it is the service's user who must be able to open the buses and to write the
//! data; whoever runs the doctor, such as root, may do more or less. Then modes and groups are judged, and nothing is tried.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Patient;
use crate::place;

/// Where units are.
const UNITS: [&str; 3] = [
    "/etc/systemd/system/sedge.service",
    "/usr/lib/systemd/system/sedge.service",
    "/lib/systemd/system/sedge.service",
];
/// Where a packaged node has its config.
const CONFIG: &str = "/etc/sedge";

/// The user of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) name: String,
    uid: u32,
    gids: Vec<u32>,
}

/// What is to be done with a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    Read,
    /// A device node is opened for both.
    ReadWrite,
    /// A folder in which files are made.
    Fill,
}

/// The service that has a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Service {
    /// There is none, or the config is not its.
    None,
    /// Its user is not there.
    NoUser(String),
    /// It runs as that user.
    Runs(Owner),
}

impl Service {
    /// The service of the config at `file`; of that of the package, where there is no config.
    pub(super) fn of(root: &Path, file: Option<&Path>) -> Self {
        let folder = super::under(root, Path::new(CONFIG));
        let is_its = file.is_none_or(|file| {
            file.parent()
                .is_some_and(|parent| parent == folder || parent.canonicalize().is_ok_and(|at| at == folder))
        });
        let unit =
            UNITS.iter().find_map(|unit| std::fs::read_to_string(super::under(root, Path::new(unit))).ok());
        let Some(unit) = unit.filter(|_| is_its) else { return Self::None };
        let name =
            unit.lines().filter_map(|line| line.trim().strip_prefix("User=")).next_back().unwrap_or("root");
        let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap_or_default();
        match owner(name, &read("etc/passwd"), &read("etc/group")) {
            Some(owner) => Self::Runs(owner),
            None => Self::NoUser(name.into()),
        }
    }

    pub(super) fn owner(&self) -> Option<&Owner> {
        if let Self::Runs(owner) = self { Some(owner) } else { None }
    }
}

/// A user, of what the system's two files say.
fn owner(name: &str, passwd: &str, group: &str) -> Option<Owner> {
    let mut user =
        passwd.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.split(':').skip(1);
    let (uid, gid) = (user.next()?.parse().ok()?, user.next()?.parse().ok()?);
    let groups = group.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let gid = fields.next()?.parse().ok()?;
        fields.next()?.split(',').any(|member| member.trim() == name).then_some(gid)
    });
    Some(Owner { name: name.into(), uid, gids: std::iter::once(gid).chain(groups).collect() })
}

/// The number of a group; none where there is none of that name.
pub(super) fn group(root: &Path, name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(root.join("etc/group")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.split(':').nth(1)?.parse().ok())
}

impl Owner {
    /// Whether the user is in a group.
    pub(super) fn is_in(&self, gid: u32) -> bool {
        self.gids.contains(&gid)
    }

    /// Whether the user may do that; an access list that gives more is not seen.
    pub(super) fn may(&self, at: &Metadata, want: Want) -> bool {
        let bits = match want {
            Want::Read => 0o4,
            Want::ReadWrite => 0o6,
            Want::Fill => 0o3,
        };
        let shift = match self {
            Self { uid: 0, .. } => return true,
            Self { uid, .. } if *uid == at.uid() => 6,
            Self { gids, .. } if gids.contains(&at.gid()) => 3,
            _ => 0,
        };
        at.mode() >> shift & bits == bits
    }
}

impl Patient {
    /// Whether the user that runs the node may make files in a folder.
    pub(super) fn may_fill(&self, folder: &Path) -> bool {
        match self.service.owner() {
            Some(owner) => std::fs::metadata(folder).is_ok_and(|at| owner.may(&at, Want::Fill)),
            None => place::is_writable(folder),
        }
    }

    /// Who that is, for a person.
    pub(super) fn who(&self) -> String {
        self.service
            .owner()
            .map_or("this user".into(), |owner| format!("the service's user `{}`", owner.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nsedge-site:x:7:7::/:/x\nsedge:x:990:989:Sedge node:/var/lib/sedge:/usr/sbin/nologin\n";
    const GROUP: &str = "root:x:0:\ni2c:x:994:pi,sedge\nspi:x:993:sedge-site\nsedge:x:989:\n";

    #[test]
    fn the_user_of_a_service_has_the_groups_that_the_system_says() {
        let owner = owner("sedge", PASSWD, GROUP).unwrap();
        assert_eq!(owner, Owner { name: "sedge".into(), uid: 990, gids: vec![989, 994] });
        assert!(owner.is_in(994) && !owner.is_in(993), "a name that begins alike is another");
        assert_eq!(super::owner("sedg", PASSWD, GROUP), None);
    }

    #[test]
    fn what_a_user_may_do_is_told_by_the_mode_and_not_tried() {
        let file = std::env::temp_dir().join(format!("sedge-owner-{}", std::process::id()));
        std::fs::write(&file, "").unwrap();
        let at = std::fs::metadata(&file).unwrap();
        let of = |uid, gids: &[u32]| Owner { name: "x".into(), uid, gids: gids.to_vec() };
        for (mode, mine, group, other) in [
            (0o660, true, true, false),
            (0o604, true, false, false),
            (0o066, false, true, true),
            (0o000, false, false, false),
        ] {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let at = std::fs::metadata(&file).unwrap();
            // Root may do all, so the owner is judged where that is not root.
            if at.uid() != 0 {
                assert_eq!(of(at.uid(), &[]).may(&at, Want::ReadWrite), mine, "{mode:o}");
            }
            assert_eq!(of(4242, &[at.gid()]).may(&at, Want::ReadWrite), group, "{mode:o}");
            assert_eq!(of(4242, &[4243]).may(&at, Want::ReadWrite), other, "{mode:o}");
            assert!(of(0, &[]).may(&at, Want::Fill));
        }
        assert!(at.is_file());
        std::fs::remove_file(file).unwrap();
    }
}
