"""``run(Attic)``: the last line of a plugin."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import stat
import sys
import threading
from typing import Any, Iterator, List, Optional, Type

from .manifest import Manifest, ManifestError
from .plugin import Plugin
from .session import Session
from .wire import FD_VARIABLE, Channel

#: So long a plugin has to tidy up once its node is gone, in seconds.
GRACE = 2.0

_collected: Optional[List[Type[Plugin]]] = None


@contextlib.contextmanager
def collecting() -> Iterator[List[Type[Plugin]]]:
    """Within it `run` runs nothing and remembers what it would have run."""
    global _collected
    found: List[Type[Plugin]] = []
    before, _collected = _collected, found
    try:
        yield found
    finally:
        _collected = before


def run(plugin: Type[Plugin]) -> None:
    """Runs a plugin until its node stops it, and exits. A module that is only imported, as by a test, it leaves alone."""
    if _collected is not None:
        _collected.append(plugin)
        return
    where = os.environ.pop(FD_VARIABLE, "")  # not for the programs that a plugin starts
    is_stdio = where == "stdio" or "--stdio" in sys.argv[1:]
    if not where and not is_stdio:
        if sys._getframe(1).f_globals.get("__name__") == "__main__":
            _refuse(_BY_HAND.format(file=sys.argv[0] or "main.py"))
        return
    sys.exit(_run(plugin, "stdio" if is_stdio else where))


def _run(plugin: Type[Plugin], where: str) -> int:
    channel = _stdio() if where == "stdio" else _inherited(where)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # into the node's log at once
    logging.getLogger().setLevel(logging.INFO)
    try:
        manifest = Manifest.beside(plugin)
    except ManifestError as error:
        _refuse(f"E! {error}")
    session = Session(plugin, channel, manifest, logger=logging.getLogger(), on_gone=_watch)

    def terminate(*_: Any) -> None:
        # Not in the handler itself, which may have interrupted one who holds a lock.
        threading.Thread(target=session.gone, daemon=True).start()

    signal.signal(signal.SIGTERM, terminate)
    try:
        code = session.run()
    except KeyboardInterrupt:
        code = 130
    if code and session.error is not None:
        print(f"E! {session.error}", file=sys.stderr)
    return code


def _watch() -> None:
    """No orphan: what still runs when the time is over is ended."""
    timer = threading.Timer(GRACE, os._exit, [1])
    timer.daemon = True
    timer.start()


def _inherited(where: str) -> Channel:
    try:
        fd = int(where)
        mode = os.fstat(fd).st_mode
    except (ValueError, OSError) as error:
        _refuse(f"E! {FD_VARIABLE}={where}: nobody is there: {error}")
    if not stat.S_ISSOCK(mode):
        _refuse(f"E! {FD_VARIABLE}={where}: that is no socket")
    os.set_inheritable(fd, False)
    return Channel(fd, fd)


def _stdio() -> Channel:
    """The line is standard input and output; what is printed goes to standard error."""
    sys.stdout.flush()
    channel = Channel(os.dup(0), os.dup(1))
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return channel


def _refuse(text: str) -> Any:
    print(text, file=sys.stderr)
    sys.exit(2)


_BY_HAND = """\
This is a plugin of Sedge: a node starts it. To install it into one:
    sedge plugin install FOLDER
To test it without a node, see `sedge_sdk.testing`; to see whether it fits its manifest:
    python3 -m sedge_sdk check FOLDER
To speak the protocol with it by hand:
    python3 {file} --stdio"""
