"""What an author writes: a class, with what it offers marked by decorators.

    class Dice(Plugin):
        @tool
        def dice_roll(self, sides: int = 6) -> int:
            "Rolls a die."
            return random.randint(1, sides)

All of a plugin's methods run one at a time on one thread, so it needs no locks. It must not wait for long: it is called again only
when it has come back.
"""

from __future__ import annotations

import inspect
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence, TypeVar, Union, overload

from .schema import Schema, Signature
from .values import Frame, Reading, Step

if TYPE_CHECKING:
    from .node import Node

F = TypeVar("F", bound=Callable[..., Any])


class Call:
    """The call of a tool that is under way. A parameter of this type gets it; it is no argument."""

    def __init__(
        self,
        id: int,
        tool: str,
        caller: str,
        timeout_ms: int,
        say: Callable[[Dict[str, Any]], None] = lambda message: None,
    ) -> None:
        self.id = id
        self.tool = tool
        #: Who calls, as far as known.
        self.caller = caller
        #: How long the caller waits, in milliseconds.
        self.timeout_ms = timeout_ms
        self._say = say
        self._cancelled = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Nobody waits for the result any more."""
        return self._cancelled.is_set()

    def wait(self, seconds: float) -> bool:
        """Waits; at most until the call is cancelled, which it returns."""
        return self._cancelled.wait(seconds)

    def progress(self, fraction: Optional[float] = None, text: str = "") -> None:
        """How far it is, from 0 to 1 as far as known, and what is being done."""
        message: Dict[str, Any] = {"type": "progress", "id": self.id, "text": text}
        if fraction is not None:
            message["fraction"] = min(1.0, max(0.0, float(fraction)))
        self._say(message)

    def cancel(self) -> None:
        self._cancelled.set()


@dataclass(frozen=True)
class ToolMark:
    """What ``@tool`` says of a method."""

    name: str
    title: str
    description: str
    timeout_ms: int
    annotations: Dict[str, bool]
    guideline: Optional[str]
    signature: Signature

    def to_wire(self) -> Dict[str, Any]:
        wire: Dict[str, Any] = {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "input_schema": self.signature.input(),
            "annotations": self.annotations,
            "timeout_ms": self.timeout_ms,
        }
        output: Optional[Schema] = self.signature.output()
        extras = {"output_schema": output, "guideline": self.guideline}
        wire.update({name: value for name, value in extras.items() if value is not None})
        if not self.title:
            del wire["title"]
        return wire


@overload
def tool(function: F) -> F: ...
@overload
def tool(
    function: None = None,
    *,
    name: Optional[str] = None,
    title: str = "",
    timeout: float = 5.0,
    read_only: bool = False,
    destructive: bool = False,
    idempotent: bool = False,
    open_world: bool = False,
    guideline: Optional[str] = None,
) -> Callable[[F], F]: ...
def tool(
    function: Optional[F] = None,
    *,
    name: Optional[str] = None,
    title: str = "",
    timeout: float = 5.0,
    read_only: bool = False,
    destructive: bool = False,
    idempotent: bool = False,
    open_world: bool = False,
    guideline: Optional[str] = None,
) -> Union[F, Callable[[F], F]]:
    """Makes a method a tool: its name, its docstring, its parameters. ``timeout`` is in seconds."""

    def mark(method: F) -> F:
        annotations = {
            "read_only": read_only,
            "destructive": destructive,
            "idempotent": idempotent,
            "open_world": open_world,
        }
        description = inspect.cleandoc(method.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        called = name or method.__name__
        method.sedge_tool = ToolMark(  # type: ignore[attr-defined]
            name=called,
            title=title,
            description=description or called.replace("_", " "),
            timeout_ms=round(timeout * 1000),
            annotations=annotations,
            guideline=guideline,
            signature=Signature(method, Call),
        )
        return method

    return mark if function is None else mark(function)


def _marker(what: str) -> Callable[[str], Callable[[F], F]]:
    def of(topic: str) -> Callable[[F], F]:
        def mark(method: F) -> F:
            method.sedge_topic = (what, topic)  # type: ignore[attr-defined]
            return method

        return mark

    return of


#: A step of a chain: ``@hook("pre_tool_execute")``. Returns ``PASS``, ``replace(message)`` or ``veto("reason")``.
hook = _marker("step")
#: Hears of things: ``@observe("plugin_state_changed")``. ``deliver`` gets a :class:`Reading`, all others a dict.
observe = _marker("event")
#: Answers: ``@answer("extract")``. None passes.
answer = _marker("answer")


class Plugin:
    """A plugin. ``setup`` is called once, before everything else; ``teardown`` last."""

    #: As in the manifest, which is asked where these are empty.
    name: str = ""
    version: str = ""
    #: How often ``tick`` wants to be called, in seconds; never, where it is None. May be set in ``setup``.
    every: Optional[float] = None
    #: What the line is encoded in, the preferred first. ``("msgpack", "json")`` where the package ``msgpack`` is there.
    encodings: Sequence[str] = ("json",)

    #: The instance: ``attic``.
    id: str
    #: What stands in its section of the config, checked against the manifest's schema.
    settings: Dict[str, Any]
    #: The way to the node.
    node: Node
    #: Its log: goes to the node's, under the plugin's name.
    log: logging.Logger

    def setup(self) -> None:
        """Makes it ready. ``Unmet`` where something is not there yet, ``SettingsError`` where the settings are wrong."""

    def tick(self) -> None:
        """Its time has come, as ``every`` wished."""

    def teardown(self) -> None:
        """Makes its hardware safe, hands on what it has."""


class Sensor(Plugin):
    """A kind of sensor: ``[sensor.ID] kind = "NAME"``. The node says when it is to be read."""

    #: How often it is read, in seconds.
    interval: float
    #: Where its device sits, where it is one on I2C; ``self.node.i2c("device")`` reaches it.
    address: Optional[int]

    def read(self) -> Frame:
        """Takes a reading: every field of the manifest, as a value, or as None or ``Missing("reason")``."""
        raise NotImplementedError("a sensor has a method `read`")


class Processor(Plugin):
    """A step of the path of a reading: ``[processor.ID] kind = "NAME"``, of category ``processor``."""

    @hook("process")
    def process(self, draft: Dict[str, Any]) -> Optional[Step]:
        """Looks at a draft: ``{"sensor", "fields", "err", "q", "ts", "up_ms"}``."""
        raise NotImplementedError("a processor has a method `process`")


class Validator(Plugin):
    """Judges readings: ``[processor.ID] kind = "NAME"``, of category ``validator``."""

    @hook("validate")
    def validate(self, draft: Dict[str, Any]) -> Optional[Step]:
        """Looks at a draft; may mark its fields in ``q``."""
        raise NotImplementedError("a validator has a method `validate`")


class Destination(Plugin):
    """Takes readings away: ``[destination.ID] kind = "NAME"``."""

    def deliver(self, readings: List[Reading]) -> None:
        """Takes them. They have arrived when this returns; where it raises, the same come again."""
        raise NotImplementedError("a destination has a method `deliver`")


def tools_of(plugin: type) -> Dict[str, str]:
    """The tools of a class: their names, and the methods behind them."""
    found: Dict[str, str] = {}
    for attribute, mark in _marked(plugin, "sedge_tool"):
        if mark.name in found:
            raise TypeError(f"{plugin.__name__}: `{attribute}` and `{found[mark.name]}` are both the tool `{mark.name}`")
        found[mark.name] = attribute
    return found


def topics_of(plugin: type) -> Dict[tuple[str, str], str]:
    """What a class does with which topics, and the methods that do."""
    found: Dict[tuple[str, str], str] = {}
    for attribute, mark in _marked(plugin, "sedge_topic"):
        if mark in found:
            raise TypeError(f"{plugin.__name__}: `{attribute}` and `{found[mark]}` are both for the topic `{mark[1]}`")
        found[mark] = attribute
    return found


def _marked(plugin: type, word: str) -> List[tuple[str, Any]]:
    """Methods with a mark. One that overrides a marked one need not be marked again."""
    found = []
    for attribute in dir(plugin):
        for base in plugin.__mro__:
            mark = getattr(base.__dict__.get(attribute), word, None)
            if mark is not None:
                found.append((attribute, mark))
                break
    return found
