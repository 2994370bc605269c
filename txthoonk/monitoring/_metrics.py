"""The services ``Metrics`` and ``MetricsService``; see :mod:`txthoonk.metrics`."""

from __future__ import annotations

try:
    from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
except ImportError as error:
    raise ImportError(
        "txthoonk.metrics needs prometheus_client: run pip install 'txthoonk[metrics]'"
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

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk.errors import InvalidInput, InvalidType, ResponseError, ThoonkError, shown
from txthoonk.monitoring._collectors import MEASURED, ConnectionMeasures, FeedMeasures, JobMeasures
from txthoonk.monitoring._inspector import FeedNames, Overview, read_overviews
from txthoonk.service import Thoonk
from txthoonk.wire._checks import check_interval
from txthoonk.worker import Worker

__all__ = ["Metrics", "MetricsService"]

REMEMBERED = 30  # readings after which the type of a feed without metrics is read again
MOST = 2000  # feeds in one reading; if there are more, those whose last reading is longest ago
PAGES = 100  # of names of feeds in one reading


class Metrics(Service):
    """Collects the metrics of a :class:`~txthoonk.service.Thoonk` and its workers.

    Use it if your program already serves a registry; otherwise use :class:`MetricsService`, which
    serves a page.

    :ivar registry: the registry that has the metrics.
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
        """Make the metrics; start the service to collect them.

        :param thoonk: the service whose connections and feeds to measure.
        :param workers: the workers of this process, on feeds of *thoonk*: only these feeds are
            read.  Without workers, all feeds of type job, queue and pyqueue are read, including
            feeds that are created later.
        :param registry: the registry for the metrics; None: a new one.  A registry can have the
            metrics of only one Thoonk.
        :param interval: the seconds between two readings of the feeds.
        :param reactor: None: that of *thoonk*.
        :raises InvalidInput: if the interval is 0.
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
        # In the order of their last reading, the oldest first.
        self._measured: dict[str, None] = {}
        self._others: dict[str, None] = {}
        self._credit = 0  # grows by the number of the others; REMEMBERED of it pay for one reading
        self._unread: set[str] = set()

    # -- the service ------------------------------------------------------------------

    def startService(self) -> None:
        """Start to count events and to read the feeds."""
        if self.running:
            return
        super().startService()  # type: ignore[no-untyped-call]
        self._jobs.begin()
        self._connections.begin()
        self._thoonk.add_state_observer(self._state_changed)
        self._begin()

    def stopService(self) -> Deferred[None]:
        """Stop counting and reading; the counts stay.

        :return: fires None at once.
        """
        if self.running:
            super().stopService()  # type: ignore[no-untyped-call]
            self._thoonk.remove_state_observer(self._state_changed)
            self._jobs.end()
            self._stop_timer()
            reading, self._reading = self._reading, None
            if reading is not None:
                reading.cancel()
        return succeed(None)

    def sample(self) -> None:
        """Set the gauges of running jobs and connections.

        Call it in the reactor's thread before you serve the registry; it is cheap.  Every reading
        of the feeds calls it, and so does the page of :class:`MetricsService` for each request.
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
            self._log.warn("cannot read the feeds: {error}", error=reason.getErrorMessage())
        else:
            self._log.failure("cannot read the feeds", reason)

    async def _read(self) -> None:
        if self._thoonk.state != "connected":  # calls would only wait in the offline queue
            self._feeds.overviews = {}
            self._up.set(0)
            return
        names = self._jobs.feeds or await self._some_names()
        found, failed = await read_overviews(self._thoonk.redis, sorted(names), most=0)
        self._log_failures(failed)
        if not self._jobs.feeds:
            found = self._sorted_out(names, found)
        self._feeds.overviews = found
        self._up.set(not failed)

    async def _some_names(self) -> list[str]:
        """Return the feeds to read: measured ones, new ones, and some whose type may change."""
        unknown = await self._unknown_names()
        again, self._credit = divmod(self._credit + len(self._others), REMEMBERED)
        others = itertools.islice(self._others, min(again, MOST))
        return [*itertools.islice(self._measured, MOST), *unknown, *others]

    async def _unknown_names(self) -> list[str]:
        """Return names of feeds that were never read, from where the last scan ended."""
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
        """Note which of the feeds are measured; return all known states of measured feeds."""
        for name in asked:
            self._measured.pop(name, None)
            self._others.pop(name, None)
        for name, one in found.items():
            (self._measured if one.type in MEASURED else self._others)[name] = None
        known = {**self._feeds.overviews, **found}
        return {name: one for name, one in known.items() if name in self._measured}

    def _log_failures(self, failed: dict[str, ResponseError]) -> None:
        for name in failed.keys() - self._unread:
            self._log.warn("cannot read feed {name!r}: {error}", name=name, error=failed[name])
        self._unread = set(failed)


def _checked(workers: Iterable[Worker] | Worker) -> tuple[Worker, ...]:
    checked = []
    for worker in [workers] if isinstance(workers, Worker) else workers:
        if not isinstance(worker, Worker):
            raise InvalidType(f"workers= takes Worker objects, not {shown(worker)}")
        checked.append(worker)
    return tuple(checked)


class MetricsService(Service):
    """Serves the metrics to Prometheus at ``/metrics``.

    A thread of the reactor's thread pool makes the page.  If handlers that run in threads occupy
    the whole pool, the page waits for one of them.

    :ivar metrics: the :class:`Metrics`; its registry also has CPU and memory of this process.
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
        """Make the service; start it to listen.

        :param thoonk: see :class:`Metrics`.
        :param workers: see :class:`Metrics`.
        :param port: the TCP port to listen on; 0: any free port.
        :param interface: the address to listen on; ``""``: all IPv4 addresses, ``"::"``: all
            addresses.  Every client that can connect can read the names of the feeds.
        :param reactor: listens and schedules; None: that of *thoonk*.
        :raises InvalidInput: if *port* is not a port number.
        """
        if type(port) is not int or not 0 <= port <= 65535:
            raise InvalidInput(f"port must be a whole number from 0 to 65535, not {shown(port)}")
        self.metrics = Metrics(thoonk, workers, reactor=cast("IReactorTime | None", reactor))
        ProcessCollector(registry=self.metrics.registry)
        self._reactor: Any = reactor or thoonk.waiting_room.reactor
        self._where = (port, interface)
        self._port: IListeningPort | None = None
        self._factory: WrappingFactory | None = None

    @property
    def address(self) -> Any:
        """The address that it listens on (Twisted's IAddress); None if it does not listen."""
        return None if self._port is None else self._port.getHost()

    def startService(self) -> None:
        """Listen, and start the metrics.

        :raises CannotListenError: if the port is in use.
        """
        if self.running:
            return
        port, interface = self._where
        factory = self._factory = WrappingFactory(_site(self.metrics))
        factory.noisy = False
        self._port = self._reactor.listenTCP(port, factory, interface=interface)
        super().startService()  # type: ignore[no-untyped-call]
        self._log.info("serving metrics at {address}, /metrics", address=self.address)
        self.metrics.startService()

    def stopService(self) -> Deferred[None]:
        """Stop the metrics, and close the port and its connections.

        :return: fires None once the port is closed.
        """
        if not self.running:
            return succeed(None)
        super().stopService()  # type: ignore[no-untyped-call]
        return AwaitableDeferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self._port = self._port, None
        factory, self._factory = self._factory, None
        await self.metrics.stopService()
        await maybeDeferred(cast(IListeningPort, port).stopListening)
        for connection in list(cast(WrappingFactory, factory).protocols):
            connection.transport.abortConnection()


class _Fresh(Resource):
    """A page that sets the gauges before it is rendered."""

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
        """Log nothing: Prometheus sends a request every few seconds."""


def _site(metrics: Metrics) -> Site:
    # Importing this installs a reactor, so do it only after the program has chosen one.
    from prometheus_client.twisted import MetricsResource

    page: IResource = MetricsResource(metrics.registry)  # type: ignore[no-untyped-call]
    root = Resource()
    root.putChild(b"metrics", _Fresh(metrics, page))
    return _Site(root)  # type: ignore[no-untyped-call]
