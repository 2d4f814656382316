#!/bin/sh
# A plugin that misbehaves to order. The first words of its children are what the proof looks for.
set -u

say() {
    printf '%s\n' "$1" >&3
}

id_of() {
    id=${1#*\"id\":}
    id=${id%%[,\}]*}
}

# A tool as its `ready` has it.
tool() {
    printf '{"name":"%s","description":"%s","input_schema":{"type":"object","additionalProperties":false},"timeout_ms":20000}' "$1" "$2"
}

say '{"type":"hello","protocol":"1.0","plugin":"hungry","version":"1.0.0"}'

while IFS= read -r message <&3; do
    id_of "$message"
    case $message in
    '{"type":"welcome"'*)
        eat=$(tool hungry_eat "Wants 64 MiB.")
        spin=$(tool hungry_spin "Starts what never rests.")
        leave=$(tool hungry_leave "Starts something in its own process group, and something in a session of its own.")
        say "{\"type\":\"ready\",\"tools\":[$eat,$spin,$leave]}"
        ;;
    '{"type":"ping"'*) say "{\"type\":\"pong\",\"id\":$id}" ;;
    *'"tool":"hungry_eat"'*)
        dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null
        say "{\"type\":\"ok\",\"id\":$id,\"result\":\"eaten\"}"
        ;;
    *'"tool":"hungry_spin"'*)
        yes >/dev/null 3>&- &
        say "{\"type\":\"ok\",\"id\":$id,\"result\":\"spinning\"}"
        ;;
    *'"tool":"hungry_leave"'*)
        sleep 70001 3>&- &
        setsid sleep 70002 3>&- &
        say "{\"type\":\"ok\",\"id\":$id,\"result\":\"left\"}"
        ;;
    '{"type":"call"'*)
        say "{\"type\":\"ok\",\"id\":$id}"
        case $message in *'"do":"stop"'*) exit 0 ;; esac
        ;;
    esac
done
