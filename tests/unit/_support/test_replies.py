"""Which errors count as Redis' fault: only those that a malformed reply causes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import Connection
from txthoonk._support._deferreds import deferring
from txthoonk._support._replies import MISFITS, parses, parsing
from txthoonk.client import ThoonkPub
from txthoonk.consumers.results._result_waiters import Results
from txthoonk.errors import InvalidInput, InvalidResponse
from txthoonk.protocol import Redis
from txthoonk.types import Feed, Job


class ParsingTests(SynchronousTestCase):
    """The errors that a reply of the wrong shape causes."""

    def test_blamed(self) -> None:
        """Any error that Python raises for a malformed reply becomes an InvalidResponse."""
        for error in MISFITS:
            with self.assertRaises(InvalidResponse) as caught, parsing:
                raise error("no such thing")
            self.assertIn("no such thing", str(caught.exception))
            self.assertIsInstance(caught.exception.__cause__, error)

    def test_passed_on(self) -> None:
        """Errors of txthoonk, and errors of other kinds, are raised unchanged."""
        for error in (InvalidInput, ZeroDivisionError, KeyboardInterrupt):
            with self.assertRaises(error), parsing:
                raise error("x")

    def test_function(self) -> None:
        """A decorated parser returns its value, and raises InvalidResponse for malformed input."""
        parse = parses(int)
        self.assertEqual(parse("5"), 5)
        self.assertRaises(InvalidResponse, parse, "x")


class BlameTests(SynchronousTestCase):
    """A mistake in the code of txthoonk or of the user is raised unchanged."""

    def setUp(self) -> None:
        self.pub = ThoonkPub(Redis())
        self.connection = Connection(self.pub)
        self.connection.know_scripts()

    def test_deferring(self) -> None:
        """An error in a verb's own callback does not become an InvalidResponse."""
        for error in MISFITS:

            @deferring
            def call(error: type[Exception] = error) -> Deferred[Any]:
                def wrong(_: None) -> None:
                    raise error("a mistake of ours")

                return succeed(None).addCallback(wrong)

            self.failureResultOf(call(), error)

    def test_our_mistake(self) -> None:
        """An error in a method that handles a job's end does not become InvalidResponse."""

        def mistaken(results: Results, id_: str) -> None:
            raise AttributeError("a mistake of ours")

        self.patch(Results, "gone", mistaken)
        retracted = Job(self.pub, "jobs").retract("1")
        self.connection.answer(1)
        self.failureResultOf(retracted, AttributeError)

    def test_class_of_the_user(self) -> None:
        """An error in a user's feed class does not become an InvalidResponse."""

        class Mine(Feed):
            def get_ids(self) -> Any:
                return succeed(None).addCallback(lambda _: None + 1)  # type: ignore

        got = Mine(self.pub, "news").get_all()
        self.connection.answer([[str(n) for n in range(1000)], ["x"] * 1000])
        self.failureResultOf(got, TypeError)

    def test_progress_of_the_user(self) -> None:
        """An error in a user's function does not become an InvalidResponse."""

        def progress(count: int) -> None:
            raise LookupError("a mistake of the user")

        put = Job(self.pub, "jobs").put_many(["x"], progress=progress)
        self.connection.answer(["1"])
        self.failureResultOf(put, LookupError)

    def test_reply(self) -> None:
        """A reply of the wrong shape fails the call with InvalidResponse."""
        stats = Job(self.pub, "jobs").stats()
        self.connection.answer([1, 2])
        self.failureResultOf(stats, InvalidResponse)
