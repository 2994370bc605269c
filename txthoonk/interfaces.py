"""The interfaces that you can implement: serializers and feed types."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["FeedType", "Serializer"]


class Serializer(Protocol):
    """Converts items to the text or bytes that Redis stores, and back.

    Register one with :func:`txthoonk.serializers.register_serializer`.  A feed names its
    serializer in its configuration, as ``serializer``.
    """

    @property
    def binary(self) -> bool:
        """True if *loads* takes ``bytes``, False if it takes ``str``."""

    def dumps(self, item: Any) -> str | bytes:
        """Encode an item.

        :raises InvalidInput: if this serializer cannot encode the item.
        """

    def loads(self, data: Any) -> Any:
        """Decode stored data, which other programs may have written: do not trust it.

        :raises ValueError: if *dumps* cannot have made the data. Any other exception counts as
            this one.
        """


class FeedType(Protocol):
    """A class of feeds that you can pass to ``register_feedtype``.

    Its feeds use only the contract's keys, so that ``delete_feed`` finds all of them.
    """

    def __call__(self, pub: Any, name: str, serializer: str = "text") -> Any:
        """Make the object for the feed *name*, without sending anything to Redis.

        :param pub: the publisher that opens the feed, a
            :class:`~txthoonk.client.ThoonkPub` or a :class:`~txthoonk.service.Thoonk`.
        :param name: the name of the feed.
        :param serializer: the name of its serializer.
        """
