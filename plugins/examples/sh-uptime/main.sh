#!/bin/sh
# A sensor in shell: lines of JSON over the socket at file descriptor 3, which a shell can tell apart by their beginnings.
# The protocol: plugins/protocol/README.md
set -u

say() {
    printf '%s\n' "$1" >&3
}

# The id of the message: the number after the first "id":
id_of() {
    id=${1#*\"id\":}
    id=${id%%[,\}]*}
}

say '{"type":"hello","protocol":"1.0","plugin":"sh-uptime","version":"1.0.0"}'

while IFS= read -r message <&3; do
    id_of "$message"
    case $message in
    '{"type":"welcome"'*) say '{"type":"ready"}' ;;
    '{"type":"ping"'*) say "{\"type\":\"pong\",\"id\":$id}" ;;
    '{"type":"call"'*'"do":"read"'*)
        read -r uptime _ </proc/uptime
        read -r load _ </proc/loadavg
        say "{\"type\":\"ok\",\"id\":$id,\"result\":{\"uptime\":$uptime,\"load\":$load}}"
        ;;
    '{"type":"call"'*'"do":"stop"'*)
        say "{\"type\":\"ok\",\"id\":$id}"
        exit 0
        ;;
    '{"type":"call"'*)
        say "{\"type\":\"error\",\"id\":$id,\"error\":{\"code\":\"bad_request\",\"message\":\"this sensor can be read, no more\"}}"
        ;;
    esac
done
