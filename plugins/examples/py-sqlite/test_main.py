"""Run with `python3 -m unittest`, with sedge-sdk installed."""

import sqlite3
import unittest

from main import PySqlite
from sedge_sdk import ToolError
from sedge_sdk.testing import FakeNode, SetupFailed


def reading(seq, **fields):
    return {"sensor": "tank", "boot": "9f3c21ab", "seq": seq, "ts": "2026-03-01T12:00:00.000Z", "fields": fields}


def rows(node, question):
    with sqlite3.connect(node.data_dir / "readings.db") as db:
        found = db.execute(question).fetchall()
    db.close()
    return found


VALUES = "SELECT seq, field, value, quality, missing FROM reading JOIN value ON reading = id ORDER BY seq, field"


class TheFile(unittest.TestCase):
    def test_has_what_was_delivered(self):
        with FakeNode(PySqlite) as node:
            marks = {"err": {"humidity": "crc"}, "q": {"level": "stale"}}
            node.deliver([reading(1, level=1.5), {**reading(2, level=2, humidity=None, ok=True), **marks}])
            self.assertEqual(
                rows(node, VALUES),
                [
                    (1, "level", 1.5, "ok", None),
                    (2, "humidity", None, "ok", "crc"),
                    (2, "level", 2, "stale", None),
                    (2, "ok", 1, "ok", None),
                ],
            )
            self.assertEqual(node.metrics, {"readings": 2})

    def test_has_a_reading_that_came_twice_once(self):
        with FakeNode(PySqlite) as node:
            node.deliver([reading(1, level=1)])
            node.deliver([reading(1, level=1), reading(2, level=2)])
            self.assertEqual([row[:3] for row in rows(node, VALUES)], [(1, "level", 1), (2, "level", 2)])

    def test_has_all_of_a_delivery_or_nothing_and_takes_it_when_it_comes_again(self):
        with FakeNode(PySqlite) as node:
            with self.assertRaises(ToolError):
                node.deliver([reading(1, level=1), reading(2, level=["no value"])])
            self.assertEqual(rows(node, VALUES), [])
            node.deliver([reading(1, level=1), reading(2, level=2)])
            self.assertEqual(len(rows(node, VALUES)), 2)

    def test_loses_what_is_older_than_it_is_to_be(self):
        with FakeNode(PySqlite, {"keep_days": 30}) as node:
            self.assertEqual(node.every, 3600)
            node.deliver([{**reading(1, level=1), "ts": "2020-01-01T00:00:00.000Z"}])
            node.deliver([{**reading(2, level=1), "ts": "2999-01-01T00:00:00.000Z"}])
            node.deliver([{**reading(3, level=1), "ts": None, "up_ms": 5}])
            node.tick()
            self.assertEqual([row[0] for row in rows(node, VALUES)], [2, 3])


class TheSetup(unittest.TestCase):
    def test_needs_a_directory_and_a_name_within_it(self):
        for why, settings, grants in [("unmet", {}, {}), ("settings", {"file": "../x"}, {"data": True})]:
            with self.assertRaises(SetupFailed) as caught, FakeNode(PySqlite, settings, grants=grants):
                pass
            self.assertEqual(caught.exception.why, why)
