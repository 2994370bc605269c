"""The cells of the matrix: what each verb does under each fault.

The columns are :data:`FAULTS`; the rows are :data:`tests.faults.verbs.VERBS`.  The cells are in
the committed ``outcomes.json``: verb -> fault -> outcome.  The page ``docs/faults.rst`` is
generated from it (:mod:`tests.faults.matrix`).  For every verb, a test of a fault does::

    observed = await ...             # a word of WORDS
    record(verb.name, "readonly", observed)

``record`` raises AssertionError if the committed cell differs, or if the fault may not have that
outcome (:attr:`Fault.may`), so every cell of the page was asserted.
``python -m tests.faults.matrix --observe`` runs the tests with ``TXTHOONK_FAULTS_OBSERVE=1`` in
the environment: then ``record`` writes the cell instead, and the page is generated again; a
person must review the changes.  The allowed outcomes of a fault are never taken from a run.

A test that runs on both kinds of publisher fills a column for each, or joins the words.

To name an outcome, run the call undisturbed first (:class:`Reference` keeps the state before
and after and the events, with ids and times made comparable by :func:`plain`), then under the
fault, and let :meth:`Reference.name` compare.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attr

from tests.faults.verbs import Verb
from tests.faults.verbs import verb as _row

__all__ = ["FAULTS", "Fault", "Reference", "name_of", "plain", "read_cells", "record", "together"]

CELLS = Path(__file__).with_name("outcomes.json")
OBSERVE = "TXTHOONK_FAULTS_OBSERVE"

#: The words for outcomes; the class of an error follows a comma.
WORDS = {
    "done": "the Deferred fires, the change is made, its events are published once",
    "not done": "nothing is changed and nothing is published; the Deferred fails",
    "some done": "none, some or all of several requests were done, each as a whole, as the "
    "documentation of the verb says",
    "waits, then done": "the call waits until the fault is over, and is done then",
    "answered": "the Deferred fires the stored value (the verb changes nothing)",
    "no answer": "the Deferred fails (the verb changes nothing)",
    "waits for maintenance, then done": "maintenance puts back what was in transit when the "
    "connection was lost, 30 seconds later, and the waiting call gets it",
    "missed": "a message of that moment is missed, as documented; later messages arrive",
    "goes on": "events arrive once each and in order, during the fault or after it",
    "resync": "events may be missing, and the subscriber receives a resync",
    "ended": "the registration or subscription failed",
    "not there": "the object has no such verb, or the fault cannot affect it",
}


@attr.frozen
class Fault:
    """One column.

    :ivar key: the name that ``record`` takes.
    :ivar title: the heading on the page.
    :ivar about: a clause that describes the fault.
    :ivar may: the outcomes that keep the promises, as regular expressions.
    :ivar steps: further outcomes that are allowed for verbs of several requests.
    """

    key: str
    title: str
    about: str
    may: tuple[str, ...]
    steps: tuple[str, ...] = ()


_WORKS = ("done", "answered", "goes on", "waits, then done")
_LOST = ("not done, ConnectionLost", "no answer, ConnectionLost", "ended, ConnectionLost")
_UNSAID = ("done, ConnectionLost", *_LOST[1:])
_STAYS = ("waits, then done", "goes on", "resync", "missed")
_SAID = r"(not done|some done|no answer|ended), [A-Z]\w+"
# Of several requests some may have succeeded, and the call may have ended before the last. A
# result that is not kept is gone if it was sent to a connection that was just lost.
_SOME = (
    "done",
    "done, Empty",
    "some done, ConnectionLost",
    *_UNSAID,
    *_LOST,
    "waits for maintenance, then done",
)

_ONE = "of a bare ThoonkPub or ThoonkSub"
_ALL = "of a Thoonk"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "request/bare",
        "cut in the request, bare",
        f"the connection {_ONE} is cut after each byte of a request except the last",
        (*_LOST, "not there"),
        _SOME,
    ),
    Fault(
        "reply/bare",
        "cut in the reply, bare",
        f"the connection {_ONE} is cut after the request, and after each byte of the reply, "
        "except the last",
        (*_UNSAID, "not there"),
        _SOME,
    ),
    Fault(
        "request/thoonk",
        "cut in the request, Thoonk",
        f"a connection {_ALL} is cut after each byte of a request except the last",
        (*_LOST, *_STAYS, "not there"),
        _SOME,
    ),
    Fault(
        "reply/thoonk",
        "cut in the reply, Thoonk",
        f"a connection {_ALL} is cut after the request, and after each byte of the reply, "
        "except the last",
        (*_UNSAID, *_STAYS, "not there"),
        _SOME,
    ),
    Fault(
        "away",
        "no connection, Thoonk",
        f"there is no connection {_ALL}, and none for as long as calls wait",
        ("not done, NotSent", "no answer, NotSent", "ended, NotSent", *_STAYS, "not there"),
    ),
    Fault(
        "back",
        "no connection, then one",
        f"there is no connection {_ALL} when the call is made, but soon after",
        (*_WORKS, "not there"),
    ),
    Fault("bytes", "byte by byte", "requests and replies arrive one byte at a time", _WORKS),
    Fault("halves", "in halves", "each piece of a request or a reply arrives in halves", _WORKS),
    Fault("delay", "late", "requests and replies are late, but not too late", _WORKS),
    Fault(
        "stall/request",
        "request held up",
        f"half of a request {_ALL} is held up for longer than its reply_timeout",
        (*_LOST, *_STAYS, "not there"),
        _SOME,
    ),
    Fault(
        "stall/reply",
        "reply held up",
        f"half of a reply to a request {_ALL} is held up for longer than its reply_timeout",
        (*_UNSAID, *_STAYS, "not there"),
        _SOME,
    ),
    Fault("oom", "-OOM", "the server's memory is full", (*_WORKS, _SAID, "resync", "not there")),
    Fault(
        "readonly",
        "-READONLY",
        "the server has become a replica",
        (*_WORKS, _SAID, "resync", "not there"),
    ),
    Fault(
        "loading",
        "-LOADING",
        "the server is reading its data",
        (*_WORKS, _SAID, "resync", "not there"),
    ),
    Fault("noscript", "-NOSCRIPT", "the server has forgotten the scripts", (*_WORKS, "not there")),
    Fault(
        "noauth",
        "-NOAUTH",
        "the server requires a password that the client does not give",
        (*_WORKS, _SAID, "resync", "not there"),
    ),
    Fault(
        "wrongtype",
        "-WRONGTYPE",
        "a key of the feed has another type",
        (*_WORKS, _SAID, "resync", "not there"),
    ),
    Fault("pause", "CLIENT PAUSE", "the server pauses its clients for a while", (*_WORKS, _SAID)),
    Fault(
        "maxclients",
        "maxclients",
        "the server accepts no more connections",
        (*_WORKS, _SAID, "resync", "not there"),
    ),
    Fault(
        "buffer",
        "output buffer",
        "the server drops a client that reads too slowly",
        (*_WORKS, _SAID, "done, ConnectionLost", "resync", "not there"),
    ),
    Fault(
        "disk",
        "full disk",
        "the server cannot write its append-only file",
        (*_WORKS, _SAID, "resync", "not there"),
    ),
    Fault(
        "stop",
        "SIGSTOP",
        "the server process is stopped",
        (*_WORKS, _SAID, "done, ConnectionLost", "resync", "not there"),
    ),
)

_BY_KEY = {fault.key: fault for fault in FAULTS}

#: Cells recorded in this run: (verb, fault).
recorded: set[tuple[str, str]] = set()


def read_cells() -> dict[str, dict[str, str]]:
    """Read the committed cells: verb -> fault -> outcome."""
    cells: dict[str, dict[str, str]] = json.loads(CELLS.read_text()) if CELLS.exists() else {}
    return cells


def record(verb: str, fault: str, outcome: str) -> None:
    """Record the outcome of a verb under a fault.

    :param verb: the name of a :class:`~tests.faults.verbs.Verb`.
    :param fault: the key of a :class:`Fault`.
    :param outcome: a word of :data:`WORDS`, then a comma and the name of the error, if any;
        several, if it depends on the byte or the moment, are sorted and joined with " / ".
    :raises AssertionError: if the outcome is not allowed, or differs from the page.
    """
    about, one = f"{verb} under {fault!r}", _BY_KEY[fault]
    allowed = (*one.may, *one.steps) if _row(verb).steps else one.may
    for word in outcome.split(" / "):
        if word.partition(", ")[0] not in WORDS and word not in WORDS:
            raise AssertionError(f"{about}: no such outcome: {word!r}")
        if not any(re.fullmatch(may, word) for may in allowed):
            raise AssertionError(f"{about}: {word!r} keeps no promise: {allowed}")
    cells = read_cells()
    if os.environ.get(OBSERVE):
        cells.setdefault(verb, {})[fault] = outcome
        CELLS.write_text(json.dumps(cells, indent=1, sort_keys=True) + "\n")
    said = cells.get(verb, {}).get(fault, "nothing")
    # If the page names several outcomes, the moment decides which of them occur.
    if not set(outcome.split(" / ")) <= set(said.split(" / ")):
        raise AssertionError(f"{about}: {outcome!r}, but docs/faults.rst says: {said!r}")
    recorded.add((verb, fault))


def together(words: Iterable[str]) -> str:
    """Join the words for several moments of one fault.

    If some words say that everything was done and others that nothing was, the result is "some
    done". A plain "done", from a fault that came after the call had ended, is left out if there
    are other words.
    """
    found = {word for word in words if word}
    for error in {word.partition(", ")[2] for word in found}:
        parts = {f"{word}, {error}" for word in ("done", "some done", "not done")}
        if len(found & parts) > 1 or f"some done, {error}" in found:
            found = found - parts | {f"some done, {error}"}
    return " / ".join(sorted(found - {"done"} or found))


# -- comparing -------------------------------------------------------------------------

# Ids have 32 digits, those of servers 40, those of histories 16.
_ID = re.compile(rb"\b(?:[0-9a-f]{40}|[0-9a-f]{32}|[0-9a-f]{16})\b")
# Milliseconds and seconds of this century, with or without fractions.
_TIME = re.compile(rb"\b1[5-9]\d{8}(\d{3})?(\.\d+)?\b")


def plain(value: Any) -> Any:
    """Make a value from Redis comparable: ids and times become placeholders, sets become lists."""
    if isinstance(value, str):
        return plain(value.encode("utf-8", "surrogateescape"))
    if isinstance(value, bytes):
        return _TIME.sub(b"<time>", _ID.sub(b"<id>", value))
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return "<time>" if 1.5e9 < value < 2e9 or 1.5e12 < value < 2e12 else value
    if isinstance(value, Mapping):
        return sorted(((plain(key), plain(one)) for key, one in value.items()), key=repr)
    if isinstance(value, (set, frozenset)):
        return sorted(map(plain, value), key=repr)
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return plain(repr(value)) if value is not None else None


@attr.frozen
class Reference:
    """What a verb does when nothing disturbs it; all values as :func:`plain` returns them.

    :ivar before: the state that it starts from.
    :ivar after: the state that it leaves.
    :ivar events: the events that it publishes, in order: (channel, message).
    :ivar result: the result that its Deferred fires.
    """

    verb: Verb
    before: Any
    after: Any
    events: Any
    result: Any

    def name(self, result: Any, error: Any, state: Any, events: Any, between: bool = False) -> str:
        """Name an outcome; see :func:`name_of`."""
        return name_of(self, result, error, state, events, between)

    def check_after(self, state: Any, events: Any) -> None:
        """Check that everything was done.

        :raises AssertionError: if it was not.
        """
        if (plain(state), plain(events)) != (self.after, self.events):
            raise AssertionError(_half_done(self, plain(state), plain(events), "ended"))


def name_of(
    reference: Reference, result: Any, error: Any, state: Any, events: Any, between: bool = False
) -> str:
    """Name the outcome of a call.

    :param result: the result that the Deferred fired.
    :param error: the exception that it failed with; None if it fired.
    :param state: the present state, from ``RedisTestCase.state()``.
    :param events: the events from the spy's ``messages(own=True)``, in order of arrival.
    :param between: whether the state and the events may be neither those of before nor those
        of after, because the caller has checked that they agree with the documentation.
    :raises AssertionError: if something is half done, done twice, or reported wrongly.
    """
    state, events = plain(state), plain(events)
    verb = reference.verb
    name = type(error).__name__
    kept = _without_notes if between else lambda whole: whole
    same = kept(state) == kept(reference.before) and not events
    done = kept(state) == kept(reference.after) and events == reference.events
    if error is None:
        if plain(result) != reference.result and not between:
            raise AssertionError(
                f"{verb.name} fired {plain(result)!r}, but undisturbed {reference.result!r}"
            )
        if not (done or between):
            raise AssertionError(_half_done(reference, state, events, "fired"))
        return {"read": "answered", "listen": "goes on"}.get(verb.kind, "done")
    if verb.kind in ("read", "listen"):
        if not (same or (done and verb.trigger)):
            raise AssertionError(_half_done(reference, state, events, f"failed with {name}"))
        return f"no answer, {name}" if verb.kind == "read" else f"ended, {name}"
    if same:
        return f"not done, {name}"
    if done:
        return f"done, {name}"
    if between and verb.steps:
        return f"some done, {name}"
    raise AssertionError(_half_done(reference, state, events, f"failed with {name}"))


def _without_notes(state: Any) -> Any:
    """Leave out the listeners: they expire, as guarantees check, and have no effect on others."""
    return [pair for pair in state if not pair[0].startswith(b"feed.listeners:")]


def _half_done(reference: Reference, state: Any, events: Any, what: str) -> str:
    return (
        f"{reference.verb.name} {what}, and the state is\n{state}\nwith the events {events}\n"
        f"which is neither what was before:\n{reference.before}\nnor what is after:\n"
        f"{reference.after}\nwith the events {reference.events}"
    )
