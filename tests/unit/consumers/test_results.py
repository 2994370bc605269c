"""Waiting for results, driven byte by byte: the races between two connections."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import Connection, Endpoint, lose
from txthoonk.client import ThoonkPub
from txthoonk.consumers.results import _second_looks
from txthoonk.consumers.results._result_waiters import LEASE_RENEWAL
from txthoonk.errors import ConnectionLost, Empty, JobStalled, ResponseError
from txthoonk.protocol import Redis
from txthoonk.types import Job, JobFailure

FINISH, FINISHES, STALLED = b"job.finish:j", b"feed.finishes:j", b"feed.stalled:j"
LEFT = [[b"UNSUBSCRIBE", channel] for channel in (FINISH, FINISHES, STALLED)]
NO_MORE = [b"ZREM", b"feed.listeners:j", b"me"]
LISTEN = [b"job/listen", b"me", b"25000", b"3", b"25000"]
FINISHED = [b"5.5", 0, [1], [], []]  # one job, and nothing claimed


class ResultTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(_second_looks, "FIRST", 1000.0)  # later than all that these tests do
        self.clock = Clock()
        self.endpoint = Endpoint()
        self.pub = ThoonkPub(Redis(), reactor=self.clock, endpoint=self.endpoint)
        self.pub.uuid = "me"
        self.main = Connection(self.pub)
        self.main.know_scripts()
        self.job = Job(self.pub, "j")

    def looked(self, id_: bytes, noted: bytes = b"") -> None:
        """Check that one job was looked up, and nothing else was sent."""
        self.assertEqual(self.main.sent(), [[b"job/result", id_, b"10000", noted]])

    def subscribe(self) -> Connection:
        """Confirm the subscriptions, which are requested with one command."""
        sub = self.endpoint.connections[-1]
        self.assertIn(LISTEN, self.main.sent())
        self.main.answer([1])
        channels = (FINISH, FINISHES, STALLED)
        self.assertEqual(sub.sent(), [[b"SUBSCRIBE", *channels]])
        sub.answer(*[[b"subscribe", name, number] for number, name in enumerate(channels, 1)])
        return sub

    def wait(self, id_: str = "a") -> tuple[Deferred[Any], Connection]:
        """Wait for the result of an active job, until the subscriptions are confirmed."""
        result = self.job.get_result(id_)
        self.main.sent()
        self.main.answer([b"active", b"item", b"9.5"])
        sub = self.subscribe()
        self.looked(id_.encode(), b"9.5")
        return result, sub


class LookingTests(ResultTestCase):
    def test_kept(self) -> None:
        """A kept result is read without another connection."""
        result = self.job.get_result("a")
        self.looked(b"a")
        self.main.answer([b"kept", b"result", b""])
        self.assertEqual(self.successResultOf(result), ("", "result"))
        self.assertEqual(self.endpoint.connections, [])

    def test_kept_by_others_without_the_item(self) -> None:
        """A result that an older implementation kept has no item."""
        result = self.job.get_result("a")
        self.main.answer([b"kept", b"result", None])
        self.assertEqual(self.successResultOf(result), (None, "result"))

    def test_gone(self) -> None:
        """A wait for a job that does not exist, and has no result, fails at once."""
        result = self.job.get_result("a")
        self.main.answer([])
        error = self.failureResultOf(result, Empty).value
        self.assertIn("feed 'j' has no job 'a'", str(error))

    def test_refused(self) -> None:
        """A wait fails with the error that Redis replies."""
        result = self.job.get_result("a")
        self.main.answer(Exception("WRONGTYPE Operation against a key"))
        self.failureResultOf(result, ResponseError)

    def test_time_is_up_before_the_answer(self) -> None:
        """The timeout counts from the call on; a later answer does no harm."""
        result = self.job.get_result("a", 5)
        self.clock.advance(5)
        self.failureResultOf(result, Empty)
        self.main.sent()
        self.main.answer([b"active", b"item", b"9.5"])
        self.looked(b"a", b"9.5")
        self.assertEqual(self.endpoint.connections, [])


class ListeningTests(ResultTestCase):
    def test_told(self) -> None:
        """The message delivers the result; then the publisher unsubscribes."""
        result, sub = self.wait()
        self.main.answer([b"active", b"item", b"9.5"])
        self.assertNoResult(result)
        sub.answer([b"message", FINISH, b"a\0the\0result"], [b"message", FINISHES, b"a"])
        self.assertEqual(self.successResultOf(result), ("item", "the\0result"))
        self.assertEqual(sub.sent(), LEFT)

    def test_others(self) -> None:
        """Messages about other jobs are ignored."""
        result, sub = self.wait()
        sub.answer([b"message", FINISH, b"b\0result"], [b"message", FINISHES, b"b"])
        self.assertNoResult(result)

    def test_finished_before_anybody_listened(self) -> None:
        """A result that was kept before the subscription is found by a second look."""
        result, _ = self.wait()
        self.main.answer([b"kept", b"result", b"item"])
        self.assertEqual(self.successResultOf(result), ("item", "result"))

    def test_message_behind_the_answer(self) -> None:
        """If the job is gone, its message may still be on its way on the other connection."""
        result, sub = self.wait()
        self.main.answer([])
        self.assertNoResult(result)
        self.assertEqual(sub.sent(), [[b"PING"]])
        sub.answer([b"message", FINISH, b"a\0result"], [b"pong", b""])
        self.assertEqual(self.successResultOf(result), ("item", "result"))

    def test_no_message_behind_the_answer(self) -> None:
        """If the job is gone and no message arrives before the pong, there is no result."""
        result, sub = self.wait()
        self.main.answer([])
        sub.answer([b"pong", b""])
        self.failureResultOf(result, Empty)

    def test_ended_without_a_result(self) -> None:
        """A finish without a result ends the wait."""
        result, sub = self.wait()
        sub.answer([b"message", FINISHES, b"a"])
        error = self.failureResultOf(result, Empty).value
        self.assertIn("job 'a' of feed 'j' ended without a result", str(error))

    def test_finished_here(self) -> None:
        """A wait on the publisher that finishes the job ends without the message."""
        result = self.job.get_result("a")
        self.main.answer([b"active", b"item", b"9.5"], [1])
        self.job.finish("a", "result")
        self.main.answer(FINISHED)
        self.assertEqual(self.successResultOf(result), ("item", "result"))

    def test_retracted_here(self) -> None:
        """A wait on the publisher that retracts the job ends with Empty."""
        result, _ = self.wait()
        self.main.answer([b"active", b"item", b"9.5"])
        self.job.retract("a")
        self.main.answer(1)
        self.failureResultOf(result, Empty)

    def test_two_jobs(self) -> None:
        """All waits share the subscriptions, which end with the last wait."""
        first, sub = self.wait()
        second = self.job.get_result("b")
        self.main.answer([b"active", b"item", b"9.5"], [b"active", b"item", b"9.5"])
        self.assertEqual(len(self.endpoint.connections), 1)
        self.assertEqual(sub.sent(), [])
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(sub.sent(), [])
        sub.answer([b"message", FINISH, b"b\0result"])
        self.assertEqual(self.successResultOf(second), ("item", "result"))
        self.assertEqual(sub.sent(), LEFT)

    def test_two_at_a_time(self) -> None:
        """Two waits that begin at the same time subscribe once."""
        both = [self.job.get_result("a"), self.job.get_result("a")]
        self.main.answer([b"active", b"item", b"9.5"], [b"active", b"item", b"9.5"])
        sub = self.subscribe()
        self.assertEqual(sub.sent(), [])
        sub.answer([b"message", FINISH, b"a\0result"])
        for result in both:
            self.assertEqual(self.successResultOf(result), ("item", "result"))

    def test_kept_for_one_of_several(self) -> None:
        """A result that is kept for several waits, and read by one of them, reaches all."""
        both = [self.job.get_result("a"), self.job.get_result("a")]
        self.main.answer([b"active", b"item", b"9.5"], [b"active", b"item", b"9.7"])
        self.subscribe()
        self.main.answer([b"kept", b"result", b"item"], [])
        for result in both:
            self.assertEqual(self.successResultOf(result), ("item", "result"))

    def test_cancelled_while_subscribing(self) -> None:
        """A wait that is cancelled before the confirmation leaves no subscription."""
        result = self.job.get_result("a")
        self.main.answer([b"active", b"item", b"9.5"])
        result.cancel()
        self.failureResultOf(result, CancelledError)
        sub = self.subscribe()
        self.assertEqual(sub.sent(), LEFT)

    def test_refused(self) -> None:
        """A refused subscription fails the wait; the next wait subscribes again."""
        result = self.job.get_result("a")
        self.main.answer([b"active", b"item", b"9.5"], [1])
        self.main.sent()
        (sub,) = self.endpoint.connections
        sub.answer(Exception("NOPERM no access to one of the channels"))
        self.failureResultOf(result, ResponseError)
        sub.sent()
        # The entry among the feed's listeners is removed.
        self.assertEqual(self.main.sent(), [[b"job/result", b"a", b"10000", b"9.5"], NO_MORE])
        self.main.answer([b"active", b"item", b"9.5"], 1)
        self.wait()


class EndTests(ResultTestCase):
    """Waiting for the end of a job with wait(), whether it has a result or not."""

    def wait_for_end(self, state: bytes = b"active") -> tuple[Deferred[Any], Connection]:
        """Wait for the end of a job, until the subscriptions are confirmed and the job is read."""
        ended = self.job.wait("a")
        self.looked(b"a")
        self.main.answer([b"active", b"item", b"9.5"])
        sub = self.subscribe()
        self.looked(b"a", b"9.5")
        self.main.answer([state, b"item", b"9.5"])
        return ended, sub

    def stalled(self, ended: Deferred[Any], recorded: bytes | None) -> JobStalled:
        """Answer with the recorded failure, and return the error of the wait."""
        self.assertEqual(self.main.sent(), [NO_MORE, [b"HGET", b"feed.failures:j", b"a"]])
        self.assertNoResult(ended)
        self.main.answer(1, recorded)
        error = self.failureResultOf(ended, JobStalled).value
        assert isinstance(error, JobStalled)
        return error

    def test_result(self) -> None:
        """wait() fires the result alone, from a message or from a kept result."""
        ended, sub = self.wait_for_end()
        sub.answer([b"message", FINISH, b"a\0result"], [b"message", FINISHES, b"a"])
        self.assertEqual(self.successResultOf(ended), "result")
        ended = self.job.wait("a")
        self.main.answer(1, [b"kept", b"result", b"item"])
        self.assertEqual(self.successResultOf(ended), "result")

    def test_no_result(self) -> None:
        """A finish without a result ends the wait with None."""
        ended, sub = self.wait_for_end()
        sub.answer([b"message", FINISHES, b"b"])
        self.assertNoResult(ended)
        sub.answer([b"message", FINISHES, b"a"])
        self.assertIsNone(self.successResultOf(ended))
        self.assertEqual(sub.sent(), LEFT)

    def test_no_message_behind_the_answer(self) -> None:
        """A finish without a result before the subscription ends the wait with None."""
        ended = self.job.wait("a")
        self.main.answer([b"active", b"item", b"9.5"])
        sub = self.subscribe()
        self.main.answer([])
        sub.answer([b"pong", b""])
        self.assertIsNone(self.successResultOf(ended))

    def test_never_there(self) -> None:
        """A wait for a job that did not exist at first fails with Empty."""
        ended = self.job.wait("a")
        self.main.answer([])
        self.failureResultOf(ended, Empty)

    def test_finished_and_retracted_here(self) -> None:
        """A finish or retract on the same publisher ends the wait."""
        for call, reply in ((self.job.finish, FINISHED), (self.job.retract, 1)):
            ended, sub = self.wait_for_end()
            call("a")
            self.main.sent()
            self.main.answer(reply)
            self.assertIsNone(self.successResultOf(ended))
            self.assertEqual((sub.sent(), self.main.sent()), (LEFT, [NO_MORE]))
            self.main.answer(1)

    def test_stalled(self) -> None:
        """A stalled job ends the wait with the recorded failure."""
        ended, sub = self.wait_for_end()
        sub.answer([b"message", STALLED, b"b"])
        self.assertNoResult(ended)
        sub.answer([b"message", STALLED, b"a"])
        self.assertEqual(sub.sent(), LEFT)
        recorded = b'3 1500 {"type": "ValueError", "message": "no", "traceback": "here"}'
        error = self.stalled(ended, recorded)
        self.assertEqual(str(error), "job 'a' of feed 'j' is stalled: ValueError: no")
        failure = JobFailure("a", "ValueError", "no", "here", count=3, time=1.5)
        self.assertEqual(error.failure, failure)

    def test_no_failure(self) -> None:
        """Without a recorded failure, the error has none."""
        ended, sub = self.wait_for_end()
        sub.answer([b"message", STALLED, b"a"])
        error = self.stalled(ended, None)
        self.assertEqual(str(error), "job 'a' of feed 'j' is stalled")
        self.assertIsNone(error.failure)

    def test_stalled_before_anybody_listened(self) -> None:
        """A job that stalled before the subscription ends the wait, too."""
        ended, sub = self.wait_for_end(b"stalled")
        self.assertEqual(sub.sent(), LEFT)
        self.stalled(ended, None)

    def test_stalled_for_long(self) -> None:
        """A job that is stalled already ends the wait, unless it was put back meanwhile."""
        for state in (b"active", b"stalled"):
            ended = self.job.wait("a")
            self.looked(b"a")
            self.main.answer([b"stalled", b"item", b"9.5"])
            self.subscribe()
            self.looked(b"a", b"9.5")
            self.main.answer([state, b"item", b"9.5"])
            if state == b"active":
                self.assertNoResult(ended)
                ended.cancel()
                self.failureResultOf(ended, CancelledError)
                self.assertEqual(self.endpoint.connections[-1].sent(), LEFT)
                self.assertEqual(self.main.sent(), [NO_MORE])
                self.main.answer(1)
        self.stalled(ended, None)

    def test_results_go_on(self) -> None:
        """get_result goes on waiting when a job stalls: the job may be put back into the line."""
        result = self.job.get_result("a")
        self.main.sent()
        self.main.answer([b"stalled", b"item", b"9.5"])
        sub = self.subscribe()
        self.looked(b"a", b"9.5")
        self.main.answer([b"stalled", b"item", b"9.5"])
        sub.answer([b"message", STALLED, b"a"])
        self.assertNoResult(result)
        sub.answer([b"message", FINISH, b"a\0result"])
        self.assertEqual(self.successResultOf(result), ("item", "result"))

    def test_time_is_up(self) -> None:
        """The timeout of wait() ends it."""
        ended = self.job.wait("a", 5)
        self.main.answer([b"active", b"item", b"9.5"])
        self.subscribe()
        self.clock.advance(5)
        self.failureResultOf(ended, Empty)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LosingTests(ResultTestCase):
    def test_subscriber_lost(self) -> None:
        """A lost subscriber connection fails the waits; the next wait opens another."""
        result, sub = self.wait()
        lose(sub.protocol)
        self.failureResultOf(result, ConnectionLost)
        self.main.answer([b"active", b"item", b"9.5"], 1)
        self.wait()
        self.assertEqual(len(self.endpoint.connections), 2)

    def test_publisher_lost(self) -> None:
        """A lost publisher connection fails the waits and closes the subscriber."""
        result, sub = self.wait()
        lose(self.pub)
        self.failureResultOf(result, ConnectionLost)
        self.assertTrue(sub.transport.disconnected)

    def test_closed(self) -> None:
        """close() fails the waits and closes the subscriber."""
        result, sub = self.wait()
        self.main.answer([b"active", b"item", b"9.5"])
        closed = self.pub.close()
        self.failureResultOf(result, ConnectionLost)
        self.assertTrue(sub.transport.disconnecting)
        lose(sub.protocol)
        lose(self.pub)
        self.assertIsNone(self.successResultOf(closed))


class TakingOverTests(ResultTestCase):
    """A listener that hears of its own jobs only takes over from the one that listened for all."""

    def setUp(self) -> None:
        super().setUp()
        self.result = self.job.get_result("a")
        self.main.sent()
        self.main.answer([b"active", b"item", b"9.5"], [0])
        self.sub = self.endpoint.connections[-1]
        for number in (1, 2):
            ((_, asked),) = self.sub.sent()
            self.sub.answer([b"subscribe", asked, number])
        self.main.answer([b"active", b"item", b"9.5"])
        self.main.sent()

    def offered(self) -> list[list[bytes]]:
        """Receive the place of the listener; return the commands that follow."""
        self.clock.advance(LEASE_RENEWAL)
        self.assertEqual(self.main.sent(), [[*LISTEN, b"a"]])
        self.main.answer([1])
        return self.sub.sent()

    def test_refused(self) -> None:
        """If Redis refuses a channel, the listener keeps none and tries again the next time."""
        self.assertEqual(self.offered(), [[b"SUBSCRIBE", FINISH, FINISHES]])
        self.sub.answer(Exception("NOPERM no access to one of the channels"))
        self.assertEqual(self.sub.sent(), [])
        self.assertEqual(self.offered(), [[b"SUBSCRIBE", FINISH, FINISHES]])

    def test_taken(self) -> None:
        """The listener receives all results from then on, and sends no ids of its own jobs."""
        self.assertEqual(self.offered(), [[b"SUBSCRIBE", FINISH, FINISHES]])
        self.sub.answer([b"subscribe", FINISH, 3], [b"subscribe", FINISHES, 4])
        self.sub.sent()
        self.clock.advance(LEASE_RENEWAL)
        self.assertEqual(self.main.sent(), [LISTEN])
        self.sub.answer([b"message", FINISH, b"a\0result"])
        self.assertEqual(self.successResultOf(self.result), ("item", "result"))
