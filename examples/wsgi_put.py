"""Put jobs from code that blocks, as in Django, Flask and other WSGI programs.

Copy :class:`Jobs` into your program.  Run alone, this puts jobs from several threads of several
processes, as a WSGI server does::

    python examples/wsgi_put.py redis://localhost:6379/0

Every process has one thread that runs an event loop with one Thoonk.  Other threads hand it their
calls, and wait for the results.  The thread begins with the first call: a server may fork its
processes before or after it has imported your program.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from txthoonk import Thoonk

T = TypeVar("T")


class Jobs:
    """Puts jobs, and waits for results, from any thread.

    While Redis is unavailable, a call waits up to 10 seconds, and then fails with ``NotSent``.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Begin anew: a process that was forked has none of the threads."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, feed: str, item: Any, **options: Any) -> str:
        """Put a job; *options* are those of ``Job.put``. Return its id."""
        return self._call(self._put(feed, item, options))

    def wait(self, feed: str, id_: str, timeout: float) -> Any:
        """Wait until a job is finished, and return its result."""
        return self._call(self._wait(feed, id_, timeout))

    async def _put(self, feed: str, item: Any, options: dict[str, Any]) -> str:
        job = await self._thoonk.job(feed)
        return await job.put(item, **options)

    async def _wait(self, feed: str, id_: str, timeout: float) -> Any:
        job = await self._thoonk.job(feed)
        return await job.wait(id_, timeout)

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(target=self._loop.run_forever, name="txthoonk")
                thread.daemon = True  # it does not keep the process from ending
                thread.start()
                asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _start(self) -> None:
        self._thoonk = Thoonk(self._url)
        self._thoonk.startService()  # it connects, and connects again whenever that is needed


# -- as in a view of Django or Flask ------------------------------------------------------

URL = "redis://localhost:6379/0"
jobs = Jobs(sys.argv[1] if __name__ == "__main__" and sys.argv[1:] else URL)


def welcome(address: str) -> None:
    id_ = jobs.put("emails", address)
    print(f"{os.getpid()} put {id_}\n", end="", flush=True)


# -- as a WSGI server ---------------------------------------------------------------------


def serve() -> None:
    """Handle three requests in threads."""
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(welcome, ["ada@example.org", "alan@example.org", "grace@example.org"]))


def main() -> None:
    serve()
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            serve()
            sys.exit()
        _, status = os.waitpid(pid, 0)
        if status:
            sys.exit(1)


if __name__ == "__main__":
    main()
