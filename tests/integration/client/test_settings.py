"""The settings of a feed: what is stored, what is refused, and what is published."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from tests.support.publisher import PublisherTestCase
from txthoonk.errors import FeedTypeMismatch, InvalidInput
from txthoonk.types import Feed

Call = Callable[[], Deferred[Any]]


class UnchangedTests(PublisherTestCase):
    """A configuration that changes nothing writes nothing and publishes nothing."""

    async def writes(self) -> int:
        """Return how many changes the server has counted."""
        persistence = await self.raw.send("INFO", "persistence")
        for line in persistence.decode().splitlines():
            if line.startswith("rdb_changes_since_last_save:"):
                return int(line.partition(":")[2])
        raise AssertionError(persistence)

    async def changes_nothing(self, *calls: Call) -> None:
        await self.spied.messages(own=True)
        before, writes = await self.state(), await self.writes()
        for call in calls:
            await call()
        self.assertEqual(await self.writes(), writes)
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_open(self) -> None:
        """Opening a feed of any type with its present settings changes nothing."""
        for type_, config in (
            ("feed", {"max_length": 5, "history": 10, "title": "t", "type": "feed"}),
            ("sorted_feed", {"serializer": "json"}),
            ("queue", {"paused": 0}),
            ("pyqueue", {"history": 3}),
            ("job", {"timeout": 1.5, "keep_results": "7"}),
        ):
            open_ = getattr(self.pub_, type_)
            await open_(type_, config)
            await self.changes_nothing(partial(open_, type_, config))

    async def test_set_config(self) -> None:
        """Setting the present values changes nothing."""
        config: Any = {"timeout": 60, "paused": 1, "title": "é\0"}
        job = await self.pub_.job("x", config)
        await self.changes_nothing(
            lambda: self.pub_.set_config("x", config),
            lambda: job.set_config({"timeout": "60"}),
            lambda: job.set_config({"type": "job"}),
            job.pause,
        )

    async def test_whole_seconds(self) -> None:
        """60 and 60.0 seconds are stored as the same value."""
        await self.pub_.job("x", {"timeout": 60.0})
        self.assertEqual((await self.pub_.get_config("x"))["timeout"], "60")
        await self.changes_nothing(lambda: self.pub_.job("x", {"timeout": 60}))

    async def test_history(self) -> None:
        """Setting the present length of the history keeps its events."""
        feed = await self.pub_.feed("x", {"history": 10})
        await feed.publish("1", "a")
        await self.changes_nothing(lambda: self.pub_.feed("x", {"history": 10}))
        self.assertEqual(len(await feed.get_history()), 1)

    async def test_some_values_change(self) -> None:
        """One new value among known ones is stored, and conffeed is published once."""
        await self.pub_.feed("x", {"max_length": 5, "title": "old"})
        await self.told()
        await self.pub_.feed("x", {"max_length": 5, "title": "new"})
        stored = {"type": "feed", "max_length": "5", "title": "new"}
        self.assertEqual(await self.pub_.get_config("x"), stored)
        self.assertEqual(await self.told(), [("conffeed", "x")])

    async def test_empty_value(self) -> None:
        """An empty value differs from a missing one."""
        await self.pub_.feed("x")
        await self.told()
        await self.pub_.feed("x", {"title": ""})
        self.assertEqual(await self.pub_.get_config("x"), {"type": "feed", "title": ""})
        self.assertEqual(await self.told(), [("conffeed", "x")])

    async def test_values_of_others(self) -> None:
        """A feed opens with invalid settings of other programs and leaves them unchanged."""
        await self.raw.send("SADD", "feeds", "x")
        for field, value in (("type", "feed"), ("max_length", "soon"), ("max_lenght", b"\xff")):
            await self.raw.send("HSET", "feed.config:x", field, value)
        await self.changes_nothing(
            lambda: self.pub_.feed("x"),
            lambda: self.pub_.feed("x", {"type": "feed"}),
            lambda: self.pub_.get_config("x"),
        )
        await (await self.pub_.feed("x", {"title": "t"})).publish("i", "1")
        self.assertEqual((await self.pub_.get_config("x"))["max_length"], "soon")


class TypeTests(PublisherTestCase):
    """Each feed has a known type."""

    async def test_none_given(self) -> None:
        """create_feed stores the type feed by default: thoonk.py waits for a type for ever."""
        await self.pub_.create_feed("x")
        await self.pub_.create_feed("y", {"title": "t"})
        self.assertEqual(await self.value("feed.config:x"), {b"type": b"feed"})
        self.assertEqual(await self.value("feed.config:y"), {b"type": b"feed", b"title": b"t"})

    async def test_unknown(self) -> None:
        """An unknown type is refused with the list of known types, unless it is forced."""
        await self.pub_.feed("x")
        before = await self.state()
        for type_ in ("frog", "Feed", ""):
            for call in (
                self.pub_.create_feed("new", {"type": type_}),
                self.pub_.set_config("x", {"type": type_}),
            ):
                error = await self.assertFailure(call, InvalidInput)
                for word in (repr(type_), "sorted_feed", "pyqueue", "job"):
                    self.assertIn(word, str(error))
        self.assertEqual(await self.state(), before)
        await self.pub_.create_feed("new", {"type": "frog"}, force=True)
        self.assertEqual(await self.pub_.get_config("new"), {"type": "frog"})

    async def test_registered(self) -> None:
        """A registered type is known, and accepts every setting."""
        self.pub_.register_feedtype("frog", Feed)
        await self.pub_.create_feed("x", {"type": "frog", "max_length": 1, "timeout": 1})
        await self.pub_.frog("x", {"keep_stalled": 5})  # type: ignore[attr-defined]
        await self.pub_.set_config("x", {"type": "frog", "paused": 1})
        error = await self.assertFailure(
            self.pub_.create_feed("y", {"type": "toad"}), InvalidInput
        )
        self.assertIn("frog", str(error))


class RefusedTests(PublisherTestCase):
    """A mistaken setting is refused before anything is written."""

    async def setUp(self) -> None:
        await super().setUp()
        self.feed = await self.pub_.feed("x")
        await self.pub_.create_feed("work", {"type": "queue"})
        await self.told()

    def verbs(self, config: Any, **options: Any) -> list[Call]:
        """Return every verb of a plain feed that takes a configuration."""
        return [
            lambda: self.pub_.create_feed("new", {"type": "feed", **config}, **options),
            lambda: self.pub_.feed("new2", config, **options),
            lambda: self.pub_.feed("x", config, **options),
            lambda: self.pub_.set_config("x", config, **options),
            lambda: self.feed.set_config(config, **options),
        ]

    async def refused(self, kind: type[Exception], words: tuple[str, ...], *calls: Call) -> None:
        before = await self.state()
        for call in calls:
            error = await self.assertFailure(call(), kind)
            for word in words:
                self.assertIn(word, str(error))
        self.assertEqual(await self.state(), before)
        self.assertEqual(await self.spied.messages(own=True), [])

    async def test_near_misses(self) -> None:
        """A name similar to a setting's is refused with the right name."""
        for name, right in (
            ("max_lenght", "max_length"),
            ("maxLength", "max_length"),
            ("HISTORY", "history"),
            ("serialiser", "serializer"),
            ("typ", "type"),
        ):
            words = (repr(name), f"did you mean {right!r}?")
            await self.refused(InvalidInput, words, *self.verbs({name: "3"}))

    async def test_near_misses_by_force(self) -> None:
        """With force, a name similar to a setting's is stored as given."""
        for call in self.verbs({"max_lenght": 3}, force=True):
            await call()
        for name in ("new", "new2", "x"):
            config = await self.pub_.get_config(name)
            self.assertEqual(config, {"type": "feed", "max_lenght": "3"})

    async def test_wrong_values(self) -> None:
        """A wrong value is refused with what is expected, even with force."""
        for name, value, words in (
            ("max_length", "ten", ("a whole number of items", "0", "999,999,999,999,999")),
            ("max_length", 10**15, ("1000000000000000", "999,999,999,999,999")),
            ("history", -1, ("'-1'", "a whole number of events")),
            ("history", True, ("True", "a whole number of events")),
            ("serializer", "xml", ("'xml'", "bytes, json, text")),
        ):
            for options in ({}, {"force": True}):
                calls = self.verbs({"a": "1", name: value, "z": "1"}, **options)
                await self.refused(InvalidInput, (name, *words), *calls)

    async def test_too_many_digits(self) -> None:
        """A number with too many digits for Python is refused with the setting's name."""
        for name in ("max_length", "title"):
            await self.refused(InvalidInput, (name,), *self.verbs({name: 10**5000}))

    async def test_times(self) -> None:
        """A time setting accepts seconds from 0 to 1,000,000,000."""
        job = await self.pub_.job("j")
        await self.told()
        for value in ("soon", -1, "nan", 1e10, "1_0", "\u0663"):
            words = ("timeout", "seconds", "0", "1,000,000,000")
            await self.refused(
                InvalidInput,
                words,
                partial(job.set_config, {"timeout": value}),
                partial(self.pub_.job, "new", {"timeout": value}),
            )

    async def test_settings_of_other_types(self) -> None:
        """A setting that the feed's type lacks is refused with the types that have it."""
        for name, types in (("max_length", ("feed",)), ("timeout", ("job",))):
            await self.refused(
                FeedTypeMismatch,
                ("'queue'", repr(name), *types),
                partial(self.pub_.create_feed, "new", {"type": "queue", name: 3}),
                partial(self.pub_.queue, "new", {name: 3}),
                partial(self.pub_.queue, "work", {name: 3}),
                partial(self.pub_.set_config, "work", {name: 3}),
                partial(self.pub_.set_config, "work", {"title": "t", name: 3}),
            )
        await self.refused(
            FeedTypeMismatch,
            ("'feed'", "'paused'", "queue, pyqueue, job"),
            *self.verbs({"title": "t", "paused": 1}),
        )

    async def test_settings_of_other_types_by_force(self) -> None:
        """With force, settings of other feed types are stored."""
        for call in self.verbs({"timeout": 3}, force=True):
            await call()
        self.assertEqual(await self.pub_.get_config("x"), {"type": "feed", "timeout": "3"})

    async def test_no_type(self) -> None:
        """A feed without a type has the settings of a plain feed."""
        await self.raw.send("SADD", "feeds", "old")
        await self.pub_.set_config("old", {"max_length": 3})
        await self.told()
        await self.refused(
            FeedTypeMismatch,
            ("'feed'", "'timeout'", "job"),
            lambda: self.pub_.set_config("old", {"timeout": 3}),
        )

    async def test_type_of_others(self) -> None:
        """A feed of a type that is not known here accepts every setting."""
        await self.raw.send("SADD", "feeds", "own")
        await self.raw.send("HSET", "feed.config:own", "type", "own")
        await self.pub_.set_config("own", {"max_length": 3, "timeout": 3})
