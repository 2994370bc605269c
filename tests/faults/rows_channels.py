"""The rows of services, and of verbs that listen."""

from __future__ import annotations

from tests.faults import calls, states
from tests.faults.row import Verb, listen, write
from tests.faults.states import FEED

__all__ = ["CHANNELS", "SERVICES"]

# -- services -----------------------------------------------------------------------------

SERVICES = (
    Verb(
        "Worker (one job)",
        "write",
        (),
        calls.worked,
        states.one_job,
        on=("thoonk",),
        steps=True,
    ),
    write("Maintenance (one pass)", "", calls.maintained, states.old_claim, steps=True),
)

# -- channels -----------------------------------------------------------------------------

CHANNELS = (
    listen(
        "ThoonkSub.register_handler",
        "ThoonkSub.register_handler",
        calls.handled("faults"),
        states.nothing,
        states.say,
        "sub",
    ),
    listen(
        "ThoonkSub.subscribe",
        "ThoonkSub.subscribe Subscription.next",
        calls.first_events(2, lambda sub, _: sub.subscribe(FEED)),
        states.feed,
        states.publish,
        "sub",
    ),
    listen(
        "ThoonkSub.subscribe_pattern",
        "ThoonkSub.subscribe_pattern",
        calls.first_events(2, lambda sub, _: sub.subscribe_pattern("faul*")),
        states.feed,
        states.publish,
        "sub",
    ),
    listen(
        "Thoonk.register_handler",
        "Thoonk.register_handler",
        calls.handled("faults"),
        states.nothing,
        states.say,
        "thoonk",
    ),
    listen(
        "Thoonk.subscribe",
        "Thoonk.subscribe",
        calls.first_events(2, lambda thoonk, _: thoonk.subscribe(FEED)),
        states.feed,
        states.publish,
        "thoonk",
    ),
    listen(
        "Thoonk.subscribe (since)",
        "Thoonk.subscribe",
        calls.first_events(3, lambda thoonk, cursor: thoonk.subscribe(FEED, since=cursor)),
        states.cursor,
        states.publish,
        "thoonk",
    ),
    listen(
        "Thoonk.subscribe (snapshot)",
        "Thoonk.subscribe",
        calls.first_events(3, lambda thoonk, _: thoonk.subscribe(FEED, snapshot=True)),
        states.feed,
        states.publish,
        "thoonk",
    ),
    listen(
        "Thoonk.subscribe_pattern",
        "Thoonk.subscribe_pattern",
        calls.first_events(2, lambda thoonk, _: thoonk.subscribe_pattern("faul*")),
        states.feed,
        states.publish,
        "thoonk",
    ),
    listen(
        "Thoonk.mirror",
        "Thoonk.mirror Feed.mirror",
        calls.mirrored,
        states.feed,
        states.publish,
        "thoonk",
    ),
)
