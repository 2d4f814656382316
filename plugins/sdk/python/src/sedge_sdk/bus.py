"""Hardware that was granted: devices on I2C, GPIO lines; and the bus that drivers from PyPI want.

Every transfer goes by way of the node, which keeps the bus for its length and checks the grant.
"""

from __future__ import annotations

import errno
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Union

from .errors import NodeError

Ask = Callable[[Dict[str, Any]], Any]
#: Bytes that are written, or how many are read.
Operation = Union[bytes, bytearray, int]


class I2c:
    """A device on I2C. What the bus says against a transfer is a ``NodeError``."""

    def __init__(self, label: str, address: Optional[int], ask: Ask) -> None:
        self.label = label
        #: 7 bits; none where it was not granted.
        self.address = address
        self._ask = ask

    def write(self, data: Iterable[int]) -> None:
        self.transaction([bytes(data)])

    def read(self, count: int) -> bytes:
        return self.transaction([count])[0]

    def write_read(self, data: Iterable[int], count: int) -> bytes:
        """Writes, mostly the number of a register, and reads, without letting go of the bus."""
        return self.transaction([bytes(data), count])[0]

    def transaction(self, operations: Sequence[Operation]) -> List[bytes]:
        """Writes bytes and reads so many, without letting go of the bus: ``[b"\\x88", 24]``. One answer per read."""
        wire = [{"read": one} if isinstance(one, int) else {"write": bytes(one).hex()} for one in operations]
        found = self._ask({"do": "i2c", "device": self.label, "operations": wire})
        read = [bytes.fromhex(one) for one in found["read"]]
        wanted = [one for one in operations if isinstance(one, int)]
        if [len(one) for one in read] != wanted:
            raise NodeError(f"`{self.label}`: asked for {wanted} bytes, got {[len(one) for one in read]}", "internal")
        return read


class Gpio:
    """A GPIO line."""

    def __init__(self, label: str, ask: Ask) -> None:
        self.label = label
        self._ask = ask

    def get(self) -> bool:
        return bool(self._ask({"do": "gpio", "line": self.label, "get": True})["level"])

    def set(self, high: bool) -> None:
        self._ask({"do": "gpio", "line": self.label, "set": bool(high)})


class SMBus:
    """What ``smbus`` and ``smbus2`` call a bus, for drivers that take one as an argument.

    It reaches the granted addresses and no others. As there, what goes wrong is an ``OSError``.
    """

    def __init__(self, devices: Mapping[int, I2c]) -> None:
        self._devices = dict(devices)
        #: Packet error checking; there is none.
        self.pec = 0

    def _do(self, address: int, operations: Sequence[Operation]) -> List[bytes]:
        device = self._devices.get(address)
        if device is None:
            granted = ", ".join(f"{one:#04x}" for one in sorted(self._devices)) or "none"
            raise PermissionError(errno.EACCES, f"the address {address:#04x} was not granted; granted: {granted}")
        try:
            return device.transaction(operations)
        except NodeError as error:
            if error.code == "denied":
                raise PermissionError(errno.EACCES, error.message) from error
            reason = error.data.get("reason") if isinstance(error.data, dict) else None
            if "timeout" in (reason, error.code):
                raise TimeoutError(errno.ETIMEDOUT, error.message) from error
            raise OSError(errno.EREMOTEIO, error.message) from error

    def open(self, bus: Union[int, str]) -> None:
        """It is open."""

    def close(self) -> None:
        """The node keeps the bus."""

    def __enter__(self) -> SMBus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write_quick(self, i2c_addr: int, force: Optional[bool] = None) -> None:
        self._do(i2c_addr, [b""])

    def read_byte(self, i2c_addr: int, force: Optional[bool] = None) -> int:
        return self._do(i2c_addr, [1])[0][0]

    def write_byte(self, i2c_addr: int, value: int, force: Optional[bool] = None) -> None:
        self._do(i2c_addr, [bytes([value & 0xFF])])

    def read_byte_data(self, i2c_addr: int, register: int, force: Optional[bool] = None) -> int:
        return self._do(i2c_addr, [bytes([register]), 1])[0][0]

    def write_byte_data(self, i2c_addr: int, register: int, value: int, force: Optional[bool] = None) -> None:
        self._do(i2c_addr, [bytes([register, value & 0xFF])])

    def read_word_data(self, i2c_addr: int, register: int, force: Optional[bool] = None) -> int:
        return int.from_bytes(self._do(i2c_addr, [bytes([register]), 2])[0], "little")

    def write_word_data(self, i2c_addr: int, register: int, value: int, force: Optional[bool] = None) -> None:
        self._do(i2c_addr, [bytes([register, value & 0xFF, value >> 8 & 0xFF])])

    def process_call(self, i2c_addr: int, register: int, value: int, force: Optional[bool] = None) -> int:
        written = bytes([register, value & 0xFF, value >> 8 & 0xFF])
        return int.from_bytes(self._do(i2c_addr, [written, 2])[0], "little")

    def read_block_data(self, i2c_addr: int, register: int, force: Optional[bool] = None) -> List[int]:
        # The device says how many follow, and 32 is the most that SMBus has.
        block = self._do(i2c_addr, [bytes([register]), 33])[0]
        return list(block[1 : 1 + min(block[0], 32)])

    def write_block_data(self, i2c_addr: int, register: int, data: Sequence[int], force: Optional[bool] = None) -> None:
        self._do(i2c_addr, [bytes([register, len(data), *data])])

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int = 32, force: Optional[bool] = None) -> List[int]:
        return list(self._do(i2c_addr, [bytes([register]), length])[0])

    def write_i2c_block_data(self, i2c_addr: int, register: int, data: Sequence[int], force: Optional[bool] = None) -> None:
        self._do(i2c_addr, [bytes([register, *data])])

    def i2c_rdwr(self, *messages: Any) -> None:
        """Messages as of ``smbus2.i2c_msg``, all to one address, without letting go of the bus."""
        addresses = {message.addr for message in messages}
        if len(addresses) != 1:
            raise OSError(errno.EOPNOTSUPP, "messages to more than one address in one transfer")
        reads = [message for message in messages if message.flags & 1]
        operations = [message.len if message.flags & 1 else bytes(list(message)) for message in messages]
        for message, data in zip(reads, self._do(addresses.pop(), operations)):
            for at in range(len(data)):
                message.buf[at] = data[at : at + 1]
