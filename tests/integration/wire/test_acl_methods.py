"""Each role of the ACL rules in docs/security.rst can call the methods that the page gives it.

The methods are the rows of :mod:`tests.faults.verbs`. The rules are those of the page, with
``news:*`` replaced by the name of the rows' feed.
"""

from __future__ import annotations

import re

from tests.faults.row import Verb
from tests.faults.states import FEED
from tests.faults.verbs import VERBS
from tests.support import RedisTestCase
from tests.support.acl import ROLES, rules
from txthoonk.errors import ThoonkError

# Patterns of the names of the rows that each role can call. An observer only reads names.
READS = r"Feed\.(get|has|length|revision)|SortedFeed\.(get|has|length|revision)"
GIVEN = {
    "publisher": (
        r"(feed|sorted_feed|queue|pyqueue|job|create_feed|delete_feed|set_config|get_config"
        r"|feed_exists|get_feed_names)( \(|$)"
        r"|(Feed|SortedFeed)\.|(Queue|PythonQueue)\.(put|pause|resume|is_paused|length|get_ids)"
        r"|Job\.(put|edit|retract|retry|drain|wait|get_result|get_item|get_ids|has_id|stats"
        r"|get_failure|get_progress|get_failure_count)"
    ),
    "subscriber": rf"(get_config|feed_exists|get_feed_names)( \(|$)|{READS}",
    "worker": (
        r"(Queue|PythonQueue)\.(get \(|maintenance)|Claim\.progress"
        r"|Job\.(get \(|finish|cancel|stall|fail|release|renew|maintenance|get_failure \()"
    ),
    "maintainer": r"(Queue|Job)\.maintenance|Maintenance",
    "observer": r"get_feed_names",
}


class MethodTests(RedisTestCase):
    timeout = 600

    async def check(self, role: str) -> None:
        """Check that the role can call each of its rows."""
        words = [word.replace("news:*", f"{FEED}*") for word in rules()[role]]
        words = [word if word[0] != ">" else ">secret" for word in words]
        self.addCleanup(self.raw.send, "ACL", "DELUSER", "narrow")
        await self.raw.send("ACL", "SETUSER", "narrow", *words)
        writer = await self.pub()
        complaints = []
        for verb in VERBS:
            if "pub" not in verb.on or not re.match(GIVEN[role], verb.name):
                continue
            error = await self.outcome(verb, writer)
            if error:
                complaints.append(f"{verb.name}: {error}")
        self.assertEqual(complaints, [], "\n" + "\n".join(complaints))

    async def outcome(self, verb: Verb, writer: object) -> str:
        await self.raw.flushdb()
        known = await verb.prepare(writer)
        user = await self.pub(username="narrow", password="secret")
        called = verb.call(user, known)
        if verb.trigger is not None:
            await user.redis.ping()
            await verb.trigger(writer, known)
        try:
            await called
        except ThoonkError as error:
            return f"{type(error).__name__}: {error}"
        finally:
            await user.close()
        return ""

    async def test_publisher(self) -> None:
        """A publisher can call all methods that open, change or read feeds, or await results."""
        await self.check("publisher")

    async def test_subscriber(self) -> None:
        """A subscriber can call all methods that read feeds."""
        await self.check("subscriber")

    async def test_worker(self) -> None:
        """A worker can call all methods that take, end and give back jobs."""
        await self.check("worker")

    async def test_maintainer(self) -> None:
        """A maintainer can call all methods of maintenance."""
        await self.check("maintainer")

    async def test_observer(self) -> None:
        """An observer can read the names of feeds."""
        await self.check("observer")

    def test_roles(self) -> None:
        """Every role has a pattern of its rows."""
        self.assertEqual(set(GIVEN), set(ROLES))
