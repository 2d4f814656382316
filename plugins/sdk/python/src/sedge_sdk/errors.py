"""What can go wrong, as exceptions."""

from __future__ import annotations

from typing import Any

#: The codes of a :class:`ToolError`, the words of the wire.
CODES = (
    "bad_request", "bad_args", "not_found", "denied", "busy",
    "expired", "timeout", "failed", "unavailable", "internal",
)  # fmt: skip


class Unmet(Exception):
    """Something that the plugin needs is not there: it is skipped, and tried again later. For ``setup``."""


class SettingsError(Exception):
    """The settings are wrong: not tried again before the config changes. For ``setup``."""


class ToolError(Exception):
    """There is no result, and why. A tool may raise it; an ask of the node raises it (:class:`NodeError`)."""

    def __init__(self, message: str, code: str = "failed", data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code in CODES else "failed"
        self.data = data

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            wire["data"] = self.data
        return wire


class NodeError(ToolError):
    """The node said no to an ask: ``denied`` where it was not granted."""

    @classmethod
    def of_wire(cls, wire: Any) -> NodeError:
        wire = wire if isinstance(wire, dict) else {}
        return cls(str(wire.get("message", "no reason was given")), str(wire.get("code")), wire.get("data"))


class ProtocolError(Exception):
    """The other side said something that cannot be understood. The line is of no use any more."""


class NodeGone(BaseException):
    """The node is gone. No ``Exception``, so that a plugin that catches all errors ends all the same."""
