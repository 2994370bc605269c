"""Calls every public method with values that no method expects, and reports what goes wrong.

A value may end the process, because hiredis is C code that trusts its arguments.  So a test runs
this module in a child: ``python -m tests.support.arguments``.  It prints a line for each problem,
and ``done``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.support.fuzzing import QUICK
from tests.support.wire import Connection, Endpoint
from txthoonk import Maintenance, Worker, errors, types
from txthoonk.client import ThoonkPub, ThoonkPubFactory, ThoonkSub, ThoonkSubFactory
from txthoonk.protocol import Redis, RedisSubscriber
from txthoonk.protocol._commands import Commands
from txthoonk.service import Thoonk


class Broken:
    """A value that can be neither shown nor converted."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__

    def __hash__(self) -> int:
        raise RuntimeError("no hash")


class BrokenInt(int):
    """A number without text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class BrokenFloat(float):
    """A number without text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Text(str):
    """Text of a type of its own."""


HUGE = 10**5000
ODD: dict[str, Any] = {
    "huge": HUGE,
    "-huge": -HUGE,
    "2**64": 2**64,
    "-1": -1,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
    "1e308": 1e308,
    "1.5": 1.5,
    "True": True,
    "None": None,
    "surrogate": "\ud800",
    "NUL": "a\0b",
    "empty": "",
    "Text": Text("text"),
    "bad Text": Text("\ud800"),
    "bytes": b"\xff",
    "bytearray": bytearray(b"x"),
    "memoryview": memoryview(b"xyz")[::2],
    "words": memoryview(bytearray(8)).cast("I"),
    "list": ["x"],
    "big list": [HUGE],
    "dict": {"x": HUGE},
    "key": {HUGE: "x"},
    "set": {1},
    "Decimal": Decimal("NaN"),
    "Fraction": Fraction(HUGE, 7),
    "complex": 1j,
    "function": print,
    "type": int,
    "Broken": Broken(),
    "BrokenInt": BrokenInt(5),
    "huge BrokenInt": BrokenInt(HUGE),
    "BrokenFloat": BrokenFloat(0.5),
}
#: Numbers that no method has a use for.
NEVER = ("huge", "-huge", "inf", "-inf", "nan")

#: A valid value for each parameter.
VALID: dict[str, Any] = {
    **dict.fromkeys(("start", "stop", "count", "expect", "timeout", "delay", "done"), 1),
    **dict.fromkeys(("id_", "rel_id", "before_id", "after_id", "name", "feed"), "1"),
    **dict.fromkeys(("item", "pattern", "channel", "event"), "text"),
    **{"serializer": "text", "feeds": "j", "url": "redis://localhost:1", "reactor": Clock()},
    **{"position": ":end", "error": ValueError("x"), "handler": print, "items": [], "at": None},
    **{"conf": {}, "state": "available", "reason": "x", "reason_": "x", "callback": print},
}
KINDS = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
#: What the framework calls, not users.
NOT_USED = frozenset(
    {
        *("dataReceived", "connectionMade", "connectionLost", "makeConnection", "set_redis"),
        *("setName", "setServiceParent", "disownServiceParent", "privilegedStartService"),
        *("startService", "stopService", "attach", "detach", "register_feedtype", "close"),
        *("channelSubscribed", "messageReceived", "mirror", "count", "index"),
        *("add_state_observer", "remove_state_observer", "request", "call", "call_together"),
    }
)


class Laboratory:
    """Objects to call, on a connection whose server never answers."""

    def __init__(self) -> None:
        self.connection = Connection(Redis())
        self.pub = ThoonkPub(self.connection.protocol, Clock(), Endpoint())
        self.sub = ThoonkSub(Connection(RedisSubscriber()).protocol)
        job = types.Job(self.pub, "j")
        self.claim = types.Claim("1", "text", 0)
        self.claim.job = job
        self.objects: list[Any] = [
            types.Feed(self.pub, "f"),
            types.Feed(self.pub, "f", "json"),
            types.SortedFeed(self.pub, "s"),
            types.Queue(self.pub, "q"),
            types.PythonQueue(self.pub, "p"),
            job,
            self.claim,
            self.pub,
            self.sub,
            Thoonk("redis://localhost:1", Clock()),
        ]

    def methods(self) -> Iterator[tuple[str, Callable[..., Any]]]:
        """List the public methods."""
        for owner in self.objects:
            for name, method in inspect.getmembers(owner, callable):
                if not name.startswith("_") and name not in NOT_USED and name != "redis":
                    yield f"{type(owner).__name__}.{name}", method

    def commands(self) -> Iterator[tuple[str, Callable[..., Any]]]:
        """List the methods of txredis."""
        for name in vars(Commands):
            if not name.startswith("_"):
                yield f"Redis.{name}", getattr(self.connection.protocol, name)


def parameters(method: Callable[..., Any]) -> list[inspect.Parameter]:
    """List the parameters of a method."""
    return list(inspect.signature(method).parameters.values())


def arguments(
    method: Callable[..., Any], odd: str, value: Any
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a call: valid ones, but for one."""
    words: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in parameters(method):
        if parameter.name == odd and parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            words.append(value)
        elif parameter.kind in KINDS:
            continue
        elif parameter.name == odd or parameter.default is inspect.Parameter.empty:
            given = value if parameter.name == odd else VALID.get(parameter.name, "1")
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                named[parameter.name] = given
            else:
                words.append(given)
        elif parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            words.append(parameter.default)
    return words, named


def problem(method: Callable[..., Any], words: list[Any], named: dict[str, Any]) -> Any:
    """Call a method; return what is wrong, None for an accepted call, or the error."""
    try:
        called = method(*words, **named)
    except errors.ThoonkError as error:
        return error
    except BaseException as error:  # noqa: BLE001 - it is what this looks for
        return f"raised {type(error).__name__}: {str(error)[:200]}"
    if not isinstance(called, Deferred):
        return None
    results: list[Any] = []
    called.addBoth(results.append)
    if not results:
        called.cancel()
        return None
    failed = getattr(results[0], "value", None)
    if failed is None or isinstance(failed, errors.ThoonkError):
        return failed
    return f"failed with {type(failed).__name__}: {str(failed)[:200]}"


def judge(what: str, odd: str, label: str, found: Any) -> None:
    """Print what is wrong with the outcome of a call."""
    if isinstance(found, str):
        print(f"{what}({odd}={label}) {found}", flush=True)
    elif found is not None:
        text = str(found)
        if not text or text.startswith("Exceeds") or "Traceback" in text or len(text) > 600:
            print(f"{what}({odd}={label}) has a bad message: {text[:300]!r}", flush=True)


def each_method() -> None:
    """Call every method of the feeds and publishers with every odd value."""
    for label, value in ODD.items():
        lab = Laboratory()
        for what, method in lab.methods():
            for parameter in parameters(method):
                words, named = arguments(method, parameter.name, value)
                before = len(lab.connection.transport.writes)
                found = problem(method, words, named)
                judge(what, parameter.name, label, found)
                sent = lab.connection.transport.writes[before:]
                if found is not None and sent:
                    print(f"{what}({parameter.name}={label}) failed, but sent {sent!r}"[:300])
                if found is None and label in NEVER and VALID.get(parameter.name) == 1:
                    print(f"{what}({parameter.name}={label}) was accepted", flush=True)


def each_class() -> None:
    """Construct every public class with every odd value."""
    for label, value in ODD.items():
        lab = Laboratory()
        made: list[Callable[..., Any]] = [
            partial(types.Feed, lab.pub),
            partial(types.Job, lab.pub),
            ThoonkPubFactory,
            ThoonkSubFactory,
            Thoonk,
            Worker,
            Maintenance,
        ]
        for make in made:
            for parameter in parameters(make):
                words, named = arguments(make, parameter.name, value)
                judge(str(make), parameter.name, label, problem(make, words, named))


def each_command() -> None:
    """Call every method of txredis with every odd value."""
    for label, value in ODD.items():
        lab = Laboratory()
        for what, method in lab.commands():
            for parameter in parameters(method):
                words, named = arguments(method, parameter.name, value)
                judge(what, parameter.name, label, problem(method, words, named))


@QUICK
@given(st.lists(st.sampled_from(list(ODD)), min_size=1, max_size=5))
def any_command(labels: list[str]) -> None:
    """Send commands of odd words."""
    for charset in ("utf8", "latin-1", None):
        redis = Connection(Redis(charset=charset)).protocol
        words = [ODD[label] for label in labels]
        judge(f"send in {charset}", "words", str(labels), problem(redis.send, words, {}))


if __name__ == "__main__":
    each_method()
    each_class()
    each_command()
    any_command()
    print("done")
