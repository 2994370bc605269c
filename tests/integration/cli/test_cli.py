"""The ``thoonk`` command, run in process if it ends by itself, else as a child process."""

from __future__ import annotations

import json
import os
import pty
import signal
from typing import Any

from tests.support import children
from tests.support.cli import THOONK, CommandTestCase
from txthoonk.cli import _main as cli
from txthoonk.cli._settings_help import settings_help


class ShortCommandTests(CommandTestCase):
    async def test_createConfigDelete(self) -> None:
        """``create``, ``config``, ``feeds`` and ``delete`` work, and print nothing else."""
        self.assertEqual(
            await self.thoonk("create", "b", "max_length=2", "title=a=b"), (0, "", "")
        )
        self.assertEqual(await self.thoonk("create", "a"), (0, "", ""))
        self.assertEqual(await self.thoonk("feeds"), (0, "a\nb\n", ""))
        await self.publisher.job("j")
        await self.raw.set("feed.config:a", "{}")
        _, out, _ = await self.thoonk("feeds", "--json")
        a, b, j = map(json.loads, out.splitlines())
        self.assertEqual((a["feed"], a["type"]), ("a", None))
        self.assertIn("feed.config:a", a["error"])
        self.assertEqual(b, {"feed": "b", "type": "feed"})
        self.assertEqual(j, {"feed": "j", "type": "job"})
        await self.publisher.delete_feed("j")
        self.assertEqual(
            await self.thoonk("config", "b"), (0, "max_length=2\ntitle=a=b\ntype=feed\n", "")
        )
        self.assertEqual(await self.thoonk("config", "b", "max_length=5"), (0, "", ""))
        _, out, _ = await self.thoonk("config", "b", "--json")
        self.assertEqual(json.loads(out), {"type": "feed", "max_length": "5", "title": "a=b"})
        self.assertEqual(await self.thoonk("delete", "b"), (0, "", ""))
        self.assertEqual(await self.publisher.get_feed_names(), {"a"})

    async def test_settings(self) -> None:
        """A wrong setting is an error without ``--force``; the help lists all settings."""
        for words in (("create", "new"), ("config", "a")):
            await self.thoonk("create", "a")
            status, out, err = await self.thoonk(*words, "max_lenght=3")
            self.assertEqual((status, out), (1, ""))
            self.assertIn("did you mean 'max_length'?", err)
            status, _, err = await self.thoonk(*words, "max_length=ten", "--force")
            self.assertEqual(status, 1)
            self.assertIn("a whole number of items", err)
            self.assertEqual(await self.thoonk(*words, "max_lenght=3", "--force"), (0, "", ""))
        for name in ("a", "new"):
            config = await self.publisher.get_config(name)
            self.assertEqual(config, {"type": "feed", "max_lenght": "3"})
        _, out, _ = await self.thoonk("create", "--help")
        for line in settings_help().splitlines():
            self.assertIn(f"  {line}\n", out)

    async def test_publishOne(self) -> None:
        """``publish`` creates a missing feed, and prints the id."""
        status, out, err = await self.thoonk("publish", "news", "hello")
        self.assertEqual((status, err), (0, ""))
        news = await self.publisher.feed("news")
        self.assertEqual(await news.get_all(), {out.strip(): "hello"})
        await self.thoonk("publish", "news", "again", "--id", out.strip())
        self.assertEqual(await news.get_all(), {out.strip(): "again"})

    async def test_reading(self) -> None:
        """``items`` and ``item`` print what is stored, including arbitrary bytes."""
        news = await self.publisher.feed("news", {"serializer": "bytes"})
        await news.publish(b"one", "1")
        await news.publish(b"\xff\n\0", "2")
        self.assertEqual(await self.thoonk("items", "news"), (0, "1\tone\n2\t\udcff\n\0\n", ""))
        _, out, _ = await self.thoonk("items", "news", "--json")
        self.assertEqual(
            [json.loads(line) for line in out.splitlines()],
            [{"id": "1", "item": "one"}, {"id": "2", "item": "\udcff\n\0"}],
        )
        self.assertEqual(await self.thoonk("item", "news", "1"), (0, "one\n", ""))
        self.assertEqual(await self.thoonk("retract", "news", "1", "2"), (0, "", ""))
        self.assertEqual(await news.length(), 0)

    async def test_jsonFeed(self) -> None:
        """A json feed accepts only JSON text, and stores it as its serializer does."""
        news = await self.publisher.feed("news", {"serializer": "json"})
        await self.thoonk("publish", "news", '{"a": [1]}', "--id", "1")
        self.assertEqual(await news.get_item("1"), {"a": [1]})
        status, out, err = await self.thoonk("publish", "news", "{a")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("is not JSON", err)
        self.assertEqual(await news.length(), 1)

    async def test_errors(self) -> None:
        """An error is one line that names the fault, and an exit status other than 0."""
        await self.publisher.create_feed("work", {"type": "queue"})
        await self.publisher.feed("news")
        before = await self.raw.dbsize()
        for words, text in [
            (("create", "news"), "'news' already exists"),
            (("delete", "nope"), "'nope' does not exist"),
            (("items", "nope"), "'nope' does not exist"),
            (("item", "news", "1"), "no item '1'"),
            (("retract", "news", "1", "2"), "no item '1', '2'"),
            (("items", "work"), "type 'queue'"),
            (("config", "news", "max_length=many"), "max_length"),
            (("config", "news", "max_length"), "NAME=VALUE"),
            (("publish", "news", "--id", "1"), "--id goes with an ITEM"),
            (("watch", "news", "--since", "junk"), "not 'junk'"),
            (("frobnicate",), "No such command 'frobnicate'"),
            (("watch",), "FEED_OR_PATTERN"),
            ((), "Missing command"),
        ]:
            status, out, err = await self.thoonk(*words)
            self.assertNotEqual(status, 0, words)
            self.assertEqual(out, "")
            self.assertIn(text, err)
            self.assertEqual(err.count("\n"), 1, err)
        self.assertEqual(await self.raw.dbsize(), before)

    async def test_unreachable(self) -> None:
        """A wrong URL or an absent server is an error that does not show the password."""
        for url in (
            "redis://user:secret@127.0.0.1:1/0",
            "unix://user:secret@/nowhere/at/all",
            "http://user:secret@localhost",
            "redis://user:secret@localhost/x",
        ):
            self.url = url
            status, out, err = await self.thoonk("feeds")
            self.assertEqual((status, out, err.count("\n")), (1, "", 1))
            self.assertNotIn("secret", err)

    async def test_databaseThatIsNotThere(self) -> None:
        """A database that the server does not have is an error; database 0 is not used instead."""
        separator = "?db=" if self.url.startswith("unix") else "/"
        self.url = self.url.rpartition(separator)[0] + separator + "9999999"
        status, _, err = await self.thoonk("publish", "news", "x")
        self.assertEqual((status, err.count("\n")), (1, 1))
        self.assertIn("DB index", err)


class RunningCommandTests(CommandTestCase):
    async def test_publishLines(self) -> None:
        """``publish`` takes each line of standard input, even a last one without a line end."""
        child = self.child("publish", "news")
        lines = [b"line %d \xff" % number for number in range(20_000)]
        child.transport.write(b"\n".join(lines))
        child.transport.closeStdin()
        self.assertEqual(await child.ended, 0)
        self.assertIn("published 20,000 items in", child.err)
        stored = await self.raw.hvals("feed.items:news")
        self.assertEqual(sorted(stored), sorted(lines))
        news = await self.publisher.feed("news")
        self.assertEqual(
            [item.encode("utf-8", "surrogateescape") for item in (await news.get_all()).values()],
            lines,
        )

    async def test_publishLinesAsTheyCome(self) -> None:
        """``publish`` publishes each line as it arrives, before the input ends."""
        sub = await self.sub()
        news = await self.publisher.feed("news")
        recorder = await self.record(sub, news.channel_publish)
        child = self.child("publish", "news")
        child.transport.write(b"first\nsec")
        await recorder.wait(1)
        child.transport.write(b"ond\n")
        await recorder.wait(2)
        self.assertEqual([item for _, _, item in recorder.calls], ["first", "second"])
        child.transport.closeStdin()
        self.assertEqual(await child.ended, 0)

    async def test_publishLinesStopsAtAnError(self) -> None:
        """A line that cannot be published ends the command, which reports what was published."""
        await self.publisher.feed("news", {"serializer": "json"})
        child = self.child("publish", "news")
        child.transport.write(b"1\n2\n{oops\n")
        self.assertEqual(await child.ended, 1)
        self.assertIn("is not JSON", child.err)
        self.assertRegex(child.err, r"published \d items?")

    async def test_publishInterrupted(self) -> None:
        """Ctrl-C ends a ``publish`` that waits for input, with the status of an interrupt."""
        child = self.child("publish", "news")
        child.transport.write(b"1\n")
        sub = await self.sub()
        recorder = await self.record(sub, "feed.publish:news", "create")
        child.transport.write(b"2\n")
        await recorder.wait(1)
        child.transport.signalProcess("INT")
        self.assertEqual(await child.ended, cli.INTERRUPTED)

    async def test_watch(self) -> None:
        """``watch`` prints each event of the matching feeds once, as JSON with ``--json``."""
        child = self.child("watch", "--json", "n*", "news", "[[]odd", "n\\*")
        await child.seen("watching")
        for name in ("news", "other", "[odd", "odd"):
            feed = await self.publisher.feed(name)
            await feed.publish("item\0", "1")
            await feed.publish("new", "1")
            await feed.retract("1")
            await feed.set_config({"title": name})
            await feed.delete_feed()
        for name in ("news", "[odd"):
            await child.seen(f'{{"kind": "delete", "feed": "{name}"}}')
        child.transport.signalProcess("INT")
        self.assertEqual(await child.ended, 0)
        shown: list[dict[str, Any]] = [json.loads(line) for line in child.out.splitlines()]
        self.assertEqual({event["feed"] for event in shown}, {"news", "[odd"})
        for name in ("news", "[odd"):  # the events of one feed are in order
            expected = [
                {"kind": "create", "feed": name},
                {"kind": "publish", "feed": name, "id": "1", "item": "item\0"},
                {"kind": "edit", "feed": name, "id": "1", "item": "new"},
                {"kind": "retract", "feed": name, "id": "1"},
                {"kind": "config", "feed": name},
                {"kind": "delete", "feed": name},
            ]
            self.assertEqual([event for event in shown if event["feed"] == name], expected)

    async def test_watchOnATerminal(self) -> None:
        """On a terminal, ``watch`` prints an event as one line, in color and cut to fit."""
        news = await self.publisher.feed("news")
        await news.publish("first", "1")
        await news.publish("second", "2")
        child = self.child("watch", "news", "--snapshot", terminal=True)
        await child.seen("watching")
        await news.publish("two\nlines \x1b[2J\u202e" + "x" * 1000, "3")
        await news.retract("1")
        await child.seen("retract")
        child.transport.signalProcess("INT")
        await child.ended
        lines = [line[10:] for line in child.out.split("\r\n") if line[2:3] == ":"]
        self.assertEqual(lines[0], "\x1b[36msnapshot\x1b[0m  news  1  first")
        self.assertEqual(lines[1], "\x1b[36msnapshot\x1b[0m  news  2  second")
        self.assertRegex(
            lines[2],
            r"^\x1b\[32mpublish \x1b\[0m  news  3  two\\nlines \\x1b\[2J\\u202ex+\.\.\.$",
        )
        self.assertEqual(len(lines[2]) - len("\x1b[32m\x1b[0m") + 10, 80)
        self.assertIn("\x1b[31mretract \x1b[0m  news  1", lines[3])

    async def test_watchLosesItsConnection(self) -> None:
        """``watch`` reports a lost connection, continues, and says which feed may miss events."""
        await self.publisher.feed("kept", {"history": 10})
        child = self.child("watch", "news", "kept")
        await child.seen("watching")
        await self.raw.send("CLIENT", "KILL", "TYPE", "pubsub")
        await child.seen("resync    news  the connection was lost, and the feed keeps no history")
        kept = await self.publisher.feed("kept")
        await kept.publish("item", "1")
        await child.seen("publish   kept  1  item")
        self.assertNotIn("resync    kept", child.out)
        self.assertIn("was lost", child.err)
        child.transport.signalProcess("INT")
        self.assertEqual(await child.ended, 0)

    async def test_watchSince(self) -> None:
        """``watch`` starts after an event or with a snapshot; ``history`` prints kept events."""
        feed = await self.publisher.feed("news", {"history": 10, "serializer": "json"})
        for number in range(3):
            await feed.publish({"n": number}, str(number))
        status, out, _ = await self.thoonk("history", "news", "--json")
        events = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(status, 0)
        self.assertEqual([event["revision"] for event in events], [1, 2, 3])
        self.assertEqual(events[0]["item"], '{"n":0}')
        _, out, _ = await self.thoonk("history", "news", "--since", "1", "--count", "1")
        self.assertEqual(out, f'{events[1]["cursor"]}\tpublish\t1\t{{"n":1}}\n')
        child = self.child("watch", "--json", "--since", events[1]["cursor"], "news")
        await child.seen('"revision": 3')
        child.transport.signalProcess("INT")
        self.assertEqual(await child.ended, 0)
        self.assertEqual([json.loads(line) for line in child.out.splitlines()], events[2:])
        child = self.child("watch", "--snapshot", "news")
        await child.seen("watching")
        await feed.retract("1")
        await child.seen("retract")
        child.transport.signalProcess("INT")
        await child.ended
        lines = [line.split("  ", 1)[1] for line in child.out.splitlines()]
        items = [f'snapshot  news  {n}  {{"n":{n}}}' for n in range(3)]
        self.assertEqual(lines, [*items, "retract   news  1"])
        for words in (("n*",), ("news", "other")):
            status, _, err = await self.thoonk("watch", "--since", "1", *words)
            self.assertEqual((status, err), (1, "thoonk: --since goes with one feed\n"))

    async def test_watchWhoseReaderHasGone(self) -> None:
        """``watch`` reports an error and ends when its output is closed."""
        child = self.child("watch", "news")
        await child.seen("watching")
        child.transport.closeStdout()
        news = await self.publisher.feed("news")
        await news.publish("x")
        self.assertEqual(await child.ended, 141)
        self.assertEqual(
            child.err,
            "watching news\nthoonk: cannot write to standard output: its reader is gone\n",
        )

    async def test_embedded(self) -> None:
        """``embedded:/folder`` keeps its data; a second command joins the first one's server."""
        folder = self.mktemp()
        os.makedirs(folder)
        self.url = f"embedded:{os.path.abspath(folder)}"
        watching = self.child("watch", "--json", "news")
        await watching.seen("watching")
        publishing = self.child("publish", "news", "hello")
        self.assertEqual(await publishing.ended, 0)
        await watching.seen('"item": "hello"')
        watching.transport.signalProcess("INT")
        self.assertEqual(await watching.ended, 0)
        status, out, _ = await self.thoonk("items", "news")
        self.assertEqual((status, out), (0, f"{publishing.out.strip()}\thello\n"))

    async def test_progressOnATerminal(self) -> None:
        """``publish`` shows its progress on a terminal."""
        controller, terminal = pty.openpty()
        child = children.Child()
        words = [*THOONK, "--url", self.url, "publish", "news"]
        child.spawn(*words, childFDs={0: "w", 1: "r", 2: terminal})
        os.close(terminal)
        sub = await self.sub()
        recorder = await self.record(sub, "feed.publish:news")
        child.transport.write(b"1\n")
        await recorder.wait(1)
        child.transport.closeStdin()
        self.assertEqual(await child.ended, 0)
        shown = os.read(controller, 10_000).decode()
        os.close(controller)
        self.assertRegex(shown, r"published \d items? in 0\.\d s .*\rpublished 1 item in")

    async def test_keyboard(self) -> None:
        """At a keyboard, ``publish`` without an item says what it reads, and how to end that."""
        child = self.child("publish", "news", terminal=True)
        await child.seen("reading items from the keyboard, one a line; Ctrl-D ends the input")
        child.transport.write(b"typed\n\x04")
        await child.seen("published 1 item in")
        await child.ended
        news = await self.publisher.feed("news")
        self.assertEqual(list((await news.get_all()).values()), ["typed"])


class SignalTests(CommandTestCase):
    async def test_terminated(self) -> None:
        """SIGTERM ends ``watch`` and its embedded server."""
        self.url = "embedded:"
        child = self.child("watch", "news")
        await child.seen("watching")
        os.kill(child.transport.pid, signal.SIGTERM)
        self.assertEqual(await child.ended, 143)
