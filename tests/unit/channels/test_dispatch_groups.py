"""Connections and groups of channels."""

from __future__ import annotations

from twisted.logger import capturedLogs

from tests.support.dispatching import DENIED, NEWS, DispatcherTestCase, Member
from txthoonk.channels import _dispatcher
from txthoonk.errors import ConnectionLost, ResponseError


class ConnectionTests(DispatcherTestCase):
    def test_taken_up(self) -> None:
        """On a new connection all channels are subscribed to again, and live once confirmed."""
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

    def test_taken_up_in_slices(self) -> None:
        """A limited number of channels is requested, and more as these are confirmed."""
        self.patch(_dispatcher, "AT_ONCE", 3)
        members = [self.join(*names) for names in ("ab", "cd", "ef", "gh")]
        self.added()
        self.lose()
        for _ in range(2):  # the next connection does what one connection left undone
            self.connect()
            self.assertEqual(self.sent(), ["SUBSCRIBE a b", "SUBSCRIBE c d"])
            self.confirm("a")
            self.assertEqual(self.sent(), [])
            self.confirm("b")
            self.assertEqual(self.sent(), ["SUBSCRIBE e f"])
            self.lose()
        self.connect()
        self.dispatcher.leave(members[2].group)
        self.sent()
        self.confirm("a", "b")
        self.assertEqual(self.sent(), ["SUBSCRIBE g h"])
        self.deny()
        self.assertEqual(self.sent(), [f"SUBSCRIBE {NEWS}"])

    def test_waiting(self) -> None:
        """A Deferred that waits for a confirmation fails when the connection is lost."""
        adding = self.add()
        self.lose()
        self.failureResultOf(adding, ConnectionLost)
        self.connect()
        self.assertEqual(self.sent(), [])
        self.assert_clean()

    def test_removed_while_away(self) -> None:
        """A handler that is removed without a connection is not subscribed on the next one."""
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
        """A group that another one removes at the loss is not informed of it."""
        first, second = self.join("a"), self.join("b")
        first.then = lambda _: self.dispatcher.leave(second.group)
        self.lose()
        self.assertEqual((first.seen(), second.seen()), (["lost"], []))

    def test_joined_when_lost(self) -> None:
        """A group that joins at the loss gets the channel on the next connection."""
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
        """If handlers lose their channel because of a refusal, the log says so."""
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
        """A group gets each message unsplit, and of a pattern also the channel."""
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
        """The dispatcher returns whether a pattern was subscribed to through it."""
        member = self.join(patterns=("c*",))
        for confirmed in (False, True):
            self.assertTrue(self.dispatcher.pattern_message("c*", "c1", "x"))
            self.assertFalse(self.dispatcher.pattern_message("e*", "e1", "x"))
            self.assertEqual(("c*", "c1", "x") in member.seen(), confirmed)
            self.pconfirm("c*")

    def test_same_name(self) -> None:
        """A pattern and a channel of the same name are different."""
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
        """An empty group is ready at once."""
        self.assertEqual(self.join().seen(), ["ready"])

    def test_shared(self) -> None:
        """A group is ready at once if others have all its channels, and they keep them."""
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
        """Groups share a pattern as they share a channel."""
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
        """A group gets messages that are malformed for handlers."""
        member = self.join(NEWS)
        self.confirm(NEWS)
        self.tell("1")
        self.assertEqual(member.seen(), ["ready", (NEWS, "1")])

    def test_left_before_confirmed(self) -> None:
        """A group that leaves before the confirmation is not called."""
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
        """A group that another one removes when it becomes ready is not called."""
        first, second = self.join("a"), self.join("a")
        first.then = lambda _: self.dispatcher.leave(second.group)
        self.confirm("a")
        self.assertEqual((first.seen(), second.seen()), (["ready"], []))

    def test_left_when_ready(self) -> None:
        """A group that leaves when it is ready leaves nothing."""
        member = Member("a")
        member.then = lambda _: self.dispatcher.leave(member.group)
        self.dispatcher.join(member.group)
        self.confirm("a")
        self.assertEqual(self.sent(), ["SUBSCRIBE a", "UNSUBSCRIBE a"])
        self.assert_clean()

    def test_refused(self) -> None:
        """A group with a refused channel is informed once for each request."""
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
        """A group that another one removes at a refusal is not called."""
        first, second = self.join("a"), self.join("a")
        first.then = lambda _: self.dispatcher.leave(second.group)
        self.deny()
        self.assertEqual((first.seen(), second.seen()), ([f"refused: {DENIED}"], []))

    def test_refused_in_part(self) -> None:
        """Channels that a refused group shares with others stay with them."""
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
        """A refusal without a request changes nothing."""
        self.added()
        self.dispatcher.refused(("other", NEWS), ResponseError(DENIED))
        self.tell("1\0x")
        self.assertEqual(self.messages, [("h", "1", "x")])

    def test_without_a_connection(self) -> None:
        """Messages without a handler or group are ignored."""
        self.dispatcher.message("a", "1")
        member = self.join("a")
        self.confirm("a")
        self.dispatcher.message("a", "1")
        self.assertEqual(member.seen(), ["ready", ("a", "1")])
