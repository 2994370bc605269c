"""The programs that are measured, and their installation.

Each peer has its own environment in ``.env/<name>``, created when it is first needed, with the
newest versions that :attr:`Program.packages` allows.

The other Thoonks are not among them: thoonk.py 1.0.1 runs on Python 2 only, and thoonk.js is
not in the registry of npm.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import attr

import txthoonk

__all__ = [
    "MINIMAL",
    "OURS",
    "PROGRAMS",
    "RAW",
    "REDIS_BENCHMARK",
    "Failed",
    "Jobs",
    "Program",
]

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".env"
INSTALLED = "installed.json"  # the packages for which the environment was made
INSTALL_TIMEOUT = 600  # seconds
TAIL = 300  # the last characters of a program's output
OURS = "txthoonk"
MINIMAL = "minimal"
REDIS_BENCHMARK = "redis-benchmark"
RAW = "raw structures"  # what redis-benchmark does with them, if anything


class Failed(Exception):
    """A program cannot be installed, or does not follow its orders."""


@attr.frozen
class Jobs:
    """A program as a job queue: see ``peer.py``.

    :ivar file: the peer, in this folder.
    :ivar line: the key of the waiting jobs.
    :ivar rest: patterns of the keys that do not exist once all jobs are acknowledged.
    :ivar share: the share of the jobs of the fastest programs that this one is measured with.
    :ivar modes: its ways to put jobs, the fastest first.
    :ivar concurrencies: the concurrencies that its worker supports.
    """

    file: str
    line: str
    rest: tuple[str, ...] = ()
    share: float = 1.0
    modes: tuple[str, ...] = ("flight", "single")
    concurrencies: tuple[int, ...] = (1, 10, 100)


@attr.frozen
class Program:
    """A program that is measured.

    :ivar name: its name, and that of its environment.
    :ivar client: its client in this folder: see ``client.py``; empty if it has none.
    :ivar share: the share of the calls of the fastest clients that this one is measured with.
    :ivar jobs: its job queue, if it has one.
    :ivar packages: packages for pip or npm, the main one first; none: it runs in the environment
        of this benchmark.
    :ivar is_limit: whether it is a limit, not a peer.
    """

    name: str
    client: str = ""
    share: float = 1.0
    jobs: Jobs | None = None
    packages: tuple[str, ...] = ()
    is_limit: bool = False

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / self.name.replace(" ", "-").lower()

    @property
    def for_node(self) -> bool:
        return self._file.endswith(".mjs")

    @property
    def for_python(self) -> bool:
        return self._file.endswith(".py")

    @property
    def _file(self) -> str:
        return self.client or (self.jobs.file if self.jobs else "")

    def command(self, file: str) -> list[str]:
        """The command that runs a file of this folder, in :attr:`folder`."""
        return [*self._interpreter, str(HERE / file)]

    @property
    def _interpreter(self) -> list[str]:
        if self.for_node:
            return ["node"]
        return [str(self.folder / "bin" / "python") if self.packages else sys.executable]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it needs."""
        return {} if self.packages else {"PYTHONPATH": str(HERE.parents[1])}

    @property
    def version(self) -> str:
        """The installed version; empty if it has no package."""
        if not self.packages:
            return txthoonk.__version__ if self.name == OURS else ""
        package = re.split(r"[@\[ ]", self.packages[0])[0]
        if self.for_node:
            manifest = self.folder / "node_modules" / package / "package.json"
            return str(json.loads(manifest.read_text())["version"])
        packages = map(str, self.folder.glob("lib/python*/site-packages"))
        return next(iter(distributions(name=package, path=list(packages)))).version

    def install(self) -> None:
        """Create the environment, unless it exists; raises :class:`Failed`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.packages:
            return
        if self.for_node and shutil.which("node") is None:
            raise Failed("not installed: there is no node")
        mark = self.folder / INSTALLED
        wanted = json.dumps(self.packages)
        if mark.exists() and mark.read_text() == wanted:
            return
        if self.for_node:
            self._run("npm", "install", "--prefix", ".", "--no-audit", "--no-fund", *self.packages)
        else:
            self._run(sys.executable, "-m", "venv", ".")
            self._run(
                *self._interpreter, "-m", "pip", "install", "--quiet", "--upgrade", *self.packages
            )
        mark.write_text(wanted)

    def _run(self, *command: str) -> None:
        if shutil.which(command[0]) is None:
            raise Failed(f"not installed: there is no {command[0]}")
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=INSTALL_TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"not installed: {error}") from None
        if done.returncode:
            raise Failed(f"not installed: {done.stdout.strip()[-TAIL:]}")


PROGRAMS = [
    Program(
        OURS,
        client="txthoonk_client.py",
        jobs=Jobs(
            "txthoonk_peer.py",
            line="feed.ids:bench",
            rest=("feed.claimed:bench", "feed.stalled:bench", "feed.items:bench"),
            modes=("bulk", "flight", "single"),
        ),
    ),
    Program(MINIMAL, client="minimal_client.py", is_limit=True),
    Program(REDIS_BENCHMARK, is_limit=True),
    Program(RAW, is_limit=True),
    Program("node-redis", client="node_redis_client.mjs", packages=("redis@6",)),
    Program(
        "redis-py",
        client="redis_py_client.py",
        share=0.4,
        packages=("redis >= 7", "hiredis"),
    ),
    Program(
        "redis-py asyncio",
        client="redis_asyncio_client.py",
        share=0.4,
        packages=("redis >= 7", "hiredis"),
    ),
    Program(
        "txredisapi",
        client="txredisapi_client.py",
        share=0.5,
        packages=("txredisapi >= 1.6", "hiredis"),
    ),
    Program(
        "bee-queue",
        jobs=Jobs(
            "bee.mjs",
            line="bq:bench:waiting",
            rest=("bq:bench:active", "bq:bench:failed", "bq:bench:jobs"),
            modes=("bulk", "flight", "single"),
        ),
        packages=("bee-queue@2",),
    ),
    Program(
        "BullMQ",
        jobs=Jobs(
            "bullmq.mjs",
            line="bull:bench:wait",
            rest=("bull:bench:active", "bull:bench:failed", "bull:bench:stalled"),
            modes=("bulk", "flight", "single"),
        ),
        packages=("bullmq@6", "ioredis@6"),
    ),
    Program(
        "dramatiq",
        jobs=Jobs(
            "dramatiq_peer.py",
            line="dramatiq:bench",
            rest=("dramatiq:bench.msgs", "dramatiq:__acks__*"),
            share=0.3,
        ),
        packages=("dramatiq[redis] >= 2, < 3", "hiredis"),
    ),
    Program(
        "arq",
        jobs=Jobs(
            "arq_peer.py",
            line="arq:bench",
            rest=("arq:job:*", "arq:in-progress:*", "arq:retry:*"),
            share=0.05,
        ),
        packages=("arq >= 0.26, < 1",),
    ),
    Program(
        "taskiq",
        jobs=Jobs("taskiq_peer.py", line="taskiq:bench", share=0.06),
        packages=("taskiq >= 0.12, < 1", "taskiq-redis >= 1.2, < 2", "hiredis"),
    ),
    Program(
        "Celery",
        jobs=Jobs(
            "celery_peer.py",
            line="celery:bench",
            rest=("unacked*",),
            share=0.06,
            modes=("single", "flight"),
        ),
        packages=("celery[redis] >= 5.5, < 6", "hiredis"),
    ),
    Program(
        "RQ",
        jobs=Jobs(
            "rq_peer.py",
            line="rq:queue:bench",
            rest=("rq:wip:*", "rq:intermediate:*", "rq:failed:*", "rq:job:*"),
            share=0.03,
            modes=("bulk", "flight", "single"),
            concurrencies=(1,),
        ),
        packages=("rq >= 2, < 4", "redis < 6", "hiredis"),
    ),
]
