"""The bus that drivers from PyPI are handed."""

import errno
import unittest
from typing import Any

from sedge_sdk import NodeError, Sensor
from sedge_sdk.testing import FakeI2c, FakeNode


class Chip(Sensor):
    def read(self):
        return {"done": 1}


class ABus(unittest.TestCase):
    def setUp(self) -> None:
        self.chip = FakeI2c({0x10: bytes(range(1, 41))})

    def bus(self, do: Any) -> Any:
        """Does something with the bus of a plugin, in the plugin."""
        found = []

        class Once(Chip):
            def read(self):
                bus = self.node.smbus()
                try:
                    found.append(do(bus))
                except OSError as error:
                    found.append(error)
                return {}

        with FakeNode(Once, i2c={"device": self.chip}, sensor={"address": 0x76}) as node:
            node.read()
        return found[0]

    def test_reads_and_writes_as_smbus_does(self) -> None:
        self.assertEqual(self.bus(lambda bus: bus.read_byte_data(0x76, 0x10)), 1)
        self.assertEqual(self.bus(lambda bus: bus.read_word_data(0x76, 0x10)), 0x0201)
        self.assertEqual(self.bus(lambda bus: bus.read_i2c_block_data(0x76, 0x12, 3)), [3, 4, 5])
        self.assertEqual(len(self.bus(lambda bus: bus.read_i2c_block_data(0x76, 0x10))), 32)
        self.assertEqual(self.bus(lambda bus: bus.read_block_data(0x76, 0x12)), [4, 5, 6])
        self.assertEqual(self.bus(lambda bus: (bus.write_byte(0x76, 0x11), bus.read_byte(0x76))[1]), 2)
        self.bus(lambda bus: bus.write_byte_data(0x76, 0x80, 7))
        self.bus(lambda bus: bus.write_word_data(0x76, 0x81, 0x0908))
        self.bus(lambda bus: bus.write_i2c_block_data(0x76, 0x83, [10, 11]))
        self.bus(lambda bus: bus.write_block_data(0x76, 0x90, [5, 6]))
        self.bus(lambda bus: bus.write_quick(0x76))
        self.assertEqual(self.chip.registers[0x80:0x85], bytes([7, 8, 9, 10, 11]))
        self.assertEqual(self.chip.registers[0x90:0x93], bytes([2, 5, 6]))

    def test_reaches_no_address_that_was_not_granted(self) -> None:
        error = self.bus(lambda bus: bus.read_byte(0x40))
        self.assertIsInstance(error, PermissionError)
        self.assertIn("0x40 was not granted; granted: 0x76", str(error))

    def test_fails_as_smbus_does(self) -> None:
        self.chip.fails = "nobody answers"
        error = self.bus(lambda bus: bus.read_byte(0x76))
        self.assertEqual(error.errno, errno.EREMOTEIO)

    def test_that_hangs_raises_a_timeout(self) -> None:
        def hang(operations: Any) -> Any:
            raise NodeError("the bus took too long", "failed", {"reason": "timeout"})

        self.chip.transfer = hang  # type: ignore[method-assign]
        self.assertIsInstance(self.bus(lambda bus: bus.read_byte(0x76)), TimeoutError)

    def test_takes_the_messages_of_smbus2(self) -> None:
        try:
            from smbus2 import i2c_msg
        except ImportError:
            self.skipTest("the package smbus2 is not there")
        read = i2c_msg.read(0x76, 3)
        self.bus(lambda bus: bus.i2c_rdwr(i2c_msg.write(0x76, [0x12]), read))
        self.assertEqual(list(read), [3, 4, 5])
