"""The supervisor of a private redis-server: a small program that runs in its own process.

:mod:`txthoonk.embedded._server` runs this file with ``python -I -S``, so it can import only the
standard library.  It runs redis-server as its child, and ends it as soon as the owner is gone (the
program that started it), however that died.  It notices by its standard input: a pipe whose other
end only the owner has, and which the kernel closes when the owner ends.

Files in the server's folder: ``server.lock`` is locked while the server runs, because two servers
would destroy each other's files; ``server.json`` says how to reach the server; ``redis.log`` has
the log of both programs.  They are trusted only if no other user of the machine can have written
them: see :func:`make_folder`.

Usage: ``_supervisor.py OPTIONS EXECUTABLE ARGUMENT...``, where OPTIONS is the JSON of
:class:`Options`.  The exit status is that of redis-server, 128 + n if signal n ended it, and
:data:`LOCKED` if another program uses the folder.
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
ADDRESS = "127.0.0.1"  # of a TCP port
KILL = b"K"  # on standard input: send SIGKILL to redis-server now
LOCKED = 75  # exit status, EX_TEMPFAIL of sysexits.h
LOCK_FILE = "server.lock"
STATE_FILE = "server.json"
SOCKET_PATH_LIMIT = 100  # bytes; Linux allows 107, macOS 103
STOP_TIMEOUT = 10.0  # seconds from SIGTERM to SIGKILL

_CONTROL = 0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class State(NamedTuple):
    """How to reach the server of a folder; :data:`STATE_FILE` has it as JSON.

    ``port`` is 0 if the server listens on its socket only.
    """

    token: str
    pid: int
    socket: str
    port: int


class Options(NamedTuple):
    """The options of this program.

    ``token`` is copied to :class:`State`.  A ``temporary`` folder is removed when the server ends.
    ``port`` is 0 for a socket only, and ANY_PORT for any free TCP port.
    """

    folder: str
    temporary: bool
    token: str
    socket: str
    port: int


class Untrusted(Exception):
    """Another user of the machine can change a file or folder; the text names it."""


def make_folder(path: str) -> None:
    """Make a folder that only this user can enter, or check the one that exists.

    An existing folder, and the files in it, must belong to this user, and no other user may be
    able to write to the folder.  Folders above it, and links, may also belong to root.  If others
    can write to one of those, as in ``/tmp``, it must have the sticky bit, so that no other user
    can replace our folder.

    :param path: an absolute path.
    :raises Untrusted: if the folder is another user's, or another user can change it.
    """
    _make_missing(path)
    _check_folder(path)
    with os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # a running server may remove files
                _check_owner(entry.path, entry.stat(follow_symlinks=False), _trusted())


def check_socket(path: str) -> None:
    """Refuse a socket that another user may have created.

    :raises Untrusted: if the socket, or its folder, is another user's.
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
    # Some containers show root's files, and "/" too, as files of an unmapped user.
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
            f"{path} can be written by others (mode {mode:04o}): check that no other user has "
            "put files there, then chmod go-w it"
        )


def _check_above(path: str) -> None:
    """Refuse a folder in which another user can replace files of this user."""
    status = os.lstat(path)
    _check_owner(path, status, _trusted())
    mode = stat.S_IMODE(status.st_mode)
    # Many systems give each user a private group, which no other user is in.
    shared = mode & 0o002 or (mode & 0o020 and status.st_gid not in (0, os.getegid()))
    if shared and not mode & stat.S_ISVTX and not stat.S_ISLNK(status.st_mode):
        raise Untrusted(
            f"{path} can be written by others (mode {mode:04o}), who can replace the folders in "
            "it: choose a folder of your own, or chmod go-w this one"
        )


def _open_ours(path: str, flags: int) -> int:
    """Open a file; refuse links, and files that another user can have written."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Untrusted(f"{path} is a link, which is not allowed here: remove it") from None
        raise
    try:
        _check_ours(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def private_name(parent: str) -> str:
    """Return a new path for :func:`make_folder`, in a folder that users share."""
    return os.path.join(parent, f"txthoonk-{os.urandom(6).hex()}")


def socket_path(folder: str, shared: str) -> str:
    """Choose the socket of the server of a folder: in that folder, if the path is short enough.

    :param shared: the folder for temporary files.  If *folder* is too long, the socket is in a
        private folder in *shared*, or in ``/tmp`` if that path is too long, too.
    """
    for parent in (folder, private_name(shared), private_name("/tmp")):
        path = os.path.join(parent, "redis.sock")
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
            break
    return path


def read_state(folder: str, token: str | None = None) -> State | None:
    """Read how to reach the server of a folder; None if there is none (yet).

    :param token: the token of a run, to ignore the server of any other; None for any.
    :raises Untrusted: if another user can have written the file.
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

    :param start: the first byte of the file to read.
    :param limit: the most bytes to read.
    """
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as log:
        log.seek(max(start, os.fstat(log.fileno()).st_size - limit))
        return log.read().decode(errors="replace").strip()
    return ""


def _server_options(options: Options) -> list[str]:
    """Make the options of redis-server that come before the user's own."""
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
    """Lock the folder; return the open file that holds the lock, None if another has it."""
    import fcntl  # not on Windows, where this module is imported, too

    lock = _open_ours(os.path.join(folder, LOCK_FILE), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _refuse_older_server(folder: str, executable: str) -> None:
    """Exit if Redis 7 wrote the data and the server is older.

    Redis 6.2 ignores ``appendonlydir``: it would start without the data, and everything written
    then would be missing after the next upgrade.
    """
    if not os.path.isdir(os.path.join(folder, "appendonlydir")):
        return
    asked = subprocess.run([executable, "--version"], check=False, stdout=subprocess.PIPE)
    major = asked.stdout.partition(b"v=")[2].partition(b".")[0]
    if major.isdigit() and int(major) < 7:
        sys.exit(
            f"Redis 7 or newer wrote the data in {folder}, but {executable} is version "
            f"{major.decode()}: use a newer redis-server"
        )


def _dies_with(parent: int) -> Callable[[], None] | None:
    """Return a function that ends a new child when the process ``parent`` ends.

    Only Linux has this.  On other systems, a supervisor that is killed leaves its redis-server
    running, which keeps the folder locked.
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
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)

    return tie


def _signal_pipe() -> int:
    """Turn the signals that we handle into bytes; return the file to read them from."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return read_end


def _write_state(options: Options, pid: int) -> None:
    """Write how to reach the server, and replace the file atomically."""
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
    """Make and remove the folder of the socket, unless it is the server's own folder."""
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

    :ivar abandoned: whether the owner has released the server or ended.
    """

    def __init__(self, folder: str, child: subprocess.Popen[bytes], signals: int) -> None:
        self.abandoned = False
        self._folder = folder
        self._child = child
        self._signals = signals
        self._files = [_CONTROL, signals]
        self._deadline: float | None = None

    def run(self) -> int:
        """Wait until redis-server has ended; return its status as a shell gives it."""
        while self._child.poll() is None:
            for file in select.select(self._files, [], [], self._time_left())[0]:
                self._read(file)
            if self._time_left() == 0:
                self._child.kill()
                self._deadline = None
        # The owner may have released it in the moment in which redis-server ended.
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
            # A service manager signals all processes of a service at once. If we died
            # of the signal, redis-server would be killed before it has shut down properly.
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
            # Remove the state first, so that no program joins a server that is about to end.
            _remove_state(self._folder)
            self._child.terminate()
            self._deadline = time.monotonic() + STOP_TIMEOUT


def _supervise(options: Options, command: list[str], lock: int) -> int:
    """Run redis-server until it ends, and clean up."""
    signals = _signal_pipe()
    # redis-server inherits the lock, so the folder stays locked if only this process is
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
    """Run the program; see the module.

    :param arguments: OPTIONS, EXECUTABLE and its arguments.
    :return: the exit status.
    """
    with contextlib.suppress(PermissionError):  # this process already leads a session
        # Ctrl-C, and a kill of the owner's process group, must not reach redis-server before
        # the owner has released it.
        os.setsid()
    options = Options(**json.loads(arguments[0]))
    executable, *extra = arguments[1:]
    lock = _locked(options.folder)
    if lock is None:
        return LOCKED
    _remove_state(options.folder)  # left by a supervisor that was killed
    if not options.temporary:
        _refuse_older_server(options.folder, executable)
    if options.port == ANY_PORT:
        options = options._replace(port=_free_port())
    command = [executable, *_server_options(options), *extra]
    with _socket_folder(options):
        return _supervise(options, command, lock)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
