"""What the manifest says, and what the code does."""

import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

from sedge_sdk.manifest import Manifest, ManifestError, _names, _toml, milliseconds
from sedge_sdk.plugin import Call, Plugin, tool
from sedge_sdk.schema import Signature

SRC = Path(__file__).resolve().parents[1] / "src"

HEAD = """
manifest = 1
[plugin]
name = "dice"
version = "1.0.0"
description = "Dice."
category = "tool"
[entry]
command = ["{python}", "main.py"]
"""
CODE = """
import random
from sedge_sdk import Plugin, run, tool
class Dice(Plugin):
    @tool(timeout=0.5, read_only=True)
    def dice_roll(self, sides: int = 6, names: "list[str]" = ()) -> int:
        "Rolls a \\"die\\"."
        return random.randint(1, sides)
run(Dice)
"""


def sedge(*words: str, cwd: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-m", "sedge_sdk", *words]
    return subprocess.run(program, cwd=cwd, env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, timeout=60)


@unittest.skipIf(_toml() is None, "this Python has no reader of TOML")
class TheCommand(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name, "dice")
        self.folder.mkdir()
        self.write(CODE)

    def write(self, code: str) -> None:
        (self.folder / "main.py").write_text(code)

    def declare(self, text: str) -> None:
        (self.folder / "plugin.toml").write_text(HEAD + textwrap.dedent(text))

    def wrong(self) -> str:
        done = sedge("check", ".", cwd=str(self.folder))
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def test_manifest_prints_blocks_that_check_agrees_with(self) -> None:
        printed = sedge("manifest", "main.py", cwd=str(self.folder))
        self.assertIn('timeout = "500ms"', printed.stdout)
        self.assertIn("annotations = { read_only = true }", printed.stdout)
        self.declare(printed.stdout)
        done = sedge("check", ".", cwd=str(self.folder))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        declared = Manifest.read(self.folder).tools["dice_roll"]
        self.assertEqual(declared["description"], 'Rolls a "die".')
        self.assertEqual(declared["input"]["properties"]["names"], {"type": "array", "items": {"type": "string"}})

    def test_check_finds_every_lie(self) -> None:
        self.declare("[[tool]]\nname = 'dice_count'\ndescription = 'Counts.'\n[[hook]]\ntopic = 'deliver'")
        says = self.wrong()
        self.assertIn("the tool `dice_count` has no method marked with @tool", says)
        self.assertIn("the method `dice_roll` is the tool `dice_roll`, which the manifest does not have", says)
        self.assertIn("the topic `deliver` of a [[hook]] has no method", says)

    def test_check_finds_a_wrong_category_and_a_wrong_folder(self) -> None:
        self.write(CODE.replace("Plugin", "Sensor"))
        self.declare(sedge("manifest", "main.py", cwd=str(self.folder)).stdout)
        says = self.wrong()
        self.assertIn("the category is `tool`, and the class is a Sensor", says)
        self.assertIn("[sensor.fields] says nothing", says)
        self.folder = self.folder.rename(self.folder.parent / "cubes")
        self.assertIn("the name is `dice`, the folder `cubes`", self.wrong())

    def test_check_compares_arguments(self) -> None:
        self.declare(
            """
            [[tool]]
            name = "dice_roll"
            description = "Rolls."
            input = { type = "object", properties = { sides = { type = "string" } } }
            """
        )
        self.assertIn("`sides` is string in the manifest and integer in the method", self.wrong())

    def test_says_what_is_wrong_with_a_file(self) -> None:
        (self.folder / "plugin.toml").write_text("manifest = ")
        self.assertIn("plugin.toml", self.wrong())
        self.declare("")
        self.write("import nothing_of_that_name")
        self.assertIn("nothing_of_that_name", self.wrong())


class TheManifest(unittest.TestCase):
    def test_has_the_words_of_the_tools(self) -> None:
        class Dice(Plugin):
            @tool
            def roll(self, sides: int = 6) -> int:
                "Rolls."
                return sides

        declared = {"name": "roll", "description": "Rolls it.", "timeout": "1m 30s", "annotations": {"idempotent": True}}
        schema = {"type": "object", "properties": {"sides": {"type": "integer", "minimum": 2}}}
        manifest = Manifest(Path("."), {"tool": [{**declared, "input": schema}]})
        wire = manifest.tool("roll", Dice.roll.sedge_tool)  # type: ignore[attr-defined]
        self.assertEqual((wire["description"], wire["timeout_ms"]), ("Rolls it.", 90_000))
        self.assertEqual(wire["input_schema"], schema)
        self.assertTrue(wire["annotations"]["idempotent"])
        manifest = Manifest(Path("."), {"tool": [{**declared, "input": {"properties": {"faces": {}}}}]})
        with self.assertRaisesRegex(ManifestError, "`faces`, the method has not"):
            manifest.tool("roll", Dice.roll.sedge_tool)  # type: ignore[attr-defined]

    def test_and_a_method_quarrel_where_a_legal_call_would_fail(self) -> None:
        def takes(self: object, need: float, may: int = 1) -> None: ...
        def takes_all(self: object, **more: int) -> None: ...

        signature = Signature(takes, Call)
        number = {"type": "number"}
        self.assertIsNone(signature.quarrel({"properties": {"need": {"type": "integer"}}, "required": ["need"]}))
        self.assertRegex(str(signature.quarrel({"properties": {"need": number}})), "does not require it")
        self.assertRegex(str(signature.quarrel({"properties": {"may": number}})), "needs the argument `need`")
        both = {"properties": {"need": number, "may": number}, "required": ["need"]}
        self.assertRegex(str(signature.quarrel(both)), "`may` is number in the manifest and integer in the method")
        self.assertIsNone(Signature(takes_all, Call).quarrel({"properties": {"x": {}, "y": {}}}))

    def test_of_a_python_without_toml_still_says_who_it_is(self) -> None:
        found = _names(HEAD + '[[tool]]\nname = "x"\n')["plugin"]
        self.assertEqual(found, {"name": "dice", "version": "1.0.0", "category": "tool"})

    def test_reads_durations(self) -> None:
        for text, ms in (("30s", 30_000), ("200ms", 200), ("1.5h", 5_400_000), ("1m 30s", 90_000)):
            self.assertEqual(milliseconds(text), ms)
        with self.assertRaises(ManifestError):
            milliseconds("soon")
