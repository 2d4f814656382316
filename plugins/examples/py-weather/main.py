"""A tool that asks a server. The request is the node's: it goes to the granted host and to no other."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from sedge_sdk import Field, Plugin, ToolError, run, tool


@dataclass
class Weather:
    temperature: float
    wind: float


class PyWeather(Plugin):
    @tool(title="Weather now", timeout=15, read_only=True, open_world=True)
    def py_weather_now(
        self,
        latitude: Annotated[float, Field("Degrees north.", minimum=-90, maximum=90)],
        longitude: Annotated[float, Field("Degrees east.", minimum=-180, maximum=180)],
    ) -> Weather:
        """Temperature in °C and wind in km/h at a place, now."""
        url = self.settings.get("url", "https://api.open-meteo.com")
        words = {"latitude": latitude, "longitude": longitude, "current": "temperature_2m,wind_speed_10m"}
        answer = self.node.http(f"{url}/v1/forecast?{urlencode(words)}", timeout=10)
        if answer.status != 200:
            raise ToolError(f"the weather server answered with status {answer.status}: {answer.text[:200]}", "unavailable")
        try:
            now = answer.json()["current"]
            return Weather(float(now["temperature_2m"]), float(now["wind_speed_10m"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ToolError(f"the weather server answered with something else: {answer.text[:200]}") from error


run(PyWeather)
