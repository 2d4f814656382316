#!/usr/bin/env python3
"""Prints what libraries a program contains, with their licences, as these ask for.

    deploy/debian/libraries.py CRATE TARGET [CARGO OPTION…]
"""

import json
import pathlib
import subprocess
import sys


def main():
    crate, target, *options = sys.argv[1:]
    manifest = str(pathlib.Path(crate, "Cargo.toml").resolve())
    command = ["cargo", "metadata", "--format-version=1", "--locked", f"--manifest-path={manifest}"]
    command += [f"--filter-platform={target}", *options]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {each["id"]: each for each in metadata["packages"]}
    nodes = {each["id"]: each for each in metadata["resolve"]["nodes"]}
    waiting = [each["id"] for each in packages.values() if each["manifest_path"] == manifest]
    contained = set()
    while waiting:
        node = waiting.pop()
        if node in contained:
            continue
        contained.add(node)
        for each in nodes[node]["deps"]:
            # What only builds or tests is not in the program.
            if any(kind["kind"] is None for kind in each["dep_kinds"]):
                waiting.append(each["pkg"])
    others = sorted((packages[node] for node in contained if packages[node]["source"]), key=name)
    print("Libraries in this program, each with its licence. The texts follow.\n")
    texts = {}
    for each in others:
        print(f"{name(each)}: {each['license'] or 'see the text'}")
        for file in sorted(pathlib.Path(each["manifest_path"]).parent.iterdir()):
            if file.is_file() and file.name.upper().startswith(("LICEN", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")):
                text = "\n".join(line.rstrip() for line in file.read_text(errors="replace").strip().splitlines())
                texts.setdefault(text, []).append(name(each))
    for text, users in texts.items():
        print(f"\n{'=' * 78}\n{', '.join(users)}\n{'-' * 78}\n{text}")


def name(package):
    return f"{package['name']} {package['version']}"


if __name__ == "__main__":
    main()
