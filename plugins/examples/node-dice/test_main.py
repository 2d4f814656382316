"""Run with `python3 -m unittest`: `sedge_sdk.testing` is a node for plugins of any language."""

import shutil
import unittest
from pathlib import Path

from sedge_sdk import ToolError
from sedge_sdk.testing import FakeNode


@unittest.skipUnless(shutil.which("node"), "there is no Node.js")
class TheDice(unittest.TestCase):
    def test_roll(self):
        with FakeNode(Path(__file__).parent) as node:
            self.assertIn(node.call("node_dice_roll"), range(1, 7))
            self.assertEqual({node.call("node_dice_roll", sides=2) for _ in range(64)}, {1, 2})
            node.ping()
            with self.assertRaisesRegex(ToolError, "cannot read"):
                node.read()

    def test_end_with_their_node(self):
        with FakeNode(Path(__file__).parent) as node:
            node.ping()
            node.vanish()
