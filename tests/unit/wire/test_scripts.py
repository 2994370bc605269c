"""The Lua scripts: how they are assembled, and that they match their headers."""

from __future__ import annotations

import hashlib
import re
from itertools import takewhile
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import FOLDER, NAMES, commands, plug
from txthoonk.cli.verbs._import import _Import
from txthoonk.client import ThoonkPub
from txthoonk.consumers import _deadlines, _syncer
from txthoonk.consumers._heartbeat import Renewal
from txthoonk.consumers.gets import _get_queue
from txthoonk.consumers.results import _result_trimming, _result_waiters
from txthoonk.errors import _SCRIPT_CODES, ThoonkError
from txthoonk.history._reads import compare, read_items, read_order, read_snapshot
from txthoonk.job import _changes
from txthoonk.job._recoverer import JobPass
from txthoonk.job._results import ResultScripts
from txthoonk.monitoring._inspector import read_overview
from txthoonk.protocol import Redis, _batching
from txthoonk.types import Claim, Feed, Job, Queue, SortedFeed, _bulk, _recoverer
from txthoonk.types._recoverer import Pass
from txthoonk.wire import _scripts
from txthoonk.wire._keys import feed_keys
from txthoonk.wire._scripts import ScriptError, assemble, load
from txthoonk.worker import _schedule
from txthoonk.worker._schedule import _Unknown

STACK = 5000  # words that unpack may return: Lua's stack holds some 8,000
#: What is unpacked as a whole -> the highest number of words, from the limits of a call.
WHOLE = {
    "feed/get_items ARGV, 3": _batching.MOST_CALLS,
    "job/drain some": _changes.SLICE,
    "job/expire some": _recoverer.SLICE,
    "job/drain gone": _changes.SLICE,
    "job/due due": _deadlines.MOST,
    "job/finish KEYS, 17": _schedule.MOST,
    "job/finish ARGV, 10": 6 * _schedule.MOST,
    "job/finish done": _schedule.MOST,
    "include/end_jobs done": _schedule.MOST,
    "include/forgettable one.earlier": 2,
    "job/forget KEYS, 4": _result_trimming.MOST,
    "job/forget ids": _result_trimming.MOST,
    "job/forget gone": _result_trimming.MOST,
    "job/forget keys": _result_trimming.MOST,
    "job/get taken.reply": 3 * _get_queue.MOST,
    "job/pass_on KEYS, 4": _result_waiters.MOST_IDS,  # type: ignore[attr-defined]
    "job/put words": 2 * _bulk.MOST_ITEMS,
    "job/put dates": 2 * _bulk.MOST_ITEMS,
    "job/put new": _bulk.MOST_ITEMS,
    "job/trim_stalled oldest": _recoverer.SLICE,
    "job/trim_stalled stale": _recoverer.SLICE,
    "job/trim_stalled old": _recoverer.SLICE,
    "queue/delivered ARGV": _syncer.MOST,
    "queue/get held": 2 * _get_queue.MOST,
    "queue/get line": 1000 + _get_queue.MOST,
    "queue/put words": 2 * _bulk.MOST_ITEMS,
    "queue/put new": _bulk.MOST_ITEMS,
    "registry/clear KEYS, 3": 500,  # see first_results
    "include/announce_created left": len(feed_keys("")),
    "include/finishing named": _schedule.MOST,
    "include/front_of some": max(_get_queue.MOST, _schedule.MOST),
    "include/front_of some, first, left": max(_get_queue.MOST, _schedule.MOST),
    "include/front_of some, left + 1": max(_get_queue.MOST, _schedule.MOST),
    "include/jobs_exist ids": _bulk.MOST_ITEMS,
    "include/keep_history words": 14,
    "include/keep_history state": 2 * (_batching.MOST_CALLS + 1) + 12,
    "include/keep_results unkept": _schedule.MOST,
    "include/keep_results entries": 2 * _schedule.MOST,
    "include/keep_results old": 10 * _schedule.MOST,
    "include/old_results ids": _result_trimming.MOST + 200,
    "include/old_results notes": _result_trimming.MOST + 200,
    "include/open_feed values, 4": 2,
    "include/to_claim found": max(_get_queue.MOST, _schedule.MOST),
    "include/write_options ids": _bulk.MOST_ITEMS,
    "include/write_options words": 2 * _bulk.MOST_ITEMS,
    "include/unclaim taken.ids": max(_get_queue.MOST, _schedule.MOST),
    "include/unclaim taken.line": 1000 + max(_get_queue.MOST, _schedule.MOST),
    "include/waiting_since oldest": 1001,
    "include/write_claims taken.scores": 2 * max(_get_queue.MOST, _schedule.MOST),
    "include/write_claims taken.entries": 2 * max(_get_queue.MOST, _schedule.MOST),
}
INCLUDES = sorted(path.stem for path in (FOLDER / "include").glob("*.lua"))
SECTIONS = ("KEYS", "ARGV", "Reply", "Errors", "Events", "Cost")
HEADER = "-- Do it.\n--\n-- KEYS\n--   1 feeds    set\n--   2 feed.ids:[feed]   list\n"


def text(part: str) -> str:
    return (FOLDER / f"{part}.lua").read_text("utf-8")


def code(source: str) -> str:
    """Return a script without its comments."""
    return re.sub(r"--.*", "", source)


def header(source: str) -> str:
    """Return the comments at the top of a script."""
    return "\n".join(takewhile(lambda line: line.startswith("--"), source.splitlines()))


def section(source: str, name: str) -> str:
    """Return a section of the header."""
    found = re.search(rf"^-- {name}:? ?(.*(?:\n--   .*)*)", header(source), re.MULTILINE)
    return found[1] if found else ""


def error_codes(source: str) -> set[str]:
    """Return the error codes in a source."""
    answers = re.findall(r"""error_reply\(\s*["']([A-Z]+) """, source)
    assert len(answers) == code(source).count("error_reply("), source
    return set(answers)


def unpacked(part: str) -> set[str]:
    """Return what a part unpacks, except for what is bounded at that place.

    Bounded are a fixed number of KEYS or ARGV, a slice with an end, and replies of fixed length.
    """
    source = code(text(part))
    found = set()
    for words in re.findall(r"\bunpack\(((?:[^()]|\([^()]*\))*)\)", source):
        name, *bounds = re.split(r", (?![^(]*\))", words)
        more = name in ("KEYS", "ARGV") and re.search(
            r"(?m)^--   \d+\.\. ", section(text(part), name)
        )
        sliced = len(bounds) == 2 and (
            re.fullmatch(rf"\d+|math\.min\(.*\)|{bounds[0]} \+ \d+|6 \* index", bounds[1])
            or (bounds[1] == "last" and "local last = math.min(first + " in source)
            or bounds[1] == "math.max(0, math.min(over, count))"
        )
        fixed = name in ("KEYS", "ARGV") and not more
        if not (sliced or fixed or re.match(r"redis\.call\('(HSCAN|HMGET)'", name)):
            found.add(f"{part} {words}")
    return found


def named(pattern: str) -> str:
    """Return the key of a pattern, with the feed and the id of these tests."""
    for name in ("id", "part", "source"):
        pattern = pattern.replace(f"[{name}]", name)
    return pattern.replace("[feed]", "cats").replace("[other]", "cats").replace("\\0", "\0")


def line(pub: ThoonkPub) -> Any:
    queue = Queue(pub, "cats")
    return queue._make_line(pub.waiting_room)


def claim(pub: ThoonkPub) -> Claim:
    made = Claim("id", "item", 0)
    made.job = Job(pub, "cats")
    return made


class Holder:
    """A holder of claims that are renewed."""

    def __init__(self, pub: ThoonkPub) -> None:
        self.job = Job(pub, "cats")
        self.number = 1


def job_pass(pub: ThoonkPub) -> JobPass:
    job = Job(pub, "cats")
    return JobPass(job, "", job._deadlines.look)


def look(pub: ThoonkPub) -> None:
    holder: Any = Holder(pub)
    unknown: _Unknown[Any] = _Unknown(pub, lambda *_: None)
    unknown.add(holder)
    unknown.look(0.0, room=True)


class LoaderTests(SynchronousTestCase):
    """The loader refuses scripts that are not assembled correctly."""

    def put(self, **parts: str) -> Any:
        """Return a reader of parts; ``__`` in a name stands for a slash."""
        texts = {name.replace("__", "/"): part for name, part in parts.items()}

        def read(part: str) -> str:
            try:
                return texts[part]
            except KeyError:
                raise FileNotFoundError(part) from None

        return read

    def refused(self, *words: str, **parts: str) -> None:
        with self.assertRaises(ScriptError) as raised:
            assemble("x/y", self.put(**parts))
        for word in ("x/y", *words):
            self.assertIn(word, str(raised.exception))

    def test_includes(self) -> None:
        """The text of an include replaces its line, and so do the includes within it."""
        read = self.put(
            x__y="a\n--- include one\n--- include two\nb\n",
            include__one="1\n--- include three\n",
            include__two="2\n",
            include__three="3\n",
        )
        self.assertEqual(assemble("x/y", read), "a\n1\n3\n2\nb\n")

    def test_missing(self) -> None:
        """A missing include is named, together with the part that includes it."""
        self.refused("one", "missing", x__y="--- include one\n")
        self.refused(
            "one", "two", "missing", x__y="--- include one\n", include__one="--- include two\n"
        )

    def test_circular(self) -> None:
        """Circular includes are refused."""
        self.refused("one", x__y="--- include one\n", include__one="--- include one\n")
        self.refused(
            "one",
            x__y="--- include one\n",
            include__one="--- include two\n",
            include__two="--- include one\n",
        )

    def test_repeated(self) -> None:
        """An include is refused the second time in one script."""
        self.refused("one", x__y="--- include one\n--- include one\n", include__one="1\n")
        self.refused(
            "one",
            "two",
            x__y="--- include one\n--- include two\n",
            include__one="1\n",
            include__two="--- include one\n",
        )

    def make(self, source: str) -> Any:
        """Load a script with this text."""
        self.patch(_scripts, "_read", {"x/y": source}.__getitem__)
        return load("x/y")

    def test_comments(self) -> None:
        """Redis receives a script without its comments."""
        source = HEADER + "\n-- Why.\nlocal x = 1\n  -- Why not.\nreturn x -- 'one'\n"
        self.assertEqual(self.make(source).source, "\nlocal x = 1\nreturn x -- 'one'\n")

    def test_header_without_keys(self) -> None:
        """A script without a declaration of its KEYS is refused."""
        for source in (
            "return 1\n",
            "-- Do it.\n-- ARGV\n--   1 id\nreturn 1\n",
            "-- KEYS\nreturn 1\n",
            "-- KEYS\n--\n--   1 feeds\nreturn 1\n",
        ):
            with self.assertRaises(ScriptError) as raised:
                self.make(source)
            self.assertIn("x/y", str(raised.exception))
            self.assertIn("KEYS", str(raised.exception))

    def test_bind(self) -> None:
        """A call starts with the header's KEYS and the ARGV that the header binds by name."""
        script = self.make(
            HEADER + "--   3 feed.[part]:[feed]   hash   whichever\n"
            "--   4 feed.jobfinished:[feed]\\0[id]   list\n-- ARGV\n--   1 name of the feed\n"
            "--   2 channel feed.ended:[feed]\\0\n--   3 channel delfeed\n"
            "--   4 [owner] of it\n--   5 id\n--   6.. items\nreturn 1\n"
        )
        self.assertEqual(script.name, "x/y")
        self.assertEqual(
            script.bind("cats", part="later", owner="me", id="7"),
            (
                *("EVALSHA", script.sha, 4),
                *("feeds", "feed.ids:cats", "feed.later:cats", "feed.jobfinished:cats\0" + "7"),
                *("cats", "feed.ended:cats\0", "delfeed", "me"),
            ),
        )

    def test_bind_to_a_feed(self) -> None:
        """A header that names only the feed is bound to each feed separately."""
        script = self.make(HEADER + "-- ARGV\n--   1 channel feed.edit:[feed]\nreturn 1\n")
        for feed in ("cats", "dogs", "cats"):
            self.assertEqual(
                script.bind(feed)[2:], (2, "feeds", f"feed.ids:{feed}", f"feed.edit:{feed}")
            )

    def test_keys_for_each_id(self) -> None:
        """The last of the KEYS may repeat for each of some ids, or for none."""
        more = "--   3.. feed.jobfinished:[feed]\\0[id]   list\n-- ARGV\n--   1 name of the feed\n"
        script = self.make(HEADER + more + "return 1\n")
        begin = script.bind_each(feed="cats")
        for ids in ([], ["a"], ["a", "b", "c"]):
            kept = [f"feed.jobfinished:cats\0{id_}" for id_ in ids]
            self.assertEqual(
                begin(ids)[2:], (2 + len(ids), "feeds", "feed.ids:cats", *kept, "cats")
            )

    def test_keys_for_each_feed(self) -> None:
        """All KEYS of a feed may repeat for each of some feeds, after the other KEYS."""
        script = self.make(HEADER + "--   3.. feed.items:[feed]   hash\nreturn 1\n")
        keys = ("feed.ids:a", "feed.items:a", "feed.ids:b", "feed.items:b")
        self.assertEqual(script.bind_each()(["a", "b"])[2:], (5, "feeds", *keys))

    def test_every_other_key(self) -> None:
        """One pattern stands for every key of a feed that the header does not name."""
        script = self.make(HEADER + "--   3.. feed.*:[feed]   any type\nreturn 1\n")
        _, _, count, feeds, ids, *others = script.bind("cats")
        self.assertEqual((feeds, ids, count), ("feeds", "feed.ids:cats", 2 + len(others)))
        self.assertEqual(sorted([ids, *map(str, others)]), sorted(feed_keys("cats")))

    def test_headers_that_cannot_be_bound(self) -> None:
        """A header that cannot be bound is refused on loading, with a message that says why."""
        key = "-- Do it.\n--\n-- KEYS\n--   1 feeds   set\n"
        for source, *words in (
            (HEADER + "--   3 feed.nothing:[feed]   set\n", "feed.nothing:[feed]"),
            (HEADER + "--   3 [feed]   set\n", "[feed]"),
            (HEADER + "--   4 feed.items:[feed]   hash\n", "KEYS", "1, 2, 3"),
            (HEADER.replace("1 ", "1.. "), "1..", "only the last"),
            (key.replace("1 ", "1.. "), "KEYS", "repeats"),
            (HEADER + "--   3.. feeds   set\n", "KEYS", "repeats"),
            (HEADER + "-- ARGV\n--   1 channel feed.other:[feed]\n", "feed.other:[feed]"),
            (HEADER + "-- ARGV\n--   2 id\n", "ARGV", "1, 2, 3"),
            (HEADER + "-- ARGV\n--   1 id\n--   2 name of the feed\n", "bound by name"),
            (HEADER + "-- ARGV\n--   1 id\n--   2 [owner]\n", "bound by name"),
        ):
            with self.assertRaises(ScriptError, msg=source) as raised:
                self.make(source + "return 1\n")
            for word in ("x/y", *words):
                self.assertIn(word, str(raised.exception))

    def test_names_that_the_header_has_not(self) -> None:
        """A script is bound with the names of its header, no fewer and no more."""
        script = self.make(HEADER + "-- ARGV\n--   1 [owner] of it\nreturn 1\n")
        for names in ({}, {"id": "7"}, {"owner": "me", "id": "7"}):
            with self.assertRaises(ScriptError) as raised:
                script.bind("cats", **names)
            for word in ("x/y", *names, "['feed', 'owner']"):
                self.assertIn(word, str(raised.exception))
        script = self.make(HEADER + "--   3.. feed.items:[feed]   hash\nreturn 1\n")
        self.assertRaises(ScriptError, script.bind, "cats")
        self.assertRaises(ScriptError, script.bind_each, feed="cats")

    def test_digest(self) -> None:
        """The digest is that of the bytes that Redis receives."""
        script = self.make(HEADER + "return 'ä'\n")
        self.assertEqual(script.sha, hashlib.sha1(script.source.encode()).hexdigest())

    def test_script_that_is_not_there(self) -> None:
        """A name without a file fails on loading, not at the call."""
        with self.assertRaises(FileNotFoundError):
            load("feed/nothing")

    def test_error(self) -> None:
        """The loader's errors are ThoonkErrors."""
        self.assertTrue(issubclass(ScriptError, ThoonkError))


class ShippedTests(SynchronousTestCase):
    """Every shipped script follows the rules for scripts."""

    def test_all_load(self) -> None:
        """Every script can be assembled."""
        self.assertIn("feed/publish", NAMES)
        for name in NAMES:
            script = load(name)
            self.assertEqual(script.name, name)
            self.assertNotIn("--- include", script.source)

    def test_sections(self) -> None:
        """The header has one sentence, and all its sections in order."""
        for name in NAMES:
            head = header(text(name))
            self.assertRegex(head, r"\A-- [A-Z](.|\n-- )+\.\n--\n", name)
            found = re.findall(r"^-- ([A-Z]\w+)(?::|$)", head, re.MULTILINE)
            self.assertEqual(found, list(SECTIONS), name)
            for each in SECTIONS:
                self.assertTrue(section(head, each).strip(), (name, each))

    def test_numbering(self) -> None:
        """KEYS and ARGV are numbered without gaps, and only the last number may repeat."""
        for name in NAMES:
            for each in ("KEYS", "ARGV"):
                numbers = re.findall(r"^--   (\d+(?:\.\.)?) ", section(text(name), each), re.M)
                plain = [number.removesuffix("..") for number in numbers]
                self.assertEqual(plain, [str(n) for n in range(1, len(numbers) + 1)], name)
                self.assertEqual(numbers[:-1], plain[:-1], name)

    def test_length(self) -> None:
        """A script has at most 60 lines of code."""
        for part in (*NAMES, *(f"include/{name}" for name in INCLUDES)):
            lines = [line for line in code(text(part)).splitlines() if line.strip()]
            self.assertLessEqual(len(lines), 60, part)

    def test_unpack(self) -> None:
        """A script unpacks no more words than Lua's stack can hold."""
        parts = (*NAMES, *(f"include/{name}" for name in INCLUDES))
        self.assertEqual(set().union(*map(unpacked, parts)), set(WHOLE))
        self.assertLessEqual(max(WHOLE.values()), STACK)

    def test_includes_are_used(self) -> None:
        """Every declared include is called, and every called function is declared before."""
        functions = "|".join(INCLUDES)
        for name in NAMES:
            declared = re.findall(r"^--- include (.*)$", text(name), re.MULTILINE)
            source = code(load(name).source)
            for include in declared:
                calls = re.findall(rf"\b{include}\(", source)
                self.assertGreater(len(calls), 1, f"{name} does not call {include}")
            for call in re.finditer(rf"\b({functions})\(", source):
                before = source[: call.start()]
                defined = f"local function {call[1]}("
                self.assertTrue(
                    defined in before or before.endswith("local function "), (name, call[1])
                )

    def test_includes_are_one_function_each(self) -> None:
        """A file in include/ defines one function, named as the file, and a script uses it."""
        everything = "".join(map(text, NAMES))
        for include in INCLUDES:
            source = text(f"include/{include}")
            self.assertEqual(re.findall(r"^local function (\w+)", source, re.M), [include])
            self.assertTrue(source.startswith("-- "), include)
            self.assertIn(f"--- include {include}\n", everything)

    def test_error_codes(self) -> None:
        """The header lists the error codes that the script and its includes return."""
        for name in NAMES:
            declared = set(re.findall(r"[A-Z]{3,}", section(text(name), "Errors")))
            self.assertEqual(error_codes(load(name).source), declared, name)

    def test_error_codes_have_exceptions(self) -> None:
        """Every code has an exception, and some script returns every exception's code."""
        parts = (*NAMES, *(f"include/{name}" for name in INCLUDES))
        answered = set().union(*(error_codes(text(part)) for part in parts))
        self.assertEqual(answered, set(_SCRIPT_CODES))

    def test_no_key_or_channel_inside(self) -> None:
        """No script contains the name of a key or a channel."""
        names = re.compile(r"feeds$|feed\.|job\.|(new|del|conf)feed|:")
        for part in (*NAMES, *(f"include/{name}" for name in INCLUDES)):
            for _, literal in re.findall(r"""(["'])(.*?)\1""", code(text(part))):
                self.assertIsNone(names.match(literal), (part, literal))

    def test_keys_and_arguments_are_all_used(self) -> None:
        """Every declared key and argument is read by the script."""
        for name in NAMES:
            source = code(text(name))
            for each in ("KEYS", "ARGV"):
                used = {int(number) for number in re.findall(rf"{each}\[(\d+)\]", source)}
                for first, last in re.findall(
                    rf"unpack\({each}(?:, (\d+))?(?:, (\d+))?\)", source
                ):
                    used |= set(range(int(first or 1), int(last or 99) + 1))
                for begin, more in re.findall(
                    rf"for first = (\d+), #{each}, .*\n.*unpack\({each}, first, first \+ (\d+)\)",
                    source,
                ):
                    used |= set(range(int(begin), int(begin) + int(more) + 1))
                for begin in re.findall(r"new_jobs\(\w+, (\d+), \d+, ", source):
                    used |= set(range(int(begin), int(begin) + 11)) if each == "KEYS" else set()
                # Whether the script loops over the values of the last number.
                loops = (
                    f"#{each}" in source
                    or f"{each}[at]" in source
                    or (
                        each == "ARGV"
                        and any(
                            part in source for part in ("fields_from(", "to_put(", "new_jobs(")
                        )
                    )
                )
                numbers = re.findall(
                    r"^--   (\d+)" + " " * loops, section(text(name), each), re.MULTILINE
                )
                self.assertLessEqual(set(map(int, numbers)), used, (name, each))


class CallerTests(SynchronousTestCase):
    """Calls pass what the header of their script declares."""

    def test_bound(self) -> None:
        """The KEYS of every script are those of its header, and so are the channels in ARGV."""
        for name in NAMES:
            script = load(name)
            names = {each: each for each in script.header.names - {"feed"}}
            if script.header.each == "feed":
                command = script.bind_each(**names)(["cats"])
            else:
                value = {"": [], "id": ["id"], "other": ["cats"]}[script.header.each]
                command = script.bind_each(feed="cats", **names)(value)
            keys, arguments = command[3 : 3 + int(command[2])], command[3 + int(command[2]) :]
            patterns = re.findall(r"^--   \d+(?:\.\.)? (\S+)", section(text(name), "KEYS"), re.M)
            if "*" in patterns[-1]:
                keys = (*keys[: len(patterns) - 1], patterns[-1].replace("[feed]", "cats"))
            self.assertEqual(list(keys), [named(pattern) for pattern in patterns], name)
            said = re.findall(r"^--   \d+ (.*)", section(text(name), "ARGV"), re.M)
            for meaning, argument in zip(said, arguments):  # noqa: B905
                if meaning.startswith("channel "):
                    self.assertEqual(f"channel {argument}", named(meaning), name)
                elif meaning.startswith("name of the feed"):
                    self.assertEqual(argument, "cats")
                else:
                    self.assertTrue(meaning.startswith(f"[{argument}]"), (name, meaning))

    def called(self, call: Any) -> tuple[str, list[str]]:
        """Return the script's name and the ARGV that a call sends."""
        redis, transport = plug(Redis())
        Deferred.fromCoroutine(self.make(call, ThoonkPub(redis)))
        words = commands(transport.value())[-1]
        self.assertEqual(words[0], b"EVALSHA")
        (name,) = (name for name in NAMES if load(name).sha == words[1].decode())
        return name, [word.decode() for word in words[3 + int(words[2]) :]]

    async def make(self, call: Any, pub: ThoonkPub) -> None:
        called = call(pub)
        if called is not None:
            await called

    def check(self, name: str, call: Any) -> None:
        script, arguments = self.called(call)
        self.assertEqual(script, name)
        said = re.findall(r"^--   (\d+) (.*)", section(text(name), "ARGV"), re.MULTILINE)
        self.assertGreaterEqual(len(arguments), len(said), name)
        for number, meaning in said:
            if meaning.startswith(("[instance]", "[owner]")):
                self.assertRegex(arguments[int(number) - 1], r"\A[0-9a-f]{32}\Z", name)

    CALLS: dict[str, Any] = {
        "feed/get_items": lambda pub: Feed(pub, "cats").get_item("id"),
        "feed/get_range": lambda pub: Feed(pub, "cats").get_all(),
        "feed/publish": lambda pub: Feed(pub, "cats").publish("item", "id"),
        "feed/retract": lambda pub: Feed(pub, "cats").retract("id"),
        "feed/trim": lambda pub: pub.redis._rests.after(
            ["id", "MORE"], 1, load("feed/trim"), Feed(pub, "cats")._publish
        ),
        "history/compare": lambda pub: compare(pub.redis, ["cats"]),
        "history/item": lambda pub: Feed(pub, "cats").get_item("id", with_revision=True),
        "history/items": lambda pub: read_items(pub.redis, "cats", ["id"]),
        "history/look": lambda pub: Feed(pub, "cats").revision(),
        "history/order": lambda pub: read_order(pub.redis, "cats", 0, 9, "mine", "0"),
        "history/snapshot": lambda pub: read_snapshot(pub.redis, "cats", 9, "mine", "0"),
        "job/cancel": lambda pub: Job(pub, "cats").cancel("id"),
        "job/drain": lambda pub: Job(pub, "cats")._changes._drain_some("line", 1),
        "job/due": lambda pub: Job(pub, "cats")._deadlines.look(),
        "job/edit": lambda pub: Job(pub, "cats").edit("id", "item"),
        "job/ended": lambda pub: ResultScripts(pub, "cats").ended(["id"]),
        "job/expire": lambda pub: job_pass(pub)._expire_jobs(),
        "job/expire_claims": lambda pub: job_pass(pub)._expire_claims(),
        "job/fail": lambda pub: Job(pub, "cats").fail("id", ValueError()),
        "job/finish": lambda pub: Job(pub, "cats").finish("id", "result", 1),
        "job/finish_then": lambda pub: Job(pub, "cats").finish(
            "id", then=[Job(pub, "cats").new("item", id_="id")]
        ),
        "job/forget": lambda pub: Job(pub, "cats")._finishing.forget(["id"]),
        "job/get": lambda pub: Job(pub, "cats").get(),
        "job/ids": lambda pub: Job(pub, "cats").get_ids(),
        "job/item": lambda pub: Job(pub, "cats").get_item("id"),
        "job/listen": lambda pub: ResultScripts(pub, "cats").listen(["id"], 1, 2, 3),
        "job/owned": lambda pub: Job(pub, "cats")._claims.recover(),
        "job/pass_on": lambda pub: ResultScripts(pub, "cats").pass_on({"id": b"result"}),
        "job/progress": lambda pub: claim(pub).progress(1),
        "job/put": lambda pub: Job(pub, "cats").put("item", id_="id"),
        "job/put_later": lambda pub: Job(pub, "cats").put("item", id_="id", delay=1),
        "job/release": lambda pub: Job(pub, "cats").release("id"),
        "job/renew": lambda pub: Job(pub, "cats").renew("id"),
        "job/result": lambda pub: Job(pub, "cats").get_result("id"),
        "job/retract": lambda pub: Job(pub, "cats").retract("id"),
        "job/retry": lambda pub: Job(pub, "cats").retry("id"),
        "job/stall": lambda pub: Job(pub, "cats").stall("id"),
        "job/stats": lambda pub: Job(pub, "cats").stats(),
        "job/tidy": lambda pub: job_pass(pub)._tidy("failures"),
        "job/trim_stalled": lambda pub: job_pass(pub)._trim_stalled(),
        "queue/date_lost": lambda pub: Pass(Queue(pub, "cats"), "")._date_lost({"id"}),
        "queue/date_transit": lambda pub: Pass(Queue(pub, "cats"), "")._date_transit(),
        "queue/delivered": lambda pub: line(pub)._delivered.add([b"id"]),
        "queue/get": lambda pub: Queue(pub, "cats").get(),
        "queue/put": lambda pub: Queue(pub, "cats").put("item"),
        "queue/put_back": lambda pub: line(pub)._put_back.add([b"id", b""]),
        "queue/restore": lambda pub: Pass(Queue(pub, "cats"), "LPUSH")._restore(),
        "queue/scan": lambda pub: Pass(Queue(pub, "cats"), "")._suspects(),
        "registry/clear": lambda pub: pub._clear("cats", ["id"]),
        "registry/create": lambda pub: pub.create_feed("cats", {"a": "b"}),
        "registry/delete": lambda pub: pub.delete_feed("cats"),
        "registry/get_config": lambda pub: pub.get_config("cats"),
        "registry/open": lambda pub: pub.feed("cats", {"a": "b"}),
        "registry/overview": lambda pub: read_overview(pub.redis, "cats"),
        "registry/set_config": lambda pub: pub.set_config("cats", {"a": "b"}),
        "sorted_feed/edit": lambda pub: SortedFeed(pub, "cats").edit("id", "item"),
        "sorted_feed/get_range": lambda pub: SortedFeed(pub, "cats").get_all(),
        "sorted_feed/move": lambda pub: SortedFeed(pub, "cats").move("7:", "id"),
        "sorted_feed/publish": lambda pub: SortedFeed(pub, "cats").publish_before("7", "item"),
        "sorted_feed/retract": lambda pub: SortedFeed(pub, "cats").retract("id"),
        "thoonkjs/end_import": lambda pub: _Import(pub, "[source]", "cats", False)._end(),
        "thoonkjs/take_jobs": lambda pub: _Import(pub, "[source]", "cats", False)._take(
            ["id"], True
        ),
        "worker/look": look,
        "worker/renew": lambda pub: Renewal(pub, None)._call([(Holder(pub), "{}", [])]),  # type: ignore[list-item]
    }

    def test_callers(self) -> None:
        """Each script is called with the arguments that it declares."""
        self.assertEqual(sorted(self.CALLS), NAMES)
        for name, call in self.CALLS.items():
            self.check(name, call)

    def test_delete_names_every_key(self) -> None:
        """Deleting a feed deletes all the keys that any script declares for a feed."""
        keys = load("registry/delete").bind("cats", instance="")
        for name in NAMES:
            for pattern in re.findall(
                r"^--   \d+ (feed\.\w+:\S+)", section(text(name), "KEYS"), re.M
            ):
                if "[id]" not in pattern:  # those are found through feed.results
                    self.assertIn(named(pattern), keys)
