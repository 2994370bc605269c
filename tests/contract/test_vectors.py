"""Runs the vectors of ``vectors.json``, whose ``about`` explains its format."""

from __future__ import annotations

import builtins
import json
import math
import operator
import re
import uuid
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import attr
from twisted.internet.defer import Deferred

from tests.support import Recorder, RedisTestCase
from txthoonk.client import ThoonkPub
from txthoonk.types import Claim, Feed, Job, PythonQueue, Queue, SortedFeed

# The names of feed types in vectors.
TYPES: dict[str, Any] = {
    "feed": Feed,
    "sorted_feed": SortedFeed,
    "queue": Queue,
    "pyqueue": PythonQueue,
    "job": Job,
}
# Verbs that every type has; the publisher's vectors show them.
EVERYWHERE = {"get_config", "set_config", "delete_feed", "get_history", "revision", "mirror"}
DOCUMENTS = Path(__file__).parents[2] / "docs"
DOCUMENT = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))
ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|(\\)|)")
UUID = re.compile(rb"[0-9a-f]{32}")
NUMBER = re.compile(rb"[0-9]+(?:\.[0-9]+)?")


def unescape(string: str) -> bytes:
    """Return the bytes that a string of the file stands for."""

    def replace(match: re.Match[bytes]) -> bytes:
        if match[1] is None and match[2] is None:
            raise ValueError(f"an escape that 'about' does not know in {string!r}")
        return match[2] or bytes([int(match[1], 16)])

    return ESCAPE.sub(replace, string.encode())


def text(string: str) -> str:
    """Return a string of the file as txthoonk takes and returns text."""
    return unescape(string).decode("utf-8", "surrogateescape")


def value(written: Any) -> Any:
    """Return the Python value of an argument, or of what a verb fires."""
    if isinstance(written, str):
        return text(written)
    if isinstance(written, list):
        return [value(one) for one in written]
    if isinstance(written, dict):
        return {text(key): value(one) for key, one in written.items()}
    return written


def argument(feed: Any, written: Any) -> Any:
    """Return the Python value of an argument of a verb."""
    if isinstance(written, dict) and "error" in written:
        name, message = value(written["error"])
        return getattr(builtins, name)(message)
    if isinstance(written, dict) and "claim" in written:
        id_, token = value(written["claim"])
        claim = Claim(id_, None, 0)
        claim.token, claim.job = token, feed
        return claim
    if isinstance(written, dict) and "new" in written:
        return feed.new(*value(written["new"]))
    if isinstance(written, list):
        return [argument(feed, one) for one in written]
    return value(written)


def plain(fired: Any) -> Any:
    """Return what a verb fires in the form of the file."""
    if attr.has(type(fired)):
        return attr.asdict(fired)
    if isinstance(fired, (list, tuple)):
        return [plain(one) for one in fired]
    return fired


def is_own(kind: str, name: bytes) -> bool:
    """Return whether a key or channel is not part of the contract."""
    return name.startswith(tuple(map(unescape, DOCUMENT["ignore"][kind])))


class Matcher:
    """Compares what a vector writes with what is found; remembers generated values."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, str], bytes] = {}
        self.clock = (0.0, 0.0)

    def text(self, written: str | list[Any], found: bytes) -> bool:
        """Match a string, or a list of pieces."""
        for piece in [written] if isinstance(written, str) else written:
            expected = self.piece(piece, found)
            if expected is None or not found.startswith(expected):
                return False
            found = found[len(expected) :]
        return not found

    def piece(self, piece: Any, found: bytes) -> bytes | None:
        """Return what a piece stands for, if it can match what is found."""
        if isinstance(piece, str):
            return unescape(piece)
        ((kind, name),) = piece.items()
        if kind == "json":
            members = json.loads(found).items()
            return found if value(name).items() <= members else None
        if (kind, name) not in self.made:
            made = UUID.match(found) if kind == "uuid" else NUMBER.match(found)
            if made is None or not self.sound(kind, made[0]):
                return None
            self.made[kind, name] = made[0]
        return self.made[kind, name]

    def sound(self, kind: str, made: bytes) -> bool:
        """Return whether a generated value has the right form."""
        if kind == "uuid":
            return uuid.UUID(made.decode()).version == 4
        return self.score({"clock": "ms"}, float(made))

    def fired(self, written: Any, found: Any) -> bool:
        """Match what a verb fires, which may contain pieces."""
        if not isinstance(written, list):
            return bool(value(written) == found)
        if isinstance(found, str):
            return self.text(written, found.encode())
        return isinstance(found, list) and self.all(self.fired, written, found)

    def score(self, written: Any, found: float) -> bool:
        if not isinstance(written, dict):
            return float(written) == found
        found -= written.get("plus", 0)
        if written.get("clock") == "ms":
            return math.floor(self.clock[0]) <= found <= self.clock[1]
        if "clock" in written:
            return self.clock[0] <= found <= self.clock[1]
        if "next" in written:
            return found == math.nextafter(written["next"], math.inf)
        return bool(written["above"] < found < written["below"])

    def all(self, match: Callable[[Any, Any], bool], written: Any, found: Any) -> bool:
        """Match sequences of the same length, in order."""
        return len(written) == len(found) and all(map(match, written, found))

    def anyhow(self, match: Callable[[Any, Any], bool], written: Any, found: Any) -> bool:
        """Match collections of the same size, in any order."""
        left = list(found)
        for one in written:
            matching = [other for other in left if match(one, other)]
            if len(matching) != 1:
                return False
            left.remove(matching[0])
        return not left

    def pair(self, written: Any, found: Any) -> bool:
        return self.text(written[0], found[0]) and self.text(written[1], found[1])

    def scored(self, written: Any, found: Any) -> bool:
        return self.text(written[0], found[0]) and self.score(written[1], found[1])

    def content(self, written: dict[str, Any], found: Any) -> bool:
        """Match the whole content of a key."""
        ((type_, content),) = written.items()
        if type_ == "string":
            return isinstance(found, bytes) and self.text(content, found)
        if type_ == "set":
            return isinstance(found, set) and self.anyhow(self.text, content, found)
        if type_ == "hash":
            return isinstance(found, dict) and self.anyhow(self.pair, content, found.items())
        if not isinstance(found, list):
            return False
        return self.all(self.text if type_ == "list" else self.scored, content, found)


class VectorTestCase(RedisTestCase):
    async def commands(self, commands: list[list[str]]) -> None:
        for command in commands:
            await self.raw.send(*map(unescape, command))

    def call(self, pub: ThoonkPub, call: dict[str, Any]) -> Deferred[Any]:
        """Call a verb; if it fails, the Deferred fires the error."""
        on: Any = pub
        if "feed" in call:
            serializer = call.get("serializer", "text")
            on = TYPES[call.get("type", "feed")](pub, text(call["feed"]), serializer)
        arguments = [argument(on, one) for one in call.get("arguments", [])]
        if call["verb"] == "progress":
            on = arguments.pop(0)
        options = {name: argument(on, one) for name, one in call.get("options", {}).items()}
        result: Deferred[Any] = getattr(on, call["verb"])(*arguments, **options)
        return result.addErrback(lambda reason: reason.value)

    async def settled(self, pub: ThoonkPub, fires: Deferred[Any]) -> Any:
        """Wait for a verb, and for what it does after it has fired."""
        fired = await fires
        await pub.redis.ping()
        return fired

    async def waiting(self, until: dict[str, Any]) -> list[int]:
        """Count the waiting clients that Redis reports: blocked ones, or subscribers."""
        if "blocked" in until:
            information = await self.raw.send("INFO", "clients")
            return [int(count) for count in re.findall(rb"blocked_clients:(\d+)", information)]
        channels = [unescape(channel) for channel in until.get("subscribed", [])]
        return [(await self.raw.send("PUBSUB", "NUMSUB", channel))[1] for channel in channels]

    async def wait_for(self, pub: ThoonkPub, call: dict[str, Any]) -> Deferred[Any]:
        """Call a verb that waits, and check that it does."""
        until = call.get("until", {})
        enough = [count + until.get("blocked", 1) for count in await self.waiting(until)]
        fires = self.call(pub, call)
        await self.until_answer(
            lambda: self.waiting(until),
            lambda counts: fires.called or not any(map(operator.lt, counts, enough)),
            silent=True,
        )
        self.assertFalse(fires.called, call)
        return fires

    def assertFired(self, vector: dict[str, Any], matcher: Matcher, fired: Any) -> None:
        if "fails" in vector:
            self.assertEqual(type(fired).__name__, vector["fails"], fired)
            return
        self.assertNotIsInstance(fired, Exception)
        if "fires" not in vector:
            return
        written = vector["fires"]
        if isinstance(written, dict) and "unordered" in written:
            self.assertEqual(sorted(fired), sorted(value(written["unordered"])))
        elif isinstance(written, list) and isinstance(fired, dict):
            self.assertEqual([list(pair) for pair in fired.items()], value(written))
        else:
            self.assertTrue(matcher.fired(written, plain(fired)), fired)

    async def keys(self, own: bool = False) -> dict[bytes, Any]:
        """Read the contract's keys, or the others."""
        state = await self.state()
        return {key: found for key, found in state.items() if is_own("keys", key) is own}

    def assertMessages(self, matcher: Matcher, written: list[Any], found: list[Any]) -> None:
        self.assertTrue(matcher.all(matcher.pair, written, found), found)

    def assertKeys(self, matcher: Matcher, written: Any, before: Any, after: Any) -> None:
        """Check that the keys are those of a vector."""
        if written == "unchanged":
            self.assertEqual(after, before)
            return
        self.assertEqual(set(after), set(map(unescape, written)))
        for key, content in written.items():
            found = after[unescape(key)]
            self.assertTrue(matcher.content(content, found), (key, content, found))

    async def lifetimes(self, keys: Iterable[bytes]) -> dict[bytes, int]:
        """Return the remaining milliseconds of each key that expires."""
        left = {key: await self.raw.send("PTTL", key) for key in keys}
        return {key: milliseconds for key, milliseconds in left.items() if milliseconds != -1}

    async def assertExpires(self, vector: dict[str, Any], started: float) -> None:
        """Check that exactly these keys expire, with lifetimes set while the verb ran."""
        left = await self.lifetimes(await self.keys())
        passed = await self.now() - started
        written = vector.get("expires", {})
        self.assertEqual(set(left), set(map(unescape, written)))
        for key, milliseconds in written.items():
            found = left[unescape(key)]
            self.assertTrue(milliseconds - passed - 1 <= found <= milliseconds, (key, found))

    async def run_writes(self, vector: dict[str, Any]) -> None:
        """Run one verb, and check that the keys and messages are exactly those of the vector."""
        pub, spied, matcher = await self.pub(), await self.spy(), Matcher()
        await self.commands(vector["given"])
        parts = [(vector, False)] + ([(vector["own"], True)] if "own" in vector else [])
        before = [await self.keys(own) for _, own in parts]
        await spied.messages()
        started = await self.now()
        if vector["when"]["verb"] == "maintenance":
            await self.looked(vector["when"]["feed"])  # the first of two looks
        fired = await self.settled(pub, self.call(pub, vector["when"]))
        matcher.clock = (started, await self.now())
        await self.raw.send("DEL", f"feed.overdue:{vector['when'].get('feed')}")
        self.assertFired(vector, matcher, fired)
        told = await spied.messages(own=True)
        await self.assertExpires(vector, started)
        for (part, own), earlier in zip(parts, before, strict=True):
            some = [one for one in told if is_own("channels", one[0]) is own]
            self.assertMessages(matcher, part["messages"], some)
            self.assertKeys(matcher, part["keys"], earlier, await self.keys(own))

    async def run_reads(self, vector: dict[str, Any]) -> None:
        """Check that handlers and verbs get what other implementations wrote."""
        pub, sub, heard = await self.pub(), await self.sub(), Recorder()
        await self.commands(vector["given"])
        for event in vector["handlers"]:
            await sub.register_handler(text(event), heard.named(text(event)))
        await sub.register_handler("done", heard.named("done"))
        waits = [(call, await self.wait_for(pub, call)) for call in vector.get("waits", [])]
        await self.commands([*vector["peer"], ["PUBLISH", "done", ""]])
        for call, fires in waits:
            self.assertFired(call, Matcher(), await self.settled(pub, fires))
        for call in vector["reads"]:
            self.assertFired(call, Matcher(), await self.settled(pub, self.call(pub, call)))
        expected = [*(tuple(value(call)) for call in vector["heard"]), ("done", "")]
        calls = await heard.wait(len(expected))
        self.assertEqual(calls[: len(expected)], expected)


class WritesTests(VectorTestCase):
    """One test for each vector of ``writes``; the tests are added below."""


class ReadsTests(VectorTestCase):
    """One test for each vector of ``reads``; the tests are added below."""


class DocumentTests(RedisTestCase):
    def test_complete(self) -> None:
        """Every vector is run, has a unique name, and names its section."""
        vectors = DOCUMENT["writes"] + DOCUMENT["reads"]
        self.assertEqual(len({vector["name"] for vector in vectors}), len(vectors))
        self.assertTrue(all(vector["section"] for vector in vectors))
        added = [name for case in (WritesTests, ReadsTests) for name in vars(case)]
        added = [name for name in added if name.startswith("test_")]
        self.assertEqual(len(added), len(vectors))

    def test_every_verb(self) -> None:
        """Each verb of each type of feed has a vector."""
        calls = [vector["when"] for vector in DOCUMENT["writes"]]
        for vector in DOCUMENT["reads"]:
            calls += [*vector.get("waits", []), *vector["reads"]]
        shown = {(call.get("type", "feed"), call["verb"]) for call in calls if "feed" in call}
        for type_ in ("feed", "sorted_feed", "queue", "job"):
            verbs = {name for name in dir(TYPES[type_]) if callable(getattr(TYPES[type_], name))}
            verbs.discard("new")  # not a verb: it makes an argument of finish
            missing = {verb for verb in verbs - EVERYWHERE if (type_, verb) not in shown}
            missing = {verb for verb in missing if not verb.startswith("_")}
            self.assertEqual(missing, set(), type_)

    def test_ignored(self) -> None:
        """The documentation describes every ignored key and channel."""
        described = "".join(path.read_text("utf-8") for path in DOCUMENTS.glob("*.rst"))
        for prefix in DOCUMENT["ignore"]["keys"] + DOCUMENT["ignore"]["channels"]:
            self.assertIn(f"``{prefix}[feed]``", described)

    def test_escapes(self) -> None:
        """An unknown escape is an error."""
        self.assertEqual(unescape("a\\x00\\\\x00\\xffä"), b"a\0\\x00\xff\xc3\xa4")
        for wrong in ("\\", "\\n", "\\x0", "\\X00", "\\xFF"):
            self.assertRaises(ValueError, unescape, wrong)


def method(run: Callable[..., Coroutine[Any, Any, None]], vector: dict[str, Any]) -> Any:
    async def test(self: VectorTestCase) -> None:
        await run(self, vector)

    test.__doc__ = f"{vector['name']} ({vector['section']})"
    return test


def add_tests(case: type[VectorTestCase], kind: str, run: Any) -> None:
    for vector in DOCUMENT[kind]:
        slug = re.sub(r"\W+", "_", vector["name"].lower())
        setattr(case, f"test_{slug}", method(run, vector))


add_tests(WritesTests, "writes", VectorTestCase.run_writes)
add_tests(ReadsTests, "reads", VectorTestCase.run_reads)
