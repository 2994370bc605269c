"""The certificate authorities of a rediss: URL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock

from tests.support.tls import Authority
from tests.support.urls import SECRET, RefusingTestCase
from txthoonk.connections.addresses._tls import Secured
from txthoonk.connections.addresses._url import parse_url
from txthoonk.errors import InvalidType


class TrustTests(RefusingTestCase):
    """The authorities are read and checked when the URL is parsed."""

    def file(self, content: bytes) -> str:
        path = self.mktemp()
        Path(path).write_bytes(content)
        return path

    def test_read(self) -> None:
        """All certificates of the file are read, and the file is not needed any more."""
        one, other = Authority("one").pem, Authority("other").pem
        path = self.file(b"one\n" + one + b"\nother\n" + other.replace(b"\n", b"\r\n"))
        target = parse_url("rediss://h", ca_file=path)
        self.assertEqual(len(target.authorities), 2)
        self.assertEqual(target, parse_url("rediss://h", ca_file=path))
        os.unlink(path)
        self.assertIsInstance(target.endpoint(MemoryReactorClock()), Secured)

    def test_path(self) -> None:
        """The file may be any kind of path."""
        path = Path(self.file(Authority("one").pem))
        self.assertEqual(parse_url("rediss://h", ca_file=path).ca_file, str(path))
        for wrong in (b"path", 5, True):
            self.assertRaises(InvalidType, parse_url, "rediss://h", ca_file=wrong)

    def test_refused(self) -> None:
        """The error names the file and what is wrong with it."""
        folder = self.mktemp()
        os.mkdir(folder)
        good = Authority("one").pem
        for path, part in (
            ("/does/not/exist.pem", "No such file"),
            ("", "No such file"),
            (folder, "directory"),
            ("a\0b", "cannot be read"),
            (self.file(b""), "no certificate"),
            (self.file(b"hello"), "no certificate"),
            (self.file(good.replace(b"CERTIFICATE", b"PUBLIC KEY")), "no certificate"),
            (self.file(good[: len(good) // 2]), "no certificate"),
            (self.file(good + good.replace(b"MI", b"AA", 1)), "certificate 2 of 2"),
        ):
            text = self.refuse("rediss://h", ca_file=path)
            self.assertIn(repr(path), text)
            self.assertIn(part, text)

    def test_without_tls(self) -> None:
        """ca_file is refused with URLs that do not use rediss://."""
        path = self.file(Authority("one").pem)
        for url in ("redis://h", "unix:///s", "embedded:", "tcp:h:1", "tls:h:1"):
            text = self.refuse(url, ca_file=path)
            self.assertIn("rediss://", text)
            self.assertIn(url, text)

    def test_host(self) -> None:
        """A host that no certificate can name is refused."""
        for host in ("a..b", "x" * 64):
            self.assertIn(host, self.refuse(f"rediss://{host}"))

    def test_without_the_extra(self) -> None:
        """Without the dependencies of TLS, the error says how to install them."""
        program = """
import sys
sys.modules["OpenSSL"] = None
from txthoonk.connections.addresses._url import parse_url
for url in ("redis://h", "unix:///s", "embedded:", "tcp:h:1", "unix:/s"):
    parse_url(url)
for url in ("rediss://me:s3cr3t@h", "tls:h:1", "ssl:h:1"):
    try:
        parse_url(url)
    except ValueError as error:
        print(type(error).__name__, error)
"""
        lines = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.splitlines()
        self.assertEqual(len(lines), 3, lines)
        for line in lines:
            self.assertIn("InvalidInput", line)
            self.assertIn("pip install 'txthoonk[tls]'", line)
            self.assertIn("OpenSSL", line)
            self.assertNotIn(SECRET, line)
