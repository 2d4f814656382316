"""A destination that writes to SQLite.

A delivery is one transaction: either all of it is on disk when the node is told, or the node sends it again. A reading that comes
again is there already, by sensor, boot and number.
"""

import sqlite3
import time

from sedge_sdk import Destination, SettingsError, Unmet, run

TABLES = """
CREATE TABLE IF NOT EXISTS reading (
    id INTEGER PRIMARY KEY,
    sensor TEXT NOT NULL,
    boot TEXT NOT NULL,
    seq INTEGER NOT NULL,
    ts TEXT,
    UNIQUE (sensor, boot, seq)
);
CREATE INDEX IF NOT EXISTS reading_ts ON reading (ts);
CREATE TABLE IF NOT EXISTS value (
    reading INTEGER NOT NULL REFERENCES reading ON DELETE CASCADE,
    field TEXT NOT NULL,
    value,
    quality TEXT NOT NULL,
    missing TEXT,
    PRIMARY KEY (reading, field)
) WITHOUT ROWID;
"""


class PySqlite(Destination):
    every = 3600.0

    def setup(self):
        name = self.settings.get("file", "readings.db")
        if "/" in name or name.startswith("."):
            raise SettingsError(f"file: `{name}` is no name of a file in the plugin's own directory")
        if self.node.data_dir is None:
            raise Unmet("it has no directory: write `grant = { data = true }` in its section")
        self.db = sqlite3.connect(self.node.data_dir / name, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("PRAGMA foreign_keys = ON")
        self.db.executescript(TABLES)

    def deliver(self, readings):
        self.db.execute("BEGIN IMMEDIATE")
        try:
            for one in readings:
                self.insert(one)
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.node.counter("readings", len(readings), "Readings that were taken.")

    def insert(self, one):
        known = self.db.execute(
            "INSERT OR IGNORE INTO reading (sensor, boot, seq, ts) VALUES (?, ?, ?, ?)",
            (one.sensor, one.boot, one.seq, one.ts),
        )
        if known.rowcount == 0:
            return
        self.db.executemany(
            "INSERT INTO value VALUES (?, ?, ?, ?, ?)",
            [(known.lastrowid, field, value, one.q.get(field, "ok"), one.err.get(field)) for field, value in one.fields.items()],
        )

    def tick(self):
        if "keep_days" in self.settings:
            oldest = time.gmtime(time.time() - self.settings["keep_days"] * 86_400)
            self.db.execute("DELETE FROM reading WHERE ts < ?", (time.strftime("%Y-%m-%dT%H:%M:%S", oldest),))

    def teardown(self):
        self.db.close()


run(PySqlite)
