"""Whose fault an error is: only what goes wrong with a reply is blamed on Redis."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import Connection
from txthoonk._support._deferreds import deferring
from txthoonk._support._replies import MISFITS, parses, parsing
from txthoonk.client import ThoonkPub
from txthoonk.consumers._result_waiters import Results
from txthoonk.errors import InvalidInput, InvalidResponse
from txthoonk.protocol import Redis
from txthoonk.types import Feed, Job


class ParsingTests(SynchronousTestCase):
    """What is raised for a reply of another shape."""

    def test_blamed(self) -> None:
        """All that Python raises for one is an InvalidResponse, which names it."""
        for error in MISFITS:
            with self.assertRaises(InvalidResponse) as caught, parsing:
                raise error("no such thing")
            self.assertIn("no such thing", str(caught.exception))
            self.assertIsInstance(caught.exception.__cause__, error)

    def test_passed_on(self) -> None:
        """Our own errors, and those of other kinds, stay what they are."""
        for error in (InvalidInput, ZeroDivisionError, KeyboardInterrupt):
            with self.assertRaises(error), parsing:
                raise error("x")

    def test_function(self) -> None:
        """A function that parses gives what it gives, and raises the same."""
        parse = parses(int)
        self.assertEqual(parse("5"), 5)
        self.assertRaises(InvalidResponse, parse, "x")


class BlameTests(SynchronousTestCase):
    """A mistake in our code, or in that of the user, surfaces as itself."""

    def setUp(self) -> None:
        self.pub = ThoonkPub(Redis())
        self.connection = Connection(self.pub)
        self.connection.know_scripts()

    def test_deferring(self) -> None:
        """What fails behind a verb is not taken for a reply."""
        for error in MISFITS:

            @deferring
            def call(error: type[Exception] = error) -> Deferred[Any]:
                def wrong(_: None) -> None:
                    raise error("a mistake of ours")

                return succeed(None).addCallback(wrong)

            self.failureResultOf(call(), error)

    def test_our_mistake(self) -> None:
        """Nor is what one of our methods raises when it learns what became of a job."""

        def mistaken(results: Results, id_: str) -> None:
            raise AttributeError("a mistake of ours")

        self.patch(Results, "gone", mistaken)
        retracted = Job(self.pub, "jobs").retract("1")
        self.connection.answer(1)
        self.failureResultOf(retracted, AttributeError)

    def test_class_of_the_user(self) -> None:
        """Nor is what the class of a feed type raises."""

        class Mine(Feed):
            def get_ids(self) -> Any:
                return succeed(None).addCallback(lambda _: None + 1)  # type: ignore

        got = Mine(self.pub, "news").get_all()
        self.connection.answer([[str(n) for n in range(1000)], ["x"] * 1000])
        self.failureResultOf(got, TypeError)

    def test_progress_of_the_user(self) -> None:
        """Nor is what a function of the user raises."""

        def progress(count: int) -> None:
            raise LookupError("a mistake of the user")

        put = Job(self.pub, "jobs").put_many(["x"], progress=progress)
        self.connection.answer(["1"])
        self.failureResultOf(put, LookupError)

    def test_reply(self) -> None:
        """What comes in another shape is blamed on Redis."""
        stats = Job(self.pub, "jobs").stats()
        self.connection.answer([1, 2])
        self.failureResultOf(stats, InvalidResponse)
