#!/usr/bin/env bash
# Measures the release node, built without the embedded broker, against a Mosquitto of its own on the loopback address:
# size of the binary, memory (PSS), time from start to the first reading at a subscriber, CPU per 1,000 readings.
#
#   deploy/measure.sh [SECONDS]     how long to look at it in steady state; 60 unless told otherwise
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
PATH=$PATH:/usr/sbin

for tool in mosquitto mosquitto_sub; do
    command -v "$tool" >/dev/null || { echo "needs $tool: apt-get install mosquitto mosquitto-clients" >&2; exit 1; }
done

cargo build --release --quiet -p sedge --no-default-features
dir=$(mktemp -d)
cp "${CARGO_TARGET_DIR:-target}/release/sedge" "$dir/sedge"
pids=()
cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap cleanup EXIT

# Waits up to ten seconds for a text in a file.
wait_for() {
    for _ in $(seq 1000); do
        if grep -q "$1" "$2" 2>/dev/null; then return; fi
        sleep 0.01
    done
    echo "no \"$1\" in $2:" >&2
    cat "$2" >&2
    exit 1
}

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" > "$dir/mosquitto.conf"
mosquitto -c "$dir/mosquitto.conf" 2> "$dir/mosquitto.log" &
pids+=($!)
wait_for running "$dir/mosquitto.log"

# Ten sensors at 1 Hz on two simulated buses.
{
    printf '[node]\nid = "measured"\n[mqtt]\nurl = "mqtt://127.0.0.1:%s"\n' "$port"
    printf '[bus.i2c-1]\nkind = "sim"\n[bus.i2c-2]\nkind = "sim"\n[plugin.system]\nenabled = false\n'
    sensor() { printf '[sensor.%s]\nkind = "%s"\nbus = "%s"\naddress = %s\nevery = "1s"\n' "$@"; }
    sensor s1 bme280 i2c-1 0x76; sensor s2 bme280 i2c-1 0x77; sensor s3 bme280 i2c-2 0x76; sensor s4 bme280 i2c-2 0x77
    sensor s5 tmp117 i2c-1 0x48; sensor s6 tmp117 i2c-1 0x49; sensor s7 tmp117 i2c-2 0x48; sensor s8 tmp117 i2c-2 0x49
    sensor s9 bh1750 i2c-1 0x23; sensor s10 bh1750 i2c-2 0x23
} > "$dir/node.toml"

now_ms() { echo $(($(date +%s%N) / 1000000)); }
pss_kb() { awk '/^Pss:/ { print $2 }' "/proc/$1/smaps_rollup"; }
cpu_ns() { cat /proc/"$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f", sum }'; }

# From the start of the process to the first reading at a subscriber that was there before; the middle of five starts.
firsts=()
for _ in 1 2 3 4 5; do
    stdbuf -oL mosquitto_sub -p "$port" -t "sedge/v1/measured/reading/+" -C 1 -d > "$dir/sub.log" & sub=$!
    wait_for SUBACK "$dir/sub.log"
    began=$(now_ms)
    "$dir/sedge" run -q -c "$dir/node.toml" & node=$!
    pids+=("$node")
    wait "$sub"
    firsts+=($(($(now_ms) - began)))
    [ ${#firsts[@]} -eq 5 ] || { kill -TERM "$node"; wait "$node"; }
done
first=$(printf '%s\n' "${firsts[@]}" | sort -n | sed -n 3p)

# Steady state, of the last one started.
mosquitto_sub -p "$port" -t 'sedge/v1/measured/reading/+' > "$dir/readings" & sub=$!
pids+=("$sub")
peak=0
cpu=$(cpu_ns "$node")
for _ in $(seq "$seconds"); do
    sleep 1
    pss=$(pss_kb "$node")
    [ "$pss" -le "$peak" ] || peak=$pss
done
cpu=$(($(cpu_ns "$node") - cpu))
readings=$(wc -l < "$dir/readings")
steady=$(pss_kb "$node")
kill -TERM "$node"
wait "$node"

size=$(stat -c %s "$dir/sedge")
row() { printf '| %-52s | %12s | %10s |\n' "$@"; }
row "what" "measured" "goal"
row "---" "---" "---"
row "stripped binary, without embedded broker" "$(awk "BEGIN { printf \"%.2f MB\", $size / 1e6 }")" "6 MB"
row "memory, steady (PSS), ten sensors at 1 Hz" "$(awk "BEGIN { printf \"%.2f MB\", $steady / 1024 }")" "8 MB"
row "memory, peak (PSS)" "$(awk "BEGIN { printf \"%.2f MB\", $peak / 1024 }")" ""
row "start to first reading at a subscriber, middle of 5" "$first ms" "300 ms"
row "CPU per 1,000 readings (of $readings in $seconds s)" "$(awk "BEGIN { printf \"%.0f ms\", $cpu / 1e6 / $readings * 1000 }")" ""
