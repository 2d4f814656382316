"""What a plugin can do, each promise by itself."""

import enum
import random
import threading
import unittest
from dataclasses import dataclass
from typing import Annotated, Dict, List, Literal, Optional

from sedge_sdk import (
    PASS,
    Call,
    Destination,
    Field,
    Missing,
    NodeError,
    Plugin,
    Processor,
    Reading,
    Sensor,
    SettingsError,
    ToolError,
    Unmet,
    Value,
    answer,
    hook,
    observe,
    replace,
    tool,
    veto,
)
from sedge_sdk.testing import FakeI2c, FakeNode, SetupFailed
from sedge_sdk.wire import has_msgpack


class Attic(Sensor):
    def setup(self) -> None:
        self.offset = self.settings.get("offset", 0)

    def read(self):
        return {"temperature": 21.5 + self.offset, "humidity": None, "light": Missing("dark"), "old": Value(1, "stale")}


class Dice(Plugin):
    @tool
    def dice_roll(self, sides: int = 6) -> int:
        "Rolls a die."
        return random.randint(1, sides)

    @tool(read_only=True, timeout=0.2)
    def fails(self, how: Literal["world", "code", "own", "nan"]) -> float:
        if how == "world":
            raise OSError("unplugged")
        if how == "own":
            raise ToolError("not now", "busy", {"for_s": 3})
        return float("nan") if how == "nan" else self.nothing  # type: ignore[attr-defined]


class ATool(unittest.TestCase):
    def test_is_told_with_the_schema_of_its_signature(self) -> None:
        with FakeNode(Dice) as node:
            self.assertEqual(node.tools["dice_roll"]["description"], "Rolls a die.")
            self.assertEqual(
                node.tools["dice_roll"]["input_schema"],
                {
                    "type": "object",
                    "properties": {"sides": {"type": "integer", "default": 6}},
                    "additionalProperties": False,
                },
            )
            self.assertEqual(node.tools["fails"]["timeout_ms"], 200)
            self.assertTrue(node.tools["fails"]["annotations"]["read_only"])

    def test_is_called_with_its_arguments(self) -> None:
        with FakeNode(Dice) as node:
            self.assertEqual(node.call("dice_roll", sides=1), 1)
            self.assertIn(node.call("dice_roll"), range(1, 7))

    def test_that_fails_says_why_and_the_plugin_lives_on(self) -> None:
        with FakeNode(Dice) as node:
            for how, code, says in [
                ("world", "failed", "OSError: unplugged"),
                ("code", "internal", "AttributeError"),
                ("own", "busy", "not now"),
                ("nan", "internal", "cannot be sent"),
            ]:
                with self.assertRaisesRegex(ToolError, says) as caught:
                    node.call("fails", how=how)
                self.assertEqual(caught.exception.code, code)
            self.assertEqual(node.call("dice_roll", sides=1), 1)
            lines = [text for _, text in node.logs]
            self.assertEqual(lines[0], "`fails` has failed:")
            self.assertIn("OSError: unplugged", lines)
            self.assertNotIn("session.py", "".join(lines))

    def test_is_not_run_with_arguments_that_it_does_not_take(self) -> None:
        with FakeNode(Dice) as node:
            for args in ({"side": 3}, {"sides": 3, "x": 1}):
                with self.assertRaises(ToolError) as caught:
                    node.call("dice_roll", **args)
                self.assertEqual(caught.exception.code, "bad_args")
            with self.assertRaises(ToolError) as caught:
                node.call("fails")
            self.assertRegex(str(caught.exception), "`how` is missing")
            with self.assertRaises(ToolError) as caught:
                node.call("nobody")
            self.assertEqual(caught.exception.code, "not_found")

    def test_says_how_far_it_is_and_hears_that_nobody_waits(self) -> None:
        class Rinse(Plugin):
            @tool
            def rinse(self, call: Call) -> str:
                call.progress(0.4, "rinsing")
                call.progress(text="still")
                return "stopped" if call.wait(30) and call.cancelled else "done"

        with FakeNode(Rinse) as node:
            self.assertEqual(node.tools["rinse"]["input_schema"]["properties"], {})
            call = node.begin("rinse")
            node.wait_for(lambda: len(call.progress) == 2)
            call.cancel()
            self.assertEqual(call.result(), "stopped")
            self.assertEqual(call.progress, [(0.4, "rinsing"), (None, "still")])

    def test_takes_what_its_hints_say(self) -> None:
        class Mode(enum.Enum):
            FAST = "fast"

        @dataclass
        class Point:
            x: float
            y: float = 0.0

        seen = []

        class Types(Plugin):
            @tool
            def all_of_them(
                self,
                at: Point,
                mode: Mode,
                names: List[str],
                more: Dict[str, float],
                depth: Annotated[float, Field("How deep.", minimum=0)],
                maybe: Optional[int] = None,
            ) -> Point:
                """Takes many.

                More of it.
                """
                seen.extend([at, mode, names, more, depth, maybe])
                return at

        Types.all_of_them.__annotations__.update({"at": Point, "mode": Mode, "return": Point})
        with FakeNode(Types) as node:
            schema = node.tools["all_of_them"]
            self.assertEqual(schema["description"], "Takes many.")
            self.assertEqual(
                schema["input_schema"]["properties"],
                {
                    "at": {
                        "type": "object",
                        "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
                        "additionalProperties": False,
                        "required": ["x"],
                    },
                    "mode": {"enum": ["fast"]},
                    "names": {"type": "array", "items": {"type": "string"}},
                    "more": {"type": "object", "additionalProperties": {"type": "number"}},
                    "depth": {"type": "number", "description": "How deep.", "minimum": 0},
                    "maybe": {"type": ["integer", "null"]},
                },
            )
            self.assertEqual(schema["output_schema"]["required"], ["x"])
            result = node.call("all_of_them", at={"x": 1}, mode="fast", names=["a"], more={"b": 1}, depth=2)
            self.assertEqual(result, {"x": 1.0, "y": 0.0})
            self.assertEqual(seen, [Point(1.0, 0.0), Mode.FAST, ["a"], {"b": 1.0}, 2.0, None])


class ASensor(unittest.TestCase):
    def test_is_read(self) -> None:
        class Packed(Attic):
            encodings = ("msgpack", "json")

        for plugin, encoding in ((Attic, "json"), (Packed, "msgpack")):
            if encoding == "msgpack" and not has_msgpack():
                continue
            with FakeNode(plugin, settings={"offset": 1}, encoding=encoding) as node:
                self.assertEqual(node._channel.encoding, encoding)
                self.assertEqual(
                    node.read(),
                    {
                        "temperature": 22.5,
                        "humidity": None,
                        "light": {"missing": "dark"},
                        "old": {"value": 1, "quality": "stale"},
                    },
                )

    def test_never_sends_what_is_no_number(self) -> None:
        class Broken(Sensor):
            def read(self):
                return {"temperature": self.settings["value"]}

        with FakeNode(Broken, settings={"value": 1}) as node:
            self.assertEqual(node.read(), {"temperature": 1})
            node._session.plugin.settings["value"] = float("inf")
            self.assertEqual(node.read(), {"temperature": {"missing": "not_finite"}})
            node._session.plugin.settings["value"] = object()
            with self.assertRaisesRegex(ToolError, "`temperature` is <object"):
                node.read()

    def test_knows_its_cadence_and_reaches_its_device(self) -> None:
        class Chip(Sensor):
            def setup(self) -> None:
                device = self.node.i2c()
                if device.write_read([0xD0], 1) != b"\x60":
                    raise Unmet("another chip answers")

            def read(self):
                self.node.i2c().write([0xF4, 0x25])
                return {"every": self.interval, "address": self.address}

        chip = FakeI2c({0xD0: 0x60})
        with FakeNode(Chip, i2c={"device": chip}, sensor={"every_ms": 2500, "address": 0x76}) as node:
            self.assertEqual(node.read(), {"every": 2.5, "address": 0x76})
            self.assertEqual(chip.registers[0xF4], 0x25)
        chip.registers[0xD0] = 0x58
        with self.assertRaises(SetupFailed) as caught, FakeNode(Chip, i2c={"device": chip}):
            pass
        self.assertEqual((caught.exception.why, caught.exception.message), ("unmet", "another chip answers"))


class ASetup(unittest.TestCase):
    def test_that_fails_says_what_that_means_for_trying_again(self) -> None:
        class Picky(Plugin):
            def setup(self) -> None:
                raise {"unmet": Unmet, "settings": SettingsError, "failed": RuntimeError}[self.settings["how"]]("no")

        for how, says in [("unmet", "no"), ("settings", "no"), ("failed", "RuntimeError: no")]:
            with self.assertRaises(SetupFailed) as caught, FakeNode(Picky, settings={"how": how}):
                pass
            self.assertEqual((caught.exception.why, caught.exception.message), (how, says))

    def test_may_ask_already_and_wish_for_a_tick(self) -> None:
        class Beat(Plugin):
            def setup(self) -> None:
                self.beats = self.node.load("beats", 0)
                self.every = 0.5

            def tick(self) -> None:
                self.beats += 1

            def teardown(self) -> None:
                self.node.store("beats", self.beats)

        with FakeNode(Beat, store={"beats": 3}) as node:
            self.assertEqual(node.every, 0.5)
            node.tick()
        self.assertEqual(node.store, {"beats": 4})


class Guard(Plugin):
    @hook("pre_tool_execute")
    def guard(self, call):
        if call["tool"] == "odd":
            return "pass"
        if call["tool"] == "pump":
            return veto("it is night")
        return replace({**call, "args": {"slow": True}}) if call["tool"] == "fan" else None

    @observe("deliver")
    def heard(self, reading: Reading) -> None:
        if reading.fields.get("level") is None:
            raise ValueError("no level")
        self.node.submit({"seen": reading.seq})

    @answer("extract")
    def extract(self, raw):
        return {"level": int(raw["bytes"], 16)} if raw["format"] == "hex" else None


class AHook(unittest.TestCase):
    def test_passes_replaces_or_stops_a_message(self) -> None:
        with FakeNode(Guard) as node:
            self.assertEqual(node.step("pre_tool_execute", {"tool": "lamp"}), PASS)
            self.assertEqual(node.step("pre_tool_execute", {"tool": "pump"}), veto("it is night"))
            replaced = {"tool": "fan", "args": {"slow": True}}
            self.assertEqual(node.step("pre_tool_execute", {"tool": "fan"}), replace(replaced))
            with self.assertRaisesRegex(ToolError, "a hook returns PASS"):
                node.step("pre_tool_execute", {"tool": "odd"})
            with self.assertRaisesRegex(ToolError, "nothing here is for the topic"):
                node.step("validate", {})

    def test_answers_or_lets_others(self) -> None:
        with FakeNode(Guard) as node:
            self.assertEqual(node.answer("extract", {"format": "hex", "bytes": "0a"}), {"level": 10})
            self.assertIsNone(node.answer("extract", {"format": "nmea", "bytes": ""}))

    def test_hears_more_events_than_one_credit_and_a_failure_ends_nothing(self) -> None:
        with FakeNode(Guard) as node:
            reading = {"sensor": "tank", "ts": None, "boot": "00000001"}
            node.event("deliver", {**reading, "seq": 0, "fields": {"level": None}})
            for seq in range(1, 200):
                node.event("deliver", {**reading, "seq": seq, "fields": {"level": 1}})
            self.assertEqual(len(node.submitted), 199)
            self.assertEqual(node.submitted[-1], ("test", {"seen": 199}))
            self.assertIn(("warn", "ValueError: no level"), node.logs)
            self.assertEqual(node.failed_events, [("deliver", "ValueError: no level")])

    def test_that_fails_over_three_events_in_a_row_has_ended(self) -> None:
        reading = {"sensor": "tank", "ts": None, "boot": "00000001"}
        why = "3 events in a row failed, the last one: deliver: ValueError: no level"
        with self.assertRaisesRegex(AssertionError, why), FakeNode(Guard) as node:
            for seq in range(4):
                node.event("deliver", {**reading, "seq": seq, "fields": {"level": None}})

    def test_of_a_processor_needs_no_mark(self) -> None:
        class Double(Processor):
            def process(self, draft):
                return replace({**draft, "fields": {name: value * 2 for name, value in draft["fields"].items()}})

        with FakeNode(Double) as node:
            step = node.step("process", {"sensor": "tank", "fields": {"level": 2}})
            self.assertEqual(step.wire["replace"]["fields"], {"level": 4})


class ADestination(unittest.TestCase):
    def test_takes_readings_and_those_that_it_did_not_take_come_again(self) -> None:
        class Keep(Destination):
            def setup(self) -> None:
                self.is_full = False
                self.kept: List[Reading] = []

            def deliver(self, readings: List[Reading]) -> None:
                if self.is_full:
                    raise OSError("full")
                self.kept += readings

        with FakeNode(Keep) as node:
            node.deliver([{"seq": 7, "fields": {"level": 1.5}, "q": {"level": "stale"}}])
            plugin = node._session.plugin
            assert isinstance(plugin, Keep)
            self.assertEqual(plugin.kept[0].fields, {"level": 1.5})
            self.assertEqual(plugin.kept[0].q, {"level": "stale"})
            plugin.is_full = True
            with self.assertRaisesRegex(ToolError, "full"):
                node.deliver(plugin.kept)


class Asker(Plugin):
    @tool
    def ask(self, what: str):
        node = self.node
        if what == "announce":
            node.announce({"level": "m", "rain": {"unit": "mm", "kind": "total_increasing"}}, sensor="test-tank", interval=2)
            node.withdraw("test-tank")
        elif what == "sensor":
            node.submit({"x": 1}, sensor="other")
        elif what == "call":
            return node.call("pump_set", {"on": True})
        elif what == "event":
            node.event("leak", "the tank leaks", "warning", {"level": 3})
        elif what == "metrics":
            node.counter("sent", 2)
            node.counter("sent")
            node.gauge("level", 4)
        elif what == "http":
            return node.http("https://example.org/now").json()
        elif what == "gpio":
            node.gpio("pump").set(True)
            return node.gpio("pump").get()
        elif what == "directory":
            return node.directory()
        elif what == "degraded":
            node.degraded("half of it")
        elif what == "latest":
            found = node.latest("tank")
            return found and found.fields
        return None


class AnAsk(unittest.TestCase):
    def test_of_each_kind_reaches_the_node(self) -> None:
        grants = {"tools": ["pump_*"], "hosts": ["example.org"], "gpio": {"pump": {"bus": "g", "line": 4}}}
        grants.update({"config": True, "topics": ["deliver"]})
        with FakeNode(
            Asker,
            grants=grants,
            tools={"pump_set": lambda on: {"was": not on}},
            http={"https://example.org/now": '{"t": 21}'},
            latest={"tank": {"fields": {"level": 3}}},
        ) as node:
            node.call("ask", what="announce")
            self.assertEqual(node.asks[0]["fields"]["level"], {"unit": "m"})
            self.assertEqual(node.asks[0]["interval_ms"], 2000)
            self.assertEqual(node.call("ask", what="call"), {"was": False})
            node.call("ask", what="event")
            self.assertEqual(node.events[0]["severity"], "warning")
            node.call("ask", what="metrics")
            self.assertEqual(node.metrics, {"sent": 3, "level": 4.0})
            self.assertEqual(node.call("ask", what="http"), {"t": 21})
            self.assertTrue(node.call("ask", what="gpio"))
            self.assertEqual(node.call("ask", what="latest"), {"level": 3})
            self.assertIn("node", node.call("ask", what="directory"))
            node.call("ask", what="degraded")
            self.assertEqual(node.degraded, "half of it")

    def test_for_what_was_not_granted_is_denied(self) -> None:
        with FakeNode(Asker) as node:
            for what in ("call", "http", "gpio", "directory", "latest", "sensor"):
                with self.assertRaises(ToolError) as caught:
                    node.call("ask", what=what)
                self.assertEqual(caught.exception.code, "denied", what)

    def test_waits_for_its_answer_while_events_queue_up(self) -> None:
        order = []

        class Slow(Plugin):
            @tool
            def slow(self) -> str:
                order.append("call")
                return str(self.node.call("other"))

            @observe("deliver")
            def heard(self, reading: Reading) -> None:
                order.append("event")

        with FakeNode(Slow, grants={"tools": ["other"]}) as node:

            def other() -> str:
                node.send({"type": "event", "topic": "deliver", "message": None})
                node.ping()
                order.append("answered")
                return "yes"

            node._functions["other"] = other
            self.assertEqual(node.call("slow"), "yes")
        self.assertEqual(order, ["call", "answered", "event"])

    def test_may_come_from_a_thread_of_the_plugins_own(self) -> None:
        class Threads(Plugin):
            def setup(self) -> None:
                for at in range(40):
                    threading.Thread(target=self.node.submit, args=({"at": at},), daemon=True).start()

        with FakeNode(Threads) as node:
            node.wait_for(lambda: len(node.submitted) == 40)
            self.assertEqual({frame["at"] for _, frame in node.submitted}, set(range(40)))

    def test_that_is_too_large_is_refused_here(self) -> None:
        class Large(Plugin):
            @tool
            def large(self) -> None:
                self.node.store("x", "y" * 2_000_000)

        with FakeNode(Large) as node:
            with self.assertRaisesRegex(ToolError, "too large"):
                node.call("large")
            node.ping()

    def test_raises_an_error_that_says_what_the_node_said(self) -> None:
        self.assertEqual(NodeError.of_wire({"code": "denied", "message": "no"}).code, "denied")
        self.assertEqual(NodeError.of_wire(None).code, "failed")


class ALog(unittest.TestCase):
    def test_goes_to_the_node_at_its_level(self) -> None:
        class Talks(Plugin):
            def setup(self) -> None:
                self.log.info("hello %s", "you")
                self.log.error("ach")
                self.log.debug("\n".join(map(str, range(1000))))

        with FakeNode(Talks) as node:
            self.assertEqual(node.logs[:2], [("info", "hello you"), ("error", "ach")])
            self.assertEqual([text for _, text in node.logs[2:]][18:23], ["18", "19", "…", "980", "981"])
