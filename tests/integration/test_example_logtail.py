"""The example that publishes a growing log file, in process."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from tests.support import RedisTestCase, server_url
from tests.support.examples import ProgramTestCase, item_seen, logtail
from tests.support.waiting import until, until_answer
from txthoonk import ConnectionLost, Feed, Thoonk, ThoonkError
from txthoonk.connections.addresses._url import parse_url


class LinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.lines = logtail.Lines(str(self.path), from_start=True)
        self.addCleanup(self.lines.close)

    def read(self, limit: int = 1000) -> list[bytes]:
        read: list[bytes] = self.lines.read(limit)
        return read

    def append(self, data: bytes, path: Path | None = None) -> None:
        with (path or self.path).open("ab") as file:
            file.write(data)

    def rotate(self) -> Path:
        """Rename the file."""
        return self.path.rename(f"{self.path}.1")

    def test_gives_each_line_once(self) -> None:
        self.append(b"a\n\nb\r\n")
        self.assertEqual(self.read(), [b"a", b"", b"b\r"])
        self.append(b"\xff\n")
        self.assertEqual(self.read(), [b"\xff"])
        self.assertEqual(self.read(), [])

    def test_waits_for_the_end_of_a_line(self) -> None:
        for piece in (b"one ", b"li", b"ne"):
            self.append(piece)
            self.assertEqual(self.read(), [])
        self.append(b"\ntwo")
        self.assertEqual(self.read(), [b"one line"])

    def test_lines_may_be_cut_at_any_byte(self) -> None:
        self.patch(logtail, "CHUNK", 3)
        expected = [b"x" * length for length in range(12)]
        self.append(b"".join(line + b"\n" for line in expected))
        self.assertEqual(self.read(), expected)

    def test_a_line_that_is_too_long_becomes_several(self) -> None:
        self.patch(logtail, "CHUNK", 4)
        self.patch(logtail, "LONGEST", 10)
        self.append(b"0123456789abcdef\nend\n")
        read = self.read()
        self.assertEqual(b"".join(read), b"0123456789abcdefend")
        self.assertEqual(read[-1], b"end")
        self.assertTrue(all(len(line) <= 14 for line in read), read)

    def test_stops_where_the_limit_is_and_goes_on_there(self) -> None:
        self.patch(logtail, "CHUNK", 4)
        self.append(b"1\n2\n3\n4\n5\n6\n")
        self.assertEqual(self.read(3), [b"1", b"2", b"3", b"4"])
        self.assertEqual(self.read(0), [])
        self.assertEqual(self.read(3), [b"5", b"6"])

    def test_a_file_that_appears_later_is_read_from_its_start(self) -> None:
        for from_start in (False, True):
            self.lines = logtail.Lines(str(self.path), from_start)
            self.addCleanup(self.lines.close)
            self.assertEqual(self.read(), [])
            self.append(b"a\n")
            self.assertEqual(self.read(), [b"a"])
            self.path.unlink()

    def test_what_was_there_is_skipped_except_a_last_line_without_its_end(self) -> None:
        self.append(b"old\nolder\nbegun ")
        self.lines = logtail.Lines(str(self.path))
        self.addCleanup(self.lines.close)
        self.assertEqual(self.read(), [])
        self.append(b"and ended\n")
        self.assertEqual(self.read(), [b"begun and ended"])

    def test_a_renamed_file_is_read_to_its_end_before_the_new_one(self) -> None:
        self.append(b"1\n")
        self.assertEqual(self.read(), [b"1"])
        self.append(b"2\n")
        old = self.rotate()
        self.assertEqual(self.read(), [b"2"])
        self.append(b"3\n", old)
        self.append(b"")  # the new file exists, but the program still writes to the old one
        self.assertEqual(self.read(), [b"3"])
        self.append(b"4\n", old)
        self.append(b"5\n")
        self.assertEqual(self.read(), [b"4", b"5"])
        self.append(b"6\n")
        self.assertEqual(self.read(), [b"6"])

    def test_a_rotation_is_not_forgotten_at_the_limit(self) -> None:
        self.patch(logtail, "CHUNK", 2)
        self.append(b"1\n2\n3\n")
        self.assertEqual(self.read(1), [b"1"])
        self.rotate()
        self.append(b"4\n5\n")
        self.assertEqual([self.read(1) for _ in range(5)], [[b"2"], [b"3"], [b"4"], [b"5"], []])

    def test_a_last_line_without_its_end_is_given_at_the_rotation(self) -> None:
        self.append(b"cut")
        self.assertEqual(self.read(), [])
        self.rotate()
        self.append(b"next\n")
        self.assertEqual(self.read(), [b"cut", b"next"])

    def test_a_truncated_file_is_read_from_its_start(self) -> None:
        self.append(b"one\ntwo\ncut")
        self.assertEqual(self.read(), [b"one", b"two"])
        os.truncate(self.path, 0)
        self.assertEqual(self.read(), [b"cut"])
        self.append(b"3\n")
        self.assertEqual(self.read(), [b"3"])

    def test_rotations_while_nothing_is_read_lose_nothing(self) -> None:
        self.append(b"1\n")
        self.assertEqual(self.read(0), [])
        for line in (b"2\n", b"3\n", b"4\n"):
            self.path.unlink()
            self.append(line)
            self.assertEqual(self.read(0), [])
        self.assertEqual(self.read(), [b"1", b"2", b"3", b"4"])

    def test_a_new_file_that_cannot_be_opened_is_waited_for(self) -> None:
        self.append(b"1\n2")
        self.assertEqual(self.read(), [b"1"])
        self.rotate()
        self.path.mkdir()
        (self.path / "something").touch()
        with capturedLogs() as logs:
            self.assertEqual(self.read(), [])
        self.assertEqual([event["log_level"] for event in logs], [LogLevel.warn])
        (self.path / "something").unlink()
        self.path.rmdir()
        self.append(b"3\n")
        self.assertEqual(self.read(), [b"2", b"3"])


class FollowerTests(RedisTestCase):
    interval = 1.0

    async def setUp(self) -> None:
        await super().setUp()
        self.path = Path(self.mktemp())
        self.path.touch()
        self.clock = Clock()
        self.thoonk = Thoonk(await server_url(), reactor, retry_policy=lambda _: 0.01)
        self.follower = logtail.Follower(
            logtail.Lines(str(self.path)), "log", self.thoonk, self.clock, interval=self.interval
        )
        sub = await self.sub()
        self.events = await self.record(sub, "feed.publish:log", "feed.edit:log")
        self.follower.startService()
        self.addCleanup(self.follower.stopService)
        self.addCleanup(self.thoonk.stopService)

    def write(self, *lines: str) -> None:
        with self.path.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Make the follower read its file repeatedly, until the condition holds."""
        self.clock.advance(self.interval)
        while not await condition():
            self.clock.advance(self.interval)

    async def sent(self) -> bool:
        await self.raw.ping()  # lets the reactor turn
        return not self.follower.waiting

    async def stored(self) -> list[str]:
        pub = await self.pub()
        feed = await pub.feed("log")
        return list((await feed.get_all()).values())

    def break_publish(self, call: int, error: Exception, done: bool) -> list[tuple[str, bytes]]:
        """Make one publish fail, before or after it is executed; return the recorded calls."""
        calls: list[tuple[str, bytes]] = []
        original = Feed.publish

        def publish(feed: Feed, item: bytes, id_: str) -> Deferred[str]:
            calls.append((id_, item))
            if len(calls) != call:
                return original(feed, item, id_)
            if not done:
                return fail(error)
            return original(feed, item, id_).addCallback(lambda _: fail(error))

        self.patch(Feed, "publish", publish)
        return calls

    async def test_publishes_each_line_once_and_in_order(self) -> None:
        self.thoonk.startService()
        lines = [f"line {number}" for number in range(3 * logtail.BATCH + 1)]
        self.write(*lines)
        self.clock.advance(self.interval)
        await self.events.wait(len(lines))
        self.write("another")
        await self.until(self.sent)
        expected = [("feed.publish:log", line) for line in [*lines, "another"]]
        events = [(event, item) for event, _, item in await self.events.wait(len(expected))]
        self.assertEqual(events, expected)

    async def test_a_line_whose_answer_was_lost_is_published_again_with_its_id(self) -> None:
        calls = self.break_publish(2, ConnectionLost("by the test"), done=True)
        self.thoonk.startService()
        self.write("a", "b", "c")
        with capturedLogs() as logs:
            await self.until(self.sent)
        self.assertIn(LogLevel.warn, [event["log_level"] for event in logs])
        self.assertEqual([item for _, item in calls], [b"a", b"b", b"c", b"b", b"c"])
        self.assertEqual(calls[1:3], calls[3:])
        self.assertEqual(await self.stored(), ["a", "b", "c"])
        kinds = [event for event, *_ in await self.events.wait(5)]
        self.assertEqual(kinds, ["feed.publish:log"] * 3 + ["feed.edit:log"] * 2)

    async def test_a_line_that_redis_refused_keeps_its_place(self) -> None:
        self.break_publish(2, ThoonkError("by the test"), done=False)
        self.thoonk.startService()
        self.write("a", "b", "c")
        await self.until(self.sent)
        self.assertEqual(await self.stored(), ["a", "b", "c"])

    async def test_goes_on_after_the_connection_was_lost(self) -> None:
        self.thoonk.startService()
        self.write("before")
        await self.until(self.sent)
        await self.raw.send("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        self.write("after")
        await self.until(self.sent)
        self.assertEqual(await self.stored(), ["before", "after"])

    async def test_makes_the_feed_anew_if_it_was_deleted(self) -> None:
        self.thoonk.startService()
        self.write("before")
        await self.until(self.sent)
        await (await self.pub()).delete_feed("log")
        self.write("after")
        await self.until(self.sent)
        self.assertEqual(await self.stored(), ["after"])

    async def test_reads_no_more_while_too_many_lines_wait(self) -> None:
        self.patch(logtail, "MOST_WAITING", 10)
        self.patch(logtail, "CHUNK", 16)
        lines = [str(number) for number in range(100)]
        self.write(*lines)
        for _ in range(5):
            self.clock.advance(self.interval)
        self.assertTrue(10 <= len(self.follower.waiting) <= 18, len(self.follower.waiting))
        self.thoonk.startService()

        async def all_published() -> bool:
            await self.raw.ping()
            return len(self.events.calls) >= len(lines)

        await self.until(all_published)
        self.assertEqual([item for _, _, item in self.events.calls], lines)

    async def test_stops_while_lines_wait(self) -> None:
        self.write("a")
        self.clock.advance(self.interval)
        self.follower.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.follower.waiting), 1)


class LogTailTests(ProgramTestCase):
    def service(self, path: Path, url: str) -> Any:
        options = logtail.Options()
        options.parseOptions(
            ["--file", str(path), "--url", url, "--interval", "0.02", "--from-start"]
        )
        return logtail.makeService(options)

    async def test_lines_survive_the_end_of_their_server(self) -> None:
        folder = self.folder()
        service = self.service(folder / "app.log", f"embedded:{folder}/data")

        def write(line: str) -> None:
            with (folder / "app.log").open("a") as file:
                file.write(f"{line}\n")

        write("1")
        service.startService()
        self.addCleanup(service.stopService)
        thoonk = service.thoonk
        await thoonk.whenConnected()
        published = await self.subscribe(thoonk.url, "feed.publish:log")
        write("2")
        await item_seen(published, "2")
        # When Thoonk reconnects, it starts the server again.
        os.kill(await self.server_pid(thoonk), signal.SIGKILL)
        write("3")
        write("4")
        await until(lambda: thoonk.state != "connected")
        await thoonk.whenConnected()
        endpoint = parse_url(thoonk.url).endpoint(reactor)
        await until_answer(
            endpoint, lambda: self.published(thoonk), lambda items: items == ["1", "2", "3", "4"]
        )
        published = await self.subscribe(thoonk.url, "feed.publish:log", "feed.edit:log")
        write("5")
        await item_seen(published, "5")
        self.assertEqual(await self.stored(thoonk.url, "log"), ["1", "2", "3", "4", "5"])

    async def server_pid(self, thoonk: Thoonk) -> int:
        return int((await thoonk.redis.info())["process_id"])

    async def published(self, thoonk: Thoonk) -> list[str]:
        """Return the items of the feed; none if Redis is away."""
        try:
            return list((await (await thoonk.feed("log")).get_all()).values())
        except ConnectionLost:
            return []

    async def test_says_why_it_cannot_connect(self) -> None:
        with capturedLogs() as logs:
            service = self.service(self.folder() / "app.log", "unix:///nowhere/redis.sock")
            service.startService()
            await until(lambda: LogLevel.warn in [event["log_level"] for event in logs])
            await service.stopService()
        events = [event for event in logs if event["log_level"] == LogLevel.warn]
        for warning in map(formatEvent, events):
            self.assertRegex(warning, "unix:///nowhere/redis.sock.*No such file")

    async def test_stops_before_it_is_connected(self) -> None:
        service = self.service(self.folder() / "app.log", "unix:///nowhere/redis.sock")
        service.startService()
        await service.stopService()  # trial reports anything left in the reactor

    def test_refuses_bad_options(self) -> None:
        for words in ([], ["--file", "x", "--url", "x"], ["--file", "x", "--interval", "x"]):
            with self.assertRaises(UsageError):
                logtail.Options().parseOptions(words)
