"""Tasks of asyncio can await our Deferreds, and their coroutines can await any."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.support.aio import run
from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._deferreds import begun


def later(function: Callable[..., object], *args: Any) -> None:
    """Call a function in a later turn of the loop, outside of any task."""
    asyncio.get_running_loop().call_soon(function, *args)


def pending() -> AwaitableDeferred[Any]:
    return AwaitableDeferred()


class TaskTests(SynchronousTestCase):
    """A task awaits an AwaitableDeferred like a future."""

    def test_result(self) -> None:
        """The task gets what the Deferred fires, at once if it has fired."""

        async def main() -> None:
            waiting, fired = pending(), pending()
            later(waiting.callback, "later")
            fired.callback("before")
            self.assertEqual((await waiting, await fired), ("later", "before"))

        run(main())

    def test_failure(self) -> None:
        """The task gets the error, and nothing logs it."""

        async def main() -> None:
            waiting = pending()
            later(waiting.errback, ZeroDivisionError("why"))
            with self.assertRaisesRegex(ZeroDivisionError, "why"):
                await waiting
            with self.assertRaises(ZeroDivisionError):
                await AwaitableDeferred.fromCoroutine(self._failing())

        run(main())
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    async def _failing(self) -> None:
        raise ZeroDivisionError

    def test_chain(self) -> None:
        """The task waits for the Deferreds that callbacks return."""

        async def main() -> None:
            first, second = pending(), pending()
            first.addCallback(lambda _: second)
            later(first.callback, None)
            later(second.callback, "second")
            self.assertEqual(await first, "second")

        run(main())

    def test_tools(self) -> None:
        """gather, wait, wait_for, shield, TaskGroup and as_completed take it as an awaitable."""

        async def awaiting(deferred: Deferred[Any]) -> Any:
            return await deferred

        async def main() -> None:
            many = [pending() for _ in range(6)]
            for number, one in enumerate(many):
                self.assertFalse(asyncio.isfuture(one))
                later(one.callback, number)
            self.assertEqual(await asyncio.gather(*many[:2]), [0, 1])
            self.assertEqual(await asyncio.wait_for(many[2], 5), 2)
            self.assertEqual(await asyncio.shield(many[3]), 3)
            self.assertEqual([await one for one in asyncio.as_completed([many[4]])], [4])
            async with asyncio.TaskGroup() as group:
                task = group.create_task(awaiting(many[5]))
            self.assertEqual(task.result(), 5)

        run(main())

    def test_continues_at_once(self) -> None:
        """The task continues while the Deferred fires, so nothing comes between."""
        seen: list[str] = []

        async def main() -> None:
            waiting = pending()

            def fire() -> None:
                waiting.callback("item")
                seen.append("fired")

            later(fire)
            seen.append(await waiting)

        run(main())
        self.assertEqual(seen, ["item", "fired"])

    def test_fired_by_a_task(self) -> None:
        """If another task fires it, the task continues in a later turn."""
        seen: list[str] = []

        async def main() -> None:
            waiting = pending()

            async def fire() -> None:
                waiting.callback("item")
                seen.append("fired")

            task = asyncio.create_task(fire())
            seen.append(await waiting)
            await task

        run(main())
        self.assertEqual(seen, ["fired", "item"])

    def test_fired_in_the_context_of_the_task(self) -> None:
        """It may fire in a callback that runs in the task's own context."""

        async def main() -> None:
            context = copy_context()
            waiting = pending()

            async def wait() -> Any:
                return await waiting

            task = asyncio.get_running_loop().create_task(wait(), context=context)
            asyncio.get_running_loop().call_later(0.001, waiting.callback, "item", context=context)
            self.assertEqual(await task, "item")

        run(main())

    def test_cancelling_the_task(self) -> None:
        """It cancels the Deferred, and raises asyncio's error, once its canceller is done."""
        cancelled: list[Any] = []

        async def wait(waiting: Deferred[Any]) -> None:
            try:
                await waiting
            except asyncio.CancelledError as error:
                cancelled.append(type(error))
                raise

        async def main() -> None:
            waiting: AwaitableDeferred[Any] = AwaitableDeferred(cancelled.append)
            task = asyncio.create_task(wait(waiting))
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual(cancelled, [waiting, asyncio.CancelledError])
            self.assertTrue(task.cancelled())

        run(main())
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_timeout(self) -> None:
        """``asyncio.timeout`` and ``wait_for`` end the wait, with TimeoutError."""

        async def main() -> None:
            with self.assertRaises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await pending()
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(pending(), 0.001)

        run(main())

    def test_cancel_that_takes_time(self) -> None:
        """The task waits for the coroutine that its Deferred runs."""
        seen: list[str] = []

        async def main() -> None:
            cleaned = pending()

            async def careful() -> None:
                try:
                    await pending()
                except CancelledError:
                    await cleaned
                    seen.append("cleaned up")
                    raise

            async def wait() -> None:
                await AwaitableDeferred.fromCoroutine(careful())

            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            self.assertEqual((seen, task.done()), ([], False))
            cleaned.callback(None)
            with self.assertRaises(asyncio.CancelledError):
                await task

        run(main())
        self.assertEqual(seen, ["cleaned up"])

    def test_cancelled_too_late(self) -> None:
        """A task whose Deferred has fired ends with CancelledError, as with any future."""

        async def wait(waiting: Deferred[Any]) -> None:
            await waiting

        async def main() -> None:
            waiting = pending()
            task = asyncio.create_task(wait(waiting))
            await asyncio.sleep(0)
            waiting.callback(None)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task

        run(main())

    def test_cancelling_the_deferred(self) -> None:
        """If the Deferred is cancelled, the task gets Twisted's error."""

        async def main() -> None:
            waiting = pending()
            later(waiting.cancel)
            with self.assertRaises(CancelledError):
                await waiting

        run(main())

    def test_coroutine_of_twisted(self) -> None:
        """In a coroutine that Twisted runs it is an ordinary Deferred, also within a task."""

        async def twisted(waiting: Deferred[Any]) -> Any:
            return await waiting

        async def main() -> None:
            waiting = pending()
            running = Deferred.fromCoroutine(twisted(waiting))
            waiting.callback("item")
            self.assertEqual(self.successResultOf(running), "item")

        run(main())

    def test_without_a_loop(self) -> None:
        """Without a loop it is an ordinary Deferred."""

        async def twisted(waiting: Deferred[Any]) -> Any:
            return await waiting

        waiting = pending()
        running = Deferred.fromCoroutine(twisted(waiting))
        waiting.callback("item")
        self.assertEqual(self.successResultOf(running), "item")

    def test_end_of_the_program(self) -> None:
        """SystemExit in the task that it continues ends the loop."""

        async def main() -> None:
            waiting = pending()
            later(waiting.callback, None)
            await waiting
            raise SystemExit("enough")

        with self.assertRaisesRegex(SystemExit, "enough"):
            run(main())


async def outcome(result: Any) -> Any:
    """Return what a handler returns or fails with."""
    doing = begun(result)
    assert doing is not None
    ended = pending()
    doing.addBoth(lambda result: ended.callback([result]))
    return (await ended)[0]


class HandlerTests(SynchronousTestCase):
    """A user's coroutine is a task where a loop runs."""

    def test_asyncio(self) -> None:
        """It may use the tools of asyncio, in the context of the caller."""
        variable: ContextVar[str] = ContextVar("variable")

        async def handler() -> Any:
            await asyncio.sleep(0)
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
            return variable.get(), await asyncio.wait_for(asyncio.sleep(0, "slept"), 5)

        async def main() -> None:
            variable.set("of the caller")
            self.assertEqual(await outcome(handler()), ("of the caller", "slept"))

        run(main())

    def test_deferreds(self) -> None:
        """It may await Deferreds of any class, that have fired or not."""
        first: Deferred[str] = Deferred()
        second: Deferred[str] = Deferred()

        async def handler() -> Any:
            later(first.callback, "first")
            later(second.callback, "second")
            with self.assertRaises(ZeroDivisionError):
                await fail(ZeroDivisionError())
            return await first, await gatherResults([second]), await succeed("third")

        async def failing() -> Any:
            waiting: Deferred[None] = Deferred()
            later(waiting.errback, ZeroDivisionError("why"))
            await waiting

        async def main() -> None:
            self.assertEqual(await outcome(handler()), ("first", ["second"], "third"))
            self.assertEqual((await outcome(failing())).getErrorMessage(), "why")

        run(main())
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_future(self) -> None:
        """A plain function may return a future, such as a task that it has begun."""

        async def main() -> None:
            self.assertEqual(await outcome(asyncio.create_task(asyncio.sleep(0, "end"))), "end")

        run(main())

    def test_errors(self) -> None:
        """An exception of any class is its failure, and does not end the loop."""
        for kind in (ZeroDivisionError, SystemExit, KeyboardInterrupt, asyncio.CancelledError):

            async def handler(kind: type[BaseException] = kind) -> None:
                await asyncio.sleep(0)
                raise kind("why")

            async def main(handler: Any = handler) -> Any:
                return await outcome(handler())

            self.assertIs(run(main()).type, kind)

    def test_cancel(self) -> None:
        """Cancelling it raises asyncio's error where it awaits; it may take time to clean up."""
        seen: list[Any] = []

        async def handler(waiting: Any) -> None:
            try:
                await waiting
            except asyncio.CancelledError as error:
                seen.append(type(error))
                await asyncio.sleep(0)
                raise

        async def main() -> None:
            gone: Deferred[None] = Deferred(seen.append)
            for waiting in (asyncio.sleep(100), pending(), gone):
                doing = begun(handler(waiting))
                assert doing is not None
                await asyncio.sleep(0)
                later(doing.cancel)
                failure = await outcome(doing)
                self.assertIs(failure.type, CancelledError)
            self.assertEqual(seen, [asyncio.CancelledError] * 2 + [gone, asyncio.CancelledError])

        run(main())
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_cancelled_before_it_runs(self) -> None:
        """A handler that is cancelled before its first step does not run."""

        async def main() -> None:
            doing = begun(asyncio.sleep(100))
            assert doing is not None
            later(doing.cancel)
            self.assertIs((await outcome(doing)).type, CancelledError)

        run(main())

    def test_cancelled_again(self) -> None:
        """A handler that goes on when it is cancelled can be cancelled again."""
        seen: list[str] = []

        async def handler() -> None:
            for name in ("first", "second"):
                try:
                    await asyncio.sleep(100)
                except asyncio.CancelledError:
                    seen.append(name)

        async def main() -> None:
            doing = begun(handler())
            assert doing is not None
            while len(seen) < 2:
                await asyncio.sleep(0)
                doing.cancel()
            self.assertIsNone(await outcome(doing))

        run(main())

    def test_cancel_within(self) -> None:
        """If a Deferred that it awaits is cancelled, it gets Twisted's error, and goes on."""

        async def handler() -> str:
            waiting: Deferred[None] = Deferred()
            later(waiting.cancel)
            with self.assertRaises(CancelledError):
                await waiting
            return "went on"

        async def main() -> None:
            self.assertEqual(await outcome(handler()), "went on")

        run(main())

    def test_is_kept(self) -> None:
        """A handler that nothing else refers to runs to its end."""
        ended: list[str] = []

        async def handler() -> None:
            await asyncio.sleep(0.001)
            ended.append("ended")

        async def main() -> None:
            begun(handler())
            while not ended:
                gc.collect()
                await asyncio.sleep(0)

        run(main())
