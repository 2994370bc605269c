"""SortedFeed: every form of position, and the order that results from many verbs."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import product
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support import Recorder
from tests.support.sorted_feed import (
    POSITION,
    PUBLISH,
    RETRACT,
    VERBS,
    Message,
    SortedFeedTestCase,
)
from txthoonk.errors import InvalidInput, InvalidType, ItemDoesNotExist, ThoonkError

MALFORMED = (
    *("", ":", "::", "1", "1:2", "begin", "end", ":begin", "end:", ":1:", ":begin:", ":end:"),
    *("a\0:", ":a\0", "\0:", "begin:\0", ":\ud800"),
)
NO_POSITIONS: tuple[Any, ...] = (None, 1, 1.5, b":1", b"begin:", [":1"], (":", "1"), True)
UNSENDABLE = "\\ud800"  # as repr() shows it
# Values that cannot be an id, or that no position can name.
NO_IDS: tuple[Any, ...] = ("a\0", "\0", "\ud800", None, 1.5, b"1", ["1"], True)


class FormTests(SortedFeedTestCase):
    async def test_every_move(self) -> None:
        """A move with any form of position stores the new order and publishes the position."""
        ids = await self.fill(4)
        positions = ["begin:", ":end", *(f":{id_}" for id_ in ids), *(f"{id_}:" for id_ in ids)]
        for position, id_ in product(positions, ids):
            self.assertIsNone(await self.same("move", position, id_))

    async def test_every_move_by_its_name(self) -> None:
        """The verbs that name their position do the same as ``move``."""
        ids = await self.fill(4)
        for relative, id_ in product(ids, ids):
            self.assertIsNone(await self.same("move_before", relative, id_))
            self.assertIsNone(await self.same("move_after", relative, id_))
        for id_ in ids:
            self.assertIsNone(await self.same("move_first", id_))
            self.assertIsNone(await self.same("move_last", id_))

    async def test_messages(self) -> None:
        """A move publishes one event, with the position as it was given."""
        await self.fill(3)
        for verb, *arguments, position in (
            ("move", ":1", "3", ":1"),
            ("move", "1:", "3", "1:"),
            ("move", "begin:", "3", "begin:"),
            ("move", ":end", "3", ":end"),
            ("move_before", "1", "3", ":1"),
            ("move_after", "1", "3", "1:"),
            ("move_first", "3", "begin:"),
            ("move_last", "3", ":end"),
        ):
            self.assertIsNone(await getattr(self.feed, verb)(*arguments))
            message = f"3\0{position}".encode()
            self.assertEqual(await self.spied.messages(), [(POSITION, message)])

    async def test_alone(self) -> None:
        """The only item can be moved to either end, and the move is published."""
        await self.fill(1)
        for position in ("begin:", ":end"):
            await self.same("move", position, "1")

    async def test_not_counted(self) -> None:
        """A move does not count as a publish."""
        await self.fill(3)
        await self.same("move_first", "3")
        self.assertEqual(await self.value("feed.publishes:x"), b"3")

    async def test_beside_itself(self) -> None:
        """Moving an item beside itself does nothing; it fails if the item is missing."""
        await self.fill(3)
        before = await self.state()
        for position in (":2", "2:"):
            self.assertIsNone(await self.feed.move(position, "2"))
        await self.feed.move_before("2", "2")
        await self.feed.move_after("2", "2")
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])
        for position in (":9", "9:"):
            await self.assertFailure(self.feed.move(position, "9"), ItemDoesNotExist)

    async def test_what_is_not_there(self) -> None:
        """A move with a missing id changes nothing; the error names the feed and that id."""
        await self.fill(2)
        for position, id_ in (
            (":missing", "1"),
            ("missing:", "1"),
            ("begin:", "missing"),
            (":end", "missing"),
            (":1", "missing"),
            ("1:", "missing"),
        ):
            error = await self.assertFailure(self.feed.move(position, id_), ItemDoesNotExist)
            self.assertIn("'x'", str(error))
            self.assertIn("missing", str(error))
            self.assertNotIn("'1'", str(error))
            await self.assertAsModel()

    async def test_heard(self) -> None:
        """Handlers receive each publish, position and retract, split into parts, in order."""
        heard = Recorder()
        sub = await self.sub()
        for channel in (
            self.feed.channel_publish,
            self.feed.channel_position,
            self.feed.channel_retract,
        ):
            await sub.register_handler(channel, heard.named(channel.split(".")[1][:-2]))
        await gatherResults(
            [  # type: ignore[arg-type]
                self.feed.append("a\0a"),
                self.feed.prepend("b"),
                self.feed.publish_before("1", "c"),
                self.feed.publish_after("1", "d"),
                self.feed.edit("1", "e"),
                self.feed.move("begin:", "1"),
                self.feed.move_after("3", "2"),
                self.feed.retract("2"),
            ]
        )
        expected: list[tuple[str, ...]] = []
        for id_, item, position in (
            ("1", "a\0a", ":end"),
            ("2", "b", "begin:"),
            ("3", "c", ":1"),
            ("4", "d", "1:"),
        ):
            expected += [("publish", id_, item), ("position", id_, position)]
        expected += [("publish", "1", "e"), ("position", "1", "begin:")]
        expected += [("position", "2", "3:"), ("retract", "2")]
        self.assertEqual(await heard.wait(len(expected)), expected)


class MalformedTests(SortedFeedTestCase):
    async def refused(self, value: Any, verb: str, *arguments: Any) -> None:
        """Check that a call fails naming *value*, and neither changes nor publishes anything."""
        called: Deferred[Any] = getattr(self.feed, verb)(*arguments)
        wanted: type[Exception] = InvalidInput if isinstance(value, str) else InvalidType
        named = repr(value.strip(":"))[1:-1] if isinstance(value, str) else repr(value)
        if UNSENDABLE in named:
            wanted = ValueError
        error = await self.assertFailure(called, wanted)
        self.assertIn(named, str(error))
        await self.assertAsModel()

    async def test_positions(self) -> None:
        """Text that is not a position is refused before anything is written."""
        await self.fill(2)
        for position in MALFORMED:
            for id_ in ("1", "missing"):
                await self.refused(position, "move", position, id_)
        self.assertTrue(issubclass(InvalidInput, ValueError))

    async def test_no_positions(self) -> None:
        """A position must be text."""
        await self.fill(2)
        for position in NO_POSITIONS:
            await self.refused(position, "move", position, "1")

    async def test_ids(self) -> None:
        """Every verb refuses an invalid id, in every argument."""
        await self.fill(2)
        for id_ in NO_IDS:
            for verb, *arguments in (
                ("publish_before", id_, "item"),
                ("publish_after", id_, "item"),
                ("edit", id_, "item"),
                ("move", "begin:", id_),
                ("move_before", id_, "1"),
                ("move_before", "1", id_),
                ("move_after", id_, "1"),
                ("move_after", "1", id_),
                ("move_first", id_),
                ("move_last", id_),
                ("retract", id_),
                ("get_item", id_),
                ("has_id", id_),
            ):
                await self.refused(id_, verb, *arguments)

    async def test_beside_what_a_position_cannot_name(self) -> None:
        """An item cannot be placed beside an id if the resulting position would be ambiguous."""
        await self.fill(2)
        await self.raw.send("RPUSH", "feed.ids:x", "begin", "end", "a:", ":a", "")
        for id_ in ("begin", "end", "a:", ":a", ""):
            await self.raw.send("HSET", "feed.items:x", id_, "item")
        before = await self.state()
        for relative, side in (
            ("end", "before"),
            ("begin", "after"),
            ("a:", "before"),
            (":a", "after"),
            ("", "before"),
            ("", "after"),
        ):
            for verb, argument in ((f"publish_{side}", "item"), (f"move_{side}", "1")):
                called = getattr(self.feed, verb)(relative, argument)
                await self.assertFailure(called, InvalidInput)
                self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_names_of_the_ends_as_ids(self) -> None:
        """``begin:`` and ``:end`` mean the ends, even if items have the ids begin and end."""
        await self.fill(2)
        await self.raw.send("RPUSH", "feed.ids:x", "begin", "end")
        await self.raw.send("HSET", "feed.items:x", "begin", "B", "end", "E")
        await self.feed.move("begin:", "end")
        await self.feed.move(":end", "1")
        self.assertEqual(await self.feed.get_ids(), ["end", "2", "begin", "1"])
        told = [(POSITION, b"end\0begin:"), (POSITION, b"1\0:end")]
        self.assertEqual(await self.spied.messages(), told)


def random_verb(choice: random.Random, known: Iterable[str]) -> tuple[str, ...]:
    """Make a verb with arguments, most of which are known ids."""
    ids = [*known, *known, "0", "missing"]
    verb, *arguments = choice.choice(VERBS)
    made = {"item": f"i{choice.randrange(10**6)}"}
    position = choice.choice((":{}", "{}:", "begin:", ":end", "{}", ":begin", "end:", ":{}:"))
    made["begin:"] = position.format(choice.choice(ids))
    return (verb, *(made.get(argument) or choice.choice(ids) for argument in arguments))


class ManyTests(SortedFeedTestCase):
    async def test_any_verbs_one_after_the_other(self) -> None:
        """After each of many verbs, the feed equals a list and a dict with the same changes."""
        choice = random.Random(1)
        for _ in range(300):
            await self.same(*random_verb(choice, self.model.order))

    async def test_any_verbs_in_flight(self) -> None:
        """Verbs called at once take effect and publish in the order of their calls."""
        for seed in range(20):
            choice = random.Random(seed)
            verbs = [random_verb(choice, map(str, range(1, 12))) for _ in range(60)]
            started = [self.outcome(getattr(self.feed, verb)(*rest)) for verb, *rest in verbs]
            fired = await gatherResults(map(Deferred.fromCoroutine, started))
            expected = [self.model.call(*verb) for verb in verbs]
            self.assertEqual(fired, expected, f"seed {seed}: {verbs}")
            await self.assertAsModel()

    async def test_many_publishers(self) -> None:
        """The events of several concurrent publishers add up to the stored state."""
        pubs = [await self.pub() for _ in range(4)]
        feeds = [await pub.sorted_feed("x") for pub in pubs]
        choice = random.Random(2)
        started = []
        for number in range(600):
            verb, *arguments = random_verb(choice, map(str, range(1, 40)))
            called: Deferred[Any] = getattr(feeds[number % len(feeds)], verb)(*arguments)
            started.append(called.addErrback(lambda reason: reason.trap(ThoonkError)))
        await gatherResults(started)
        order, items = follow(await self.spied.messages())
        self.assertEqual(await self.value("feed.ids:x"), order)
        self.assertEqual(await self.value("feed.items:x"), items)
        self.assertEqual(len(set(order)), len(order))


def follow(messages: list[Message]) -> tuple[list[bytes], dict[bytes, bytes]]:
    """Return the ids and items that result from the messages alone."""
    order: list[bytes] = []
    items: dict[bytes, bytes] = {}
    for channel, message in messages:
        id_, _, rest = message.partition(b"\0")
        if channel == PUBLISH:
            items[id_] = rest
            continue
        if id_ in order:
            order.remove(id_)
        if channel == RETRACT:
            del items[id_]
        elif rest in (b"begin:", b":end"):
            order.insert(0 if rest == b"begin:" else len(order), id_)
        else:
            order.insert(order.index(rest.strip(b":")) + (rest[:1] != b":"), id_)
    return order, items
