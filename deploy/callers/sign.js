#!/usr/bin/env node
// Signs a call of a tool, and prints the payload:
//
//     ./sign.js attic attic.key pi-kitchen pump_set '{"on": true}' |
//         mosquitto_pub -h broker.local -t sedge/v1/pi-kitchen/tool/pump_set/call -s
//
// In Node-RED: the body of `signedCall` in a function node with the module `crypto`, the key from a file or an environment
// variable; `msg.payload` is what it returns, as it is: a JSON node behind it would write the arguments anew.
const crypto = require("crypto");

function signedCall(pem, caller, node, tool, given) {
  const args = JSON.stringify(given); // once: these bytes are hashed, and these bytes are sent
  const iat = Math.floor(Date.now() / 1000), exp = iat + 30, nonce = crypto.randomUUID();
  const digest = crypto.createHash("sha512-256").update(args).digest("hex");
  const text = ["sedge-call-1", node, tool, caller, nonce, iat, exp, digest].join("\n");
  const sig = crypto.sign(null, Buffer.from(text), pem).toString("base64");
  return `{"args":${args},"sig":${JSON.stringify({ key: caller, nonce, iat, exp, sig })}}`;
}

const [caller, file, node, tool, args] = process.argv.slice(2);
const pem = require("fs").readFileSync(file, "utf8");
process.stdout.write(signedCall(pem, caller, node, tool, JSON.parse(args)));
