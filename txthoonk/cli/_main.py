"""The ``thoonk`` command: parses its words, and runs the command that they name."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import click
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.task import react
from twisted.python.failure import Failure

from txthoonk import __version__
from txthoonk.cli._command import CONNECTION, HELP_NAMES, Call, Session, Where
from txthoonk.cli._common import CommandError
from txthoonk.cli._ending import Ending
from txthoonk.cli._output import OutputError, coloured, drop_output, flush, prepare_streams, say
from txthoonk.cli.top._command import top
from txthoonk.cli.verbs import _feeds, _jobs, _sorted_feeds
from txthoonk.cli.verbs._import import import_
from txthoonk.cli.verbs._watch import watch
from txthoonk.connections.addresses._url import parse_url, without_passwords
from txthoonk.errors import ThoonkError
from txthoonk.testing import RedisServer
from txthoonk.wire._checks import check_interval

__all__ = ["main"]

INTERRUPTED = 130  # the exit status that shells expect after Ctrl-C
COMPLETION = "_THOONK_COMPLETE"  # the variable with which a shell asks what can come next


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Keep related commands together in the help."""
        return list(self.commands)


thoonk = _Group(
    "thoonk",
    help="Live feeds, queues and jobs on Redis.",
    commands=[
        *_feeds.COMMANDS,
        *_sorted_feeds.COMMANDS,
        *_jobs.COMMANDS,
        import_,
        top,
        watch,
    ],
    params=[*CONNECTION],
    context_settings=HELP_NAMES,
    no_args_is_help=False,
    subcommand_metavar="COMMAND ...",
    epilog="See 'thoonk COMMAND --help' for the arguments and examples of a command.",
)
click.version_option(__version__, message="txthoonk %(version)s")(thoonk)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: with 0 after success, else 1.

    The status is 2 after wrong usage, 141 if the reader of standard output is gone, and 128 plus
    the number of a signal that ended the command (130 for Ctrl-C, 143 for SIGTERM).

    :param arguments: the words of the command line; None: those of the process.
    """
    prepare_streams()
    ending = Ending()
    ending.handle_signals()
    if os.environ.get(COMPLETION):
        thoonk.main(arguments, "thoonk", COMPLETION)
    parsed = _parsed(sys.argv[1:] if arguments is None else arguments)
    statuses: list[int] = []

    def run(reactor: Any) -> Deferred[None]:
        running = Deferred.fromCoroutine(_run(reactor, *parsed))
        # When the reactor runs, it has installed its own handlers, which would only stop it.
        reactor.callWhenRunning(
            ending.handle_signals, lambda: reactor.callFromThread(running.cancel)
        )
        return running.addErrback(_interrupted, ending, parsed[1]).addCallback(end)

    def end(status: int) -> None:
        statuses.append(status)
        ending.end_soon(status)

    try:
        react(run, [])
    except SystemExit as ended:
        sys.exit(statuses[0] if statuses else ending.status(1 if ended.code else 0))
    sys.exit(1)  # react always exits


def _interrupted(failure: Failure, ending: Ending, call: Call) -> int:
    """Give the exit status of a command that a signal cancelled."""
    failure.trap(CancelledError)
    if call.endless and ending.signal == signal.SIGINT:
        return 0  # Ctrl-C is how one ends it
    return ending.status(INTERRUPTED)


def _parsed(arguments: Sequence[str]) -> tuple[Where, Call]:
    """Parse the words; exit if they are wrong, or ask for help or the version."""
    where = Where()
    try:
        with thoonk.make_context("thoonk", list(arguments), obj=where) as context:
            call: Call = thoonk.invoke(context)
            return where, call
    except click.exceptions.Exit as end:  # after --help and --version
        sys.exit(end.exit_code)
    except click.UsageError as error:
        _complain(without_passwords(_explained(error)))
        sys.exit(error.exit_code)
    except OSError as error:
        sys.exit(_cannot_print(OutputError(error)))


def _explained(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "thoonk"
    hint = f"see {path} --help"
    if isinstance(error, click.NoSuchOption):
        hint += ", or write -- before an argument that begins with a hyphen"
    return f"{error.format_message()} ({hint})"


async def _run(reactor: Any, where: Where, call: Call) -> int:
    """Run one command; return its exit status.

    :raises CancelledError: if it was cancelled.
    """
    url = ""
    try:
        url = where.read()
        timeout = check_interval(where.timeout, "--timeout")
        async with _session(reactor, url, where.ca_file, timeout) as session:
            await call.run(session)
        flush()
    except OutputError as error:
        return _cannot_print(error)
    except (ConnectError, DNSLookupError) as error:
        return _complain(
            f"cannot connect to {parse_url(url).text}: {error} "
            "(is Redis running? --url embedded:/folder needs none)"
        )
    except (CommandError, ThoonkError, OSError) as error:
        return _complain(str(error))
    return 0


def _complain(message: str) -> int:
    say(f"{coloured('thoonk:', 'red', sys.stderr)} {' '.join(message.split())}")
    return 1


def _cannot_print(error: OutputError) -> int:
    drop_output()
    _complain(str(error))
    return error.status


@asynccontextmanager
async def _session(
    reactor: Any, url: str, ca_file: str | None, timeout: float
) -> AsyncIterator[Session]:
    """Give a session on the server that the URL names; start it if it is an embedded one."""
    target = parse_url(url, ca_file=ca_file)
    if not target.embedded:
        yield Session(reactor, url, target, ca_file, timeout)
        return
    async with RedisServer(target.path or None, reactor=reactor) as server:
        yield Session(reactor, url, parse_url(server.url), ca_file, timeout)
