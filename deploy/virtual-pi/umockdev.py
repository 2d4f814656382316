"""A BME280 behind ioctl(2), without a kernel's help: `umockdev-wrapper /usr/bin/python3 umockdev.py SEDGE`.

umockdev answers the system calls of a program that it is loaded into, so this reaches what lies between the node and the
kernel: which requests are made on /dev/i2c-7, in which order, with which structs. It takes a second. What a kernel makes of
the requests it cannot say; `run` can.

Prints a line per promise and ends with 1 where one was not kept.
"""

import errno
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import gi

gi.require_version("UMockdev", "1.0")
from gi.repository import UMockdev  # noqa: E402

I2C_TIMEOUT, I2C_SLAVE, I2C_FUNCS, I2C_RDWR, I2C_PEC = 0x702, 0x703, 0x705, 0x707, 0x708
FUNC_I2C = 1
READS = 1
CHIP, OWNED = 0x76, 0x77

CONFIG = """
[node]
id = "quick"
data = "{data}"
[mqtt]
url = "mqtt://127.0.0.1:1"
[plugin.system]
enabled = false
[bus.i2c-7]
kind = "i2c"
[sensor.there]
kind = "bme280"
bus = "i2c-7"
address = 0x76
[sensor.owned]
kind = "bme280"
bus = "i2c-7"
address = 0x77
[sensor.absent]
kind = "tmp117"
bus = "i2c-7"
address = 0x48
"""


def image():
    """The registers of a BME280 that measured the example of its datasheet: 25.08 °C and 1006.53 hPa."""
    registers = bytearray(256)
    words = (27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
    registers[0x88:0xA0] = b"".join((word & 0xFFFF).to_bytes(2, "little") for word in words)
    registers[0xA1] = 75
    registers[0xD0] = 0x60
    h2, h3, h4, h5, h6 = 370, 0, 313, 50, 30
    registers[0xE1:0xE8] = bytes([h2 & 0xFF, h2 >> 8, h3, h4 >> 4, (h5 & 0xF) << 4 | h4 & 0xF, h5 >> 4, h6])
    pressure, temperature, humidity = 415148, 519888, 30000
    registers[0xF7:0xFF] = (pressure << 4).to_bytes(3, "big") + (temperature << 4).to_bytes(3, "big") + humidity.to_bytes(2, "big")
    return registers


class Adapter(UMockdev.IoctlBase):
    """An I2C adapter with one chip, and one address that a driver of the kernel owns."""

    def __init__(self):
        super().__init__()
        self.registers, self.pointer, self.requests, self.odd = image(), 0, [], []

    def do_handle_ioctl(self, client):
        request, arg = client.get_request(), client.get_arg()
        self.requests.append(request)
        failed = 0
        if request == I2C_FUNCS:
            arg.resolve(0, 8).update(0, struct.pack("=Q", FUNC_I2C))
        elif request == I2C_RDWR:
            done, failed = self.transfer(arg)
            client.complete(-1 if failed else done, failed)
            return True
        elif request == I2C_SLAVE:
            failed = errno.EBUSY if struct.unpack("=Q", data(arg)) == (OWNED,) else 0
        elif request not in (I2C_TIMEOUT, I2C_PEC):
            self.odd.append(hex(request))
            failed = errno.ENOTTY
        client.complete(-1 if failed else 0, failed)
        return True

    def transfer(self, arg):
        rdwr = arg.resolve(0, 16)
        count = struct.unpack_from("=QI", data(rdwr))[1]
        messages = rdwr.resolve(0, 16 * count)
        for i in range(count):
            address, flags, length = struct.unpack_from("=HHH", data(messages), 16 * i)
            if address != CHIP:
                return 0, errno.EREMOTEIO
            buffer = messages.resolve(16 * i + 8, length)
            if flags & READS:
                buffer.update(0, bytes(self.registers[(self.pointer + j) % 256] for j in range(length)))
                self.pointer = (self.pointer + length) % 256
            else:
                self.write(data(buffer)[:length])
        return count, 0

    def write(self, written):
        self.pointer = written[0]
        for offset, byte in enumerate(written[1:]):
            # A reset leaves what it measured, and a conversion is over as soon as it is begun.
            if self.pointer + offset == 0xF4:
                byte &= ~0b11
            self.registers[self.pointer + offset] = byte


def data(part):
    return bytes(part.retrieve())


def main(sedge):
    testbed = UMockdev.Testbed.new()
    testbed.add_from_string("P: /devices/virtual/i2c-7\nN: i2c-7\nE: DEVNAME=/dev/i2c-7\nE: SUBSYSTEM=i2c-dev\n")
    adapter = Adapter()
    testbed.attach_ioctl("/dev/i2c-7", adapter)
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "node.toml"
        config.write_text(CONFIG.format(data=folder))
        command = [sedge, "run", "--once", "--json", "--timeout", "3s", "-c", config]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    testbed.detach_ioctl("/dev/i2c-7")
    said = ended.stdout + ended.stderr
    readings = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    text = json.dumps(readings)

    promises = {
        "the datasheet's example is read through I2C_RDWR": "25.08" in text and "1006.53" in text,
        "an absent device (EREMOTEIO) does not answer": "no device answers" in said,
        "an address of a kernel driver (EBUSY) is told of as such": "kernel owns" in said,
        "what the adapter can do is asked first": adapter.requests[:1] == [I2C_FUNCS],
        "how long a transfer may take is said": I2C_TIMEOUT in adapter.requests,
        "nothing else is asked": not adapter.odd,
    }
    for promise, kept in promises.items():
        print(f"{'ok' if kept else 'FAILED'}: {promise}")
    if not all(promises.values()):
        print([hex(request) for request in adapter.requests[:12]], adapter.odd, said, sep="\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
