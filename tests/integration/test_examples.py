"""The examples as programs, run as their documentation says."""

from __future__ import annotations

import ast
import re
import shlex

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from tests.support.examples import (
    EXAMPLES,
    PROGRAMS,
    URL,
    ProgramTestCase,
    atom,
    commands,
    item_seen,
    news_feed,
)
from txthoonk import Thoonk


class DocumentationTests(SynchronousTestCase):
    def test_the_readme_has_the_command_of_each_docstring(self) -> None:
        readme = (EXAMPLES / "README.rst").read_text()
        for program in PROGRAMS:
            self.assertIn(f"\n    {commands(program)[0]}\n", readme)

    def test_the_examples_import_public_modules_only(self) -> None:
        for path in EXAMPLES.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in getattr(node, "names", [])]
                name = ".".join([getattr(node, "module", None) or "", *names])
                if "txthoonk" in name:
                    self.assertNotIn("._", name, path)


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
        thoonk = Thoonk(url, reactor)
        self.addCleanup(thoonk.close)
        await thoonk.connect()
        await thoonk.create_feed("pubsub-example")
        child = self.run_example(*commands("pubsub.py"), "--url", url)
        self.assertEqual(await child.ended, (1, None))
        self.assertEqual(len(child.err.splitlines()), 1, child.err)
        self.assertTrue(await thoonk.feed_exists("pubsub-example"))

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
        """Run the command, and check that a line added to the file arrives as an event."""
        folder = self.folder()
        file = folder / "app.log"
        file.write_bytes(b"old\n")
        child = self.run_example(command, cwd=folder)
        url = (await child.seen(URL))[1]
        published = await self.subscribe(url, "feed.publish:log")
        with file.open("ab") as log:
            log.write(b"new\n")
        self.assertEqual([item for _, item in await published.wait(1)], ["new"])
        # twist and twistd end by the signal after they have shut everything down.
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
