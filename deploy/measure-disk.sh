#!/usr/bin/env bash
# Measures what the outbox costs a disk: the release node with ten readings a second and commits of one second, its data on an
# ext4 (noatime) in a file of its own. Counted at the device, because counters of a process miss the file system's journal.
# Needs root and mosquitto; cleans up after itself.
#
#   sudo deploy/measure-disk.sh [SECONDS]     how long to look at it in steady state; 120 unless told otherwise
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-120}
PATH=$PATH:/usr/sbin:/sbin
target=${CARGO_TARGET_DIR:-target}

[ "$(id -u)" -eq 0 ] || { echo "needs root, to mount a file system" >&2; exit 1; }
for tool in mosquitto mosquitto_sub mkfs.ext4 losetup; do
    command -v "$tool" >/dev/null || { echo "needs $tool" >&2; exit 1; }
done

cargo build --release --quiet -p sedge --no-default-features
dir=$(mktemp -d)
cp "$target/release/sedge" "$dir/sedge"
pids=()
loop=
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    umount "$dir/data" 2>/dev/null || true
    [ -z "$loop" ] || losetup -d "$loop" 2>/dev/null || true
    rm -rf "$dir"
}
trap cleanup EXIT

# Blocks as on a card, not the smaller ones that a small file system gets.
truncate -s 256M "$dir/image"
mkfs.ext4 -q -F -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 "$dir/image"
loop=$(losetup --find --show "$dir/image")
mkdir "$dir/data"
mount -o noatime "$loop" "$dir/data"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" > "$dir/mosquitto.conf"
mosquitto -c "$dir/mosquitto.conf" 2> "$dir/mosquitto.log" &
pids+=($!)
for _ in $(seq 1000); do
    ! grep -q running "$dir/mosquitto.log" || break
    sleep 0.01
done

# Ten sensors at 1 Hz on two simulated buses.
{
    printf '[node]\nid = "disk"\ndata = "%s"\n[mqtt]\nurl = "mqtt://127.0.0.1:%s"\n' "$dir/data/node" "$port"
    printf '[bus.i2c-1]\nkind = "sim"\n[bus.i2c-2]\nkind = "sim"\n[plugin.system]\nenabled = false\n'
    sensor() { printf '[sensor.%s]\nkind = "%s"\nbus = "%s"\naddress = %s\nevery = "1s"\n' "$@"; }
    sensor s1 bme280 i2c-1 0x76; sensor s2 bme280 i2c-1 0x77; sensor s3 bme280 i2c-2 0x76; sensor s4 bme280 i2c-2 0x77
    sensor s5 tmp117 i2c-1 0x48; sensor s6 tmp117 i2c-1 0x49; sensor s7 tmp117 i2c-2 0x48; sensor s8 tmp117 i2c-2 0x49
    sensor s9 bh1750 i2c-1 0x23; sensor s10 bh1750 i2c-2 0x23
} > "$dir/node.toml"

"$dir/sedge" run -q -c "$dir/node.toml" & node=$!
pids+=("$node")
# The first segment, the cursors and the file system's own first writes are behind it then.
sleep 15

# Sectors of 512 bytes, and flushes, as the device has counted them.
written() { awk '{ print $7 }' "/sys/block/${loop#/dev/}/stat"; }
flushes() { awk '{ print $16 }' "/sys/block/${loop#/dev/}/stat"; }
mosquitto_sub -p "$port" -t 'sedge/v1/disk/reading/+' > "$dir/readings" & sub=$!
pids+=("$sub")
sectors=$(written) flushed=$(flushes)
if command -v strace >/dev/null; then
    timeout "$seconds" strace -f -c -e trace=fsync,fdatasync -o "$dir/syncs" -p "$node" 2>/dev/null || true
else
    sleep "$seconds"
fi
# What a file system writes late belongs to it: once for the whole time.
sync -f "$dir/data"
sectors=$(($(written) - sectors)) flushed=$(($(flushes) - flushed))
readings=$(wc -l < "$dir/readings")
syncs=$(awk '$NF ~ /^f(data)?sync$/ { sum += $4 } END { print sum + 0 }' "$dir/syncs" 2>/dev/null || echo "?")

row() { printf '| %-52s | %12s | %10s |\n' "$@"; }
calc() { awk "BEGIN { printf \"$1\", $2 }"; }
row "what" "measured" "goal"
row "---" "---" "---"
row "readings in $seconds s" "$readings" ""
row "bytes at the device, each reading" "$(calc %.0f "$sectors * 512 / $readings")" ""
row "bytes at the device, a day" "$(calc '%.2f GB' "$sectors * 512 / $seconds * 86400 / 1e9")" "1 GB"
row "fsync and fdatasync, a minute" "$([ "$syncs" = "?" ] && echo "?" || calc %.0f "$syncs * 60 / $seconds")" ""
row "flushes at the device, a minute" "$(calc %.0f "$flushed * 60 / $seconds")" ""
