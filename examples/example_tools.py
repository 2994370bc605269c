"""Code that the examples share: connecting by URL, opening feeds, and a clean Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    FirstError,
    gatherResults,
)
from twisted.internet.task import react
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from txthoonk import Feed, FeedDoesNotExist, Thoonk, ThoonkError

DEFAULT_URL = "embedded:"
URL_HELP = (
    "redis://[user:password@]host:port/db, rediss:// for TLS, unix:///socket?db=N, "
    "embedded:/folder for a private server that keeps its data there, or embedded: for one "
    "that keeps no data (default)"
)


@asynccontextmanager
async def connected(url: str, reactor: Any) -> AsyncIterator[Thoonk]:
    """Connect to the Redis of a URL, and close everything when the block ends."""
    thoonk = Thoonk(url, reactor, state_changed=Outages())
    await thoonk.connect()
    try:
        yield thoonk
    finally:
        await thoonk.close()


class Outages:
    """Prints when Redis is unavailable, and when it is available again."""

    def __init__(self) -> None:
        self._away = False

    def __call__(self, state: str, reason: BaseException | None) -> None:
        if state == "disconnected":
            self._away = True
            print(f"Redis is away: {reason}", file=sys.stderr, flush=True)
        elif state == "connected" and self._away:
            self._away = False
            print("Redis is back", file=sys.stderr, flush=True)


async def open_feed(thoonk: Thoonk, name: str, **config: str | int) -> Feed:
    """Open a feed, and set its configuration only if it differs."""
    try:
        stored: Mapping[str, str] = await thoonk.get_config(name)
    except FeedDoesNotExist:
        stored = {}
    changes = {field: value for field, value in config.items() if stored.get(field) != str(value)}
    return await thoonk.feed(name, changes)


async def together(*coroutines: Coroutine[Any, Any, Any]) -> None:
    """Run coroutines concurrently, until all have ended or one has failed.

    A failure, or cancelling this, cancels the coroutines that still run, and waits for them.
    """
    running = [Deferred.fromCoroutine(coroutine) for coroutine in coroutines]
    try:
        await gatherResults(running, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
    finally:
        for one in running:
            one.cancel()
        await DeferredList(running, consumeErrors=True)


def parser(text: str | None) -> argparse.ArgumentParser:
    """Make a command line parser with ``--url``; *text* is the module's docstring."""
    made = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--url", default=DEFAULT_URL, help=URL_HELP)
    return made


def run(
    main: Callable[[Any, argparse.Namespace], Coroutine[Any, Any, None]],
    options: argparse.Namespace,
    talkative: tuple[str, ...] = (),
) -> None:
    """Run ``main(reactor, options)``, then exit.

    Ctrl-C cancels it: its ``finally`` and ``async with`` blocks run before the exit.

    :param talkative: the loggers whose messages of level info are shown; others show warnings.
    """
    levels = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)
    levels.setLogLevelForNamespace("txthoonk", LogLevel.error)  # Outages prints these
    for namespace in talkative:
        levels.setLogLevelForNamespace(namespace, LogLevel.info)
    shown = FilteringLogObserver(textFileLogObserver(sys.stderr), [levels])
    globalLogBeginner.beginLoggingTo([shown], redirectStandardIO=False)

    def start(reactor: Any) -> Deferred[None]:
        running = Deferred.fromCoroutine(main(reactor, options))
        reactor.addSystemEventTrigger("before", "shutdown", _cancel, running)
        return running.addErrback(_explain)

    react(start)


def _cancel(running: Deferred[None]) -> Deferred[None]:
    """Cancel *running*; return a Deferred that fires once it has ended."""
    ended: Deferred[None] = Deferred()

    def pass_on(result: Any) -> Any:
        ended.callback(None)
        return result

    running.addBoth(pass_on)
    running.cancel()
    return ended


def _explain(failure: Failure) -> None:
    """Exit silently after Ctrl-C, and with one line after an error that the user can fix."""
    if failure.check(CancelledError):
        return
    failure.trap(ThoonkError, OSError)
    raise SystemExit(f"error: {failure.getErrorMessage()}")
