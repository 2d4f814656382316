#!/usr/bin/env python3
"""Runs Home Assistant's core with its MQTT integration, without the pages for people, against a broker with nodes on it.

    deploy/home-assistant/python deploy/home-assistant/live.py HOST PORT [SECONDS]

Prints the entities that appear with their states; then switches every switch on and off, sets every number and says whether the
node's reading followed. Ends with 1 where something did not. `try.sh` starts a broker and a node for it.
"""

import asyncio
import pathlib
import sys
import tempfile
from types import MappingProxyType

from homeassistant import bootstrap, config_entries, loader
from homeassistant.auth import auth_manager_from_config
from homeassistant.const import EVENT_HOMEASSISTANT_STARTED, __version__
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.setup import async_setup_component


async def started(folder, host, port):
    """Home Assistant with that broker."""
    (pathlib.Path(folder) / "configuration.yaml").touch()
    hass = HomeAssistant(folder)
    hass.config.skip_pip = True
    loader.async_setup(hass)
    config = {"http": {"server_host": "127.0.0.1", "server_port": 18123}}
    hass.config_entries = config_entries.ConfigEntries(hass, config)
    await loader.async_get_custom_components(hass)
    assert await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth_manager_from_config(hass, [], [])
    assert await async_setup_component(hass, "homeassistant", config)
    entry = config_entries.ConfigEntry(
        data={"broker": host, "port": port, "protocol": "5"},
        options={"discovery": True, "discovery_prefix": "homeassistant"},
        domain="mqtt",
        title="broker",
        source="user",
        unique_id=None,
        version=2,
        minor_version=1,
        discovery_keys=MappingProxyType({}),
        subentries_data=None,
    )
    await hass.config_entries.async_add(entry)
    hass.set_state(CoreState.running)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STARTED)
    assert entry.state is config_entries.ConfigEntryState.LOADED, entry.reason
    return hass


async def until(hass, entity, expected, seconds=15):
    """Whether an entity comes to that state."""
    for _ in range(seconds * 10):
        state = hass.states.get(entity)
        if state is not None and expected(state.state):
            return True
        await asyncio.sleep(0.1)
    return False


async def operate(hass):
    """Uses what can be used; the number of controls, and those that did not follow."""
    used, failed = 0, []
    for state in list(hass.states.async_all(["switch", "number"])):
        entity = state.entity_id
        if state.domain == "switch":
            steps = [("turn_on", {}, lambda s: s == "on"), ("turn_off", {}, lambda s: s == "off")]
        else:
            low, high = state.attributes["min"], state.attributes["max"]
            half = (low + high) / 2
            near = lambda s, half=half, width=high - low: s not in ("unknown", "unavailable") and abs(float(s) - half) < width / 100
            steps = [("set_value", {"value": half}, near)]
        for service, data, expected in steps:
            await hass.services.async_call(state.domain, service, {"entity_id": entity, **data}, blocking=True)
            if not await until(hass, entity, expected):
                failed.append(f"{entity} did not follow {service}: {hass.states.get(entity)}")
        used += 1
    return used, failed


async def main(host, port, seconds):
    with tempfile.TemporaryDirectory() as folder:
        hass = await started(folder, host, port)
        await asyncio.sleep(seconds)
        registry = entity_registry.async_get(hass)
        entities = [entry for entry in registry.entities.values() if entry.platform == "mqtt"]
        states = {entry.entity_id: hass.states.get(entry.entity_id) for entry in entities}
        for entry in sorted(entities, key=lambda entry: entry.entity_id):
            state = states[entry.entity_id]
            unit = "" if state is None else state.attributes.get("unit_of_measurement", "")
            print(f"{entry.entity_id:58} {'(disabled)' if state is None else state.state} {unit}")
        known = [state for state in states.values() if state is not None]
        silent = [state for state in known if state.state in ("unknown", "unavailable")]
        telling = [state for state in silent if state.domain in ("sensor", "binary_sensor", "switch", "number")]
        used, failed = await operate(hass)
        devices = [device.name for device in device_registry.async_get(hass).devices]
        print(
            f"Home Assistant {__version__}: {len(entities)} entities of {', '.join(map(str, devices))}; "
            f"{len(known)} enabled, {len(telling)} of them without a state; {used} controls used, {len(failed)} failed"
        )
        for what in [f"{state.entity_id} is {state.state}" for state in telling] + failed:
            print(f"  {what}")
        await hass.async_stop(force=True)
    return not entities or bool(failed)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    wait = float(sys.argv[3]) if len(sys.argv) > 3 else 30
    sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]), wait)))
