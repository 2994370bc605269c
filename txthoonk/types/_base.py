"""What feeds of all types have in common."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from txthoonk._config import Config
from txthoonk._deferring import deferring
from txthoonk._keys import check_id, check_name, feed_key
from txthoonk._redis import RAW, TEXT
from txthoonk.errors import InvalidItem
from txthoonk.serializers import get_serializer

if TYPE_CHECKING:
    from txthoonk.client import ThoonkPub

__all__ = ["BaseFeed", "to_text"]

#: What hiredis makes of bytes where it decodes them as TEXT.
to_text = partial(str, encoding="utf-8", errors="surrogateescape")


class BaseFeed:
    """A feed's name, keys, configuration and serializer.

    :ivar pub: the publisher that the feed sends through.
    :ivar name: the name of the feed.
    :ivar feed_ids: key of the ids in their order.
    :ivar feed_items: key of the hash id -> item.
    :ivar feed_publishes: key of the counter of publishes and edits.
    :ivar feed_config: key of the configuration.
    """

    def __init__(self, pub: ThoonkPub, name: str, serializer: str = "text") -> None:
        """Make the object; nothing is sent to Redis, so the feed need not exist.

        :param serializer: as the feed's configuration has it.  The methods of
            *pub* that fire a feed read it from there.
        :raises InvalidInput: for a bad name or an unknown serializer.
        """
        self.pub = pub
        self.name = check_name(name)
        self.feed_ids = feed_key("ids", name)
        self.feed_items = feed_key("items", name)
        self.feed_publishes = feed_key("publishes", name)
        self.feed_config = feed_key("config", name)
        self._use_serializer(serializer)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def _use_serializer(self, name: str) -> None:
        serializer = get_serializer(name)
        self.serializer = name
        self._dumps = serializer.dumps
        self._loads = serializer.loads
        self._encoding = RAW if serializer.binary else TEXT

    def _load(self, data: Any, id_: str) -> Any:
        """Turn what Redis holds into an item, None if it holds nothing."""
        if data is None:
            return None
        try:
            return self._loads(data)
        except ValueError as error:
            raise InvalidItem(
                f"item {id_!r} of feed {self.name!r} is not {self.serializer}: {error}", id_, data
            ) from error

    def _load_bytes(self, data: bytes, id_: str) -> Any:
        """Turn what Redis holds into an item."""
        return self._load(data if self._encoding is RAW else to_text(data), id_)

    @deferring
    def get_item(self, id_: str) -> Deferred[Any]:
        """Read one item (HGET).

        :return: fires the item, or None if it is not there; fails with
            :class:`~txthoonk.errors.InvalidItem` if the serializer cannot read it.
        """
        id_ = check_id(id_)
        read = self.pub.redis.request(("HGET", self.feed_items, id_), self._encoding)
        return read.addCallback(self._load, id_)

    @deferring
    def has_id(self, id_: str) -> Deferred[bool]:
        """Tell whether the feed has an item of that id (HEXISTS).

        :return: fires a bool.
        """
        command = ("HEXISTS", self.feed_items, check_id(id_))
        return self.pub.redis.request(command, TEXT).addCallback(bool)

    def get_config(self) -> Deferred[dict[str, str]]:
        """Read the configuration.

        :return: fires the configuration; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self.pub.get_config(self.name)

    def set_config(self, conf: Config) -> Deferred[None]:
        """Change the configuration; values that are not given stay.

        A new ``serializer`` is used by this object as soon as it is stored; other
        objects of the same feed keep theirs, and stored items stay as they are.

        :return: fires None; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`,
            :class:`~txthoonk.errors.FeedTypeMismatch` if it names another type, or
            :class:`~txthoonk.errors.InvalidInput`.
        """

        def stored(_: None) -> None:
            if "serializer" in conf:
                self._use_serializer(str(conf["serializer"]))

        return self.pub.set_config(self.name, conf).addCallback(stored)

    def delete_feed(self) -> Deferred[bool]:
        """Delete the feed with all its keys.

        :return: fires True; fails with
            :class:`~txthoonk.errors.FeedDoesNotExist`.
        """
        return self.pub.delete_feed(self.name)
