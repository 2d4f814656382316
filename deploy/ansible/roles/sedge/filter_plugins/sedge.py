"""`sedge_toml`: a dictionary as TOML, as `conf.d/*.toml` of a node has it.

    {"sensor": {"air": {"kind": "bme280", "every": "10s"}}} | sedge_toml

gives `[sensor.air]` and its keys. What TOML cannot say is refused with the place where it stands. Must not guess: a `null`
in YAML is a key that somebody forgot to fill in, not an absent one.
"""

import datetime
import json
import re

from ansible.errors import AnsibleFilterError


def key(name, where):
    if not isinstance(name, str):
        raise AnsibleFilterError(f"{where}: the key {name!r} is no text; put it into quotes")
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else text(name)


def text(value):
    # JSON's strings are TOML's, but for what is outside of the first plane, and DEL.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def value(what, where):
    if what is None:
        raise AnsibleFilterError(f"{where} has no value; write one, or take the key away")
    if isinstance(what, bool):
        return "true" if what else "false"
    if isinstance(what, (int, float)):
        if what != what or what in (float("inf"), float("-inf")):
            raise AnsibleFilterError(f"{where} is not a finite number")
        return json.dumps(what)
    if isinstance(what, str):
        return text(what)
    if isinstance(what, (datetime.date, datetime.datetime)):
        raise AnsibleFilterError(f"{where} is a date to YAML; put it into quotes")
    if isinstance(what, dict):
        pairs = (f"{key(name, where)} = {value(each, f'{where}.{name}')}" for name, each in what.items())
        return "{ " + ", ".join(pairs) + " }" if what else "{}"
    if isinstance(what, (list, tuple)):
        return "[" + ", ".join(value(each, f"{where}[{n}]") for n, each in enumerate(what)) + "]"
    raise AnsibleFilterError(f"{where} is a {type(what).__name__}, which TOML does not know")


def section(path, table):
    """A table's own keys under its header; tables in it become sections down to `[kind.id]`, inline ones below."""
    where = ".".join(map(str, path))
    deep = {n: t for n, t in table.items() if isinstance(t, dict) and len(path) < 2 and path[:1] != ["node"]}
    flat = {n: v for n, v in table.items() if n not in deep}
    lines = []
    if path and (flat or not deep):
        lines += ["", "[" + ".".join(key(part, where) for part in path) + "]"]
    lines += [f"{key(name, where)} = {value(each, f'{where}.{name}'.lstrip('.'))}" for name, each in flat.items()]
    for name, each in deep.items():
        lines += section([*path, name], each)
    return lines


def sedge_toml(config):
    if not isinstance(config, dict):
        raise AnsibleFilterError(f"a config is a dictionary of sections, not a {type(config).__name__}")
    return "\n".join(section([], config)).lstrip("\n")


class FilterModule:
    def filters(self):
        return {"sedge_toml": sedge_toml}
