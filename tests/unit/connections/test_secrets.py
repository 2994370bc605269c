"""No error contains a password, even if Redis repeats a part of the command."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from txthoonk.errors import InvalidData, ResponseError
from txthoonk.protocol import Redis, RedisSubscriber
from txthoonk.protocol._client import RedisProtocol

SECRET = "s3cr3t"

# Error replies of Redis 6.2 to 8 and of Valkey -> the message of the exception.
REPLIES = {
    f"ERR unknown command `AUTH`, with args beginning with: `{SECRET}`, ": (
        "unknown command `AUTH`"
    ),
    f"ERR unknown command 'AUTH', with args beginning with: 'me' '{SECRET}' ": (
        "unknown command 'AUTH'"
    ),
    f"ERR unknown command 'AUTH {SECRET}', with args beginning with: ": (
        "unknown command 'AUTH ***'"
    ),
    f"ERR Error in ACL SETUSER modifier '>{SECRET} {SECRET}': Syntax error": (
        "Error in ACL SETUSER modifier '>***': Syntax error"
    ),
    f"ERR Error in ACL SETUSER modifier '<it's {SECRET}': The password does not exist": (
        "Error in ACL SETUSER modifier '<***': The password does not exist"
    ),
    f"ERR Error in ACL SETUSER modifier '{SECRET}': Syntax error": (
        "Error in ACL SETUSER modifier '***': Syntax error"
    ),
    f"ERR Invalid argument '{SECRET}' for CONFIG SET 'requirepass'": (
        "Invalid argument '***' for CONFIG SET 'requirepass'"
    ),
    f"ERR Syntax error in HELLO option '{SECRET}'": "Syntax error in HELLO option '***'",
    # Arguments that are not secret stay in the message.
    "ERR Error in ACL SETUSER modifier '+@no': Unknown command or category name in ACL": (
        "Error in ACL SETUSER modifier '+@no': Unknown command or category name in ACL"
    ),
    "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - must be memory": (
        "CONFIG SET failed (possibly related to argument 'maxmemory') - must be memory"
    ),
}


class SecretTests(SynchronousTestCase):
    def connected(self, redis: Any) -> Any:
        redis.makeConnection(StringTransport())
        return redis

    def test_replies(self) -> None:
        """The error of a command leaves out every possible password."""
        for reply, text in REPLIES.items():
            redis = self.connected(Redis())
            call = redis.send("AUTH", SECRET)
            redis.dataReceived(f"-{reply}\r\n".encode())
            error = self.failureResultOf(call, ResponseError).value
            self.assertEqual((str(error), error.code), (text, "ERR"))

    def test_cannot_be_sent(self) -> None:
        """The error of a password that cannot be sent does not contain it."""
        redis = self.connected(Redis())
        for words in (("auth", f"{SECRET}\udc80"), ("HELLO", 2, "AUTH", "me", [SECRET])):
            error = self.failureResultOf(redis.send(*words), InvalidData).value
            self.assertNotIn(SECRET, str(error))

    def test_greeting(self) -> None:
        """The errors of calls held for a refused AUTH do not contain the password."""
        kinds: list[type[RedisProtocol]] = [Redis, RedisSubscriber]
        for make in kinds:
            redis = self.connected(make(username="me", password=SECRET))
            call = redis.send("PING")
            reply = f"ERR unknown command 'AUTH', with args beginning with: 'me' '{SECRET}'"
            redis.dataReceived(f"-{reply}\r\n".encode())
            error = self.failureResultOf(call).value
            self.assertIn("unknown command 'AUTH'", str(error))
            self.assertNotIn(SECRET, repr((error, str(error), redis)))
