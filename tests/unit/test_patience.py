"""Who waits across an outage, driven byte by byte: see the rooms of a service."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.wire import SCRIPTS, Connection, Endpoint, lose
from txthoonk._line import FRESH, TRIES
from txthoonk._patience import Health
from txthoonk._results import ATTEMPT, RENEWAL
from txthoonk._steady import SteadyRedis
from txthoonk._waiting import WaitingRoom
from txthoonk.client import ThoonkPub
from txthoonk.errors import ConnectionLost, Empty, FeedDoesNotExist, ResponseError
from txthoonk.protocol import Redis
from txthoonk.types import Job, Queue

HEALTH, REPLY = 25.0, 30.0  # seconds
GONE = ConnectionLost("the cable was cut")
UNBLOCK = [b"CLIENT", b"UNBLOCK", b"77"]
BLMOVE = [b"BLMOVE", b"feed.ids:q", b"feed.transit:q", b"RIGHT", b"LEFT", b"0"]
FINISH, FINISHES = b"job.finish:j", b"feed.finishes:j"


class Slow(Endpoint):
    """An endpoint that never connects, if told so."""

    slow = False
    attempts = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        self.attempts += 1
        return Deferred() if self.slow else super().connect(factory)


class PatienceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = Slow()
        self.steady = SteadyRedis(reactor=self.clock, name="there")
        self.pub = ThoonkPub(self.steady, self.clock, self.endpoint)
        self.room = self.pub.waiting_room = WaitingRoom(
            self.pub, self.clock, self.endpoint, patient=True, health=HEALTH, reply_timeout=REPLY
        )
        self.queue = Queue(self.pub, "q")
        self.job = Job(self.pub, "j")
        self.up()

    def up(self) -> None:
        """Do what the service does when the publisher has a connection."""
        redis = Redis()
        self.main = Connection(redis)
        redis._loaded.update(sha.decode() for sha in SCRIPTS)
        self.steady.connected(redis)
        self.room.resume()

    def down(self) -> None:
        """Do what the service does when the publisher's connection is lost."""
        self.steady.disconnected(GONE)
        self.room.lost(GONE)
        lose(self.main.protocol)

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.room.close())

    def asked(self, count: int, moved: bytes = b"") -> None:
        """Check that items were asked for, and nothing else."""
        self.assertEqual(self.main.sent(), [[b"queue/get", b"q", b"%d" % count, moved]])

    def waiting(self) -> Connection:
        """Answer that there are no items, and give the connection that the line waits on."""
        self.main.sent()
        self.main.answer([b"5.5"])
        connection = self.endpoint.connections[-1]
        if connection.sent() == [[b"CLIENT", b"ID"]]:
            connection.answer(77)
            self.assertEqual(connection.sent(), [BLMOVE])
        return connection

    def nothing_left(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.room.active, set())

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps, as it does."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)

    def leave(self, *waiting: Deferred[Any]) -> None:
        for each in waiting:
            each.cancel()
            self.failureResultOf(each, CancelledError)


class PublisherLostTests(PatienceTestCase):
    def test_asking(self) -> None:
        """Whoever asks when the connection is lost asks again on the next one."""
        first, second = self.queue.get(), self.queue.get()
        self.asked(1)
        self.down()
        self.pass_time(100)
        self.assertNoResult(first)
        self.up()
        self.asked(2)
        self.main.answer([b"5.5", b"a", b"A", b"b", b"B"])
        self.assertEqual(self.successResultOf(first), "A")
        self.assertEqual(self.successResultOf(second), "B")
        self.nothing_left()

    def test_during_the_outage(self) -> None:
        """A get that comes while there is no connection sends nothing, however long."""
        self.down()
        get = self.queue.get()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.up()
        self.asked(1)
        self.main.answer([b"5.5", b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")

    def test_waiting(self) -> None:
        """BLMOVE goes on; what it brings is taken as soon as there is a connection."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        waiting.answer(b"a")
        self.pass_time(FRESH - 1)
        self.up()
        self.asked(1, b"a")
        self.main.answer([b"5.5", b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")
        self.assertEqual(self.main.sent(), [[b"queue/delivered", b"a"]])

    def test_moved_and_asked(self) -> None:
        """What BLMOVE has brought is asked for again, if the answer to that was lost."""
        get = self.queue.get()
        self.waiting().answer(b"a")
        self.asked(1, b"a")
        self.down()
        self.up()
        self.asked(1, b"a")
        self.leave(get)

    def test_moved_long_ago(self) -> None:
        """But not later than maintenance may have put it back, and others taken it."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        waiting.answer(b"a")
        self.pass_time(FRESH + 1)
        self.up()
        self.asked(1)
        self.leave(get)

    def test_checked_when_it_is_back(self) -> None:
        """The outage may have ended the wait without a word: that is looked at at once."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        self.up()
        self.assertEqual(self.main.sent(), [UNBLOCK])
        self.main.answer(1)
        waiting.answer(None)
        self.asked(1)
        self.leave(get)

    def test_time_is_up(self) -> None:
        """A get's own time counts during the outage."""
        get = self.queue.get(5)
        self.down()
        self.clock.advance(4.9)
        self.assertNoResult(get)
        self.clock.advance(0.1)
        self.failureResultOf(get, Empty)
        self.nothing_left()

    def test_cancelled(self) -> None:
        """A get that is cancelled during the outage leaves nothing, nor its connection."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        self.leave(get)
        self.assertTrue(waiting.transport.disconnected)
        lose(waiting.protocol)
        self.nothing_left()
        self.up()
        self.assertEqual(self.main.sent(), [])

    def test_cancelled_with_an_id(self) -> None:
        """What BLMOVE has brought for it goes back to the front."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        waiting.answer(b"a")
        self.leave(get)
        self.nothing_left()
        self.up()
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b""]])

    def test_delivered(self) -> None:
        """What was delivered is said on the next connection, not queued on this one."""
        get = self.queue.get()
        self.main.answer([b"5.5", b"a", b"A"])
        self.successResultOf(get)
        self.down()
        self.pass_time(20)
        self.up()
        self.assertEqual(self.main.sent(), [[b"queue/delivered", b"a"]])

    def test_no_spinning(self) -> None:
        """A connection that is given up, but not gone yet, is not asked again and again."""
        get = self.queue.get()
        self.main.protocol._fail_all(ConnectionLost("nonsense received"))
        other = self.queue.get()
        self.assertNoResult(get)
        self.assertNoResult(other)
        self.down()
        self.up()
        self.asked(2)
        self.leave(get, other)

    def test_refused(self) -> None:
        """Other errors fail who waits."""
        gets = [self.queue.get(), self.queue.get()]
        self.main.answer(Exception("NOFEED feed 'q' does not exist"))
        for get in gets:
            self.failureResultOf(get, FeedDoesNotExist)
        self.nothing_left()


class WaitingConnectionLostTests(PatienceTestCase):
    def test_replaced(self) -> None:
        """The line asks, and waits on another connection, after a moment."""
        get = self.queue.get()
        lose(self.waiting().protocol)
        self.assertNoResult(get)
        self.assertEqual(self.main.sent(), [])
        self.clock.advance(0.1)
        self.asked(1)
        self.waiting()
        self.assertEqual(len(self.endpoint.connections), 2)
        self.leave(get)

    def test_back_off(self) -> None:
        """Where none can be had, attempts become rare; each of them asks."""
        self.endpoint.error = OSError("too many open files")
        get = self.queue.get()
        attempts = []
        for _ in range(4000):
            if self.main.sent():
                self.main.answer([b"5.5"])
                attempts.append(self.clock.seconds())
            self.clock.advance(0.05)
        gaps = [after - before for before, after in pairwise(attempts)]
        self.assertTrue(all(gap < 30.1 for gap in gaps), gaps)
        self.assertTrue(all(gap > 14.9 for gap in gaps[10:]), gaps)
        self.assertLess(gaps[0], 0.2)
        self.endpoint.error = None
        self.pass_time(31)
        self.waiting()
        self.leave(get)

    def test_get_during_back_off(self) -> None:
        """Who comes meanwhile takes what there is, and does not hasten the attempts."""
        self.endpoint.error = OSError("too many open files")
        first, second = self.queue.get(), self.queue.get()
        self.main.answer([b"5.5"])
        self.main.sent()
        third = self.queue.get()
        self.asked(3)
        self.main.answer([b"5.5", b"a", b"A"])
        self.assertEqual(self.successResultOf(first), "A")
        self.assertEqual(self.endpoint.attempts, 1)
        self.leave(second, third)
        self.nothing_left()

    def test_cancelled_during_back_off(self) -> None:
        """Nothing is left of a line for which nobody waits."""
        get = self.queue.get()
        lose(self.waiting().protocol)
        self.leave(get)
        self.nothing_left()

    def test_lost_with_the_publisher(self) -> None:
        """While the publisher has no connection, no attempt is made to wait."""
        get = self.queue.get()
        waiting = self.waiting()
        lose(waiting.protocol)
        self.down()
        self.pass_time(100)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.endpoint.connections), 1)
        self.up()
        self.asked(1)
        self.waiting()
        self.leave(get)

    def test_connecting_for_too_long(self) -> None:
        """An attempt that takes too long is given up, and made again."""
        self.endpoint.slow = True
        get = self.queue.get()
        self.main.answer([b"5.5"])
        self.pass_time(REPLY + 1)
        self.main.answer([b"5.5"])
        self.assertEqual(self.endpoint.attempts, 2)
        self.assertNoResult(get)
        self.leave(get)
        self.nothing_left()

    def test_silent_from_the_first(self) -> None:
        """So is one that connects, and says nothing."""
        get = self.queue.get()
        self.main.answer([b"5.5"])
        (waiting,) = self.endpoint.connections
        self.pass_time(REPLY)
        self.assertTrue(waiting.transport.disconnected)
        self.assertNoResult(get)
        self.leave(get)
        self.nothing_left()

    def test_passing_errors(self) -> None:
        """A server that starts, is full, or changes its role, is one to come back to."""
        for text in (
            "LOADING Redis is loading the dataset in memory",
            "UNBLOCKED force unblock from blocking operation, instance state changed",
            "ERR max number of clients reached",
        ):
            get = self.queue.get()
            self.waiting().answer(Exception(text))
            self.assertNoResult(get)
            self.leave(get)
            self.nothing_left()

    def test_other_errors(self) -> None:
        """What will not pass fails who waits."""
        get = self.queue.get()
        self.waiting().answer(Exception("WRONGTYPE Operation against a key"))
        self.failureResultOf(get, ResponseError)
        self.nothing_left()


class HealthTests(PatienceTestCase):
    def test_alive(self) -> None:
        """Now and then BLMOVE is ended, and sent anew; nobody notices."""
        get = self.queue.get()
        waiting = self.waiting()
        for _ in range(4):
            self.clock.advance(HEALTH)
            self.assertEqual(self.main.sent(), [UNBLOCK])
            self.main.answer(1)
            waiting.answer(None)
            self.asked(1)
            self.main.answer([b"5.5"])
            self.assertEqual(waiting.sent(), [BLMOVE])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.leave(get)
        self.main.answer(1)
        waiting.answer(None)
        self.nothing_left()
        self.assertEqual(len(self.endpoint.connections), 1)

    def test_vanished(self) -> None:
        """A wait that was ended, and is not answered, has lost its connection."""
        get = self.queue.get()
        waiting = self.waiting()
        self.clock.advance(HEALTH)
        self.main.answer(1)
        self.pass_time(REPLY - 0.5)
        self.assertFalse(waiting.transport.disconnected)
        self.pass_time(0.5)
        self.assertTrue(waiting.transport.disconnected)
        lose(waiting.protocol)
        self.clock.advance(0.1)
        self.main.answer(*[1] * (len(self.main.sent()) - 2), [b"5.5"])
        self.assertEqual(len(self.endpoint.connections), 2)
        self.assertNoResult(get)
        self.leave(get)

    def test_unknown(self) -> None:
        """So has one that the server does not know."""
        get = self.queue.get()
        waiting = self.waiting()
        self.clock.advance(HEALTH)
        for _ in range(TRIES):
            self.assertEqual(self.main.sent(), [UNBLOCK])
            self.main.answer(0)
        self.assertEqual(self.main.sent(), [])
        self.assertTrue(waiting.transport.disconnected)
        lose(waiting.protocol)
        self.clock.advance(0.1)
        self.asked(1)
        self.leave(get)

    def test_answered_meanwhile(self) -> None:
        """A wait that had ended by itself is not one that must be ended."""
        get = self.queue.get()
        waiting = self.waiting()
        self.clock.advance(HEALTH)
        waiting.answer(b"a")
        self.main.answer(0)
        self.assertEqual(self.main.sent(), [UNBLOCK, [b"queue/get", b"q", b"1", b"a"]])
        self.main.answer([b"5.5", b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")
        self.nothing_left()

    def test_may_not_unblock(self) -> None:
        """Where that is forbidden, it is told once, and the waits go on."""
        get = self.queue.get()
        waiting = self.waiting()
        self.clock.advance(HEALTH)
        self.assertEqual(self.main.sent(), [UNBLOCK])
        self.main.answer(Exception("NOPERM this user has no permissions"))
        self.pass_time(10 * HEALTH)
        self.assertEqual(self.main.sent(), [])
        self.assertFalse(waiting.transport.disconnected)
        self.assertNoResult(get)
        self.leave(get)

    def test_not_while_the_publisher_is_away(self) -> None:
        """Nobody is checked by means of a connection that is not there."""
        get = self.queue.get()
        waiting = self.waiting()
        self.down()
        self.pass_time(5 * HEALTH)
        self.assertFalse(waiting.transport.disconnected)
        self.assertNoResult(get)
        self.leave(get)
        lose(waiting.protocol)

    def test_none(self) -> None:
        """No checks, no timers."""
        self.room.health = Health(self.room, 0, None)
        get = self.queue.get()
        waiting = self.waiting()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.down()
        self.up()
        self.assertEqual(self.main.sent(), [])
        self.leave(get)
        self.main.answer(1)
        waiting.answer(None)
        self.nothing_left()

    def test_ended_for_nobody(self) -> None:
        """A wait that was ended since nobody is left must be answered in time, too."""
        get = self.queue.get()
        waiting = self.waiting()
        self.leave(get)
        self.main.answer(1)
        self.pass_time(REPLY)
        self.assertTrue(waiting.transport.disconnected)
        lose(waiting.protocol)
        self.nothing_left()

    def test_dropped(self) -> None:
        """Who gives all up leaves no timers, whatever is under way."""
        get = self.queue.get()
        self.waiting()
        self.clock.advance(HEALTH)
        self.main.answer(1)
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)
        self.room.drop(GONE)
        self.failureResultOf(get, ConnectionLost)
        self.nothing_left()

    def test_several_lines(self) -> None:
        """All who wait share one timer."""
        gets = [Queue(self.pub, name).get() for name in "abc"]
        self.main.answer(*[[b"5.5"] for _ in gets])
        for connection in self.endpoint.connections:
            connection.answer(77)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.leave(*gets)
        for connection in self.endpoint.connections:
            connection.answer(None)
        self.nothing_left()


class ResultTestCase(PatienceTestCase):
    def looked(self, noted: bytes = b"") -> None:
        """Check that the job was looked at, and nothing else was sent."""
        self.assertEqual(self.main.sent(), [[b"job/result", b"a", b"10000", noted]])

    def active(self, noted: bytes) -> None:
        self.main.answer([b"active", b"item", noted])

    def subscribe(self) -> Connection:
        """Confirm the subscriptions, which are asked for one after the other."""
        sub = self.endpoint.connections[-1]
        for number, channel in enumerate((FINISH, FINISHES), 1):
            self.assertEqual(sub.sent(), [[b"SUBSCRIBE", channel]])
            sub.answer([b"subscribe", channel, number])
        return sub

    def wait(self, timeout: float = 0) -> tuple[Deferred[Any], Connection]:
        """Wait for a result, up to where somebody listens."""
        result = self.job.get_result("a", timeout)
        return result, self.listen(b"9.5")

    def listen(self, noted: bytes) -> Connection:
        """Answer who looks that the job is active, and let them listen."""
        self.looked()
        self.active(noted)
        sub = self.subscribe()
        self.looked(noted)
        self.active(noted)
        return sub


class SubscriberLostTests(ResultTestCase):
    def test_replaced(self) -> None:
        """Who waits says at once that the result is wanted, and listens again."""
        result, sub = self.wait()
        lose(sub.protocol)
        again = self.listen(b"10.5")
        self.assertIsNot(again, sub)
        again.answer([b"message", FINISH, b"a\0done"])
        self.assertEqual(self.successResultOf(result), ("item", "done"))
        self.assertEqual(len(again.sent()), 2)
        self.nothing_left()

    def test_finished_meanwhile(self) -> None:
        """A result that was kept since it was wanted is found before anybody listens."""
        result, sub = self.wait()
        lose(sub.protocol)
        self.looked()
        self.main.answer([b"kept", b"done", b"item"])
        self.assertEqual(self.successResultOf(result), ("item", "done"))
        self.nothing_left()

    def test_finished_before_it_was_noticed(self) -> None:
        """A result that was told when nobody listened, and not kept, cannot be had."""
        result, sub = self.wait()
        lose(sub.protocol)
        self.main.answer([])
        self.failureResultOf(result, Empty)
        self.nothing_left()

    def test_nobody_waits(self) -> None:
        """It is not replaced before somebody waits again."""
        result, sub = self.wait()
        self.leave(result)
        lose(sub.protocol)
        self.nothing_left()
        self.assertEqual(self.endpoint.attempts, 1)
        self.main.sent()
        result, _ = self.wait()
        self.leave(result)

    def test_again_and_again(self) -> None:
        """One that is always lost at once is replaced more and more rarely."""
        result, _ = self.wait()
        times = []
        for _ in range(20):
            lose(self.endpoint.connections[-1].protocol)
            while not (sent := self.main.sent()):
                self.clock.advance(0.05)
            self.assertEqual(len(sent), 1)
            times.append(self.clock.seconds())
            self.active(b"10.5")
            self.subscribe()
            self.looked(b"10.5")
            self.active(b"10.5")
        gaps = [after - before for before, after in pairwise(times)]
        self.assertLessEqual(max(gaps), RENEWAL + 0.1)
        self.assertGreater(min(gaps[10:]), 2)
        self.leave(result)

    def test_lost_while_looking(self) -> None:
        """One that is lost when all seems to be done is noticed."""
        result = self.job.get_result("a")
        self.looked()
        self.active(b"9.5")
        sub = self.subscribe()
        self.looked(b"9.5")
        lose(sub.protocol)
        self.active(b"9.5")
        self.listen(b"10.5")
        self.assertNoResult(result)
        self.leave(result)

    def test_lost_while_subscribing(self) -> None:
        """One that is lost before the confirmation is replaced, too."""
        result = self.job.get_result("a")
        self.looked()
        self.active(b"9.5")
        lose(self.endpoint.connections[-1].protocol)
        self.clock.advance(0.2)
        self.listen(b"10.5")
        self.assertNoResult(result)
        self.leave(result)

    def test_the_note_stands(self) -> None:
        """While nobody can listen, it is noted often enough that the result is wanted."""
        result, sub = self.wait()
        self.endpoint.slow = True
        lose(sub.protocol)
        times = []
        for _ in range(400):
            if self.main.sent():
                times.append(self.clock.seconds())
                self.active(b"10.5")
            self.clock.advance(0.25)
        gaps = [after - before for before, after in pairwise(times)]
        self.assertGreater(len(gaps), 10)
        self.assertLessEqual(max(gaps), ATTEMPT + RENEWAL + 0.25)
        self.assertLess(ATTEMPT + RENEWAL, 9)
        self.leave(result)
        self.nothing_left()

    def test_several(self) -> None:
        """All who wait share one attempt, and its failure."""
        self.endpoint.slow = True
        results = [self.job.get_result("a") for _ in range(5)]
        for attempts in (1, 2):
            self.assertEqual(len(self.main.sent()), 5)
            self.main.answer(*[[b"active", b"item", b"9.5"]] * 5)
            self.assertEqual(self.endpoint.attempts, attempts)
            self.clock.advance(ATTEMPT)
            self.assertEqual(self.endpoint.attempts, attempts)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.clock.advance(0.2)
        self.leave(*results)
        self.nothing_left()

    def test_ping(self) -> None:
        """A subscriber is asked now and then whether it is alive."""
        result, sub = self.wait()
        for _ in range(3):
            self.clock.advance(HEALTH)
            self.assertEqual(sub.sent(), [[b"PING"]])
            sub.answer([b"pong", b""])
        self.leave(result)
        self.nothing_left()

    def test_silent(self) -> None:
        """One that is not is replaced."""
        result, sub = self.wait()
        self.clock.advance(HEALTH)
        self.pass_time(REPLY)
        self.assertTrue(sub.transport.disconnected)
        lose(sub.protocol)
        self.listen(b"10.5")
        self.assertNoResult(result)
        self.leave(result)

    def test_refused(self) -> None:
        """A subscription that Redis refuses fails who waits."""
        result = self.job.get_result("a")
        self.active(b"9.5")
        self.endpoint.connections[-1].answer(Exception("NOPERM no access to the channel"))
        self.failureResultOf(result, ResponseError)


class ResultOutageTests(ResultTestCase):
    def test_looking(self) -> None:
        """Whoever looks when the connection is lost looks again on the next one."""
        result = self.job.get_result("a")
        self.looked()
        self.down()
        self.pass_time(100)
        self.assertNoResult(result)
        self.up()
        self.looked()
        self.main.answer([b"kept", b"done", b"item"])
        self.assertEqual(self.successResultOf(result), ("item", "done"))

    def test_subscribing(self) -> None:
        """Who begins to listen during the outage looks again when it is over."""
        result = self.job.get_result("a")
        self.looked()
        self.active(b"9.5")
        self.down()
        sub = self.subscribe()
        self.assertNoResult(result)
        self.up()
        self.looked()
        self.active(b"10.5")
        self.looked(b"10.5")
        self.active(b"10.5")
        sub.answer([b"pong", b""], [b"message", FINISH, b"a\0done"])
        self.assertEqual(self.successResultOf(result), ("item", "done"))
        self.nothing_left()

    def test_listening(self) -> None:
        """Who listens goes on listening."""
        result, sub = self.wait()
        self.down()
        self.up()
        self.assertEqual(self.main.sent(), [])
        self.assertEqual(sub.sent(), [[b"PING"]])
        sub.answer([b"pong", b""], [b"message", FINISH, b"a\0done"])
        self.assertEqual(self.successResultOf(result), ("item", "done"))

    def test_message_behind_the_answer(self) -> None:
        """Who looks again, and finds nothing, lets the message come first."""
        first, sub = self.wait()
        second = self.job.get_result("a")
        self.looked()
        self.active(b"10.5")
        self.looked(b"10.5")
        self.down()
        self.up()
        self.looked()
        self.main.answer([])
        self.assertNoResult(second)
        sub.answer([b"pong", b""], [b"message", FINISH, b"a\0done"], [b"pong", b""])
        for result in (first, second):
            self.assertEqual(self.successResultOf(result), ("item", "done"))

    def test_all_lost(self) -> None:
        """Without any connection they rest, and begin anew with the publisher's."""
        result, sub = self.wait()
        self.down()
        lose(sub.protocol)
        self.pass_time(100)
        self.assertEqual(len(self.endpoint.connections), 1)
        self.up()
        self.listen(b"10.5")
        self.assertNoResult(result)
        self.leave(result)
        self.nothing_left()

    def test_time_is_up(self) -> None:
        """The time of who waits counts during the outage."""
        result, sub = self.wait(5)
        self.down()
        lose(sub.protocol)
        self.clock.advance(5)
        self.failureResultOf(result, Empty)
        self.nothing_left()

    def test_finished_here(self) -> None:
        """The answer to a finish may get lost: the result is kept for who waits here, too."""
        result = self.job.get_result("a")
        self.active(b"9.5")
        self.main.sent()
        self.job.finish("a", "done")
        (finish,) = self.main.sent()
        self.assertEqual(finish[-4:], [b"a", b"0", b"0", b"done"])  # "0": told by nobody else
        self.main.answer(1)
        self.assertEqual(self.successResultOf(result), ("item", "done"))
        self.looked(b"9.5")
        self.nothing_left()


class ClosingTests(ResultTestCase):
    def closed(self, closing: Deferred[None]) -> None:
        self.assertIsNone(self.successResultOf(closing))
        self.nothing_left()

    def test_during_the_outage(self) -> None:
        """close() fails all who wait, and waits for nothing that cannot come."""
        gets = [self.queue.get(), self.queue.get(7)]
        self.waiting()
        result, _ = self.wait()
        self.down()
        closing = self.close()
        for one in (*gets, result):
            self.failureResultOf(one, ConnectionLost)
        for connection in self.endpoint.connections:
            lose(connection.protocol)
        self.closed(closing)

    def test_connecting(self) -> None:
        """A connection that is being made is not waited for."""
        self.endpoint.slow = True
        get, result = self.queue.get(), self.job.get_result("a")
        self.main.answer([b"5.5"], [b"active", b"item", b"9.5"])
        closing = self.close()
        self.failureResultOf(get, ConnectionLost)
        self.failureResultOf(result, ConnectionLost)
        self.closed(closing)

    def test_resting(self) -> None:
        """Nor is the next attempt; what BLMOVE has brought goes back."""
        get = self.queue.get()
        lose(self.waiting().protocol)
        closing = self.close()
        self.failureResultOf(get, ConnectionLost)
        self.closed(closing)

    def test_later(self) -> None:
        """Who comes later fails at once, until there is a start."""
        self.successResultOf(self.close())
        self.failureResultOf(self.queue.get(), ConnectionLost)
        self.failureResultOf(self.job.get_result("a"), ConnectionLost)
        self.down()
        self.room.started()
        get = self.queue.get()
        self.assertNoResult(get)
        self.up()
        self.asked(1)
        self.main.answer([b"5.5", b"a", b"A"])
        self.assertEqual(self.successResultOf(get), "A")

    def test_get_again_when_it_fails(self) -> None:
        """A get from within the failure of another one fails as well."""
        get = self.queue.get()
        again = get.addErrback(lambda _: self.queue.get())
        waiting = self.waiting()
        closing = self.close()
        self.failureResultOf(again, ConnectionLost)
        self.assertEqual(self.main.sent(), [UNBLOCK])
        self.main.answer(1)
        waiting.answer(None)
        lose(waiting.protocol)
        self.closed(closing)

    def test_connection_comes_back_while_it_closes(self) -> None:
        """What is closed is not opened by a connection that comes back."""
        get = self.queue.get()
        closing = self.close()
        self.failureResultOf(get, ConnectionLost)
        self.down()
        self.up()
        self.closed(closing)
        self.failureResultOf(self.queue.get(), ConnectionLost)

    def test_own_error(self) -> None:
        """The service says why."""
        get = self.queue.get()
        self.main.answer([b"5.5", b"a", b"A"])
        self.successResultOf(get)
        self.main.answer(1)
        get = self.queue.get()
        closing = Deferred.fromCoroutine(self.room.close(ConnectionLost("stopped")))
        self.assertEqual(str(self.failureResultOf(get).value), "stopped")
        self.main.answer([b"5.5"])
        self.closed(closing)
