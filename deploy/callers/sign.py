#!/usr/bin/env python3
"""Signs a call of a tool, and prints the payload:

    ./sign.py attic attic.key pi-kitchen pump_set '{"on": true}' |
        mosquitto_pub -h broker.local -t sedge/v1/pi-kitchen/tool/pump_set/call -s

Needs `cryptography`: on Debian the package python3-cryptography.
"""
import base64
import hashlib
import json
import secrets
import sys
import time

from cryptography.hazmat.primitives.serialization import load_pem_private_key


def signed_call(key, caller, node, tool, args):
    args = json.dumps(args)  # once: these bytes are hashed, and these bytes are sent
    iat, nonce = int(time.time()), secrets.token_hex(16)
    exp = iat + 30
    digest = hashlib.new("sha512_256", args.encode()).hexdigest()
    text = "\n".join(["sedge-call-1", node, tool, caller, nonce, str(iat), str(exp), digest])
    sig = base64.b64encode(key.sign(text.encode())).decode()
    sig = json.dumps({"key": caller, "nonce": nonce, "iat": iat, "exp": exp, "sig": sig})
    return f'{{"args":{args},"sig":{sig}}}'


if __name__ == "__main__":
    caller, file, node, tool, args = sys.argv[1:]
    with open(file, "rb") as pem:
        key = load_pem_private_key(pem.read(), password=None)
    print(signed_call(key, caller, node, tool, json.loads(args)), end="")
