"""The delays between attempts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txthoonk.connections._back_off import back_off


class BackOffTests(SynchronousTestCase):
    def test_grows(self) -> None:
        """The delay grows from 0.1 s to 30 s, and is at least half of its maximum."""
        longest = [max(back_off(attempt) for _ in range(300)) for attempt in (1, 2, 9, 10, 10**6)]
        for seconds, most in zip(longest, (0.1, 0.2, 25.6, 30, 30), strict=True):
            self.assertLessEqual(seconds, most)
            self.assertGreater(seconds, most * 0.9)

    def test_jitter(self) -> None:
        """Delays are random, so that the clients of one server do not reconnect together."""
        seconds = [back_off(9) for _ in range(1000)]
        self.assertGreaterEqual(min(seconds), 12.8)
        self.assertLess(min(seconds), 14)
        self.assertGreater(len(set(seconds)), 900)
