"""Patterns match the same names as in Redis, whose ``KEYS`` command is the reference."""

from __future__ import annotations

from tests.support import RedisTestCase
from txthoonk.wire._glob import glob_matcher

NAMES = [
    "a", "b", "z", "ab", "abc", "a.c", "a*c", "a?c", "a[c", "a]c", "a\\c", "a-c", "a^c", "[a]",
    "[", "]", "*", "?", "-", "^", "\\", "aaa\n", "\n", "ä", "team:353:tasks",
    "team:353:member:9:tasks", "ö", "é",
]  # fmt: skip
PATTERNS = [
    "*", "?", "??", "a*", "*c", "a*c", "a?c", "a\\*c", "a\\?c", "a\\[c", "\\[a\\]", "[ab]", "[^a]",
    "[a-b]", "[b-a]", "[a-]", "[-a]", "[a\\-z]", "[\\]]", "[\\^]", "a[*?]c", "a[^*]c", "[[]a]",
    "a.c", "ä", "\xc3?", "[ä]?", "[é-ö]", "[a\\-z]", "[a-\\]c]", "[^a-", "[a\\",
    "a[", "a\\\\c", "\\a", "**", "*a*", "team:353:member:*:tasks", "(a|b)",
    "a+", "$", "", "aaa?",
]  # fmt: skip


class GlobTests(RedisTestCase):
    async def test_as_redis(self) -> None:
        """Every pattern matches exactly the names that ``KEYS`` returns."""
        redis = await self.redis()
        await redis.mset({name: "x" for name in NAMES})
        for pattern in PATTERNS:
            expected = await redis.keys(pattern)
            matches = glob_matcher(pattern)
            self.assertEqual(sorted(filter(matches, NAMES)), expected, pattern)
