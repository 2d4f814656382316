"""The line to the node: whole messages out, whole messages in.

Lines of JSON, or (where both sides know it) MessagePack behind four bytes of length. See ``plugins/protocol/README.md``.
It must not know what a message means.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import os
import threading
from pathlib import PurePath
from typing import Any, Dict, Optional

from .errors import ProtocolError

Message = Dict[str, Any]

PROTOCOL = "1.0"
#: The largest message unless the node says otherwise, in bytes.
MAX_MESSAGE = 1024 * 1024
#: Asks that may be under way at once.
IN_FLIGHT = 16
#: Events that are taken before more are granted.
CREDIT = 64
FD_VARIABLE = "SEDGE_PLUGIN_FD"


def plain(value: Any) -> Any:
    """What JSON has no word for, in words that it has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    for convert in ("__index__", "__float__"):  # numpy, Decimal, Fraction
        if hasattr(value, convert):
            return int(value) if convert == "__index__" else float(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent to the node; use numbers, texts, lists and dicts")


def to_json(message: Message) -> bytes:
    text = json.dumps(message, default=plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def has_msgpack() -> bool:
    try:
        import msgpack  # noqa: F401
    except ImportError:
        return False
    return True


class Channel:
    """Messages over two file descriptors, mostly one and the same."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._buffer = bytearray()
        self._looked_at = 0
        self._sending = threading.Lock()
        self.encoding = "json"
        self.limit = MAX_MESSAGE

    def fileno(self) -> int:
        """Where messages arrive."""
        return self._read_fd

    def send(self, message: Message) -> None:
        """Raises ``ValueError`` or ``TypeError`` for what cannot be sent, ``OSError`` when nobody is there."""
        data = memoryview(self._encode(message))
        with self._sending:
            while data:
                data = data[os.write(self._write_fd, data) :]

    def receive(self) -> Optional[Message]:
        """The next message; none when the other side is gone."""
        while True:
            message = self.take()
            if message is not None:
                return message
            if not self.fill():
                return None

    def take(self) -> Optional[Message]:
        """The next message of what has arrived already."""
        data = self._take()
        while data is not None and not data.strip():
            data = self._take()
        return None if data is None else self._decode(data)

    def fill(self) -> bool:
        """Waits for more; whether there is anybody."""
        try:
            more = os.read(self._read_fd, 65536)
        except ConnectionError:
            return False
        self._buffer += more
        return bool(more)

    def _encode(self, message: Message) -> bytes:
        if self.encoding == "msgpack":
            import msgpack

            # By way of JSON, so that both encodings carry the same.
            body: bytes = msgpack.packb(json.loads(to_json(message)), use_bin_type=True)
            self._check_size(len(body))
            return len(body).to_bytes(4, "big") + body
        line = to_json(message)
        self._check_size(len(line))
        return line + b"\n"

    def _check_size(self, size: int) -> None:
        if size > self.limit:
            raise ValueError(f"a message of {size} bytes is too large; the node takes {self.limit} at most")

    def _take(self) -> Optional[bytes]:
        """The next whole message of what has arrived."""
        buffer = self._buffer
        if self.encoding == "msgpack":
            if len(buffer) < 4:
                return None
            size = int.from_bytes(buffer[:4], "big")
            self._check_arrived(size)
            if len(buffer) < 4 + size:
                return None
            start, end, after = 4, 4 + size, 4 + size
        else:
            end = buffer.find(b"\n", self._looked_at)
            if end < 0:
                self._looked_at = len(buffer)
                self._check_arrived(len(buffer))
                return None
            self._check_arrived(end)
            start, after = 0, end + 1
        data = bytes(buffer[start:end])
        del buffer[:after]
        self._looked_at = 0
        return data

    def _check_arrived(self, size: int) -> None:
        if size > self.limit:
            raise ProtocolError(f"a message of {size} bytes or more has arrived; {self.limit} are allowed")

    def _decode(self, data: bytes) -> Message:
        try:
            if self.encoding == "msgpack":
                import msgpack

                message = msgpack.unpackb(data, raw=False)
            else:
                message = json.loads(data)
        except (ValueError, RecursionError, UnicodeDecodeError) as error:
            raise ProtocolError(f"a message that is no {self.encoding}: {error}") from error
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise ProtocolError("a message that is no object with a `type`")
        return message
