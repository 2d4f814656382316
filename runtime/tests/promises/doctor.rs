//! The doctor on a board with the package: the service and its user are judged, whoever asks.

use std::os::unix::fs::{PermissionsExt, chown};

use serde_json::Value as Json;

use super::hardware::finding;
use super::program::{Config, json, run};

/// A picture of a board with the package, on which all is well: one bus, whose node belongs to its group.
fn packaged() -> Config {
    let board = Config::new("");
    for (file, text) in [
        ("dev/i2c-1", ""),
        (
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nsedge:x:4242:4242:Sedge node:/var/lib/sedge:/usr/sbin/nologin\n",
        ),
        ("etc/group", "root:x:0:\ni2c:x:4301:pi,sedge\nspi:x:4302:sedge\ngpio:x:4303:sedge\nsedge:x:4242:\n"),
        (
            "etc/sedge/sedge.toml",
            "config_version = 1\n[node]\nid = \"pi-box\"\n[bus.i2c-1]\nkind = \"i2c\"\n",
        ),
        ("etc/sedge/conf.d/10-site.toml", ""),
        ("usr/lib/systemd/system/sedge.service", "[Service]\nUser=sedge\n"),
        (
            "var/lib/dpkg/status",
            "Package: sed\nStatus: install ok installed\n\nPackage: sedge\nStatus: install ok installed\n",
        ),
        ("var/lib/sedge/pi-box/outbox/x", ""),
        ("proc/sys/kernel/hostname", "raspberrypi\n"),
        ("proc/device-tree/serial-number", "10000000abcdef12\0"),
        ("proc/mounts", "/dev/mmcblk0p2 / ext4 rw,noatime 0 0\n"),
        ("run/systemd/timesync/synchronized", ""),
    ] {
        board.write(&format!("root/{file}"), text);
    }
    mode(&board, "dev/i2c-1", 0o666);
    mode(&board, "var/lib/sedge/pi-box", 0o777);
    mode(&board, "var/lib/sedge/pi-box/outbox", 0o777);
    board
}

fn mode(board: &Config, file: &str, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(board.path(&format!("root/{file}")), permissions).unwrap();
}

async fn doctor(board: &Config) -> Json {
    let (root, file) = (board.path("root"), board.path("root/etc/sedge/sedge.toml"));
    json(&run(&["doctor", "--json", "--root", &root, "-c", &file]).await)
}

#[tokio::test]
async fn a_packaged_board_that_is_well_is_told_so_for_the_user_of_its_service() {
    let findings = doctor(&packaged()).await;
    for (check, what) in [
        ("package", "installed"),
        ("user", "`sedge` is in the groups i2c, spi, gpio"),
        ("bus i2c-1", "i2c-1 "),
        ("data", "can be written"),
        ("log", "in memory"),
    ] {
        assert_eq!(finding(&findings, check, what).0, "ok", "{check}: {findings}");
    }
    assert!(!findings.to_string().contains("\"id\""), "the id is written down: {findings}");
}

#[tokio::test]
async fn what_the_service_may_not_do_is_told_to_root_too() {
    let board = packaged();
    mode(&board, "dev/i2c-1", 0o600);
    mode(&board, "etc/sedge/conf.d/10-site.toml", 0o600);
    mode(&board, "var/lib/sedge/pi-box", 0o700);
    let findings = doctor(&board).await;
    let (level, remedy) = finding(&findings, "config", "cannot read");
    assert!(
        level == "fail" && remedy.contains("10-site.toml") && remedy.contains("chgrp sedge"),
        "{findings}"
    );
    let (level, remedy) = finding(&findings, "data", "may not be written by the service's user `sedge`");
    assert!(level == "fail" && remedy.contains("chown -R sedge:sedge"), "{findings}");
    assert_eq!(finding(&findings, "bus i2c-1", "may not be opened by the service's user `sedge`").0, "fail");
    // Only root may give a file to a group that it is not in.
    if chown(board.path("root/dev/i2c-1"), None, Some(4301)).is_ok() {
        mode(&board, "dev/i2c-1", 0o660);
        assert_eq!(finding(&doctor(&board).await, "bus i2c-1", "can be opened").0, "ok");
        let group = board.read("root/etc/group").replace("pi,sedge", "pi");
        board.write("root/etc/group", &group);
        let findings = doctor(&board).await;
        for (check, what) in [("bus i2c-1", "may not be opened"), ("group i2c", "is not in the group `i2c`")]
        {
            let (level, remedy) = finding(&findings, check, what);
            assert!(
                level == "fail" && remedy.contains("sudo systemd-sysusers && sudo systemctl restart sedge"),
                "{findings}"
            );
        }
    }
    board.write("root/etc/group", "root:x:0:\n");
    board.write("root/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    let (level, remedy) = finding(&doctor(&board).await, "user", "there is no user `sedge`");
    assert!(level == "fail" && remedy.contains("systemd-sysusers"));
}

#[tokio::test]
async fn a_board_that_is_half_set_up_is_told_what_to_do() {
    let board = packaged();
    for (status, part) in [
        ("install ok half-configured", "sudo dpkg --configure -a"),
        ("install ok unpacked", "sudo dpkg --configure -a"),
        ("install reinstreq half-installed", "--reinstall"),
    ] {
        board.write("root/var/lib/dpkg/status", &format!("Package: sedge\nStatus: {status}\n"));
        let (level, remedy) = finding(&doctor(&board).await, "package", status);
        assert!(level == "fail" && remedy.contains(part), "{status}: {remedy}");
    }
    board.write("root/etc/sedge/sedge.toml", "config_version = 1\n");
    let (level, remedy) = finding(&doctor(&board).await, "id", "as other new boards are");
    assert!(level == "warn" && remedy.contains("pi-abcdef12"), "{remedy}");
    board.write("root/etc/sedge/sedge.toml", "config_version = 2\n");
    let (level, remedy) = finding(&doctor(&board).await, "config", "is newer than this node");
    assert!(level == "fail" && remedy.contains("upgrade the package"), "{remedy}");
}

#[tokio::test]
async fn what_wears_a_card_and_what_a_power_cut_takes_is_told() {
    let board = packaged();
    board.write("root/var/log/journal/x", "");
    let (level, remedy) = finding(&doctor(&board).await, "log", "may become a tenth of it");
    assert!(level == "warn" && remedy.contains("SystemMaxUse=50M"), "{remedy}");
    board.write("root/etc/systemd/journald.conf", "[Journal]\n#SystemMaxUse=1G\n");
    board.write("root/etc/systemd/journald.conf.d/50-card.conf", "[Journal]\nSystemMaxUse=50M\n");
    assert_eq!(finding(&doctor(&board).await, "log", "at most 50M").0, "ok");
    let state = board.path("root/var/lib/sedge");
    for mount in [
        format!("tmpfs {state} tmpfs rw 0 0\n"),
        format!("overlayroot {state} overlay rw,lowerdir=/ro 0 0\n"),
    ] {
        board.write("root/proc/mounts", &format!("/dev/sda1 / ext4 rw 0 0\n{mount}"));
        assert_eq!(finding(&doctor(&board).await, "data", "do not outlive a power cut").0, "warn", "{mount}");
    }
}
