"""URLs of every kind, and the errors of invalid ones."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.urls import SECRET, RefusingTestCase
from tests.support.wire import redis, sent
from txthoonk.connections.addresses._tls import Secured
from txthoonk.connections.addresses._url import Target, parse_url
from txthoonk.errors import InvalidInput, InvalidType


class FormsTests(SynchronousTestCase):
    """A target has what its URL names."""

    FORMS: list[tuple[str, dict[str, Any]]] = [
        ("redis://", {"host": "localhost"}),
        ("redis://localhost", {"host": "localhost"}),
        ("redis://localhost/", {"host": "localhost"}),
        ("redis://example.org:6380", {"host": "example.org", "port": 6380}),
        ("redis://10.0.0.1:6380/2", {"host": "10.0.0.1", "port": 6380, "db": 2}),
        ("redis://[::1]", {"host": "::1"}),
        ("redis://[::1]:6380/15", {"host": "::1", "port": 6380, "db": 15}),
        ("redis://:pw@h", {"host": "h", "password": "pw"}),
        ("redis://me:pw@h:1/3", {"port": 1, "db": 3, "username": "me", "password": "pw"}),
        ("redis://:p%40%2F%3A%25@h", {"host": "h", "password": "p@/:%"}),
        ("redis://:p:w@h", {"host": "h", "password": "p:w"}),
        ("redis://m%40e:p%C3%A4@h", {"host": "h", "username": "m@e", "password": "pä"}),
        ("rediss://", {"host": "localhost", "tls": True}),
        ("rediss://h:1", {"host": "h", "port": 1, "tls": True}),
        ("rediss://[::1]/2", {"host": "::1", "db": 2, "tls": True}),
        ("rediss://10.0.0.1", {"host": "10.0.0.1", "tls": True}),
        ("rediss://me:p%40@h/3", {"db": 3, "username": "me", "password": "p@", "tls": True}),
        ("unix:///run/redis.sock", {"path": "/run/redis.sock"}),
        ("unix:///run/redis.sock?db=4", {"path": "/run/redis.sock", "db": 4}),
        ("unix:///run/my%20redis.sock", {"path": "/run/my redis.sock"}),
        ("unix://me:pw@/run/r?db=1", {"path": "/run/r", "db": 1, "password": "pw"}),
        ("embedded:", {"embedded": True, "path": ""}),
        ("embedded:/var/data", {"embedded": True, "path": "/var/data"}),
        ("embedded:///var/data", {"embedded": True, "path": "/var/data"}),
        ("embedded:folder", {"embedded": True, "path": "folder"}),
        ("embedded:./me@here", {"embedded": True, "path": "./me@here"}),
        ("embedded:~/data", {"embedded": True, "path": os.path.expanduser("~/data")}),
    ]

    def test_forms(self) -> None:
        """Each kind of URL is parsed; parts that it does not name have their defaults."""
        for url, expected in self.FORMS:
            target = parse_url(url)
            found = {name: getattr(target, name) for name in expected}
            self.assertEqual(found, expected, url)
            for name, default in (("db", 0), ("port", 6379), ("password", None)):
                if name not in expected:
                    self.assertEqual(getattr(target, name), default, url)
            self.assertEqual(target.embedded, "embedded" in expected, url)
            self.assertEqual(target.tls, "tls" in expected, url)
            self.assertEqual(target.endpoint_string, "", url)

    def test_socket_with_an_at_in_its_path(self) -> None:
        """A URL with the path right after the scheme has no user."""
        target = parse_url("unix:///run/redis@1.sock?db=2")
        self.assertEqual((target.path, target.db, target.username), ("/run/redis@1.sock", 2, None))

    def test_credentials(self) -> None:
        """A target's credentials are arguments of Redis."""
        self.assertEqual(
            parse_url("redis://me:pw@h/3").credentials,
            {"db": 3, "username": "me", "password": "pw"},
        )
        self.assertEqual(
            parse_url("redis://:pw@h").credentials, {"db": 0, "username": None, "password": "pw"}
        )
        self.assertEqual(
            parse_url("unix:///s").credentials, {"db": 0, "username": None, "password": None}
        )

    def test_endpoints(self) -> None:
        """Hosts, sockets and TLS have different endpoints."""
        reactor = MemoryReactorClock()
        host = parse_url("redis://h:6380").endpoint(reactor)
        self.assertIsInstance(host, HostnameEndpoint)
        self.assertIn("h:6380", repr(host))
        self.assertIsInstance(parse_url("unix:///s").endpoint(reactor), UNIXClientEndpoint)
        for url in ("rediss://h:6380", "rediss://h_h", "rediss://10.0.0.1", "rediss://[::1]:6380"):
            self.assertIsInstance(parse_url(url).endpoint(reactor), Secured)

    def test_password_is_not_shown(self) -> None:
        """Neither the text of a target nor its repr contains the password."""
        for url in (
            f"redis://:{SECRET}@h:1/2",
            f"redis://me:{SECRET}@h",
            f"rediss://me:{SECRET}@h",
            f"unix://:{SECRET}@/s",
        ):
            target = parse_url(url)
            self.assertEqual(target.password, SECRET)
            self.assertNotIn(SECRET, repr(target))
            self.assertNotIn(SECRET, target.text)
            self.assertIn("***", target.text)

    def test_text(self) -> None:
        """A URL without credentials is shown unchanged."""
        for url in ("redis://h:1/2", "rediss://h", "unix:///s?db=1", "embedded:/folder"):
            self.assertEqual(parse_url(url).text, url)
        self.assertEqual(parse_url("redis://me:pw@h:1/2").text, "redis://***@h:1/2")
        self.assertEqual(parse_url("rediss://me@h").text, "rediss://***@h")
        self.assertIsInstance(parse_url("redis://h"), Target)


class KeywordTests(RefusingTestCase):
    """Keywords complete a URL."""

    def test_completed(self) -> None:
        """Keywords give what the URL leaves open."""
        given: dict[str, Any] = {"db": 3, "username": "me", "password": "pw"}
        for url in ("redis://h", "redis://h/", "rediss://h", "unix:///s", "tcp:h:1"):
            self.assertEqual(parse_url(url, **given).credentials, given, url)
        target = parse_url("redis://:pw@h", username="me")
        self.assertEqual((target.username, target.password), ("me", "pw"))
        self.assertEqual(parse_url("redis://me@h", password="pw").credentials["password"], "pw")
        self.assertEqual(parse_url("embedded:", db=2).db, 2)

    def test_the_same(self) -> None:
        """A keyword may repeat what the URL says."""
        given: dict[str, Any] = {"db": 0, "username": "me", "password": "p@"}
        self.assertEqual(parse_url("redis://me:p%40@h/0", **given).credentials, given)

    def test_nothing(self) -> None:
        """An empty user or password counts as none, as in a URL."""
        for url in ("redis://h", "redis://me:pw@h", "embedded:"):
            self.assertEqual(parse_url(url, username="", password=""), parse_url(url))
            self.assertEqual(parse_url(url, db=None, username=None), parse_url(url))

    def test_contradiction(self) -> None:
        """A contradiction is refused with an error that names the keyword, and no secret."""
        url = f"redis://me:{SECRET}@h/1"
        for name, value in (("db", 2), ("db", 0), ("username", "you"), ("password", "0th3r")):
            text = self.refuse(url, **{name: value})
            self.assertIn(f"{name}=", text)
            self.assertIn("redis://***@h/1", text)
            for secret in (SECRET, "0th3r"):
                self.assertNotIn(secret, text)
        self.refuse("redis://h/0", db=1)
        self.refuse("unix:///s?db=0", db=1)

    def test_database(self) -> None:
        """The database is a number from 0."""
        for db in ("1", 1.0, True, b"1"):
            self.assertRaises(InvalidType, parse_url, "redis://h", db=db)
        self.assertIn("-1", self.refuse("redis://h", db=-1))

    def test_text(self) -> None:
        """User and password are text that can be sent, and the error does not show them."""
        for name in ("username", "password"):
            for value in (SECRET.encode(), 5, [SECRET]):
                error = self.assertRaises(InvalidType, parse_url, "redis://h", **{name: value})
                self.assertIn(name, str(error))
                self.assertNotIn(SECRET, str(error))
            text = self.refuse("redis://h", **{name: f"{SECRET}\udc80"})
            self.assertIn(name, text)

    def test_user_of_a_private_server(self) -> None:
        """The URL of an embedded server accepts no user or password."""
        for keyword in ("username", "password"):
            self.refuse("embedded:", **{keyword: SECRET})

    def test_private_server_and_more(self) -> None:
        """An embedded: URL has a folder and nothing else; the error does not show the rest."""
        for rest in (
            f"?password={SECRET}",
            f"/data?password={SECRET}",
            f"{SECRET}@data",
            f"me:{SECRET}@/data",
            f"//:{SECRET}@/data",
            f"//me:{SECRET}/{SECRET}@/data",
            "/data?db=1",
        ):
            for keywords in ({}, {"password": "other"}):
                text = self.refuse(f"embedded:{rest}", **keywords)
                self.assertIn("embedded:", text)

    def test_url(self) -> None:
        """The URL must be text."""
        for url in (None, b"redis://h", 1):
            self.assertRaises(InvalidType, parse_url, url)


class RefusedTests(RefusingTestCase):
    """A URL that is not clear is refused."""

    def test_unknown(self) -> None:
        """For an unknown scheme, the error lists the known ones."""
        for url in (
            "",
            "localhost",
            "localhost:6379",
            "/tmp/redis.sock",
            "http://h/1",
            "embedded",
        ):
            text = self.refuse(url)
            self.assertIn(repr(url), text)
            for known in ("redis://", "rediss://", "unix://", "embedded:", "tcp:"):
                self.assertIn(known, text)

    def test_bad_parts(self) -> None:
        """The error shows the part that is wrong."""
        for url, part in (
            ("redis://h:x", "x"),
            ("redis://h:99999", "0-65535"),
            ("redis://h/one", "'one'"),
            ("redis://h/-1", "'-1'"),
            ("redis://h/1.5", "'1.5'"),
            ("redis://h/1/2", "'1/2'"),
            ("redis://h/²", "'²'"),
            ("unix:///s?db=x", "'x'"),
        ):
            text = self.refuse(url)
            self.assertIn(url, text)
            self.assertIn(part, text)

    def test_broken_address(self) -> None:
        """A URL that cannot be parsed at all is refused in the same way."""
        self.assertIn("redis://[::1", self.refuse("redis://[::1"))

    def test_unix_without_a_path(self) -> None:
        """A unix: URL without a path is refused; there is no default socket."""
        for url in ("unix:", "unix://", "unix://?db=1"):
            self.refuse(url)

    def test_unix_with_a_host(self) -> None:
        """A unix: URL with too few slashes is refused; part of its path would be a host."""
        for url in ("unix://run/redis.sock", "unix://redis.sock"):
            self.refuse(url)

    def test_what_is_not_understood(self) -> None:
        """A database in an unsupported place is refused, not ignored."""
        for url in (
            "redis://h?db=3",
            "redis://h/1?db=3",
            "redis://h/#3",
            "unix:///s?database=3",
        ):
            self.refuse(url)

    def test_user_without_a_password(self) -> None:
        """A user named in the URL never silently becomes the default user."""
        for url in ("redis://me@h", "redis://me:@h", "unix://me@/s"):
            try:
                target = parse_url(url)
            except InvalidInput:
                continue
            _, transport = redis(**target.credentials)
            self.assertEqual(transport.value(), sent("AUTH", "me", ""), url)

    def test_password_is_not_shown(self) -> None:
        """An error shows the URL without the password in it."""
        for url in (
            f"http://me:{SECRET}@h/1",
            f"redis://me:{SECRET}@h:x",
            f"redis://:{SECRET}@h/one",
            f"redis://:{SECRET}@h:99999",
            f"rediss://me:{SECRET}@h/one",
            f"redis:///me:{SECRET}@h/1",
            f"rediss://me:{SECRET}@a..b",
            f"unix://:{SECRET}@/s?db=x",
        ):
            text = self.refuse(url)
            self.assertIn("***@", text)

    def test_password_in_the_query(self) -> None:
        """A password where only other clients accept one is refused, and not shown."""
        for url in (
            f"redis://h?password={SECRET}",
            f"redis://h/0?db=1&Password={SECRET}&x=1",
            f"redis://h:password={SECRET}",
            f"redis://h/password={SECRET}",
            f"unix:///s?passwd={SECRET}",
            f"http://h?token={SECRET}",
        ):
            self.refuse(url)

    def test_password_with_characters_that_must_be_quoted(self) -> None:
        """A password that breaks the URL is not shown either."""
        for character in "/#?@\u2100":
            for end in ("h", "h:x", "h/1"):
                self.refuse(f"redis://me:{SECRET}{character}{SECRET}@{end}")
