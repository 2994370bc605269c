"""Handlers by name."""

from __future__ import annotations

from typing import Any

from tests.support.worker import WorkerTestCase
from txthoonk.errors import InvalidInput, InvalidType
from txthoonk.types import Claim, ThreadClaim
from txthoonk.worker import Worker


class ByNameTests(WorkerTestCase):
    CONFIG: dict[str, Any] = {"timeout": 60, "max_failures": 3, "serializer": "json"}

    async def test_field(self) -> None:
        """A field of the item names the handler, of any kind."""

        async def send(claim: Claim) -> str:
            return f"sent {claim.item['to']}"

        def sweep(claim: Claim) -> str:
            return "swept"

        await self.job.put({"task": "send", "to": "Ann"}, id_="a")
        await self.job.put({"task": "sweep"}, id_="b")
        results = [self.job.wait("a"), self.job.wait("b")]
        self.work(None, handlers={"send": send, "sweep": sweep})
        self.assertEqual([await result for result in results], ["sent Ann", "swept"])

    async def test_function(self) -> None:
        """A function can name the handler, also for handlers in threads."""

        def double(claim: ThreadClaim) -> Any:
            claim.progress(1)
            return claim.item * 2

        await self.job.put(4, id_="d1")
        result = self.job.wait("d1")
        self.work(None, handlers={"d": double}, key=lambda claim: claim.id[0], in_thread=True)
        self.assertEqual(await result, 8)

    async def test_unknown(self) -> None:
        """A job without the name of a handler is stalled with the reason, and not retried."""
        self.work(None, handlers={"send": print, "sweep": print}, key="do")
        items = {"a": {"do": "frob"}, "b": {"task": "send"}, "c": "send", "d": {"do": [1]}}
        for id_, item in items.items():
            await self.job.put(item, id_=id_)
        await self.comes_to(0, 0, 4, 0)
        reasons = {failure.id: failure for failure in await self.job.get_failures()}
        self.assertEqual({failure.type for failure in reasons.values()}, {"NoHandler"})
        known = "its handlers are 'send', 'sweep'"
        self.assertEqual(
            [reasons[id_].message for id_ in sorted(reasons)],
            [
                f"the worker has no handler 'frob'; {known}",
                "the item has no field 'do', the name of its handler",
                "an item must be a mapping with a field 'do', the name of its handler: 'send'",
                f"the worker has no handler [1]; {known}",
            ],
        )

    def test_bad(self) -> None:
        """Handlers that cannot be used are refused."""

        async def coroutine(claim: Claim) -> None:
            pass

        bad: list[tuple[type[Exception], dict[str, Any]]] = [
            (InvalidInput, {}),
            (InvalidInput, {"handler": print, "handlers": {"a": print}}),
            (InvalidInput, {"handlers": {}}),
            (InvalidType, {"handlers": [print]}),
            (InvalidType, {"handlers": {"a": "print"}}),
            (InvalidType, {"handlers": {1: print}}),
            (InvalidType, {"handlers": {"a": print}, "key": 1}),
            (InvalidInput, {"handlers": {"a": coroutine}, "in_thread": True}),
        ]
        for error, options in bad:
            with self.assertRaises(error, msg=options):
                Worker(self.job, **options)
