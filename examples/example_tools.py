"""What the examples share: Redis by its URL, feeds opened quietly, a clean Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.application.internet import ClientService
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    FirstError,
    gatherResults,
    succeed,
)
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater, react
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from txthoonk import (
    Feed,
    FeedDoesNotExist,
    ThoonkError,
    ThoonkPub,
    ThoonkPubFactory,
    ThoonkSub,
    ThoonkSubFactory,
)
from txthoonk._url import parse_url
from txthoonk.testing import RedisServer

DEFAULT_URL = "embedded:"
URL_HELP = (
    "redis://[user:password@]host:port/db, unix:///socket?db=N, embedded:/folder for a private "
    "server that keeps its data there, or embedded: for one that leaves nothing behind (default)"
)


@implementer(IStreamClientEndpoint)
class RedisAt:
    """The Redis that a URL names, as an endpoint; ``embedded:`` starts one.

    :ivar credentials: what the factories of publishers and subscribers take.
    :ivar server: the private server of an ``embedded:`` URL, else None.
    """

    def __init__(self, url: str, reactor: Any) -> None:
        self._target = target = parse_url(url)
        self._reactor = reactor
        self._close: list[Callable[[], Deferred[None]]] = []
        self.credentials = target.credentials
        self.server = (
            RedisServer(target.path or None, reactor=reactor) if target.embedded else None
        )

    @property
    def url(self) -> str:
        """Where others find this Redis (without the password); known once connected."""
        return self.server.url if self.server else self._target.text

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect, to a private server after it was started."""
        if self.server is None:
            return self._target.endpoint(self._reactor).connect(factory)
        started = self.server.start()  # fires at once if it runs already
        return started.addCallback(lambda server: server.endpoint().connect(factory))

    async def publisher(self) -> ThoonkPub:
        """Connect a publisher, which is closed when the ``async with`` block ends."""
        pub: ThoonkPub = await self.connect(ThoonkPubFactory(**self.credentials))
        self._close.append(pub.close)
        return pub

    async def subscriber(self) -> ThoonkSub:
        """Connect a subscriber, which is closed when the ``async with`` block ends."""
        sub: ThoonkSub = await self.connect(ThoonkSubFactory(**self.credentials))
        self._close.append(sub.close)
        return sub

    async def lasting_publisher(self) -> Any:
        """Connect a publisher that connects again, with its feeds, when it has to."""
        factory = ThoonkPubFactory(**self.credentials)
        client = ClientService(self, factory, clock=self._reactor)
        self._close.append(client.stopService)
        client.startService()
        return await client.whenConnected(failAfterFailures=1)

    def stop(self) -> Deferred[None]:
        """Stop the private server, if there is one."""
        return self.server.stop() if self.server else succeed(None)

    async def __aenter__(self) -> RedisAt:
        return self

    async def __aexit__(self, *_: object) -> None:
        # A ClientService cannot be stopped from within its own answer that it failed.
        await deferLater(self._reactor, 0)
        for close in self._close:
            await close()
        await self.stop()


async def open_feed(pub: ThoonkPub, name: str, **config: str | int) -> Feed:
    """Open a feed, and announce its configuration only if that is not what it has."""
    try:
        stored: Mapping[str, str] = await pub.get_config(name)
    except FeedDoesNotExist:
        stored = {}
    changes = {field: value for field, value in config.items() if stored.get(field) != str(value)}
    return await pub.feed(name, changes)


async def together(*coroutines: Coroutine[Any, Any, Any]) -> None:
    """Run coroutines side by side, to the end of all or the failure of one.

    Cancelling it, and a failure, cancels those that still run, and waits for their ends.
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
    """Make a parser of the command line, with ``--url``; *text* is the module's docstring."""
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
    """Run ``main(reactor, options)`` to its end, and then exit.

    Ctrl-C cancels it: its ``finally`` and ``async with`` blocks run before the exit.

    :param talkative: the loggers whose information is shown; of all others, warnings.
    """
    levels = LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)
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
    """Cancel *running*; what it returns fires once that has ended."""
    ended: Deferred[None] = Deferred()

    def pass_on(result: Any) -> Any:
        ended.callback(None)
        return result

    running.addBoth(pass_on)
    running.cancel()
    return ended


def _explain(failure: Failure) -> None:
    """End quietly on Ctrl-C, with one line where the user can do something about it."""
    if failure.check(CancelledError):
        return
    failure.trap(ThoonkError, ConnectError, DNSLookupError, OSError)
    raise SystemExit(f"error: {failure.getErrorMessage()}")
