"""Which errors are temporary, and what ends them."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.errors import (
    ClusterNotSupported,
    ConnectionLost,
    FeedDoesNotExist,
    InvalidResponse,
    NotSent,
    ThoonkError,
    WrongServer,
    from_reply,
)
from txthoonk.protocol._transient import (
    Passing,
    is_final,
    memory_is_full,
    needs_another_server,
    passes,
    passing,
    refuses_connection,
)

# The texts of Redis 7, and those of Redis 6.2 in a script, raised or caught there.
REPLIES = {
    "READONLY You can't write against a read only replica.": Passing.SERVER,
    "READONLY You can't write against a read only replica. script: 00, on @user_script:1.": (
        Passing.SERVER
    ),
    "ERR Error running script (call to f_00): @user_script:1: @user_script: 1: -READONLY You "
    "can't write against a read only replica.": Passing.SERVER,
    "@user_script: 1: -READONLY You can't write against a read only replica.": Passing.SERVER,
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": (
        Passing.SERVER
    ),
    "BUSY Redis is busy running a script.": Passing.TIME,
    "LOADING Redis is loading the dataset in memory": Passing.TIME,
    "UNBLOCKED force unblock from blocking operation, instance state changed": Passing.TIME,
    "MISCONF Errors writing to the AOF file: No space left on device": Passing.TIME,
    "OOM command not allowed when used memory > 'maxmemory'.": Passing.TIME,
    "ERR Error running script (call to f_00): @user_script:1: @user_script: 1: -OOM command not "
    "allowed when used memory > 'maxmemory'.": Passing.TIME,
    "NOREPLICAS Not enough good replicas to write.": Passing.TIME,
    "CLUSTERDOWN The cluster is down": Passing.TIME,
    "TRYAGAIN Multiple keys request during rehashing of slot": Passing.TIME,
    "ERR max number of clients reached": Passing.TIME,
    "NOAUTH Authentication required.": Passing.RIGHTS,
    "WRONGPASS invalid username-password pair or user is disabled.": Passing.RIGHTS,
    "NOPERM this user has no permissions to run the 'set' command": Passing.RIGHTS,
    "WRONGTYPE Operation against a key holding the wrong kind of value": Passing.NEVER,
    "ERR Error running script (call to f_00): @user_script:1: WRONGTYPE Operation against a key "
    "holding the wrong kind of value": Passing.NEVER,
    "ERR unknown command 'READONLY', with args beginning with: BUSY": Passing.NEVER,
    "NOFEED feed 'READONLY' does not exist": Passing.NEVER,
    "EXECABORT Transaction discarded because of previous errors.": Passing.NEVER,
}


class PassingTests(SynchronousTestCase):
    def test_replies(self) -> None:
        """Each error of Redis is recognized by its code, also within a script."""
        for text, expected in REPLIES.items():
            self.assertEqual(passing(from_reply(text)), expected, text)

    def test_ours(self) -> None:
        """An error of a lost connection passes with the next one; a mistake never passes."""
        for error, expected in (
            (ConnectionLost("gone"), Passing.CONNECTION),
            (NotSent("none"), Passing.CONNECTION),
            (WrongServer("a replica"), Passing.CONNECTION),
            (CancelledError(), Passing.CONNECTION),
            (FeedDoesNotExist("x"), Passing.NEVER),
            (InvalidResponse("x"), Passing.NEVER),
            (ThoonkError("x"), Passing.NEVER),
            (ValueError("READONLY"), Passing.NEVER),
        ):
            self.assertEqual(passing(error), expected, repr(error))

    def test_passes(self) -> None:
        """A refusal for lack of rights passes only if the same call was allowed before."""
        for text, how in REPLIES.items():
            error = from_reply(text)
            self.assertEqual(passes(error), how in (Passing.SERVER, Passing.TIME), text)
            self.assertEqual(passes(error, worked=True), how is not Passing.NEVER, text)
            self.assertEqual(needs_another_server(error), how is Passing.SERVER, text)

    def test_final(self) -> None:
        """A server refuses a connection for good if its error does not pass."""
        for text, how in REPLIES.items():
            final = how in (Passing.RIGHTS, Passing.NEVER) and not text.startswith("NOFEED")
            self.assertEqual(is_final(from_reply(text)), final, text)
        self.assertTrue(is_final(ClusterNotSupported("a node")))
        for error in (ConnectionLost("gone"), CancelledError(), OSError("no route")):
            self.assertFalse(is_final(error), repr(error))

    def test_refused_connection(self) -> None:
        """Errors about credentials, or about too many clients, refuse the connection itself."""
        refusing = {text for text in REPLIES if refuses_connection(from_reply(text))}
        self.assertEqual({text.split()[0] for text in refusing}, {"NOAUTH", "WRONGPASS", "ERR"})
        self.assertIn("ERR max number of clients reached", refusing)
        self.assertEqual(len(refusing), 3)

    def test_memory(self) -> None:
        """A full memory is recognized by its code."""
        full = [text for text in REPLIES if memory_is_full(from_reply(text))]
        self.assertEqual(full, [text for text in REPLIES if "OOM command" in text])
