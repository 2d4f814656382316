"""The line to the node: real processes, and what arrives on it that should not."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path
from typing import Any, Dict, List, Optional

from sedge_sdk.errors import ProtocolError
from sedge_sdk.wire import Channel

SRC = Path(__file__).resolve().parents[1] / "src"
WELCOME = {
    "type": "welcome",
    "protocol": "1.0",
    "api": "1.0",
    "encoding": "json",
    "features": [],
    "id": "attic",
    "plugin": "test",
    "node": "here",
    "settings": {},
    "grants": {},
    "limits": {"message": 1048576, "in_flight": 16, "memory": 67108864, "start_ms": 10000},
}
LONG = 30.0

PLUGIN = """
    import os, subprocess, sys, threading
    from sedge_sdk import Plugin, run, tool
    class Test(Plugin):
        def setup(self):
            print("printed")
            print("E! wrong", file=sys.stderr)
        @tool
        def echo(self, text: str) -> str:
            return text
        @tool
        def stuck(self) -> None:
            print("stuck", flush=True)
            while True:
                try:
                    threading.Event().wait(3600)
                except Exception:
                    pass
        @tool
        def child(self) -> str:
            look = "import os; print(os.environ.get('SEDGE_PLUGIN_FD'), sorted(os.listdir('/proc/self/fd')))"
            return subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, close_fds=False).stdout
        @tool
        def bare(self) -> None:
            raise BaseException("base")
        def teardown(self):
            print("torn down")
    run(Test)
"""


class Process:
    """A plugin as a process, and its node's end of the line."""

    def __init__(self, code: str = PLUGIN, stdio: bool = False, environment: Optional[Dict[str, str]] = None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name, "main.py")
        file.write_text(textwrap.dedent(code))
        here, there = socket.socketpair()
        here.settimeout(LONG)
        self.line = here
        with_stdio: Dict[str, Any] = {"stdin": there, "stdout": there} if stdio else {"stdout": subprocess.PIPE}
        where = "stdio" if stdio else str(there.fileno())
        self.process = subprocess.Popen(
            [sys.executable, str(file)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SRC), "SEDGE_PLUGIN_FD": where, **(environment or {})},
            pass_fds=[there.fileno()],
            stderr=subprocess.PIPE,
            cwd=self.folder.name,
            **with_stdio,
        )
        there.close()
        self.lines = here.makefile("rb")

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.close()
        self.line.close()
        try:
            self.process.communicate(timeout=LONG)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.folder.cleanup()

    def send(self, message: Any) -> None:
        self.line.sendall(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")

    def hear(self) -> Dict[str, Any]:
        return dict(json.loads(self.lines.readline()))

    def start(self) -> List[Dict[str, Any]]:
        hello = self.hear()
        self.send(WELCOME)
        return [hello, self.hear()]

    def call(self, id: int, tool: str, **args: Any) -> None:
        self.send({"type": "call", "id": id, "do": "tool", "tool": tool, "args": args, "from": "", "timeout_ms": 5000})

    def end(self) -> "tuple[int, str, str]":
        out, err = self.process.communicate(timeout=LONG)
        return self.process.returncode, (out or b"").decode(), err.decode()

    def hang_up(self) -> None:
        self.lines.close()
        self.line.close()


class AProcess(unittest.TestCase):
    def test_says_hello_is_ready_answers_and_stops(self) -> None:
        with Process() as plugin:
            hello, ready = plugin.start()
            self.assertEqual((hello["type"], hello["protocol"], hello["credit"]), ("hello", "1.0", 64))
            self.assertEqual((ready["type"], ready["tools"][2]["name"]), ("ready", "echo"))
            plugin.call(1, "echo", text="grün")
            self.assertEqual(plugin.hear(), {"type": "ok", "id": 1, "result": "grün"})
            plugin.send({"type": "call", "id": 2, "do": "stop", "grace_ms": 1000})
            self.assertEqual(plugin.hear(), {"type": "ok", "id": 2, "result": None})
            code, out, err = plugin.end()
            self.assertEqual((code, out), (0, "printed\ntorn down\n"))
            self.assertEqual(err, "E! wrong\n")

    def test_over_stdio_may_print(self) -> None:
        with Process(stdio=True) as plugin:
            plugin.start()
            plugin.call(1, "echo", text="x")
            self.assertEqual(plugin.hear()["result"], "x")
            plugin.hang_up()
            code, _, err = plugin.end()
            self.assertEqual(code, 0)
            self.assertIn("printed", err)

    def test_answers_a_ping_while_it_is_at_work(self) -> None:
        with Process() as plugin:
            plugin.start()
            plugin.call(1, "stuck")
            plugin.send({"type": "ping", "id": 9})
            self.assertEqual(plugin.hear(), {"type": "pong", "id": 9})

    def test_ends_with_its_node_also_when_it_is_stuck(self) -> None:
        for is_stuck in (False, True):
            with Process() as plugin:
                plugin.start()
                if is_stuck:
                    plugin.call(1, "stuck")
                    assert plugin.process.stdout is not None
                    self.assertEqual(plugin.process.stdout.readline(), b"printed\n")
                    self.assertEqual(plugin.process.stdout.readline(), b"stuck\n")
                plugin.hang_up()
                code, out, _ = plugin.end()
                self.assertEqual(code, 1 if is_stuck else 0)
                self.assertEqual("torn down" in out, not is_stuck)

    def test_tidies_up_when_it_is_terminated(self) -> None:
        with Process() as plugin:
            plugin.start()
            plugin.call(1, "echo", text="x")
            plugin.hear()
            plugin.process.send_signal(signal.SIGTERM)
            code, out, _ = plugin.end()
            self.assertEqual((code, out), (0, "printed\ntorn down\n"))

    def test_hands_its_line_to_no_program_that_it_starts(self) -> None:
        with Process() as plugin:
            plugin.start()
            plugin.call(1, "child")
            self.assertEqual(plugin.hear()["result"].strip(), "None ['0', '1', '2', '3']")

    def test_ends_when_more_than_an_exception_is_raised(self) -> None:
        with Process() as plugin:
            plugin.start()
            plugin.call(1, "bare")
            code, _, err = plugin.end()
            self.assertEqual(code, 1)
            self.assertIn("BaseException: base", err)

    def test_refuses_a_node_of_another_version(self) -> None:
        with Process() as plugin:
            plugin.hear()
            plugin.send({**WELCOME, "protocol": "2.0"})
            code, _, err = plugin.end()
            self.assertEqual(code, 1)
            self.assertIn("E! the node speaks protocol 2.0, this SDK 1.0", err)

    def test_ignores_what_a_later_version_says_and_refuses_what_is_asked_for(self) -> None:
        with Process() as plugin:
            plugin.start()
            plugin.send({"type": "weather", "id": 1})
            plugin.send({"type": "ok", "id": 77, "result": 1})
            plugin.send({"type": "cancel", "id": 77})
            plugin.send({"type": "call", "id": 2, "do": "dance"})
            self.assertEqual(plugin.hear()["error"]["code"], "bad_request")

    def test_ends_on_what_it_cannot_read(self) -> None:
        for said in (b"garbage\n", b"[1]\n", b'{"id":1}\n', b'{"type":"ping"}\n', b'{"type":"call"}\n', b"[" * 100_000 + b"\n"):
            with Process() as plugin:
                plugin.start()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    plugin.send(said)
                code, _, err = plugin.end()
                self.assertEqual(code, 1, said[:20])
                self.assertIn("E! the line to the node has failed", err)

    def test_ends_when_the_node_floods_it(self) -> None:
        with Process() as plugin:
            plugin.start()
            plugin.call(1, "stuck")
            call = {"type": "call", "do": "tool", "tool": "echo", "args": {}, "from": "", "timeout_ms": 5000}
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                plugin.send(b"".join(json.dumps({**call, "id": id}).encode() + b"\n" for id in range(2, 200)))
            self.assertEqual(plugin.end()[0], 1)

    def test_that_a_person_starts_says_what_to_do(self) -> None:
        with Process(environment={"SEDGE_PLUGIN_FD": ""}) as plugin:
            code, _, err = plugin.end()
            self.assertEqual(code, 2)
            self.assertIn("sedge plugin install", err)
        for where in ("99", "x", "1"):
            with Process(environment={"SEDGE_PLUGIN_FD": where}) as plugin:
                code, _, err = plugin.end()
                self.assertEqual(code, 2)
                self.assertIn(f"E! SEDGE_PLUGIN_FD={where}", err)

    def test_that_is_only_imported_runs_nothing(self) -> None:
        with Process() as plugin:
            program = [sys.executable, "-c", "import main; print(main.Test.__name__)"]
            environment = {"PYTHONPATH": f"{SRC}:{plugin.folder.name}", "PATH": os.environ["PATH"]}
            out = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=LONG)
            self.assertEqual((out.returncode, out.stdout), (0, "Test\n"))


class AChannel(unittest.TestCase):
    def setUp(self) -> None:
        self.here, there = socket.socketpair()
        self.addCleanup(self.here.close)
        self.addCleanup(there.close)
        self.channel = Channel(there.fileno(), there.fileno())

    def test_takes_messages_in_pieces_and_several_at_once(self) -> None:
        for byte in b'{"type":"a"}\n':
            self.here.sendall(bytes([byte]))
        self.here.sendall(b'\n{"type":"b"}\n{"type":"c"}\nhalf')
        self.here.shutdown(socket.SHUT_WR)
        self.assertEqual([self.channel.receive() for _ in range(4)], [{"type": "a"}, {"type": "b"}, {"type": "c"}, None])

    def test_holds_no_more_than_the_largest_message(self) -> None:
        self.channel.limit = 1000
        for encoding, said in (("json", b"x" * 2000), ("msgpack", (2**31).to_bytes(4, "big"))):
            self.channel.encoding = encoding
            self.channel._buffer.clear()
            self.here.sendall(said)
            with self.assertRaisesRegex(ProtocolError, "1000 are allowed"):
                self.channel.receive()

    def test_carries_the_same_in_both_encodings(self) -> None:
        try:
            import msgpack
        except ImportError:
            self.skipTest("the package msgpack is not there")
        message = {"type": "ok", "id": 1, "result": {"a": [1, 2.5, None, True, "grün"], "b": (1,), "c": b"\x01"}}
        self.channel.encoding = "msgpack"
        self.channel.send(message)
        data = self.here.recv(1000)
        self.assertEqual(int.from_bytes(data[:4], "big"), len(data) - 4)
        self.assertEqual(msgpack.unpackb(data[4:])["result"], {"a": [1, 2.5, None, True, "grün"], "b": [1], "c": "01"})
        self.here.sendall(data)
        self.assertEqual(self.channel.receive(), msgpack.unpackb(data[4:]))
        self.here.sendall(b"\x00\x00\x00\x02\xc1\xc1")
        with self.assertRaises(ProtocolError):
            self.channel.receive()
