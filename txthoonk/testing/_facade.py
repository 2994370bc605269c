"""For the test suites of those who use txthoonk: a Redis of their own, and a look at feeds.

One server serves a whole run of trial; it ends with the run::

    from twisted.internet.defer import inlineCallbacks
    from twisted.trial.unittest import TestCase

    from txthoonk import ThoonkPubFactory
    from txthoonk.testing import RedisServer, check_feed

    redis = RedisServer()


    class NewsTests(TestCase):
        @inlineCallbacks
        def setUp(self):
            yield redis.start()  # fires at once when it is up already
            self.pub = yield redis.endpoint().connect(ThoonkPubFactory())
            self.addCleanup(self.pub.close)
            yield self.pub.redis.flushdb()

        @inlineCallbacks
        def test_publish(self):
            news = yield self.pub.feed("news")
            id_ = yield news.publish("hello")
            self.assertEqual((yield news.get_item(id_)), "hello")
            self.assertEqual((yield check_feed(self.pub, "news")), [])

It needs a redis-server: the system's package, or ``pip install txthoonk[embedded]``.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txthoonk._support._deferreds import deferring
from txthoonk.client._registry import Publishing
from txthoonk.embedded._server import RedisServer, ServerError
from txthoonk.testing._audit import findings
from txthoonk.testing._feed_dump import read_state
from txthoonk.wire._keys import check_name

__all__ = ["RedisServer", "ServerError", "check_feed"]


@deferring
def check_feed(publisher: Publishing, name: str, settled: bool = False) -> Deferred[list[str]]:
    """Check that a feed is sound, whatever type it has: ids, items, counters, history.

    By itself it reports what must never be, also while others work on the feed: a job
    that is stalled and claimed at once, an item that is not in the order, a revision that is
    missing, a key that is left of a feed that was deleted.  It reads all of the feed in one
    transaction and changes nothing.  That takes as long as to read it all, O(n) for n items
    and O(k) for k keys of the database: it is meant for tests.

    :param publisher: a :class:`~txthoonk.ThoonkPub` or a :class:`~txthoonk.Thoonk`.
    :param name: the name of the feed, which need not exist.
    :param settled: report as well what may be for a moment, or may be left by other
        implementations and by processes that died, and what maintenance puts right: an id
        without an item in a line, an item on its way, a claim of which nobody knows whose it
        is, more items than a ``max_length`` that was lowered.
    :return: fires a list of what is wrong, in words; an empty one if the feed is sound.
        Fails with :class:`~txthoonk.errors.InvalidInput` for a bad name, and with
        :class:`~txthoonk.errors.ConnectionLost`.
    """
    return Deferred.fromCoroutine(_check(publisher, check_name(name), settled))


async def _check(publisher: Publishing, name: str, settled: bool) -> list[str]:
    state = await read_state(publisher.redis, name)
    return [wrong for _, wrong in findings(state, settled)]
