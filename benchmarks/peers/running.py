"""Runs the programs, and observes them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hiredis
from peers.programs import TAIL, Failed, Jobs, Program

__all__ = ["Client", "Peer", "Redis", "jobs_of", "put", "wait_until"]

TIMEOUT = 240.0  # seconds that a peer may run
PAUSE = 0.001  # seconds between two checks of the keys
LOG = "stderr.log"

# Counts the jobs under the keys that match the patterns.
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
    """A minimal blocking connection.

    :param timeout: the seconds that a reply may take before TimeoutError.
    """

    def __init__(self, address: tuple[str, int], timeout: float = 60.0) -> None:
        self._socket = socket.create_connection(address, timeout)
        self._reader = hiredis.Reader(encoding="utf-8")

    def call(self, *command: str | int) -> Any:
        self._socket.sendall(hiredis.pack_command(command))
        reply = self.read()
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def read(self) -> Any:
        """Wait for a reply, or for a message."""
        reply = self._reader.gets()
        while reply is False:
            self._reader.feed(self._socket.recv(65536))
            reply = self._reader.gets()
        return reply

    def close(self) -> None:
        self._socket.close()

    def size(self, *patterns: str) -> int:
        return int(self.call("EVAL", _SIZES, 0, *patterns))


class Process:
    """A running program, as a context manager that ends it.

    :param file: a file in the folder of peers.
    :param arguments: the arguments of its command line.
    """

    def __init__(self, program: Program, file: str, *arguments: str) -> None:
        self._log = program.folder / LOG
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*program.command(file), *arguments],
                cwd=program.folder,
                env={**os.environ, **program.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # so that Ctrl-C does not reach it
            )

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def lines(self) -> Iterator[str]:
        """Yield the lines that it prints, within the time limit."""
        killer = threading.Timer(TIMEOUT, self._process.kill)
        killer.start()
        try:
            assert self._process.stdout is not None
            while line := self._process.stdout.readline():
                yield line
        finally:
            killer.cancel()

    @property
    def pid(self) -> int:
        return self._process.pid

    def failed(self) -> Failed:
        return Failed(f"failed: {self._log.read_text().strip()[-TAIL:] or 'took too long'}")


class Client(Process):
    """A client: see ``client.py``."""

    def __init__(self, program: Program, url: str) -> None:
        super().__init__(program, program.client, "--url", url)

    def tell(self, **order: Any) -> None:
        """Give an order."""
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self.failed() from None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it do nothing meanwhile."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer."""
        for line in self.lines():
            answer = json.loads(line)
            if "error" in answer:
                raise Failed(f"failed: {answer['error'][:TAIL]}")
            return dict(answer)
        raise self.failed()

    def ask(self, **order: Any) -> dict[str, Any]:
        """Send an order that has one answer."""
        self.tell(**order)
        return self.answer()


class Peer(Process):
    """A job queue: see ``peer.py``.

    :param verb: ``put`` or ``work``.
    :param options: of its command line.
    """

    def __init__(self, program: Program, url: str, verb: str, **options: Any) -> None:
        words = []
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        super().__init__(program, jobs_of(program).file, "--url", url, verb, *words)

    def _line(self, word: str) -> list[str]:
        """Wait for a line that begins with a word, and split it."""
        for line in self.lines():
            if line.startswith(word):
                return line.split(maxsplit=2)
        raise self.failed()

    def wait_for_ready(self) -> None:
        """Wait until the first job has started."""
        self._line("ready")

    def wait_for_done(self) -> tuple[float, list[float]]:
        """Wait until all have started; return the end of the warm-up, and the delays."""
        _, begin, delays = self._line("done")
        return float(begin), json.loads(delays)

    def cpu(self) -> float | None:
        """The seconds of CPU that it has used; None without /proc."""
        self._check()
        try:
            tasks = [(task / "schedstat").read_text() for task in (self._proc / "task").iterdir()]
        except OSError:
            return None
        return sum(int(task.split()[0]) for task in tasks) / 1e9

    def memory(self) -> int | None:
        """The bytes in RAM, with shared pages divided among their processes (PSS)."""
        try:
            lines = (self._proc / "smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            return None
        sizes = dict(line.split(":") for line in lines)
        return int(sizes["Pss"].split()[0]) * 1024

    def _check(self) -> None:
        if self._process.poll() is not None:
            raise self.failed()

    @property
    def _proc(self) -> Path:
        return Path("/proc", str(self.pid))


def jobs_of(program: Program) -> Jobs:
    """Return the job queue of a program."""
    assert program.jobs is not None
    return program.jobs


def put(program: Program, url: str, mode: str, count: int, warm_up: int) -> float:
    """Make the program put jobs; return the seconds that it took, without the warm-up."""
    with Peer(program, url, "put", mode=mode, count=count, warm_up=warm_up) as peer:
        return float(peer._line("done")[1])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until a condition is true."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"failed: {what}")
        time.sleep(PAUSE)
