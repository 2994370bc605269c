"""The commands of txredis 2.4 have the same arguments and reply shapes on a real server.

Commands that would stop, save or empty a shared server are checked by the bytes that they send, in
``tests.unit.protocol.test_redis_requests``.
"""

from __future__ import annotations

import inspect
import uuid
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from tests.support.commands import CommandTestCase
from txthoonk.errors import (
    AuthenticationError,
    ConnectionLost,
)
from txthoonk.protocol import Redis

# Every command method of txredis 2.4, with its arguments.
SURFACE = """
append(key, value)
auth(passwd)
bgrewriteaof()
bgsave()
bitcount(key, start=None, end=None)
bpop(keys, tail=False, timeout=30)
brpop(keys, timeout=30)
brpoplpush(source, destination, timeout=30)
dbsize()
decr(key, amount=1)
delete(key, *)
discard()
echo(msg)
eval(source, keys=(), args=())
evalsha(sha1, keys=(), args=())
execute()
exists(key)
expire(key, time)
expireat(key, time)
flush(all_dbs=False)
flushall()
flushdb()
get(key)
get_config(pattern)
get_object(key, refcount=False, encoding=False, idletime=False)
get_type(key)
getbit(key, offset)
getrange(key, start, end)
getset(key, value)
hdel(key, *)
hdelete(key, *)
hexists(key, field)
hget(key, field)
hget_value(key, field)
hgetall(key)
hincr(key, field, amount=1)
hincrby(key, field, amount=1)
hkeys(key)
hlen(key)
hmget(key, field)
hmset(key, in_dict)
hset(key, field, value, preserve=False)
hsetnx(key, field, value)
hvals(key)
incr(key, amount=1)
info()
keys(pattern)
lastsave()
lindex(key, index)
llen(key)
lpop(key)
lpush(key, *, **)
lpushx(key, value)
lrange(key, start, end)
lrem(key, value, count=0)
lset(key, index, value)
ltrim(key, start, end)
mget(*)
move(key, db)
mset(mapping, preserve=False)
msetnx(mapping)
multi()
ping()
pop(key, tail=False)
publish(channel, message)
push(key, value, tail=False, no_create=False)
quit()
randomkey()
rename(src, dst, preserve=False)
rpop(key)
rpoplpush(srckey, dstkey)
rpush(key, *, **)
rpushx(key, value)
sadd(key, *, **)
save(background=False)
scard(key)
script_exists(*)
script_flush()
script_kill()
script_load(source)
sdiff(*)
sdiffstore(dstkey, *)
select(db)
send(command, *)
set(key, value, preserve=False, getset=False, expire=None)
set_config(parameter, value)
setbit(key, offset, value)
setnx(key, value)
shutdown()
sinter(*)
sinterstore(dest, *)
sismember(key, value)
slaveof(host, port)
smembers(key)
smove(srckey, dstkey, member)
sort(key, by=None, get=None, start=None, num=None, desc=False, alpha=False)
spop(key)
srandmember(key)
srem(key, *, **)
substr(key, start, end)
sunion(*)
sunionstore(dest, *)
ttl(key)
unwatch()
watch(*)
zadd(key, *, **)
zcard(key)
zcount(key, min, max)
zincr(key, member, incr=1)
zinterstore(dstkey, keys, aggregate=None)
zrange(key, start, end, withscores=False, reverse=False)
zrangebyscore(key, min='-inf', max='+inf', offset=0, count=None, withscores=False, reverse=False)
zrank(key, member, reverse=False)
zrem(key, *, **)
zremrangebyrank(key, start, end)
zremrangebyscore(key, min, max)
zrevrange(key, start, end, withscores=False)
zrevrangebyscore(key, min='-inf', max='+inf', offset=0, count=None, withscores=False)
zrevrank(key, member)
zscore(key, element)
zunionstore(dstkey, keys, aggregate=None)
"""


def shown(method: Any) -> str:
    """Return a method's signature; the names of variable arguments do not count."""
    words = []
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            words.append("*")
        elif parameter.kind is parameter.VAR_KEYWORD:
            words.append("**")
        elif name != "self":
            given = parameter.default is not parameter.empty
            words.append(f"{name}={parameter.default!r}" if given else name)
    return f"({', '.join(words)})"


class SurfaceTests(SynchronousTestCase):
    """``Redis`` has the methods of txredis."""

    def test_names_and_arguments(self) -> None:
        """``Redis`` has every method of txredis 2.4, with its argument names and defaults."""
        for line in SURFACE.split("\n")[1:-1]:
            name, bracket, arguments = line.partition("(")
            self.assertEqual(f"{name}{shown(getattr(Redis, name))}", name + bracket + arguments)

    def test_constructor(self) -> None:
        """The constructor takes the arguments of txredis, and one more at the end."""
        self.assertEqual(
            shown(Redis),
            "(db=None, password=None, charset='utf8', errors='strict', username=None)",
        )


class ServerTests(CommandTestCase):
    """Commands on the connection and the server."""

    async def test_ping_and_echo(self) -> None:
        """``ping``, ``echo`` and ``send`` fire the server's reply."""
        self.assertEqual(await self.client.ping(), "PONG")
        self.assertEqual(await self.client.echo(msg="hällo\0"), "hällo\0")
        self.assertEqual(await self.client.send("ECHO", "x"), "x")

    async def test_quit(self) -> None:
        """``quit`` fires the reply; then the connection closes."""
        leaving = await self.redis()
        self.assertEqual(await leaving.quit(), "OK")
        await self.assertFailure(leaving.brpop(["nothing"], 0), ConnectionLost)

    async def test_auth(self) -> None:
        """``auth`` fails with a wrong password."""
        await self.fails(self.client.auth("certainly not"))

    async def test_wrong_credentials(self) -> None:
        """A connection with wrong credentials executes no command."""
        client = await self.redis(username="nobody", password="nothing")
        calls = [client.set("a", 1), client.ping()]
        for call in calls:
            error = await self.assertFailure(call, AuthenticationError)
            self.assertEqual(error.code, "WRONGPASS")
        self.assertIsNone(await self.raw.get("a"))

    async def test_another_database(self) -> None:
        """Every command runs on the constructor's database, from the first one on."""
        key = f"test-{uuid.uuid4().hex}"
        other = self.target.db - 1 if self.target.db else 1
        client = await self.redis(db=other)
        self.assertEqual(await client.set(key, "x", expire=60), "OK")
        self.assertEqual(await self.raw.exists(key), 0)
        self.assertEqual(await client.select(self.target.db), "OK")
        self.assertEqual(await client.exists(key), 0)
        await client.select(other)
        self.assertEqual(await client.move(key, self.target.db), 1)
        self.assertEqual(await self.raw.get(key), b"x")
        self.assertEqual(await client.move(key, self.target.db), 0)

    async def test_database_out_of_range(self) -> None:
        """A connection to a database that does not exist executes no command on any database."""
        client = await self.redis(db=999_999)
        calls = [client.set("a", 1), client.flushdb()]
        await self.raw.set("b", 1)
        for call in calls:
            self.assertIn("out of range", str(await self.fails(call, "ERR")))
        self.assertEqual(await self.raw.keys("*"), [b"b"])

    async def test_info(self) -> None:
        """``info`` fires a dict of int and text."""
        await self.client.set("a", 1)
        info = await self.client.info()
        self.assertRegex(info["redis_version"], r"\A\d+\.\d+\.\d+\Z")
        self.assertIsInstance(info["uptime_in_seconds"], int)
        self.assertEqual(info[f"db{self.target.db}"].split(",")[0], "keys=1")
        self.assertEqual((await self.raw.info())["tcp_port"], info["tcp_port"])

    async def test_config(self) -> None:
        """``get_config`` fires a dict of text."""
        config = await self.client.get_config("maxmemory*")
        self.assertIn("maxmemory-policy", config)
        limit = config["maxmemory"]
        self.assertEqual(await self.client.set_config("maxmemory", limit), "OK")
        self.assertEqual(await self.client.get_config("maxmemory"), {"maxmemory": limit})
        self.assertEqual(await self.client.get_config("no-such-thing"), {})
        await self.fails(self.client.set_config(parameter="no-such-thing", value=1), "ERR")

    async def test_counts(self) -> None:
        """``dbsize`` fires the number of keys, and ``lastsave`` a time."""
        self.assertEqual(await self.client.dbsize(), 0)
        await self.client.mset({"a": 1, "b": 2})
        self.assertEqual(await self.client.dbsize(), 2)
        self.assertIsInstance(await self.client.lastsave(), int)

    async def test_flush(self) -> None:
        """``flush`` and ``flushdb`` empty the database."""
        for flush in (self.client.flush, self.client.flushdb):
            await self.client.set("a", 1)
            self.assertEqual(await flush(), "OK")
            self.assertEqual(await self.client.dbsize(), 0)

    async def test_killed_connection(self) -> None:
        """Waiting calls fail when the server closes the connection."""
        id_ = await self.client.send("CLIENT", "ID")
        waiting = self.client.brpop(["nothing"], timeout=0)
        await self.raw.send("CLIENT", "KILL", "ID", id_)
        await self.assertFailure(waiting, ConnectionLost)
        await self.assertFailure(self.client.ping(), ConnectionLost)

    async def test_cancelled_wait(self) -> None:
        """A cancelled wait leaves later replies in order."""
        id_ = await self.client.send("CLIENT", "ID")
        waiting = self.client.brpop(["nothing"], timeout=0)
        after = self.client.echo("after")
        waiting.cancel()
        await self.assertFailure(waiting, CancelledError)
        await self.until_reply("CLIENT", "UNBLOCK", id_)
        self.assertEqual(await after, "after")
