"""Every verb with a foreign key in place of each key that it touches.

MONITOR shows the keys during an undisturbed run, so none can be forgotten. A verb that reads or
writes a key as a list, a hash and so on must fail if another program stored another type there,
before it writes or publishes anything. A key that the verb only removes may have any type.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.endpoints import connectProtocol
from twisted.internet.protocol import Protocol

from tests.faults.each import each_verb
from tests.faults.outcomes import record
from tests.faults.server_cells import SERVICES, CellTestCase, Run
from tests.faults.states import FEED
from tests.faults.verbs import Verb
from tests.support.waiting import until
from txthoonk.errors import FeedError
from txthoonk.wire._keys import FEEDS, feed_keys, kept_result_key

KEYS = {key.encode() for key in (FEEDS, *feed_keys(FEED), kept_result_key(FEED, "a"))}
#: Commands that accept a key of any type.
ANY_TYPE = {b"del", b"unlink", b"exists", b"type", b"pexpire"}
CONFIG = b"feed.config:"  # need not be readable: thoonk.js 0.2 stored it as text
# Keys that are written without being read, so the right value replaces a foreign one: the result
# of an earlier job with that id, and the note of a look, which each look writes.
REPLACED: dict[bytes, type] = {b"feed.jobfinished:": list, b"feed.overdue:": bytes}
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
END = b"that is all"


class Monitor(Protocol):
    """Receives every command that the server executes, including those of scripts."""

    def __init__(self) -> None:
        self.heard = b""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"MONITOR\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def touched(self) -> dict[bytes, set[bytes]]:
        """Return the touched keys, each with the commands that used it."""
        found: dict[bytes, set[bytes]] = {}
        for line in self.heard.split(b"\r\n"):
            words = [word.replace(rb"\x00", b"\0") for word in WORD.findall(line)]
            if words and words[0].lower() not in (b"evalsha", b"eval", b"publish"):
                for key in KEYS.intersection(words[1:]):
                    found.setdefault(key, set()).add(words[0].lower())
        return found


async def foreign(case: ForeignTests, verb: Verb) -> None:
    """A foreign key fails the whole call, and the error says which type is wrong."""
    words = set()
    touched = await case.touched(verb)
    run = await case.prepared(verb)
    try:
        for key in sorted(touched):
            words |= await case.meet(run, key, touched[key] <= ANY_TYPE)
    finally:
        await case.close(run)
    record(verb.name, "wrongtype", " / ".join(sorted(words)) or await case.observe(verb))


@each_verb(foreign=foreign)
class ForeignTests(CellTestCase):
    """Each key in turn has a foreign type (``-WRONGTYPE``)."""

    async def touched(self, verb: Verb) -> dict[bytes, set[bytes]]:
        """Return the keys that a verb touches, and the commands that it uses on them."""
        assert self.faulty.server is not None
        run = await self.prepared(verb)
        monitor = await connectProtocol(self.faulty.server.endpoint(), Monitor())
        await until(lambda: monitor.heard)
        run.begin()
        await self.release(run)
        await run.outcome()
        await self.quiet(run.thing)
        await self.raw.send("ECHO", END)
        await until(lambda: END in monitor.heard)
        monitor.transport.abortConnection()
        await self.close(run)
        return monitor.touched()

    async def meet(self, run: Run, key: bytes, any_type: bool) -> set[str]:
        """Call with a foreign key in place; return the word for the refusal, if there is one."""
        await self.raw.send("FLUSHALL")
        run.known = await run.verb.prepare(self.writer)
        await self.faulty.foreign(key)
        before = await self.state()
        await self.told()
        run.begin()
        await self.settle(run)
        waits = not run.ended  # as it would without the foreign key
        if waits:
            run.call.cancel()
        _, error = await run.outcome()
        await self.quiet(run.thing)
        after, events, logged = await self.state(), await self.told(), self.logged()
        if run.verb.name.startswith(SERVICES):
            error = error or next(iter(logged), None)
        elif logged:
            raise AssertionError(f"{run.verb.name}, {key!r} in the way: logged {logged}")
        replaced = any_type or key.startswith(tuple(REPLACED)) or "delete_feed" in run.verb.name
        if waits or (error is None and (replaced or CONFIG in key)):
            self.check_replaced(key, before[key], after.get(key), replaced)
            return set()
        self.assertEqual(after.get(key), before[key], key)
        self.check_error(run.verb, key, error)
        if not run.verb.steps:
            self.assertEqual((after, events), (before, []), (run.verb.name, key))
        word = {"read": "no answer", "listen": "ended"}.get(run.verb.kind, "not done")
        return {f"{word}, {type(error).__name__}"}

    def check_replaced(self, key: bytes, before: Any, after: Any, replaced: bool) -> None:
        """A call that succeeds has not changed the foreign key.

        :param replaced: whether it may also remove the key, or replace it with the right value.
        """
        if after == before or (replaced and after is None):
            return
        kinds = [kind for start, kind in REPLACED.items() if key.startswith(start)]
        self.assertTrue(replaced and kinds, (key, after))
        self.assertIsInstance(after, kinds[0], key)

    def check_error(self, verb: Verb, key: bytes, error: Any) -> None:
        """The error names the wrong type."""
        text = f"{getattr(error, 'code', '')} {error}"
        clear = "WRONGTYPE" in text or (CONFIG in key and isinstance(error, FeedError))
        self.assertTrue(clear, f"{verb.name}, {key!r} in the way: {error!r}")
