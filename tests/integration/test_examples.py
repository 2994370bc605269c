"""The examples: each run as its docstring says, and the parts of the longer ones."""

from __future__ import annotations

import ast
import os
import re
import shlex
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from twisted.application.internet import ClientService
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.support import Recorder, RedisTestCase
from txthoonk import (
    ConnectionLost,
    Feed,
    InvalidInput,
    ThoonkError,
    ThoonkPubFactory,
    ThoonkSubFactory,
)
from txthoonk._url import parse_url

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
PROGRAMS = ("demo.py", "logtail.py", "news_feed.py", "pubsub.py")
URL = r"(unix:[^\s\"]+db=0)"
ITEM_EVENTS = ("publish", "edit", "retract")

sys.path.append(str(EXAMPLES))
example_tools: Any = import_module("example_tools")
logtail: Any = import_module("logtail")
news_feed: Any = import_module("news_feed")


def commands(program: str) -> list[str]:
    """Give the commands that a program's docstring has in its literal blocks."""
    text = ast.get_docstring(ast.parse((EXAMPLES / program).read_text())) or ""
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


class Child(ProcessProtocol):
    """A command of a docstring that runs; its output can be waited for."""

    def __init__(self, command: str, *more: str, cwd: Path = ROOT) -> None:
        words = shlex.split(command)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        paths = [str(ROOT)]
        if words[0].startswith("PYTHONPATH="):
            paths.insert(0, str(ROOT / words.pop(0).partition("=")[2]))
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        self.out = self.err = ""
        self.ended: Deferred[tuple[int | None, int | None]] = Deferred()
        self._waiting: list[tuple[str, Deferred[re.Match[str]]]] = []
        argv = [sys.executable, *self._python_arguments(words), *more]
        self.process = reactor.spawnProcess(self, argv[0], argv, env=environment, path=str(cwd))

    def _python_arguments(self, words: list[str]) -> list[str]:
        if words[0] == "python":
            return words[1:]
        if words[0] == "twist":
            return ["-m", "twisted", *words[1:]]
        return ["-c", "from twisted.scripts.twistd import run; run()", *words[1:]]

    def outReceived(self, data: bytes) -> None:
        self.out += data.decode()
        self._tell()

    def errReceived(self, data: bytes) -> None:
        self.err += data.decode()
        self._tell()

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        self.ended.callback((ended.exitCode, ended.signal))
        for _, waiting in self._waiting:
            waiting.errback(AssertionError(f"it has ended:\n{self.out}{self.err}"))

    def seen(self, pattern: str) -> Deferred[re.Match[str]]:
        """Fire the match once the regular expression is found in the output."""
        waiting: Deferred[re.Match[str]] = Deferred()
        self._waiting.append((pattern, waiting))
        self._tell()
        return waiting

    def interrupt(self) -> Deferred[tuple[int | None, int | None]]:
        """Do what Ctrl-C does; fires exit status and signal."""
        self.process.signalProcess("INT")
        return self.ended.addTimeout(10, reactor)

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for pattern, deferred in waiting:
            match = re.search(pattern, self.out + self.err)
            if match:
                deferred.callback(match)
            else:
                self._waiting.append((pattern, deferred))


async def item_seen(recorder: Recorder, item: str) -> None:
    """Wait until the event of an item was recorded."""
    while item not in [parts[-1] for parts in recorder.calls]:
        await recorder.wait(len(recorder.calls) + 1)


class ProgramTestCase(TestCase):
    timeout = 60

    def run_example(self, command: str, *more: str, cwd: Path = ROOT) -> Child:
        child = Child(command, *more, cwd=cwd)

        def end() -> Any:
            if child.process.pid is not None:
                child.process.signalProcess("KILL")
            return child.ended

        self.addCleanup(end)
        return child

    def folder(self) -> Path:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        return folder

    async def subscribe(self, url: str, *channels: str) -> Recorder:
        """Record the messages of channels of a server that a child has started."""
        sub = await parse_url(url).endpoint(reactor).connect(ThoonkSubFactory())
        self.addCleanup(sub.close)
        recorder = Recorder()
        for channel in channels:
            await sub.register_handler(channel, recorder)
        return recorder

    async def stored(self, url: str, feed: str) -> list[str]:
        """Give the items of a feed of a server that an example has started."""
        pub = await parse_url(url).endpoint(reactor).connect(ThoonkPubFactory())
        self.addCleanup(pub.close)
        return list((await (await pub.feed(feed)).get_all()).values())

    def assert_stopped(self, url: str) -> None:
        """Check that nothing is left of the private server of a child."""
        folder = Path(unquote(parse_url(url).path)).parent
        self.assertFalse(folder.exists(), folder)


class DocumentationTests(SynchronousTestCase):
    def test_the_readme_has_the_command_of_each_docstring(self) -> None:
        readme = (EXAMPLES / "README.rst").read_text()
        for program in PROGRAMS:
            self.assertIn(f"\n    {commands(program)[0]}\n", readme)


class DemoTests(ProgramTestCase):
    async def test_shows_every_event_and_ends(self) -> None:
        child = self.run_example(*commands("demo.py"))
        self.assertEqual(await child.ended, (0, None))
        self.assertEqual(child.err, "")
        entries = list(news_feed.read_entries((EXAMPLES / "news.atom").read_bytes()))
        events = re.findall(r"^  [\d:.]{15}  (\w+) +(\S+)", child.out, re.M)
        self.assertEqual(
            events,
            [
                ("create", "news-demo"),
                *[("publish", id_) for id_ in entries],
                ("edit", entries[-2]),
                ("retract", entries[0]),
                ("delete", "news-demo"),
            ],
        )

    async def test_ends_cleanly_on_ctrl_c(self) -> None:
        child = self.run_example(*commands("demo.py"))
        url = (await child.seen(URL))[1]
        await child.seen("Editing")
        self.assertEqual(await child.interrupt(), (0, None))
        self.assertEqual(child.err, "")
        self.assert_stopped(url)


class PubSubTests(ProgramTestCase):
    async def test_walks_through_all_events(self) -> None:
        child = self.run_example(*commands("pubsub.py"))
        self.assertEqual(await child.ended, (0, None))
        self.assertEqual(child.err, "")
        self.assertEqual(
            re.sub("[0-9a-f]{32}", "ID", child.out).splitlines(),
            [
                "create   pubsub-example",
                "config   pubsub-example",
                "publish  ID an item that gets a random id",
                "publish  note an item with an id of our own",
                "edit     note the same id again edits the item",
                "retract  note",
                "publish  1 item number 1",
                "publish  2 item number 2",
                "retract  ID",
                "publish  3 item number 3",
                "delete   pubsub-example",
            ],
        )

    async def test_leaves_a_feed_of_that_name_alone(self) -> None:
        url = f"embedded:{self.folder()}"
        redis = example_tools.RedisAt(url, reactor)
        self.addCleanup(redis.stop)
        pub = await redis.connect(ThoonkPubFactory())
        self.addCleanup(pub.close)
        await pub.create_feed("pubsub-example")
        child = self.run_example(*commands("pubsub.py"), "--url", url)
        self.assertEqual(await child.ended, (1, None))
        self.assertEqual(len(child.err.splitlines()), 1, child.err)
        self.assertTrue(await pub.feed_exists("pubsub-example"))

    async def test_says_in_one_line_what_is_wrong(self) -> None:
        for url in ("http://localhost", "redis://localhost:1"):
            child = self.run_example(*commands("pubsub.py"), "--url", url)
            self.assertEqual(await child.ended, (1, None))
            self.assertRegex(child.err, r"\Aerror: .+\n\Z")


class NewsFeedProgramTests(ProgramTestCase):
    async def test_imports_the_file_and_ends_cleanly_on_ctrl_c(self) -> None:
        child = self.run_example(commands("news_feed.py")[0])
        url = (await child.seen(r"--url '(.+)' watch news\n"))[1]
        await child.seen("published tag:example.org,2026:harbour/8: Fog: pilots")
        self.assertEqual(await child.interrupt(), (0, None))
        self.assertNotIn("Traceback", child.err)
        self.assertEqual(len(child.err.splitlines()), 8, child.err)
        self.assert_stopped(url)

    async def test_follows_the_file(self) -> None:
        file = self.folder() / "news.atom"
        atom(file, a="first")
        command = commands("news_feed.py")[0].replace("examples/news.atom", shlex.quote(str(file)))
        child = self.run_example(command, "--interval", "0.05")
        url = (await child.seen(r"--url '(.+)' watch news\n"))[1]
        await child.seen("published a: first")
        retracts = await self.subscribe(url, "feed.retract:news")
        atom(file, b="second")
        self.assertEqual(await retracts.wait(1), [("a",)])
        await child.seen("published b: second")
        self.assertEqual(await child.interrupt(), (0, None))

    async def test_once_imports_only_what_is_not_there(self) -> None:
        command = commands("news_feed.py")[1]
        self.assertIn("redis://localhost:6379/0", command)
        command = command.replace("redis://localhost:6379/0", f"embedded:{self.folder()}")
        for published in (8, 0):
            child = self.run_example(command)
            self.assertEqual(await child.ended, (0, None))
            self.assertEqual(child.err.count("published tag:"), published, child.err)

    async def test_once_says_in_one_line_what_is_wrong(self) -> None:
        for words in (
            "README.rst",
            "nowhere.atom",
            "examples/news.atom --url redis://localhost:1",
        ):
            child = self.run_example(f"python examples/news_feed.py --once {words}")
            self.assertEqual(await child.ended, (1, None))
            self.assertRegex(child.err, r"\Aerror: .+\n\Z")


class LogTailProgramTests(ProgramTestCase):
    async def follow(self, command: str) -> None:
        """Run the command, and see a line that is added to the file as an event."""
        folder = self.folder()
        file = folder / "app.log"
        file.write_bytes(b"old\n")
        child = self.run_example(command, cwd=folder)
        url = (await child.seen(URL))[1]
        published = await self.subscribe(url, "feed.publish:log")
        with file.open("ab") as log:
            log.write(b"new\n")
        self.assertEqual([item for _, item in await published.wait(1)], ["new"])
        # twist and twistd end themselves with the signal, after all is shut down.
        self.assertIn(await child.interrupt(), [(None, 2), (0, None)])
        self.assertNotIn("Traceback", child.out + child.err)
        self.assert_stopped(url)

    async def test_runs_under_twist(self) -> None:
        await self.follow(commands("logtail.py")[0])

    async def test_runs_under_twistd(self) -> None:
        await self.follow(commands("logtail.py")[0].replace(" twist ", " twistd -n "))

    async def test_publishes_from_the_start_if_asked_to(self) -> None:
        folder = self.folder()
        (folder / "app.log").write_bytes(b"old\n")
        command = commands("logtail.py")[1].replace(
            "redis://localhost:6379/0", f"embedded:{folder}/data"
        )
        child = self.run_example(command, "--interval", "0.05", cwd=folder)
        url = (await child.seen(URL))[1]
        published = await self.subscribe(url, "feed.publish:log")
        with (folder / "app.log").open("ab") as log:
            log.write(b"new\n")
        await item_seen(published, "new")
        self.assertEqual(await self.stored(url, "log"), ["old", "new"])

    async def test_refuses_bad_options_with_its_usage(self) -> None:
        for words in ("", "--file app.log --url http://localhost"):
            child = self.run_example(f"PYTHONPATH=examples twist thoonk-logtail {words}")
            self.assertEqual((await child.ended)[0], 64)
            self.assertIn("--max-length=", child.out + child.err)
            self.assertNotIn("Traceback", child.out + child.err)


# -- news_feed, in process -------------------------------------------------------


def atom(path: Path, **titles: str) -> None:
    """Write an Atom file with these entries, oldest first: id=title."""
    entries = [
        f"<entry><id>{id_}</id><title>{title}</title><summary>of {id_}</summary>"
        f"<link href='https://example.org/{id_}'/>"
        f"<updated>2026-01-{day:02}T00:00:00Z</updated></entry>"
        for day, (id_, title) in enumerate(titles.items(), 1)
    ]
    new = path.with_suffix(".new")
    new.write_text(
        "<?xml version='1.0' encoding='utf-8'?><feed xmlns='http://www.w3.org/2005/Atom'>"
        "<id>urn:test</id><title>Test</title><updated>2026-01-01T00:00:00Z</updated>"
        f"{''.join(reversed(entries))}</feed>",
        "utf-8",
    )
    new.replace(path)


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
        """Give all events since the last time, and be sure that there are no others."""
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
        # The dates, too, come from the position: c keeps its own.
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
        atom(self.path, a="A", b="B")  # written again: another inode, another time
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
        while not clock.getDelayedCalls():
            await self.raw.ping()
        atom(self.path, a="A")
        clock.advance(9)
        self.assertEqual(await self.happened(), [])
        clock.advance(1)
        self.assertEqual(await self.events.wait(1), [("publish", "a")])
        while not clock.getDelayedCalls():  # the look is not over yet
            await self.raw.ping()
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


# -- logtail, in process ----------------------------------------------------------


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
        self.append(b"")  # the new file is there, but the program writes to the old one yet
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
        self.client = ClientService(
            self.target.endpoint(reactor),
            ThoonkPubFactory(**self.target.credentials),
            clock=reactor,
            retryPolicy=lambda _: 0.01,
        )
        self.follower = logtail.Follower(
            logtail.Lines(str(self.path)), "log", self.client, self.clock, interval=self.interval
        )
        sub = await self.sub()
        self.events = await self.record(sub, "feed.publish:log", "feed.edit:log")
        self.follower.startService()
        self.addCleanup(self.follower.stopService)
        self.addCleanup(self.client.stopService)

    def write(self, *lines: str) -> None:
        with self.path.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Let the follower look at its file, and again and again."""
        self.clock.advance(self.interval)
        while not await condition():
            self.clock.advance(self.interval)

    async def sent(self) -> bool:
        await self.raw.ping()  # the reactor goes round
        return not self.follower.waiting

    async def stored(self) -> list[str]:
        pub = await self.pub()
        feed = await pub.feed("log")
        return list((await feed.get_all()).values())

    def break_publish(self, call: int, error: Exception, done: bool) -> list[tuple[str, bytes]]:
        """Have one publish fail, after it was done or undone; what is called is recorded."""
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
        self.client.startService()
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
        self.client.startService()
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
        self.client.startService()
        self.write("a", "b", "c")
        await self.until(self.sent)
        self.assertEqual(await self.stored(), ["a", "b", "c"])

    async def test_goes_on_after_the_connection_was_lost(self) -> None:
        self.client.startService()
        self.write("before")
        await self.until(self.sent)
        pub = await self.client.whenConnected()
        pub.redis.transport.abortConnection()
        self.write("after")
        await self.until(self.sent)
        self.assertEqual(await self.stored(), ["before", "after"])

    async def test_makes_the_feed_anew_if_it_was_deleted(self) -> None:
        self.client.startService()
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
        self.client.startService()

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
        redis = service._redis
        await service.client.whenConnected()
        published = await self.subscribe(redis.url, "feed.publish:log")
        write("2")
        await item_seen(published, "2")
        await redis.server.kill()
        write("3")
        # The client connects again, and with that the server is started again.
        await service.client.whenConnected()
        published = await self.subscribe(redis.url, "feed.publish:log", "feed.edit:log")
        write("4")
        await item_seen(published, "4")
        self.assertEqual(await self.stored(redis.url, "log"), ["1", "2", "3", "4"])

    async def test_says_why_it_cannot_connect(self) -> None:
        with capturedLogs() as logs:
            service = self.service(self.folder() / "app.log", "unix:///nowhere/redis.sock")
            service.startService()
            await service.client.whenConnected(failAfterFailures=1).addErrback(lambda _: None)
            await deferLater(reactor, 0)
            await service.stopService()
        warnings = [event for event in logs if event["log_level"] == LogLevel.warn]
        self.assertEqual(len(warnings), 1, warnings)

    def test_refuses_bad_options(self) -> None:
        for words in ([], ["--file", "x", "--url", "x"], ["--file", "x", "--interval", "x"]):
            with self.assertRaises(UsageError):
                logtail.Options().parseOptions(words)
        with self.assertRaises(InvalidInput):
            example_tools.RedisAt("x", reactor)
