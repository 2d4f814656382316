"""Run with `python3 -m unittest`: `sedge_sdk.testing` is a node for plugins of any language."""

import unittest
from pathlib import Path

from sedge_sdk import ToolError
from sedge_sdk.testing import FakeNode


class TheSensor(unittest.TestCase):
    def test_is_read(self):
        with FakeNode(Path(__file__).parent) as node:
            first, second = node.read(), node.read()
            self.assertGreater(first["uptime"], 0)
            self.assertGreaterEqual(second["uptime"], first["uptime"])
            self.assertGreaterEqual(first["load"], 0)
            node.ping()
            with self.assertRaisesRegex(ToolError, "no more"):
                node.tick()

    def test_ends_with_its_node(self):
        with FakeNode(Path(__file__).parent) as node:
            node.vanish()
