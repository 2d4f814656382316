"""Rolls dice."""

import random

from sedge_sdk import Plugin, run, tool


class {{type}}(Plugin):
    @tool
    def {{snake}}_roll(self, sides: int = 6) -> int:
        "Rolls a die."
        return random.randint(1, sides)


run({{type}})
