#!/usr/bin/env python3
"""A subscriber with a fail-over of its own, and the count of what it has got. Python's standard library, MQTT 3.1.1.

    collect.py collect LOG FILTER HOST:PORT...
        Subscribes with QoS 1 in a session that the brokers keep (`clean session` off), and appends every message to LOG:
        the topic, a space, the payload. A message is acknowledged when it is in LOG. Where a member is lost, or says
        nothing for twice the keep-alive, the next one is tried.

    collect.py count LOG LAST...
        Of the readings in LOG, per sensor and boot: how many there are after duplicates are taken out, the last number,
        what is missing. LAST are files NODE.json with what a node said were its last readings (`sedge readings last
        --json`). Ends with 1 where a number is missing.
"""

import json
import os
import socket
import struct
import sys
import time

KEEP_ALIVE = 5
CLIENT_ID = "collector"
LARGEST_PACKET = 1 << 20


def text(value):
    raw = value.encode()
    return struct.pack("!H", len(raw)) + raw


def packet(first, body):
    length, out = len(body), bytes([first])
    while True:
        length, digit = divmod(length, 128)
        out += bytes([digit | (0x80 if length else 0)])
        if not length:
            return out + body


class Member:
    """One connection to one member."""

    def __init__(self, host, port):
        self.stream = socket.create_connection((host, port), timeout=KEEP_ALIVE)
        self.stream.settimeout(1)
        self.buffer = b""
        self.heard = time.monotonic()
        flags = 0  # the session stays
        self.send(0x10, text("MQTT") + bytes([4, flags]) + struct.pack("!H", KEEP_ALIVE) + text(CLIENT_ID))
        kind, body = self.next(0x20)
        if body[1] != 0:
            raise ConnectionError(f"refused: {body[1]}")
        self.session = bool(body[0] & 1)

    def send(self, first, body):
        self.stream.sendall(packet(first, body))

    def subscribe(self, pattern):
        self.send(0x82, struct.pack("!H", 1) + text(pattern) + bytes([1]))

    def next(self, wanted=None):
        """The next packet; none after a second without one."""
        while True:
            whole = self.take()
            if whole is not None and (wanted is None or whole[0] & 0xF0 == wanted):
                return whole
            if whole is not None:
                continue
            try:
                more = self.stream.recv(65536)
            except socket.timeout:
                if time.monotonic() - self.heard > 2 * KEEP_ALIVE:
                    raise ConnectionError("silent") from None
                self.send(0xC0, b"")
                if wanted is None:
                    return None
                continue
            if not more:
                raise ConnectionError("closed")
            self.heard = time.monotonic()
            self.buffer += more

    def take(self):
        length, shift, at = 0, 0, 1
        while True:
            if at >= len(self.buffer):
                return None
            digit = self.buffer[at]
            length |= (digit & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not digit & 0x80:
                break
            if shift > 21:
                raise ConnectionError("not a packet")
        if length > LARGEST_PACKET:
            raise ConnectionError("too large")
        if len(self.buffer) < at + length:
            return None
        whole = self.buffer[0], self.buffer[at : at + length]
        self.buffer = self.buffer[at + length :]
        return whole


def follow(member, pattern, log):
    member.subscribe(pattern)
    while True:
        got = member.next()
        if got is None:
            continue
        first, body = got
        if first & 0xF0 == 0x90 and body[2] == 0x80:
            raise ConnectionError("the subscription was refused")
        if first & 0xF0 != 0x30:
            continue
        length = struct.unpack("!H", body[:2])[0]
        topic, rest = body[2 : 2 + length], body[2 + length :]
        qos = (first >> 1) & 3
        if qos:
            number, rest = rest[:2], rest[2:]
        log.write(topic + b" " + rest + b"\n")
        log.flush()
        if qos:
            member.send(0x40, number)


def collect(path, pattern, members):
    said = None
    with open(path, "ab") as log:
        while True:
            for each in members:
                host, port = each.rsplit(":", 1)
                try:
                    member = Member(host, int(port))
                    kept = "with its session" if member.session else "with a new session"
                    print(f"{time.strftime('%T')} collector: at {each}, {kept}", flush=True)
                    said = None
                    follow(member, pattern, log)
                except OSError as error:
                    if str(error) != said:
                        print(f"{time.strftime('%T')} collector: not at {each}: {error}", flush=True)
                    said = str(error)
                time.sleep(0.2)


def readings(path):
    """(node, sensor, boot, seq) of every reading, as it came."""
    with open(path, "rb") as log:
        for line in log:
            topic, _, payload = line.rstrip(b"\n").partition(b" ")
            levels = topic.decode().split("/")
            if len(levels) != 5 or levels[3] not in ("reading", "backlog"):
                continue
            frames = json.loads(payload)
            for frame in frames if isinstance(frames, list) else [frames]:
                yield levels[2], levels[4], frame["boot"], frame["seq"], levels[3]


def count(path, told):
    seen, total, late = {}, {}, {}
    for node, sensor, boot, seq, kind in readings(path):
        key = node, sensor, boot
        seen.setdefault(key, set()).add(seq)
        total[key] = total.get(key, 0) + 1
        late[key] = late.get(key, 0) + (kind == "backlog")
    last = {key: max(numbers) for key, numbers in seen.items()}
    for file in told:
        node = os.path.basename(file).removesuffix(".json")
        with open(file, encoding="utf-8") as said:
            for frame in json.load(said):
                key = node, frame["sensor"], frame["boot"]
                last[key] = max(last.get(key, 0), frame["seq"])
                seen.setdefault(key, set())
    missing = {key: sorted(set(range(1, last[key] + 1)) - seen[key]) for key in last}
    row = "| {:<22} | {:<8} | {:>7} | {:>7} | {:>10} | {:>9} | {:>7} |".format
    print(row("node/sensor", "boot", "last", "there", "on backlog", "came twice", "missing"))
    print(row(*["---"] * 7))
    for key in sorted(last):
        node, sensor, boot = key
        there = len(seen[key])
        twice = total.get(key, 0) - there
        print(row(f"{node}/{sensor}", boot, last[key], there, late.get(key, 0), twice, len(missing[key])))
    lost = sum(map(len, missing.values()))
    there = sum(map(len, seen.values()))
    print(f"{there} readings of {len(last)} sensors and boots, {sum(total.values()) - there} came twice, {lost} missing")
    for key, numbers in missing.items():
        if numbers:
            print(f"missing of {'/'.join(key)}: {numbers[:20]}")
    return 1 if lost or not there else 0


def main():
    if len(sys.argv) >= 5 and sys.argv[1] == "collect":
        collect(sys.argv[2], sys.argv[3], sys.argv[4:])
    if len(sys.argv) >= 3 and sys.argv[1] == "count":
        sys.exit(count(sys.argv[2], sys.argv[3:]))
    print(__doc__, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        os._exit(0)
