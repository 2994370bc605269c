"""The service during an outage, on a fake clock and on connections in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.support.service_cases import ServiceTestCase
from tests.support.wire import outcome, resp
from txthoonk.errors import ConnectionLost, NotSent


class OutageTests(ServiceTestCase):
    def test_states(self) -> None:
        """Each state is reported once, with its reason."""
        self.come_up()
        self.lose_both()
        self.clock.advance(1)
        self.clock.advance(0)
        self.accept()
        self.assertEqual(self.states, ["connecting", "connected", "disconnected"])
        self.accept()
        self.stop()
        self.assertEqual(self.states[3:], ["connected", "stopping", "stopped"])
        reasons = [str(reason) for reason in self.reasons if reason is not None]
        self.assertEqual(len(reasons), 1)
        self.assertIn("the connection to redis://there/0 was lost", reasons[0])
        self.assertIsInstance(self.reasons[2], ConnectionLost)

    def test_one_of_them(self) -> None:
        """Without the subscriber the service is not connected, but calls are sent."""
        thoonk = self.come_up()
        self.endpoint.lose(self.sub)
        self.assertEqual(thoonk.state, "disconnected")
        waiting = thoonk.whenConnected()
        self.assertNoResult(waiting)
        length = outcome(thoonk.redis.llen("key"))
        self.assertEqual(self.names(self.pub), [b"LLEN"])
        self.pub.answer(resp(3))
        self.assertEqual(length, [3])
        self.clock.advance(1)
        self.clock.advance(0)
        self.sub = self.accept()
        self.assertIs(self.successResultOf(waiting), thoonk)
        self.assertEqual(thoonk.state, "connected")
        self.stop()

    def test_claims_to_renew(self) -> None:
        """While workers hold claims, their longest rest limits the wait before an attempt."""
        thoonk = self.come_up(retry_policy=None)
        self.assertGreater(thoonk._connections.back_off(30), 10)
        self.patch(thoonk.waiting_room, "renewal", SimpleNamespace(longest_rest=lambda: 0.3))
        self.lose_both()
        self.clock.advance(0.3)
        self.clock.advance(0)
        self.accept_both()
        self.assertEqual((thoonk.state, thoonk._connections.back_off(30)), ("connected", 0.3))
        thoonk.waiting_room.renewal = None
        self.stop()

    def test_state_changed_fails(self) -> None:
        """An error of state_changed is logged, and affects nothing."""

        def bad(*_: Any) -> None:
            raise KeyError("state")

        self.come_up(state_changed=bad)
        self.lose_both()
        self.assertEqual(self.thoonk.state, "disconnected")
        self.stop()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 5)

    def test_calls(self) -> None:
        """Pending calls fail in an outage; new calls wait, and are sent in their order."""
        thoonk = self.come_up()
        flying = thoonk.redis.get("a")
        self.lose_both()
        error = self.failureResultOf(flying, ConnectionLost).value
        self.assertIn("may or may not have been done", str(error))
        self.assertNotIsInstance(error, NotSent)
        results = [outcome(thoonk.redis.get(key)) for key in "bcd"]
        self.clock.advance(1)
        self.clock.advance(0)
        self.pub = self.accept()
        self.assertEqual(self.pub.sent(), [[b"GET", key] for key in (b"b", b"c", b"d")])
        self.pub.answer(resp("B") + resp("C") + resp("D"))
        self.assertEqual(results, [["B"], ["C"], ["D"]])
        self.stop()

    def test_before_the_first_connection(self) -> None:
        """Calls wait before the first connection."""
        thoonk = self.start()
        result = outcome(thoonk.redis.get("a"))
        self.pub = self.accept()
        self.assertEqual(self.pub.sent(), [[b"GET", b"a"]])
        self.pub.answer(resp("A"))
        self.assertEqual(result, ["A"])
        self.stop()

    def test_too_late(self) -> None:
        """A call that has waited too long fails with NotSent and the reason."""
        thoonk = self.start(wait=4)
        self.endpoint.refuse()
        calls = [
            thoonk.redis.get("a"),
            thoonk.feed("x"),
            thoonk.subscribe("x"),
            thoonk.subscribe_pattern("x*"),
            thoonk.mirror("x"),
            thoonk.register_handler("create", print),
        ]
        self.clock.advance(3.9)
        for call in calls:
            self.assertNoResult(call)
        self.clock.advance(0.1)
        for call in calls:
            error = self.failureResultOf(call, NotSent).value
            self.assertIn("waited 4 seconds for a connection to redis://there/0", str(error))
            self.assertIn("refused", str(error))
        self.stop()

    def test_too_many(self) -> None:
        """Calls above the limit fail at once."""
        thoonk = self.start(limit=2)
        self.endpoint.refuse()
        waiting = [outcome(thoonk.redis.get(key)) for key in "ab"]
        error = self.failureResultOf(thoonk.redis.get("c"), NotSent).value
        for part in ("2 calls wait", "redis://there/0", "refused"):
            self.assertIn(part, str(error))
        self.assertEqual(waiting, [[], []])
        self.stop()
        self.assertEqual([type(error) for (error,) in waiting], [ConnectionLost] * 2)

    def test_no_waiting(self) -> None:
        """With wait=0 calls fail at once, and connect() still waits."""
        connected = self.connecting(wait=0)
        self.failureResultOf(self.thoonk.redis.get("a"), NotSent)
        registering = self.thoonk.register_handler("create", print)
        self.clock.advance(0)
        self.failureResultOf(registering, NotSent)
        self.accept_both()
        self.assertEqual(connected, [self.thoonk])
        self.stop()

    def test_the_reason_is_the_present_one(self) -> None:
        """The reason of NotSent is that of the connection that is missing."""
        thoonk = self.come_up(wait=2)
        self.endpoint.lose(self.pub)
        self.clock.advance(1)
        self.clock.advance(0)
        self.pub = self.accept()
        self.endpoint.lose(self.sub)
        self.clock.advance(1)
        self.clock.advance(0)
        self.endpoint.refuse(OSError("out of cable"))
        late = thoonk.register_handler("create", print)
        self.clock.advance(2)
        self.assertIn("out of cable", str(self.failureResultOf(late, NotSent).value))
        self.endpoint.refuse()
        self.stop()

    def test_handlers(self) -> None:
        """Handlers are subscribed again, and new ones can be registered."""
        heard: list[str] = []
        thoonk = self.come_up()
        first = thoonk.register_handler("feed.publish:x", lambda *it: heard.append("first"))
        self.confirm()
        self.lose_both()
        second = thoonk.register_handler("feed.publish:x", lambda *it: heard.append("second"))
        self.assertNoResult(second)
        self.clock.advance(1)
        self.clock.advance(0)
        self.accept_both()
        self.confirm()
        self.successResultOf(second)
        self.sub.answer(resp(["message", "feed.publish:x", b"id\0item"]))
        self.assertEqual(heard, ["first", "second"])
        thoonk.remove_handler(self.successResultOf(first))
        self.stop()

    def test_gets(self) -> None:
        """A waiting get is sent again on the next connection."""
        thoonk = self.come_up()
        get, waiting = self.blocked(thoonk)
        self.lose_both()
        self.endpoint.lose(waiting)
        self.assertNoResult(get)
        self.clock.advance(1)
        self.clock.advance(0)
        self.accept_both()
        self.assertEqual(self.names(self.pub), [b"queue/get"])
        self.pub.answer(resp([b"5.5", 0, b"a", b"A"]))
        self.assertEqual(self.successResultOf(get), "A")
        self.pub.answer(resp(1))
        self.stop()


class HealthTests(ServiceTestCase):
    def test_ping(self) -> None:
        """Idle connections are pinged, and replaced if they do not answer."""
        thoonk = self.come_up(health=20, reply_timeout=8)
        self.clock.advance(20)
        for peer in (self.pub, self.sub):
            self.assertEqual(self.names(peer), [b"PING"])
        self.pub.answer()
        self.wait(8)
        self.assertFalse(self.pub.transport.disconnected)
        self.assertTrue(self.sub.transport.disconnected)
        self.settle()
        self.assertEqual(thoonk.state, "disconnected")
        self.assertIn("no reply for 8 seconds", str(self.reasons[-1]))
        self.clock.advance(1)
        self.clock.advance(0)
        self.accept()
        self.assertEqual(thoonk.state, "connected")
        self.stop()

    def test_no_health(self) -> None:
        """With health=0 idle connections carry nothing but comparisons of the feeds' positions."""
        self.come_up(health=0)
        self.wait(100)
        self.assertEqual((self.pub.sent(), self.sub.sent()), ([], []))
        self.stop()

    def test_no_answer(self) -> None:
        """A call without an answer fails together with its connection."""
        thoonk = self.come_up(reply_timeout=8)
        call = thoonk.redis.get("a")
        self.wait(12)
        self.settle()
        self.assertIn("no reply for 8", str(self.failureResultOf(call, ConnectionLost).value))
        self.assertEqual(thoonk.state, "disconnected")
        self.stop()

    def test_any_time(self) -> None:
        """With reply_timeout=None a call may take any time."""
        thoonk = self.come_up(reply_timeout=None)
        call = thoonk.redis.get("a")
        self.wait(200)
        self.sub.answer()
        self.assertNoResult(call)
        self.pub.answer(resp("A"))
        self.assertEqual(self.successResultOf(call), "A")
        self.stop()
