"""Which channel goes to whom, over a connection in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.wire import commands, lose, plug, resp
from txthoonk._dispatch import Dispatcher, Group
from txthoonk.errors import ConnectionLost, ResponseError
from txthoonk.protocol import RedisSubscriber

DENIED = "NOPERM no permission"
NEWS = "feed.publish:news"


class Member:
    """A group whose calls are kept."""

    def __init__(self, *channels: str, patterns: tuple[str, ...] = ()) -> None:
        self.told: list[Any] = []
        self.group = Group(
            channels={name: self.sink(name) for name in channels},
            patterns={name: self.sink(name) for name in patterns},
            ready=lambda: self.hear("ready"),
            lost=lambda: self.hear("lost"),
            refused=lambda error: self.hear(f"refused: {error}"),
        )
        self.then: Callable[[Any], object] = lambda _: None

    def sink(self, name: str) -> Callable[..., object]:
        return lambda *message: self.hear((name, *message))

    def hear(self, what: Any) -> None:
        self.told.append(what)
        self.then(what)

    def seen(self) -> list[Any]:
        told = list(self.told)
        self.told.clear()
        return told


class DispatcherTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.dispatcher = Dispatcher()
        self.messages: list[tuple[str, ...]] = []
        self.connect()

    def connect(self) -> None:
        """Wire up a connection, as ThoonkSub does."""
        dispatcher = self.dispatcher
        self.redis = redis = RedisSubscriber()
        redis.channelSubscribed = lambda name, _: dispatcher.confirmed(name)  # type: ignore
        redis.channelPatternSubscribed = dispatcher.pattern_confirmed  # type: ignore
        redis.subscriptionFailed = dispatcher.refused  # type: ignore
        redis.patternSubscriptionFailed = dispatcher.refused_patterns  # type: ignore
        redis.patternMessageReceived = dispatcher.pattern_message  # type: ignore
        redis.route(dispatcher.message, dispatcher.routes, dispatcher.pattern_routes)
        _, self.transport = plug(redis)
        dispatcher.connected(redis)

    def lose(self) -> None:
        self.dispatcher.disconnected(ConnectionLost("cable cut"))
        lose(self.redis)

    def sent(self) -> list[str]:
        words = [b" ".join(command).decode() for command in commands(self.transport.value())]
        self.transport.clear()
        return words

    def receive(self, *words: Any) -> None:
        self.redis.dataReceived(resp(list(words)))

    def confirm(self, *names: str, kind: str = "subscribe") -> None:
        for name in names:
            self.receive(kind, name, 1)

    def pconfirm(self, *names: str) -> None:
        self.confirm(*names, kind="psubscribe")

    def deny(self) -> None:
        self.redis.dataReceived(f"-{DENIED}\r\n".encode())

    def tell(self, message: str, channel: str = NEWS) -> None:
        self.receive("message", channel, message)

    def handler(self, name: str) -> Callable[..., None]:
        return lambda *parts: self.messages.append((name, *parts))

    def add(self, name: str = "h", channel: str = NEWS) -> Deferred[int]:
        return self.dispatcher.add(channel, self.handler(name))

    def added(self, name: str = "h", channel: str = NEWS) -> int:
        """Add a handler and confirm its channel."""
        adding = self.add(name, channel)
        self.confirm(channel)
        return self.successResultOf(adding)

    def join(self, *channels: str, patterns: tuple[str, ...] = ()) -> Member:
        member = Member(*channels, patterns=patterns)
        self.dispatcher.join(member.group)
        return member

    def assert_clean(self) -> None:
        """Check that nothing is left of what nobody wants."""
        dispatcher = self.dispatcher
        self.assertEqual((dispatcher._topics, dispatcher._by_id), ({}, {}))
        self.assertEqual((dispatcher._groups, dispatcher.routes), ({}, {}))


class HandlerTests(DispatcherTestCase):
    def test_confirmed(self) -> None:
        """A handler counts from the confirmation on; its message comes in parts."""
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
        """All handlers of a channel share one subscription, and end it with the last."""
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
        """A message that the contract does not allow is logged and reaches no handler."""
        for name in ("one", "another"):
            self.added(name)
            with capturedLogs() as logged:
                self.tell("1")
            self.assertEqual((self.messages, [one["name"] for one in logged]), ([], [NEWS]))

    def test_failures(self) -> None:
        """A handler that fails, now or later, is logged and stops no other."""

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
        """The messages of a channel that the contract does not know are split at every NUL."""
        self.added("h", "mine")
        self.tell("1\0x\0y", "mine")
        self.dispatcher.message("mine", "2")
        self.assertEqual(self.messages, [("h", "1", "x", "y"), ("h", "2")])

    def test_not_connected(self) -> None:
        """Without a connection a handler is refused."""
        self.lose()
        self.assertRaises(ConnectionLost, self.add)
        self.assert_clean()


class ConfirmationTests(DispatcherTestCase):
    def test_late(self) -> None:
        """The confirmation of a request that was taken back confirms nothing."""
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
        """Where all are gone before the confirmation, it leaves nothing behind."""
        self.add("a").addErrback(lambda _: None).cancel()
        self.confirm(NEWS)
        self.confirm(NEWS, kind="unsubscribe")
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}", f"UNSUBSCRIBE {NEWS}"])
        self.assert_clean()

    def test_unasked(self) -> None:
        """A confirmation that nobody waits for changes nothing."""
        self.dispatcher.confirmed("other")
        self.added()
        self.dispatcher.confirmed(NEWS)
        self.tell("1\0x")
        self.assertEqual(self.messages, [("h", "1", "x")])

    def test_cancelled_by_another(self) -> None:
        """Who is cancelled while others are told of the confirmation is not told of it."""
        first, second = self.add("a"), self.add("b")
        second.addErrback(lambda _: None)
        first.addCallback(lambda _: second.cancel())
        self.confirm(NEWS)
        self.tell("1\0x")
        self.assertEqual([name for name, *_ in self.messages], ["a"])

    def test_removed_at_once(self) -> None:
        """Who removes its handler when told of the confirmation harms no other."""
        first, second = self.add("a"), self.add("b")
        first.addCallback(self.dispatcher.remove)
        self.confirm(NEWS)
        self.successResultOf(second)
        self.tell("1\0x")
        self.assertEqual(self.messages, [("b", "1", "x")])
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}"])

    def test_last_one_removed_at_once(self) -> None:
        """Where nobody is left after the confirmation, the channel is unsubscribed."""
        self.add("a").addCallback(self.dispatcher.remove)
        self.confirm(NEWS)
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}", f"UNSUBSCRIBE {NEWS}"])
        self.assert_clean()

    def test_refused(self) -> None:
        """Who waits for a channel that Redis refuses is told why, and may ask again."""
        adding = self.add()
        self.deny()
        self.assertEqual(str(self.failureResultOf(adding, ResponseError).value), DENIED)
        self.assert_clean()
        self.added()

    def test_refused_and_asked_again(self) -> None:
        """Who asks again when refused gets an answer of its own."""
        again: list[Deferred[int]] = []
        first = self.add("a").addErrback(lambda _: again.append(self.add("b")))
        self.deny()
        self.successResultOf(first)
        self.confirm(NEWS)
        self.successResultOf(again[0])
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}"] * 2)

    def test_refused_after_leaving(self) -> None:
        """A refusal that nobody waits for any more changes nothing."""
        self.add().addErrback(lambda _: None).cancel()
        self.deny()
        self.assert_clean()

    def test_earlier_request_refused(self) -> None:
        """Only the last answer counts: the refusal of a request that was taken back does not."""
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
        """A group that takes a channel over is not refused because of another's channels."""
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
        """Who is removed while others are told of the refusal is not told of it."""
        first, second = self.add("a"), self.add("b")
        second.addErrback(lambda _: None)
        first.addErrback(lambda _: second.cancel())
        self.deny()
        self.successResultOf(first)
        self.assert_clean()


class ConnectionTests(DispatcherTestCase):
    def test_taken_up(self) -> None:
        """On a new connection all that is wanted is subscribed, and counts once confirmed."""
        self.added()
        member = self.join("a", "b", patterns=("c*",))
        self.confirm("a", "b")
        self.pconfirm("c*")
        self.assertEqual(member.seen(), ["ready"])
        self.lose()
        self.assertEqual((member.seen(), self.dispatcher.routes), (["lost"], {}))
        self.connect()
        self.assertEqual(self.sent(), ["SUBSCRIBE a b", "PSUBSCRIBE c*", f"SUBSCRIBE {NEWS}"])
        self.tell("1\0too early")
        self.confirm("a", "b")
        self.pconfirm("c*")
        self.confirm(NEWS)
        self.tell("2\0x")
        self.assertEqual((member.seen(), self.messages), (["ready"], [("h", "2", "x")]))

    def test_waiting(self) -> None:
        """Who waits for a confirmation is told of the loss, and is forgotten."""
        adding = self.add()
        self.lose()
        self.failureResultOf(adding, ConnectionLost)
        self.connect()
        self.assertEqual(self.sent(), [])
        self.assert_clean()

    def test_removed_while_away(self) -> None:
        """What is removed without a connection is not subscribed on the next one."""
        id_, member = self.added(), self.join("a")
        self.lose()
        self.dispatcher.remove(id_)
        self.dispatcher.leave(member.group)
        self.connect()
        self.assertEqual(self.sent(), [])
        self.assert_clean()

    def test_joined_while_away(self) -> None:
        """A group that joins without a connection is ready on the next one."""
        self.lose()
        member = self.join("a")
        self.connect()
        self.confirm("a")
        self.assertEqual(member.seen(), ["ready"])

    def test_left_when_lost(self) -> None:
        """A group that another one takes along when the connection is lost is not told."""
        first, second = self.join("a"), self.join("b")
        first.then = lambda _: self.dispatcher.leave(second.group)
        self.lose()
        self.assertEqual((first.seen(), second.seen()), (["lost"], []))

    def test_joined_when_lost(self) -> None:
        """Who takes a channel over when another is told of the loss has it later on."""
        member = Member(NEWS)
        first, second = self.add("a"), self.add("b")
        second.addErrback(lambda _: None)

        def take_over(_: object) -> None:
            second.cancel()
            self.dispatcher.join(member.group)

        first.addErrback(take_over)
        self.lose()
        self.successResultOf(first)
        self.connect()
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}"])
        self.confirm(NEWS)
        self.tell("1\0x")
        self.assertEqual(member.seen()[-2:], ["ready", (NEWS, "1\0x")])

    def test_refused_on_the_next_one(self) -> None:
        """Handlers that lose their channel because of a refusal say so in the log."""
        self.added()
        self.lose()
        self.connect()
        with capturedLogs() as logged:
            self.deny()
        self.assertEqual([one["name"] for one in logged], [NEWS])
        self.tell("1\0x")
        self.assertEqual(self.messages, [])
        self.lose()
        self.connect()
        self.confirm(NEWS)
        self.tell("2\0x")
        self.assertEqual(self.messages, [("h", "2", "x")])


class GroupTests(DispatcherTestCase):
    def test_ready(self) -> None:
        """A group is ready once all its channels and patterns are confirmed."""
        member = self.join("a", "b", patterns=("c*", "d*"))
        self.assertEqual(self.sent(), ["SUBSCRIBE a b", "PSUBSCRIBE c* d*"])
        self.confirm("a", "b")
        self.pconfirm("c*")
        self.assertEqual(member.seen(), [])
        self.pconfirm("d*")
        self.assertEqual(member.seen(), ["ready"])

    def test_messages(self) -> None:
        """A group gets each message whole, with the channel where a pattern matches it."""
        member = self.join("a", patterns=("c*",))
        self.confirm("a")
        self.receive("pmessage", "c*", "c1", "too early")
        self.pconfirm("c*")
        self.assertEqual(member.seen(), ["ready"])
        self.tell("1\0x", "a")
        self.receive("pmessage", "c*", "c1", "2\0y")
        self.receive("pmessage", "e*", "e1", "3")
        self.assertEqual(member.seen(), [("a", "1\0x"), ("c*", "c1", "2\0y")])

    def test_others_patterns(self) -> None:
        """Whether a pattern is one of ours is told to who asks."""
        member = self.join(patterns=("c*",))
        for confirmed in (False, True):
            self.assertTrue(self.dispatcher.pattern_message("c*", "c1", "x"))
            self.assertFalse(self.dispatcher.pattern_message("e*", "e1", "x"))
            self.assertEqual(("c*", "c1", "x") in member.seen(), confirmed)
            self.pconfirm("c*")

    def test_same_name(self) -> None:
        """A pattern is not the channel of that name."""
        member = self.join("a*", patterns=("a*",))
        self.confirm("a*")
        self.assertEqual(member.seen(), [])
        self.pconfirm("a*")
        self.tell("x", "a*")
        self.assertEqual(member.seen(), ["ready", ("a*", "x")])
        self.sent()
        self.dispatcher.leave(member.group)
        self.assertEqual(self.sent(), ["UNSUBSCRIBE a*", "PUNSUBSCRIBE a*"])
        self.assert_clean()

    def test_nothing(self) -> None:
        """A group of nothing is ready at once."""
        self.assertEqual(self.join().seen(), ["ready"])

    def test_shared(self) -> None:
        """A group is ready at once where others have all of it, and leaves it to them."""
        first = self.join("a", "b")
        self.confirm("a", "b")
        second = self.join("a")
        third = self.join("b", "c")
        self.assertEqual((second.seen(), third.seen()), (["ready"], []))
        self.assertEqual(self.sent(), ["SUBSCRIBE a b", "SUBSCRIBE c"])
        self.confirm("c")
        self.assertEqual(third.seen(), ["ready"])
        self.tell("0", "a")
        self.assertEqual((first.seen()[1:], second.seen()), ([("a", "0")], [("a", "0")]))
        self.dispatcher.leave(first.group)
        self.assertEqual(self.sent(), [])
        self.dispatcher.leave(third.group)
        self.assertEqual(self.sent(), ["UNSUBSCRIBE b c"])
        self.dispatcher.leave(third.group)
        self.tell("1", "a")
        self.assertEqual((second.seen(), self.sent()), ([("a", "1")], []))

    def test_shared_pattern(self) -> None:
        """A pattern is shared as a channel is."""
        first, second = self.join(patterns=("c*",)), self.join(patterns=("c*",))
        self.pconfirm("c*")
        self.receive("pmessage", "c*", "c1", "x")
        seen = ["ready", ("c*", "c1", "x")]
        self.assertEqual((first.seen(), second.seen()), (seen, seen))
        self.dispatcher.leave(first.group)
        self.receive("pmessage", "c*", "c1", "y")
        self.assertEqual((first.seen(), second.seen()), ([], [("c*", "c1", "y")]))
        self.assertEqual(self.sent(), ["PSUBSCRIBE c*"])
        self.dispatcher.leave(second.group)
        self.assertEqual(self.sent(), ["PUNSUBSCRIBE c*"])
        self.assertEqual(self.dispatcher.pattern_routes, {})
        self.assert_clean()

    def test_handler_and_group(self) -> None:
        """A handler and a group share a channel; the group gets the message first."""
        order: list[str] = []
        member = self.join(NEWS)
        adding = self.dispatcher.add(NEWS, lambda *_: order.append("handler"))
        member.then = lambda what: order.append("group")
        self.confirm(NEWS)
        self.tell("1\0x")
        self.assertEqual(order, ["group", "group", "handler"])
        self.dispatcher.leave(member.group)
        self.tell("2\0x")
        self.assertEqual(order[3:], ["handler"])
        self.dispatcher.remove(self.successResultOf(adding))
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}", f"UNSUBSCRIBE {NEWS}"])
        self.assert_clean()

    def test_malformed_for_handlers_only(self) -> None:
        """A group gets what a handler of the channel would not."""
        member = self.join(NEWS)
        self.confirm(NEWS)
        self.tell("1")
        self.assertEqual(member.seen(), ["ready", (NEWS, "1")])

    def test_left_before_confirmed(self) -> None:
        """A group that leaves before it is confirmed is told nothing."""
        member = self.join("a", patterns=("c*",))
        self.dispatcher.leave(member.group)
        self.confirm("a")
        self.pconfirm("c*")
        self.tell("1", "a")
        self.assertEqual(member.seen(), [])
        self.assertEqual(
            self.sent(), ["SUBSCRIBE a", "PSUBSCRIBE c*", "UNSUBSCRIBE a", "PUNSUBSCRIBE c*"]
        )
        self.assert_clean()

    def test_left_by_another(self) -> None:
        """A group that another one takes along when that is ready is not told."""
        first, second = self.join("a"), self.join("a")
        first.then = lambda _: self.dispatcher.leave(second.group)
        self.confirm("a")
        self.assertEqual((first.seen(), second.seen()), (["ready"], []))

    def test_left_when_ready(self) -> None:
        """A group that leaves when it is ready leaves nothing behind."""
        member = Member("a")
        member.then = lambda _: self.dispatcher.leave(member.group)
        self.dispatcher.join(member.group)
        self.confirm("a")
        self.assertEqual(self.sent(), ["SUBSCRIBE a", "UNSUBSCRIBE a"])
        self.assert_clean()

    def test_refused(self) -> None:
        """A group of which Redis refuses anything is told once for each request."""
        member = self.join("a", "b", patterns=("c*", "d*"))
        self.deny()
        self.assertEqual(member.seen(), [f"refused: {DENIED}"])
        self.deny()
        self.assertEqual(member.seen(), [f"refused: {DENIED}"])
        self.sent()
        self.dispatcher.leave(member.group)
        self.assertEqual(self.sent(), [])
        self.assert_clean()

    def test_refused_with_others(self) -> None:
        """A group that another one takes along when that is refused is not told."""
        first, second = self.join("a"), self.join("a")
        first.then = lambda _: self.dispatcher.leave(second.group)
        self.deny()
        self.assertEqual((first.seen(), second.seen()), ([f"refused: {DENIED}"], []))

    def test_refused_in_part(self) -> None:
        """What a refused group shares with others stays with them."""
        id_ = self.added("h")
        member = self.join(NEWS, "secret")
        self.deny()
        self.assertEqual(member.seen(), [f"refused: {DENIED}"])
        self.dispatcher.leave(member.group)
        self.tell("1\0x")
        self.assertEqual(self.messages, [("h", "1", "x")])
        self.sent()
        self.dispatcher.remove(id_)
        self.assertEqual(self.sent(), [f"UNSUBSCRIBE {NEWS}"])
        self.assert_clean()

    def test_unheard_of_refusal(self) -> None:
        """A refusal of what nobody asked for changes nothing."""
        self.added()
        self.dispatcher.refused(("other", NEWS), ResponseError(DENIED))
        self.tell("1\0x")
        self.assertEqual(self.messages, [("h", "1", "x")])

    def test_without_a_connection(self) -> None:
        """What comes when nobody listens is ignored."""
        self.dispatcher.message("a", "1")
        member = self.join("a")
        self.confirm("a")
        self.dispatcher.message("a", "1")
        self.assertEqual(member.seen(), ["ready", ("a", "1")])
