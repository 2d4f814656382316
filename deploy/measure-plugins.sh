#!/usr/bin/env bash
# Measures what plugins from outside cost: the release node, without and with WebAssembly, with none, one and ten plugins of each kind.
# Bytes of the binary, memory (PSS) of the node and of its children, idle, and the time from `starting` to `running` in its log.
#
#   deploy/measure-plugins.sh [PLAIN WASM]     two nodes that are there already; built unless told otherwise
#
# The plugins: the examples `wasm-bme280` (a sensor on a simulated bus, read once a minute), `rust-tally`, `py-veto`. Native code is made
# before anything is measured, as it is on a board after the first start. Needs python3 and the Rust target wasm32-unknown-unknown.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
dir=$(mktemp -d)
node=
trap '[ -z "$node" ] || kill "$node" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT

if [ $# -eq 2 ]; then
    cp "$1" "$dir/plain"; cp "$2" "$dir/sedge"
else
    cargo build --release --quiet -p sedge --no-default-features
    cp "$target/release/sedge" "$dir/plain"
    cargo build --release --quiet -p sedge --no-default-features --features wasm
    cp "$target/release/sedge" "$dir/sedge"
fi
cargo build --release --quiet -p rust-tally
cargo build --quiet -p sedge-compile
cargo build --quiet --profile guest --target wasm32-unknown-unknown --lib -p wasm-bme280
# The node looks for it beside itself.
cp "$target/debug/sedge-compile" "$dir/"

mkdir -p "$dir/plugins"/{wasm-bme280,rust-tally,py-veto}
for plugin in wasm-bme280 rust-tally py-veto; do
    cp "plugins/examples/$plugin/plugin.toml" "$dir/plugins/$plugin/"
done
"$dir/sedge-compile" "$target/wasm32-unknown-unknown/guest/wasm_bme280.wasm" --output "$dir/made" >/dev/null
cp "$dir/made/wasm_bme280.wasm" "$dir/plugins/wasm-bme280/wasm-bme280.wasm"
cp "$target/release/rust-tally" "$dir/plugins/rust-tally/"
cp plugins/examples/py-veto/main.py "$dir/plugins/py-veto/"
python3 -m venv --without-pip "$dir/plugins/py-veto/venv"
echo "$PWD/plugins/sdk/python/src" > "$(echo "$dir"/plugins/py-veto/venv/lib/python3*/site-packages)/sedge.pth"

config() { # KIND COUNT
    printf '[node]\nid = "measured-plugins"\ndata = "%s"\n[plugins]\npaths = ["%s"]\n' "$dir/data" "$dir/plugins"
    printf '[plugin.system]\nenabled = false\n'
    local n
    for n in $(seq "$2"); do
        case $1 in
        wasm* ) [ $((n % 2)) -eq 0 ] || printf '[bus.b%s]\nkind = "sim"\n' "$n"
            printf '[sensor.p%s]\nkind = "wasm-bme280"\nbus = "b%s"\naddress = %s\nevery = "60s"\n' \
                "$n" $((n - 1 + n % 2)) $((0x77 - n % 2))
            # To make its native code takes long where everything else is measured at the same time.
            echo 'limits = { start = "60s" }'
            [ "$1" = wasm ] || echo 'sandbox = "process"' ;;
        rust) printf '[plugin.p%s]\nkind = "rust-tally"\ngrant = { topics = ["deliver"] }\n' "$n" ;;
        python) printf '[plugin.p%s]\nkind = "py-veto"\ntools = ["none"]\ngrant = { topics = ["pre_tool_execute"] }\n' "$n" ;;
        esac
    done
}

# Starts a node, and waits up to a minute until all its plugins run.
start() { # BINARY KIND COUNT
    config "$2" "$3" > "$dir/node.toml"
    SEDGE_LOG=debug NO_COLOR=1 "$dir/$1" run -c "$dir/node.toml" > "$dir/log" 2>&1 & node=$!
    for _ in $(seq 600); do
        [ "$(grep -c 'plugin=p[0-9]* state="running"' "$dir/log")" -lt "$3" ] || return 0
        sleep 0.1
    done
    echo "not all of $3 $2 run:" >&2; cat "$dir/log" >&2; exit 1
}
stop() { kill -TERM "$node"; wait "$node" || true; node=; }

pss() { # PIDS...
    local pid sum=0 of
    for pid; do of=$(awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup"); sum=$((sum + of)); done
    awk "BEGIN { printf \"%.2f MB\", $sum / 1024 }"
}
# From the first `starting` to the last `running`.
took() {
    python3 - "$dir/log" <<'PY'
import datetime, re, sys
at = {"starting": [], "running": []}
for line in open(sys.argv[1]):
    found = re.match(r'(\S+)Z DEBUG Changed its state\. plugin=p\d+ state="(\w+)"', line)
    if found and found[2] in at:
        at[found[2]].append(datetime.datetime.fromisoformat(found[1]))
print(round((max(at["running"]) - min(at["starting"])).total_seconds() * 1000))
PY
}
row() { printf '| %-34s | %9s | %10s | %14s | %12s |\n' "$@"; }

for binary in plain sedge; do
    printf '%s: %s bytes\n' "$binary" "$(stat -c %s "$dir/$binary")"
done
row plugins count "the node" "its children" "until running"
row --- --- --- --- ---
once() { # BINARY KIND COUNT NAME
    local times=()
    for _ in 1 2 3 4 5; do
        start "$1" "$2" "$3"
        [ "$3" -eq 0 ] || times+=("$(took)")
        [ ${#times[@]} -lt 5 ] && [ "$3" -ne 0 ] && stop && continue
        break
    done
    sleep 5
    local children
    children=$(pgrep -P "$node" || true)
    # shellcheck disable=SC2086
    row "$4" "$3" "$(pss "$node")" "$([ -z "$children" ] || pss $children)" \
        "$([ "$3" -eq 0 ] || printf '%s\n' "${times[@]}" | sort -n | sed -n '3s/$/ ms/p')"
    stop
}
start sedge wasm 1; stop # So that its native code is there.
once plain none 0 "none, without WebAssembly"
once sedge none 0 "none"
for count in 1 10; do
    once sedge wasm $count "WebAssembly"
    once sedge wasm-process $count "WebAssembly, each in a process"
    once sedge rust $count "Rust process"
    once sedge python $count "Python process"
done
