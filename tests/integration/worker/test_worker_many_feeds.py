"""A worker on many distant feeds runs each feed's jobs without needless calls."""

from __future__ import annotations

from typing import Any

from tests.support.proxy import Link, Proxy
from tests.support.service import reactor
from tests.support.waiting import until
from tests.support.worker import HOUR, Doing, WorkerTestCase
from txthoonk.consumers import _heartbeat
from txthoonk.consumers._deadlines import Timekeeper
from txthoonk.consumers._heartbeat import Renewal
from txthoonk.protocol._encoding import TEXT
from txthoonk.service import Thoonk
from txthoonk.types import Claim, Job
from txthoonk.worker._schedule import _LOOK, MOST_UNWATCHED

RENEWED = 2100  # feeds; four keys of each are more than Lua unpacks
EACH = 8  # script calls that one job of an idle feed may take, including looks for delayed jobs


class Scripts:
    """Counts the script calls of a publisher, and the feeds that it looked at."""

    def __init__(self, test: WorkerTestCase, thoonk: Any) -> None:
        self.names: list[str] = []
        self.looked = 0
        call = thoonk.redis.call

        def counted(script: Any, command: Any, encoding: Any) -> Any:
            self.names.append(script.name)
            if script is _LOOK:
                self.looked += command[2] // 2
            return call(script, command, encoding)

        test.patch(thoonk.redis, "call", counted)

    def of(self, name: str) -> int:
        """Return the number of calls of a script."""
        return self.names.count(name)


class ManyTestCase(WorkerTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.patch(_heartbeat, "LONGEST", HOUR)
        self.begun: list[str] = []

    def begin(self, claim: Claim) -> None:
        self.begun.append(claim.job.name)

    async def feeds(self, count: int) -> list[Job]:
        """Create job feeds."""
        return [await self.thoonk.job(f"f{number}", self.CONFIG) for number in range(count)]

    async def far(self, seconds: float) -> Thoonk:
        """Return a service whose calls take that long to the server and back."""
        proxy = Proxy(reactor, self.target.endpoint(reactor))
        self.addCleanup(proxy.stop)

        def opened(link: Link) -> None:
            if seconds:
                link.request.delay(seconds / 2)
                link.reply.delay(seconds / 2)

        proxy.opened = opened
        await proxy.start()
        thoonk = Thoonk(f"redis://127.0.0.1:{proxy.port}", reactor, **self.arguments())
        self.addCleanup(thoonk.close)
        return await thoonk.connect()


class FarTests(ManyTestCase):
    async def runs_all(self, count: int, seconds: float, concurrency: int) -> None:
        """Run a job of the last feed, then one of each feed; check the number of calls."""
        feeds = await self.feeds(count)
        far = await self.far(seconds)
        scripts = Scripts(self, far)
        names = [feed.name for feed in feeds]
        worker = self.work(self.begin, concurrency, names, thoonk=far)
        await self.blocked(count)
        asked = (scripts.looked, scripts.of("job/get"), scripts.of("job/finish"))
        self.assertEqual(asked, (count, count, 0))
        await self.quiet(scripts, far)
        await feeds[-1].put("item")
        await until(lambda: self.begun == names[-1:])
        await self.blocked(count)
        self.assertLessEqual(len(scripts.names), EACH, scripts.names)
        self.begun.clear()
        for feed in feeds:
            feed.put("item")
        await until(lambda: len(self.begun) == count)
        self.assertCountEqual(self.begun, names)
        await worker.stopService()

    async def quiet(self, scripts: Scripts, far: Thoonk) -> None:
        """Wait until all feeds are listened to; from then on no call is sent."""
        keepers = [
            one for one in far.waiting_room.outages.returning if isinstance(one, Timekeeper)
        ]
        await until(lambda: not far.waiting_room.subscriber.listening.difference(self.heard(far)))
        await until(lambda: all(map(self.is_quiet, keepers)))
        scripts.names.clear()
        await self.rounds()
        await far.redis.ping()
        self.assertEqual((scripts.names, scripts.looked), ([], len(keepers)))

    def is_quiet(self, keeper: Any) -> bool:
        """Return whether nothing is due before a claim that is made now could expire."""
        timer = keeper._timer
        return keeper._looking is None and timer and timer.getTime() > reactor.seconds() + 9

    def heard(self, far: Thoonk) -> set[Any]:
        all_: set[Any] = far.waiting_room.subscriber.listening
        return {one for one in all_ if one._handlers}

    async def test_few_near(self) -> None:
        """Three feeds on the same machine are served, one job at a time."""
        await self.runs_all(3, 0, 1)

    async def test_few_far(self) -> None:
        """Three feeds, 50 milliseconds away, are served, one job at a time."""
        await self.runs_all(3, 0.05, 1)

    async def test_some(self) -> None:
        """Thirty feeds, 20 milliseconds away, are served."""
        await self.runs_all(30, 0.02, 10)

    async def test_many(self) -> None:
        """Two hundred feeds, 20 milliseconds away, are served."""
        await self.runs_all(200, 0.02, 10)


class FullTests(ManyTestCase):
    async def test_given_back(self) -> None:
        """A job that arrives at a full worker is left to others, and does not count as failed."""
        one, other = await self.feeds(2)
        doing, elsewhere = Doing(), Doing()
        self.work(doing, 1, [one, other])
        await self.blocked(2)
        await one.put("item", id_="a")
        await doing.begun(1)
        await other.put("item", id_="b")
        await self.comes_to(1, 0, 0, 0, job=other)
        self.work(elsewhere, 1, await (await self.service().connect()).job(other.name))
        await elsewhere.begun(1)
        self.assertEqual((elsewhere.ids, doing.ids), (["b"], ["a"]))
        self.assertEqual(elsewhere.claims[0].cancelled, 0)

    async def test_kept_for_oneself(self) -> None:
        """A job that arrives at a full worker begins there later if no other worker takes it."""
        one, other = await self.feeds(2)
        doing = Doing()
        self.work(doing, 1, [one, other])
        await self.blocked(2)
        await one.put("item", id_="a")
        await doing.begun(1)
        await other.put("item", id_="b")
        await self.comes_to(1, 0, 0, 0, job=other)
        self.assertEqual(await other.get_failure_count("b"), 0)
        doing.end()
        await doing.begun(2)
        doing.end()
        await self.comes_to(0, 0, 0, 1, job=other)

    async def test_long(self) -> None:
        """During a long job the worker stops watching; afterwards it serves all feeds again."""
        feeds = await self.feeds(2 * MOST_UNWATCHED)
        doing = Doing()
        self.work(doing, 1, feeds)
        await self.blocked(len(feeds))
        await feeds[0].put("item", id_="long")
        await doing.begun(1)
        await self.blocked(0)
        for number, feed in enumerate(feeds):
            await feed.put("item", id_=f"{number}")
        await self.rounds()
        self.assertEqual(doing.ids, ["long"])
        while len(doing.claims) <= len(feeds):
            begun = len(doing.claims)
            doing.end()
            await doing.begun(begun + 1)
        numbers = [str(number) for number in range(len(feeds))]
        self.assertCountEqual(doing.ids, ["long", *numbers])
        doing.end()
        await self.blocked(len(feeds))

    async def test_backlog(self) -> None:
        """Jobs of other feeds begin between the long jobs of a feed with a backlog."""
        feeds = await self.feeds(12)
        await feeds[0].put_many(["item"] * 100)
        doing = Doing()
        self.work(doing, 2, feeds)
        await doing.begun(2)
        for feed in feeds[1:]:
            await feed.put("item", id_=feed.name)
        while not {feed.name for feed in feeds[1:]} <= set(doing.ids):
            begun = len(doing.claims)
            self.assertLess(begun, 60)
            doing.end(next(iter(doing.going)))
            await doing.begun(begun + 1)


class LookTests(ManyTestCase):
    async def test_found(self) -> None:
        """A look finds feeds that have jobs and are not paused, and feeds that it cannot read."""
        feeds = await self.feeds(6)
        for feed in feeds[1:3]:
            await feed.put("item")
        await feeds[2].pause()
        await feeds[3].put("item")
        await feeds[3].pause()
        await feeds[3].resume()
        await self.raw.send("SET", feeds[4].feed_ids, "no list")
        await self.raw.send("DEL", feeds[5].feed_config)
        await self.raw.send("SET", feeds[5].feed_config, "no hash")
        await self.raw.send("LPUSH", feeds[5].feed_ids, "id")
        looked = _LOOK.bind_each()([feed.name for feed in feeds])
        found = await self.thoonk.redis.call(_LOOK, looked, TEXT)
        self.assertEqual(found, [1, 3, 4, 5])

    async def test_before_the_worker(self) -> None:
        """Jobs that were put before the worker began are run, in any of its feeds."""
        feeds = await self.feeds(20)
        for number in (3, 7, 19):
            await feeds[number].put_many(["item"] * 2)
        self.work(self.begin, 1, feeds)
        await until(lambda: len(self.begun) == 6)
        self.assertEqual(self.begun[:3], ["f3", "f7", "f19"])


class Held:
    """Claims of a feed that are renewed."""

    def __init__(self, job: Job, number: int, claims: list[Claim]) -> None:
        self.job = job
        self.number = number
        self._claims = claims
        self.learnt: list[float] = []

    def claims(self) -> list[Claim]:
        """Return the claims."""
        return self._claims

    def about(self) -> str:
        """Return an empty description."""
        return "{}"

    def lost(self, claim: Claim) -> None:
        """Fail: no claim is lost."""
        raise AssertionError(claim)

    def learn_timeout(self, seconds: float) -> None:
        """Record a timeout."""
        self.learnt.append(seconds)

    def gone(self) -> None:
        """Record that the feed does not exist, as no timeout."""
        self.learnt.append(0.0)


class RenewalTests(ManyTestCase):
    async def test_thousands(self) -> None:
        """Thousands of feeds are renewed; the only feed with claims comes first."""
        await self.put("a")
        claim = await self.job.get()
        await self.raw.send("ZADD", "feed.claimed:x", 1, "a")
        held = [Held(Job(self.thoonk, f"f{number}"), number, []) for number in range(RENEWED)]
        held.append(Held(self.job, RENEWED, [claim]))
        renewal: Any = Renewal(self.thoonk, reactor)
        for one in held:
            renewal.add(one)
        await until(lambda: all(one.learnt for one in held))
        ((_, score),) = await self.value("feed.claimed:x")
        self.assertTrue(score > await self.now() - HOUR * 1000)
        self.assertEqual([one.learnt for one in held], [[0.0]] * RENEWED + [[60.0]])
        for one in held:
            renewal.remove(one)
        await self.thoonk.redis.ping()

    async def test_one_script(self) -> None:
        """One script call accepts thousands of feeds."""
        held = [Held(Job(self.thoonk, f"f{number}"), number, []) for number in range(RENEWED)]
        renewal: Any = Renewal(self.thoonk, reactor)
        await renewal._call([(one, "{}", []) for one in held])
        self.assertEqual(self.texts(), [])
