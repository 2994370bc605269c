"""The function ``check_feed``, and the names of :mod:`txthoonk.testing`."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txthoonk._support._awaiting import AwaitableDeferred
from txthoonk._support._deferreds import deferring
from txthoonk.client._registry import Publishing
from txthoonk.client._sources import is_source
from txthoonk.embedded._server import RedisServer, ServerError
from txthoonk.testing._audit import findings
from txthoonk.testing._feed_dump import read_state
from txthoonk.wire._keys import check_name

__all__ = ["RedisServer", "ServerError", "check_feed"]


@deferring
def check_feed(publisher: Publishing, name: str, settled: bool = False) -> Deferred[list[str]]:
    """Check that a feed of any type is sound: its ids, items, counters and history.

    By default it reports only what must never be, even while other programs work on the feed: a
    job that is both stalled and claimed, an item that is missing from the order, a missing
    revision, a key that remains of a deleted feed.

    It reads the whole feed in one transaction and changes nothing.  The cost is O(n) for n items
    and O(k) for all k keys of the database: use it in tests only.

    :param publisher: a :class:`~txthoonk.ThoonkPub` or a :class:`~txthoonk.Thoonk`.
    :param name: the name of the feed, which does not have to exist.
    :param settled: also report states that can exist for a moment, that other implementations or
        dead processes can leave, and that maintenance repairs: an id without an item in a line,
        an item on its way to a consumer, a claim without a known owner, more items than a
        ``max_length`` that was lowered.
    :return: fires a list of findings in words; it is empty if the feed is sound.
        Fails with :class:`~txthoonk.errors.InvalidInput` if the name is not valid, and with
        :class:`~txthoonk.errors.ConnectionLost`.
    """
    return AwaitableDeferred.fromCoroutine(_check(publisher, check_name(name), settled))


async def _check(publisher: Publishing, name: str, settled: bool) -> list[str]:
    state = await read_state(publisher.redis, name)
    found = [wrong for _, wrong in findings(state, settled)]
    if not state.registered and await is_source(publisher.redis, name):
        found.append(
            f"{name!r} is a job feed of thoonk.js 0.6 to 1.0: 'thoonk import' takes over its jobs"
        )
    return found
