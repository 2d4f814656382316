"""Write plugins for Sedge in Python.

    from sedge_sdk import Sensor, run

    class Attic(Sensor):
        def setup(self):
            self.chip = open_chip(self.settings["port"])

        def read(self):
            return {"temperature": self.chip.temperature()}

    run(Attic)

The standard library is all that it needs. See the README for the rest, and ``sedge_sdk.testing`` for tests.
"""

VERSION = "0.1.0"
__version__ = VERSION

from .bus import Gpio, I2c, SMBus  # noqa: E402
from .errors import NodeError, NodeGone, ProtocolError, SettingsError, ToolError, Unmet  # noqa: E402
from .node import HttpResponse, Node  # noqa: E402
from .plugin import (  # noqa: E402
    Call,
    Destination,
    Plugin,
    Processor,
    Sensor,
    Validator,
    answer,
    hook,
    observe,
    tool,
)
from .runner import run  # noqa: E402
from .schema import Field  # noqa: E402
from .values import PASS, Frame, Missing, Reading, Step, Value, replace, veto  # noqa: E402

__all__ = [
    "PASS", "Call", "Destination", "Field", "Frame", "Gpio", "HttpResponse", "I2c", "Missing", "Node", "NodeError",
    "NodeGone", "Plugin", "Processor", "ProtocolError", "Reading", "SMBus", "Sensor", "SettingsError", "Step",
    "ToolError", "Unmet", "Validator", "Value", "answer", "hook", "observe", "replace", "run", "tool", "veto",
]  # fmt: skip
