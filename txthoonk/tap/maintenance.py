"""``twist thoonk-maintenance``: its options and its service."""

from __future__ import annotations

from twisted.application.service import MultiService
from twisted.logger import Logger

from txthoonk.tap._options import ServiceOptions, Setting, feed_name, seconds
from txthoonk.wire._checks import check_interval
from txthoonk.worker._maintenance import Maintenance

__all__ = ["Options", "makeService"]

_log = Logger()


def _interval(text: str) -> float:
    return check_interval(seconds(text), "the time")


class Options(ServiceOptions):
    """The options of ``twist thoonk-maintenance``."""

    synopsis = "[--redis URL] [--feed NAME ...] [options]"
    settings = (
        Setting(
            "feed",
            "A queue or job feed to maintain; repeat it for several. Without it, all feeds are "
            "maintained, also those created later.",
            feed_name,
            many=True,
        ),
        Setting(
            "interval",
            "Seconds between two passes, varied at random by up to a quarter.",
            _interval,
            "30",
        ),
    )


def makeService(options: Options) -> MultiService:
    """Make the service from parsed options."""
    feeds, interval = options["feed"] or None, options["interval"]
    _log.info(
        "maintains {feeds} at {url} every {interval:g} seconds",
        feeds=", ".join(map(repr, feeds)) if feeds else "all feeds",
        url=options.thoonk.url,
        interval=interval,
    )
    return options.together(Maintenance(options.thoonk, feeds, interval))
