"""A script that may not use one of its commands changes nothing, for every verb and command.

The rows are those of :mod:`tests.faults.verbs`, and more for scripts that only maintenance and
workers call. Each row runs once undisturbed, which shows the scripts that it calls and which of
the commands in their source they use. Then it runs once for each script and command, as a user who
may not use that command while that script runs.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any

import attr
from twisted.internet.defer import CancelledError, Deferred

from tests.faults import states
from tests.faults.row import Verb, write
from tests.faults.states import FEED
from tests.faults.verbs import VERBS
from tests.support import READERS, RedisTestCase
from tests.support.wire import NAMES
from txthoonk.errors import ResponseError, ThoonkError
from txthoonk.history._reads import read_items, read_order, read_snapshot
from txthoonk.job._job import calls_of
from txthoonk.job._results import ResultScripts
from txthoonk.monitoring._inspector import read_overview
from txthoonk.protocol._encoding import TEXT
from txthoonk.types import Feed, Job, Queue
from txthoonk.wire._scripts import Script, load

# Reads everything that Redis holds, in one call.
DUMP = """
local read = {string = {'GET'}, hash = {'HGETALL'}, set = {'SMEMBERS'}, list = {'LRANGE', 0, -1},
  zset = {'ZRANGE', 0, -1, 'WITHSCORES'}, stream = {'XRANGE', '-', '+'}}
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local type = redis.call('TYPE', key).ok
  local command, first, last, more = unpack(read[type])
  local words = {command, key, first, last, more}
  found[#found + 1] = {key, type, redis.call(unpack(words))}
end
return found
"""
OWN = ("feed.revision:", "feed.history:")
CALLED = re.compile(rb"cmdstat_([a-z|]+):calls=(\d+)")

# Commands that may be refused without an error, because the script works without them.
SPARED = {
    ("registry/delete", "PEXPIREAT"): "what it is for is that nobody clears the results",
    ("job/forget", "ZCARD"): "what it forgets is to be forgotten; what is left is, later",
    ("job/expire_claims", "GET"): "a look that cannot be read is none",
    ("job/expire_claims", "SET"): "without a note there is another look",
    ("job/expire_claims", "DEL"): "the same",
    ("job/expire_claims", "ZCOUNT"): "the same",
    ("job/pass_on", "PUBLISH"): "who wants the result finds it where it is kept",
    ("worker/look", "LLEN"): "who takes from the feed learns why",
    ("worker/look", "HGET"): "the same",
}


# -- states that only maintenance notices --------------------------------------------------


async def moved(pub: Any) -> None:
    """Make an item whose id a consumer moved with BLMOVE before it died."""
    await states.queue(pub)
    await pub.redis.send("LMOVE", f"feed.ids:{FEED}", f"feed.transit:{FEED}", "RIGHT", "LEFT")


async def held(pub: Any) -> None:
    """Make an item that has been in delivery for too long."""
    await states.queue(pub)
    id_ = await pub.redis.send("RPOP", f"feed.ids:{FEED}")
    await pub.redis.send("ZADD", f"feed.delivering:{FEED}", 1, id_)


async def due(pub: Any) -> None:
    """Make a delayed job that is due but not in the line yet."""
    await states.delayed(pub)
    await pub.redis.send("ZADD", f"feed.delayed:{FEED}", 1, "b")


async def stalled_too_long(pub: Any) -> None:
    """Make a stalled job that has been kept for longer than ``keep_stalled_for``."""
    await states.stalled(pub)
    await Job(pub, FEED).set_config({"keep_stalled_for": 1})
    await pub.redis.send("ZADD", f"feed.failed:{FEED}", 1, "a")


async def expired(pub: Any) -> None:
    """Make an expired claim of a job that has reached ``max_failures``."""
    await states.old_claim(pub)
    await Job(pub, FEED).set_config({"max_failures": 1})


async def foreign(pub: Any) -> None:
    """Make a feed that was changed by a program that keeps no history."""
    await states.feed(pub)
    await pub.redis.send("INCR", f"feed.publishes:{FEED}")


async def two_results(pub: Any) -> Any:
    """Make a claimed job whose result is wanted, in a feed that keeps one result."""
    claim = await states.kept_results(pub)
    await ResultScripts(pub, FEED).look(claim.id, b"", 10.0)
    return claim


def passed(pub: Any, _: object) -> Deferred[Any]:
    return Job(pub, FEED).maintenance()


def put_back(pub: Any, _: object) -> Deferred[Any]:
    async def take() -> None:
        queue = Queue(pub, FEED)
        got = queue.get()
        got.cancel()
        with contextlib.suppress(CancelledError):
            await got
        while pub.waiting_room.outages.under_way:
            await next(iter(pub.waiting_room.outages.under_way))

    return Deferred.fromCoroutine(take())


def finished(pub: Any, claim: Any) -> Deferred[Any]:
    calls = calls_of(Job(pub, FEED))
    return calls.finish_many([calls.words(claim.id, claim.token, "done")], 1)


def renewed(pub: Any, claim: Any) -> Deferred[Any]:
    words = (1000, "worker", "about", 1, claim.id, claim.token)
    return called_each(pub, "worker/renew", [FEED], *words)


def called_each(
    pub: Any, name: str, values: list[str], *words: Any, **names: str
) -> Deferred[Any]:
    """Call a script that no method calls alone."""
    script = load(name)
    command = (*script.bind_each(**names)(values), *words)
    return pub.redis.call(script, command, TEXT)


def recovered(pub: Any, _: object) -> Deferred[Any]:
    return Deferred.fromCoroutine(Job(pub, FEED)._claims._recover())


def trimmed(pub: Any, _: object) -> Deferred[Any]:
    return called_each(pub, "feed/trim", [], feed=FEED)


async def too_many(pub: Any) -> None:
    """Make a feed with more items than its max_length."""
    await states.feed(pub)
    await pub.redis.send("HSET", f"feed.config:{FEED}", "max_length", 1)


def snapped(pub: Any, _: object) -> Deferred[Any]:
    return read_snapshot(pub.redis, FEED, 10, "feed.mark:x", "mark", True)


def ordered(pub: Any, _: object) -> Deferred[Any]:
    return read_order(pub.redis, FEED, 0, -1, "feed.mark:x", "mark")


def compared(pub: Any, _: object) -> Deferred[Any]:
    return called_each(pub, "history/compare", [FEED], FEED)


def forgotten(pub: Any, _: object) -> Deferred[Any]:
    return called_each(pub, "job/forget", ["a"], 10, feed=FEED)


async def told_elsewhere(pub: Any) -> None:
    """Make a job that another implementation has finished, and whose result is wanted."""
    await states.claimed(pub)
    await ResultScripts(pub, FEED).look("a", b"", 10.0)
    await pub.redis.send("HDEL", f"feed.items:{FEED}", "a")


def passed_on(pub: Any, _: object) -> Deferred[Any]:
    return ResultScripts(pub, FEED).pass_on({"a": b"done"})


def listens(pub: Any, _: object) -> Deferred[Any]:
    return ResultScripts(pub, FEED).listen(["a"], 10.0, 3, 10.0)


def looked_again(pub: Any, _: object) -> Deferred[Any]:
    return ResultScripts(pub, FEED).ended(["a", "b", "gone"])


async def importing(pub: Any) -> None:
    """Make an import of a job feed of thoonk.js that is under way, with a job in each state."""
    await pub.create_feed(FEED, {"type": "job", "paused": 1, "importing": "old"}, force=True)
    for command in (
        *(("HSET", "job.items:old", id_, "x") for id_ in "abc"),
        ("LPUSH", "job.ids:old", "a"),
        *(("ZADD", "job.published:old", "1700000000000", id_) for id_ in "ab"),
        ("ZADD", "job.claimed:old", "1700000000000", "b"),
        ("SADD", "job.stalled:old", "c"),
        ("HSET", "job.cancelled:old", "a", "1"),
    ):
        await pub.redis.send(*command)


async def imported(pub: Any) -> None:
    """Make an import of a job feed of thoonk.js that has no more jobs."""
    await importing(pub)
    await pub.redis.send("DEL", "job.items:old")
    await pub.redis.send("SADD", "jobs", "old")
    await pub.redis.send("MSET", "job.publishes:old", "3", "job.finishes:old", "2")


def taken_over(pub: Any, moves: int) -> Deferred[Any]:
    names = {"source": "old", "mark": "importing"}
    words = (moves, 1, "a", "b", "c")
    return called_each(pub, "thoonkjs/take_jobs", [], *words, feed=FEED, **names)


def import_ended(pub: Any, removes: int) -> Deferred[Any]:
    names = {"source": "old", "mark": "importing", "instance": "1"}
    return called_each(pub, "thoonkjs/end_import", [], removes, feed=FEED, **names)


def looked(pub: Any, _: object) -> Deferred[Any]:
    return called_each(pub, "worker/look", [FEED])


MORE = (
    write("Queue.maintenance (moved)", "", lambda pub, _: Queue(pub, FEED).maintenance(), moved),
    write("Queue.maintenance (held)", "", lambda pub, _: Queue(pub, FEED).maintenance(), held),
    write("Queue.get (cancelled)", "", put_back, states.queue),
    write("Job.maintenance (due)", "", passed, due),
    write("Job.maintenance (stalled)", "", passed, stalled_too_long),
    write("Job.maintenance (expired)", "", passed, expired),
    write(
        "Job.finish (wanted)", "", lambda pub, it: Job(pub, FEED).finish(it, "TWO"), two_results
    ),
    write("Worker (finishes and claims)", "", finished, states.claimed),
    write("Worker (keeps results, too)", "", finished, states.kept_results),
    write("renewal", "", renewed, states.claimed),
    write("recovery", "", recovered, states.claimed),
    write("trim", "", trimmed, too_many),
    write("snapshot", "", snapped, foreign),
    write("items", "", lambda pub, _: read_items(pub.redis, FEED, ["a"]), states.feed),
    write("order", "", ordered, states.sorted_feed),
    write("compare", "", compared, states.feed),
    write("forget", "", forgotten, states.kept_results),
    write("look", "", looked, states.job),
    write("listen", "", listens, states.claimed),
    write("import (copies)", "", lambda pub, _: taken_over(pub, 0), importing),
    write("import (moves)", "", lambda pub, _: taken_over(pub, 1), importing),
    write("import (ends)", "", lambda pub, _: import_ended(pub, 0), imported),
    write("import (removes)", "", lambda pub, _: import_ended(pub, 1), imported),
    write("look again", "", looked_again, states.stalled),
    write("pass on", "", passed_on, told_elsewhere),
    write("Feed.revision (foreign)", "", lambda pub, _: Feed(pub, FEED).revision(), foreign),
    write("overview", "", lambda pub, _: read_overview(pub.redis, FEED), states.claimed),
)


ROWS = [*[verb for verb in VERBS if "pub" in verb.on], *MORE]


@attr.define
class Seen:
    """The outcome of one call of a script.

    :ivar commands: the commands that it used.
    """

    script: Script
    before: dict[str, Any]
    after: dict[str, Any]
    heard: list[Any]
    error: BaseException | None
    commands: set[str] = attr.Factory(set)


class RefusedCase(RedisTestCase):
    timeout = 600

    async def setUp(self) -> None:
        await super().setUp()
        self.writer = await self.pub()
        self.ear = await self.spy()
        await self.allow()
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "narrow")
        self.user = await self.pub(username="narrow", password="secret")
        commands = await self.raw.send("COMMAND")
        self.commands = {row[0].decode().upper() for row in commands}
        self.seen: Seen | None = None
        self.patch(self.user.redis, "call", self.called)
        self.real = type(self.user.redis).call

    async def allow(self, *without: str) -> None:
        rules = ("allkeys", "allchannels", "+@all", *without)
        await self.raw.send("ACL", "SETUSER", "narrow", "on", ">secret", *rules)

    async def dump(self) -> dict[str, Any]:
        """Read everything that Redis holds."""
        found = {}
        for key, type_, value in await self.raw.send("EVAL", DUMP, 0):
            found[key.decode()] = READERS[type_][2](value)
        return found

    def sources(self, script: Script) -> set[str]:
        """Return the commands named in a script, including its header."""
        return set(re.findall(r"\b[A-Z]+\b", script.source)) & self.commands

    # -- one script of one call -------------------------------------------------------------

    def called(self, script: Script, command: Any, encoding: Any) -> Any:
        """Record every call, and observe the first call of the wanted script."""
        self.scripts.append(script.name)
        if script.name != self.wanted or self.looking:  # type: ignore[has-type]
            return self.real(self.user.redis, script, command, encoding)
        self.looking = True
        # Cancelling the call must not interrupt the observation.
        answer: Deferred[Any] = Deferred(lambda _: None)
        Deferred.fromCoroutine(self.look(script, command, encoding)).addBoth(
            lambda found: None if answer.called else answer.callback(found)
        )
        return answer

    async def look(self, script: Script, command: Any, encoding: Any) -> Any:
        redis = self.user.redis
        await self.raw.send("SCRIPT", "LOAD", script.source)
        redis._loaded.add(script.sha)
        before = await self.dump()
        await self.ear.messages(own=True)
        if self.refused is None:
            await self.raw.send("CONFIG", "RESETSTAT")
        else:
            await self.allow(f"-{self.refused.lower()}")
        reply, error = None, None
        try:
            reply = await self.real(redis, script, command, encoding)
        except ThoonkError as caught:
            error = caught
        used: set[str] = set()
        if self.refused is None:
            text = await self.raw.send("INFO", "commandstats")
            used = {name.decode().upper() for name, _ in CALLED.findall(text)}
        else:
            await self.allow()
        for one in reply if isinstance(reply, list) else []:
            error = error or (one if isinstance(one, ThoonkError) else None)
        heard = await self.ear.messages(own=True)
        self.seen = Seen(script, before, await self.dump(), heard, error, used)
        if error is not None and reply is None:
            raise error
        return reply

    async def run_row(self, verb: Verb, wanted: str = "", refused: str | None = None) -> None:
        """Run a row; while the wanted script runs, the user may not use the refused command."""
        await self.raw.flushdb()
        self.wanted, self.refused, self.seen, self.looking = "", None, None, False
        self.scripts: list[str] = []
        known = await verb.prepare(self.writer)
        self.wanted, self.refused = wanted, refused
        ended = verb.call(self.user, known)
        if verb.trigger is not None:
            await self.user.redis.send("PING")
            await verb.trigger(self.writer, known)
        with contextlib.suppress(ThoonkError, CancelledError):
            await ended
        room = self.user.waiting_room
        while room.outages.under_way:
            await next(iter(room.outages.under_way))
        await self.user.waiting_room.close()
        room.closed = None


class RefusedTests(RefusedCase):
    async def check(self, history: int) -> None:
        """Check all rows that need no trigger and make one call."""
        self.patch(states, "HISTORY", {"history": history})
        complaints: list[str] = []
        tried: dict[str, set[str]] = {}
        for verb in ROWS:
            if verb.trigger is not None or "several calls" in verb.name:
                continue
            await self.run_row(verb)
            for name in dict.fromkeys(self.scripts):
                await self.run_row(verb, name)
                if self.seen is None:
                    continue
                script = load(name)
                commands = self.sources(script) & self.seen.commands
                tried.setdefault(name, set()).update(commands)
                for command in sorted(commands):
                    await self.run_row(verb, name, command)
                    complaint = self.complaint(self.seen)
                    if complaint:
                        complaints.append(f"{verb.name}: {name} without {command}: {complaint}")
        self.flushLoggedErrors(ResponseError)  # of renewals
        self.assertEqual(complaints, [], "\n" + "\n".join(complaints))
        self.assertEqual(set(NAMES) - set(tried), set())

    def complaint(self, seen: Seen | None) -> str:
        """Describe what is wrong; empty if nothing is."""
        if seen is None:
            return "not called"
        revision = f"feed.revision:{FEED}"
        epochs = [state.get(revision, {}).get(b"\0epoch") for state in (seen.before, seen.after)]
        void = not epochs[1] or epochs[0] != epochs[1]
        if (seen.script.name, self.refused) in SPARED:
            return ""
        if seen.error is None:
            return "" if void and revision in seen.after else "not refused"
        changed = sorted(
            key
            for key in {*seen.before, *seen.after}
            if seen.before.get(key) != seen.after.get(key)
            and not (key.startswith(OWN) and void and epochs[0])
            # A worker is alive, even if a later command is refused.
            and key != f"feed.workers:{FEED}"
        )
        heard = [one for one in seen.heard if not (void and epochs[0])]
        return f"changed {changed}, heard {heard}" if changed or heard else ""

    async def test_with_history(self) -> None:
        """With history, a script whose command is refused changes nothing or voids the history."""
        await self.check(100)

    async def test_without_history(self) -> None:
        """Without history, a script whose command is refused changes and publishes nothing."""
        await self.check(0)
