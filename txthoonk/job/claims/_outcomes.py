"""How jobs end, for the callers that wait for them: with a result, or stalled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txthoonk._values import JobFailure
from txthoonk.consumers.results._result_waiters import Results
from txthoonk.errors import InvalidItem, JobStalled

__all__ = ["Outcomes"]


class Outcomes:
    """The ends of the jobs of one feed.  :class:`txthoonk.types.Job` documents the verbs.

    :param results: the callers on this publisher that wait for results.
    :param load: deserializes an item or a result of the job with an id.
    :param renew: has the feed object learn the serializer that the feed has now.
    :param failure: reads the last failure of a job.
    """

    def __init__(
        self,
        name: str,
        results: Results,
        load: Callable[[bytes, str], Any],
        renew: Callable[[], Deferred[None]],
        failure: Callable[[str], Deferred[JobFailure | None]],
    ) -> None:
        self._name = name
        self._results = results
        self._load = load
        self._renew = renew
        self._failure = failure

    def result(self, id_: str, seconds: float) -> Deferred[tuple[Any, Any]]:
        """Read the item and the result of a job, or wait until it is finished."""
        return self._results.wait(id_, seconds).addCallback(self._load_result, id_)

    def _loaded(self, load: Callable[[], Any]) -> Any:
        """Load what a job ended with; its serializer may have changed while the caller waited."""
        try:
            return load()
        except InvalidItem:
            failed = Failure()
        return self._renew().addCallbacks(lambda _: load(), lambda _: failed)

    def _load_result(self, found: tuple[bytes | None, Any], id_: str) -> Any:
        item, result = found
        load = self._load
        return self._loaded(lambda: (None if item is None else load(item, id_), load(result, id_)))

    def end(self, id_: str, seconds: float) -> Deferred[Any]:
        """Wait until a job is finished."""
        waiting = self._results.wait(id_, seconds, until_end=True)
        return waiting.addCallbacks(self._load_end, self._stalled, (id_,), {}, (id_,), {})

    def _load_end(self, found: tuple[bytes | None, bytes | None], id_: str) -> Any:
        result = found[1]
        return None if result is None else self._loaded(lambda: self._load(result, id_))

    def _stalled(self, reason: Failure, id_: str) -> Any:
        reason.trap(JobStalled)

        def with_failure(failure: JobFailure | None) -> Any:
            raise JobStalled(
                f"job {id_!r} of feed {self._name!r} is stalled"
                + (f": {failure.type}: {failure.message}" if failure else ""),
                failure,
            )

        # The job is stalled even if its failure cannot be read.
        return self._failure(id_).addErrback(lambda _: None).addCallback(with_failure)
