#!/usr/bin/env python3
"""What a broker has been sent by a node, looked at for holes.

    heard.py MESSAGES NODE SENSOR              prints how many readings of how many boots; 1 where a number is missing
    heard.py MESSAGES NODE SENSOR --has FILE   also 1 where one is missing that stands in FILE (`sedge readings export -f ndjson`)
    heard.py MESSAGES NODE SENSOR --newer N    also 1 where there are not more than N readings

MESSAGES has a line `TOPIC<tab>PAYLOAD` for each message, in the order of arrival. A sensor's readings are numbered from 1 in
each boot of the node, so a missing number is a lost reading.
"""

import argparse
import json
import sys

FIELDS = {"temperature", "humidity", "pressure"}


def readings(path, node, sensor):
    """(boot, seq) of each reading that was heard, with its message."""
    found = {}
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            topic, _, payload = line.rstrip("\n").partition("\t")
            way = topic.removeprefix(f"sedge/v1/{node}/").removesuffix(f"/{sensor}")
            if not topic.endswith(f"/{node}/{way}/{sensor}") or way not in ("reading", "backlog"):
                continue
            try:
                message = json.loads(payload)
            except ValueError:
                continue  # the line that is being written just now
            for each in message if way == "backlog" else [message]:
                found[each["boot"], each["seq"]] = each
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("messages")
    parser.add_argument("node")
    parser.add_argument("sensor")
    parser.add_argument("--has")
    parser.add_argument("--newer", type=int)
    args = parser.parse_args()
    found = readings(args.messages, args.node, args.sensor)
    wrong = []
    boots = {boot for boot, _ in found}
    for boot in boots:
        numbers = {seq for each, seq in found if each == boot}
        missing = sorted(set(range(1, max(numbers) + 1)) - numbers)
        if missing:
            wrong.append(f"boot {boot}: {len(missing)} of {max(numbers)} missing, the first is {missing[0]}")
    strange = [each for each in found.values() if set(each["fields"]) != FIELDS]
    if strange:
        wrong.append(f"{len(strange)} readings have other fields: {strange[0]}")
    if args.has:
        with open(args.has, encoding="utf-8") as lines:
            kept = [(each["boot"], each["seq"]) for each in map(json.loads, lines) if each["sensor"] == args.sensor]
        if not kept:
            wrong.append("the node has kept nothing")
        lost = [each for each in kept if each not in found]
        if lost:
            wrong.append(f"{len(lost)} of {len(kept)} kept by the node have not arrived: {lost[:3]}")
    if args.newer is not None and len(found) <= args.newer:
        wrong.append(f"no more than {len(found)} readings")
    print(len(found), "readings of", len(boots), "boots")
    for each in wrong:
        print(each, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
