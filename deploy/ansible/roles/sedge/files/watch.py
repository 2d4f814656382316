#!/usr/bin/env python3
"""Whether a node is well, as the broker sees it: what it has retained, and that readings come.

    watch.py --node pi-kitchen --broker mqtt://broker.local --now
    watch.py --node pi-kitchen --broker mqtt://broker.local --well --not-boot 9f3c21ab --version 0.1.0 --within 90 --for 5

That systemd has started a program says little: a node is well when it is online at the broker, every plugin of it runs, and a
reading of its present boot arrives here, live. Asks `sedge` where it is installed, else `mosquitto_sub`. The last line
of the output is JSON. Exit codes: 0 well (with `--now`, `--forget`: done), 1 not well, 2 usage, 75 the broker cannot be asked.

`--forget` takes back what a node that is gone has left at the broker.

Must not: publish anything else; trust the clock of the board (a boot is told by its number, a live reading by its topic).
"""

import argparse
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

# As `sedge node status` has it, and what is still on its way.
FINE = {"running", "disabled", "discovered", "stopped"}
ON_ITS_WAY = {"starting"}


class Unreachable(Exception):
    pass


class Seen:
    """What is known of the node."""

    def __init__(self):
        self.status, self.info, self.read_in = None, {}, set()

    def trouble(self):
        plugins = self.info.get("plugins", {}).items()
        return {
            name: f"{plugin['state']}: {plugin.get('reason') or 'it does not say why'}"
            for name, plugin in plugins
            if plugin["state"] not in FINE | ON_ITS_WAY
        }

    def on_its_way(self):
        return [name for name, plugin in self.info.get("plugins", {}).items() if plugin["state"] in ON_ITS_WAY]

    def told(self):
        info = self.info
        return {"status": self.status, "boot": info.get("boot"), "version": info.get("version"),
                "config": info.get("config"), "trouble": self.trouble()}

    def why_not(self, args):
        """What keeps it from being well."""
        if self.status is None:
            return ["the broker has heard nothing of it"]
        if self.status != "online":
            return ["it is offline"]
        boot, why = self.info.get("boot"), []
        if boot is None:
            return ["it has not said what it is"]
        if boot == args.not_boot:
            why.append(f"it was not started anew: boot {boot} still")
        if args.version and self.info.get("version") != args.version:
            why.append(f"it runs version {self.info.get('version')}, which should be {args.version}")
        tolerated = set(filter(None, args.tolerate.split(",")))
        why += [f"{name} is {text}" for name, text in self.trouble().items() if name not in tolerated]
        why += [f"{name} is still starting" for name in self.on_its_way()]
        if boot not in self.read_in:
            why.append(f"no reading of boot {boot} has come")
        return why


class Lines:
    """The lines of a program that runs, as they come."""

    def __init__(self, command, **more):
        self.program = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, errors="replace", **more
        )
        self.lines = queue.Queue(10_000)
        self.said = []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()

    def _read(self):
        for line in self.program.stdout:
            self.lines.put(line)

    def _listen(self):
        for line in self.program.stderr:
            self.said = [*self.said[-4:], line.strip()]

    def take(self, seconds):
        """What has come, after waiting for it that long at most."""
        out = []
        try:
            out.append(self.lines.get(timeout=max(0.01, seconds)))
            while True:
                out.append(self.lines.get_nowait())
        except queue.Empty:
            pass
        if not out and self.program.poll() is not None:
            raise Unreachable(" ".join(self.said) or f"{self.program.args[0]} ended with {self.program.returncode}")
        return out

    def close(self):
        self.program.kill()
        self.program.wait()


class BySedge:
    """Asks `sedge`."""

    def __init__(self, args, folder):
        config = os.path.join(folder, "watch.toml")
        mqtt = {"url": args.broker, "base": args.base, "username": args.username, "password_file": args.password_file,
                "ca_file": args.ca_file, "cert_file": args.cert_file, "key_file": args.key_file}
        # A relative path would be meant from where the config lies.
        mqtt = {key: os.path.abspath(text) if text and key.endswith("_file") else text for key, text in mqtt.items()}
        with open(config, "w") as file:
            file.write("[mqtt]\n" + "".join(f"{key} = {json.dumps(text)}\n" for key, text in mqtt.items() if text))
        self.sedge, self.node = ["sedge", "--config", config, "--json", "--timeout", "10s"], args.node
        self.tail = Lines([*self.sedge, "readings", "tail", f"{args.node}/+"])

    def look(self, seen, seconds):
        done = subprocess.run([*self.sedge, "node", "info", self.node], capture_output=True, text=True)
        if done.returncode == 0:
            told = json.loads(done.stdout)
            seen.status, seen.info = told.get("status"), told.get("info") or {}
        elif "knows nothing" not in done.stderr:
            raise Unreachable(done.stderr.strip())
        for line in self.tail.take(seconds):
            seen.read_in.add(json.loads(line).get("boot"))

    def has_all(self, seen):
        return True

    def forget(self):
        done = subprocess.run([*self.sedge, "node", "decommission", self.node, "--yes"], capture_output=True, text=True)
        if done.returncode == 0:
            return json.loads(done.stdout)["taken_back"]
        if "knows nothing" in done.stderr:
            return 0
        raise Unreachable(done.stderr.strip())

    def close(self):
        self.tail.close()


class ByMosquitto:
    """Asks `mosquitto_sub`."""

    def __init__(self, args, folder):
        url = urllib.parse.urlsplit(args.broker)
        tls = url.scheme == "mqtts"
        if url.scheme not in ("mqtt", "mqtts"):
            raise Unreachable(f"mosquitto_sub cannot speak {url.scheme}://; install sedge on the watching host")
        options = {"-h": url.hostname, "-p": url.port or (8883 if tls else 1883), "-u": args.username or url.username,
                   "--cafile": args.ca_file, "--cert": args.cert_file, "--key": args.key_file}
        if tls and not args.ca_file:
            options["--capath"] = "/etc/ssl/certs"
        password = url.password
        if args.password_file:
            with open(args.password_file) as file:
                password = file.read().rstrip("\r\n")
        # In a file: arguments are for everybody to see.
        for program in ("mosquitto_sub", "mosquitto_pub"):
            with open(os.path.join(folder, program), "w") as file:
                file.write("".join(f"{key} {text}\n" for key, text in {**options, "-P": password}.items() if text))
        self.env = {**os.environ, "XDG_CONFIG_HOME": folder}
        self.base = f"{args.base}/{args.node}/"
        topics = [part for topic in ("status", "info", "reading/+") for part in ("-t", self.base + topic)]
        self.lines = Lines(["mosquitto_sub", "-F", "%j", *topics], env=self.env)

    def look(self, seen, seconds):
        for line in self.lines.take(seconds):
            message = json.loads(line)
            topic, payload = message["topic"].removeprefix(self.base), message.get("payload", "")
            if topic == "status":
                seen.status = payload or None
            elif topic == "info":
                seen.info = json.loads(payload) if payload else {}
            elif not message.get("retain"):
                seen.read_in.add(json.loads(payload).get("boot"))

    def has_all(self, seen):
        return seen.status is not None and bool(seen.info)

    def forget(self):
        seen = Seen()
        now(self, seen)
        if seen.status == "online":
            raise Unreachable("the node is online; stop it first, or it would only come back")
        topics = ["-t", self.base + "#", "-t", f"homeassistant/device/sedge-{self.base.split('/')[-2]}/config"]
        found = subprocess.run(["mosquitto_sub", "--retained-only", "-W", "3", "-F", "%t", *topics], env=self.env, capture_output=True, text=True)
        # What says that it was there goes last.
        found = sorted(set(found.stdout.split()), key=lambda topic: topic.endswith("/status"))
        for topic in found:
            subprocess.run(["mosquitto_pub", "-q", "1", "-r", "-n", "-t", topic], env=self.env, check=True)
        return len(found)

    def close(self):
        self.lines.close()


def now(source, seen):
    # A broker does not say that there is nothing.
    until = time.monotonic() + 5
    source.look(seen, 0.1)
    while not source.has_all(seen) and time.monotonic() < until:
        source.look(seen, 0.5)
    return seen.told()


def well(source, seen, args):
    begin, since, held = time.monotonic(), None, None
    while True:
        source.look(seen, 0.5)
        why, at = seen.why_not(args), time.monotonic()
        if why or held != seen.info.get("boot"):
            since, held = None, seen.info.get("boot")
        if not why:
            since = since or at
            if at - since >= args.steady:
                return {"well": True, "why": [], "seconds": round(at - begin, 1), **seen.told()}
        # Who was well in time is given the time to stay so.
        if at - begin > args.within + (args.steady if since else 0):
            why = why or ["it is well, but not for long enough"]
            return {"well": False, "why": why, "seconds": round(at - begin, 1), **seen.told()}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--node", required=True)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--base", default="sedge/v1")
    parser.add_argument("--via", choices=["auto", "sedge", "mosquitto_sub"], default="auto")
    for name in ("--username", "--password-file", "--ca-file", "--cert-file", "--key-file"):
        parser.add_argument(name)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--now", action="store_true", help="how it is now")
    what.add_argument("--well", action="store_true", help="wait until it is well")
    what.add_argument("--forget", action="store_true", help="take back what it left at the broker")
    parser.add_argument("--within", type=float, default=90, help="seconds until it has to be well")
    parser.add_argument("--for", type=float, default=5, dest="steady", help="seconds that it has to stay so")
    parser.add_argument("--not-boot", help="the boot before: another one has to come")
    parser.add_argument("--version", help="that it has to run")
    parser.add_argument("--tolerate", default="", help="plugins that need not run, with commas")
    parser.add_argument("--report", action="store_true", help="end with 0 also where it is not well")
    return parser.parse_args()


def source_of(args, folder):
    for via, make in (("sedge", BySedge), ("mosquitto_sub", ByMosquitto)):
        if args.via == via or (args.via == "auto" and shutil.which(via)):
            if not shutil.which(via):
                raise Unreachable(f"{via} is not installed on the watching host")
            return make(args, folder)
    raise Unreachable("neither sedge nor mosquitto_sub is installed on the watching host: apt install mosquitto-clients")


def main():
    args, source = arguments(), None
    with tempfile.TemporaryDirectory() as folder:
        try:
            source = source_of(args, folder)
            if args.forget:
                told = {"taken_back": source.forget()}
            else:
                told = now(source, Seen()) if args.now else well(source, Seen(), args)
        except (Unreachable, OSError, subprocess.CalledProcessError) as error:
            print(json.dumps({"well": False, "why": [f"the broker {args.broker} does not answer as it should: {error}"]}))
            return 0 if args.report else 75
        finally:
            if source:
                source.close()
    print(json.dumps(told))
    return 0 if told.get("well", True) or args.report else 1


if __name__ == "__main__":
    sys.exit(main())
