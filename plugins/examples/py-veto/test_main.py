"""Run with `python3 -m unittest`, with sedge-sdk installed."""

import datetime
import unittest

from main import PyVeto
from sedge_sdk import PASS, veto
from sedge_sdk.testing import FakeNode, SetupFailed


class At(PyVeto):
    """At a time of the test's."""

    time = "00:00"

    def now(self):
        return datetime.time.fromisoformat(self.time)


def call(tool):
    return {"tool": tool, "args": {}, "from": "cli", "id": "1", "verified": False}


class TheGuard(unittest.TestCase):
    def step(self, time, tool, **settings):
        At.time = time
        with FakeNode(At, {"tools": ["pump_*", "siren"], **settings}) as node:
            return node.step("pre_tool_execute", call(tool))

    def test_says_no_at_night(self):
        for time in ("22:00", "23:59", "00:00", "05:59"):
            self.assertEqual(self.step(time, "pump_set"), veto("`pump_set` rests from 22:00 to 06:00"))

    def test_lets_pass_by_day_and_what_does_not_rest(self):
        self.assertEqual(self.step("06:00", "pump_set"), PASS)
        self.assertEqual(self.step("21:59", "siren"), PASS)
        self.assertEqual(self.step("23:00", "lamp_set"), PASS)

    def test_may_rest_at_noon(self):
        self.assertEqual(self.step("12:30", "siren", **{"from": "12:00", "to": "13:00"}).wire["veto"][:7], "`siren`")
        self.assertEqual(self.step("23:00", "siren", **{"from": "12:00", "to": "13:00"}), PASS)

    def test_counts_its_vetoes(self):
        At.time = "23:00"
        with FakeNode(At, {"tools": ["siren"]}) as node:
            node.step("pre_tool_execute", call("siren"))
            self.assertEqual(node.metrics, {"vetoes": 1})

    def test_is_not_set_up_with_a_time_that_is_none(self):
        with self.assertRaises(SetupFailed) as caught, FakeNode(PyVeto, {"tools": ["x"], "from": "late"}):
            pass
        self.assertEqual(caught.exception.why, "settings")
