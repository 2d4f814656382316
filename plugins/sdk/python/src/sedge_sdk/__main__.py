"""``python3 -m sedge_sdk check FOLDER`` and ``python3 -m sedge_sdk manifest MAIN.PY``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .manifest import Manifest, ManifestError, blocks, check, load, main_file


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m sedge_sdk", description="For authors of plugins.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("check", help="compare a plugin's manifest with its code")
    one.add_argument("folder", nargs="?", type=Path, default=Path("."))
    other = commands.add_parser("manifest", help="print the [[tool]] blocks of a plugin")
    other.add_argument("file", nargs="?", type=Path, default=Path("main.py"))
    words = parser.parse_args()
    try:
        if words.command == "manifest":
            print(blocks(load(words.file)), end="")
            return 0
        manifest = Manifest.read(words.folder)
        if not manifest.is_whole:
            print("this Python cannot read TOML: use 3.11 or later, or install `tomli`", file=sys.stderr)
            return 2
        wrong = check(load(main_file(manifest)), manifest)
    except (ManifestError, OSError, TypeError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    for one_wrong in wrong:
        print(f"{words.folder / 'plugin.toml'}: {one_wrong}", file=sys.stderr)
    if not wrong:
        print(f"{manifest.name} {manifest.version}: the manifest and the code agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
