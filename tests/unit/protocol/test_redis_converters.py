"""Replies of command methods: which are converted to txredis' shapes, and which are not."""

from __future__ import annotations

import math
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.wire import OK, outcome, plug, redis, resp
from txthoonk.protocol import Redis


class ConverterTests(SynchronousTestCase):
    """Replies that a converter must leave unchanged, or convert with care."""

    def reply(self, call: Any, wire: bytes, **arguments: Any) -> Any:
        client, _ = plug(Redis(**arguments))
        deferred = call(client)
        client.dataReceived(wire)
        return self.successResultOf(deferred)

    def test_a_value_that_reads_queued(self) -> None:
        """Outside MULTI, the value 'QUEUED' of a field is an ordinary value."""
        for arguments in ({}, {"charset": None}):
            value = "QUEUED" if not arguments else b"QUEUED"
            got = self.reply(lambda r: r.hget("h", "state"), resp("QUEUED"), **arguments)
            self.assertEqual(got, {"state": value})

    def test_queued(self) -> None:
        """Inside MULTI, every converter passes the server's QUEUED through."""
        client, _ = redis()
        client.multi()
        queued = [
            outcome(deferred)
            for deferred in (
                client.hget("h", "f"),
                client.hget("h", ["f"]),
                client.hgetall("h"),
                client.smembers("s"),
                client.keys("*"),
                client.zrange("z", 0, -1, withscores=True),
                client.zscore("z", "m"),
                client.get_type("k"),
                client.info(),
                client.get_config("x"),
            )
        ]
        client.dataReceived(OK + b"+QUEUED\r\n" * len(queued))
        self.assertEqual(queued, [["QUEUED"]] * len(queued))

    def test_queued_by_send(self) -> None:
        """QUEUED also passes through when MULTI was sent with send()."""
        client, _ = redis()
        client.send("multi")
        queued = [outcome(call) for call in (client.hgetall("h"), client.smembers("s"))]
        client.dataReceived(OK + b"+QUEUED\r\n" * 2)
        self.assertEqual(queued, [["QUEUED"]] * 2)

    def test_empty_value_of_a_field(self) -> None:
        """An empty value is converted as a value, and None is not."""
        self.assertEqual(self.reply(lambda r: r.hget("h", "f"), resp("")), {"f": ""})
        self.assertIsNone(self.reply(lambda r: r.hget("h", "f"), resp(None)))
        self.assertEqual(self.reply(lambda r: r.hget("h", ["f"]), resp([None])), {"f": None})

    def test_info(self) -> None:
        """info() returns a dict: whole numbers are int, and all other values are text."""
        wire = resp(
            "# Server\r\nredis_version:7.0.15\r\nuptime:12\r\n\r\n# Other\r\n"
            "config_file:/a:b.conf\r\nempty:\r\nnegative:-1\r\ndb0:keys=1,expires=0\r\n"
        )
        expected = {
            "redis_version": "7.0.15",
            "uptime": 12,
            "config_file": "/a:b.conf",
            "empty": "",
            "negative": "-1",
            "db0": "keys=1,expires=0",
        }
        self.assertEqual(self.reply(lambda r: r.info(), wire), expected)
        self.assertEqual(self.reply(lambda r: r.info(), wire, charset=None), expected)

    def test_info_with_digits_that_are_no_number(self) -> None:
        """A digit that is not a decimal number, such as a superscript two, stays text."""
        self.assertEqual(self.reply(lambda r: r.info(), resp("name:²\r\n")), {"name": "²"})

    def test_scores(self) -> None:
        """Scores are floats, including infinite ones."""
        got = self.reply(
            lambda r: r.zrange("z", 0, -1, withscores=True), resp(["a", "-inf", "b", "1e+20"])
        )
        self.assertEqual(got, [("a", -math.inf), ("b", 1e20)])
        got = self.reply(lambda r: r.zscore("z", "a"), resp("inf"), charset=None)
        self.assertEqual(got, math.inf)

    def test_error_reply_is_not_converted(self) -> None:
        """An error reply fails the call, and is not converted."""
        client, _ = redis()
        deferred = client.hgetall("h")
        client.dataReceived(b"-WRONGTYPE no hash\r\n")
        self.assertEqual(self.failureResultOf(deferred).value.code, "WRONGTYPE")
