"""Helpers for your test suite: a private redis-server, and a check of feeds.

One server can serve a whole run of trial, and ends with it::

    from twisted.internet.defer import inlineCallbacks
    from twisted.trial.unittest import TestCase

    from txthoonk import ThoonkPubFactory
    from txthoonk.testing import RedisServer, check_feed

    redis = RedisServer()


    class NewsTests(TestCase):
        @inlineCallbacks
        def setUp(self):
            yield redis.start()  # fires at once if it is already up
            self.pub = yield redis.endpoint().connect(ThoonkPubFactory())
            self.addCleanup(self.pub.close)
            yield self.pub.redis.flushdb()

        @inlineCallbacks
        def test_publish(self):
            news = yield self.pub.feed("news")
            id_ = yield news.publish("hello")
            self.assertEqual((yield news.get_item(id_)), "hello")
            self.assertEqual((yield check_feed(self.pub, "news")), [])

This needs a redis-server: install your system's package, or ``txthoonk[embedded]``.
"""

from txthoonk.testing._facade import RedisServer, ServerError, check_feed

__all__ = ["RedisServer", "ServerError", "check_feed"]
