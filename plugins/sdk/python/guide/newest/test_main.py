import os
import tempfile
import unittest
from pathlib import Path

from sedge_sdk import ToolError
from sedge_sdk.testing import FakeNode, SetupFailed

from main import Newest


class ANewest(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def test_the_newest_file_counts(self):
        for name, age in [("a.jpg", 100), ("b.jpg", 3600), ("c.txt", 1)]:
            file = self.folder / name
            file.touch()
            then = file.stat().st_mtime - age
            os.utime(file, (then, then))
        with FakeNode(Newest, settings={"folder": str(self.folder), "pattern": "*.jpg"}) as node:
            reading = node.read()
            self.assertAlmostEqual(reading["age"], 100, delta=5)
            self.assertEqual(reading["files"], 2)
            self.assertEqual(node.call("newest_name"), "a.jpg")

    def test_an_empty_folder_has_no_age(self):
        with FakeNode(Newest, settings={"folder": str(self.folder)}) as node:
            self.assertEqual(node.read(), {"age": {"missing": "no_file"}, "files": 0})

    def test_a_folder_that_is_gone_fails_the_reading(self):
        with FakeNode(Newest, settings={"folder": str(self.folder)}) as node:
            self.folder.rmdir()
            with self.assertRaises(ToolError):
                node.read()
            self.folder.mkdir()
            self.assertEqual(node.read()["files"], 0)

    def test_without_its_folder_it_waits(self):
        with self.assertRaises(SetupFailed) as failed, FakeNode(Newest, settings={"folder": "/nowhere"}):
            pass
        self.assertEqual(failed.exception.why, "unmet")


if __name__ == "__main__":
    unittest.main()
