// A tool in JavaScript, without a library: lines of JSON over the socket at file descriptor 3.
// The protocol: plugins/protocol/README.md
const line = new (require("node:net").Socket)({ fd: 3, readable: true, writable: true });
const say = (message) => line.write(JSON.stringify(message) + "\n");

const roll = {
  name: "node_dice_roll",
  description: "Rolls a die.",
  input_schema: require("./roll.json"),
  annotations: { read_only: true },
  timeout_ms: 5000,
};

const calls = {
  tool: ({ args }) => 1 + Math.floor(Math.random() * (args.sides ?? 6)),
  stop: () => null,
};

const heard = {
  welcome: () => say({ type: "ready", tools: [roll] }),
  ping: ({ id }) => say({ type: "pong", id }),
  call: (message) => {
    const { id } = message;
    const run = calls[message.do];
    if (run) say({ type: "ok", id, result: run(message) });
    else say({ type: "error", id, error: { code: "bad_request", message: `this plugin cannot ${message.do}` } });
    if (message.do === "stop") line.end(() => process.exit(0));
  },
};

require("node:readline").createInterface({ input: line }).on("line", (text) => {
  const message = JSON.parse(text);
  heard[message.type]?.(message);
});
line.on("close", () => process.exit(0)); // the node is gone
say({ type: "hello", protocol: "1.0", plugin: "node-dice", version: "1.0.0" });
