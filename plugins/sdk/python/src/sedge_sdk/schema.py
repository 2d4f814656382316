"""From type hints to JSON Schema, and from JSON to what the hints say.

``def dice_roll(self, sides: int = 6)`` takes ``{"sides": 8}``. Only keywords that a node checks are written; a type that has no
schema accepts anything. A parameter is described by ``Annotated[int, Field("How many sides.", minimum=2)]``.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import typing
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

from .errors import ToolError

Schema = Dict[str, Any]
_NONE = type(None)
_UNIONS: Tuple[Any, ...] = (Union,)
try:
    from types import UnionType  # 3.10: `int | None`

    _UNIONS = (Union, UnionType)
except ImportError:
    pass


@dataclasses.dataclass(frozen=True)
class Field:
    """What a hint cannot say: ``Annotated[float, Field("How far.", minimum=0)]``."""

    description: str = ""
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    min_length: Optional[int] = None
    max_length: Optional[int] = None
    format: Optional[str] = None

    def words(self) -> Schema:
        words = {
            "description": self.description or None,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "minLength": self.min_length,
            "maxLength": self.max_length,
            "format": self.format,
        }
        return {word: value for word, value in words.items() if value is not None}


def of(hint: Any) -> Schema:
    """The schema of a type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hasattr(hint, "__metadata__"):
        schema = of(args[0])
        for extra in hint.__metadata__:
            if isinstance(extra, Field):
                schema.update(extra.words())
            elif isinstance(extra, str):
                schema["description"] = extra
        return schema
    if origin in _UNIONS:
        options = [of(one) for one in args]
        types = [one["type"] for one in options if set(one) == {"type"} and isinstance(one["type"], str)]
        return {"type": types} if len(types) == len(options) else {"anyOf": options}
    if origin is typing.Literal:
        return {"enum": list(args)}
    names = {bool: "boolean", int: "integer", float: "number", str: "string", _NONE: "null", None: "null"}
    if isinstance(hint, (type, _NONE)) and hint in names:
        return {"type": names[hint]}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [one.value for one in hint]}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint, include_extras=True)
        parts = dataclasses.fields(hint)
        needed = [
            part.name for part in parts if part.default is dataclasses.MISSING and part.default_factory is dataclasses.MISSING
        ]
        return _object({part.name: of(hints[part.name]) for part in parts}, needed)
    if isinstance(hint, type) and hasattr(hint, "__required_keys__"):  # a TypedDict
        hints = typing.get_type_hints(hint, include_extras=True)
        return _object({name: of(one) for name, one in hints.items()}, sorted(hint.__required_keys__))
    base = origin or hint
    if isinstance(base, type) and issubclass(base, collections.abc.Mapping):
        inner = of(args[1]) if len(args) == 2 else {}
        return {"type": "object", "additionalProperties": inner} if inner else {"type": "object"}
    if isinstance(base, type) and issubclass(base, (list, tuple, set, frozenset, collections.abc.Sequence)):
        inner = of(args[0]) if args else {}
        return {"type": "array", "items": inner} if inner else {"type": "array"}
    return {}


def _object(properties: Dict[str, Schema], required: List[str]) -> Schema:
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    return schema


class Signature:
    """What a tool's method takes."""

    def __init__(self, function: Callable[..., Any], call_type: type) -> None:
        try:
            self.hints = typing.get_type_hints(function, include_extras=True)
        except Exception as error:
            raise TypeError(f"{function.__qualname__}: its type hints cannot be read: {error}") from error
        self.signature = inspect.signature(function)
        self.wants_call: Optional[str] = None
        self.takes_any = False
        self.parameters: Dict[str, inspect.Parameter] = {}
        for parameter in list(self.signature.parameters.values())[1:]:
            if self.hints.get(parameter.name) is call_type:
                self.wants_call = parameter.name
            elif parameter.kind is parameter.VAR_KEYWORD:
                self.takes_any = True
            elif parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
                raise TypeError(f"{function.__qualname__}: `{parameter}` cannot be given by name")
            else:
                self.parameters[parameter.name] = parameter

    def needed(self) -> List[str]:
        return [name for name, one in self.parameters.items() if one.default is one.empty]

    def input(self) -> Schema:
        properties: Dict[str, Schema] = {}
        for name, parameter in self.parameters.items():
            schema = of(self.hints.get(name, Any))
            default = parameter.default
            if isinstance(default, enum.Enum):
                default = default.value
            if default is not parameter.empty and isinstance(default, (bool, int, float, str)):
                schema["default"] = default
            properties[name] = schema
        schema = _object(properties, self.needed())
        if self.takes_any:
            schema["additionalProperties"] = True
        return schema

    def output(self) -> Optional[Schema]:
        """Only of results that are objects of known parts; others need none."""
        schema = of(self.hints.get("return", Any))
        return schema if "properties" in schema else None

    def arguments(self, args: Any) -> Dict[str, Any]:
        """The arguments of a call, as the hints want them."""
        if args is None:
            args = {}
        if not isinstance(args, Mapping):
            raise ToolError("the arguments are no object", "bad_args")
        unknown = [name for name in args if name not in self.parameters]
        if unknown and not self.takes_any:
            raise ToolError(f"there is no argument `{unknown[0]}`", "bad_args")
        lacking = [name for name in self.needed() if name not in args]
        if lacking:
            raise ToolError(f"the argument `{lacking[0]}` is missing", "bad_args")
        try:
            return {name: convert(value, self.hints.get(name, Any)) for name, value in args.items()}
        except (TypeError, ValueError, KeyError) as error:
            raise ToolError(f"the arguments do not fit: {error}", "bad_args") from error

    def quarrel(self, declared: Schema) -> Optional[str]:
        """Why calls that fit the manifest's schema would not fit the method; none where they do."""
        properties = declared.get("properties", {})
        if not isinstance(properties, dict) or "$ref" in declared:
            return None
        for name in properties:
            if name not in self.parameters and not self.takes_any:
                return f"the manifest has the argument `{name}`, the method has not"
        for name in self.needed():
            if name not in properties:
                return f"the method needs the argument `{name}`, the manifest does not have it"
            if name not in declared.get("required", []):
                return f"the method needs the argument `{name}`, the manifest does not require it"
        own = self.input()["properties"]
        for name, schema in properties.items():
            there, here = _types(schema), _types(own.get(name, {}))
            if "number" in here:
                here |= {"integer"}
            if there and here and not there <= here:
                one, other = " or ".join(sorted(there)), " or ".join(sorted(here))
                return f"the argument `{name}` is {one} in the manifest and {other} in the method"
        return None


def _types(schema: Any) -> typing.Set[str]:
    words = schema.get("type") if isinstance(schema, dict) else None
    return {words} if isinstance(words, str) else set(words or ())


def convert(value: Any, hint: Any) -> Any:
    """JSON, as the hint wants it: a list as a tuple, a text as a member of an enum, an object as a dataclass."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hasattr(hint, "__metadata__"):
        return convert(value, args[0])
    if origin in _UNIONS:
        return value if value is None else _first_that_fits(value, [one for one in args if one is not _NONE])
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint(value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = typing.get_type_hints(hint, include_extras=True)
        return hint(**{name: convert(one, hints[name]) for name, one in value.items()})
    base = origin or hint
    if isinstance(base, type) and isinstance(value, list) and issubclass(base, (list, tuple, set, frozenset)):
        inner = args[0] if args else Any
        return base(convert(one, inner) for one in value)
    if isinstance(value, dict) and len(args) == 2:
        return {name: convert(one, args[1]) for name, one in value.items()}
    return value


def _first_that_fits(value: Any, hints: List[Any]) -> Any:
    for hint in hints:
        if isinstance(hint, type) and type(value) is hint:
            return value
    for hint in hints:
        try:
            return convert(value, hint)
        except (TypeError, ValueError, KeyError, AttributeError):
            continue
    return value
