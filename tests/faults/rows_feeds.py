"""The rows of the registry, of feeds and of sorted feeds."""

from __future__ import annotations

from tests.faults import calls, states
from tests.faults.row import read, write
from tests.faults.states import FEED
from txthoonk.types import Feed, SortedFeed

__all__ = ["FEEDS", "REGISTRY", "SORTED"]

# -- the registry -----------------------------------------------------------------------

REGISTRY = (
    write("feed (creates it)", "ThoonkPub.feed", lambda pub, _: pub.feed(FEED, {"history": 9})),
    write(
        "feed (configures it)",
        "ThoonkPub.feed",
        lambda pub, _: pub.feed(FEED, {"max_length": 5}),
        states.feed,
    ),
    write("sorted_feed", "ThoonkPub.sorted_feed", lambda pub, _: pub.sorted_feed(FEED)),
    write("queue", "ThoonkPub.queue", lambda pub, _: pub.queue(FEED)),
    write("pyqueue", "ThoonkPub.pyqueue", lambda pub, _: pub.pyqueue(FEED)),
    write("job", "ThoonkPub.job", lambda pub, _: pub.job(FEED, {"timeout": 60})),
    write(
        "create_feed",
        "ThoonkPub.create_feed",
        lambda pub, _: pub.create_feed(FEED, {"type": "queue"}),
    ),
    write(
        "delete_feed", "ThoonkPub.delete_feed", lambda pub, _: pub.delete_feed(FEED), states.feed
    ),
    write(
        "delete_feed (with results)",
        "ThoonkPub.delete_feed",
        lambda pub, _: pub.delete_feed(FEED),
        states.kept_results,
        steps=True,
    ),
    write(
        "set_config",
        "ThoonkPub.set_config",
        lambda pub, _: pub.set_config(FEED, {"max_length": 7}),
        states.feed,
    ),
    read("get_config", "ThoonkPub.get_config", lambda pub, _: pub.get_config(FEED), states.feed),
    read(
        "feed_exists", "ThoonkPub.feed_exists", lambda pub, _: pub.feed_exists(FEED), states.feed
    ),
    read(
        "get_feed_names",
        "ThoonkPub.get_feed_names",
        lambda pub, _: pub.get_feed_names(),
        states.feed,
    ),
    write(
        "publish_channel",
        "ThoonkPub.publish_channel",
        lambda pub, _: pub.publish_channel("faults", "a", "b"),
    ),
    write("redis.set (any command)", "", lambda pub, _: pub.redis.set("x", "1")),
    write("redis.multi ... execute", "", calls.transaction),
)

# -- feeds ------------------------------------------------------------------------------

FEEDS = (
    write(
        "Feed.publish (a new item)",
        "Feed.publish",
        lambda pub, _: Feed(pub, FEED).publish("three"),
        states.feed,
    ),
    write(
        "Feed.publish (a known id)",
        "Feed.publish",
        lambda pub, _: Feed(pub, FEED).publish("other", "a"),
        states.feed,
    ),
    write(
        "Feed.publish (expect)",
        "Feed.publish",
        lambda pub, _: Feed(pub, FEED).publish("other", "a", expect=1),
        states.feed,
    ),
    write(
        "Feed.retract",
        "Feed.retract",
        lambda pub, _: Feed(pub, FEED).retract("a"),
        states.feed,
    ),
    write(
        "Feed.set_config",
        "Feed.set_config",
        lambda pub, _: Feed(pub, FEED).set_config({"max_length": 7}),
        states.feed,
    ),
    write(
        "Feed.delete_feed",
        "Feed.delete_feed",
        lambda pub, _: Feed(pub, FEED).delete_feed(),
        states.feed,
    ),
    read("Feed.get_ids", "Feed.get_ids", lambda pub, _: Feed(pub, FEED).get_ids(), states.feed),
    read(
        "Feed.get_item", "Feed.get_item", lambda pub, _: Feed(pub, FEED).get_item("a"), states.feed
    ),
    read(
        "Feed.get_item (with_revision)",
        "Feed.get_item",
        lambda pub, _: Feed(pub, FEED).get_item("a", with_revision=True),
        states.feed,
    ),
    read("Feed.get_all", "Feed.get_all", lambda pub, _: Feed(pub, FEED).get_all(), states.feed),
    read(
        "Feed.get_range",
        "Feed.get_range",
        lambda pub, _: Feed(pub, FEED).get_range(-1, -1),
        states.feed,
    ),
    read("Feed.has_id", "Feed.has_id", lambda pub, _: Feed(pub, FEED).has_id("a"), states.feed),
    read("Feed.length", "Feed.length", lambda pub, _: Feed(pub, FEED).length(), states.feed),
    read("Feed.revision", "Feed.revision", lambda pub, _: Feed(pub, FEED).revision(), states.feed),
    read(
        "Feed.get_history",
        "Feed.get_history",
        lambda pub, _: Feed(pub, FEED).get_history(),
        states.feed,
    ),
    read(
        "Feed.get_config",
        "Feed.get_config",
        lambda pub, _: Feed(pub, FEED).get_config(),
        states.feed,
    ),
)

# -- sorted feeds -----------------------------------------------------------------------

SORTED = (
    write(
        "SortedFeed.append",
        "SortedFeed.append",
        lambda pub, _: SortedFeed(pub, FEED).append("four"),
        states.sorted_feed,
    ),
    write(
        "SortedFeed.prepend",
        "SortedFeed.prepend",
        lambda pub, _: SortedFeed(pub, FEED).prepend("zero"),
        states.sorted_feed,
    ),
    write(
        "SortedFeed.publish_before",
        "SortedFeed.publish_before",
        lambda pub, _: SortedFeed(pub, FEED).publish_before("2", "between"),
        states.sorted_feed,
    ),
    write(
        "SortedFeed.publish_after",
        "SortedFeed.publish_after",
        lambda pub, _: SortedFeed(pub, FEED).publish_after("2", "between"),
        states.sorted_feed,
    ),
    write(
        "SortedFeed.edit",
        "SortedFeed.edit",
        lambda pub, _: SortedFeed(pub, FEED).edit("2", "other"),
        states.sorted_feed,
    ),
    write(
        "SortedFeed.move",
        "SortedFeed.move",
        lambda pub, _: SortedFeed(pub, FEED).move(":1", "3"),
        states.sorted_feed,
    ),
    write(
        "SortedFeed.move_before",
        "SortedFeed.move_before",
        lambda pub, _: SortedFeed(pub, FEED).move_before("1", "3"),
        states.sorted_feed,
    ),
    write(
        "SortedFeed.move_after",
        "SortedFeed.move_after",
        lambda pub, _: SortedFeed(pub, FEED).move_after("3", "1"),
        states.sorted_feed,
    ),
    write(
        "SortedFeed.move_first",
        "SortedFeed.move_first",
        lambda pub, _: SortedFeed(pub, FEED).move_first("3"),
        states.sorted_feed,
    ),
    write(
        "SortedFeed.move_last",
        "SortedFeed.move_last",
        lambda pub, _: SortedFeed(pub, FEED).move_last("1"),
        states.sorted_feed,
    ),
    write(
        "SortedFeed.retract",
        "SortedFeed.retract",
        lambda pub, _: SortedFeed(pub, FEED).retract("2"),
        states.sorted_feed,
    ),
    read(
        "SortedFeed.get_ids",
        "SortedFeed.get_ids",
        lambda pub, _: SortedFeed(pub, FEED).get_ids(),
        states.sorted_feed,
    ),
    read(
        "SortedFeed.get_all",
        "SortedFeed.get_all SortedFeed.get_items",
        lambda pub, _: SortedFeed(pub, FEED).get_all(),
        states.sorted_feed,
    ),
    read(
        "SortedFeed.length",
        "SortedFeed.length",
        lambda pub, _: SortedFeed(pub, FEED).length(),
        states.sorted_feed,
    ),
)
