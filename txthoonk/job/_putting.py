"""Putting jobs that are delayed, have options, or are many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._support._replies import parsing
from txthoonk.errors import InvalidInput
from txthoonk.protocol._encoding import TEXT
from txthoonk.wire._checks import check_time
from txthoonk.wire._job_options import dump_options
from txthoonk.wire._keys import check_id
from txthoonk.wire._scripts import Script, load

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["PUT", "Putting", "check_new_id"]

PUT: Script = load("job/put")
_PUT_LATER = load("job/put_later")


class Putting:
    """Puts jobs into one feed.  :class:`txthoonk.types.Job` documents the verbs.

    :ivar plain: LPUSH or RPUSH -> the beginning of a call for jobs without delay and options.

    :param pushes: LPUSH and RPUSH.
    :param look_due: moves delayed jobs that are due into the line.
    """

    def __init__(
        self,
        pub: Publisher,
        name: str,
        pushes: Iterable[str],
        look_due: Callable[[], Deferred[Any]],
    ) -> None:
        self._pub = pub
        self._look_due = look_due
        self._put = PUT.bind(name)
        self._put_later = _PUT_LATER.bind(name)
        self._last: tuple[Any, ...] = ()  # calls with the same options go together
        self.plain = {push: (*self._put, push, "0", "") for push in pushes}

    def put(
        self,
        push: str,
        id_: str,
        stored: str | bytes,
        delay: float | None,
        at: float | datetime | None,
        options: Any,
    ) -> Deferred[str]:
        """Put a job that is delayed, or has options."""
        given = dump_options(options, delay)
        if delay is None and at is None:
            if self._last[-3:] != (push, "0", given):
                self._last = (*self._put, push, "0", given)
            return self._pub.redis.call_together(PUT, self._last, (id_, stored))
        due = check_time(delay, at)
        command = (*self._put_later, push, id_, stored, *due, given)
        called = self._pub.redis.call(_PUT_LATER, command, TEXT)
        return called.addCallback(self._is_later, id_)

    def _is_later(self, milliseconds: str, id_: str) -> Any:
        with parsing:
            is_early = int(milliseconds) > 0
        if is_early:
            return id_
        # The job is stored, so an error does not matter: the timekeepers look again.
        return self._look_due().addErrback(lambda _: None).addCallback(lambda _: id_)

    def many(self, push: str, options: Any) -> Callable[[list[str | bytes]], Deferred[list[str]]]:
        """Return a function that puts jobs, given as id, item, id, item, and so on."""
        call, command = self._pub.redis.call, (*self._put, push, "1", dump_options(options))
        return lambda words: call(PUT, (*command, *words), TEXT)


def check_new_id(id_: object) -> str:
    """Return an id for a new job, if it is one."""
    if not check_id(id_):
        raise InvalidInput("the id of a job must not be empty: an empty id in the line means none")
    return str(id_)
