"""The feeds of a worker: checks them, and opens them when there is a connection."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from txthoonk.connections._back_off import back_off, level_of
from txthoonk.consumers._channel_listener import Listening
from txthoonk.errors import (
    ConfigNotReadable,
    FeedDoesNotExist,
    FeedExists,
    FeedTypeMismatch,
    InvalidInput,
    InvalidType,
    ThoonkError,
    shown,
)
from txthoonk.types import Job
from txthoonk.wire._feed_config import Config, config_fields
from txthoonk.wire._keys import check_name
from txthoonk.wire._settings import setting_from

if TYPE_CHECKING:
    from txthoonk.service import Thoonk
    from txthoonk.types._interfaces import Publisher

__all__ = ["DEFAULTS", "WAITS", "Feeds", "configs_of", "create", "open_feed", "weighted"]

#: The configuration of a job feed that a worker creates, where it is given no other values.
DEFAULTS: Config = {"type": "job", "timeout": 60, "max_failures": 10}

WAITS = (
    "feed {name!r} does not exist: the worker waits until a program creates it; with config= or "
    "--config, the worker creates it"
)

FeedOrName = Union[Job, str]
#: One job feed, several, or each with its weight.
Feeds = Union[FeedOrName, Sequence[FeedOrName], Mapping[Any, float]]

_log = Logger()


def configs_of(
    config: Config | Mapping[str, Config] | None, names: Sequence[str]
) -> dict[str, Config]:
    """Check the configurations of feeds to create, and return that of each feed.

    :param config: one configuration for all feeds, or a mapping of their names to theirs.
    :return: nothing for a feed that must not be created.
    :raises InvalidInput: for a wrong configuration, or one of another feed.
    """
    if config is None:
        return {}
    if not isinstance(config, Mapping):
        raise InvalidType(f"a worker's config must be a dict: {shown(config)}")
    given: dict[str, Any] = dict.fromkeys(names, config)
    if config and all(isinstance(one, Mapping) for one in config.values()):
        given = dict(config)
        for name in given:
            if name not in names:
                raise InvalidInput(
                    f"config has the configuration of feed {shown(name)}, which is not a feed of "
                    f"this worker: {', '.join(map(repr, names))}"
                )
    configs: dict[str, Config] = {name: {**DEFAULTS, **one} for name, one in given.items()}
    for name, one in configs.items():
        if one["type"] != "job":
            raise InvalidInput(
                f"a worker's feed must be of type 'job': feed {name!r} is of type {one['type']!r}"
            )
        config_fields(one, "job")
    return configs


async def create(pub: Publisher, name: str, config: Config) -> bool:
    """Create a feed; return whether it did not exist."""
    try:
        await pub.create_feed(name, config)
    except FeedExists:
        return False
    return True


async def open_feed(feed: FeedOrName, pub: Publisher, reactor: Any, config: Config | None) -> Job:
    """Return a job feed, as soon as there is a connection and the feed exists.

    :param config: creates the feed with this configuration; None: waits for another program to
        create it.
    :raises FeedTypeMismatch: if it is not a job feed.
    :raises ConfigNotReadable: if another program has stored something else as its configuration.
    :raises InvalidInput: if its serializer is unknown.
    """
    name = feed.name if isinstance(feed, Job) else feed
    if isinstance(feed, Job) and config is None:
        return feed
    missing = Missing(pub, name)
    failures = 0
    try:
        while True:
            try:
                if config is not None:
                    await create(pub, name, config)
                return feed if isinstance(feed, Job) else await _existing(pub, name)
            except FeedDoesNotExist:
                await missing.changed()
            except (FeedTypeMismatch, ConfigNotReadable, InvalidInput):
                raise
            except ThoonkError as error:
                failures += 1
                text = "cannot work on feed {name!r} yet: {error}"
                _log.emit(level_of(failures), text, name=name, error=error)
                await deferLater(reactor, back_off(failures))
    finally:
        missing.end()


async def _existing(pub: Publisher, name: str) -> Job:
    config = await pub.get_config(name)
    type_ = setting_from(config, "type")
    if type_ != "job":
        raise FeedTypeMismatch(f"feed {name!r} is of type {type_!r}, not 'job'")
    return Job(pub, name, setting_from(config, "serializer"))


class Missing:
    """Waits for a feed that does not exist."""

    def __init__(self, pub: Publisher, name: str) -> None:
        self._name = name
        self._listening = Listening(
            pub.waiting_room, f"feed {name!r} to be created", {}, self._look, (name, self._look)
        )
        self._listens = self._looks = False
        self._waiting: Deferred[None] | None = None

    async def changed(self) -> None:
        """Wait until the feed may have been created."""
        if not self._listens:
            self._listens = True
            _log.warn(WAITS, name=self._name)
            self._listening.begin()
        if not self._looks:
            self._waiting = Deferred()
            await self._waiting
        self._looks = False

    def _look(self, *_: str) -> None:
        self._looks = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def end(self) -> None:
        """Stop listening."""
        if self._listens:
            self._listening.end()


def weighted(feeds: Feeds, thoonk: Thoonk | None) -> dict[FeedOrName, float]:
    """Check the feeds, and return the weight of each."""
    if isinstance(feeds, (str, Job)):
        feeds = [feeds]
    if not isinstance(feeds, Iterable) or isinstance(feeds, bytes):
        raise InvalidType(f"a worker's feeds must be job feeds, or names: {shown(feeds)}")
    if not isinstance(feeds, Mapping):
        # Each is checked before the next: a Deferred that was not awaited iterates without end.
        feeds = dict.fromkeys(map(_checked, feeds), 1.0)
    if not feeds:
        raise InvalidInput("a worker needs a feed")
    for feed, weight in feeds.items():
        _checked(feed)
        if isinstance(feed, str) and thoonk is None:
            raise InvalidInput(
                f"the worker needs a Thoonk to open feed {feed!r} by its name: pass thoonk="
            )
        if isinstance(weight, bool) or not isinstance(weight, (int, float)):
            raise InvalidType(f"the weight of a feed must be a number: {shown(weight)}")
        if not 0 < weight < math.inf:
            raise InvalidInput(f"the weight of a feed must be a number above 0: {shown(weight)}")
    return dict(feeds)


def _checked(feed: object) -> FeedOrName:
    if isinstance(feed, str):
        return check_name(feed)
    if not isinstance(feed, Job):
        raise InvalidType(f"a worker's feed must be a job feed, or its name: {shown(feed)}")
    return feed
