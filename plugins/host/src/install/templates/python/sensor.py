"""How busy this machine is."""

import os

from sedge_sdk import Missing, Sensor, run


class {{type}}(Sensor):
    def setup(self) -> None:
        # Open what you measure with. `self.settings` fits the schema in plugin.toml.
        self.minutes = self.settings.get("minutes", 1)

    def read(self):
        # Every field of plugin.toml: a value, or why there is none. Never a made-up one.
        try:
            load = dict(zip((1, 5, 15), os.getloadavg()))
        except OSError:
            return {"load": Missing("unavailable")}
        return {"load": load[self.minutes]}


run({{type}})
