"""The programs that ``benchmarks/jobs.py`` compares, and how they are installed.

Each has an environment of its own in ``.env/<name>``, made when it is first needed, with
the newest versions that :attr:`Program.packages` allows.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import attr

__all__ = ["OURS", "PROGRAMS", "Failed", "Program"]

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".env"
INSTALLED = "installed.json"  # the packages for which the environment was made
INSTALL_TIMEOUT = 600  # seconds
TAIL = 300  # characters of what a program said last
OURS = "txthoonk"


class Failed(Exception):
    """A program cannot be installed, or does not do what is asked of it."""


@attr.frozen
class Program:
    """One job queue.

    :ivar name: also that of the environment and of the package.
    :ivar file: the peer, in this folder.
    :ivar line: key of the jobs that wait.
    :ivar packages: for pip or npm.
    :ivar rest: patterns of the keys that are gone when all jobs are acknowledged.
    :ivar share: of the jobs of the fastest programs, what this one is measured with.
    :ivar modes: the ways of putting jobs that it has, the fastest first.
    :ivar concurrencies: what its worker can be given.
    """

    name: str
    file: str
    line: str
    packages: tuple[str, ...]
    rest: tuple[str, ...] = ()
    share: float = 1.0
    modes: tuple[str, ...] = ("flight", "single")
    concurrencies: tuple[int, ...] = (1, 10, 100)

    @property
    def folder(self) -> Path:
        return ENVIRONMENTS / self.name

    @property
    def for_node(self) -> bool:
        return self.file.endswith(".mjs")

    @property
    def command(self) -> list[str]:
        """What runs the peer, in :attr:`folder`."""
        return [*self._interpreter, str(HERE / self.file)]

    @property
    def _interpreter(self) -> list[str]:
        return ["node"] if self.for_node else [str(self.folder / "bin" / "python")]

    @property
    def version(self) -> str:
        """The version that is installed."""
        if self.for_node:
            package = self.folder / "node_modules" / self.name / "package.json"
            return str(json.loads(package.read_text())["version"])
        packages = map(str, self.folder.glob("lib/python*/site-packages"))
        return next(iter(distributions(name=self.name, path=list(packages)))).version

    def install(self) -> None:
        """Make the environment, unless it is there; fails with :class:`Failed`."""
        self.folder.mkdir(parents=True, exist_ok=True)
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
        "txthoonk_peer.py",
        line="feed.ids:bench",
        packages=("--editable", str(HERE.parents[1])),
        rest=("feed.claimed:bench", "feed.stalled:bench", "feed.items:bench"),
        modes=("bulk", "flight", "single"),
    ),
    Program(
        "bee-queue",
        "bee.mjs",
        line="bq:bench:waiting",
        packages=("bee-queue@2",),
        rest=("bq:bench:active", "bq:bench:failed", "bq:bench:jobs"),
        modes=("bulk", "flight", "single"),
    ),
    Program(
        "bullmq",
        "bullmq.mjs",
        line="bull:bench:wait",
        packages=("bullmq@6", "ioredis@6"),
        rest=("bull:bench:active", "bull:bench:failed", "bull:bench:stalled"),
        modes=("bulk", "flight", "single"),
    ),
    Program(
        "dramatiq",
        "dramatiq_peer.py",
        line="dramatiq:bench",
        packages=("dramatiq[redis] >= 2, < 3", "hiredis"),
        rest=("dramatiq:bench.msgs", "dramatiq:__acks__*"),
        share=0.3,
    ),
    Program(
        "arq",
        "arq_peer.py",
        line="arq:bench",
        packages=("arq >= 0.26, < 1",),
        rest=("arq:job:*", "arq:in-progress:*", "arq:retry:*"),
        share=0.05,
    ),
    Program(
        "taskiq",
        "taskiq_peer.py",
        line="taskiq:bench",
        packages=("taskiq >= 0.12, < 1", "taskiq-redis >= 1.2, < 2", "hiredis"),
        share=0.06,
    ),
    Program(
        "celery",
        "celery_peer.py",
        line="celery:bench",
        packages=("celery[redis] >= 5.5, < 6", "hiredis"),
        rest=("unacked*",),
        share=0.06,
        modes=("single", "flight"),
    ),
    Program(
        "rq",
        "rq_peer.py",
        line="rq:queue:bench",
        packages=("rq >= 2, < 4", "redis < 6", "hiredis"),
        rest=("rq:wip:*", "rq:intermediate:*", "rq:failed:*", "rq:job:*"),
        share=0.03,
        modes=("bulk", "flight", "single"),
        concurrencies=(1,),
    ),
]
