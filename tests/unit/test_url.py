"""URLs: every form that is known, and what is said of those that are not."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.wire import redis, sent
from txthoonk._url import Target, parse_url
from txthoonk.errors import InvalidInput

SECRET = "s3cr3t"


class FormsTests(SynchronousTestCase):
    """What a URL says is what the target has."""

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
        ("unix:///run/redis.sock", {"path": "/run/redis.sock"}),
        ("unix:///run/redis.sock?db=4", {"path": "/run/redis.sock", "db": 4}),
        ("unix:///run/my%20redis.sock", {"path": "/run/my redis.sock"}),
        ("unix://me:pw@/run/r?db=1", {"path": "/run/r", "db": 1, "password": "pw"}),
        ("embedded:", {"embedded": True, "path": ""}),
        ("embedded:/var/data", {"embedded": True, "path": "/var/data"}),
        ("embedded:///var/data", {"embedded": True, "path": "/var/data"}),
        ("embedded:folder", {"embedded": True, "path": "folder"}),
    ]

    def test_forms(self) -> None:
        """Each known form is taken apart; what it does not name has its default."""
        for url, expected in self.FORMS:
            target = parse_url(url)
            found = {name: getattr(target, name) for name in expected}
            self.assertEqual(found, expected, url)
            for name, default in (("db", 0), ("port", 6379), ("password", None)):
                if name not in expected:
                    self.assertEqual(getattr(target, name), default, url)
            self.assertEqual(target.embedded, "embedded" in expected, url)

    def test_socket_with_an_at_in_its_path(self) -> None:
        """Where the path follows the scheme there is no user in the URL."""
        target = parse_url("unix:///run/redis@1.sock?db=2")
        self.assertEqual((target.path, target.db, target.username), ("/run/redis@1.sock", 2, None))

    def test_credentials(self) -> None:
        """They are the arguments of a Redis."""
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
        """Hosts and sockets have their own endpoints."""
        reactor = MemoryReactorClock()
        host = parse_url("redis://h:6380").endpoint(reactor)
        self.assertIsInstance(host, HostnameEndpoint)
        self.assertIn("h:6380", repr(host))
        self.assertIsInstance(parse_url("unix:///s").endpoint(reactor), UNIXClientEndpoint)

    def test_password_is_not_shown(self) -> None:
        """Neither the text of a target nor its repr has the password."""
        for url in (f"redis://:{SECRET}@h:1/2", f"redis://me:{SECRET}@h", f"unix://:{SECRET}@/s"):
            target = parse_url(url)
            self.assertEqual(target.password, SECRET)
            self.assertNotIn(SECRET, repr(target))
            self.assertNotIn(SECRET, target.text)
            self.assertIn("***", target.text)

    def test_text(self) -> None:
        """A URL without credentials is shown as it is."""
        for url in ("redis://h:1/2", "unix:///s?db=1", "embedded:/folder"):
            self.assertEqual(parse_url(url).text, url)
        self.assertEqual(parse_url("redis://me:pw@h:1/2").text, "redis://***@h:1/2")
        self.assertIsInstance(parse_url("redis://h"), Target)


class RefusedTests(SynchronousTestCase):
    """A URL that does not say one thing clearly is refused."""

    def refuse(self, url: str) -> str:
        try:
            target = parse_url(url)
        except InvalidInput as error:
            return str(error)
        raise self.failureException(f"{url} was accepted as {target}")

    def test_unknown(self) -> None:
        """Other schemes are named, with those that are known."""
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
            for known in ("redis://", "unix://", "embedded:"):
                self.assertIn(known, text)

    def test_bad_parts(self) -> None:
        """The message has the part that is wrong."""
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
        """What cannot be taken apart at all is refused in the same way."""
        self.assertIn("redis://[::1", self.refuse("redis://[::1"))

    def test_unix_without_a_path(self) -> None:
        """A socket must be named: nothing else is connected to in its place."""
        for url in ("unix:", "unix://", "unix://?db=1"):
            self.refuse(url)

    def test_unix_with_a_host(self) -> None:
        """A path with too few slashes is not taken for another one."""
        for url in ("unix://run/redis.sock", "unix://redis.sock"):
            self.refuse(url)

    def test_what_is_not_understood(self) -> None:
        """A database in a place where it is not looked for is not ignored."""
        for url in (
            "redis://h?db=3",
            "redis://h/1?db=3",
            "redis://h/#3",
            "unix:///s?database=3",
        ):
            self.refuse(url)

    def test_user_without_a_password(self) -> None:
        """A user who is named is never silently the default user."""
        for url in ("redis://me@h", "redis://me:@h", "unix://me@/s"):
            try:
                target = parse_url(url)
            except InvalidInput:
                continue
            _, transport = redis(**target.credentials)
            self.assertEqual(transport.value(), sent("AUTH", "me", ""), url)

    def test_password_is_not_shown(self) -> None:
        """An error shows the URL, but never the password in it."""
        for url in (
            f"http://me:{SECRET}@h/1",
            f"redis://me:{SECRET}@h:x",
            f"redis://:{SECRET}@h/one",
            f"redis://:{SECRET}@h:99999",
            f"unix://:{SECRET}@/s?db=x",
        ):
            text = self.refuse(url)
            self.assertNotIn(SECRET, text)
            self.assertIn("***@", text)

    def test_password_with_characters_that_must_be_quoted(self) -> None:
        """Not even a password that breaks the URL is shown."""
        for character in "/#?@\u2100":
            for end in ("h", "h:x", "h/1"):
                text = self.refuse(f"redis://me:{SECRET}{character}{SECRET}@{end}")
                self.assertNotIn(SECRET, text)
