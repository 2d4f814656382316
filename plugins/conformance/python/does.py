"""What a part does where it is told to misbehave: the words of the Rust twin."""

import os
import sys
import threading

from sedge_sdk import SettingsError, ToolError, Unmet

WORDS = ("well", "fails", "panics", "hangs", "loops", "unmet", "settings")


def act(word):
    if word == "fails":
        raise ToolError("it broke as it was told")
    if word == "panics":
        # Python has no panic: an exception is an answer. This is what an extension in C does that crashes.
        print("E! it panicked as it was told", file=sys.stderr, flush=True)
        os._exit(3)
    if word == "hangs":
        threading.Event().wait()
    if word == "loops":
        while True:
            pass
    if word == "unmet":
        raise Unmet("there is no such device")
    if word == "settings":
        raise SettingsError("setup: these settings are wrong")
