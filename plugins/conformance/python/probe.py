"""The twin of src/probe: a plugin that does what it is told."""

import does
from sedge_sdk import PASS, Call, Plugin, ToolError, answer, hook, observe, replace, run, tool, veto

FIELDS = {
    "level": {"unit": "%", "min": 0.0, "max": 100.0},
    "gone": {"unit": ""},
    "on": {"unit": "", "kind": "state"},
    "note": {"unit": "", "kind": "text"},
}


class Probe(Plugin):
    def setup(self):
        self.setups = self.node.load("setups", 0) + 1
        self.node.store("setups", self.setups)
        times = self.settings.get("setup_times")
        if times is None or self.setups <= times:
            does.act(self.settings.get("setup", "well"))
        if "every_ms" in self.settings:
            self.every = self.settings["every_ms"] / 1000
        self.ticks, self.heard = 0, []

    def tick(self):
        self.ticks += 1
        self.tell("tick", {"n": self.ticks})
        does.act(self.settings.get("tick", "well"))

    def teardown(self):
        self.tell("teardown")

    def tell(self, what, data=None):
        self.node.event(f"probe_{what}", self.id, data=data)

    @tool
    def probe_echo(self, text: str, **args):
        "Answers with what it is given."
        return {"text": text, "by": self.id, "args": {"text": text, **args}}

    @tool(timeout=0.3)
    def probe_slow(self, call: Call):
        "Takes longer than it may."
        call.wait(20)

    @tool
    def probe_do(self, call: Call, do: str, **args):
        "Does as it is told."
        if do in does.WORDS:
            return does.act(do)
        if do == "dawdle":
            call.progress(text="begun")
            return call.wait(20)
        if do == "progress":
            call.progress(0.25, "a quarter")
            call.progress(text="the rest")
            return "done"
        order = getattr(self, f"do_{do}", None)
        if order is None:
            raise ToolError(f"it cannot `{do}`", "bad_args")
        return order(**args)

    def do_state(self):
        greeting = self.settings.get("greeting", "")
        return {
            "greeting": greeting, "id": self.id, "setups": self.setups, "ticks": self.ticks, "heard": self.heard,
        }  # fmt: skip

    def do_announce(self, sensor=None):
        self.node.announce(FIELDS, sensor, kind="probe")

    def do_withdraw(self, sensor=None):
        self.node.withdraw(sensor)

    def do_submit(self, sensor=None, level=float("nan")):
        from sedge_sdk import Missing

        self.node.submit({"level": level, "gone": Missing("unplugged"), "on": True, "note": "as told"}, sensor)

    def do_submit_raw(self, bytes, sensor=None):
        self.node.submit_raw(bytearray(bytes), "test", sensor)

    def do_latest(self, sensor):
        found = self.node.latest(sensor)
        return found and {"sensor": found.sensor, "seq": found.seq, "level": found.fields.get("level")}

    def do_event(self, text):
        self.tell("told", text)

    def do_store(self, key, value):
        self.node.store(key, value)

    def do_load(self, key):
        return self.node.load(key)

    def do_forget(self, key):
        self.node.forget(key)

    def do_keep(self, text):
        self.file().write_text(text)

    def do_kept(self):
        return self.file().read_text() if self.file().exists() else None

    def file(self):
        if self.node.data_dir is None:
            raise ToolError(f"no directory: write `grant = {{ data = true }}` in [plugin.{self.id}]", "denied")
        return self.node.data_dir / "kept"

    def do_call(self, tool, args=None):
        return self.node.call(tool, args)

    def do_directory(self):
        return sorted(self.node.directory()["tools"])

    def do_config(self):
        return self.node.config

    def do_http(self, url):
        found = self.node.http(url)
        return {"status": found.status, "body": found.text}

    def do_degraded(self, reason=None):
        self.node.degraded(reason)

    def do_measure(self, add=None, set=None):
        if add is not None:
            self.node.counter("orders", add, "Orders that it was given.")
        if set is not None:
            self.node.gauge("mood", set, "How it feels.")

    def do_error(self, code, message, data=None):
        raise ToolError(message, code, data)

    @observe("deliver")
    def on_reading(self, reading):
        self.heard.append([reading.sensor, reading.seq])

    @observe("event_raised")
    def on_event(self, event):
        if event["kind"] == "probe":
            does.act((event.get("data") or {}).get("do"))

    @hook("pre_tool_execute")
    def before(self, call):
        told = call["args"].get("step")
        if told == "mark":
            return replace({**call, "args": self.marked(call["args"])})
        if told == "veto":
            return veto("it was told to")
        does.act(told)
        return PASS

    @hook("post_tool_execute")
    def after(self, outcome):
        result = outcome.get("ok")
        told = result.get("after") if isinstance(result, dict) else None
        if told == "mark":
            return replace({**outcome, "ok": self.marked(result)})
        if told == "veto":
            return veto("it was told to")
        does.act(told)
        return PASS

    def marked(self, value):
        return {**value, "trail": [*value.get("trail", []), self.id]}

    @answer("extract")
    def extract(self, raw):
        data = bytes.fromhex(raw["bytes"])
        if raw["format"] == "probe" and len(data) == 1:
            return {"level": data[0]}
        return None


run(Probe)
