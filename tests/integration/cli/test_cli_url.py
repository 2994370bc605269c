"""The sources of the URL of ``thoonk``, which keep passwords out of ``ps``."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from tests.support.cli import Child, CommandTestCase
from tests.support.tls import Authority, TLSServer
from txthoonk.cli import _main as cli


class UrlTests(CommandTestCase):
    def setUp(self) -> Any:
        self.patch(os, "environ", {**os.environ, "THOONK_URL": "redis://127.0.0.1:1/0"})
        return super().setUp()

    async def run_with(self, *words: str) -> tuple[int, str]:
        """Run the command; return its exit status and its output."""
        printed = io.StringIO()
        self.patch(sys, "stdout", printed)
        self.patch(sys, "stderr", printed)
        try:
            status = await cli._run(reactor, *cli._parsed(words))
        except SystemExit as end:
            status = int(end.code or 0)
        return status, printed.getvalue()

    async def test_environment(self) -> None:
        """``THOONK_URL`` applies if the command line has no URL."""
        os.environ["THOONK_URL"] = self.url
        await self.publisher.feed("news")
        self.assertEqual(await self.run_with("feeds"), (0, "news\n"))
        status, printed = await self.run_with("--url", "redis://127.0.0.1:1/0", "feeds")
        self.assertEqual(status, 1)
        self.assertIn("cannot connect to redis://127.0.0.1:1/0", printed)

    async def test_file(self) -> None:
        """``--url-file`` names a file that has the URL, also for a command that reconnects."""
        path = Path(self.mktemp())
        path.write_text(f"{self.url}\n")
        await self.publisher.feed("news")
        self.assertEqual(await self.run_with("--url-file", str(path), "feeds"), (0, "news\n"))
        child = Child("--url-file", str(path), "watch", "news")
        await child.seen("watching news")
        child.transport.signalProcess("INT")
        self.assertEqual(await child.ended, 0)

    async def test_encrypted(self) -> None:
        """With ``rediss://``, ``get`` waits on an encrypted connection."""
        authority = Authority("ours")
        server = TLSServer(self.target, authority.server("localhost"), reactor)
        await server.start()
        self.addCleanup(server.stop)
        path = Path(self.mktemp())
        path.write_bytes(authority.pem)
        queue = await self.publisher.queue("q")
        url = f"rediss://localhost:{server.port}/{self.target.db}"
        words = ("--url", url, "--ca-file", str(path), "get", "q", "--timeout", "60")
        getting = Deferred.fromCoroutine(self.run_with(*words))
        await self.blocked(1)
        await queue.put("it")
        self.assertEqual(await getting, (0, "it\n"))

    async def test_refused(self) -> None:
        """A bad argument or file gives one error line that does not show the password."""
        path = Path(self.mktemp())
        path.write_text("redis://:s3cr3t@h:x")
        for words, wanted, text in [
            (("--url-file", str(path), "feeds"), 1, "redis://***@h:x"),
            (("--url-file", "/does/not/exist", "feeds"), 1, "/does/not/exist"),
            (("--url-file", str(path), "--url", "redis://h", "feeds"), 2, "not allowed with"),
            (("redis://me:s3cr3t@h", "feeds"), 2, "redis://***@h"),
            (("--ulr", "redis://me:s3cr3t@h", "feeds"), 2, "thoonk: "),
            (("--url", "embedded:?password=s3cr3t", "feeds"), 1, "embedded:"),
        ]:
            status, printed = await self.run_with(*words)
            self.assertEqual(status, wanted)
            self.assertIn(text, printed)
            self.assertEqual(printed.count("\n"), 1)
            self.assertNotIn("s3cr3t", printed)
        self.assertFalse(os.path.exists("?password=s3cr3t"))
