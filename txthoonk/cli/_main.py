"""The ``thoonk`` command: parses its words, and runs the command that they name."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import click
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.task import react

from txthoonk import __version__
from txthoonk.cli import _feeds, _jobs
from txthoonk.cli._command import CONNECTION, HELP_NAMES, Call, Session, Where
from txthoonk.cli._common import CommandError
from txthoonk.cli._output import OutputError, drop_output, flush, prepare_streams, say
from txthoonk.cli._watch import watch
from txthoonk.cli.top._command import top
from txthoonk.connections._url import parse_url, without_passwords
from txthoonk.errors import ThoonkError
from txthoonk.testing import RedisServer

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
    commands=[*_feeds.COMMANDS, *_jobs.COMMANDS, top, watch],
    params=[*CONNECTION],
    context_settings=HELP_NAMES,
    no_args_is_help=False,
    subcommand_metavar="COMMAND ...",
    epilog="See 'thoonk COMMAND --help' for the arguments and examples of a command.",
)
click.version_option(__version__, message="txthoonk %(version)s")(thoonk)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: with 0 after success, else 1.

    The status is 2 after wrong usage, and 141 if the reader of standard output is gone.

    :param arguments: the words of the command line; None: those of the process.
    """
    prepare_streams()
    if os.environ.get(COMPLETION):
        thoonk.main(arguments, "thoonk", COMPLETION)
    parsed = _parsed(sys.argv[1:] if arguments is None else arguments)
    statuses: list[int] = []

    def run(reactor: Any) -> Deferred[None]:
        running = Deferred.fromCoroutine(_run(reactor, *parsed))
        ended = running.addCallback(statuses.append)

        def stop() -> Deferred[None]:
            ended.cancel()
            return ended

        # A signal stops the reactor; before it does, the command ends in an orderly way.
        reactor.addSystemEventTrigger("before", "shutdown", stop)
        return ended

    try:
        react(run, [])
    except SystemExit as end:
        sys.exit(statuses[0] if statuses else end.code)
    sys.exit(1)  # react always exits


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
    """Run one command; return its exit status."""
    url = ""
    try:
        url = where.read()
        async with _session(reactor, url, where.ca_file) as session:
            await call.run(session)
        flush()
    except CancelledError:
        return 0 if call.endless else INTERRUPTED
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
    say(f"thoonk: {' '.join(message.split())}")
    return 1


def _cannot_print(error: OutputError) -> int:
    drop_output()
    _complain(str(error))
    return error.status


@asynccontextmanager
async def _session(reactor: Any, url: str, ca_file: str | None) -> AsyncIterator[Session]:
    """Give a session on the server that the URL names; start it if it is an embedded one."""
    target = parse_url(url, ca_file=ca_file)
    if not target.embedded:
        yield Session(reactor, url, target, ca_file)
        return
    async with RedisServer(target.path or None, reactor=reactor) as server:
        yield Session(reactor, url, parse_url(server.url), ca_file)
