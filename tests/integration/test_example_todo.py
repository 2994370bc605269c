"""The to-do list of the examples, on Twisted's web server and as an ASGI application."""

from __future__ import annotations

import os
from typing import Any

from tests.support import server_url
from tests.support.browser import Browser
from tests.support.examples import Child, ProgramTestCase, commands
from txthoonk import Thoonk


class TodoTests(ProgramTestCase):
    """``todo.py``."""

    async def setUp(self) -> None:
        self.url = await server_url()
        async with Thoonk(self.url) as thoonk:
            await thoonk.redis.flushdb()

    async def serve(self) -> tuple[Child, Browser]:
        (command,) = commands("todo.py")
        child = self.run_example(command.replace("8080", "0"), "--url", self.url)
        return child, Browser(int((await child.seen(r"open http://localhost:(\d+)/"))[1]))

    def ended(self, outcome: Any) -> None:
        self.assertEqual(outcome, (0, None))

    async def test_list(self) -> None:
        """A browser gets the list, each change once, and after a restart what it has missed."""
        child, browser = await self.serve()
        status, page = await browser.ask("GET", "/")
        self.assertEqual((status, b"EventSource" in page), (200, True))
        first = await browser.listen("/events")
        self.assertEqual(await first.came(1), [{"items": [], "revision": 0}])
        status, id_ = await browser.ask("POST", "/items", "bread")
        self.assertEqual(status, 201)
        bread = id_.decode()
        self.assertEqual((await first.came(2))[1], {"items": [[bread, "bread"]], "revision": 1})
        first.close()

        path = f"/items/{bread}"
        for method, text, headers, expected in (
            ("PUT", "white bread", {"if_match": "1"}, (200, b"done")),
            ("PUT", "rye bread", {"if_match": "1"}, (409, b"white bread")),
            ("PUT", "rye bread", {}, (428, b"If-Match must be the revision that you see")),
            ("PUT", " ", {"if_match": "2"}, (400, b"an item has 1 to 1000 bytes")),
            ("DELETE", "", {"if_match": "1"}, (409, b"white bread")),
        ):
            self.assertEqual(await browser.ask(method, path, text, **headers), expected)
        open_still = await browser.listen("/events")
        await open_still.came(1)
        self.ended(await child.interrupt())

        child, browser = await self.serve()
        again = await browser.listen("/events", first.last)
        self.assertEqual(await again.came(1), [{"items": [[bread, "white bread"]], "revision": 2}])
        self.assertEqual((await browser.ask("DELETE", path, if_match="2"))[0], 200)
        self.assertEqual((await again.came(2))[1], {"gone": bread, "revision": 3})
        status, why = await browser.ask("GET", "/events", last_event_id="nonsense")
        self.assertEqual((status, b"nonsense" in why), (400, True))

        async with Thoonk(self.url) as thoonk:
            await thoonk.delete_feed("todo")
        self.assertEqual((await again.came(3))[2], {"reset": True})
        self.ended(await child.interrupt())


class AsgiTests(TodoTests):
    """``todo_asgi.py``, in uvicorn."""

    async def serve(self) -> tuple[Child, Browser]:
        (command,) = commands("todo_asgi.py")
        self.patch(os, "environ", {**os.environ, "THOONK_URL": self.url})
        child = self.run_example(command.replace("shutdown 3", "shutdown 1"), "--port", "0")
        return child, Browser(int((await child.seen(r"running on http://127.0.0.1:(\d+)"))[1]))

    def ended(self, outcome: Any) -> None:
        self.assertEqual(outcome[0] or 0, 0)
