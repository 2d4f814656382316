#!/usr/bin/env bash
# shellcheck disable=SC2016,SC2154
# A package on a machine that has never seen it: of each architecture, on each Debian. Sourced by `../try`.

promises_install() { # DEB
    deb=$1
    # Also where only some promises are asked for: all others need it.
    wanted="" promise "\`apt install ./${deb##*/}\` ends well, asks nothing" installs
    [ "$package" != armv6 ] || promise "the CPU is an ARMv6: Debian's own ARMv7 program dies on it, the node runs" cpu_is_armv6
    promise "the service is enabled and runs, before anybody has written a config" runs_at_once
    promise "the node reads this machine at once" reads_itself
    promise "with a broker in the config and a reload, readings arrive there" readings_arrive
    promise "what arrives is what the sensor says" arrives_as_it_should
    promise "the service is one of Type=notify, is ready, and says how it fares" notifies
    promise "the watchdog is fed" feeds_watchdog
    promise "a reload leaves the process, takes the change" reload_takes_change
    promise "the node is not root, and has no capabilities" not_root
    promise "its state is its own, and nobody else's" state_is_its_own
    [ "$arch" != "$(dpkg --print-architecture)" ] ||
        promise "\`systemd-analyze security\` says 2.0 or less" exposure
    promise "the journal has no error and no warning of the service" journal_is_clean
    promise "\`sedge doctor\` finds nothing that fails" doctor_is_content
    promise "a user of group sedge may ask the node, another may not" group_may_ask
    promise "the man pages are there" man_pages
    promise "completions for bash, zsh and fish are there" completions
    promise "i2c-dev is loaded at boot, the buses belong to groups that are there" buses_are_prepared
    promise "the examples pass \`sedge check\`" examples_pass
    promise "it comes back by itself after a boot; no reading is lost" survives_reboot
}

# Where no systemd can run: what is left is that it installs, and that the node runs there as its user.
promises_without_systemd() { # DEB
    deb=$1
    promise "\`apt install ./${deb##*/}\` ends well, where no systemd runs" installs_in_chroot
    promise "the node runs as its user, and readings arrive" runs_in_chroot
}
in_chroot() {
    nsenter --net="/run/netns/$node" chroot "$SEDGE_ROOTS/$node/root" \
        /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}
installs_in_chroot() {
    root_copy "$node" "$deb" /root/
    in_chroot apt-get install -qqy "/root/${deb##*/}"
    is "$(in_chroot dpkg-query -W -f '${db:Status-Abbrev}' sedge)" "ii "
}
runs_in_chroot() {
    local pid status=0
    node_config
    printf '[node]\nid = "%s"\n' "$node" > "$SEDGE_ROOTS/$node/root/etc/sedge/conf.d/40-id.toml"
    mount -t proc proc "$SEDGE_ROOTS/$node/root/proc"
    in_chroot install -d -o sedge -g sedge -m 750 /var/lib/sedge
    in_chroot sh -c 'echo $$ > /run/sedge.pid
        exec setpriv --reuid sedge --regid sedge --init-groups /usr/bin/sedge run --config /etc/sedge/sedge.toml' &
    pid=$!
    readings_go_on || status=1
    kill "$(cat "$SEDGE_ROOTS/$node/root/run/sedge.pid")"
    wait "$pid" || status=1
    return "$status"
}

installs() { install_deb "$deb"; is "$(in_root dpkg-query -W -f '${db:Status-Abbrev}' sedge)" "ii "; }
cpu_is_armv6() {
    in_root env QEMU_CPU=arm1176 /usr/bin/sedge version
    ! in_root env QEMU_CPU=arm1176 /usr/bin/uname -m
}
runs_at_once() { becomes active; is "$(in_root systemctl is-enabled sedge)" enabled; }
reads_itself() { until_ 60 reading_of_system; sedge readings last --json; }
reading_of_system() { has "$(sedge readings last --json)" cpu; }
readings_arrive() {
    node_config
    in_root systemctl reload sedge
    readings_go_on
}
arrives_as_it_should() {
    has "$(retained status)" online
    has "$(retained sensor/air)" temperature
    heard air
}
notifies() {
    is "$(state Type)" notify
    is "$(state ActiveState)" active
    has "$(state StatusText)" run
}
feeds_watchdog() {
    local first
    [ "$(state WatchdogUSec)" != 0 ]
    first=$(state WatchdogTimestampMonotonic)
    [ "$first" -gt 0 ]
    until_ 60 watchdog_after "$first"
}
watchdog_after() { [ "$(state WatchdogTimestampMonotonic)" -gt "$1" ]; }
reload_takes_change() {
    local before
    before=$(state MainPID)
    printf '[sensor.added]\nkind = "tmp117"\nbus = "bench"\naddress = 0x48\nevery = "1s"\n' \
        > "$SEDGE_ROOTS/$node/root/etc/sedge/conf.d/60-added.toml"
    in_root systemctl reload sedge
    until_ 60 said_by added
    is "$(state MainPID)" "$before"
    is "$(state NRestarts)" 0
}
said_by() { grep -q "^sedge/v1/$node/reading/$1	" "$SEDGE_ROOTS/messages"; }
not_root() {
    local status
    status=$(in_root cat "/proc/$(state MainPID)/status")
    is "$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' <<< "$status")" "$(in_root id -u sedge)"
    is "$(sed -n 's/^CapEff:\t//p' <<< "$status")" 0000000000000000
}
state_is_its_own() {
    is "$(in_root stat -c '%U %a' /var/lib/sedge)" "sedge 750"
    is "$(in_root stat -c '%U %a' /run/sedge)" "sedge 750"
    is "$(in_root stat -c '%U %a' /etc/sedge/credentials)" "root 700"
}
exposure() { in_root systemd-analyze security --threshold=20 --no-pager sedge; }
journal_is_clean() { is "$(since_boot -p warning -o cat | grep -v 'broker' || true)" ""; }
doctor_is_content() { sedge doctor; }
group_may_ask() {
    in_root useradd --create-home gardener
    ! in_root runuser -u gardener -- sedge readings last
    in_root usermod -aG sedge gardener
    in_root runuser -u gardener -- sedge readings last
}
man_pages() {
    local page
    in_root test -e /usr/share/man/man1/sedge.1.gz
    in_root test -e /usr/share/man/man1/sedge-run.1.gz
    for page in "$SEDGE_ROOTS/$node"/root/usr/share/man/man*/sedge*; do gzip -t "$page"; done
}
completions() {
    in_root test -s /usr/share/bash-completion/completions/sedge
    in_root test -s /usr/share/zsh/vendor-completions/_sedge
    in_root test -s /usr/share/fish/vendor_completions.d/sedge.fish
    in_root bash -nc '. /usr/share/bash-completion/completions/sedge'
    has "$(in_root bash -c '. /usr/share/bash-completion/completions/sedge; complete -p sedge')" sedge
}
buses_are_prepared() {
    local group
    in_root grep -qx i2c-dev /usr/lib/modules-load.d/sedge.conf
    for group in i2c spi gpio; do has "$(in_root id -nG sedge)" "$group"; done
    in_root sh -c 'grep -h GROUP= /usr/lib/udev/rules.d/*sedge*'
}
examples_pass() {
    in_root sh -c 'find /usr/share/doc/sedge/examples -name node.toml -o -name demo.toml | while read -r each; do sedge check -c "$each" || exit 1; done'
}
survives_reboot() {
    root_off "$node"
    root_boot "$node"
    becomes active
    readings_go_on
    nothing_is_lost
}
