"""A hook that says no: some tools do not run in the quiet hours."""

import datetime
from fnmatch import fnmatchcase

from sedge_sdk import PASS, Plugin, SettingsError, hook, run, veto


class PyVeto(Plugin):
    def setup(self):
        self.begin = self.hour("from", "22:00")
        self.end = self.hour("to", "06:00")

    def hour(self, word, usual):
        text = self.settings.get(word, usual)
        try:
            return datetime.datetime.strptime(text, "%H:%M").time()
        except ValueError:
            raise SettingsError(f"{word}: `{text}` is no time such as `22:00`") from None

    def now(self):
        return datetime.datetime.now().time()

    def is_quiet(self):
        now = self.now()
        if self.begin <= self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end  # over midnight

    @hook("pre_tool_execute")
    def guard(self, call):
        rests = any(fnmatchcase(call["tool"], pattern) for pattern in self.settings["tools"])
        if not rests or not self.is_quiet():
            return PASS
        self.node.counter("vetoes", help="Calls that were refused.")
        return veto(f"`{call['tool']}` rests from {self.begin:%H:%M} to {self.end:%H:%M}")


run(PyVeto)
