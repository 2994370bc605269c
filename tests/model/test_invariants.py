"""The rules of ``check_feed``: each accepts sound states and finds its own violations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txthoonk.testing import _history_rules as history
from txthoonk.testing import _job_rules as jobs
from txthoonk.testing import _rules as rules
from txthoonk.testing._audit import ALWAYS, SETTLED, findings
from txthoonk.testing._feed_dump import EXPIRING, PARTS, Kept, State
from txthoonk.testing._rules import MOST, OWNED, Rule, listed
from txthoonk.wire._keys import feed_key, feed_keys

NOW = 1_000_000.0  # milliseconds

REDIS_TYPES: dict[Any, str] = {str: "string", list: "list", set: "set"}


def redis_type(part: str, value: Any) -> str:
    """Return the Redis type of a part's value."""
    if isinstance(value, dict):
        return "zset" if "zset" in PARTS[part] else "hash"
    return PARTS[part][0] if part == "history" else REDIS_TYPES[type(value)]


def make(parts: dict[str, Any], kept: dict[str, Kept] | None = None, **options: Any) -> State:
    """Make a state of parts; empty parts are left out."""
    there = {part: value for part, value in parts.items() if value}
    types = {part: redis_type(part, value) for part, value in there.items()}
    return State("x", time=NOW, types=types, values=there, kept=kept or {}, **options)


def entry(revision: int, kind: str, id_: str, **rest: str) -> tuple[str, dict[str, str]]:
    return f"{revision}-0", {"kind": kind, "id": id_, **rest}


def log(top: int, length: int, publishes: int, **own: str) -> dict[str, str]:
    """Make the fields of a history whose revisions begin with 1."""
    named = {"revision": str(top), "epoch": "ab12", "eras": "ab12:0 ", "server": "cd", "base": "0"}
    named |= {"publishes": str(publishes), "length": str(length), "cause": "recreated"}
    return {f"\0{name}": value for name, value in named.items()} | own


FEED: dict[str, Any] = {
    "config": {"type": "feed", "max_length": "2", "history": "10", "of": "somebody"},
    "ids": {"a": 1.0, "b": 2.5},
    "items": {"a": "A", "b": "B2"},
    "publishes": "4",
    "revision": log(5, 2, 4, a="2", b="5"),
    "history": [
        entry(2, "publish", "a", item="A"),
        entry(3, "retract", "old", more="1"),
        entry(4, "publish", "b", item="B"),
        entry(5, "edit", "b", item="B2"),
    ],
}
SORTED: dict[str, Any] = {
    "config": {"type": "sorted_feed", "history": "10"},
    "ids": ["2", "1"],
    "items": {"1": "A", "2": "B"},
    "publishes": "2",
    "idincr": "2",
    "revision": log(4, 2, 2, **{"1": "1", "2": "3"}),
    "history": [
        entry(1, "publish", "1", item="A", more="1"),
        entry(2, "position", "1", position=":end"),
        entry(3, "publish", "2", item="B", more="1"),
        entry(4, "position", "2", position=":1"),
    ],
}
QUEUE: dict[str, Any] = {
    "config": {"type": "queue", "history": "10", "paused": "1"},
    "ids": ["b", "a"],
    "items": {"a": "A", "b": "B"},
    "publishes": "2",
    "maintained": "somebody",
    "revision": log(2, 0, 2),
    "history": [entry(1, "put", "a", item="A"), entry(2, "put", "b", item="B")],
}
JOB: dict[str, Any] = {
    "config": {"type": "job", "keep_results": "1"},
    "ids": ["again", "line"],
    "items": {"line": "L", "again": "A", "mine": "M", "bad": "B"},
    "publishes": "7",
    "published": {"line": 1.0, "mine": 2.0, "again": 3.0},
    "claimed": {"mine": 10.5},
    "claims": {"mine": "owner:9 10.5"},
    "progress": {"mine": '{"done": 1, "total": null, "note": null}'},
    "cancelled": {"again": "2", "tomorrow": "1"},
    "failures": {
        "again": '2 5.5 {"type": "E", "message": "no"}',
        "tomorrow": '1 5 {"type": "E"}',
        "bad": '1 5 {"type": "Stall"}',
    },
    "stalled": {"bad"},
    "failed": {"bad": 6.0},
    "delayed": {"tomorrow": 2 * NOW, "new": 3 * NOW},
    "later": {"tomorrow": "LT", "new": "RN"},
    "finishes": "2",
    "results": {"gone": 1.0, "line": NOW + 10, "done": 2 * NOW, "done\0": NOW - 1},
    "workers": {"owner:1": '5 {"name": "w", "host": "h", "pid": 1, "concurrency": 1}'},
}
KEPT = {"done": Kept(["result", "item"], 1000)}
SOUND = {"feed": FEED, "sorted_feed": SORTED, "queue": QUEUE, "job": JOB}


def changed(type_: str, **changes: Any) -> State:
    """Make a sound state with some parts changed.

    A dict is merged into the existing part, and None in it removes an entry; any other value
    replaces the part.  A kept result of None is removed.
    """
    kept = KEPT | changes.pop("kept", {}) if type_ == "job" else changes.pop("kept", {})
    parts = dict(SOUND[type_])
    for part, change in changes.items():
        if isinstance(change, dict):
            change = {**parts.get(part, {}), **change}
            change = {field: value for field, value in change.items() if value is not None}
        parts[part] = change
    return make(parts, {id_: one for id_, one in kept.items() if one is not None})


def entries(type_: str, *more: Any, without: int = 0) -> list[Any]:
    """Return the history of a sound state with more entries, or without the last ones."""
    kept: list[Any] = SOUND[type_]["history"]
    return [*kept[: len(kept) - without], *more]


def own(**fields: str | None) -> dict[str, str | None]:
    return {f"\0{name}": value for name, value in fields.items()}


class Broken:
    """One way in which a state is broken.

    :ivar rule: the rule that finds it; others may find something, too.
    :ivar words: words that the rule's finding contains.
    """

    def __init__(self, rule: Rule, type_: str, *words: str, **changes: Any) -> None:
        self.rule = rule
        self.words = words
        self.state = changed(type_, **changes)


BROKEN = [
    # -- every feed
    Broken(rules.right_types, "feed", "feed.ids:x is a list, not a zset", ids=["a", "b"]),
    Broken(rules.right_types, "job", "feed.failed:x is a string, not a zset", failed="1"),
    Broken(rules.right_keys, "feed", "feed.claimed:x", "'feed'", claimed={"a": 1.0}),
    Broken(rules.right_keys, "job", "feed.idincr:x", "'job'", idincr="1"),
    Broken(rules.right_keys, "queue", "feed.jobfinished:x", kept={"a": Kept(["r", "i"], 1)}),
    Broken(rules.counters, "feed", "feed.publishes:x", "'many'", publishes="many"),
    Broken(rules.counters, "job", "feed.finishes:x", "'-1'", finishes="-1"),
    Broken(rules.configured, "feed", "feed.config:x", "max_length", config={"max_length": "-"}),
    Broken(rules.no_id_twice, "sorted_feed", "feed.ids:x", "'1'", ids=["1", "2", "1"]),
    Broken(rules.no_id_twice, "queue", "feed.ids:x", "'a'", ids=["b", "a", "a"]),
    # -- feeds whose items stay
    Broken(rules.whole_items, "feed", "without an item", "'c'", ids={"c": 3.0}),
    Broken(rules.whole_items, "feed", "not in feed.ids:x", "'a'", ids={"a": None}),
    Broken(rules.whole_items, "sorted_feed", "not in feed.ids:x", "'1'", ids=["2"]),
    Broken(rules.items_counted, "feed", "is 1", "2 items", publishes="1"),
    Broken(rules.finite_scores, "feed", "infinite", "'b'", ids={"b": float("inf")}),
    Broken(rules.strict_order, "feed", "score", "'b'", ids={"b": 1.0}),
    Broken(rules.within_max_length, "feed", "2 items", "is 1", config={"max_length": "1"}),
    Broken(rules.ids_counted, "sorted_feed", "is 1", "'2'", idincr="1"),
    Broken(rules.ids_counted, "sorted_feed", "not numbers", "'x'", ids=["1", "2", "x"]),
    # -- feeds whose items are taken
    Broken(rules.one_place, "queue", "feed.ids:x", "feed.transit:x", "'a'", transit=["a"]),
    Broken(rules.one_place, "job", "feed.ids:x", "feed.claimed:x", claimed={"line": 1.0}),
    Broken(rules.some_place, "queue", "in no state", "'a'", ids=["b"]),
    Broken(rules.some_place, "job", "in no state", "'mine'", claimed={"mine": None}),
    Broken(rules.items_there, "queue", "feed.ids:x", "'c'", ids=["c", "b", "a"]),
    Broken(rules.items_there, "job", "feed.claimed:x", "'c'", claimed={"c": 1.0}),
    Broken(rules.nothing_under_way, "queue", "feed.transit:x", transit=["b"], ids=["a"]),
    Broken(
        rules.nothing_under_way, "queue", "feed.delivering:x", delivering={"b": 1.0}, ids=["a"]
    ),
    # -- jobs
    Broken(jobs.stalled_apart, "job", "feed.ids:x", "'bad'", ids=["again", "line", "bad"]),
    Broken(jobs.stalled_apart, "job", "feed.claimed:x", "'bad'", claimed={"bad": 1.0}),
    Broken(jobs.stalled_have_items, "job", "without an item", "'bad'", items={"bad": None}),
    Broken(jobs.published, "job", "not in", "'line'", published={"line": None}),
    Broken(jobs.published, "job", "no job", "'c'", published={"c": 1.0}),
    Broken(jobs.published, "job", "but stalled", "'bad'", published={"bad": 1.0}),
    Broken(jobs.failures_counted, "job", "no job", "'c'", cancelled={"c": "1"}),
    Broken(jobs.failures_counted, "job", "but stalled", "'bad'", cancelled={"bad": "1"}),
    Broken(jobs.failures_counted, "job", "no count", "'line'", cancelled={"line": "0"}),
    Broken(jobs.delayed, "job", "not in feed.later:x", "'c'", delayed={"c": 1.0}),
    Broken(jobs.delayed, "job", "not in feed.delayed:x", "'c'", later={"c": "Lc"}),
    Broken(jobs.delayed, "job", "L or R", "'new'", later={"new": "N"}),
    Broken(jobs.delayed, "job", "feed.items:x", "'new'", items={"new": "N"}),
    Broken(jobs.finishes_counted, "job", "is 6", "5 jobs", "2 were", publishes="6"),
    Broken(jobs.records, "job", "feed.claims:x", "'mine'", claims={"mine": "9"}),
    Broken(jobs.records, "job", "feed.claims:x", claims={"mine": "owner 10.5"}),
    Broken(jobs.records, "job", "feed.failures:x", "'bad'", failures={"bad": "1 5 no"}),
    Broken(jobs.records, "job", "feed.failures:x", failures={"bad": '0 5 {"type": "E"}'}),
    Broken(jobs.records, "job", "feed.progress:x", "'mine'", progress={"mine": "{}"}),
    Broken(jobs.records, "job", "feed.workers:x", "owner:1", workers={"owner:1": "5 []"}),
    Broken(jobs.results_expire, "job", "forever", kept={"done": Kept(["r", "i"], -1)}),
    Broken(jobs.results_expire, "job", "not a result", kept={"done": Kept(None, 1)}),
    Broken(jobs.results_expire, "job", "not a result", kept={"done": Kept(["a"] * 3, 1)}),
    Broken(jobs.claims, "job", "claimed, but not in", "'mine'", claims={"mine": None}),
    Broken(jobs.claims, "job", "but not claimed", "'line'", claims={"line": "o:1 1"}),
    Broken(jobs.claims, "job", "another time", "'mine'", claimed={"mine": 11.0}),
    Broken(jobs.records_of_jobs, "job", "not claimed", progress={"line": '{"done": 1}'}),
    Broken(jobs.records_of_jobs, "job", "no job", failures={"c": '1 5 {"type": "E"}'}),
    Broken(jobs.stalled_since, "job", "not in feed.failed:x", "'bad'", failed={"bad": None}),
    Broken(jobs.stalled_since, "job", "not stalled", "'line'", failed={"line": 1.0}),
    Broken(jobs.results_indexed, "job", "kept, but", kept={"other": Kept(["r", "i"], 1)}),
    Broken(jobs.results_indexed, "job", "not kept", "'done'", kept={"done": None}),
    Broken(
        jobs.results_bounded,
        "job",
        "2 results",
        "keep_results is 1",
        results={"more": 2 * NOW},
        kept={"more": KEPT["done"]},
    ),
    # -- histories
    Broken(
        history.dense,
        "feed",
        "revision 7 after 5",
        history=entries("feed", entry(7, "edit", "b", item="B2")),
    ),
    Broken(history.dense, "feed", "no revision", "5-1", history=entries("feed", ("5-1", {}))),
    Broken(history.dense, "sorted_feed", "within", "3", history=entries("sorted_feed", without=1)),
    Broken(
        history.dense, "queue", "'edit'", history=entries("queue", entry(3, "edit", "a", item="A"))
    ),
    Broken(
        history.positions, "feed", "5 is the last", "has 4", history=entries("feed", without=1)
    ),
    Broken(history.positions, "feed", "exists, but", revision=""),
    Broken(history.positions, "feed", "lacks the first or the last", revision=own(revision="x")),
    Broken(history.positions, "feed", "up to revision 2", revision=own(base="2")),
    Broken(history.positions, "feed", "5 is the last", "has 0", history=[]),
    Broken(history.eras, "feed", "cannot be read", "'?'", revision=own(eras="?")),
    Broken(history.eras, "feed", "cannot be read", revision=own(eras=None)),
    Broken(history.eras, "feed", "out of order", revision=own(eras="cd:3 ab12:2 ")),
    Broken(history.eras, "feed", "out of order", revision=own(eras="ab12:6 ")),
    Broken(history.eras, "feed", "not the last one", revision=own(eras="ab12:0 cd:2 ")),
    Broken(history.revisions, "feed", "never existed", "'b'", revision={"b": "6"}),
    Broken(history.revisions, "feed", "never existed", "'b'", revision={"b": "x"}),
    Broken(history.revisions, "feed", "without an item", "'c'", revision={"c": "3"}),
    Broken(history.newest_revisions, "feed", "another revision", "'b'", revision={"b": "4"}),
    Broken(history.newest_items, "feed", "another item", "'b'", items={"b": "B"}),
    Broken(
        history.newest_order,
        "feed",
        "'b'",
        "published later",
        history=entries("feed", entry(6, "edit", "a", item="A")),
        revision=own(revision="6", publishes="5") | {"a": "6"},
        publishes="5",
    ),
    Broken(
        history.places,
        "sorted_feed",
        "'end:'",
        history=entries("sorted_feed", entry(5, "position", "1", position="end:")),
        revision=own(revision="5"),
    ),
    Broken(history.in_step, "feed", "lacks changes", publishes="5"),
    Broken(history.in_step, "sorted_feed", "lacks changes", revision=own(length="1")),
    Broken(history.in_step, "queue", "lacks changes", revision=own(epoch="")),
    Broken(history.switched_off, "feed", "feed.revision:x", config={"history": "0"}),
]


class RuleTests(SynchronousTestCase):
    """Each rule accepts sound states and finds what breaks it."""

    def test_sound(self) -> None:
        """A sound state of each type breaks no rule."""
        for type_ in SOUND:
            self.assertEqual(list(findings(changed(type_), True)), [], type_)

    def test_broken(self) -> None:
        """A rule finds what breaks it, and its message names it."""
        for one in BROKEN:
            said = [wrong for rule, wrong in findings(one.state, True) if rule is one.rule]
            text = "\n".join(said)
            self.assertEqual(len(said), 1, (one.rule.__name__, one.words, said))
            for word in one.words:
                self.assertIn(word, text)

    def test_every_rule_was_broken(self) -> None:
        """Every rule has a broken state in this module."""
        every = {rule for table in (ALWAYS, SETTLED) for found in table.values() for rule in found}
        every |= {rules.right_types, rules.right_keys}
        self.assertEqual({one.rule for one in BROKEN}, every)

    def test_settled(self) -> None:
        """Momentary states, and what other programs leave, are reported for settled feeds only."""
        always = {rule for found in ALWAYS.values() for rule in found}
        always |= {rules.right_types, rules.right_keys}
        for one in BROKEN:
            found = {rule for rule, _ in findings(one.state, False)}
            self.assertEqual(one.rule in found, one.rule in always, (one.rule, one.words))

    def test_types(self) -> None:
        """Every type has rules and a list of its keys."""
        self.assertEqual(set(ALWAYS), set(OWNED))
        self.assertEqual(set(SETTLED), set(OWNED))

    def test_all_keys_are_read(self) -> None:
        """check_feed reads every key that a feed may own."""
        self.assertEqual({feed_key(part, "x") for part in PARTS}, set(feed_keys("x")))


class StateTests(SynchronousTestCase):
    """States that are sound although they look wrong."""

    def sound(self, type_: str, **changes: Any) -> None:
        self.assertEqual(list(findings(changed(type_, **changes), True)), [])

    def test_new_feeds(self) -> None:
        """A feed without items, or without a configuration, is sound."""
        for type_ in OWNED:
            state = make({"config": {"type": type_, "history": "5"}})
            self.assertEqual(list(findings(state, True)), [])
        self.assertEqual(list(findings(make({}), True)), [])

    def test_type_of_somebody_else(self) -> None:
        """For a type that txthoonk does not know, only the common rules are checked."""
        parts = {"config": {"type": "tree"}, "ids": ["a", "a"], "claimed": {"b": 1.0}}
        self.assertEqual(list(findings(make(parts), True)), [])
        found = list(findings(make({**parts, "publishes": "?"}), True))
        self.assertEqual([rule for rule, _ in found], [rules.counters])

    def test_history_that_begins(self) -> None:
        """A history that has begun, or was invalidated, and has no entry yet is at its base."""
        begun = {"revision": {**log(7, 2, 4), "\0base": "7", "\0eras": "ab12:7 "}}
        state = make({**FEED, **begun, "history": []})
        self.assertEqual(list(findings(state, True)), [])

    def test_history_that_is_void(self) -> None:
        """A history whose first event was only partly published has nothing but an empty epoch."""
        self.assertEqual(
            list(findings(make({**FEED, "revision": own(epoch=""), "history": []}), True)), []
        )

    def test_foreign_changes(self) -> None:
        """After changes without the history, no findings about single items are reported."""
        foreign = {"publishes": "5", "items": {"b": "other"}}
        found = [rule for rule, _ in findings(changed("feed", **foreign), True)]
        self.assertEqual(found, [history.in_step])

    def test_many_eras(self) -> None:
        """The server may have changed several times."""
        self.sound("feed", revision=own(eras="cd:0 ef:3 ab12:3 "))

    def test_results_that_are_wanted(self) -> None:
        """A wanted result is not kept yet, and does not count towards keep_results."""
        self.sound("job", results={"again": 2 * NOW})
        self.sound(
            "job",
            results={"more": 2 * NOW, "more\0": NOW + 1},
            kept={"more": KEPT["done"]},
        )

    def test_result_that_is_about_to_expire(self) -> None:
        """The index may have a result slightly longer than it is kept."""
        self.sound("job", results={"soon": NOW + 500})

    def test_job_that_was_edited_while_delayed(self) -> None:
        """Editing a delayed job is not in the history, so its item there may differ."""
        parts: dict[str, Any] = {
            "config": {"type": "job", "history": "9"},
            "ids": ["a"],
            "items": {"a": "new"},
        }
        parts |= {
            "published": {"a": 1.0},
            "publishes": "1",
            "history": [
                entry(1, "put", "a", item="old"),
                entry(2, "claim", "a"),
                entry(3, "edit", "a", item="older"),
                entry(4, "cancel", "a"),
                entry(5, "retry", "a"),
            ],
        }
        parts |= {"revision": log(5, 1, 1, a="3")}
        self.assertEqual(list(findings(make(parts), True)), [])


class LeftoverTests(SynchronousTestCase):
    """A feed that does not exist has no keys."""

    def found(self, settled: bool = False, **parts: Any) -> Iterator[str]:
        options: Any = {name: parts.pop(name) for name in ("kept", "lasting") if name in parts}
        for rule, wrong in findings(make(parts, registered=False, **options), settled):
            self.assertIs(rule, rules.nothing_left)
            yield wrong

    def test_nothing(self) -> None:
        """A name without any keys is sound."""
        self.assertEqual(list(self.found(True)), [])

    def test_left(self) -> None:
        """Any key that is left is reported, including kept results of any form."""
        for part in set(PARTS) - set(EXPIRING):
            left: Any = {part: FEED.get(part) or JOB.get(part) or "1"}
            (wrong,) = self.found(**left)
            self.assertIn(feed_key(part, "x"), wrong)
        (wrong,) = self.found(kept={"a": Kept(None, 1)})
        self.assertIn("feed.jobfinished:x", wrong)

    def test_expiring(self) -> None:
        """A process's note may be left if it expires."""
        for part in EXPIRING:
            value: Any = {"who": 1.0} if "zset" in PARTS[part] else "somebody"
            self.assertEqual(list(self.found(**{part: value})), [])
            (wrong,) = self.found(lasting=frozenset([part]), **{part: value})
            self.assertIn(feed_key(part, "x"), wrong)


class ListTests(SynchronousTestCase):
    """Findings stay readable."""

    def test_few(self) -> None:
        """A few ids are all named."""
        self.assertEqual(listed(["a", "b"]), "'a', 'b'")

    def test_many(self) -> None:
        """The first of many ids are named, and the others counted."""
        text = listed([f"id{number}" for number in range(MOST + 3)])
        self.assertTrue(text.endswith(" and 3 more"), text)
        self.assertEqual(text.count("'"), 2 * MOST)
