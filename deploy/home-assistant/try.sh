#!/bin/sh
# Home Assistant itself, with a broker and a simulated node: what appears, and whether it can be used.
#
#   deploy/home-assistant/try.sh      two minutes; the first time ten more, in which `python` here gets Home Assistant
#
# Needs mosquitto. PYTHON is one with Home Assistant in it, PORT the broker's, SEDGE the program.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
port=${PORT:-18830}
repository=$(cd "$here/../.." && pwd)
sedge=${SEDGE:-${CARGO_TARGET_DIR:-$repository/target}/debug/sedge}
[ -x "$sedge" ] || (cd "$repository" && cargo build --quiet -p sedge --no-default-features)
folder=$(mktemp -d)
pids=
finish() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$folder"
}
trap finish EXIT INT TERM

printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$port" >"$folder/mosquitto.conf"
"$(command -v mosquitto || echo /usr/sbin/mosquitto)" -c "$folder/mosquitto.conf" >"$folder/mosquitto.log" 2>&1 &
pids="$pids $!"

cat >"$folder/sedge.toml" <<TOML
[node]
id = "pi-try"
data = "$folder/data"
[mqtt]
url = "mqtt://127.0.0.1:$port"
[bus.i2c-1]
kind = "sim"
[bus.gpio0]
kind = "sim"
[sensor.air]
kind = "bme280"
bus = "i2c-1"
[sensor.pins]
kind = "mcp23017"
bus = "i2c-1"
outputs = [0, 1]
[sensor.lamps]
kind = "pca9685"
bus = "i2c-1"
[sensor.screen]
kind = "ssd1306"
bus = "i2c-1"
[gpio.pump]
kind = "relay"
bus = "gpio0"
line = 1
[gpio.fan]
kind = "pwm"
bus = "gpio0"
line = 2
[gpio.door]
kind = "input"
bus = "gpio0"
line = 3
[gpio.rail]
kind = "power"
bus = "gpio0"
line = 4
TOML
RUNTIME_DIRECTORY="$folder" "$sedge" run -c "$folder/sedge.toml" >"$folder/sedge.log" 2>&1 &
pids="$pids $!"

# Within fifteen seconds the node answers to Home Assistant having begun, and soon after it tells its readings.
if ! "${PYTHON:-$here/python}" "${LIVE:-$here/live.py}" 127.0.0.1 "$port" 45; then
    tail -n 20 "$folder/sedge.log" >&2
    exit 1
fi
echo "ok      what appears in Home Assistant has a state and can be used"
