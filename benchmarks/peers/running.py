"""Runs the peers, and looks at what they do: see ``peer.py`` for how they are told."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hiredis
from peers.programs import TAIL, Failed, Program

__all__ = ["Peer", "Redis", "put", "wait_until"]

TIMEOUT = 240.0  # seconds that a peer may run
PAUSE = 0.001  # seconds between two looks at the keys
LOG = "stderr.log"

# How many jobs there are under the keys that match the patterns.
_SIZES = """
local sizes = {list = "LLEN", hash = "HLEN", set = "SCARD", zset = "ZCARD"}
local total = 0
for _, pattern in ipairs(ARGV) do
  for _, key in ipairs(redis.call("KEYS", pattern)) do
    local size = sizes[redis.call("TYPE", key).ok]
    total = total + (size and redis.call(size, key) or 1)
  end
end
return total
"""


class Redis:
    """A connection that blocks: the least that this benchmark needs."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address)
        self._reader = hiredis.Reader(encoding="utf-8")

    def call(self, *command: str | int) -> Any:
        self._socket.sendall(hiredis.pack_command(command))
        reply = self._reader.gets()
        while reply is False:
            self._reader.feed(self._socket.recv(65536))
            reply = self._reader.gets()
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def size(self, *patterns: str) -> int:
        return int(self.call("EVAL", _SIZES, 0, *patterns))


class Peer:
    """A peer that runs, as a context manager that ends it.

    :param verb: ``put`` or ``work``.
    :param options: of its command line.
    """

    def __init__(self, program: Program, url: str, verb: str, **options: Any) -> None:
        command = [*program.command, "--url", url, verb]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        self._log = program.folder / LOG
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=program.folder, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._killer = threading.Timer(TIMEOUT, self._process.kill)
        self._killer.start()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._killer.cancel()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _line(self, word: str) -> list[str]:
        """Wait for the line that begins with a word, and split it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(word):
                return line.split(maxsplit=2)
        raise self._failed()

    def wait_for_ready(self) -> None:
        """Wait until the first job is started."""
        self._line("ready")

    def wait_for_done(self) -> tuple[float, list[float]]:
        """Wait until all are; return when the warm-up ended, and delays in seconds."""
        _, begin, delays = self._line("done")
        return float(begin), json.loads(delays)

    def cpu(self) -> float | None:
        """Seconds of CPU that it has used; None where there is no such /proc."""
        self._check()
        try:
            tasks = [(task / "schedstat").read_text() for task in (self._proc / "task").iterdir()]
        except OSError:
            return None
        return sum(int(task.split()[0]) for task in tasks) / 1e9

    def memory(self) -> tuple[int, int] | None:
        """Bytes in RAM, and the same with what is shared divided among those who share it."""
        try:
            lines = (self._proc / "smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            return None
        sizes = dict(line.split(":") for line in lines)
        rss, pss = (int(sizes[name].split()[0]) * 1024 for name in ("Rss", "Pss"))
        return rss, pss

    def _check(self) -> None:
        if self._process.poll() is not None:
            raise self._failed()

    def _failed(self) -> Failed:
        return Failed(f"failed: {self._log.read_text().strip()[-TAIL:] or 'took too long'}")

    @property
    def _proc(self) -> Path:
        return Path("/proc", str(self._process.pid))


def put(program: Program, url: str, mode: str, count: int, warm_up: int) -> float:
    """Have jobs put; return how many seconds it took, the warm-up not counted."""
    with Peer(program, url, "put", mode=mode, count=count, warm_up=warm_up) as peer:
        return float(peer._line("done")[1])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again until something is so."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"failed: {what}")
        time.sleep(PAUSE)
