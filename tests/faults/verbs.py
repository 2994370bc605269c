"""Every public verb of the API, as a table: the rows of the matrix of faults.

A test of a fault takes each :class:`Verb` of :data:`VERBS`, and for each:

1. empties the database, and awaits ``verb.prepare(pub)`` with an undisturbed
   :class:`~txthoonk.ThoonkPub`.  It makes a known state and gives what ``call`` needs, such as
   a claim or a cursor: no connection of the object that the fault will meet is used for that;
2. calls ``verb.call(thing, known)``, which gives a Deferred.  *thing* is what the fault meets,
   of one of the classes in ``verb.on``: ``"pub"`` a bare ``ThoonkPub``, ``"sub"`` a bare
   ``ThoonkSub``, ``"thoonk"`` a connected ``Thoonk``;
3. where ``verb.trigger`` is there, awaits ``verb.trigger(pub, known)`` with the undisturbed
   publisher: only then the call can end (a get that waits, an event that comes).  Call it when
   the call has got as far as it can: ``tests.faults.laboratory`` knows how to see that.  The
   trigger is part of what an undisturbed run does, so its changes and events are in "after";
4. names what came of it with ``tests.faults.outcomes``, which compares state and events with
   those of an undisturbed run, and hands the word to ``record(verb, fault, outcome)``.

``verb.kind`` is ``read`` (changes nothing), ``write``, ``wait`` (may wait for others), or
``listen`` (channels).  ``verb.steps`` is True where one call makes several requests that change
something, so that a fault between them may leave a state that is neither "before" nor "after",
and that the documentation describes.

``LOCAL`` holds the public names that ask nothing of Redis, each with the reason.  A test walks
the public names: a new one without a row, and without a reason, fails it.
"""

from __future__ import annotations

from tests.faults.row import Verb
from tests.faults.rows_channels import CHANNELS, SERVICES
from tests.faults.rows_feeds import FEEDS, REGISTRY, SORTED
from tests.faults.rows_lines import JOBS, QUEUES

__all__ = ["LOCAL", "VERBS", "Verb", "verb"]

VERBS: tuple[Verb, ...] = (
    *REGISTRY,
    *FEEDS,
    *SORTED,
    *QUEUES,
    *JOBS,
    *SERVICES,
    *CHANNELS,
)


def verb(name: str) -> Verb:
    """Give the row of that name."""
    return next(one for one in VERBS if one.name == name)


_CONNECTING = "has to do with connections only: tests.integration.service.test_service and others"
_ENDING = "ends what others began, and waits for nothing"
_INSIDE = "called by the library's own parts"

#: Public names that are no verbs, of one class or of all that have them; each with the reason.
LOCAL = {
    "register_feedtype": "makes a method, and sends nothing",
    "on_change": "keeps a function, and sends nothing",
    "add_listener": "keeps a listener, and sends nothing",
    **dict.fromkeys(("attach", "detach"), "keeps a service, and sends nothing"),
    **dict.fromkeys(("startService", "connect", "whenConnected", "set_redis"), _CONNECTING),
    **dict.fromkeys(("stop", "stopService", "close", "remove_handler"), _ENDING),
    **dict.fromkeys(("makeConnection", "connectionMade", "connectionLost"), _INSIDE),
    **dict.fromkeys(("dataReceived", "channelSubscribed", "messageReceived"), _INSIDE),
    # What followers do with a Subscription.
    **dict.fromkeys(("feed_from", "force", "purge", "reserve", "room", "tell"), _INSIDE),
    **dict.fromkeys(("Subscription.put", "Subscription.release"), _INSIDE),
}
