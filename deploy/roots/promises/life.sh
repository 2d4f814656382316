#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154
# What a package goes through in its life: upgrades, being taken away, coming back. Sourced by `../try`.

promises_life() { # DEB
    deb=$1
    make_next
    begin_machine life "$(roots_make "$native" bookworm)"
    install_deb "$deb" >/dev/null 2>&1
    node_config
    promise "with a config of its own it runs" life_begins
    promise "an upgrade asks nothing, keeps what was changed in both conffiles, and runs the new version" upgrades
    promise "no reading is lost by an upgrade" nothing_is_lost
    promise "a config that the new version refuses does not leave dpkg half-way; it says what to do" upgrade_with_bad_config
    promise "with the config mended it runs, nothing lost" mended_it_runs
    promise "going back to the version before keeps the config, and nothing is lost" downgrades
    promise "the same version again: runs, nothing lost" reinstalls
    promise "\`apt remove\` stops and takes the service, keeps config and state" removes
    promise "what was kept goes on after installing again, nothing lost" comes_back
    promise "a conffile that changed on both sides is kept with --force-confold, the new one lies beside it" keeps_own_conffile
    promise "\`apt purge\` takes config, credentials and state" purges
    promise "after a purge it installs as on a new machine" begins_anew
    root_off "$node"
}

# The next version: the same but for the number, and for what a promise needs. Without the work of packing it well.
repack() { # FILE FUNCTION VERSION: makes $SEDGE_ROOTS/sedge_VERSION_….deb
    local tree=$SEDGE_ROOTS/tree
    rm -rf "$tree"
    dpkg-deb -R "$1" "$tree"
    sed -i "s/^Version: .*/Version: $3/" "$tree/DEBIAN/control"
    "$2" "$tree"
    dpkg-deb --root-owner-group -Zgzip -z1 -b "$tree" "$SEDGE_ROOTS/sedge_$3_$native.deb" >/dev/null
    rm -rf "$tree"
}
make_next() {
    repack "$deb" : 9.1-1
    next=$SEDGE_ROOTS/sedge_9.1-1_$native.deb
}

installed() { in_root dpkg-query -W -f '${Version} ${db:Status-Abbrev}' sedge; }
life_begins() { in_root systemctl restart sedge; readings_go_on; }
upgrades() {
    local etc=$SEDGE_ROOTS/$node/root/etc
    printf '\n[node]\nlabels = { site = "here" }\n' >> "$etc/sedge/sedge.toml"
    printf '\nRUST_LOG_STYLE=never\n' >> "$etc/default/sedge"
    in_root systemctl reload sedge
    cp "$etc/sedge/sedge.toml" "$SEDGE_ROOTS/own.toml"
    local before
    before=$(state MainPID)
    keep_in_mind
    install_deb "$next"
    is "$(installed)" "9.1-1 ii "
    cmp "$etc/sedge/sedge.toml" "$SEDGE_ROOTS/own.toml"
    grep -q RUST_LOG_STYLE "$etc/default/sedge"
    is_active
    [ "$(state MainPID)" != "$before" ]
    readings_go_on
}
change_conffile() { echo "# the maintainer's change" >> "$1/etc/sedge/sedge.toml"; }
keeps_own_conffile() {
    local etc=$SEDGE_ROOTS/$node/root/etc
    repack "$deb" change_conffile 9.2-1
    install_deb "$SEDGE_ROOTS/sedge_9.2-1_$native.deb" -o Dpkg::Options::=--force-confold
    cmp "$etc/sedge/sedge.toml" "$SEDGE_ROOTS/own.toml"
    grep -q "the maintainer's change" "$etc/sedge/sedge.toml.dpkg-dist"
    is_active
    readings_go_on
}
upgrade_with_bad_config() {
    local said
    printf '[node]\nid = "Not An Id"\n' > "$SEDGE_ROOTS/$node/root/etc/sedge/conf.d/90-bad.toml"
    said=$(install_deb "$next" 2>&1)
    is "$(installed)" "9.1-1 ii "
    has "$said" "systemctl status sedge"
    is "$(state ActiveState)" failed
    is "$(state ExecMainStatus)" 78
}
mended_it_runs() {
    rm "$SEDGE_ROOTS/$node/root/etc/sedge/conf.d/90-bad.toml"
    in_root systemctl restart sedge
    readings_go_on
    nothing_is_lost
}
downgrades() {
    keep_in_mind
    install_deb "$deb"
    [ "$(installed)" != "9.1-1 ii " ]
    is_active
    cmp "$SEDGE_ROOTS/$node/root/etc/sedge/sedge.toml" "$SEDGE_ROOTS/own.toml"
    readings_go_on
    nothing_is_lost
}
reinstalls() { keep_in_mind; install_deb "$deb"; is_active; readings_go_on; nothing_is_lost; }
removes() {
    keep_in_mind
    in_root apt-get remove -qqy sedge
    is "$(in_root dpkg-query -W -f '${db:Status-Abbrev}' sedge)" "rc "
    ! is_active
    in_root test -e /etc/sedge/conf.d/50-try.toml
    in_root sh -c 'ls /var/lib/sedge/*/outbox/*.seg'
    ! in_root pgrep -u sedge
    ! in_root test -e /usr/bin/sedge
}
comes_back() { install_deb "$deb"; is_active; readings_go_on; nothing_is_lost; }
purges() {
    printf secret > "$SEDGE_ROOTS/$node/root/etc/sedge/credentials/mqtt-password"
    in_root apt-get purge -qqy sedge
    ! in_root test -e /etc/sedge
    ! in_root test -e /etc/default/sedge
    ! in_root test -e /var/lib/sedge
    ! in_root test -e /run/sedge
    # PrivateTmp's folder goes at the next boot at the latest.
    is "$(in_root sh -c 'find / -xdev -name "*sedge*" -not -path "/root/*" -not -path "/proc/*" -not -path "/var/log/*" -not -path "/var/tmp/systemd-private-*" | sort')" ""
}
begins_anew() { install_deb "$deb"; becomes active; until_ 60 reading_of_system; }
