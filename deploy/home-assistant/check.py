#!/usr/bin/env python3
"""Asks Home Assistant's own code whether it would take a node's discovery document.

    deploy/home-assistant/python deploy/home-assistant/check.py plugins/mqtt/tests/golden/discovery.json

A document may also come from a broker: `mosquitto_sub -t 'homeassistant/device/+/config' -C 1 -W 5 | check.py -`.
Each goes through the same steps as in a running Home Assistant: the abbreviations, the schema of the device, the schema
of each component, unit and class, and the templates, which are rendered with a reading. With `--classes` it prints its table of classes,
as `plugins/mqtt/tests/fixtures/home-assistant.json` has it.
"""

import asyncio
import importlib
import json
import re
import sys
import tempfile

from homeassistant.components.binary_sensor import BinarySensorDeviceClass
from homeassistant.components.mqtt import discovery, schemas
from homeassistant.components.sensor.const import DEVICE_CLASS_STATE_CLASSES, DEVICE_CLASS_UNITS
from homeassistant.const import __version__
from homeassistant.core import HomeAssistant
from homeassistant.helpers.template import Template

NAMES = {"on": True, "time": "2028-02-29T23:34:56", "mode": "eco"}


def classes():
    """The words of this version, one class a line."""
    rows = [
        f"  {json.dumps(name.value)}: "
        + json.dumps(
            {
                "units": sorted(map(str, DEVICE_CLASS_UNITS[name])) if name in DEVICE_CLASS_UNITS else None,
                "state_classes": sorted(state.value for state in states),
            },
            ensure_ascii=False,
        )
        for name, states in sorted(DEVICE_CLASS_STATE_CLASSES.items(), key=lambda row: row[0].value)
    ]
    binary = json.dumps(sorted(one.value for one in BinarySensorDeviceClass))
    print(f'{{\n"version": {json.dumps(__version__)},\n"binary_sensor": {binary},\n"sensor": {{')
    print(",\n".join(rows) + "\n}\n}")


def render(hass, text, **variables):
    return Template(text, hass).async_render(variables, parse_result=False)


def reading(template, value):
    """A payload with the field that the template reads."""
    fields = re.findall(r"\['fields'\]\['([a-z0-9_]+)'\]", template)
    return {"fields": {field: value for field in fields}, "started_at": "2026-11-20T17:28:24.123Z", "state": "running"}


def templates(hass, key, config):
    """Renders what a component has of templates; says what is wrong."""
    for entry in config.get("availability", []):
        text = entry.get("value_template")
        if text is None:
            continue
        text = getattr(text, "template", text)
        for state, expected in [("running", "online"), ("degraded", "online"), ("resting", "offline")]:
            if (got := render(hass, text, value_json={"state": state})) != expected:
                yield f"{key}: {state} is {got!r}"
        if (got := render(hass, text, value="")) != "offline":
            yield f"{key}: health taken back is {got!r}"
    text = config.get("value_template")
    if text is not None:
        text = getattr(text, "template", text)
        switch = "'ON'" in text
        for value, expected in [(True, "ON"), (False, "OFF")] if switch else [(21.5, "21.5"), ("eco", "eco")]:
            got = render(hass, text, value_json=reading(text, value))
            if "started_at" not in text and got != expected:
                yield f"{key}: {value} is {got!r}"
        got = render(hass, text, value_json=reading(text, None))
        if "started_at" not in text and got != "None":
            yield f"{key}: null is {got!r}"
    if "command_topic" not in config:
        return
    calls = [config[name] for name in ("payload_on", "payload_off", "payload_press") if name in config]
    text = config.get("command_template")
    if text is not None:
        text = getattr(text, "template", text)
        values = ['say "hi"\n', "eco"] if "tojson" in text else [5, 37.5]
        calls += [render(hass, text, value=value) for value in values]
    for call in calls:
        try:
            called = isinstance(json.loads(call)["args"], dict)
        except ValueError:
            called = False
        if not called:
            yield f"{key}: {call!r} is no call"


async def check(name, text, hass):
    """The number of components that were taken, and what is wrong with the others."""
    document = discovery._parse_device_payload(hass, text, f"homeassistant/device/{name}/config", name, None)
    if not document:
        return 0, ["the document is refused; see the log above"]
    taken, wrong = 0, []
    for key, config in document["components"].items():
        platform = config.pop("platform")
        config["device"], config["origin"] = document["device"], document["origin"]
        discovery._merge_common_device_options(config, document)
        module = importlib.import_module(f"homeassistant.components.mqtt.{platform}")
        try:
            checked = module.DISCOVERY_SCHEMA(dict(config))
        except Exception as error:  # whatever the version's validator raises
            wrong.append(f"{key}: {error}")
            continue
        lost = {option for option in config if option not in checked}
        if lost:
            wrong.append(f"{key}: this version has no {', '.join(sorted(lost))}")
        wrong.extend(templates(hass, key, checked))
        taken += 1
    return taken, wrong


async def main(files):
    with tempfile.TemporaryDirectory() as folder:
        hass = HomeAssistant(folder)
        failed = False
        for file in files:
            text = sys.stdin.read() if file == "-" else open(file, encoding="utf-8").read()
            taken, wrong = await check("sedge-checked", text, hass)
            print(f"Home Assistant {__version__} takes {taken} components of {file}; {len(wrong)} mistakes")
            for mistake in wrong:
                print(f"  {mistake}")
            failed |= bool(wrong) or not taken
        await hass.async_stop(force=True)
    return failed


if __name__ == "__main__":
    if "--classes" in sys.argv:
        classes()
    elif len(sys.argv) < 2:
        sys.exit(__doc__)
    else:
        sys.exit(asyncio.run(main(sys.argv[1:])))
