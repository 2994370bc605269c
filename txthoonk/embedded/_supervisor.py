"""The supervisor of a private redis-server: a small program of its own.

:mod:`txthoonk.embedded._server` runs this file with ``python -I -S``; it may import
nothing outside the standard library.  It runs redis-server as its child, and ends it as
soon as the program that wanted it is gone, however that program died: its standard
input is a pipe whose other end only that program has, and the kernel closes that
end when the process ends.

What it has in the server's folder: ``server.lock``, locked while the server runs,
for two servers would destroy each other's files; ``server.json``, which says how to
reach the server; ``redis.log``, what both say.  All of that is believed only where no
other user of the machine can have put it there: see :func:`make_folder`.

Usage: ``_watchdog.py OPTIONS EXECUTABLE ARGUMENT...``, where OPTIONS is the JSON
of :class:`Options`.  The exit status is that of redis-server, 128 + n when
signal n ended it, and :data:`LOCKED` when another program uses the folder.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = [
    "ADDRESS",
    "ANY_PORT",
    "KILL",
    "LOCKED",
    "Options",
    "State",
    "Untrusted",
    "check_socket",
    "make_folder",
    "private_name",
    "read_state",
    "read_tail",
    "socket_path",
]

ANY_PORT = -1
ADDRESS = "127.0.0.1"  # where a TCP port is
KILL = b"K"  # on standard input: SIGKILL redis-server now
LOCKED = 75  # exit status, EX_TEMPFAIL of sysexits.h
LOCK_FILE = "server.lock"
STATE_FILE = "server.json"
SOCKET_PATH_LIMIT = 100  # bytes; Linux takes 107, macOS 103
STOP_TIMEOUT = 10.0  # seconds from SIGTERM to SIGKILL

_CONTROL = 0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class State(NamedTuple):
    """How to reach the server of a folder; :data:`STATE_FILE` has it as JSON.

    ``port`` is 0 where the server listens on its socket only.
    """

    token: str
    pid: int
    socket: str
    port: int


class Options(NamedTuple):
    """What the watchdog is told.

    ``token`` comes back in :class:`State`; nothing is kept in a ``temporary``
    folder, which goes when the server goes.  ``port`` is 0 for a socket only, and
    ANY_PORT for a TCP port that is free.
    """

    folder: str
    temporary: bool
    token: str
    socket: str
    port: int


class Untrusted(Exception):
    """Another user of the machine can change what only this user may; the text says what."""


def make_folder(path: str) -> None:
    """Make a folder that only this user can enter, or take the one that is there.

    What is there must belong to this user and be writable by no other one: the folder, and
    what is in it.  The folders above it, and links, may also belong to root; where others can
    write, as in ``/tmp``, they must have the sticky bit, so that nobody puts another folder in
    the place of ours.

    :param path: an absolute one.
    :raises Untrusted: it is another user's, or another user can change it.
    """
    _make_missing(path)
    _check_folder(path)
    with os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # a running server has removed it
                _check_owner(entry.path, entry.stat(follow_symlinks=False), _trusted())


def check_socket(path: str) -> None:
    """Refuse a socket that another user may have put there.

    :raises Untrusted: it is another user's, or in a folder that is.
    """
    _check_folder(os.path.dirname(path))
    _check_owner(path, os.lstat(path), {os.geteuid()})


def _check_folder(path: str) -> None:
    for above in {*_above(path), *_above(os.path.realpath(path))}:
        _check_above(above)
    _check_owner(path, os.lstat(path), _trusted())  # it may be a link
    _check_ours(path, os.stat(path))


def _make_missing(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        try:
            os.mkdir(path, 0o700)
        except FileNotFoundError:
            _make_missing(os.path.dirname(path))
            os.mkdir(path, 0o700)


def _above(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _trusted() -> set[int]:
    # In some containers root's files are shown as nobody's, "/" among them.
    return {os.geteuid(), 0, os.stat("/").st_uid}


def _check_owner(path: str, status: os.stat_result, owners: set[int]) -> None:
    if status.st_uid not in owners:
        raise Untrusted(
            f"{path} belongs to user {status.st_uid}, not to you (user {os.geteuid()}): choose a "
            "folder of your own, or chown this one"
        )


def _check_ours(path: str, status: os.stat_result) -> None:
    _check_owner(path, status, {os.geteuid()})
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o022:
        raise Untrusted(
            f"{path} can be written by others (mode {mode:04o}): chmod go-w it, unless another "
            "user has put files there"
        )


def _check_above(path: str) -> None:
    """Refuse a folder in which another user can replace what this user has there."""
    status = os.lstat(path)
    _check_owner(path, status, _trusted())
    mode = stat.S_IMODE(status.st_mode)
    # A group of this user's own is what many systems give to each user.
    shared = mode & 0o002 or (mode & 0o020 and status.st_gid not in (0, os.getegid()))
    if shared and not mode & stat.S_ISVTX and not stat.S_ISLNK(status.st_mode):
        raise Untrusted(
            f"{path} can be written by others (mode {mode:04o}), who can replace the folders in "
            "it: choose a folder of your own, or chmod go-w this one"
        )


def _open_ours(path: str, flags: int) -> int:
    """Open a file that only this user can have written, and that is no link."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Untrusted(f"{path} is a link, which it must not be: remove it") from None
        raise
    try:
        _check_ours(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def private_name(parent: str) -> str:
    """Make a new path for :func:`make_folder`, in a folder that all share."""
    return os.path.join(parent, f"txthoonk-{os.urandom(6).hex()}")


def socket_path(folder: str, shared: str) -> str:
    """Choose where the server of a folder listens: there, if its path is short enough.

    :param shared: the folder for temporary files, to have the socket in a private
        folder of its own; ``/tmp`` if that path is too long as well.
    """
    for parent in (folder, private_name(shared), private_name("/tmp")):
        path = os.path.join(parent, "redis.sock")
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
            break
    return path


def read_state(folder: str, token: str | None = None) -> State | None:
    """Read how to reach the server of a folder; None if there is none (yet).

    :param token: of the run that it must be of; None for any.
    :raises Untrusted: another user can have written it.
    """
    try:
        descriptor = _open_ours(os.path.join(folder, STATE_FILE), os.O_RDONLY)
        with open(descriptor, encoding="ascii") as file:
            state = State(**json.load(file))
    except FileNotFoundError:
        return None
    return state if token in (None, state.token) else None


def read_tail(path: str, start: int, limit: int) -> str:
    """Read the end of a log.

    :param start: where in the file it may begin, in bytes.
    :param limit: how much of it, in bytes.
    """
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as log:
        log.seek(max(start, os.fstat(log.fileno()).st_size - limit))
        return log.read().decode(errors="replace").strip()
    return ""


def _server_options(options: Options) -> list[str]:
    """Make the command line that redis-server gets before the user's own options."""
    settings = {
        "--bind": ADDRESS,
        "--port": str(options.port),
        "--unixsocket": options.socket,
        "--unixsocketperm": "700",
        "--dir": options.folder,
        "--save": "",
        "--appendonly": "no" if options.temporary else "yes",
    }
    return [word for setting in settings.items() for word in setting]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def _locked(folder: str) -> int | None:
    """Take the lock of the folder: the open file that holds it, or None."""
    import fcntl  # is not there on Windows, where this module is imported too

    lock = _open_ours(os.path.join(folder, LOCK_FILE), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _refuse_older_server(folder: str, executable: str) -> None:
    """Exit when the data were written by Redis 7 and the server is older.

    Redis 6.2 does not look into ``appendonlydir``: it would start without the
    data, and what is then written would be missing after the next upgrade.
    """
    if not os.path.isdir(os.path.join(folder, "appendonlydir")):
        return
    asked = subprocess.run([executable, "--version"], check=False, stdout=subprocess.PIPE)
    major = asked.stdout.partition(b"v=")[2].partition(b".")[0]
    if major.isdigit() and int(major) < 7:
        sys.exit(
            f"the data in {folder} were written by Redis 7 or newer, and {executable} is "
            f"version {major.decode()}: use a newer redis-server"
        )


def _dies_with(parent: int) -> Callable[[], None] | None:
    """Make the function that ties a new child to the process ``parent``.

    Only Linux has this.  Elsewhere a watchdog that is itself killed leaves its
    redis-server running (and the folder locked by it).
    """
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return tie


def _signal_pipe() -> int:
    """Turn the signals we act on into bytes: the file to read them from."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return read_end


def _write_state(options: Options, pid: int) -> None:
    """Say how to reach the server, in a file that is whole at any time."""
    path = os.path.join(options.folder, STATE_FILE)
    state = State(options.token, pid, options.socket, options.port)
    descriptor = _open_ours(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with open(descriptor, "w", encoding="ascii") as file:
        json.dump(state._asdict(), file)
    os.replace(path + ".new", path)


def _remove_state(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, STATE_FILE))


@contextlib.contextmanager
def _socket_folder(options: Options) -> Iterator[None]:
    """Have the folder of the socket, where that is not the server's own."""
    folder = os.path.dirname(options.socket)
    if folder == options.folder:
        yield
        return
    make_folder(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Supervisor:
    """One redis-server, from its start to its end.

    :ivar abandoned: the program that wanted the server let go of it.
    """

    def __init__(self, folder: str, child: subprocess.Popen[bytes], signals: int) -> None:
        self.abandoned = False
        self._folder = folder
        self._child = child
        self._signals = signals
        self._files = [_CONTROL, signals]
        self._deadline: float | None = None

    def run(self) -> int:
        """Wait until redis-server has ended; its status, as a shell has it."""
        while self._child.poll() is None:
            for file in select.select(self._files, [], [], self._time_left())[0]:
                self._read(file)
            if self._time_left() == 0:
                self._child.kill()
                self._deadline = None
        # The program may have let go in the moment in which redis-server ended.
        while _CONTROL in self._files and select.select([_CONTROL], [], [], 0)[0]:
            self._read(_CONTROL)
        status = self._child.returncode
        return status if status >= 0 else 128 - status

    def _time_left(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0, self._deadline - time.monotonic())

    def _read(self, file: int) -> None:
        data = os.read(file, 512)
        if file == self._signals:
            # A service manager ends all processes of a service at once; to die
            # of that here would cut off redis-server in its own orderly end.
            if set(data) - {signal.SIGCHLD}:
                self._terminate()
        elif KILL in data:
            self._child.kill()
        elif not data:
            self._files.remove(_CONTROL)
            self.abandoned = True
            self._terminate()

    def _terminate(self) -> None:
        if self._deadline is None:
            # First, so that nobody joins a server that is about to go.
            _remove_state(self._folder)
            self._child.terminate()
            self._deadline = time.monotonic() + STOP_TIMEOUT


def _supervise(options: Options, command: list[str], lock: int) -> int:
    """Run redis-server to its end, and clean up behind it."""
    signals = _signal_pipe()
    # redis-server inherits the lock: it holds even when only this process is
    # killed, and while a fork of redis-server still rewrites the files.
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=[lock],
            preexec_fn=_dies_with(os.getpid()),
        )
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error}")
    supervisor = _Supervisor(options.folder, child, signals)
    try:
        _write_state(options, child.pid)
        status = supervisor.run()
    finally:
        _remove_state(options.folder)
        child.kill()
        child.wait()
    if supervisor.abandoned and options.temporary:
        shutil.rmtree(options.folder, ignore_errors=True)
    return status


def main(arguments: list[str]) -> int:
    """Do what the module says.

    :param arguments: OPTIONS, EXECUTABLE and its arguments.
    """
    with contextlib.suppress(PermissionError):  # leads a session already
        # Ctrl-C in the terminal and a kill of the program's process group must
        # not reach redis-server before the program itself has let go of it.
        os.setsid()
    options = Options(**json.loads(arguments[0]))
    executable, *extra = arguments[1:]
    lock = _locked(options.folder)
    if lock is None:
        return LOCKED
    _remove_state(options.folder)  # of a watchdog that was killed
    if not options.temporary:
        _refuse_older_server(options.folder, executable)
    if options.port == ANY_PORT:
        options = options._replace(port=_free_port())
    command = [executable, *_server_options(options), *extra]
    with _socket_folder(options):
        return _supervise(options, command, lock)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
