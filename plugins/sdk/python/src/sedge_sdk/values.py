"""What is measured, and what becomes of a message: the small types that plugins pass about."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Union


@dataclass(frozen=True)
class Missing:
    """A value that could not be taken, and why, in a word: ``Missing("crc")``."""

    reason: str


@dataclass(frozen=True)
class Value:
    """A value that is not quite good: ``Value(21.5, "stale")``.

    The qualities: ``ok``, ``stale``, ``stuck``, ``out_of_range``, ``estimated``, ``rejected``.
    """

    value: Union[float, int, bool, str]
    quality: str = "ok"


#: What a reading is made of: ``{"temperature": 21.5, "humidity": None}``.
Frame = Mapping[str, Any]


def frame_to_wire(frame: Any) -> Dict[str, Any]:
    """A frame, as the node wants it."""
    if not isinstance(frame, Mapping):
        raise TypeError(f"a reading is a dict such as {{'temperature': 21.5}}, not {frame!r}")
    return {str(name): _sample(str(name), value) for name, value in frame.items()}


def _sample(name: str, value: Any) -> Any:
    if isinstance(value, Value):
        plain = _sample(name, value.value)
        return {"value": plain, "quality": value.quality} if not isinstance(plain, dict) else plain
    if isinstance(value, Missing):
        return {"missing": value.reason}
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, Mapping) and ("missing" in value or "value" in value):
        return dict(value)
    try:
        number = float(value)  # numpy and Decimal too
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` is {value!r}; a field is a number, a bool, a text or None") from None
    return number if math.isfinite(number) else {"missing": "not_finite"}


@dataclass(frozen=True)
class Reading:
    """A reading that was delivered. It is one and the same as another of equal ``sensor``, ``boot`` and ``seq``."""

    sensor: str
    seq: int
    boot: str
    #: When it was taken, RFC 3339; none while the node did not know the time.
    ts: Optional[str]
    #: The values; none is one that could not be taken.
    fields: Dict[str, Any]
    #: Why a field has no value.
    err: Dict[str, str] = field(default_factory=dict)
    #: The fields that are not ``ok``.
    q: Dict[str, str] = field(default_factory=dict)
    #: Milliseconds since the machine started, where the time was not known.
    up_ms: Optional[int] = None

    @classmethod
    def of_wire(cls, message: Mapping[str, Any]) -> Reading:
        return cls(
            sensor=str(message["sensor"]),
            seq=int(message["seq"]),
            boot=str(message["boot"]),
            ts=message.get("ts"),
            fields=dict(message.get("fields") or {}),
            err=dict(message.get("err") or {}),
            q=dict(message.get("q") or {}),
            up_ms=message.get("up_ms"),
        )


class Step:
    """What a step of a chain does with a message: :data:`PASS`, :func:`replace` or :func:`veto`."""

    def __init__(self, wire: Any) -> None:
        self.wire = wire

    def __repr__(self) -> str:
        return f"Step({self.wire!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and other.wire == self.wire

    def __hash__(self) -> int:
        return hash(repr(self.wire))


#: The message goes on as it is. A hook that returns nothing says the same.
PASS = Step("pass")


def replace(message: Mapping[str, Any]) -> Step:
    """The message goes on as this."""
    return Step({"replace": dict(message)})


def veto(reason: str) -> Step:
    """The message stops here, for this reason."""
    return Step({"veto": str(reason)})
