"""A worker follows the serializer of its feed when another program changes it."""

from __future__ import annotations

from typing import Any

from tests.support.waiting import until
from tests.support.worker import Doing, WorkerTestCase
from txthoonk.types import Job


class WorkerSerializerTests(WorkerTestCase):
    CONFIG = {**WorkerTestCase.CONFIG, "keep_results": 100}

    async def configured(self, serializer: str) -> Job:
        """Change the serializer on another connection, which also puts jobs."""
        return await (await self.pub()).job("x", {"serializer": serializer})

    async def test_feed_is_configured_later(self) -> None:
        """A worker that began with text reads and writes JSON once the feed is configured."""
        items: list[Any] = []

        def handler(claim: Any) -> Any:
            items.append(claim.item)
            return claim.item

        self.work(handler)
        await self.put("a")
        await until(lambda: items == ["item a"])
        other = await self.configured("json")
        for number in (1, 2):
            id_ = await other.put({"n": number})
            self.assertEqual(await other.get_result(id_), ({"n": number}, {"n": number}))
        self.assertEqual(items[1:], [{"n": 1}, {"n": 2}])

    async def test_results_in_the_old_serializer(self) -> None:
        """A result is serialized again if the serializer changes while the handler runs."""
        doing = Doing()
        self.work(doing, 2)
        await self.put("a", "b")
        await doing.begun(2)
        other = await self.configured("json")
        doing.end(result="done")
        self.assertEqual([await other.wait(id_) for id_ in "ab"], ["done", "done"])

    async def test_result_that_cannot_be_serialized_again(self) -> None:
        """The job fails, and the record of its failure says why."""
        await self.configured("json")
        doing = Doing()
        self.work(doing, back_off=lambda _: 100)
        await self.put("a")
        await doing.begun(1)
        await self.configured("text")
        doing.end(result={"done": True})
        failure = await self.failure("a")
        self.assertIn("must be str or bytes, not {'done': True}", failure.message)
        self.assertEqual(self.ended, [("x", "finished")])
