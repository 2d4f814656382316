"""What this SDK says is what the protocol has: the same lines that the node's own tests read."""

import json
import unittest
from pathlib import Path

from sedge_sdk.node import Node
from sedge_sdk.session import Session
from sedge_sdk.wire import PROTOCOL, to_json

PROTOCOLS = Path(__file__).resolve().parents[3] / "protocol"
GOLDEN = PROTOCOLS / "tests" / "golden" / "to_node.jsonl"


@unittest.skipUnless(GOLDEN.is_file(), "the protocol's own tests are not beside this SDK")
class TheProtocol(unittest.TestCase):
    def test_knows_every_ask(self) -> None:
        said = []
        answers = {"latest": None, "directory": {}, "i2c": {"read": ["60"]}, "http": {"status": 200}, "gpio": {"level": True}}
        welcome = {"id": "attic", "grants": {"i2c": {"pump": {"bus": "i2c-1", "address": 32}}}}

        def ask(message):
            said.append({"type": "ask", "id": len(said) + 1, **json.loads(to_json(message))})
            return answers.get(message["do"])

        node = Node(ask, welcome)
        node.submit({"temperature": 21.5})
        node.submit_raw(b"\x00\xff", "senml")
        node.announce({"temperature": "°C"}, "attic-2", "probe", 1)
        node.withdraw("attic-2")
        node.call("greenhouse/pump_set", {}, 0.5)
        node.event("dry", "no water", "warning")
        node.latest("cellar")
        node.directory()
        node.load("litres")
        node.store("litres", 17)
        node.forget("litres")
        ask({"do": "event_failed", "topic": "deliver", "error": "the disk is full"})  # the session's own
        node.degraded("one nozzle is shut")
        node.counter("litres", 1, "Pumped.")
        node.i2c("pump").write_read([0xD0], 1)
        node.gpio("valve").set(True)
        node.http("http://192.168.1.7/", headers={"accept": "text/plain"}, timeout=2)
        golden = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()]
        self.assertEqual(said, [message for message in golden if message["type"] == "ask"])

    def test_is_of_the_same_version(self) -> None:
        golden = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()]
        self.assertEqual(golden[0]["protocol"], PROTOCOL)

    def test_has_no_call_that_this_sdk_does_not_know(self) -> None:
        file = GOLDEN.with_name("to_plugin.jsonl")
        calls = {json.loads(line).get("do") for line in file.read_text("utf-8").splitlines()} - {None}
        self.assertEqual(calls, {"tool", "read", "tick", "step", "answer", "deliver", "stop"})
        known = Session._do.__code__.co_consts
        self.assertTrue(calls <= set(known), calls - set(known))
