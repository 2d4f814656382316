#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154
# A root file system that cannot be written, as on an SD card that is to last: one directory can. Sourced by `../try`.

promises_readonly() { # DEB
    deb=$1
    begin_machine readonly "$(roots_make "$native" bookworm)"
    install_deb "$deb" >/dev/null 2>&1
    node_config
    mkdir -p "$SEDGE_ROOTS/$node/root/etc/systemd/journald.conf.d"
    cp "$here/../readonly-root/journald-sedge.conf" "$SEDGE_ROOTS/$node/root/etc/systemd/journald.conf.d/"
    promise "with a read-only root and a small ext4 at /var/lib/sedge it runs" runs_read_only
    promise "the journal is in memory, with the drop-in file" journal_in_memory
    promise "what was read while the network was away is kept over a restart of the machine" kept_over_restart
    promise "a power cut in a read-only machine costs nothing that was committed" cut_read_only
    promise "a full state partition does not end it; with room again it keeps readings" state_full
    promise "with /var/lib/sedge in memory it runs" state_in_memory
    root_off "$node"
}

boot_read_only() { root_boot "$node" --read-only "--bind=$SEDGE_ROOTS/state:/var/lib/sedge"; }
runs_read_only() {
    root_off "$node"
    truncate -s 24M "$SEDGE_ROOTS/state.ext4"
    mkfs.ext4 -q -F "$SEDGE_ROOTS/state.ext4"
    mkdir "$SEDGE_ROOTS/state"
    mount -o loop,noatime "$SEDGE_ROOTS/state.ext4" "$SEDGE_ROOTS/state"
    boot_read_only
    ! in_root touch /etc/written
    ! in_root touch /var/written
    becomes active
    readings_go_on
    in_root sh -c 'ls /var/lib/sedge/*/outbox/*.seg'
    is "$(since_boot -p warning -o cat | grep -v broker || true)" ""
}
journal_in_memory() {
    in_root sh -c 'ls /run/log/journal/*/system.journal'
    ! in_root test -e /var/log/journal
    has "$(in_root systemd-analyze cat-config systemd/journald.conf)" "Storage=volatile"
}
kept_over_restart() {
    local before
    root_link "$node" down
    before=$(readings_heard)
    until_ 60 kept_more_than "$before"
    keep_in_mind
    root_off "$node"
    root_link "$node" up
    boot_read_only
    becomes active
    readings_go_on
    nothing_is_lost
}
cut_read_only() {
    keep_in_mind
    root_cut "$node"
    boot_read_only
    becomes active
    readings_go_on
    nothing_is_lost
    has "$(sedge outbox verify)" " 0 segments damaged"
}
state_full() {
    in_root sh -c 'dd if=/dev/zero of=/var/lib/sedge/filler bs=64k 2>/dev/null; df /var/lib/sedge'
    in_root systemctl restart sedge
    becomes active
    readings_go_on
    in_root rm /var/lib/sedge/filler
    readings_go_on
    heard air
}
state_in_memory() {
    nothing_is_lost
    root_off "$node"
    root_boot "$node" --read-only --tmpfs=/var/lib/sedge
    becomes active
    readings_go_on
    is "$(in_root stat -f -c %T /var/lib/sedge)" tmpfs
    nothing_is_lost
}
