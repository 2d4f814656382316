"""The twin of src/chip.rs: a kind of sensor on I2C that does what its registers say."""

import does
from sedge_sdk import Sensor, ToolError, run, tool

IDENTITY, CHIP, LEVEL, FAULT, TOLD = 0x00, 0x5E, 0x10, 0x20, 0x30


class Chip(Sensor):
    def setup(self):
        self.chip = self.node.i2c()
        self.is_open = False

    def open(self):
        found = self.chip.write_read([IDENTITY], 1)[0]
        if found != CHIP:
            text = f"another chip answers: its id is {found:#04x}, this kind has {CHIP:#04x}"
            raise ToolError(text, data={"reason": "wrong_device"})
        self.is_open = True

    def read(self):
        try:
            if not self.is_open:
                self.open()
            return self.measure()
        except Exception:
            self.is_open = False
            raise

    def measure(self):
        fault = self.chip.write_read([FAULT], 1)[0]
        if fault:
            reason = {1: "crc", 2: "not_ready"}.get(fault)
            if reason is None:
                does.act("panics")
            raise ToolError(f"it has the fault {fault}", data={"reason": reason})
        level = int.from_bytes(self.chip.write_read([LEVEL], 2), "big") / 100
        return {"level": level + self.settings.get("offset", 0.0), "fault": fault}

    @tool(idempotent=True)
    def probe_chip_set(self, to: int):
        "Writes a number where a test finds it."
        self.chip.write([TOLD, to])
        return {"set": to}


run(Chip)
