"""The example that synchronizes a feed with an Atom file, in process."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.support import Recorder, RedisTestCase
from tests.support.examples import (
    EXAMPLES,
    ITEM_EVENTS,
    atom,
    example_tools,
    news_feed,
)
from tests.support.waiting import until
from txthoonk import Feed


class ReadEntriesTests(SynchronousTestCase):
    def test_the_example_file_has_whole_entries_oldest_first(self) -> None:
        entries = news_feed.read_entries((EXAMPLES / "news.atom").read_bytes())
        self.assertEqual(
            list(entries), [f"tag:example.org,2026:harbour/{number}" for number in range(1, 9)]
        )
        self.assertEqual(
            entries["tag:example.org,2026:harbour/4"],
            {
                "title": "Lost & found: one anchor",
                "link": "https://example.org/harbour/4",
                "summary": "Dredged up off berth 9, about 80 kilograms, green paint. "
                "The owner may collect it.",
                "updated": "2026-05-12T11:25:00Z",
            },
        )
        self.assertTrue(all(all(item.values()) for item in entries.values()))

    def test_rss_entries_without_dates_are_taken_as_newest_first(self) -> None:
        items = "".join(
            f"<item><title>{name}</title>{id_}</item>"
            for name, id_ in (
                ("new", "<guid>g1</guid>"),
                ("old", "<link>https://example.org/old</link>"),
                ("nameless", ""),
            )
        )
        rss = f"<rss version='2.0'><channel><title>t</title>{items}</channel></rss>"
        entries = news_feed.read_entries(rss.encode())
        self.assertEqual(list(entries), ["https://example.org/old", "g1"])
        self.assertEqual(
            entries["g1"], {"title": "new", "link": "g1", "summary": "", "updated": ""}
        )

    def test_rss_entries_with_dates_are_sorted_by_them(self) -> None:
        items = "".join(
            f"<item><guid>{day}</guid><pubDate>Mon, {day} Jan 2026 10:00:00 GMT</pubDate></item>"
            for day in ("12", "05", "19")
        )
        rss = f"<rss version='2.0'><channel><title>t</title>{items}</channel></rss>"
        entries = news_feed.read_entries(rss.encode())
        self.assertEqual(list(entries), ["05", "12", "19"])
        self.assertEqual(entries["05"]["updated"], "Mon, 05 Jan 2026 10:00:00 GMT")
        self.assertEqual(self.flushWarnings(), [])

    def test_a_file_that_ends_anywhere_is_refused(self) -> None:
        data = (EXAMPLES / "news.atom").read_bytes().rstrip()
        for end in range(0, len(data), 97):
            with self.assertRaises(news_feed.NotAFeed):
                news_feed.read_entries(data[:end])

    def test_what_is_no_feed_is_refused(self) -> None:
        for data in (b"", b"hello", b"<html><body/></html>", b"\x00\xff"):
            with self.assertRaises(news_feed.NotAFeed):
                news_feed.read_entries(data)

    def test_a_feed_without_entries_is_one(self) -> None:
        empty = b"<feed xmlns='http://www.w3.org/2005/Atom'><title>t</title></feed>"
        self.assertEqual(news_feed.read_entries(empty), {})


class NewsFeedTests(RedisTestCase):
    async def setUp(self) -> None:
        await super().setUp()
        self.publisher = await self.pub()
        self.path = Path(self.mktemp())
        self.feed = await self.open()
        self.news = news_feed.NewsFeed(self.feed, self.path)
        self.sub_ = await self.sub()
        self.events = Recorder()
        for kind in ITEM_EVENTS:
            await self.sub_.register_handler(
                f"feed.{kind}:news", lambda id_, *_, kind=kind: self.events(kind, id_)
            )

    async def open(self, max_length: int = 0) -> Feed:
        opened: Feed = await example_tools.open_feed(
            self.publisher, "news", max_length=max_length, serializer="json"
        )
        return opened

    async def happened(self) -> list[tuple[str, str]]:
        """Return all events since the last call, once no more can arrive."""
        marker: Deferred[None] = Deferred()
        id_ = await self.sub_.register_handler("marker", marker.callback)
        await self.publisher.publish_channel("marker", "")
        await marker
        self.sub_.remove_handler(id_)
        calls, self.events.calls = self.events.calls, []
        return calls

    async def test_imports_oldest_first_as_dicts(self) -> None:
        atom(self.path, a="A", b="B")
        await self.news.look()
        self.assertEqual(await self.happened(), [("publish", "a"), ("publish", "b")])
        self.assertEqual(
            (await self.feed.get_all())["a"],
            {
                "title": "A",
                "link": "https://example.org/a",
                "summary": "of a",
                "updated": "2026-01-01T00:00:00Z",
            },
        )

    async def test_a_changed_file_causes_the_events_of_the_difference(self) -> None:
        atom(self.path, a="A", b="B", c="C")
        await self.news.look()
        await self.happened()
        # The date of an entry comes from its position, so c keeps its own.
        atom(self.path, x="X", b="changed", c="C")
        await self.news.look()
        self.assertEqual(
            await self.happened(), [("retract", "a"), ("publish", "x"), ("edit", "b")]
        )
        self.assertEqual((await self.feed.get_item("b"))["title"], "changed")

    async def test_an_unchanged_file_causes_nothing(self) -> None:
        atom(self.path, a="A", b="B")
        await self.news.look()
        await self.happened()
        await self.news.look()
        atom(self.path, a="A", b="B")  # the same content in a new file
        await self.news.look()
        self.assertEqual(await self.happened(), [])

    async def test_a_restart_causes_nothing(self) -> None:
        atom(self.path, a="A", b="B")
        await self.news.look()
        await self.happened()
        config = await self.record(self.sub_, "config")
        await news_feed.NewsFeed(await self.open(), self.path).look()
        self.assertEqual(await self.happened(), [])
        self.assertEqual(config.calls, [])

    async def test_a_full_feed_holds_the_newest_and_stays_quiet(self) -> None:
        news = news_feed.NewsFeed(await self.open(3), self.path)
        atom(self.path, a="A", b="B", c="C", d="D", e="E")
        await news.look()
        await news.update()
        self.assertEqual(await self.happened(), [("publish", id_) for id_ in "cde"])
        atom(self.path, a="A", b="B", c="C", d="D", e="E", f="F")
        await news.look()
        await news.update()
        self.assertEqual(await self.happened(), [("retract", "c"), ("publish", "f")])

    async def test_a_smaller_max_length_is_obeyed_from_the_next_change_on(self) -> None:
        atom(self.path, a="A", b="B", c="C")
        await self.news.look()
        await self.feed.set_config({"max_length": 2})
        atom(self.path, a="A", b="B", c="C", d="D")
        await self.news.look()
        await self.news.update()
        self.assertEqual(
            (await self.happened())[3:], [("retract", "a"), ("retract", "b"), ("publish", "d")]
        )

    async def test_what_was_edited_does_not_push_out_what_is_newer(self) -> None:
        news = news_feed.NewsFeed(await self.open(3), self.path)
        atom(self.path, a="A", b="B", c="C")
        await news.look()
        atom(self.path, a="edited, so that it is last in the feed", b="B", c="C")
        await news.look()
        await self.happened()
        atom(self.path, a="edited, so that it is last in the feed", b="B", c="C", d="D")
        await news.look()
        await news.update()
        self.assertEqual(await self.happened(), [("retract", "a"), ("publish", "d")])
        self.assertEqual(sorted(await self.feed.get_ids()), ["b", "c", "d"])

    async def test_a_feed_without_entries_empties_the_feed(self) -> None:
        atom(self.path, a="A")
        await self.news.look()
        atom(self.path)
        await self.news.look()
        self.assertEqual(await self.happened(), [("publish", "a"), ("retract", "a")])

    async def test_a_file_that_cannot_be_read_leaves_the_feed_alone(self) -> None:
        atom(self.path, a="A", b="B")
        await self.news.look()
        await self.happened()
        whole = self.path.read_bytes()
        for broken in (whole[:-100], whole[: len(whole) // 2], b"", None):
            if broken is None:
                self.path.unlink()
            else:
                self.path.write_bytes(broken)
            with capturedLogs() as logs:
                await self.news.look()
                await self.news.look()
            warnings = [event for event in logs if event["log_level"] >= LogLevel.warn]
            self.assertEqual(len(warnings), 1, warnings)
        self.path.write_bytes(whole)
        await self.news.look()
        self.assertEqual(await self.happened(), [])
        atom(self.path, a="A", b="B", c="C")
        await self.news.look()
        self.assertEqual(await self.happened(), [("publish", "c")])

    async def test_what_redis_refused_is_tried_again(self) -> None:
        atom(self.path, a="A")
        await self.raw.srem("feeds", "news")
        with capturedLogs() as logs:
            await self.news.look()
        self.assertEqual([event["log_level"] for event in logs], [LogLevel.warn])
        await self.raw.sadd("feeds", "news")
        await self.news.look()
        self.assertEqual(await self.happened(), [("publish", "a")])

    async def test_looks_at_the_file_at_every_interval(self) -> None:
        clock = Clock()
        atom(self.path)
        watching = Deferred.fromCoroutine(self.news.watch(10, clock))
        await until(clock.getDelayedCalls)
        atom(self.path, a="A")
        clock.advance(9)
        self.assertEqual(await self.happened(), [])
        clock.advance(1)
        self.assertEqual(await self.events.wait(1), [("publish", "a")])
        await until(clock.getDelayedCalls)  # the look has ended
        atom(self.path, b="B")
        clock.advance(10)
        await self.events.wait(3)
        watching.cancel()
        with self.assertRaises(CancelledError):
            await watching
        self.assertEqual(clock.getDelayedCalls(), [])


class OpenFeedTests(RedisTestCase):
    async def test_announces_a_configuration_only_if_it_is_another(self) -> None:
        pub, sub = await self.pub(), await self.sub()
        events = await self.record(sub, "create", "config")
        for max_length in (3, 3, 4):
            await example_tools.open_feed(pub, "news", max_length=max_length)
        await events.wait(2)
        await pub.redis.ping()
        self.assertEqual([event for event, *_ in events.calls], ["create", "config"])
        self.assertEqual((await pub.get_config("news"))["max_length"], "4")
