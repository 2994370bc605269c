"""What users of txthoonk may implement."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["FeedType", "Serializer"]


class Serializer(Protocol):
    """Turns items into what Redis stores, and back.

    Register one with :func:`txthoonk.serializers.register_serializer`; a feed
    names it in its configuration as ``serializer``.
    """

    @property
    def binary(self) -> bool:
        """Whether *loads* wants ``bytes``; else it gets ``str``."""

    def dumps(self, item: Any) -> str | bytes:
        """Encode an item.

        :raises InvalidInput: if it is not an item that this serializer takes.
        """

    def loads(self, data: Any) -> Any:
        """Decode what Redis holds; it comes from others and must not be trusted.

        :raises ValueError: if it is not what *dumps* makes; what else it raises is taken for that.
        """


class FeedType(Protocol):
    """A class of feeds, as ``register_feedtype`` takes it.

    Its feeds keep to the contract's keys, so that ``delete_feed`` finds them all.
    """

    def __call__(self, pub: Any, name: str, serializer: str = "text") -> Any:
        """Make the object for the feed *name*; nothing is sent to Redis.

        :param pub: the publisher that opens the feed, a
            :class:`~txthoonk.client.ThoonkPub` or a :class:`~txthoonk.service.Thoonk`.
        :param name: the name of the feed.
        :param serializer: the name of its serializer.
        """
