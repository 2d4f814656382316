#!/bin/sh
# Signs a call of a tool with OpenSSL 3, and prints the payload:
#
#     ./sign.sh attic attic.key pi-kitchen pump_set '{"on": true}' |
#         mosquitto_pub -h broker.local -t sedge/v1/pi-kitchen/tool/pump_set/call -s
set -eu
caller=$1 key=$2 node=$3 tool=$4 args=$5
iat=$(date +%s)
exp=$((iat + 30))
nonce=$(openssl rand -hex 16)
digest=$(printf %s "$args" | openssl dgst -sha512-256 -r | cut -d' ' -f1)
text=$(mktemp)
trap 'rm -f "$text"' EXIT
printf 'sedge-call-1\n%s\n%s\n%s\n%s\n%s\n%s\n%s' "$node" "$tool" "$caller" "$nonce" "$iat" "$exp" "$digest" >"$text"
sig=$(openssl pkeyutl -sign -rawin -inkey "$key" -in "$text" | openssl base64 -A)
printf '{"args":%s,"sig":{"key":"%s","nonce":"%s","iat":%s,"exp":%s,"sig":"%s"}}' \
    "$args" "$caller" "$nonce" "$iat" "$exp" "$sig"
