"""Gets of a paused feed wait until its configuration changes."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from tests.support.keepers import CHANNELS, DUE, NOTHING_DUE
from tests.support.line import BLMOVE, LineTestCase
from tests.support.line_paused import (
    CONFIRMED,
    ITEM,
    NOTHING,
    PAUSED,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Held,
)
from tests.support.patience import (
    CONFFEED,
    NEWFEED,
    configured,
    confirm,
    subscribe,
    unsubscribe,
)
from tests.support.wire import NUMBER, Connection, lose
from txthoonk.consumers._deadlines import LEAST_WAIT, SETTLING
from txthoonk.errors import ConnectionLost, Empty, FeedTypeMismatch
from txthoonk.types import Job


class HoldTests(Held, LineTestCase):
    def nothing_left(self, *connections: Connection) -> None:
        """Check that there are no listeners, nothing is scheduled, and nothing is sent."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        room = self.pub.waiting_room
        self.assertEqual((room.outages.waiting, room.subscriber.listening), (set(), set()))
        for connection in connections:
            self.assertEqual(connection.sent(), [])

    def test_resumed(self) -> None:
        """A get of a paused feed takes nothing until the feed is resumed."""
        get = self.queue.get()
        sub = self.hold()
        self.clock.advance(1000)
        self.assertEqual(self.main.sent(), [])
        self.assertNoResult(get)
        self.configure(sub)
        self.asked(1)
        self.main.answer(ITEM)
        self.assertEqual(self.successResultOf(get), "A")
        self.assertEqual(self.main.sent(), [[b"queue/delivered", b"a"]])
        self.assertEqual(sub.sent(), UNSUBSCRIBE)
        self.nothing_left(self.main, sub)

    def test_no_blocking(self) -> None:
        """While the feed is paused there is no BLMOVE, and no connection for it."""
        get = self.queue.get()
        sub = self.hold()
        self.assertEqual(self.endpoint.connections, [sub])
        self.assertNoResult(get)

    def test_resumed_and_empty(self) -> None:
        """If the line is empty when the feed is resumed, the get waits as usual."""
        get = self.queue.get()
        sub = self.hold()
        self.configure(sub)
        self.asked(1)
        self.main.answer(NOTHING)
        self.assertEqual(sub.sent(), UNSUBSCRIBE)
        self.assertEqual(len(self.endpoint.connections), 2)
        waiting = self.endpoint.connections[-1]
        waiting.answer(77, 0)
        self.assertEqual(waiting.sent(), [*NUMBER, BLMOVE])
        self.assertNoResult(get)

    def test_resumed_before_anybody_listens(self) -> None:
        """The get is sent again after the confirmation: an earlier resume was not received."""
        get = self.queue.get()
        sub = self.paused()
        self.listens(sub)
        self.asked(1)
        self.main.answer(ITEM)
        self.assertEqual(self.successResultOf(get), "A")
        self.assertEqual(sub.sent(), UNSUBSCRIBE)

    def test_told_before_the_answer(self) -> None:
        """A resume that arrives before the answer PAUSED makes the get ask again."""
        get = self.queue.get()
        sub = self.paused()
        self.listens(sub)
        self.asked(1)
        self.configure(sub)
        self.main.answer(PAUSED)
        self.asked(1)
        self.main.answer(ITEM)
        self.assertEqual(self.successResultOf(get), "A")

    def test_listening_before_the_answer(self) -> None:
        """A confirmation that arrives before the answer makes the get ask again."""
        gets = [self.queue.get()]
        sub = self.paused()
        gets.append(self.queue.get())
        self.asked(2)
        self.listens(sub)
        self.main.answer(PAUSED)
        self.asked(2)
        self.main.answer([b"5.7", 0, b"a", b"A", b"b", b"B"])
        self.assertEqual([self.successResultOf(get) for get in gets], ["A", "B"])

    def test_other_configuration(self) -> None:
        """After another change of the configuration the get asks, and is held again."""
        get = self.queue.get()
        sub = self.hold()
        for _ in range(2):
            self.configure(sub)
            self.asked(1)
            self.main.answer(PAUSED)
        self.assertEqual(sub.sent(), [])
        self.assertNoResult(get)

    def test_other_feed(self) -> None:
        """Events of other feeds are ignored."""
        get = self.queue.get()
        sub = self.hold()
        self.configure(sub, b"other")
        self.configure(sub, b"queue")
        self.assertEqual(self.main.sent(), [])
        self.assertNoResult(get)

    def test_recreated(self) -> None:
        """A feed that is created again may not be paused, so the get asks again."""
        get = self.queue.get()
        sub = self.hold()
        self.configure(sub, channel=NEWFEED)
        self.asked(1)
        self.main.answer(ITEM)
        self.assertEqual(self.successResultOf(get), "A")
        self.assertEqual(sub.sent(), UNSUBSCRIBE)
        self.nothing_left(sub)

    def test_recreated_and_paused(self) -> None:
        """A feed that is created again and is still paused holds the get."""
        get = self.queue.get()
        sub = self.hold()
        self.configure(sub, channel=NEWFEED)
        self.asked(1)
        self.main.answer(PAUSED)
        self.assertEqual((self.main.sent(), sub.sent()), ([], []))
        self.assertNoResult(get)

    def test_other_feed_created(self) -> None:
        """The creation of another feed is ignored."""
        get = self.queue.get()
        sub = self.hold()
        self.configure(sub, b"other", NEWFEED)
        self.assertEqual(self.main.sent(), [])
        self.assertNoResult(get)

    def test_several(self) -> None:
        """All held gets are sent as one call, and share the subscriptions."""
        gets = [self.queue.get()]
        sub = self.hold()
        for count in (2, 3):
            gets.append(self.queue.get())
            self.asked(count)
            self.main.answer(PAUSED)
        self.assertEqual(self.endpoint.connections, [sub])
        self.configure(sub)
        self.asked(3)
        self.main.answer([b"5.7", 0, b"a", b"A", b"b", b"B", b"c", b"C"])
        self.assertEqual([self.successResultOf(get) for get in gets], ["A", "B", "C"])

    def test_moved(self) -> None:
        """An id that BLMOVE returns after the feed was paused goes back to the front."""
        get = self.queue.get()
        waiting = self.waiting()
        waiting.answer(b"a")
        self.assertEqual(self.main.sent(), [[b"queue/get", b"q", b"1", b"a"]])
        self.main.answer(PAUSED)
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b""]])
        sub = self.endpoint.connections[-1]
        self.assertIsNot(sub, waiting)
        self.listens(sub)
        self.asked(1)  # without the id
        self.main.answer(1, PAUSED)
        self.assertEqual(waiting.sent(), [])
        self.configure(sub)
        self.asked(1)
        self.main.answer(ITEM)
        self.assertEqual(self.successResultOf(get), "A")

    def test_paused_between(self) -> None:
        """Items that were taken before the pause are delivered; the other gets are held."""
        first, second = self.queue.get(), self.queue.get()
        self.asked(1)
        self.main.answer([b"5.5", 0, b"a", b"A"])
        self.assertEqual(self.successResultOf(first), "A")
        self.assertEqual(
            self.main.sent(), [[b"queue/delivered", b"a"], [b"queue/get", b"q", b"1", b""]]
        )
        self.main.answer(1, PAUSED)
        self.listens(self.endpoint.connections[-1])
        self.asked(1)
        self.assertNoResult(second)

    def test_time_is_up(self) -> None:
        """The timeout of a get counts while the feed is paused; then the line unsubscribes."""
        get = self.queue.get(5)
        sub = self.hold()
        self.clock.advance(5)
        self.failureResultOf(get, Empty)
        self.assertEqual(sub.sent(), UNSUBSCRIBE)
        self.nothing_left(self.main, sub)

    def test_one_of_two_leaves(self) -> None:
        """The line stays subscribed until the last get leaves."""
        first = self.queue.get()
        sub = self.hold()
        second = self.queue.get(5)
        self.asked(2)
        self.main.answer(PAUSED)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(sub.sent(), [])
        self.clock.advance(5)
        self.failureResultOf(second, Empty)
        self.assertEqual(sub.sent(), UNSUBSCRIBE)
        self.nothing_left(self.main, sub)

    def test_cancelled_before_the_answer(self) -> None:
        """A get that is cancelled before the answer causes no subscription."""
        get = self.queue.get()
        get.cancel()
        self.failureResultOf(get, CancelledError)
        self.asked(1)
        self.main.answer(PAUSED)
        self.assertEqual(self.endpoint.connections, [])
        self.nothing_left(self.main)

    def test_cancelled_before_the_confirmation(self) -> None:
        """A get that is cancelled before the confirmation leaves no subscription."""
        get = self.queue.get()
        sub = self.paused()
        get.cancel()
        self.failureResultOf(get, CancelledError)
        sub.answer(*CONFIRMED)
        self.assertEqual(sub.sent(), SUBSCRIBE + UNSUBSCRIBE)
        self.nothing_left(self.main)

    def test_another_type(self) -> None:
        """An error of the script fails all held gets, and the line unsubscribes."""
        get = self.queue.get()
        sub = self.hold()
        self.configure(sub)
        self.asked(1)
        self.main.answer(Exception("WRONGFEEDTYPE feed 'q' is of type 'job'"))
        self.failureResultOf(get, FeedTypeMismatch)
        self.assertEqual(sub.sent(), UNSUBSCRIBE)
        self.nothing_left(self.main, sub)

    def test_deleted(self) -> None:
        """Held gets wait for the next feed of that name, as other gets do."""
        get = self.queue.get()
        sub = self.hold()
        self.configure(sub)
        self.asked(1)
        self.main.answer(Exception("NOFEED feed 'q' does not exist"))
        self.assertNoResult(get)
        self.assertEqual(sub.sent(), UNSUBSCRIBE)
        self.assertEqual(self.endpoint.connections[-1].sent(), NUMBER)
        get.cancel()
        self.failureResultOf(get, CancelledError)

    def test_subscriber_lost(self) -> None:
        """After a lost subscriber connection the line subscribes again, and asks again."""
        get = self.queue.get()
        lose(self.hold().protocol)
        self.assertNoResult(get)
        self.clock.advance(0.1)
        self.assertEqual(self.main.sent(), [])
        self.assertEqual(len(self.endpoint.connections), 2)
        self.listens(self.endpoint.connections[-1])
        self.asked(1)
        self.main.answer(ITEM)
        self.assertEqual(self.successResultOf(get), "A")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_publisher_lost(self) -> None:
        """A publisher that loses its own connection fails the held gets."""
        get = self.queue.get()
        sub = self.hold()
        lose(self.pub)
        self.failureResultOf(get, ConnectionLost)
        self.assertTrue(sub.transport.disconnected)
        self.nothing_left()

    def test_closed(self) -> None:
        """close() fails the held gets, and waits only for its connections."""
        get = self.queue.get()
        sub = self.hold()
        closed = self.pub.close()
        self.failureResultOf(get, ConnectionLost)
        lose(sub.protocol)
        lose(self.pub)
        self.assertIsNone(self.successResultOf(closed))
        self.nothing_left()


class JobTests(LineTestCase):
    def test_moved(self) -> None:
        """An id of a job that BLMOVE returns is no claim until the script returns the job."""
        get = Job(self.pub, "j").get()
        self.main.sent()
        self.main.answer(NOTHING)
        sub, waiting = self.endpoint.connections
        waiting.answer(77, 0, b"a")
        self.main.sent()
        self.main.answer([0, None, "0", None], PAUSED)
        self.assertEqual(self.main.sent(), [[b"queue/put_back", b"a", b""]])
        self.assertEqual(sub.sent(), subscribe(*CHANNELS))
        get.cancel()
        self.failureResultOf(get, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_configured(self) -> None:
        """The line and the timekeeper share one subscription to configuration events."""
        get = Job(self.pub, "j").get()
        (asked,) = self.main.sent()
        self.main.answer(NOTHING)
        sub, waiting = self.endpoint.connections
        sub.answer(*confirm(*CHANNELS))
        waiting.answer(77, 0, b"a")
        self.main.answer(NOTHING_DUE, PAUSED, 1, PAUSED)
        self.clock.advance(LEAST_WAIT)
        self.main.answer(NOTHING_DUE)
        self.main.sent()
        for channel in (CONFFEED, NEWFEED):
            sub.answer(configured(b"j", channel))
            self.assertEqual(self.main.sent(), [asked])
            self.main.answer(PAUSED)
            self.clock.advance(SETTLING)
            self.assertEqual(self.main.sent(), [DUE])
            self.main.answer(NOTHING_DUE)
        self.assertEqual(sub.sent(), subscribe(*CHANNELS))
        get.cancel()
        self.failureResultOf(get, CancelledError)
        self.assertCountEqual(sub.sent(), unsubscribe(*CHANNELS))
        self.assertEqual(self.clock.getDelayedCalls(), [])
