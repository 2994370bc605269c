"""Every public verb of the API, as a table: the rows of the matrix of faults.

A test of a fault takes each :class:`Verb` of :data:`VERBS`, and for each:

1. empties the database, and awaits ``verb.prepare(pub)`` with an undisturbed
   :class:`~txthoonk.ThoonkPub`.  It creates a known state and returns what ``call`` needs, such
   as a claim or a cursor; the object that will meet the fault takes no part in it;
2. calls ``verb.call(thing, known)``, which returns a Deferred.  *thing* is the object that meets
   the fault, of one of the classes in ``verb.on``: ``"pub"`` a bare ``ThoonkPub``, ``"sub"`` a
   bare ``ThoonkSub``, ``"thoonk"`` a connected ``Thoonk``;
3. if the verb has a ``trigger``, awaits ``verb.trigger(pub, known)`` with the undisturbed
   publisher: only then can the call end (a waiting get, an expected event).  Call it when the
   call can make no more progress; ``tests.faults.laboratory`` detects that.  The trigger is part
   of an undisturbed run, so its changes and events are in "after";
4. names the outcome with ``tests.faults.outcomes``, which compares state and events with those
   of an undisturbed run, and passes the word to ``record(verb, fault, outcome)``.

``verb.kind`` is ``read`` (changes nothing), ``write``, ``wait`` (may wait for others), or
``listen`` (channels). ``verb.steps`` is True if one call makes several requests that change
something, so that a fault between them may leave a documented state that is neither "before" nor
"after".

``LOCAL`` holds the public names that send nothing to Redis, each with the reason. A test walks the
public names, and fails on a new one without a row and without a reason.
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
    """Return the row of that name."""
    return next(one for one in VERBS if one.name == name)


_CONNECTING = "has to do with connections only: tests.integration.service.test_service and others"
_ENDING = "ends what others began, and waits for nothing"
_INSIDE = "called by the library's own parts"

#: Public names that are not verbs, of one class or of all that have them, with the reason.
LOCAL = {
    "register_feedtype": "makes a method, and sends nothing",
    "Worker.when_failed": "waits for the worker, and sends nothing",
    "Job.new": "makes a record for finish, and sends nothing",
    "on_change": "keeps a function, and sends nothing",
    "add_listener": "keeps a listener, and sends nothing",
    **dict.fromkeys(
        ("add_state_observer", "remove_state_observer"), "keeps a function, and sends nothing"
    ),
    **dict.fromkeys(("attach", "detach"), "keeps a service, and sends nothing"),
    **dict.fromkeys(("startService", "connect", "whenConnected", "set_redis"), _CONNECTING),
    **dict.fromkeys(("stop", "stopService", "close", "remove_handler"), _ENDING),
    **dict.fromkeys(("makeConnection", "connectionMade", "connectionLost"), _INSIDE),
    **dict.fromkeys(("dataReceived", "channelSubscribed", "messageReceived"), _INSIDE),
    **dict.fromkeys(
        ("Claim.finish", "Claim.fail", "Claim.release"), "call the verbs of Job with these names"
    ),
    # Followers use these of a Subscription.
    **dict.fromkeys(("feed_from", "force", "give_state", "purge", "reserve"), _INSIDE),
    **dict.fromkeys(("room", "tell"), _INSIDE),
    **dict.fromkeys(("Subscription.put", "Subscription.release"), _INSIDE),
}
