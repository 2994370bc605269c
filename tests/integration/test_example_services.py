"""The examples of a worker for ordinary functions, and of a service for ``twist``."""

from __future__ import annotations

import json
import mailbox
import re
from signal import SIGINT

from tests.support import server_url
from tests.support.browser import Browser
from tests.support.children import ROOT
from tests.support.examples import ProgramTestCase, commands
from tests.support.waiting import until
from txthoonk import Thoonk


class ServiceTestCase(ProgramTestCase):
    async def setUp(self) -> None:
        self.url = await server_url()
        async with Thoonk(self.url) as thoonk:
            await thoonk.redis.flushdb()


class TaskQueueTests(ServiceTestCase):
    async def test_tasks(self) -> None:
        """A worker calls the functions, and a task that cannot succeed is stalled."""
        here = self.folder()
        words = here / "words"
        words.write_text("one two three")
        work, mail, count = (
            re.sub("embedded:./tasks", self.url, command).replace("examples/", f"{ROOT}/examples/")
            for command in commands("task_queue.py")
        )
        worker = self.run_example(work, cwd=here)
        await worker.seen("working at ")
        for command, path, outcome, out, err in (
            (count, words, 0, "3\n", ""),
            (count, here / "missing", 1, "", "error: .*stalled.*No such file.*\n"),
        ):
            child = self.run_example(command.replace("README.rst", str(path)), cwd=here)
            self.assertEqual(await child.ended, (outcome, None))
            self.assertEqual(child.out, out)
            self.assertRegex(child.err, rf"\A{err}\Z")
        child = self.run_example(mail, cwd=here)
        self.assertEqual(await child.ended, (0, None))
        await until(lambda: list((here / "outbox" / "new").glob("*")))
        (message,) = mailbox.Maildir(here / "outbox")
        self.assertEqual((message["To"], message["Subject"]), ("ada@example.org", "Fair in July"))
        self.assertEqual(await worker.interrupt(), (0, None))


class OrdersTests(ServiceTestCase):
    async def test_orders(self) -> None:
        """The web server takes orders, and says what becomes of them."""
        (command, *_) = commands("orders.py")
        command = command.replace("embedded:./orders", self.url).replace("8080", "0")
        child = self.run_example(command)
        port = int((await child.seen(r"Site starting on (\d+)"))[1])
        browser = Browser(port)
        status, answer = await browser.ask("POST", "/", "six eggs")
        self.assertEqual(status, 201)
        id_ = json.loads(answer)["id"]
        status, answer = await browser.ask("GET", f"/{id_}")
        self.assertEqual((status, json.loads(answer)), (200, {"result": "shipped: six eggs"}))
        for method, path, expected in (("GET", "/unknown", 404), ("POST", "/", 400)):
            status, answer = await browser.ask(method, path)
            self.assertEqual((status, "error" in json.loads(answer)), (expected, True))
        self.assertEqual(await child.interrupt(), (None, SIGINT))  # as twist always ends
        self.assertNotIn("Traceback", child.out + child.err)


class WsgiTests(ServiceTestCase):
    async def test_put(self) -> None:
        """Threads of a program, and of processes that it forks, put jobs and end."""
        (command,) = commands("wsgi_put.py")
        child = self.run_example(command.replace("redis://localhost:6379/0", self.url))
        self.assertEqual(await child.ended, (0, None))
        self.assertEqual(child.err, "")
        ids = re.findall(r"(?m)^\d+ put ([0-9a-f]{32})$", child.out)
        async with Thoonk(self.url) as thoonk:
            job = await thoonk.job("emails")
            self.assertEqual(sorted(await job.get_ids()), sorted(ids))
        self.assertEqual(len(ids), 9)
