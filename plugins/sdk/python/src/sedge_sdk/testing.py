"""A node for tests: runs a plugin in the test's own process, over the real protocol.

    with FakeNode(Attic, settings={"port": "/dev/ttyUSB0"}) as node:
        assert node.read() == {"temperature": 21.5}

    with FakeNode(Path("plugins/examples/sh-uptime")) as node:  # of any language, as a process
        assert node.read()["uptime"] > 0

A class runs on a thread of its own; every message is encoded and decoded as on a real line. What a manifest asks for is granted
unless the test grants something else. Nothing waits for ever: an answer that does not come within ``timeout`` fails the test.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union
from urllib.parse import urlsplit

from .bus import Operation
from .errors import NodeError, ToolError
from .manifest import Manifest
from .plugin import Plugin, Processor, Sensor, Validator
from .session import Session
from .values import Reading, Step
from .wire import CREDIT, FD_VARIABLE, IN_FLIGHT, MAX_MESSAGE, Channel, Message

__all__ = ["FakeI2c", "FakeNode", "SetupFailed"]


class SetupFailed(Exception):
    """The plugin could not be set up. ``why``: ``settings``, ``unmet`` or ``failed``."""

    def __init__(self, why: str, message: str) -> None:
        super().__init__(f"{why}: {message}")
        self.why = why
        self.message = message


class FakeI2c:
    """A chip: registers of a byte. What is written first is the register; what is read comes from there on.

    ``FakeI2c({0xD0: 0x60, 0xF7: bytes(8)})``. Set ``fails`` to a text, and every transfer fails with it.
    """

    def __init__(self, registers: Optional[Mapping[int, Union[int, bytes]]] = None) -> None:
        self.registers = bytearray(256)
        for at, value in (registers or {}).items():
            data = bytes([value]) if isinstance(value, int) else bytes(value)
            self.registers[at : at + len(data)] = data
        #: All that was written: register and bytes.
        self.written: List[bytes] = []
        self.fails: Optional[str] = None
        self._at = 0

    def transfer(self, operations: Sequence[Operation]) -> List[bytes]:
        """Override it for a chip that is more than registers."""
        if self.fails is not None:
            raise NodeError(self.fails, "failed", {"reason": "no_answer"})
        read = []
        for one in operations:
            if isinstance(one, int):
                read.append(bytes(self.registers[(self._at + i) % 256] for i in range(one)))
                self._at = (self._at + one) % 256
                continue
            self.written.append(bytes(one))
            if one:
                self._at = one[0]
            for byte in one[1:]:
                self.registers[self._at] = byte
                self._at = (self._at + 1) % 256
        return read


class FakeCall:
    """A call that is under way."""

    def __init__(self, node: FakeNode, id: int) -> None:
        self._node = node
        self.id = id
        self.answer: Optional[Message] = None
        #: What the tool said of how far it is.
        self.progress: List[Tuple[Optional[float], str]] = []

    def cancel(self) -> None:
        self._node.send({"type": "cancel", "id": self.id})

    def result(self) -> Any:
        """The result; raises the ``ToolError`` that it ended with."""
        self._node.wait_for(lambda: self.answer is not None, f"an answer to call {self.id}")
        assert self.answer is not None
        if self.answer["type"] == "error":
            error = self.answer["error"]
            raise ToolError(error["message"], error["code"], error.get("data"))
        return self.answer.get("result")


Http = Union[None, str, Mapping[str, Any], Callable[[Dict[str, Any]], Any]]


class FakeNode:
    """See the module.

    ``i2c`` has chips by label; ``tools`` functions that are called with the arguments as keywords; ``http`` is a function of the
    request, or answers by URL (a text, a dict with ``status`` and ``body``), or ``"real"``: then requests are sent.
    ``latest`` has readings by sensor. What was granted besides is in ``grants``, as in a config.
    """

    def __init__(
        self,
        plugin: Union[Type[Plugin], str, Path],
        settings: Optional[Mapping[str, Any]] = None,
        *,
        id: str = "test",
        grants: Optional[Mapping[str, Any]] = None,
        sensor: Optional[Mapping[str, Any]] = None,
        i2c: Optional[Mapping[str, Any]] = None,
        gpio: Optional[Mapping[str, bool]] = None,
        http: Http = None,
        tools: Optional[Mapping[str, Callable[..., Any]]] = None,
        latest: Optional[Mapping[str, Mapping[str, Any]]] = None,
        store: Optional[Mapping[str, Any]] = None,
        config: Optional[Mapping[str, Any]] = None,
        encoding: str = "json",
        timeout: float = 30.0,
    ) -> None:
        self.manifest = Manifest.beside(plugin) if isinstance(plugin, type) else Manifest.read(Path(plugin))
        self.id = id
        self.timeout = timeout
        #: What it holds.
        self.grants: Dict[str, Any] = dict(_all_of(self.manifest) if grants is None else grants)
        self.chips: Dict[str, Any] = dict(i2c or {})
        self.lines: Dict[str, bool] = dict(gpio or {})
        self._http = http
        self._functions = dict(tools or {})
        self._latest = dict(latest or {})
        #: Its values of its own.
        self.store: Dict[str, Any] = dict(store or {})
        #: What it has submitted: sensor and frame.
        self.submitted: List[Tuple[str, Dict[str, Any]]] = []
        #: The sensors that it has announced, by id.
        self.announced: Dict[str, Message] = {}
        #: The events that it has raised.
        self.events: List[Message] = []
        #: What it has logged: level and text.
        self.logs: List[Tuple[str, str]] = []
        #: What is amiss with it; none where it is well.
        self.degraded: Optional[str] = None
        #: What it failed to hear: topic, error.
        self.failed_events: List[Tuple[str, str]] = []
        #: Its counters and gauges.
        self.metrics: Dict[str, float] = {}
        #: Everything that it has asked for, in order.
        self.asks: List[Message] = []
        #: The tools that it offers, by name.
        self.tools: Dict[str, Message] = {}
        #: How often it wants its tick, in seconds.
        self.every: Optional[float] = None
        self.hello: Message = {}
        self._plugin = plugin
        self._settings = dict(settings or {})
        self._sensor = dict(sensor or {})
        self._config = config
        self._encoding = encoding
        self._calls: Dict[int, FakeCall] = {}
        self._next = 1
        self._state: Optional[Message] = None
        self._pongs: List[int] = []
        self._credit = 0
        self._is_stopped = False
        #: A directory of the plugin's own, where that is granted.
        self.data_dir: Optional[Path] = None
        self._line: Optional[socket.socket] = None
        self._end: Callable[[], None] = lambda: None

    # Its life.

    def __enter__(self) -> FakeNode:
        self._line, there = socket.socketpair()
        self._channel = Channel(self._line.fileno(), self._line.fileno())
        if isinstance(self._plugin, type):
            self._run_class(self._plugin, there)
        else:
            self._run_program(there)
        try:
            self._start()
        except BaseException:
            self._close()
            raise
        return self

    def _run_class(self, plugin: Type[Plugin], line: socket.socket) -> None:
        logger = logging.getLogger(f"sedge.{self.id}")
        logger.propagate = False
        logger.setLevel(logging.DEBUG)
        self._session = Session(plugin, Channel(line.fileno(), line.fileno()), self.manifest)

        def run() -> None:
            self._session.run()
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

        def end() -> None:
            # Nobody may read from a descriptor that will soon be another one's.
            for one in (thread, self._session.reader):
                if one is not None:
                    one.join(self.timeout)
                    if one.is_alive():
                        raise AssertionError("the plugin has not ended")
            line.close()

        thread = threading.Thread(target=run, name="plugin", daemon=True)
        thread.start()
        self._end = end

    def _run_program(self, line: socket.socket) -> None:
        """As a node does: in its folder, with the line at file descriptor 3 and hardly any environment."""
        assert self.manifest is not None
        command = [str(word) for word in (self.manifest.data.get("entry") or {}).get("command") or []]
        command = [word.replace("{python}", sys.executable) for word in command]
        move = "import os, sys; n = int(sys.argv[1]); os.dup2(n, 3); n == 3 or os.close(n); os.execvp(sys.argv[2], sys.argv[2:])"
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        process = subprocess.Popen(
            [sys.executable, "-c", move, str(line.fileno()), *command],
            cwd=self.manifest.folder,
            env={**kept, FD_VARIABLE: "3"},
            pass_fds=[line.fileno()],
            stdin=subprocess.DEVNULL,
        )
        line.close()

        def end() -> None:
            try:
                process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError("the plugin has not ended") from None

        self._end = end

    def _start(self) -> None:
        self.wait_for(lambda: bool(self.hello), "hello")
        self._credit = self.hello.get("credit", CREDIT)
        welcome: Message = {
            "type": "welcome",
            "protocol": "1.0",
            "api": "1.0",
            "encoding": self._encoding if self._encoding in self.hello.get("encodings", ()) else "json",
            "features": [],
            "id": self.id,
            "plugin": self.hello["plugin"],
            "node": "fake",
            "settings": self._settings,
            "grants": self.grants,
            "limits": {"message": MAX_MESSAGE, "in_flight": IN_FLIGHT, "memory": 64 << 20, "start_ms": 10_000},
        }
        if self.grants.get("data"):
            self.data_dir = Path(tempfile.mkdtemp(prefix="sedge-"))
            welcome["data_dir"] = str(self.data_dir)
        if self.grants.get("config"):
            welcome["config"] = dict(self._config or {})
        if self._is("sensor", Sensor):
            welcome["sensor"] = {"every_ms": 10_000, **self._sensor_of_manifest(), **self._sensor}
        self.send(welcome)
        self._channel.encoding = welcome["encoding"]
        self.wait_for(lambda: self._state is not None, "ready")
        state = self._state or {}
        if state["type"] == "failed":
            raise SetupFailed(state["why"], state["message"])
        self.tools = {one["name"]: one for one in state.get("tools", ())}
        self.every = state["every_ms"] / 1000 if state.get("every_ms") is not None else None
        lies = self._lies()
        if lies:
            raise SetupFailed("settings", "its tools are not those of its manifest: " + "; ".join(lies))

    def _lies(self) -> List[str]:
        if self.manifest is None or not self.manifest.is_whole:
            return []
        declared = self.manifest.tools
        lies = [f"it offers `{name}`, which is not in its manifest" for name in self.tools if name not in declared]
        lies += [f"it does not offer `{name}`, which is in its manifest" for name in declared if name not in self.tools]
        for name in declared.keys() & self.tools.keys():
            if self.tools[name]["input_schema"] != self.manifest.input(name):
                lies.append(f"`{name}` takes other arguments than its manifest says")
        return lies

    def _is(self, category: str, base: Type[Plugin]) -> bool:
        if isinstance(self._plugin, type):
            return issubclass(self._plugin, base)
        return self.manifest is not None and self.manifest.category == category

    def _sensor_of_manifest(self) -> Dict[str, Any]:
        addresses = ((self.manifest.data.get("sensor") or {}) if self.manifest else {}).get("addresses")
        return {"address": addresses[0]} if addresses else {}

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        try:
            if kind is None and not self._is_stopped:
                self.stop()
        finally:
            self._close()

    def stop(self) -> None:
        """Stops it, as a node does."""
        self._is_stopped = True
        self._begin({"do": "stop", "grace_ms": 5000}).result()
        self._end()

    def vanish(self) -> None:
        """Is gone, without a word. Fails where the plugin does not end by itself."""
        self._is_stopped = True
        assert self._line is not None
        self._line.shutdown(socket.SHUT_RDWR)
        self._end()

    def _close(self) -> None:
        assert self._line is not None
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()
        try:
            self._end()
        finally:
            self._tidy()

    def _tidy(self) -> None:
        if self.data_dir is not None:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    # What a node asks of a plugin.

    def read(self) -> Dict[str, Any]:
        """Has it take a reading."""
        return dict(self._begin({"do": "read"}).result())

    def tick(self) -> None:
        self._begin({"do": "tick"}).result()

    def call(self, tool: str, /, **args: Any) -> Any:
        """Calls one of its tools."""
        return self.begin(tool, **args).result()

    def begin(self, tool: str, /, **args: Any) -> FakeCall:
        """Calls one of its tools, and does not wait for it."""
        call: Message = {"do": "tool", "tool": tool, "args": args, "from": "test", "timeout_ms": 5000}
        return self._begin(call)

    def step(self, topic: str, message: Mapping[str, Any]) -> Step:
        """Shows it a message of a chain: ``PASS``, ``replace(…)`` or ``veto(…)``."""
        self._may_hear(topic)
        return Step(self._begin({"do": "step", "topic": topic, "message": dict(message)}).result())

    def answer(self, topic: str, message: Mapping[str, Any]) -> Any:
        self._may_hear(topic)
        return self._begin({"do": "answer", "topic": topic, "message": dict(message)}).result()

    def deliver(self, readings: Sequence[Union[Reading, Mapping[str, Any]]]) -> None:
        """Hands it readings; raises a ``ToolError`` where it did not take them."""
        self._begin({"do": "deliver", "readings": [_reading(one) for one in readings]}).result()

    def event(self, topic: str, message: Union[Reading, Mapping[str, Any], None] = None) -> None:
        """Lets it hear of something, and waits until it has."""
        self._may_hear(topic)
        if self._credit == 0:
            self.wait_for(lambda: self._credit > 0, "more credit")
        self._credit -= 1
        content = _reading(message) if isinstance(message, Reading) else message
        self.send({"type": "event", "topic": topic, "message": content})
        with contextlib.suppress(ToolError):
            self._begin({"do": "nothing"}).result()  # is answered once the event was heard

    def ping(self) -> None:
        """Fails where it does not answer."""
        id, self._next = self._next, self._next + 1
        self.send({"type": "ping", "id": id})
        self.wait_for(lambda: id in self._pongs, "pong")

    def _may_hear(self, topic: str) -> None:
        manifest = self.manifest
        by_section = [("processor", Processor, "process"), ("validator", Validator, "validate")]
        if any(self._is(category, base) and topic == name for category, base, name in by_section):
            return
        if manifest is not None and manifest.is_whole and topic not in manifest.hooks:
            raise AssertionError(f"plugin.toml has no [[hook]] with topic = {topic!r}: a node would not tell it")
        if manifest is not None and topic not in self.grants.get("topics", ()):
            raise AssertionError(f"the topic {topic!r} was not granted: a node would not tell it")

    def _begin(self, call: Message) -> FakeCall:
        id, self._next = self._next, self._next + 1
        begun = FakeCall(self, id)
        self._calls[id] = begun
        self.send({"type": "call", "id": id, **call})
        return begun

    def send(self, message: Message) -> None:
        self._channel.send(message)

    def wait_for(self, done: Callable[[], bool], what: str = "it") -> None:
        """Serves the plugin until something holds."""
        end = time.monotonic() + self.timeout
        while not done():
            message = self._channel.take()
            if message is not None:
                self._heard(message)
                continue
            ready, _, _ = select.select([self._channel], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise AssertionError(f"the plugin has been waited for in vain: {what}")
            if not self._channel.fill():
                error = (isinstance(self._plugin, type) and self._session.error) or "it has ended"
                raise AssertionError(f"the plugin is gone, {what} was waited for: {error}")

    # What it says.

    def _heard(self, message: Message) -> None:
        kind = message["type"]
        if kind == "hello":
            self.hello = message
        elif kind in ("ready", "failed"):
            self._state = message
        elif kind in ("ok", "error"):
            if message["id"] in self._calls:
                self._calls[message["id"]].answer = message
        elif kind == "progress":
            if message["id"] in self._calls:
                self._calls[message["id"]].progress.append((message.get("fraction"), message.get("text", "")))
        elif kind == "log":
            self.logs.append((message["level"], message["text"]))
        elif kind == "credit":
            self._credit += message["n"]
        elif kind == "pong":
            self._pongs.append(message["id"])
        elif kind == "ask":
            self.asks.append(message)
            try:
                answer: Message = {"type": "ok", "id": message["id"], "result": self._asked(message)}
            except ToolError as error:
                answer = {"type": "error", "id": message["id"], "error": error.to_wire()}
            self.send(answer)

    def _asked(self, ask: Message) -> Any:
        serve = getattr(self, f"_ask_{ask['do']}", None)
        if serve is None:
            raise ToolError(f"this node cannot `{ask['do']}`", "bad_request")
        return serve(ask)

    def _own(self, sensor: str) -> str:
        if sensor != self.id and not sensor.startswith(self.id + "-"):
            raise ToolError(f"`{sensor}` is no sensor of `{self.id}`", "denied")
        return sensor

    def _ask_submit(self, ask: Message) -> None:
        self.submitted.append((self._own(ask["sensor"]), ask["frame"]))

    def _ask_submit_raw(self, ask: Message) -> None:
        self.submitted.append((self._own(ask["sensor"]), {"format": ask["format"], "bytes": bytes.fromhex(ask["bytes"])}))

    def _ask_announce(self, ask: Message) -> None:
        self.announced[self._own(ask["sensor"])] = ask

    def _ask_withdraw(self, ask: Message) -> None:
        self.announced.pop(self._own(ask["sensor"]), None)

    def _ask_call(self, ask: Message) -> Any:
        _granted(self.grants, "tools", ask["tool"])
        if ask["tool"] not in self._functions:
            raise ToolError(f"there is no tool `{ask['tool']}`", "not_found")
        return self._functions[ask["tool"]](**(ask.get("args") or {}))

    def _ask_event(self, ask: Message) -> None:
        self.events.append({word: ask.get(word) for word in ("kind", "severity", "text", "data")})

    def _ask_latest(self, ask: Message) -> Any:
        if ask["sensor"] != self.id and not ask["sensor"].startswith(self.id + "-"):
            _granted(self.grants, "topics", "deliver")
        found = self._latest.get(ask["sensor"])
        return None if found is None else _reading(found)

    def _ask_directory(self, ask: Message) -> Any:
        if not self.grants.get("config"):
            raise ToolError("`config` was not granted", "denied")
        return {"node": {"id": "fake"}, "sensors": {}, "tools": {}, "plugins": {}}

    def _ask_load(self, ask: Message) -> Any:
        return self.store.get(ask["key"])

    def _ask_store(self, ask: Message) -> None:
        self.store[ask["key"]] = ask["value"]

    def _ask_forget(self, ask: Message) -> None:
        self.store.pop(ask["key"], None)

    def _ask_event_failed(self, ask: Message) -> None:
        self.failed_events.append((ask["topic"], ask["error"]))

    def _ask_degraded(self, ask: Message) -> None:
        self.degraded = ask.get("reason")

    def _ask_metric(self, ask: Message) -> None:
        if "add" in ask:
            self.metrics[ask["name"]] = self.metrics.get(ask["name"], 0) + ask["add"]
        else:
            self.metrics[ask["name"]] = ask["set"]

    def _ask_i2c(self, ask: Message) -> Any:
        label = ask["device"]
        own = label == "device" and self._is("sensor", Sensor)
        if label not in (self.grants.get("i2c") or {}) and not own:
            raise ToolError(f"the device `{label}` was not granted", "denied")
        if label not in self.chips:
            raise ToolError(f"`{label}`: nobody answers", "failed", {"reason": "no_answer"})
        operations = [one["read"] if "read" in one else bytes.fromhex(one["write"]) for one in ask["operations"]]
        return {"read": [one.hex() for one in self.chips[label].transfer(operations)]}

    def _ask_gpio(self, ask: Message) -> Any:
        _granted(self.grants, "gpio", ask["line"])
        if "set" in ask:
            self.lines[ask["line"]] = ask["set"]
        return {"level": self.lines.get(ask["line"], False)}

    def _ask_http(self, ask: Message) -> Any:
        parts = urlsplit(ask["url"])
        # A grant without a port is for the usual ones.
        usual = [parts.hostname or ""] if parts.port in (None, 80, 443) else []
        _granted(self.grants, "hosts", parts.netloc, *usual)
        http = self._http
        if http == "real":
            return _fetch(ask)
        found = http(ask) if callable(http) else http.get(ask["url"]) if isinstance(http, Mapping) else None
        if found is None:
            raise ToolError(f"{parts.netloc}: no connection", "unavailable")
        found = {"body": found} if isinstance(found, str) else dict(found)
        return {"status": 200, "headers": {}, "body": "", **found}


def _granted(grants: Mapping[str, Any], what: str, *names: str) -> None:
    patterns = grants.get(what) or ()
    if not any(fnmatchcase(name, pattern) for name in names for pattern in patterns):
        raise ToolError(f"{what}: `{names[0]}` was not granted", "denied")


def _all_of(manifest: Optional[Manifest]) -> Dict[str, Any]:
    """Everything that a manifest asks for, on a bus of its own."""
    requests = manifest.requests if manifest else {}
    i2c = {label: {"bus": "fake", "address": one[0]} for label, one in (requests.get("i2c") or {}).items()}
    gpio = {label: {"bus": "fake", "line": at} for at, label in enumerate(requests.get("gpio") or {})}
    return {
        "i2c": i2c,
        "gpio": gpio,
        "tools": list(requests.get("tools") or []),
        "topics": sorted({*(requests.get("topics") or []), *(manifest.hooks if manifest else [])}),
        "hosts": list(requests.get("hosts") or []),
        "data": bool(requests.get("data")),
        "config": bool(requests.get("config")),
    }


def _reading(one: Union[Reading, Mapping[str, Any]]) -> Dict[str, Any]:
    """A reading as on the wire. What a test does not say of one is made up."""
    if isinstance(one, Reading):
        return {word: value for word, value in vars(one).items() if word == "ts" or value not in (None, {})}
    made_up = {"sensor": "tank", "ts": "2026-01-01T00:00:00.000Z", "seq": 1, "boot": "00000001", "fields": {}}
    return {**made_up, **one}


def _fetch(ask: Mapping[str, Any]) -> Dict[str, Any]:
    request = urllib.request.Request(ask["url"], method=ask["method"], headers=dict(ask.get("headers") or {}))
    if ask.get("body"):
        request.data = ask["body"].encode()
    try:
        with urllib.request.urlopen(request, timeout=ask.get("timeout_ms", 10_000) / 1000) as answer:
            return {"status": answer.status, "headers": dict(answer.headers), "body": answer.read(MAX_MESSAGE // 2).decode()}
    except urllib.error.HTTPError as error:
        with error:
            return {"status": error.code, "headers": dict(error.headers), "body": error.read(MAX_MESSAGE // 2).decode()}
    except OSError as error:
        raise ToolError(f"{ask['url']}: {error}", "unavailable") from error
