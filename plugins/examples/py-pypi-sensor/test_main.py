"""Run with `python3 -m unittest`, in an environment with the requirements and sedge-sdk."""

import unittest

try:
    import bme280  # noqa: F401
except ImportError:
    raise unittest.SkipTest("RPi.bme280 is not installed: `pip install -r requirements.txt`") from None

from main import PypiSensor
from sedge_sdk import ToolError
from sedge_sdk.testing import FakeI2c, FakeNode, SetupFailed

# The example of the BMP280's datasheet, section 3.12; the humidity's numbers are those of a real chip.
T_AND_P = (27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
H1, H2, H3, H4, H5, H6 = 75, 370, 0, 313, 50, 30
PRESSURE, TEMPERATURE, HUMIDITY = 415_148, 519_888, 30_000


def chip() -> FakeI2c:
    words = b"".join((word & 0xFFFF).to_bytes(2, "little") for word in T_AND_P)
    humidity = bytes([H2 & 0xFF, H2 >> 8, H3, H4 >> 4, (H5 & 0xF) << 4 | H4 & 0xF, H5 >> 4, H6])
    data = (PRESSURE << 4).to_bytes(3, "big") + (TEMPERATURE << 4).to_bytes(3, "big") + HUMIDITY.to_bytes(2, "big")
    return FakeI2c({0xD0: 0x60, 0x88: words, 0xA1: H1, 0xE1: humidity, 0xF7: data})


class TheSensor(unittest.TestCase):
    def test_reads_the_datasheets_example(self):
        device = chip()
        with FakeNode(PypiSensor, i2c={"device": device}) as node:
            reading = node.read()
            self.assertAlmostEqual(reading["temperature"], 25.08, places=2)
            self.assertAlmostEqual(reading["pressure"], 1006.53, places=2)
            self.assertTrue(0 < reading["humidity"] < 100)
        self.assertEqual(device.registers[0xF4], 0b001_001_01, "each once, forced")

    def test_samples_as_often_as_its_settings_say(self):
        device = chip()
        with FakeNode(PypiSensor, {"oversampling": 4}, i2c={"device": device}, sensor={"address": 0x77}) as node:
            node.read()
        self.assertEqual(device.registers[0xF4], 0b011_011_01)

    def test_is_skipped_where_another_chip_answers(self):
        device = chip()
        device.registers[0xD0] = 0x58
        with self.assertRaises(SetupFailed) as caught, FakeNode(PypiSensor, i2c={"device": device}):
            pass
        self.assertEqual(caught.exception.why, "unmet")
        self.assertIn("0x58", caught.exception.message)

    def test_says_what_the_bus_said(self):
        device = chip()
        with FakeNode(PypiSensor, i2c={"device": device}) as node:
            device.fails = "nobody answers at 0x76"
            with self.assertRaisesRegex(ToolError, "nobody answers at 0x76"):
                node.read()
            device.fails = None
            node.read()
