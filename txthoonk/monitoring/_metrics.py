"""Metrics for Prometheus: of workers, of feeds and of the connections of a ``Thoonk``.

Counters count as things happen; feeds are read every some seconds; and what else there is to be
known is looked up when somebody asks.  Needs ``prometheus_client``: the extra ``metrics``.
"""

from __future__ import annotations

try:
    from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
except ImportError as error:
    raise ImportError(
        "txthoonk.metrics needs prometheus_client: pip install 'txthoonk[metrics]'"
    ) from error

import itertools
from collections.abc import Iterable
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTCP, IReactorTime
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from txthoonk.errors import InvalidInput, InvalidType, ResponseError, ThoonkError, shown
from txthoonk.monitoring._collectors import MEASURED, ConnectionMeasures, FeedMeasures, JobMeasures
from txthoonk.monitoring._inspector import FeedNames, Overview, read_overviews
from txthoonk.service import Thoonk
from txthoonk.wire._checks import check_interval
from txthoonk.worker import Worker

__all__ = ["Metrics", "MetricsService"]

REMEMBERED = 30  # readings for which a feed is known to be none of those that are measured
MOST = 2000  # feeds that are read in one reading; of more, those that were read longest ago
PAGES = 100  # of names of feeds that are looked through in one reading


class Metrics(Service):
    """Measures what a :class:`~txthoonk.service.Thoonk` and its workers do, while it runs.

    For those who show metrics already; :class:`MetricsService` has a page of its own.

    :ivar registry: where the metrics are.
    """

    _log = Logger()

    def __init__(
        self,
        thoonk: Thoonk,
        workers: Iterable[Worker] | Worker = (),
        registry: CollectorRegistry | None = None,
        interval: float = 10.0,
        reactor: IReactorTime | None = None,
    ) -> None:
        """Make the metrics; they begin to count when they are started.

        :param workers: what works on jobs here; their feeds must be those of *thoonk*.  Without
            any all feeds of type job, queue and pyqueue are read, also those created later.
        :param registry: where to put the metrics; None: a new one.  It takes those of one
            Thoonk.
        :param interval: seconds from one reading of the feeds to the next.
        :param reactor: None: that of *thoonk*.
        :raises InvalidInput: for an interval of 0.
        """
        self._thoonk = thoonk
        self._workers = _checked(workers)
        self._interval = check_interval(interval, "the interval of metrics")
        self._reactor: Any = reactor or thoonk.waiting_room.reactor
        self.registry = CollectorRegistry() if registry is None else registry
        self._jobs = JobMeasures(self.registry, self._workers)
        self._connections = ConnectionMeasures(self.registry, thoonk)
        self._feeds = FeedMeasures()
        self.registry.register(self._feeds)
        self._up = Gauge(
            "txthoonk_up", "Whether the feeds could be read last time.", registry=self.registry
        )
        self._timer: IDelayedCall | None = None
        self._reading: Deferred[None] | None = None
        self._names = FeedNames(thoonk.redis)
        self._seen: set[str] = set()
        # Those read longest ago come first.
        self._measured: dict[str, None] = {}
        self._others: dict[str, None] = {}
        self._credit = 0  # 1 / REMEMBERED of it is how many of the others to read again
        self._unread: set[str] = set()

    # -- the service ------------------------------------------------------------------

    def startService(self) -> None:
        """Begin to count, and to read the feeds."""
        if self.running:
            return
        super().startService()  # type: ignore[no-untyped-call]
        self._jobs.begin()
        self._connections.begin()
        self._thoonk._state_observers.append(self._state_changed)
        self._begin()

    def stopService(self) -> Deferred[None]:
        """Count and read no more; what was counted stays.

        :return: fires None at once.
        """
        if self.running:
            super().stopService()  # type: ignore[no-untyped-call]
            self._thoonk._state_observers.remove(self._state_changed)
            self._jobs.end()
            self._stop_timer()
            reading, self._reading = self._reading, None
            if reading is not None:
                reading.cancel()
        return succeed(None)

    def sample(self) -> None:
        """Look up what is not counted as it happens; cheap, and for the reactor's thread only.

        The page of :class:`MetricsService` does so for each answer, and every reading of the
        feeds, too.
        """
        self._jobs.sample()
        self._connections.sample()

    # -- reading the feeds ----------------------------------------------------------------

    def _state_changed(self, state: str, reason: BaseException | None) -> None:
        self._connections.state_changed(state)
        if state == "connected":
            self._begin()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _begin(self) -> None:
        self._stop_timer()
        self._timer = self._reactor.callLater(self._interval, self._begin)
        self.sample()
        if self._reading is None:
            reading = self._reading = Deferred.fromCoroutine(self._read())
            reading.addErrback(self._cannot_read).addBoth(self._ended, reading)

    def _ended(self, _: object, reading: Deferred[None]) -> None:
        if self._reading is reading:
            self._reading = None

    def _cannot_read(self, reason: Failure) -> None:
        if reason.check(CancelledError):
            return
        self._feeds.overviews = {}
        self._up.set(0)
        if reason.check(ThoonkError):
            self._log.warn("feeds cannot be measured: {error}", error=reason.getErrorMessage())
        else:
            self._log.failure("feeds cannot be measured", reason)

    async def _read(self) -> None:
        if self._thoonk.state != "connected":  # what is sent now would only wait
            self._feeds.overviews = {}
            self._up.set(0)
            return
        names = self._jobs.feeds or await self._some_names()
        found, failed = await read_overviews(self._thoonk.redis, sorted(names), most=0)
        self._tell_of_failures(failed)
        if not self._jobs.feeds:
            found = self._sorted_out(names, found)
        self._feeds.overviews = found
        self._up.set(not failed)

    async def _some_names(self) -> list[str]:
        """Give feeds to read: those that are measured, and those that may have to be."""
        unknown = await self._unknown_names()
        again, self._credit = divmod(self._credit + len(self._others), REMEMBERED)
        others = itertools.islice(self._others, min(again, MOST))
        return [*itertools.islice(self._measured, MOST), *unknown, *others]

    async def _unknown_names(self) -> list[str]:
        """Look through the registry, from where it was looked through to the last time."""
        unknown: dict[str, None] = {}
        for _ in range(PAGES):
            names = await self._names.page()
            self._seen.update(names)
            unknown |= dict.fromkeys(
                name for name in names if name not in self._measured and name not in self._others
            )
            if self._names.at_start:
                for known in (self._measured, self._others):
                    for name in known.keys() - self._seen:
                        del known[name]
                self._seen.clear()
            if self._names.at_start or len(unknown) >= MOST:
                break
        return list(unknown)

    def _sorted_out(self, asked: list[str], found: dict[str, Overview]) -> dict[str, Overview]:
        """Learn which feeds are measured; give all that is known of those."""
        for name in asked:
            self._measured.pop(name, None)
            self._others.pop(name, None)
        for name, one in found.items():
            (self._measured if one.type in MEASURED else self._others)[name] = None
        known = {**self._feeds.overviews, **found}
        return {name: one for name, one in known.items() if name in self._measured}

    def _tell_of_failures(self, failed: dict[str, ResponseError]) -> None:
        for name in failed.keys() - self._unread:
            self._log.warn(
                "feed {name!r} cannot be measured: {error}", name=name, error=failed[name]
            )
        self._unread = set(failed)


def _checked(workers: Iterable[Worker] | Worker) -> tuple[Worker, ...]:
    checked = (workers,) if isinstance(workers, Worker) else tuple(workers)
    for worker in checked:
        if not isinstance(worker, Worker):
            raise InvalidType(f"workers to measure must be of type Worker: {shown(worker)}")
    return checked


class MetricsService(Service):
    """Shows metrics to Prometheus, at ``/metrics``.

    :ivar metrics: what is shown, those of this process (CPU, memory) among them.

    The page is made in the reactor's thread pool: where that is full, of handlers that work in
    threads, it waits for one of them.
    """

    _log = Logger()

    def __init__(
        self,
        thoonk: Thoonk,
        workers: Iterable[Worker] | Worker = (),
        port: int = 8000,
        interface: str = "127.0.0.1",
        reactor: IReactorTCP | None = None,
    ) -> None:
        """Make the service; it listens when it is started.

        :param workers: see :class:`Metrics`.
        :param port: where to listen; 0: at any port that is free.
        :param interface: the address of the interface to listen at; ``""``: all of IPv4,
            ``"::"``: all.  Whoever can connect may read the names of the feeds.
        :param reactor: listens, and has the time; None: that of *thoonk*.
        :raises InvalidInput: for a number that is no port.
        """
        if type(port) is not int or not 0 <= port <= 65535:
            raise InvalidInput(f"a port must be a whole number from 0 to 65535: {shown(port)}")
        self.metrics = Metrics(thoonk, workers, reactor=cast("IReactorTime | None", reactor))
        ProcessCollector(registry=self.metrics.registry)
        self._reactor: Any = reactor or thoonk.waiting_room.reactor
        self._where = (port, interface)
        self._port: IListeningPort | None = None
        self._factory: WrappingFactory | None = None

    @property
    def address(self) -> Any:
        """Where it listens, as Twisted has addresses; None if it does not."""
        return None if self._port is None else self._port.getHost()

    def startService(self) -> None:
        """Listen, and begin to measure.

        :raises CannotListenError: if the port is in use.
        """
        if self.running:
            return
        port, interface = self._where
        factory = self._factory = WrappingFactory(_site(self.metrics))
        factory.noisy = False
        self._port = self._reactor.listenTCP(port, factory, interface=interface)
        super().startService()  # type: ignore[no-untyped-call]
        self._log.info("metrics at {address}, /metrics", address=self.address)
        self.metrics.startService()

    def stopService(self) -> Deferred[None]:
        """Measure no more, and close the port and the connections.

        :return: fires None once the port is closed.
        """
        if not self.running:
            return succeed(None)
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self._port = self._port, None
        factory, self._factory = self._factory, None
        await self.metrics.stopService()
        await maybeDeferred(cast(IListeningPort, port).stopListening)
        for connection in list(cast(WrappingFactory, factory).protocols):
            connection.transport.abortConnection()


class _Fresh(Resource):
    """A page before which some things are looked up."""

    isLeaf = True

    def __init__(self, metrics: Metrics, page: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._metrics = metrics
        self._page = page

    def render(self, request: Request) -> Any:
        self._metrics.sample()
        return self._page.render(request)


class _Site(Site):
    noisy = False

    def log(self, request: Any) -> None:
        """Be silent: somebody asks every few seconds."""


def _site(metrics: Metrics) -> Site:
    # It imports the reactor, which must have been chosen before.
    from prometheus_client.twisted import MetricsResource

    page: IResource = MetricsResource(metrics.registry)  # type: ignore[no-untyped-call]
    root = Resource()
    root.putChild(b"metrics", _Fresh(metrics, page))
    return _Site(root)  # type: ignore[no-untyped-call]
