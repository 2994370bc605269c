"""The commands of txredis 2.4, as one table: name, shape of the arguments, converter.

A row has a function that makes the words of the command from the method's arguments, and a
converter that gives the reply txredis' shape.  For commands that are not in the table, use
:meth:`txthoonk.protocol.Redis.send`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, Signature, signature
from itertools import chain
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from twisted.internet.defer import Deferred, fail
from twisted.python.reflect import safe_str

from txthoonk.errors import InvalidCommand, shown
from txthoonk.protocol._client import RedisProtocol

if TYPE_CHECKING:
    from txthoonk.protocol._encoding import TEXT, Encoding
    from txthoonk.protocol._interfaces import Repeater
    from txthoonk.protocol.bounds._limits import Limits
    from txthoonk.wire._scripts import Script

__all__ = ["Commands", "Redis"]

P = ParamSpec("P")
Words = tuple[Any, ...]


def command(
    shape: Callable[P, Words], reply: Callable[[Any], Any] | None = None
) -> Callable[Concatenate[Commands, P], Deferred[Any]]:
    """Make a method that sends the words that *shape* returns.

    :param reply: converts the reply; None: the method fires it unchanged.
    """

    def method(self: Commands, /, *args: P.args, **kwargs: P.kwargs) -> Deferred[Any]:
        try:
            words = shape(*args, **kwargs)
        except InvalidCommand:
            return fail()
        except Exception as error:  # noqa: BLE001 - a type of the user may raise anything
            signature(shape).bind(*args, **kwargs)  # Python raises for a missing argument
            return fail(InvalidCommand(f"bad argument of {method.__name__}: {safe_str(error)}"))
        return _ask(self, words, reply)

    method.__signature__ = _signature(shape)  # type: ignore[attr-defined]
    return method


def _signature(shape: Callable[..., Words]) -> Signature:
    """Return the signature of the method, for help() and documentation."""
    parameters = [
        parameter.replace(annotation=Any) if parameter.annotation is Parameter.empty else parameter
        for parameter in signature(shape).parameters.values()
    ]
    itself = Parameter("self", Parameter.POSITIONAL_ONLY)
    return Signature([itself, *parameters], return_annotation=Deferred[Any])


def _ask(
    redis: Commands, words: Words, reply: Callable[[Any], Any] | None = None
) -> Deferred[Any]:
    """Send a command and convert its reply."""
    if isinstance(words[0], (str, bytes)):
        redis.transaction = _TRANSACTION.get(words[0].upper(), redis.transaction)
    queued = redis.transaction
    replied = redis.request(words)
    return replied if reply is None else replied.addCallback(_convert, reply, queued)


def _convert(reply: Any, converter: Callable[[Any], Any], queued: bool) -> Any:
    # Between MULTI and EXEC the server only confirms that it has queued the command.
    return reply if queued and reply in ("QUEUED", b"QUEUED") else converter(reply)


# Which commands begin a transaction (True) and which end it (False).
_TRANSACTION: dict[str | bytes, bool] = {"MULTI": True, "EXEC": False, "DISCARD": False}
_TRANSACTION.update({str(word).encode(): begins for word, begins in list(_TRANSACTION.items())})


# -- converters -----------------------------------------------------------


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _scored(flat: list[Any]) -> list[tuple[Any, float]]:
    return list(zip(flat[::2], map(float, flat[1::2]), strict=True))


def _float(reply: Any) -> float | None:
    return None if reply is None else float(reply)


def _type(reply: Any) -> Any:
    return None if reply in ("none", b"none") else reply


_DIGITS = re.compile("[0-9]+")


def _info(reply: str | bytes) -> dict[str, int | str]:
    text = reply if isinstance(reply, str) else reply.decode("utf-8", "surrogateescape")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    fields = [line.partition(":") for line in lines]
    return {name: int(value) if _DIGITS.fullmatch(value) else value for name, _, value in fields}


_set = set  # the table below has a method of this name


# -- shapes of arguments that do not fit into a lambda ----------------------


def _flat(mapping: Mapping[Any, Any]) -> Iterable[Any]:
    return chain.from_iterable(mapping.items())


def _some(
    name: str, key: Any, values: Sequence[Any], single: Mapping[str, Any], word: str
) -> Words:
    """Return the words of a command that takes many values, or one as a keyword argument."""
    if single:
        if values or set(single) != {word}:
            raise InvalidCommand(f"{name} takes values, or {word}=..., but not {sorted(single)}")
        values = (single[word],)
    if not values:
        raise InvalidCommand(f"{name} needs at least one {word}")
    return (name, key, *values)


def _set_words(
    key: Any, value: Any, preserve: bool = False, getset: bool = False, expire: int | None = None
) -> Words:
    if (getset and (preserve or expire)) or (preserve and expire):
        raise InvalidCommand("set takes only one of preserve, getset and expire")
    if getset:
        return ("GETSET", key, value)
    if preserve:
        return ("SETNX", key, value)
    return ("SETEX", key, expire, value) if expire else ("SET", key, value)


def _object(
    key: Any, refcount: bool = False, encoding: bool = False, idletime: bool = False
) -> Words:
    for wanted, word in ((idletime, "IDLETIME"), (encoding, "ENCODING"), (refcount, "REFCOUNT")):
        if wanted:
            return ("OBJECT", word, key)
    raise InvalidCommand("get_object needs one of refcount, encoding and idletime")


def _bitcount(key: Any, start: int | None = None, end: int | None = None) -> Words:
    if start is None:
        return ("BITCOUNT", key)
    return ("BITCOUNT", key, start, -1 if end is None else end)


def _push(key: Any, value: Any, tail: bool = False, no_create: bool = False) -> Words:
    return (f"{'R' if tail else 'L'}PUSH{'X' if no_create else ''}", key, value)


def _sort(
    key: Any,
    by: Any = None,
    get: Any = None,
    start: int | None = None,
    num: int | None = None,
    desc: bool = False,
    alpha: bool = False,
) -> Words:
    words: list[Any] = ["SORT", key]
    if by:
        words += ["BY", by]
    if start is not None and num is not None:
        words += ["LIMIT", start, num]
    patterns = [get] if isinstance(get, (str, bytes)) else get or ()
    if not isinstance(patterns, Iterable):
        raise InvalidCommand(
            f"get= of sort must be a pattern or a list of patterns, not {shown(get)}"
        )
    for pattern in patterns:
        words += ["GET", pattern]
    words += ["DESC"] * desc + ["ALPHA"] * alpha
    return tuple(words)


def _zadd(key: Any, *item_tuples: Any, **single: Any) -> Words:
    # txredis takes one pair as (member, score), and many as score, member, ...
    if single:
        if item_tuples or set(single) != {"member", "score"}:
            raise InvalidCommand("zadd takes pairs, or member=... and score=...")
        return ("ZADD", key, single["score"], single["member"])
    if len(item_tuples) == 2 and isinstance(item_tuples[0], (str, bytes)):
        return ("ZADD", key, item_tuples[1], item_tuples[0])
    if not item_tuples or len(item_tuples) % 2:
        raise InvalidCommand("zadd needs pairs of score and member")
    return ("ZADD", key, *item_tuples)


def _store(name: str, dstkey: Any, keys: Any, aggregate: str | None) -> Words:
    weights = ("WEIGHTS", *keys.values()) if isinstance(keys, Mapping) else ()
    how = ("AGGREGATE", aggregate) if aggregate else ()
    return (name, dstkey, len(keys), *keys, *weights, *how)


def _script(name: str, script: str | bytes, keys: Sequence[Any], args: Sequence[Any]) -> Words:
    return (name, script, len(keys), *keys, *args)


class Commands:
    """The methods of txredis, for a class that sends the commands."""

    if TYPE_CHECKING:  # what Redis and the offline queue have besides
        db: int
        username: str | None
        password: str | None
        limits: Limits

        @property
        def usable(self) -> bool: ...

        @property
        def transaction(self) -> bool: ...

        @transaction.setter
        def transaction(self, begun: bool) -> None: ...

        def request(self, command: Words, encoding: Encoding | None = None) -> Deferred[Any]: ...

        def call(self, script: Script, command: Words, encoding: Encoding) -> Deferred[Any]: ...

        def call_together(
            self,
            script: Script | None,
            prefix: Words,
            group: Words,
            encoding: Encoding = TEXT,
            repeater: Repeater | None = None,
        ) -> Deferred[Any]: ...

    def send(self, command: str | bytes, *args: Any) -> Deferred[Any]:
        """Send any command; see :meth:`txthoonk.protocol._client.RedisProtocol.send`."""
        return _ask(self, (command, *args))

    def select(self, db: int) -> Deferred[Any]:
        """Send SELECT; later connections of this publisher or service use that database, too."""

        def selected(reply: Any) -> Any:
            self.db = int(db)
            return reply

        return _ask(self, ("SELECT", db), selected)

    def auth(self, passwd: str) -> Deferred[Any]:
        """Send AUTH; later connections of this publisher or service use that password, too."""

        def authenticated(reply: Any) -> Any:
            self.username, self.password = None, passwd
            return reply

        return _ask(self, ("AUTH", passwd), authenticated)

    # connection and server
    ping = command(lambda: ("PING",))
    echo = command(lambda msg: ("ECHO", msg))
    quit = command(lambda: ("QUIT",))
    shutdown = command(lambda: ("SHUTDOWN",))
    slaveof = command(lambda host, port: ("SLAVEOF", host, port))
    get_config = command(lambda pattern: ("CONFIG", "GET", pattern), _pairs)
    set_config = command(lambda parameter, value: ("CONFIG", "SET", parameter, value))
    info = command(lambda: ("INFO",), _info)
    bgrewriteaof = command(lambda: ("BGREWRITEAOF",))
    bgsave = command(lambda: ("BGSAVE",))
    save = command(lambda background=False: ("BGSAVE" if background else "SAVE",))
    lastsave = command(lambda: ("LASTSAVE",))
    dbsize = command(lambda: ("DBSIZE",))
    flush = command(lambda all_dbs=False: ("FLUSHALL" if all_dbs else "FLUSHDB",))
    flushall = command(lambda: ("FLUSHALL",))
    flushdb = command(lambda: ("FLUSHDB",))

    # strings
    set = command(_set_words)
    setnx = command(lambda key, value: ("SETNX", key, value))
    mset = command(
        lambda mapping, preserve=False: ("MSETNX" if preserve else "MSET", *_flat(mapping))
    )
    msetnx = command(lambda mapping: ("MSETNX", *_flat(mapping)))
    append = command(lambda key, value: ("APPEND", key, value))
    get = command(lambda key: ("GET", key))
    getset = command(lambda key, value: ("GETSET", key, value))
    getrange = command(lambda key, start, end: ("GETRANGE", key, start, end))
    substr = getrange
    mget = command(lambda *args: ("MGET", *args))
    incr = command(lambda key, amount=1: ("INCRBY", key, amount))
    decr = command(lambda key, amount=1: ("DECRBY", key, amount))
    getbit = command(lambda key, offset: ("GETBIT", key, offset))
    setbit = command(lambda key, offset, value: ("SETBIT", key, offset, value))
    bitcount = command(_bitcount)

    # keys
    exists = command(lambda key: ("EXISTS", key))
    delete = command(lambda key, *keys: ("DEL", key, *keys))
    get_type = command(lambda key: ("TYPE", key), _type)
    get_object = command(_object)
    keys = command(lambda pattern: ("KEYS", pattern), sorted)
    randomkey = command(lambda: ("RANDOMKEY",))
    rename = command(
        lambda src, dst, preserve=False: ("RENAMENX" if preserve else "RENAME", src, dst)
    )
    move = command(lambda key, db: ("MOVE", key, db))
    expire = command(lambda key, time: ("EXPIRE", key, time))
    expireat = command(lambda key, time: ("EXPIREAT", key, time))
    ttl = command(lambda key: ("TTL", key))
    sort = command(_sort)

    # transactions
    multi = command(lambda: ("MULTI",))
    execute = command(lambda: ("EXEC",))
    discard = command(lambda: ("DISCARD",))
    watch = command(lambda *keys: ("WATCH", *keys))
    unwatch = command(lambda: ("UNWATCH",))

    # lists
    push = command(_push)
    lpush = command(lambda key, *values, **value: _some("LPUSH", key, values, value, "value"))
    rpush = command(lambda key, *values, **value: _some("RPUSH", key, values, value, "value"))
    lpushx = command(lambda key, value: ("LPUSHX", key, value))
    rpushx = command(lambda key, value: ("RPUSHX", key, value))
    llen = command(lambda key: ("LLEN", key))
    lrange = command(lambda key, start, end: ("LRANGE", key, start, end))
    ltrim = command(lambda key, start, end: ("LTRIM", key, start, end))
    lindex = command(lambda key, index: ("LINDEX", key, index))
    lset = command(lambda key, index, value: ("LSET", key, index, value))
    lrem = command(lambda key, value, count=0: ("LREM", key, count, value))
    lpop = command(lambda key: ("LPOP", key))
    rpop = command(lambda key: ("RPOP", key))
    pop = command(lambda key, tail=False: ("RPOP" if tail else "LPOP", key))
    bpop = command(
        lambda keys, tail=False, timeout=30: ("BRPOP" if tail else "BLPOP", *keys, timeout)
    )
    brpop = command(lambda keys, timeout=30: ("BRPOP", *keys, timeout))
    rpoplpush = command(lambda srckey, dstkey: ("RPOPLPUSH", srckey, dstkey))
    brpoplpush = command(
        lambda source, destination, timeout=30: ("BRPOPLPUSH", source, destination, timeout)
    )

    # sets
    sadd = command(lambda key, *values, **value: _some("SADD", key, values, value, "value"))
    srem = command(lambda key, *values, **value: _some("SREM", key, values, value, "value"))
    spop = command(lambda key: ("SPOP", key))
    scard = command(lambda key: ("SCARD", key))
    sismember = command(lambda key, value: ("SISMEMBER", key, value))
    smembers = command(lambda key: ("SMEMBERS", key), _set)
    srandmember = command(lambda key: ("SRANDMEMBER", key))
    smove = command(lambda srckey, dstkey, member: ("SMOVE", srckey, dstkey, member))
    sdiff = command(lambda *args: ("SDIFF", *args))
    sdiffstore = command(lambda dstkey, *args: ("SDIFFSTORE", dstkey, *args))
    sinter = command(lambda *args: ("SINTER", *args), _set)
    sinterstore = command(lambda dest, *args: ("SINTERSTORE", dest, *args))
    sunion = command(lambda *args: ("SUNION", *args), _set)
    sunionstore = command(lambda dest, *args: ("SUNIONSTORE", dest, *args))

    # hashes
    hset = command(
        lambda key, field, value, preserve=False: (
            "HSETNX" if preserve else "HSET",
            key,
            field,
            value,
        )
    )
    hsetnx = command(lambda key, field, value: ("HSETNX", key, field, value))
    hmset = command(lambda key, in_dict: ("HMSET", key, *_flat(in_dict)))
    hget_value = command(lambda key, field: ("HGET", key, field))
    hgetall = command(lambda key: ("HGETALL", key), _pairs)
    hkeys = command(lambda key: ("HKEYS", key))
    hvals = command(lambda key: ("HVALS", key))
    hlen = command(lambda key: ("HLEN", key))
    hexists = command(lambda key, field: ("HEXISTS", key, field))
    hdel = command(lambda key, *fields: _some("HDEL", key, fields, {}, "field"))
    hdelete = hdel
    hincr = command(lambda key, field, amount=1: ("HINCRBY", key, field, amount))
    hincrby = hincr

    def hget(self, key: Any, field: Any) -> Deferred[Any]:
        """Send HGET, or HMGET for a list of fields.

        :return: fires ``{field: value}`` with every requested field; None for a single field
            that does not exist.
        """
        if isinstance(field, (str, bytes)):
            return _ask(
                self, ("HGET", key, field), lambda value: None if value is None else {field: value}
            )
        if not isinstance(field, Iterable):
            text = f"a field must be str or bytes, or several in a list, not {shown(field)}"
            return fail(InvalidCommand(text))
        fields = list(field)
        return _ask(
            self, ("HMGET", key, *fields), lambda values: dict(zip(fields, values, strict=True))
        )

    hmget = hget

    # sorted sets
    zadd = command(_zadd)
    zrem = command(lambda key, *members, **member: _some("ZREM", key, members, member, "member"))
    zremrangebyrank = command(lambda key, start, end: ("ZREMRANGEBYRANK", key, start, end))
    zremrangebyscore = command(lambda key, min, max: ("ZREMRANGEBYSCORE", key, min, max))
    zunionstore = command(
        lambda dstkey, keys, aggregate=None: _store("ZUNIONSTORE", dstkey, keys, aggregate)
    )
    zinterstore = command(
        lambda dstkey, keys, aggregate=None: _store("ZINTERSTORE", dstkey, keys, aggregate)
    )
    zincr = command(lambda key, member, incr=1: ("ZINCRBY", key, incr, member))
    zrank = command(
        lambda key, member, reverse=False: ("ZREVRANK" if reverse else "ZRANK", key, member)
    )
    zrevrank = command(lambda key, member: ("ZREVRANK", key, member))
    zcount = command(lambda key, min, max: ("ZCOUNT", key, min, max))
    zcard = command(lambda key: ("ZCARD", key))
    zscore = command(lambda key, element: ("ZSCORE", key, element), _float)

    def zrange(
        self, key: Any, start: int, end: int, withscores: bool = False, reverse: bool = False
    ) -> Deferred[Any]:
        """Send ZRANGE or ZREVRANGE.

        :return: fires a list of members, or a list of (member, score) with *withscores*.
        """
        name = "ZREVRANGE" if reverse else "ZRANGE"
        return self._scored_range((name, key, start, end), withscores)

    def zrevrange(self, key: Any, start: int, end: int, withscores: bool = False) -> Deferred[Any]:
        """Send ZREVRANGE; see :meth:`zrange`."""
        return self.zrange(key, start, end, withscores, reverse=True)

    def zrangebyscore(
        self,
        key: Any,
        min: Any = "-inf",
        max: Any = "+inf",
        offset: int = 0,
        count: int | None = None,
        withscores: bool = False,
        reverse: bool = False,
    ) -> Deferred[Any]:
        """Send ZRANGEBYSCORE or ZREVRANGEBYSCORE.

        :return: fires a list of members, or a list of (member, score) with *withscores*.
        """
        if offset and count is None:
            return fail(InvalidCommand("zrangebyscore with an offset needs a count, too"))
        name, first, last = (
            ("ZREVRANGEBYSCORE", max, min) if reverse else ("ZRANGEBYSCORE", min, max)
        )
        limit = () if count is None else ("LIMIT", offset, count)
        return self._scored_range((name, key, first, last, *limit), withscores)

    def zrevrangebyscore(
        self,
        key: Any,
        min: Any = "-inf",
        max: Any = "+inf",
        offset: int = 0,
        count: int | None = None,
        withscores: bool = False,
    ) -> Deferred[Any]:
        """Send ZREVRANGEBYSCORE; see :meth:`zrangebyscore`."""
        return self.zrangebyscore(key, min, max, offset, count, withscores, reverse=True)

    def _scored_range(self, words: Words, withscores: bool) -> Deferred[Any]:
        if not withscores:
            return _ask(self, words)
        return _ask(self, (*words, "WITHSCORES"), _scored)

    # pub/sub and scripts
    publish = command(lambda channel, message: ("PUBLISH", channel, message))
    eval = command(lambda source, keys=(), args=(): _script("EVAL", source, keys, args))
    evalsha = command(lambda sha1, keys=(), args=(): _script("EVALSHA", sha1, keys, args))
    script_load = command(lambda source: ("SCRIPT", "LOAD", source))
    script_exists = command(lambda *sha1s: ("SCRIPT", "EXISTS", *sha1s))
    script_flush = command(lambda: ("SCRIPT", "FLUSH"))
    script_kill = command(lambda: ("SCRIPT", "KILL"))


for _name, _method in vars(Commands).items():
    if hasattr(_method, "__signature__"):
        _method.__name__ = _name
        _method.__qualname__ = f"Redis.{_name}"
        _method.__doc__ = f"Send the command of this method; txredis' ``{_name}``."


class Redis(Commands, RedisProtocol):
    """One connection to Redis, with txredis' methods.

    Each method sends one command and returns a Deferred that fires the reply. The arguments, and
    the reply's shape, are those of txredis 2.4. The Deferred fails with
    :class:`~txthoonk.errors.ResponseError` if Redis replies with an error, and with
    :class:`~txthoonk.errors.ConnectionLost` if it does not reply.
    """
