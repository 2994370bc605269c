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
    from txthoonk.types._repeating import Repeating

__all__ = [
    "PUT",
    "NewJob",
    "Putting",
    "check_new_id",
    "check_new_jobs",
    "given_pair",
    "in_present_serializer",
    "new_words",
]

PUT: Script = load("job/put")
_PUT_LATER = load("job/put_later")

MOST_NEW = 500  # jobs that are put with one finish


@attr.frozen(eq=False)
class NewJob:
    """A job to be put when another one is finished; :meth:`Job.new` makes it.

    :ivar feed: the name of the feed.
    :ivar id: the id that it will have.
    :ivar pub: the publisher of the feed.
    :ivar words: its part of the arguments of the script, without the serializer.
    :ivar serializer: the serializer that has made its item; empty if the item is as stored.
    :ivar repeating: repeats calls when the serializer of the feed has changed.
    """

    feed: str
    id: str
    pub: Publisher = attr.field(repr=False)
    words: tuple[Any, ...] = attr.field(repr=False)
    serializer: str = attr.field(repr=False)
    repeating: Repeating = attr.field(repr=False)


def in_present_serializer(job: NewJob) -> NewJob:
    """Return the job with its item in the serializer that its feed has now.

    :raises InvalidInput: if that cannot take the item.
    """
    (serializer,), words = job.repeating.present("job/finish_then", (job.serializer,), job.words)
    return attr.evolve(job, words=words, serializer=serializer)


def new_words(feed: str, jobs: Sequence[NewJob]) -> Iterable[str | int | bytes]:
    """Return the arguments of ``job/finish_then`` for the new jobs of one feed."""
    channels = [feed_channel(event, feed) for event in ("event", "publishes", "delayed")]
    words = chain.from_iterable((*job.words, job.serializer) for job in jobs)
    return (feed, *channels, len(jobs), *words)


class Putting:
    """Puts jobs into one feed.  :class:`txthoonk.types.Job` documents the verbs.

    :ivar plain: LPUSH or RPUSH -> the beginning of a call for jobs without delay and options.

    :param repeating: repeats calls when the serializer of the feed has changed.
    :param pushes: LPUSH and RPUSH.
    :param look_due: moves delayed jobs that are due into the line.
    """

    def __init__(
        self,
        pub: Publisher,
        name: str,
        repeating: Repeating,
        pushes: Iterable[str],
        look_due: Callable[[], Deferred[Any]],
    ) -> None:
        self._pub = pub
        self._name = name
        self._repeating = repeating
        self._pushes = pushes
        self._look_due = look_due
        self._put = PUT.bind(name)
        self._put_later = _PUT_LATER.bind(name)
        self._last: tuple[Any, ...] = ()  # calls with the same options go together
        self._serializer = ""
        self.plain: dict[str, tuple[Any, ...]] = {}

    def use(self, serializer: str) -> None:
        """Put items of this serializer from now on; empty: items as they are stored."""
        self._serializer = serializer
        self.plain = {push: (*self._put, push, "0", "", serializer) for push in self._pushes}

    def now(self, prefix: tuple[Any, ...], group: tuple[str, str | bytes]) -> Deferred[str]:
        """Put a job without delay."""
        repeating = self._repeating
        if repeating.waits:
            return repeating.later(PUT, prefix, group)
        return self._pub.redis.call_together(PUT, prefix, group, TEXT, repeating)

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
            last = (push, "0", given, self._serializer)
            if self._last[-4:] != last:
                self._last = (*self._put, *last)
            return self.now(self._last, (id_, stored))
        due = check_time(delay, at)
        prefix, words = (*self._put_later, self._serializer), (push, id_, stored, *due, given)
        called = self._repeating.call(_PUT_LATER, prefix, words)
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
        words = (push, id_, stored, *due, given)
        return NewJob(self._name, id_, self._pub, words, self._serializer, self._repeating)

    def many(self, push: str, options: Any) -> Callable[[list[str | bytes]], Deferred[list[str]]]:
        """Return a function that puts jobs, given as id, item, id, item, and so on."""
        prefix = (*self._put, push, "1", dump_options(options), self._serializer)
        return lambda words: self._repeating.call(PUT, prefix, tuple(words))


def check_new_id(id_: object) -> str:
    """Return an id for a new job, if it is one."""
    if not check_id(id_):
        raise InvalidInput("the id of a job must not be empty: an empty id in the line means none")
    return str(id_)


def given_pair(
    dumps: Callable[[Any], str | bytes], both: tuple[Any, str]
) -> tuple[str, str | bytes]:
    """Return the id and the stored item of a new job, from its item and its id."""
    return check_new_id(both[1]), dumps(both[0])


def check_new_jobs(jobs: Iterable[NewJob]) -> list[NewJob]:
    """Return the jobs to put with a finish.

    :raises InvalidType: for something else.
    :raises InvalidInput: for too many.
    """
    if jobs == ():
        return []
    if isinstance(jobs, (str, bytes, NewJob)) or not isinstance(jobs, Iterable):
        raise InvalidType(f"then takes a list of jobs that Job.new() made: {shown(jobs)}")
    checked = []
    for job in jobs:
        if not isinstance(job, NewJob):
            raise InvalidType(f"then takes jobs that Job.new() made: {shown(job)}")
        checked.append(job)
    if len(checked) > MOST_NEW:
        raise InvalidInput(f"then takes up to {MOST_NEW} jobs, not {len(checked)}")
    return checked
