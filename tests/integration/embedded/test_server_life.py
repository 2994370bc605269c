"""Private redis-servers: sharing a folder, ending with their program, and a clean reactor."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from tests.support.server import (
    PROGRAM,
    SUITE,
    ServerTestCase,
    alive,
    ask,
    reactor,
    shared,
    shared_pids,
)
from tests.support.waiting import until_ended, until_file
from txthoonk.embedded import _supervisor
from txthoonk.testing import ServerError


class SameFolderTests(ServerTestCase):
    async def test_join(self) -> None:
        """A second server object in a folder joins the first server, and does not stop it."""
        folder = self.mktemp()
        first, second = self.server(folder, port=0), self.server(folder)
        await first.start()
        await second.start()
        self.assertEqual((first.owned, second.owned), (True, False))
        self.assertEqual((second.pid, second.url), (first.pid, first.url))
        await ask(second, "SET", "key", "value")
        await self.assertFailure(second.kill(), ServerError)
        await second.stop()
        self.assertRaises(ServerError, lambda: second.url)
        self.assertEqual(await ask(first, "GET", "key"), "value")

    async def test_at_once(self) -> None:
        """Of several server objects that start at once, one starts a server; the others join."""
        folder = self.mktemp()
        servers = [self.server(folder) for _ in range(4)]
        await gatherResults([server.start() for server in servers])
        self.assertEqual(len({server.pid for server in servers}), 1)
        self.assertEqual([server.owned for server in servers].count(True), 1)

    async def test_other_goes_away(self) -> None:
        """A server object that starts while the first server ends waits, then starts its own."""
        folder = self.mktemp()
        first, second = self.server(folder), self.server(folder)
        await first.start()
        await ask(first, "SET", "key", "value")
        stopped = first.stop()
        # Without its state file the first server cannot be joined, but it still runs.
        state = os.path.join(folder, _supervisor.STATE_FILE)
        await until_file(state, lambda: not os.path.exists(state))
        await second.start()
        self.assertTrue(second.owned)
        self.assertTrue(stopped.called)
        self.assertEqual(await ask(second, "GET", "key"), "value")

    async def test_joined_is_gone(self) -> None:
        """start() starts a new server after the joined one has ended."""
        folder = self.mktemp()
        first, second = self.server(folder), self.server(folder)
        await first.start()
        await second.start()
        await first.stop()
        await second.start()
        self.assertTrue(second.owned)
        self.assertEqual(await ask(second, "PING"), "PONG")


class EndTests(ServerTestCase):
    """The server ends with the program that started it, however that program ends."""

    async def ends(self, ending: str, arguments: str = "") -> list[str]:
        """Run a program that starts a server; return the server's pid, folder and socket."""
        output = await self.run_python("-c", PROGRAM.format(ending=ending, arguments=arguments))
        said = output.split()
        self.assertEqual(len(said), 3, output)
        await until_ended(int(said[0]))
        return said

    async def test_sigkill(self) -> None:
        """SIGKILL of the program ends the server and removes the temporary folder."""
        _, folder, _ = await self.ends("os.kill(os.getpid(), signal.SIGKILL)")
        await until_file(folder, lambda: not os.path.exists(folder))

    async def test_sigkill_of_the_group(self) -> None:
        """SIGKILL of the program's whole process group ends the server, too."""
        ending = "os.setpgid(0, 0); os.killpg(0, signal.SIGKILL)"
        _, folder, _ = await self.ends(ending)
        await until_file(folder, lambda: not os.path.exists(folder))

    async def test_exit(self) -> None:
        """os._exit, which runs no clean-up, ends the server."""
        _, folder, _ = await self.ends("os._exit(0)")
        await until_file(folder, lambda: not os.path.exists(folder))

    async def test_reactor_stop(self) -> None:
        """The shutdown of the reactor waits for the end of the server."""
        ending = "reactor.addSystemEventTrigger('after', 'shutdown', lambda: os._exit(0))"
        _, folder, _ = await self.ends(f"{ending}; reactor.stop()")
        self.assertFalse(os.path.exists(folder))

    async def test_given_folder(self) -> None:
        """When the program is killed, a given folder stays, but a separate socket folder goes."""
        path = os.path.abspath(os.path.join(self.mktemp(), "x" * 100))
        _, _, socket = await self.ends("os.kill(os.getpid(), signal.SIGKILL)", repr(path))
        self.assertFalse(socket.startswith(path))
        folder = os.path.dirname(socket)
        await until_file(folder, lambda: not os.path.exists(folder))
        self.assertTrue(os.path.exists(os.path.join(path, "redis.log")))

    async def test_watchdog_killed(self) -> None:
        """On Linux, the server ends even when its watchdog is killed."""
        server = self.server(self.mktemp())
        await server.start()
        pid = server.pid
        ended = server._run.when_ended()
        watchdog: Any = server._run.transport
        watchdog.signalProcess("KILL")
        await ended
        await until_ended(pid)
        await server.start()
        self.assertEqual(await ask(server, "PING"), "PONG")

    if not sys.platform.startswith("linux"):
        test_watchdog_killed.skip = "only Linux ties a process to its parent"  # type: ignore[attr-defined]

    async def test_watchdog_terminated(self) -> None:
        """SIGTERM to the watchdog lets the server shut down in order."""
        server = self.server(self.mktemp())
        await server.start()
        ended = server._run.when_ended()
        watchdog: Any = server._run.transport
        watchdog.signalProcess("TERM")
        await ended
        self.assertEqual(server._run.status, 0)
        self.assertIn("ready to exit", Path(server.log).read_text())

    async def test_trial(self) -> None:
        """A server of a trial suite runs across test classes and ends with the run."""
        folder = self.mktemp()
        os.mkdir(folder)
        Path(folder, "test_suite.py").write_text(SUITE)
        temporary = os.path.join(folder, "trial")
        output = await self.run_python(
            "-m", "twisted.trial", "--temp-directory", temporary, f"{folder}/test_suite.py"
        )
        self.assertIn("PASSED (successes=2)", output)
        pid, path = Path(temporary, "server").read_text().splitlines()
        self.assertFalse(alive(int(pid)), "trial has not waited for the server's end")
        self.assertFalse(os.path.exists(path))


class ReactorTests(ServerTestCase):
    async def settled(self) -> None:
        """Wait until the reactor holds what it and trial add themselves."""
        await shared.start()  # the first process adds a waker, which stays
        await deferLater(reactor, 0)  # by now trial has set the test's timeout

    async def test_nothing_left(self) -> None:
        """Neither a started nor a stopped server leaves anything in the reactor."""
        await self.settled()
        before = self.held()
        server = self.server(port=0)
        await server.start()
        self.assertEqual(self.held(), before)
        await server.stop()
        self.assertEqual(self.held(), before)

    def held(self) -> tuple[set[Any], set[Any], set[Any]]:
        """Return what the reactor watches and waits for."""
        calls = set(reactor.getDelayedCalls())
        return set(reactor.getReaders()), set(reactor.getWriters()), calls

    async def test_no_files_left(self) -> None:
        """A running server holds one file open in this process, and a stopped one none."""
        await self.settled()
        files = "/dev/fd"
        before = len(os.listdir(files))
        server = self.server()
        await server.start()
        self.assertEqual(len(os.listdir(files)), before + 1)
        await server.stop()
        self.assertEqual(len(os.listdir(files)), before)

    async def test_no_trigger_left(self) -> None:
        """A stopped server has no trigger in the reactor's shutdown."""
        await self.settled()
        triggers = reactor._eventTriggers["shutdown"].before
        before = list(triggers)
        server = self.server()
        await server.start()
        self.assertEqual(len(triggers), len(before) + 1)
        await server.stop()
        self.assertEqual(triggers, before)


class SharedTests(ServerTestCase):
    async def test_in_one_class(self) -> None:
        """One server serves all classes, although trial checks what each test leaves."""
        await shared.start()
        shared_pids.add(shared.pid)
        self.assertEqual(len(shared_pids), 1)


class SharedAgainTests(SharedTests):
    """The same test in another class, with trial's check between the two."""
