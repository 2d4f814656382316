#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154
# What goes wrong: each starts, explains or refuses with the remedy, and never loses the outbox. Sourced by `../try`.

promises_trouble() { # DEB
    deb=$1
    make_next
    begin_machine trouble "$(roots_make "$native" bookworm libfaketime strace)"
    install_deb "$deb" >/dev/null 2>&1
    node_config
    promise "it runs" life_begins
    promise "dpkg killed at any step of an upgrade: installing again mends it, nothing is lost" dpkg_killed
    promise "a full disk stops an upgrade; the old version goes on, nothing is lost, and it works with room again" disk_full
    promise "on a full disk the node starts, and its readings arrive" starts_on_full_disk
    promise "a config from a newer version ends with 78 and the remedy, and is not tried again" newer_config
    promise "with that mended it runs, nothing lost" newer_config_mended
    promise "groups that are missing do not keep it from starting" groups_missing
    promise "without I2C its sensors are skipped, health and \`sedge doctor\` say what to do; the rest runs" no_i2c
    promise "no network at boot: it runs at once, and what it read comes when the network does, without a hole" no_network
    promise "a clock in 1970: readings come without a time, and get it when the clock is set" clock_in_1970
    promise "a credential that is missing is named, with the file to make" credential_missing
    promise "no folder of credentials: it starts" credentials_gone
    promise "killed with SIGKILL it starts again, nothing is lost" killed
    promise "a power cut costs nothing that was committed" power_cut
    promise "a process that hangs is killed by the watchdog and starts again, nothing is lost" hangs
    root_off "$node"
}

# strace kills dpkg at its N-th rename: each step of it ends with one.
dpkg_killed() {
    local at stops=()
    root_copy "$node" "$next" /root/
    for at in 1 2 4 8 12 20 30 45 60 75; do
        in_root dpkg --force-confold -i "/root/${deb##*/}"
        keep_in_mind
        root_run "$node" strace -qq -o /dev/null -e trace=rename -e "inject=rename:signal=SIGKILL:when=$at" \
            dpkg --force-confold -i "/root/${next##*/}" >/dev/null 2>&1 && break
        stops+=("$at")
        echo "killed at rename $at: $(installed 2>&1) $(state ActiveState)"
        is_active
        in_root dpkg --configure -a || true
        install_deb "$next"
        is "$(installed)" "9.1-1 ii "
        is_active
    done
    note "at ${#stops[@]} steps"
    [ ${#stops[@]} -ge 4 ]
    readings_go_on
    nothing_is_lost
}
fill_disk() {
    in_root sh -c 'dd if=/dev/zero of=/root/filler bs=64k 2>/dev/null; dd if=/dev/zero of=/root/filler2 bs=512 2>/dev/null; df / | tail -1'
}
disk_full() {
    local before said
    install_deb "$deb"
    root_copy "$node" "$next" /root/
    before=$(state MainPID)
    keep_in_mind
    fill_disk
    said=$(install_deb_there "$next" 2>&1) && { echo "the upgrade went through: $said"; return 1; }
    has "$said" "No space left on device"
    is_active
    is "$(state MainPID)" "$before"
    readings_go_on
    in_root rm /root/filler /root/filler2
    in_root dpkg --configure -a
    install_deb_there "$next"
    is "$(installed)" "9.1-1 ii "
    is_active
    readings_go_on
    nothing_is_lost
}
install_deb_there() { root_run "$node" apt-get install -qqy --allow-downgrades --reinstall "/root/${1##*/}"; }
starts_on_full_disk() {
    fill_disk
    in_root systemctl restart sedge
    becomes active
    readings_go_on
    in_root rm /root/filler /root/filler2
    readings_go_on
    heard air
}
newer_config() {
    echo 'config_version = 2' > "$SEDGE_ROOTS/$node/root/etc/sedge/conf.d/10-version.toml"
    in_root sed -i 's/^config_version = .*/config_version = 2/' /etc/sedge/sedge.toml
    in_root systemctl restart sedge || true
    becomes failed
    is "$(state ExecMainStatus)" 78
    is "$(state NRestarts)" 0
    said=$(root_run "$node" systemctl status --no-pager --lines=30 sedge || true)
    has "$said" "config_version 2 is newer than this node"
    has "$said" "upgrade"
}
newer_config_mended() {
    rm "$SEDGE_ROOTS/$node/root/etc/sedge/conf.d/10-version.toml"
    in_root sed -i 's/^config_version = .*/config_version = 1/' /etc/sedge/sedge.toml
    in_root systemctl restart sedge
    readings_go_on
    nothing_is_lost
}
groups_missing() {
    local group
    for group in i2c spi gpio; do in_root groupdel "$group"; done
    in_root systemctl restart sedge
    is_active
    readings_go_on
    in_root systemd-sysusers sedge.conf
    has "$(in_root id -nG sedge)" i2c
}
no_i2c() {
    local file=$SEDGE_ROOTS/$node/root/etc/sedge/conf.d/60-i2c.toml said
    printf '[bus.i2c-1]\nkind = "i2c"\n[sensor.kitchen]\nkind = "bme280"\nbus = "i2c-1"\naddress = 0x76\n' > "$file"
    in_root systemctl restart sedge
    becomes active
    readings_go_on
    said=$(retained health/kitchen)
    has "$said" /dev/i2c-1
    said=$(root_run "$node" sedge doctor || true)
    has "$said" raspi-config
    rm "$file"
    in_root systemctl reload sedge
}
no_network() {
    local before
    root_off "$node"
    root_link "$node" down
    before=$(readings_heard)
    root_boot "$node"
    is_active
    until_ 60 kept_more_than "$before"
    is "$(readings_heard)" "$before"
    keep_in_mind
    root_link "$node" up
    readings_go_on
    nothing_is_lost
}
kept_more_than() { [ "$(root_run "$node" sedge readings export --format ndjson air | wc -l)" -gt $(($1 + 5)) ]; }
clock_in_1970() {
    local at=$SEDGE_ROOTS/$node/root/etc/fake-time said
    echo "@1970-01-01 00:00:20" > "$at"
    drop_in clock 'Environment=LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1' \
        'Environment=FAKETIME_TIMESTAMP_FILE=/etc/fake-time FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 FAKETIME_CACHE_DURATION=1'
    # The journal would tell the time of this boot: the kernel's, which is not started anew here.
    in_root systemctl stop sedge
    in_root sh -c 'rm -rf /var/lib/sedge/*'
    in_root systemctl start sedge
    is_active
    readings_go_on
    until_ 60 grep -q "^sedge/v1/$node/reading/air	.*\"ts\":null" "$SEDGE_ROOTS/messages"
    has "$(grep '"ts":null' "$SEDGE_ROOTS/messages" | head -n 1)" '"up_ms":'
    echo "+0" > "$at"
    until_ 60 event_heard clock_synced
    readings_go_on
    nothing_is_lost
    # What was read without a time has its true one in the journal.
    ! grep -q '"ts":null' "$SEDGE_ROOTS/kept"
    drop_in clock
    in_root systemctl restart sedge
}
event_heard() { grep -q "^sedge/v1/$node/event/$1	" "$SEDGE_ROOTS/messages"; }
credential_missing() {
    local file=$SEDGE_ROOTS/$node/root/etc/sedge/conf.d/70-password.toml said
    printf '[mqtt]\nusername = "x"\npassword_file = "credential:mqtt-password"\n' > "$file"
    in_root systemctl restart sedge || true
    until_ 60 credential_named
    credential_named
    printf secret > "$SEDGE_ROOTS/$node/root/etc/sedge/credentials/mqtt-password"
    chmod 0600 "$SEDGE_ROOTS/$node/root/etc/sedge/credentials/mqtt-password"
    in_root systemctl restart sedge
    becomes active
    readings_go_on
    nothing_is_lost
    rm "$file" "$SEDGE_ROOTS/$node/root/etc/sedge/credentials/mqtt-password"
    in_root systemctl restart sedge
}
credential_named() { has "$(since_boot -o cat -n 40)" /etc/sedge/credentials/mqtt-password; }
credentials_gone() {
    rm -rf "$SEDGE_ROOTS/$node/root/etc/sedge/credentials"
    in_root systemctl restart sedge || true
    is_active
    readings_go_on
}
killed() {
    local before
    before=$(state MainPID)
    keep_in_mind
    [ "$before" -gt 0 ]
    in_root systemctl kill --signal=KILL sedge
    until_ 60 runs_as_other "$before"
    readings_go_on
    nothing_is_lost
}
runs_as_other() { is_state active && [ "$(state MainPID)" != "$1" ]; }
power_cut() {
    keep_in_mind
    root_cut "$node"
    root_boot "$node"
    becomes active
    readings_go_on
    nothing_is_lost
    has "$(sedge outbox verify)" " 0 segments damaged"
}
hangs() {
    local before
    drop_in watchdog WatchdogSec=5 TimeoutAbortSec=5
    in_root systemctl restart sedge
    readings_go_on
    before=$(state MainPID)
    keep_in_mind
    [ "$before" -gt 0 ]
    in_root systemctl kill --kill-who=main --signal=STOP sedge
    until_ 90 runs_as_other "$before"
    has "$(since_boot -o cat)" "Watchdog timeout"
    readings_go_on
    nothing_is_lost
    drop_in watchdog
}
