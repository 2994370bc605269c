"""Helpers for the tests of ACL rules: the rules of docs/security.rst, and the sent commands."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed_reactor

from tests.support import RedisTestCase, server_url
from txthoonk import Thoonk
from txthoonk.errors import ResponseError
from txthoonk.protocol._client import RedisProtocol

PAGE = Path(__file__).parents[2] / "docs" / "security.rst"
ROLES = ("publisher", "subscriber", "worker", "maintainer", "observer")
reactor: Any = installed_reactor

RULE = re.compile(r"^ +ACL SETUSER news-(\w+) (.*)$", re.MULTILINE)

# Granted commands that verbs need only in rare cases.
RARE = {
    "eval": "sent again, if the scripts were flushed in between",
    "select": "the database of the URL, if that is not 0",
    "brpop": "waiting while memory is full",
    "ping": "whether a connection is alive",
}

# Commands in the scripts of a role that it does not reach.
UNREACHED = {
    # The role records no events, and sets the time of a state only without a history.
    "subscriber": {"xadd", "hdel", "publish"},
}


def rules() -> dict[str, list[str]]:
    """Read each role's rules from the page."""
    found: dict[str, list[str]] = {role: [] for role in ROLES}
    for role, words in RULE.findall(PAGE.read_text("utf-8")):
        found[role] += words.split()
    return found


class Used:
    """The commands, keys and channels that a user's connections have sent."""

    def __init__(self, test: RedisTestCase) -> None:
        self.commands: set[str] = set()
        self.keys: set[str] = set()
        self.channels: set[str] = set()
        self.sources: dict[str, str] = {}
        request, call = RedisProtocol.request, RedisProtocol.call

        def requested(redis: Any, command: Any, encoding: Any = None) -> Any:
            if (redis.username or "").startswith("news-") and redis._lost is None:
                self.take([word_of(word) for word in command])
            return request(redis, command, encoding)

        def called(redis: Any, script: Any, command: Any, encoding: Any) -> Any:
            if (redis.username or "").startswith("news-"):
                self.sources[script.name] = script.source
                self.take([word_of(word) for word in command])
            return call(redis, script, command, encoding)

        test.patch(RedisProtocol, "request", requested)
        test.patch(RedisProtocol, "call", called)

    def take(self, words: list[str]) -> None:
        name = words[0].lower()
        if name == "evalsha":
            last = 3 + int(words[2])
            self.keys.update(words[3:last])
            self.channels.update(words[last:])
        elif "subscribe" in name:
            self.channels.update(words[1:])
        elif name in ("script", "client"):
            name += f"|{words[1].lower()}"
        else:
            self.keys.update(words[1:])
        if name != "auth":  # every user may send AUTH
            self.commands.add(name)

    async def needed(self, raw: Any) -> set[str]:
        """Return all commands that these connections sent, including those within scripts."""
        known = {row[0].decode().upper() for row in await raw.send("COMMAND")}
        inside = {
            word.lower()
            for source in self.sources.values()
            for word in re.findall(r"'([A-Z]+)'", re.sub(r"--.*", "", source))
            if word in known
        }
        return self.commands | inside

    def has(self, rule: str) -> bool:
        """Return whether a key or channel that the rule allows was used."""
        used = self.keys if rule[0] == "~" else self.channels
        return any(fnmatch.fnmatchcase(word, rule[1:]) for word in used)


def word_of(word: object) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


class AclTestCase(RedisTestCase):
    """The users of the page, for feeds whose names start with ``news:``."""

    async def setUp(self) -> None:
        await super().setUp()
        for role, words in rules().items():
            self.addCleanup(self.raw.send, "ACL", "DELUSER", f"news-{role}")
            words = [w if w[0] != ">" else ">secret" for w in words]
            await self.raw.send("ACL", "SETUSER", f"news-{role}", *words)
        self.used = Used(self)
        self.admin = await self.thoonk(None)

    async def thoonk(self, role: str | None, **options: Any) -> Thoonk:
        """Connect as a user; None: as the user with all rights."""
        if role is not None:
            options.update(username=f"news-{role}", password="secret")
        thoonk = Thoonk(await server_url(), reactor, **options)
        self.addCleanup(thoonk.close)
        return await thoonk.connect()

    async def refused(self, doing: Awaitable[Any]) -> None:
        """Check that Redis refuses a call for lack of permission."""
        try:
            result = await doing
        except ResponseError as error:
            # Redis 6 gives the code of a command in a script only within the text.
            self.assertRegex(
                f"{error.code} {error}", "NOPERM|permission|executing the script can't"
            )
        else:
            self.fail(f"not refused: {result!r}")
