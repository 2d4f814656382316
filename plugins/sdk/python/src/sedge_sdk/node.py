"""The way to the node: everything that a plugin may ask for.

An ask waits for its answer. It may be sent from any thread; sixteen at most are under way, further ones wait.
What was not granted raises a ``NodeError`` with the code ``denied``.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional

from .bus import Gpio, I2c, SMBus
from .errors import NodeError, NodeGone
from .values import Frame, Reading, frame_to_wire
from .wire import IN_FLIGHT

Ask = Callable[[Dict[str, Any]], Any]


class Asks:
    """Asks that are under way, and their answers."""

    def __init__(self, send: Callable[[Dict[str, Any]], None], in_flight: int = IN_FLIGHT) -> None:
        self._send = send
        self._room = threading.BoundedSemaphore(max(1, in_flight))
        self._lock = threading.Lock()
        self._waiting: Dict[int, _Waiting] = {}
        self._next = 1
        self._is_gone = False

    def ask(self, ask: Dict[str, Any]) -> Any:
        with self._room:
            waiting = _Waiting()
            with self._lock:
                if self._is_gone:
                    raise NodeGone
                id, self._next = self._next, self._next + 1
                self._waiting[id] = waiting
            try:
                self._send({"type": "ask", "id": id, **ask})
                waiting.done.wait()
            finally:
                with self._lock:
                    self._waiting.pop(id, None)
        if waiting.answer is None:
            raise NodeGone
        if waiting.answer["type"] == "error":
            raise NodeError.of_wire(waiting.answer.get("error"))
        return waiting.answer.get("result")

    def answered(self, message: Dict[str, Any]) -> None:
        with self._lock:
            waiting = self._waiting.get(message.get("id", 0))
        # An answer to nothing that was asked is nothing to us.
        if waiting is not None and not waiting.done.is_set():
            waiting.answer = message
            waiting.done.set()

    def gone(self) -> None:
        """Nobody will answer any more."""
        with self._lock:
            self._is_gone = True
            for waiting in self._waiting.values():
                waiting.done.set()


class _Waiting:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Optional[Dict[str, Any]] = None


@dataclass(frozen=True)
class HttpResponse:
    """What came back. Any status is an answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Node:
    """See the module."""

    def __init__(self, ask: Ask, welcome: Mapping[str, Any]) -> None:
        self._ask = ask
        #: The node's id.
        self.id: str = str(welcome.get("node", ""))
        #: What is held of what the manifest asks for.
        self.grants: Mapping[str, Any] = welcome.get("grants") or {}
        #: What the plugin must stay within.
        self.limits: Mapping[str, Any] = welcome.get("limits") or {}
        #: What the node understands beyond the protocol's version.
        self.features: tuple[str, ...] = tuple(welcome.get("features") or ())
        #: A directory of its own, where that is granted.
        self.data_dir: Optional[Path] = Path(welcome["data_dir"]) if welcome.get("data_dir") else None
        #: The node's config, secrets masked, where that is granted.
        self.config: Optional[Mapping[str, Any]] = welcome.get("config")
        self._sensor: Mapping[str, Any] = welcome.get("sensor") or {}
        self._own: str = str(welcome.get("id", ""))

    def ask(self, do: str, **words: Any) -> Any:
        """Asks for anything, also for what a later version of the protocol has."""
        return self._ask({"do": do, **words})

    # Readings.

    def submit(self, frame: Frame, sensor: Optional[str] = None) -> None:
        """Sends a frame on the path of a reading. The sensor: the plugin's own id, or one that begins with it and ``-``."""
        self.ask("submit", sensor=sensor or self._own, frame=frame_to_wire(frame))

    def submit_raw(self, data: bytes, format: str, sensor: Optional[str] = None) -> None:
        """Sends bytes on the path of a reading, for whoever knows their format."""
        self.ask("submit_raw", sensor=sensor or self._own, format=format, bytes=bytes(data).hex())

    def announce(
        self,
        fields: Mapping[str, Any],
        sensor: Optional[str] = None,
        kind: str = "",
        interval: Optional[float] = None,
    ) -> None:
        """Makes a sensor known: ``announce({"level": {"unit": "m"}})``, or in short ``{"level": "m"}``."""
        known = {name: {"unit": one} if isinstance(one, str) else dict(one) for name, one in fields.items()}
        words: Dict[str, Any] = {"sensor": sensor or self._own, "kind": kind, "fields": known}
        if interval is not None:
            words["interval_ms"] = round(interval * 1000)
        self.ask("announce", **words)

    def withdraw(self, sensor: Optional[str] = None) -> None:
        """Takes a sensor back."""
        self.ask("withdraw", sensor=sensor or self._own)

    def latest(self, sensor: str) -> Optional[Reading]:
        """The newest reading of a sensor. Grant: the topic ``deliver``."""
        found = self.ask("latest", sensor=sensor)
        return None if found is None else Reading.of_wire(found)

    # Others.

    def call(self, tool: str, args: Optional[Mapping[str, Any]] = None, timeout: Optional[float] = None) -> Any:
        """Calls a tool of another plugin; raises the ``NodeError`` that it ends with. Grant: ``tools``."""
        words: Dict[str, Any] = {"tool": tool, "args": dict(args or {})}
        if timeout is not None:
            words["timeout_ms"] = round(timeout * 1000)
        return self.ask("call", **words)

    def event(self, kind: str, text: str, severity: str = "info", data: Any = None) -> None:
        """Tells people something: ``info``, ``warning`` or ``error``."""
        self.ask("event", kind=kind, severity=severity, text=text, data=data)

    def directory(self) -> Mapping[str, Any]:
        """What the node has: ``node``, ``sensors``, ``tools``, ``plugins``. Grant: ``config``."""
        found: Mapping[str, Any] = self.ask("directory")
        return found

    def http(
        self,
        url: str,
        method: str = "GET",
        headers: Optional[Mapping[str, str]] = None,
        body: str = "",
        timeout: Optional[float] = None,
    ) -> HttpResponse:
        """Sends a request over HTTP. Grant: ``hosts``."""
        words: Dict[str, Any] = {"method": method, "url": url}
        if headers:
            words["headers"] = dict(headers)
        if body:
            words["body"] = body
        if timeout is not None:
            words["timeout_ms"] = round(timeout * 1000)
        found = self.ask("http", **words)
        return HttpResponse(int(found["status"]), dict(found.get("headers") or {}), str(found.get("body") or ""))

    # Values of its own.

    def load(self, key: str, default: Any = None) -> Any:
        """What was kept under a key."""
        found = self.ask("load", key=key)
        return default if found is None else found

    def store(self, key: str, value: Any) -> None:
        """Keeps a value: at most 64 KiB, and a mebibyte in all. It survives restarts."""
        self.ask("store", key=key, value=value)

    def forget(self, key: str) -> None:
        self.ask("forget", key=key)

    # How it fares.

    def degraded(self, reason: Optional[str]) -> None:
        """It runs with something amiss, or (None) is well again."""
        self.ask("degraded", reason=reason)

    def counter(self, name: str, add: int = 1, help: str = "") -> None:
        """Adds to a counter of its own."""
        self.ask("metric", name=name, help=help, add=add)

    def gauge(self, name: str, value: float, help: str = "") -> None:
        """Sets a gauge of its own."""
        self.ask("metric", name=name, help=help, set=float(value))

    # Hardware.

    def i2c(self, label: str = "device") -> I2c:
        """A device on I2C, by the label of the manifest; ``device`` is the one of a sensor's own section."""
        return I2c(label, self.address(label), self._ask)

    def smbus(self) -> SMBus:
        """All granted devices as a bus, for drivers that want one: ``bme280.sample(self.node.smbus(), address)``."""
        labels = {label: self.address(label) for label in self.grants.get("i2c") or {}}
        if self._sensor.get("address") is not None:
            labels["device"] = int(self._sensor["address"])
        return SMBus({address: I2c(label, address, self._ask) for label, address in labels.items() if address})

    def address(self, label: str = "device") -> Optional[int]:
        """The address of a device, 7 bits; none where it was not granted."""
        grant = (self.grants.get("i2c") or {}).get(label)
        if grant is None and label == "device":
            return self._sensor.get("address")
        return None if grant is None else int(grant["address"])

    def gpio(self, label: str) -> Gpio:
        """A GPIO line, by the label of the manifest."""
        return Gpio(label, self._ask)
