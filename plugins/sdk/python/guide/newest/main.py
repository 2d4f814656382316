"""How old the newest file of a folder is: whether a backup, a camera, a logger still works."""

import time
from pathlib import Path

from sedge_sdk import Missing, Sensor, Unmet, run, tool


class Newest(Sensor):
    def setup(self) -> None:
        self.folder = Path(self.settings["folder"])
        if not self.folder.is_dir():
            raise Unmet(f"there is no folder {self.folder}")  # skipped, and tried again later

    def read(self):
        times = [entry.stat().st_mtime for entry in self.files()]  # what is raised here is the reason of a missing value
        if not times:
            return {"age": Missing("no_file"), "files": 0}  # never a made-up value
        return {"age": time.time() - max(times), "files": len(times)}

    @tool
    def newest_name(self) -> str:
        "What the newest file is called."
        return max(self.files(), key=lambda entry: entry.stat().st_mtime).name

    def files(self):
        pattern = self.settings.get("pattern", "*")
        return [entry for entry in self.folder.iterdir() if entry.is_file() and entry.match(pattern)]


run(Newest)
