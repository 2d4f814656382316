"""A plugin's life on its line: hello, set-up, calls and events one at a time, the end.

One thread reads the line, and answers what must not wait: pings, cancels, answers to asks. All of the plugin's methods run on the
other, so that an ask within a call can be answered while further calls queue up. It must not know where the line comes from.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
import traceback
from typing import Any, Callable, Dict, List, Optional, Type

from . import VERSION
from .errors import NodeError, NodeGone, ProtocolError, SettingsError, ToolError, Unmet
from .manifest import Manifest, ManifestError, mark_of, tools_to_wire
from .node import Asks, Node
from .plugin import Call, Destination, Plugin, Sensor, tools_of, topics_of
from .values import PASS, Reading, Step, frame_to_wire
from .wire import CREDIT, IN_FLIGHT, PROTOCOL, Channel, Message, has_msgpack

#: So long an observer may take before the node is left without an answer to its ping, in seconds.
STUCK = 60.0
#: Events of one topic in a row that may fail; then it is to be started anew, as in a node.
MOST_FAILURES = 3
#: Errors that are mistakes in the code, not of the world.
_BUGS = (TypeError, AttributeError, NameError, AssertionError, ImportError, NotImplementedError)


class Session:
    """See the module."""

    def __init__(
        self,
        plugin: Type[Plugin],
        channel: Channel,
        manifest: Optional[Manifest],
        *,
        logger: Optional[logging.Logger] = None,
        on_gone: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._class = plugin
        self._channel = channel
        self._manifest = manifest
        self._logger = logger
        self._on_gone = on_gone
        self._clock = clock
        self._inbox: queue.SimpleQueue[Optional[Message]] = queue.SimpleQueue()
        self._asks = Asks(self._say)
        self._calls: Dict[int, Call] = {}
        self._calls_lock = threading.Lock()
        self._handled_events = 0
        self._event_since: Optional[float] = None
        self._failing: set[str] = set()
        self._traces: Dict[str, str] = {}
        #: Events in a row that failed, by topic.
        self._failures: Dict[str, int] = {}
        self._tools = {name: mark_of(plugin, attribute) for name, attribute in tools_of(plugin).items()}
        self._methods = tools_of(plugin)
        self._topics = topics_of(plugin)
        self.error: Optional[str] = None
        #: Ends with the line.
        self.reader: Optional[threading.Thread] = None
        self.plugin: Plugin

    def run(self) -> int:
        """Until the end; what the process is to exit with."""
        handler: Optional[LogHandler] = None
        try:
            welcome = self._greet()
            self.plugin = self._make(welcome)
            handler = LogHandler(self._channel, self.plugin.log.name)
            (self._logger or self.plugin.log).addHandler(handler)
            self.reader = threading.Thread(target=self._read, name="sedge-reader", daemon=True)
            self.reader.start()
            return self._live()
        except NodeGone:
            return 0 if self.error is None else 1
        except (ProtocolError, OSError) as error:
            self.error = str(error)
            return 1
        finally:
            if handler is not None:
                (self._logger or self.plugin.log).removeHandler(handler)

    # The beginning.

    def _greet(self) -> Message:
        known = [one for one in self._class.encodings if one == "json" or (one == "msgpack" and has_msgpack())]
        manifest = self._manifest
        hello: Message = {
            "type": "hello",
            "protocol": PROTOCOL,
            "plugin": self._class.name or (manifest.name if manifest else "") or self._class.__name__.lower(),
            "version": self._class.version or (manifest.version if manifest else "") or "0.0.0",
            "sdk": f"python/{VERSION}",
            "encodings": known or ["json"],
            "features": [],
            "credit": CREDIT,
        }
        self._channel.send(hello)
        welcome = self._channel.receive()
        if welcome is None:
            raise NodeGone
        if welcome["type"] != "welcome":
            raise ProtocolError(f"the node's first message is `{welcome['type']}`, not `welcome`")
        theirs = str(welcome.get("protocol"))
        if theirs.split(".")[0] != PROTOCOL.split(".")[0]:
            raise ProtocolError(f"the node speaks protocol {theirs}, this SDK {PROTOCOL}: install a newer sedge-sdk")
        if welcome.get("encoding", "json") not in hello["encodings"]:
            raise ProtocolError(f"the node chose the encoding `{welcome.get('encoding')}`, which was not offered")
        self._channel.encoding = welcome.get("encoding", "json")
        limits = welcome.get("limits") or {}
        self._channel.limit = int(limits.get("message", self._channel.limit))
        self._asks = Asks(self._say, int(limits.get("in_flight", IN_FLIGHT)))
        return welcome

    def _make(self, welcome: Message) -> Plugin:
        plugin = self._class.__new__(self._class)
        plugin.id = str(welcome.get("id", ""))
        plugin.settings = dict(welcome.get("settings") or {})
        plugin.node = Node(self._asks.ask, welcome)
        plugin.log = logging.getLogger(f"sedge.{plugin.id}")
        if isinstance(plugin, Sensor):
            sensor = welcome.get("sensor") or {}
            plugin.interval = int(sensor.get("every_ms", 0)) / 1000
            plugin.address = sensor.get("address")
        return plugin

    def _live(self) -> int:
        try:
            self.plugin.__init__()  # type: ignore[misc]
            self.plugin.setup()
            ready: Message = {"type": "ready", "tools": tools_to_wire(self._class, self._manifest)}
            if self.plugin.every is not None:
                ready["every_ms"] = max(1, round(self.plugin.every * 1000))
        except Unmet as error:
            return self._refuse("unmet", str(error))
        except (SettingsError, ManifestError) as error:
            return self._refuse("settings", str(error))
        except Exception as error:
            self._tell_trace("setup", error)
            return self._refuse("failed", _text(error))
        self._channel.send(ready)
        try:
            while True:
                message = self._inbox.get()
                if message is None:
                    raise NodeGone
                if message["type"] == "event":
                    if not self._event(message):
                        self._teardown()
                        return 1
                elif self._call(message):
                    return 0
        except NodeGone:
            self._teardown()
            raise

    def _refuse(self, why: str, text: str) -> int:
        self.error = text
        self._channel.send({"type": "failed", "why": why, "message": text})
        return 0

    def _teardown(self) -> Optional[Exception]:
        try:
            self.plugin.teardown()
        except NodeGone:
            pass
        except Exception as error:
            self._tell_trace("teardown", error)
            return error
        return None

    # What arrives.

    def _read(self) -> None:
        """On a thread of its own."""
        try:
            while True:
                message = self._channel.receive()
                if message is None:
                    break
                self._heard(message)
        except (ProtocolError, OSError, ValueError, KeyError, TypeError) as error:
            self.error = f"the line to the node has failed: {error}"
        self.gone()

    def _heard(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("ok", "error"):
            self._asks.answered(message)
        elif kind == "ping":
            since = self._event_since
            if since is None or self._clock() - since < STUCK:
                self._channel.send({"type": "pong", "id": message["id"]})
        elif kind == "cancel":
            with self._calls_lock:
                call = self._calls.get(message["id"])
            if call is not None:
                call.cancel()
        elif kind in ("call", "event"):
            if self._inbox.qsize() >= IN_FLIGHT + CREDIT + 1:
                raise ProtocolError("the node sends more than it was granted")
            if kind == "call":
                id = int(message["id"])
                call = Call(
                    id,
                    str(message.get("tool", "")),
                    str(message.get("from", "")),
                    int(message.get("timeout_ms", 0)),
                    self._say,
                )
                with self._calls_lock:
                    self._calls[id] = call
            self._inbox.put(message)

    def _say(self, message: Message) -> None:
        try:
            self._channel.send(message)
        except OSError:
            raise NodeGone from None

    def gone(self) -> None:
        """Nobody is at the other end, or the process is to end."""
        self._on_gone()
        self._asks.gone()
        with self._calls_lock:
            for call in self._calls.values():
                call.cancel()
        self._inbox.put(None)

    # What is to be done.

    def _call(self, message: Message) -> bool:
        """Answers a call; whether it was the last one."""
        id = message["id"]
        with self._calls_lock:
            call = self._calls[id]
        what = _what(message)
        answer: Message
        try:
            if call.cancelled and message.get("do") != "stop":
                raise ToolError("nobody waits for it any more", "expired")
            answer = {"type": "ok", "id": id, "result": self._do(message, call)}
        except ToolError as error:
            answer = {"type": "error", "id": id, "error": error.to_wire()}
        except Unmet as error:
            answer = {"type": "error", "id": id, "error": ToolError(str(error), "unavailable").to_wire()}
        except Exception as error:
            self._tell_trace(what, error)
            code = "internal" if isinstance(error, _BUGS) else "failed"
            answer = {"type": "error", "id": id, "error": ToolError(_text(error), code).to_wire()}
        else:
            self._failing.discard(what)
        finally:
            with self._calls_lock:
                self._calls.pop(id, None)
        try:
            self._say(answer)
        except (TypeError, ValueError) as error:  # what it returned cannot be sent
            refused = ToolError(f"the result cannot be sent: {error}", "internal")
            self._say({"type": "error", "id": id, "error": refused.to_wire()})
        return message.get("do") == "stop"

    def _do(self, message: Message, call: Call) -> Any:
        do = message.get("do")
        plugin = self.plugin
        if do == "tool":
            return self._tool(message, call)
        if do == "read" and isinstance(plugin, Sensor):
            return frame_to_wire(plugin.read())
        if do == "tick":
            plugin.tick()
            return None
        if do == "deliver" and isinstance(plugin, Destination):
            plugin.deliver([Reading.of_wire(one) for one in message.get("readings") or []])
            return None
        if do == "step":
            step = self._method("step", message)(message.get("message"))
            if step is None:
                step = PASS
            if not isinstance(step, Step):
                raise TypeError(f"a hook returns PASS, replace(…) or veto(…), not {step!r}")
            return step.wire
        if do == "answer":
            return self._method("answer", message)(message.get("message"))
        if do == "stop":
            error = self._teardown()
            if error is not None:
                raise ToolError(_text(error))
            return None
        raise ToolError(f"this plugin cannot `{do}`", "bad_request")

    def _tool(self, message: Message, call: Call) -> Any:
        name = str(message.get("tool"))
        if name not in self._tools:
            raise ToolError(f"there is no tool `{name}`", "not_found")
        signature = self._tools[name].signature
        arguments = signature.arguments(message.get("args"))
        if signature.wants_call is not None:
            arguments[signature.wants_call] = call
        return getattr(self.plugin, self._methods[name])(**arguments)

    def _method(self, what: str, message: Message) -> Callable[[Any], Any]:
        topic = str(message.get("topic"))
        attribute = self._topics.get((what, topic))
        if attribute is None:
            raise ToolError(f"nothing here is for the topic `{topic}`", "not_found")
        method: Callable[[Any], Any] = getattr(self.plugin, attribute)
        return method

    def _event(self, message: Message) -> bool:
        """Hears it. False: too many in a row have failed."""
        topic = str(message.get("topic"))
        self._event_since = self._clock()
        try:
            content = message.get("message")
            if topic == "deliver" and isinstance(content, dict):
                content = Reading.of_wire(content)
            self._method("event", message)(content)
            self._failing.discard(topic)
            self._failures.pop(topic, None)
        except Exception as error:
            self._tell_trace(topic, error)
            text = str(error) if isinstance(error, ToolError) else _text(error)
            with contextlib.suppress(NodeError):
                self._asks.ask({"do": "event_failed", "topic": topic, "error": text})
            self._failures[topic] = self._failures.get(topic, 0) + 1
            if self._failures[topic] >= MOST_FAILURES:
                self.error = f"{MOST_FAILURES} events in a row failed, the last one: {topic}: {text}"
                return False
        finally:
            self._event_since = None
        self._handled_events += 1
        if self._handled_events >= CREDIT // 2:
            self._say({"type": "credit", "n": self._handled_events})
            self._handled_events = 0
        return True

    def _tell_trace(self, what: str, error: Exception) -> None:
        """Where it failed. Once, until it has worked again: the node counts the rest."""
        if what not in self._failing:
            self._failing.add(what)
            trace = error.__traceback__
            while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == __file__:
                trace = trace.tb_next  # what the SDK did to get there tells nobody anything
            lines: List[str] = traceback.format_exception(type(error), error, trace)
            text = "".join(lines).rstrip()
            if self._traces.get(what) == text:  # what fails every now and then fails the same way
                self.plugin.log.warning("`%s` has failed again: %s", what, _text(error))
                return
            self._traces[what] = text
            self.plugin.log.warning("`%s` has failed:\n%s", what, text)


def _what(message: Message) -> str:
    return str(message.get("tool") or message.get("topic") or message.get("do"))


def _text(error: BaseException) -> str:
    says = str(error)
    kind = type(error).__name__
    return f"{kind}: {says}" if says else kind


class LogHandler(logging.Handler):
    """Takes log records to the node."""

    #: Lines of one record, and characters of one line.
    LINES = 40
    LONGEST = 2000

    def __init__(self, channel: Channel, own: str) -> None:
        super().__init__()
        self._channel = channel
        self._own = own

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            if record.name not in (self._own, "root"):
                text = f"{record.name}: {text}"
            lines = text.splitlines()
            if len(lines) > self.LINES:  # how it began and how it ended says most
                half = self.LINES // 2
                lines = [*lines[:half], "…", *lines[-half:]]
            for line in lines:
                self._channel.send({"type": "log", "level": level(record.levelno), "text": line[: self.LONGEST]})
        except Exception:
            # Not by logging's own way: that prints a trace for every line once the node is gone.
            self.setLevel(logging.CRITICAL + 1)


def level(number: int) -> str:
    """A level of ``logging``, in a word of the node's."""
    for least, word in ((logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"), (10, "debug")):
        if number >= least:
            return word
    return "trace"
