#!/usr/bin/env python3
"""What telegraf.conf makes of the readings of the wire contract's golden files, by the rules of Telegraf's json_v2 parser as
they are documented and stand in its source. It is no Telegraf: it shows that keys, times and topics in the config fit."""

import json
import sys
import tomllib
from datetime import datetime
from pathlib import Path

here = Path(__file__).parent
golden = here / "../../plugins/mqtt/tests/golden"
plugin = tomllib.loads((here / "telegraf.conf").read_text())["inputs"]["mqtt_consumer"][0]
rules = plugin["json_v2"][0]["object"][0]


def tags(topic):
    levels = topic.split("/")
    for parsing in plugin["topic_parsing"]:
        pattern = parsing["topic"].split("/")
        if len(pattern) == len(levels) and all(p in ("+", level) for p, level in zip(pattern, levels)):
            return {name: level for name, level in zip(parsing["tags"].split("/"), levels) if name != "_"}
    raise AssertionError(f"no topic_parsing for {topic}")


def flatten(value, name, out):
    for key, inner in value.items():
        whole = f"{name}_{key}" if name else key
        if whole in rules["excluded_keys"]:
            continue
        if isinstance(inner, dict):
            flatten(inner, whole, out)
        elif whole == rules["timestamp_key"]:
            # A null fails in Telegraf as well: the message is dropped, and its log says so.
            out["time"] = datetime.fromisoformat(inner) if inner else None
        elif inner is not None:
            out["fields"][key if rules["disable_prepend_keys"] else whole] = inner


def metrics(topic, payload):
    for frame in payload if isinstance(payload, list) else [payload]:
        out = {"tags": tags(topic), "fields": {}, "time": None}
        flatten(frame, "", out)
        yield out


def line(metric):
    marks = ",".join(f"{key}={value}" for key, value in metric["tags"].items())
    fields = ",".join(f"{key}={json.dumps(value)}{'i' if key == 'seq' else ''}" for key, value in metric["fields"].items())
    return f"{plugin['json_v2'][0]['measurement_name']},{marks} {fields} {int(metric['time'].timestamp() * 1000)}000000"


count = 0
for file, topic in [("reading", "reading/air"), ("backlog", "backlog/air")]:
    payload = json.loads((golden / f"{file}.json").read_text())
    frames = payload if isinstance(payload, list) else [payload]
    found = list(metrics(f"sedge/v1/pi-kitchen/{topic}", payload))
    assert len(found) == len(frames)
    for metric, frame in zip(found, frames):
        assert metric["tags"] == {"node": "pi-kitchen", "sensor": "air"}
        assert metric["time"] == datetime.fromisoformat(frame["ts"]), "the reading's own time"
        assert metric["fields"] == {"seq": frame["seq"], **{k: v for k, v in frame["fields"].items() if v is not None}}
        print(line(metric))
        count += 1

amiss = json.loads((golden / "reading_amiss.json").read_text())
(metric,) = metrics("sedge/v1/pi-kitchen/reading/air", amiss)
assert metric["time"] is None and set(metric["fields"]) == {"seq", "temperature"}, metric
print(f"ok      {count} readings with their own times; one without a clock, which Telegraf does not take", file=sys.stderr)
