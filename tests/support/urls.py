"""Helpers for the tests of URLs."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txthoonk.connections.addresses._url import parse_url
from txthoonk.errors import InvalidInput

SECRET = "s3cr3t"


class RefusingTestCase(SynchronousTestCase):
    def refuse(self, url: Any, **keywords: Any) -> str:
        """Return the text of the error for a URL, which never shows SECRET."""
        try:
            target = parse_url(url, **keywords)
        except InvalidInput as error:
            self.assertIsNone(error.__cause__)  # a traceback would show the secret
            self.assertNotIn(SECRET, str(error), url)
            return str(error)
        raise self.failureException(f"{url} was accepted as {target}")
