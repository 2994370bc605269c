"""Handlers by channel, and what Redis confirms."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs

from tests.support.dispatching import DENIED, NEWS, DispatcherTestCase
from txthoonk.errors import ConnectionLost, ResponseError


class HandlerTests(DispatcherTestCase):
    def test_confirmed(self) -> None:
        """A handler gets messages from the confirmation on, split into parts."""
        adding = self.add()
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}"])
        self.tell("0\0too early")
        self.assertNoResult(adding)
        self.confirm(NEWS)
        self.successResultOf(adding)
        self.tell("1\0x\0y")
        self.tell("1", "feed.publish:other")
        self.assertEqual(self.messages, [("h", "1", "x\0y")])

    def test_one_subscription(self) -> None:
        """All handlers of a channel share one subscription, which ends with the last."""
        first, second = self.add("a"), self.add("b")
        self.confirm(NEWS)
        third = self.add("c")
        ids = [self.successResultOf(adding) for adding in (first, second, third)]
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}"])
        self.tell("1\0x")
        self.assertEqual([name for name, *_ in self.messages], ["a", "b", "c"])
        for id_ in ids:
            self.assertEqual(self.sent(), [])
            self.dispatcher.remove(id_)
        self.assertEqual(self.sent(), [f"UNSUBSCRIBE {NEWS}"])
        self.dispatcher.remove(ids[0])
        self.tell("2\0x")
        self.assertEqual((len(self.messages), self.sent()), (3, []))
        self.assert_clean()

    def test_malformed(self) -> None:
        """A malformed message is logged, and reaches no handler."""
        for name in ("one", "another"):
            self.added(name)
            with capturedLogs() as logged:
                self.tell("1")
            self.assertEqual((self.messages, [one["name"] for one in logged]), ([], [NEWS]))

    def test_failures(self) -> None:
        """A failure of a handler, at once or later, is logged, and stops no other handler."""

        async def later(*_: str) -> None:
            raise KeyError

        def at_once(*_: str) -> None:
            raise ZeroDivisionError

        results: list[Any] = [at_once, later, lambda *_: succeed(None), lambda *_: 1]
        for handler in results:
            self.dispatcher.add(NEWS, handler)
        self.confirm(NEWS)
        self.added("last")
        self.tell("1\0x")
        self.assertEqual(self.messages, [("last", "1", "x")])
        logged = [failure.type for failure in self.flushLoggedErrors()]
        self.assertEqual(logged, [ZeroDivisionError, KeyError])

    def test_removed_within(self) -> None:
        """A handler that another one removes does not get the message."""
        self.dispatcher.add(NEWS, lambda *_: self.dispatcher.remove(victim))
        victim = self.added("victim")
        self.tell("1\0x")
        self.assertEqual(self.messages, [])

    def test_whole_channel(self) -> None:
        """Messages of a channel that is not in the contract are split at every NUL."""
        self.added("h", "mine")
        self.tell("1\0x\0y", "mine")
        self.dispatcher.message("mine", "2")
        self.assertEqual(self.messages, [("h", "1", "x", "y"), ("h", "2")])

    def test_not_connected(self) -> None:
        """Without a connection, adding a handler fails."""
        self.lose()
        self.assertRaises(ConnectionLost, self.add)
        self.assert_clean()


class FeedTests(DispatcherTestCase):
    """Handlers that want the messages of one feed, on a channel for all feeds."""

    def add_for(self, feed: str, name: str) -> Deferred[int]:
        return self.dispatcher.add("conffeed", self.handler(name), feed)

    def test_own(self) -> None:
        """A handler gets the messages that begin with its feed's name, and no others."""
        adding = [self.add_for(feed, feed) for feed in ("a", "b", "ab")]
        self.assertEqual(self.sent(), ["SUBSCRIBE conffeed"])
        self.confirm("conffeed")
        for one in adding:
            self.successResultOf(one)
        for message in ("a\0me", "ab", "c\0me", "a"):
            self.tell(message, "conffeed")
        self.assertEqual(self.messages, [("a", "a", "me"), ("ab", "ab"), ("a", "a")])

    def test_beside_others(self) -> None:
        """Handlers for all messages get them as well, whether they were added before or after."""
        self.added("all", "conffeed")
        first = self.successResultOf(self.add_for("a", "first"))
        second = self.successResultOf(self.add_for("a", "second"))
        self.tell("a\0me", "conffeed")
        self.assertEqual([name for name, *_ in self.messages], ["all", "first", "second"])
        self.dispatcher.remove(first)
        self.tell("a\0me", "conffeed")
        self.dispatcher.remove(second)
        self.tell("a\0me", "conffeed")
        names = [name for name, *_ in self.messages[3:]]
        self.assertEqual(names, ["all", "second", "all"])

    def test_removed_within(self) -> None:
        """A handler that another one removes does not get the message."""
        self.dispatcher.add("conffeed", lambda *_: self.dispatcher.remove(victim), "a")
        self.confirm("conffeed")
        victim = self.successResultOf(self.add_for("a", "victim"))
        self.tell("a\0me", "conffeed")
        self.assertEqual(self.messages, [])

    def test_gone(self) -> None:
        """The subscription ends with the channel's last handler, and nothing is left."""
        cancelled = self.add_for("a", "cancelled")
        cancelled.addErrback(lambda _: None).cancel()
        self.confirm("conffeed")
        self.confirm("conffeed", kind="unsubscribe")
        ids = [self.add_for(feed, feed) for feed in "ab"]
        self.confirm("conffeed")
        self.sent()
        for one in ids:
            self.dispatcher.remove(self.successResultOf(one))
        self.assertEqual(self.sent(), ["UNSUBSCRIBE conffeed"])
        self.assert_clean()

    def test_refused(self) -> None:
        """If Redis refuses the channel, nothing is left of its handlers."""
        adding = self.add_for("a", "a")
        self.deny()
        self.failureResultOf(adding, ResponseError)
        self.assert_clean()


class ConfirmationTests(DispatcherTestCase):
    def test_late(self) -> None:
        """The confirmation of a request that was withdrawn confirms nothing."""
        self.dispatcher.remove(0)
        self.add("a").addErrback(lambda _: None).cancel()
        again = self.add("b")
        self.assertEqual(
            self.sent(), [f"SUBSCRIBE {NEWS}", f"UNSUBSCRIBE {NEWS}", f"SUBSCRIBE {NEWS}"]
        )
        self.confirm(NEWS)
        self.tell("1\0x")
        self.assertNoResult(again)
        self.confirm(NEWS, kind="unsubscribe")
        self.confirm(NEWS)
        self.successResultOf(again)
        self.tell("2\0x")
        self.assertEqual(self.messages, [("b", "2", "x")])

    def test_nobody_left(self) -> None:
        """If all handlers are removed before the confirmation, nothing is left."""
        self.add("a").addErrback(lambda _: None).cancel()
        self.confirm(NEWS)
        self.confirm(NEWS, kind="unsubscribe")
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}", f"UNSUBSCRIBE {NEWS}"])
        self.assert_clean()

    def test_unasked(self) -> None:
        """A confirmation that was not asked for changes nothing."""
        self.dispatcher.confirmed("other")
        self.added()
        self.dispatcher.confirmed(NEWS)
        self.tell("1\0x")
        self.assertEqual(self.messages, [("h", "1", "x")])

    def test_cancelled_by_another(self) -> None:
        """A Deferred that is cancelled while others fire does not fire."""
        first, second = self.add("a"), self.add("b")
        second.addErrback(lambda _: None)
        first.addCallback(lambda _: second.cancel())
        self.confirm(NEWS)
        self.tell("1\0x")
        self.assertEqual([name for name, *_ in self.messages], ["a"])

    def test_removed_at_once(self) -> None:
        """Code that removes its handler at the confirmation does not affect others."""
        first, second = self.add("a"), self.add("b")
        first.addCallback(self.dispatcher.remove)
        self.confirm(NEWS)
        self.successResultOf(second)
        self.tell("1\0x")
        self.assertEqual(self.messages, [("b", "1", "x")])
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}"])

    def test_last_one_removed_at_once(self) -> None:
        """If no handler is left after the confirmation, the channel is unsubscribed."""
        self.add("a").addCallback(self.dispatcher.remove)
        self.confirm(NEWS)
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}", f"UNSUBSCRIBE {NEWS}"])
        self.assert_clean()

    def test_refused(self) -> None:
        """If Redis refuses a channel, the Deferred fails with the reason. You may ask again."""
        adding = self.add()
        self.deny()
        self.assertEqual(str(self.failureResultOf(adding, ResponseError).value), DENIED)
        self.assert_clean()
        self.added()

    def test_refused_and_asked_again(self) -> None:
        """A request that is made at a refusal gets an answer of its own."""
        again: list[Deferred[int]] = []
        first = self.add("a").addErrback(lambda _: again.append(self.add("b")))
        self.deny()
        self.successResultOf(first)
        self.confirm(NEWS)
        self.successResultOf(again[0])
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}"] * 2)

    def test_refused_after_leaving(self) -> None:
        """A refusal of a request that was withdrawn changes nothing."""
        self.add().addErrback(lambda _: None).cancel()
        self.deny()
        self.assert_clean()

    def test_earlier_request_refused(self) -> None:
        """Only the last answer counts: the refusal of a withdrawn request does not."""
        self.add("a").addErrback(lambda _: None).cancel()
        adding = self.add("b")
        adding.addErrback(lambda _: None)
        self.deny()
        self.confirm(NEWS, kind="unsubscribe")
        self.assertNoResult(adding)
        self.confirm(NEWS)
        self.assertIsNotNone(self.successResultOf(adding))
        self.tell("1\0x")
        self.assertEqual(self.messages, [("b", "1", "x")])

    def test_earlier_request_of_a_group_refused(self) -> None:
        """A group that shares a channel is not refused because of another group's channels."""
        gone = self.join("a", "secret")
        self.dispatcher.leave(gone.group)
        member = self.join("a")
        self.deny()
        self.assertEqual((gone.seen(), member.seen()), ([], []))
        self.confirm("a", "secret", kind="unsubscribe")
        self.confirm("a")
        self.assertEqual(member.seen(), ["ready"])

    def test_cannot_be_named(self) -> None:
        """A name that cannot be sent is refused at once."""
        adding = self.add("h", "feed.publish:\ud800")
        self.assertIn("surrogates not allowed", str(self.failureResultOf(adding).value))
        member = self.join("\ud800")
        self.assertEqual(len(member.seen()), 1)
        self.dispatcher.leave(member.group)
        self.assertEqual(self.sent(), [])
        self.assert_clean()

    def test_failed_by_another(self) -> None:
        """A Deferred that is cancelled while others fail does not fail with the refusal."""
        first, second = self.add("a"), self.add("b")
        second.addErrback(lambda _: None)
        first.addErrback(lambda _: second.cancel())
        self.deny()
        self.successResultOf(first)
        self.assert_clean()
