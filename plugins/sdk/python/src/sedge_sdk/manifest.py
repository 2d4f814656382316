"""``plugin.toml``, as far as a plugin has to know it, and the comparison of what it says with what the code does.

The node reads the file too, and refuses a plugin that offers other tools. What is found here is found earlier, in better words.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Type

from .plugin import Destination, Plugin, Processor, Sensor, ToolMark, Validator, tools_of, topics_of

FILE = "plugin.toml"


class ManifestError(Exception):
    """The manifest cannot be read, or says something else than the code."""


class Manifest:
    """What ``plugin.toml`` says."""

    def __init__(self, folder: Path, data: Dict[str, Any], is_whole: bool = True) -> None:
        self.folder = folder
        self.data = data
        #: Whether all of it was read: not where this Python has no reader of TOML (below 3.11, without ``tomli`` and ``pip``).
        self.is_whole = is_whole
        plugin = data.get("plugin") or {}
        self.name = str(plugin.get("name", ""))
        self.version = str(plugin.get("version", ""))
        self.category = str(plugin.get("category", "other"))
        self.tools: Dict[str, Dict[str, Any]] = {one.get("name", ""): one for one in data.get("tool") or []}
        self.requests: Dict[str, Any] = data.get("requests") or {}
        self.hooks: List[str] = [one.get("topic", "") for one in data.get("hook") or []]

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        file = folder / FILE
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(f"{file}: {error}") from error
        toml = _toml()
        if toml is None:
            return cls(folder, _names(text), is_whole=False)
        try:
            return cls(folder, toml.loads(text))
        except ValueError as error:
            raise ManifestError(f"{file}: {error}") from error

    @classmethod
    def beside(cls, plugin: Type[Plugin]) -> Optional[Manifest]:
        """The manifest beside the code of a class, or in the working directory."""
        file = getattr(sys.modules.get(plugin.__module__), "__file__", None)
        above = list(Path(file).resolve().parents)[:3] if file else []
        for folder in [*above, Path.cwd()]:
            if (folder / FILE).is_file():
                return cls.read(folder)
        return None

    def schema(self, value: Any) -> Optional[Dict[str, Any]]:
        """A schema of the manifest: a table, or the path of a file."""
        if isinstance(value, str):
            file = self.folder / value
            try:
                value = json.loads(file.read_text("utf-8"))
            except (OSError, ValueError) as error:
                raise ManifestError(f"{file}: {error}") from error
        return value if isinstance(value, dict) else None

    def input(self, name: str) -> Dict[str, Any]:
        """The schema of a tool's arguments: of one that says nothing, that it takes none."""
        declared = self.schema(self.tools[name].get("input"))
        return {"type": "object", "properties": {}, "additionalProperties": False} if declared is None else declared

    def tool(self, name: str, mark: ToolMark) -> Dict[str, Any]:
        """A tool as it is told to the node: in the manifest's words, where they fit the method."""
        own = mark.to_wire()
        declared = self.tools.get(name)
        if declared is None:
            return own
        input = self.input(name)
        quarrel = mark.signature.quarrel(input)
        if quarrel is not None:
            raise ManifestError(f"the tool `{name}`: {quarrel}; `python3 -m sedge_sdk manifest` writes it")
        wire: Dict[str, Any] = {"name": name, "description": str(declared.get("description", "")), "input_schema": input}
        output = self.schema(declared.get("output"))
        if output is not None:
            wire["output_schema"] = output
        if declared.get("title"):
            wire["title"] = declared["title"]
        hints = {"read_only": False, "destructive": False, "idempotent": False, "open_world": False}
        wire["annotations"] = {**hints, **(declared.get("annotations") or {})}
        wire["timeout_ms"] = milliseconds(declared.get("timeout", "5s"))
        return wire


def tools_to_wire(plugin: Type[Plugin], manifest: Optional[Manifest]) -> List[Dict[str, Any]]:
    """The tools of a class. What it has is told and nothing else: whether that is the manifest's is the node's to say."""
    found = tools_of(plugin)
    order = list(manifest.tools) if manifest else []
    names = [name for name in order if name in found] + [name for name in found if name not in order]
    marks = {name: mark_of(plugin, found[name]) for name in names}
    return [manifest.tool(name, mark) if manifest else mark.to_wire() for name, mark in marks.items()]


def mark_of(plugin: type, attribute: str) -> ToolMark:
    for base in plugin.__mro__:
        mark = getattr(base.__dict__.get(attribute), "sedge_tool", None)
        if isinstance(mark, ToolMark):
            return mark
    raise AttributeError(attribute)


def check(plugin: Type[Plugin], manifest: Manifest) -> List[str]:
    """All that a manifest and a class do not agree on."""
    wrong = []
    found = tools_of(plugin)
    wrong += [f"the tool `{name}` has no method marked with @tool" for name in manifest.tools if name not in found]
    for name, attribute in found.items():
        if name not in manifest.tools:
            wrong.append(f"the method `{attribute}` is the tool `{name}`, which the manifest does not have")
            continue
        try:
            manifest.tool(name, mark_of(plugin, attribute))
        except (ManifestError, ValueError) as error:
            wrong.append(str(error))
    topics = {topic for _, topic in topics_of(plugin)}
    by_section = {"process"} if issubclass(plugin, Processor) else set()
    by_section |= {"validate"} if issubclass(plugin, Validator) else set()
    wrong += [f"the topic `{topic}` of a [[hook]] has no method" for topic in manifest.hooks if topic not in topics]
    for topic in sorted(topics - set(manifest.hooks) - by_section):
        wrong.append(f"a method is for the topic `{topic}`, which no [[hook]] names")
    bases = {"sensor": Sensor, "destination": Destination, "processor": Processor, "validator": Validator}
    for category, base in bases.items():
        if (manifest.category == category) != issubclass(plugin, base):
            wrong.append(f"the category is `{manifest.category}`, and the class {_is_or_not(plugin, base)}")
    if issubclass(plugin, Sensor) and not (manifest.data.get("sensor") or {}).get("fields"):
        wrong.append("[sensor.fields] says nothing of what it measures")
    here = manifest.folder.resolve().name
    if manifest.name != here:
        wrong.append(f"the name is `{manifest.name}`, the folder `{here}`; they must be the same")
    return wrong


def _is_or_not(plugin: type, base: type) -> str:
    return f"is {'a' if issubclass(plugin, base) else 'no'} {base.__name__}"


def load(file: Path) -> Type[Plugin]:
    """The plugin of a file: the class that it hands to ``run``, which does nothing here."""
    from . import runner

    sys.path.insert(0, str(file.resolve().parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ManifestError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    with runner.collecting() as found:
        spec.loader.exec_module(module)
    if not found:
        inherited = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Plugin)]
        found = [one for one in inherited if one.__module__ == file.stem]
    if len(found) != 1:
        raise ManifestError(f"{file} hands {len(found) or 'no'} plugins to `run`; it must be one")
    return found[0]


def main_file(manifest: Manifest) -> Path:
    """The Python file that the manifest's command runs."""
    command = (manifest.data.get("entry") or {}).get("command") or []
    for word in command:
        if str(word).endswith(".py"):
            return manifest.folder / str(word)
    raise ManifestError("the command of [entry] has no `.py` file: name it")


def blocks(plugin: Type[Plugin]) -> str:
    """The ``[[tool]]`` blocks of a class."""
    parts = []
    for attribute in tools_of(plugin).values():
        mark = mark_of(plugin, attribute)
        lines = ["[[tool]]", f"name = {_value(mark.name)}"]
        if mark.title:
            lines.append(f"title = {_value(mark.title)}")
        lines.append(f"description = {_value(mark.description)}")
        input, output = mark.signature.input(), mark.signature.output()
        if input["properties"] or mark.signature.takes_any:
            lines.append(f"input = {_value(input)}")
        if output is not None:
            lines.append(f"output = {_value(output)}")
        if mark.timeout_ms != 5000:
            whole = mark.timeout_ms % 1000 == 0
            lines.append(f'timeout = "{mark.timeout_ms // 1000}s"' if whole else f'timeout = "{mark.timeout_ms}ms"')
        hints = {name: True for name, is_so in mark.annotations.items() if is_so}
        if hints:
            lines.append(f"annotations = {_value(hints)}")
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _value(value: Any) -> str:
    """A value in TOML. An inline table stands on one line."""
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, str):
        # What JSON writes of a text TOML reads, but for a surrogate.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(text: str) -> int:
    """``"30s"``, ``"1m 30s"``, ``"200ms"``."""
    parts = re.findall(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)", text)
    if not parts or any(unit not in _UNITS for _, unit in parts):
        raise ManifestError(f"`{text}` is no duration such as `30s`")
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


def _toml() -> Any:
    for name in ("tomllib", "tomli", "pip._vendor.tomli"):  # the last one in every virtual environment with pip
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _names(text: str) -> Dict[str, Any]:
    """Name and version, where there is no reader of TOML: what the hello needs."""
    section = re.search(r"^\[plugin\]\s*$(.*?)(?=^\[|\Z)", text, re.M | re.S)
    words = re.findall(r"^(name|version|category)\s*=\s*[\"']([^\"'\n]*)[\"']", section.group(1) if section else "", re.M)
    return {"plugin": dict(words)}
