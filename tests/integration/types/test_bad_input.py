"""Bad input of any kind fails the call with a clear error, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.support.publisher import PublisherTestCase
from txthoonk import ConnectionLost, InvalidInput, Thoonk
from txthoonk.types import Feed

Call = Callable[[], Any]


class Unprintable:
    """A value that no serializer can encode."""

    def __repr__(self) -> str:
        return "<unprintable>"


THING = Unprintable()
LOOP: list[Any] = []
LOOP.append(LOOP)

BAD_TEXT: tuple[Any, ...] = ("a\0b", "\0", "\ud800", None, 5, 1.5, b"bytes", ["x"], ("x",), THING)
BAD_IDS: tuple[Any, ...] = ("a\0b", "\0", "\ud800", 1.5, b"bytes", ["x"], THING)
BAD_CONFIGS: tuple[Any, ...] = (
    *(("max_length", value) for value in (-1, 1.5, float("nan"), float("inf"), "ten", "", "-1")),
    *(
        ("max_length", value)
        for value in ("1.5", "1e3", " 5", "5 ", "0x5", None, [5], THING, b"x")
    ),
    *(("serializer", value) for value in ("pickle", "nope", "", "TEXT", None, 5, THING)),
    *(("type", value) for value in (None, THING, ["feed"])),
    *(("title", value) for value in (None, True, ["x"], {"x": "y"}, THING, "\ud800")),
    *((key, "value") for key in (5, None, b"\xff", ("x",), "\ud800")),
)
NO_CONFIGS: tuple[Any, ...] = (
    "max_length",
    5,
    ["max_length"],
    [("max_length", "5")],
    THING,
    b"x",
    True,
    "",
    0,
    [],
    False,
)
BAD_ITEMS: dict[str, tuple[Any, ...]] = {
    "text": (None, 5, 1.5, ["x"], {"x": "y"}, THING, "\ud800", "a\ud800\0"),
    "bytes": (None, 5, 1.5, ["x"], {"x": "y"}, THING, "text"),
    "json": (THING, {1, 2}, b"bytes", {"x": THING}, float("nan"), float("inf"), LOOP),
}
BAD_RANGES: tuple[Any, ...] = (
    ("0", 1),
    (0, "1"),
    (None, 1),
    (0, None),
    (0.5, 1),
    (0, 1.5),
    ("x", 1),
    (THING, 1),
)


class BadInputTests(PublisherTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.feed = await self.pub_.feed("x", {"max_length": 5})
        await self.feed.publish("i", "1")
        await self.spied.messages()
        self.before = await self.state()
        self.complaints: list[str] = []

    def tearDown(self) -> None:
        self.assertEqual(self.complaints, [], "\n" + "\n".join(self.complaints))

    async def refused(self, what: str, value: Any, call: Call) -> None:
        """Check that a call fails naming *value*, and neither changes nor publishes anything."""
        problem = await self.problem(value, call)
        if await self.state() != self.before:
            problem = problem or "something was written"
            await self.raw.send("SREM", "feeds", "new")
            await self.raw.send("DEL", "feed.config:new")
            self.before = await self.state()
        told = await self.spied.messages(own=True)
        if problem is None and told:
            problem = f"told {told}"
        if problem is not None:
            self.complaints.append(f"{what} with {value!r}: {problem}")

    async def problem(self, value: Any, call: Call) -> str | None:
        try:
            deferred = call()
        except Exception as error:  # noqa: BLE001 - it is what the test is about
            return f"raised {error!r}, did not fail the Deferred"
        if not isinstance(deferred, Deferred):
            return f"gave {deferred!r}"
        (result,) = await deferred.addBoth(lambda result: [result])
        if not isinstance(result, Failure):
            return f"accepted, fired {result!r}"
        if not isinstance(result.value, (ValueError, TypeError)):
            return f"failed with {result.value!r}"
        if value is not LOOP and not names(value, str(result.value)):
            return f"the error does not name it: {result.value}"
        return None

    async def test_names(self) -> None:
        """A feed's name must be text without NUL."""
        pub = self.pub_
        for name in BAD_TEXT:
            for what, verb in (
                ("feed", pub.feed),
                ("feed", lambda name: pub.feed(name, {"max_length": 1})),
                ("create_feed", pub.create_feed),
                ("delete_feed", pub.delete_feed),
                ("feed_exists", pub.feed_exists),
                ("get_config", pub.get_config),
                ("set_config", lambda name: pub.set_config(name, {"title": "x"})),
            ):
                await self.refused(what, name, partial(verb, name))

    async def test_feed_object(self) -> None:
        """A Feed that is constructed directly refuses bad arguments, at once or in each method."""
        for name in BAD_TEXT:
            try:
                feed = Feed(self.pub_, name)
            except (ValueError, TypeError) as error:
                self.assertTrue(names(name, str(error)), str(error))
                continue
            await self.refused("publish", name, partial(feed.publish, "i"))
            await self.refused("get_ids", name, feed.get_ids)
        for serializer in ("pickle", "nope", None, 5):
            self.assertRaises((ValueError, TypeError), Feed, self.pub_, "x", serializer)

    async def test_ids(self) -> None:
        """An item's id must be text without NUL."""
        feed = self.feed
        for id_ in BAD_IDS:
            for what, verb in (
                ("publish", lambda id_: feed.publish("new", id_)),
                ("retract", feed.retract),
                ("get_item", feed.get_item),
                ("get_id", feed.get_id),
                ("has_id", feed.has_id),
            ):
                await self.refused(what, id_, partial(verb, id_))
        for verb in (feed.retract, feed.get_item, feed.get_id, feed.has_id):
            await self.refused(verb.__name__, None, partial(verb, None))  # type: ignore[arg-type]

    async def test_config_values(self) -> None:
        """A configuration holds text or whole numbers; txthoonk checks the settings it knows."""
        for key, value in BAD_CONFIGS:
            named = value if isinstance(key, str) and value != "value" else key
            config = {"a": "first", key: value, "z": "last"}
            await self.configured(named, config)

    async def test_configs(self) -> None:
        """A configuration must be a mapping."""
        for config in NO_CONFIGS:
            await self.configured(config, config)

    async def configured(self, named: Any, config: Any) -> None:
        """Check that every method that takes a configuration refuses this one."""
        pub, feed = self.pub_, self.feed
        await self.refused("create_feed", named, lambda: pub.create_feed("new", config))
        await self.refused("feed, new", named, lambda: pub.feed("new", config))
        await self.refused("feed", named, lambda: pub.feed("x", config))
        await self.refused("pub.set_config", named, lambda: pub.set_config("x", config))
        await self.refused("feed.set_config", named, lambda: feed.set_config(config))

    async def test_another_type(self) -> None:
        """feed() refuses to create or open a feed of another type."""
        for name in ("new", "x"):
            deferred = self.pub_.feed(name, {"type": "job"})
            (result,) = await deferred.addBoth(lambda result: [result])
            self.assertIsInstance(result, Failure)
            self.assertIn("job", str(result.value))
        self.assertEqual(await self.state(), self.before)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_items(self) -> None:
        """An item must be a value that the feed's serializer can encode."""
        for serializer, items in BAD_ITEMS.items():
            feed = await self.pub_.feed("x", {"serializer": serializer})
            await self.spied.messages()
            self.before = await self.state()
            for item in items:
                what = f"publish of {serializer}"
                await self.refused(what, item, partial(feed.publish, item))
                await self.refused(
                    f"{what}, edit",
                    item,
                    partial(feed.publish, item, "1"),
                )

    async def test_ranges(self) -> None:
        """The ends of a range must be whole numbers."""
        for start, stop in BAD_RANGES:
            bad = start if not isinstance(start, int) else stop
            await self.refused(
                "get_range",
                bad,
                partial(self.feed.get_range, start, stop),
            )

    async def test_channels(self) -> None:
        """A channel must be text, and each part of a message must be text or bytes."""
        publish: Any = self.pub_.publish_channel
        for channel in (None, THING, "\ud800"):
            await self.refused(
                "publish_channel",
                channel,
                partial(publish, channel, "part"),
            )
        for part in (None, 5, ["x"], THING, "\ud800"):
            await self.refused(
                "publish_channel",
                part,
                partial(publish, "channel", "first", part),
            )

    async def test_handlers(self) -> None:
        """A handler's event must be non-empty text, and the handler must be callable."""
        register: Any = (await self.sub()).register_handler
        for event in (None, 5, THING, "\ud800", ""):
            await self.refused(
                "register_handler",
                event,
                partial(register, event, print),
            )
        for handler in (None, 5, "print", THING):
            await self.refused(
                "register_handler",
                handler,
                partial(register, "create", handler),
            )


def names(value: Any, text: str) -> bool:
    """Return whether *text* shows the value, or the part of it that cannot be encoded."""
    bad = "\\ud800"
    return repr(value) in text or (bad in repr(value) and bad in text)


class ServiceInputTests(TestCase):
    """A service refuses bad input at the call, with or without a connection."""

    async def test_subscriptions(self) -> None:
        """Bad arguments of subscriptions and handlers fail at once, without a connection."""
        thoonk = Thoonk("redis://localhost:1", installed_reactor)
        calls: list[Any] = [
            thoonk.subscribe(""),
            thoonk.subscribe("a\0b"),
            thoonk.subscribe(7),  # type: ignore[arg-type]
            thoonk.subscribe("x", "no handler"),  # type: ignore[arg-type]
            thoonk.subscribe("x", since="nowhere"),
            thoonk.subscribe("x", limit=0),
            thoonk.subscribe_pattern(""),
            thoonk.subscribe_pattern("x", limit=True),
            thoonk.register_handler("", print),
            thoonk.register_handler("create", None),  # type: ignore[arg-type]
        ]
        for call in calls:
            await self.assertFailure(call, InvalidInput)
        await self.assertFailure(thoonk.subscribe("x"), ConnectionLost)

    async def test_options(self) -> None:
        """A bad option is refused when the Thoonk is constructed."""
        for bad in (
            {"wait": -1},
            {"wait": True},
            {"limit": -1},
            {"limit": 1.5},
            {"health": float("nan")},
            {"reply_timeout": 0},
            {"db": -1},
        ):
            with self.assertRaises(InvalidInput):
                Thoonk("redis://localhost", installed_reactor, **bad)
