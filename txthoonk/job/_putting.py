"""Putting jobs that are delayed, have options, or are many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import attr
from twisted.internet.defer import Deferred

from txthoonk._support._replies import parsing
from txthoonk.errors import InvalidInput, InvalidType, shown
from txthoonk.protocol._encoding import TEXT
from txthoonk.wire._checks import check_time
from txthoonk.wire._job_options import dump_options
from txthoonk.wire._keys import check_id, feed_channel
from txthoonk.wire._scripts import Script, load

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["PUT", "NewJob", "Putting", "check_new_id", "check_new_jobs", "new_words"]

PUT: Script = load("job/put")
_PUT_LATER = load("job/put_later")

MOST_NEW = 500  # jobs that are put with one finish


@attr.frozen(eq=False)
class NewJob:
    """A job to be put when another one is finished; :meth:`Job.new` makes it.

    :ivar feed: the name of the feed.
    :ivar id: the id that it will have.
    :ivar pub: the publisher of the feed.
    :ivar words: its part of the arguments of the script.
    """

    feed: str
    id: str
    pub: Publisher = attr.field(repr=False)
    words: tuple[str | int | bytes, ...] = attr.field(repr=False)


def new_words(feed: str, jobs: Sequence[NewJob]) -> Iterable[str | int | bytes]:
    """Return the arguments of ``job/finish_then`` for the new jobs of one feed."""
    channels = [feed_channel(event, feed) for event in ("event", "publishes", "delayed")]
    return (feed, *channels, len(jobs), *chain.from_iterable(job.words for job in jobs))


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
        self._name = name
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

    def new(
        self,
        push: str,
        id_: str,
        stored: str | bytes,
        delay: float | None,
        at: float | datetime | None,
        options: Any,
    ) -> NewJob:
        """Describe a job, to be put later."""
        given = dump_options(options, delay)
        due: tuple[str | int, ...] = ("", "")
        if delay is not None or at is not None:
            due = check_time(delay, at)
        return NewJob(self._name, id_, self._pub, (push, id_, stored, *due, given))

    def many(self, push: str, options: Any) -> Callable[[list[str | bytes]], Deferred[list[str]]]:
        """Return a function that puts jobs, given as id, item, id, item, and so on."""
        call, command = self._pub.redis.call, (*self._put, push, "1", dump_options(options))
        return lambda words: call(PUT, (*command, *words), TEXT)


def check_new_id(id_: object) -> str:
    """Return an id for a new job, if it is one."""
    if not check_id(id_):
        raise InvalidInput("the id of a job must not be empty: an empty id in the line means none")
    return str(id_)


def check_new_jobs(jobs: Iterable[NewJob]) -> list[NewJob]:
    """Return the jobs to put with a finish.

    :raises InvalidType: for something else.
    :raises InvalidInput: for too many.
    """
    if jobs == ():
        return []
    if isinstance(jobs, (str, bytes, NewJob)) or not isinstance(jobs, Iterable):
        raise InvalidType(f"then takes a list of jobs that Job.new() made: {shown(jobs)}")
    checked = list(jobs)
    for job in checked:
        if not isinstance(job, NewJob):
            raise InvalidType(f"then takes jobs that Job.new() made: {shown(job)}")
    if len(checked) > MOST_NEW:
        raise InvalidInput(f"then takes up to {MOST_NEW} jobs, not {len(checked)}")
    return checked
