"""The keys and channels of a job feed, as attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from txthoonk.types._taken import TakenFeed
from txthoonk.wire._keys import feed_channel, feed_key, job_finish_channel

if TYPE_CHECKING:
    from txthoonk.types._interfaces import Publisher

__all__ = ["JobNames"]


class JobNames(TakenFeed):
    """The keys and channels of a job feed; :class:`txthoonk.types.Job` documents them."""

    _KINDS = ("put", "claim", "cancel", "stall", "retry", "finish", "finished", "edit", "progress")
    _KIND = "job"
    _RESTORE = "LPUSH"

    def __init__(self, pub: Publisher, name: str, serializer: str, *, follow: bool = True) -> None:
        super().__init__(pub, name, serializer, follow=follow)
        self.feed_published = feed_key("published", name)
        self.feed_cancelled = feed_key("cancelled", name)
        self.feed_finishes = feed_key("finishes", name)
        self.feed_results = feed_key("results", name)
        self.feed_listeners = feed_key("listeners", name)
        self.feed_failures = feed_key("failures", name)
        self.feed_progress = feed_key("progress", name)
        self.feed_delayed = feed_key("delayed", name)
        self.feed_later = feed_key("later", name)
        self.feed_failed = feed_key("failed", name)
        self.feed_workers = feed_key("workers", name)
        self.feed_overdue = feed_key("overdue", name)
        self.channel_put = feed_channel("publishes", name)
        self.channel_claim = feed_channel("claimed", name)
        self.channel_cancel = feed_channel("cancelled", name)
        self.channel_stall = feed_channel("stalled", name)
        self.channel_retry = feed_channel("retried", name)
        self.channel_finish = job_finish_channel(name)
        self.channel_finished = feed_channel("finishes", name)
        self.channel_edit = feed_channel("edit", name)
        self.channel_progress = feed_channel("progress", name)
        self.channel_delayed = feed_channel("delayed", name)
