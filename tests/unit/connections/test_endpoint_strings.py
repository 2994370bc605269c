"""The strings of Twisted's client endpoints."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import endpoints
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock

from tests.support.urls import SECRET, RefusingTestCase
from txthoonk.connections.addresses import _endpoint_strings
from txthoonk.connections.addresses._url import parse_url
from txthoonk.errors import InvalidInput


class EndpointStringTests(RefusingTestCase):
    """A string that is not a URL describes an endpoint, made once there is a reactor."""

    def use_plugin(self, parse: Any) -> None:
        """Give Twisted a plugin for endpoints that start with ``own:``."""

        class Plugin:
            prefix = "OWN"
            parseStreamClient = staticmethod(parse)

        for module in (endpoints, _endpoint_strings):
            self.patch(module, "getPlugins", lambda interface: [Plugin])

    def test_forms(self) -> None:
        """The endpoints of Twisted itself are recognized."""
        reactor = MemoryReactorClock()
        for string, kind in (
            ("tcp:localhost:6379", TCP4ClientEndpoint),
            ("tcp:host=localhost:port=6379:timeout=5", TCP4ClientEndpoint),
            ("TCP:localhost:6379", TCP4ClientEndpoint),
            ("unix:/run/redis.sock", UNIXClientEndpoint),
            ("unix:path=/run/redis@1.sock", UNIXClientEndpoint),
            ("tls:localhost:6379", endpoints._WrapperEndpoint),
            ("ssl:localhost:6379", endpoints.SSL4ClientEndpoint),
        ):
            target = parse_url(string)
            self.assertIsInstance(target.endpoint(reactor), kind, string)
            self.assertFalse(target.embedded)
            self.assertEqual(
                target.credentials, {"db": 0, "username": None, "password": None}, string
            )

    def test_text(self) -> None:
        """An endpoint string without a password is shown unchanged."""
        for string in ("tcp:localhost:6379", "unix:/run/redis@1.sock"):
            self.assertEqual(parse_url(string).text, string)

    def test_keywords(self) -> None:
        """Database, user and password are separate keywords."""
        target = parse_url("tcp:h:1", db=3, username="me", password=SECRET)
        self.assertEqual(target.credentials, {"db": 3, "username": "me", "password": SECRET})
        self.assertNotIn(SECRET, repr(target))

    def test_made_with_the_reactor(self) -> None:
        """A plugin is called only once there is a reactor."""
        made: list[Any] = []
        self.use_plugin(lambda reactor, *words, **named: made.append((reactor, words, named)))
        target = parse_url("own:a:b=c")
        self.assertEqual(made, [])
        reactor = MemoryReactorClock()
        target.endpoint(reactor)
        self.assertEqual(made, [(reactor, ("a",), {"b": "c"})])

    def test_refused_by_a_plugin(self) -> None:
        """If a plugin raises any error, ours names the string, without a password."""

        def refuse(reactor: Any, *words: str, **named: str) -> None:
            raise RuntimeError(f"cannot take {words} {named}")

        self.use_plugin(refuse)
        for string, parts in (
            ("own:a:b", ["own:a:b", "cannot take"]),
            (f"own:a:passphrase={SECRET}:b=c", ["own:a:passphrase=***"]),
            (f"own:a:api_token={SECRET}", ["own:a:api_token=***"]),
            (f"own:me\\:{SECRET}@h", ["***@h"]),
        ):
            target = parse_url(string)
            error = self.assertRaises(InvalidInput, target.endpoint, MemoryReactorClock())
            for text in (str(error), target.text, repr(target)):
                self.assertNotIn(SECRET, text)
            for part in parts:
                self.assertIn(part, str(error))

    def test_malformed(self) -> None:
        """An error in the string of one of Twisted's own endpoints is found at once."""
        folder = os.path.abspath(self.mktemp())
        for string, part in (
            ("tcp:h", "port"),
            ("tcp:h:x", "'x'"),
            ("tcp:a:b:c", "host"),
            ("tcp:h:1:colour=red", "colour"),
            ("unix:/a:b", "path"),
            ("tls:h", "port"),
            ("tls:h_h:1", "h_h"),
            (f"tls:h:1:trustRoots={folder}", "UnlistableError"),
            ("tcp:h:1\\", "tcp"),
        ):
            text = self.refuse(string)
            self.assertIn(repr(string), text)
            self.assertIn(part, text)

    def test_names_nothing(self) -> None:
        """An endpoint string must name an address."""
        for string in ("tcp:", "unix:", "unix::", "tls"):
            self.assertIn(repr(string), self.refuse(string))

    def test_password(self) -> None:
        """A string with a password is refused, and the password is not shown."""
        for string in (
            f"tcp:h:1:password={SECRET}",
            f"tcp:h:1:passwd={SECRET}\\:{SECRET}:timeout=x",
            f"tcp:{SECRET}@h:1",
            f"tcp:me:{SECRET}@h:1",
            f"tcp:me\\:{SECRET}@h:1",
            f"tcp:1:host={SECRET}@h",
            f"tcp:host=me:{SECRET}@h:port=1",
            f"tls:me:{SECRET}@h:1",
            f"tls:{SECRET}@h:1",
            f"unix:me:{SECRET}@/s",
            f"redis:me:{SECRET}@h:1",
            f"rediss:/me:{SECRET}@h:1",
            f"me:{SECRET}@h:1",
        ):
            self.refuse(string)
        self.assertIn("password=", self.refuse(f"tcp:{SECRET}@h:1"))
