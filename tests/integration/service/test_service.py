"""The service on a real server: every kind of URL, credentials, and its methods."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.application.service import Application, IService
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import eventAsText

from tests.support import Recorder, RedisTestCase
from tests.support.logs import observe_log
from tests.support.server import alive
from tests.support.service import LeakTestCase, reactor
from tests.support.tls import Authority, TLSServer
from tests.support.waiting import until
from txthoonk.client import ThoonkPub, ThoonkSub
from txthoonk.connections.addresses._url import parse_url
from txthoonk.errors import AuthenticationError, ConnectionLost, NotSent, ResponseError
from txthoonk.service import Thoonk

USER, SECRET = "somebody", "s3cr3t-passw0rd"


class URLTests(LeakTestCase):
    async def test_unix(self) -> None:
        """A Unix socket can be given as a URL or as an endpoint string."""
        server = await self.server().start()
        path = server.endpoint()._path  # type: ignore[attr-defined]
        for url in (server.url, f"unix:path={path}", f"unix:{path}"):
            await self.works(await self.connect(url))

    async def test_tcp(self) -> None:
        """A host and port can be given as a URL or as an endpoint string."""
        server = await self.server(port=0).start()
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        for url in (
            f"redis://127.0.0.1:{port}",
            f"redis://127.0.0.1:{port}/3",
            f"tcp:127.0.0.1:{port}",
            f"tcp:host=127.0.0.1:port={port}",
        ):
            await self.works(await self.connect(url))

    async def test_tls(self) -> None:
        """Every connection to a TLS server uses the given authority, and fails without it."""
        server = await self.server().start()
        authority = Authority("our authority")
        file = Path(self.mktemp())
        file.write_bytes(authority.pem)
        tls = TLSServer(parse_url(server.url), authority.server("localhost"), reactor)
        await tls.start()
        self.addCleanup(tls.stop)
        thoonk = await self.connect(f"rediss://localhost:{tls.port}/0", ca_file=file)
        await self.works(thoonk)
        await thoonk.close()
        stranger = self.make(f"rediss://localhost:{tls.port}/0")
        stranger.startService()
        call = stranger.redis.ping()
        await until(lambda: stranger._connections.publisher.failures > 2)
        await stranger.close()
        await self.assertFailure(call, ConnectionLost)

    async def test_database(self) -> None:
        """The database is that of the URL, or of the keyword."""
        server = await self.server(port=0).start()
        base = server.url.rpartition("/")[0]
        await (await self.connect(f"{base}/4")).redis.set("key", "four")
        keyword = await self.connect(base, db=4)
        self.assertEqual(await keyword.redis.get("key"), "four")
        self.assertIsNone(await (await self.connect(base)).redis.get("key"))

    async def test_embedded(self) -> None:
        """A private server runs while the service does, and its data is lost with it."""
        thoonk = await self.connect("embedded:")
        server: Any = thoonk._server
        pid, folder = server.pid, server.folder
        await self.works(thoonk)
        await thoonk.redis.set("key", "value")
        await thoonk.close()
        self.assertFalse(alive(pid))
        self.assertFalse(os.path.exists(folder))
        await thoonk.connect()
        self.assertNotEqual(server.pid, pid)
        self.assertIsNone(await thoonk.redis.get("key"))

    async def test_embedded_folder(self) -> None:
        """A folder keeps the data of a private server for later services and restarts."""
        folder = os.path.abspath(self.mktemp())
        thoonk = await self.connect(f"embedded:{folder}", db=2)
        pid = thoonk._server.pid  # type: ignore[union-attr]
        feed = await thoonk.feed("x")
        await feed.publish("item", "id")
        await thoonk.close()
        self.assertFalse(alive(pid))
        await thoonk.connect()
        self.assertEqual(await feed.get_all(), {"id": "item"})
        await thoonk.close()
        other = await self.connect(f"embedded://{folder}", db=2)
        self.assertEqual(await (await other.feed("x")).get_all(), {"id": "item"})

    async def test_embedded_crash(self) -> None:
        """A private server that dies is started again with its data."""
        folder = os.path.abspath(self.mktemp())
        thoonk = await self.connect(f"embedded:{folder}")
        server: Any = thoonk._server
        await thoonk.redis.send("CONFIG", "SET", "appendfsync", "always")
        await thoonk.redis.set("key", "value")
        pid = server.pid
        await server.kill()
        await thoonk.whenConnected()
        self.assertNotEqual(server.pid, pid)
        self.assertEqual(await thoonk.redis.get("key"), "value")

    async def test_embedded_stopped_at_once(self) -> None:
        """A private server is stopped even while it starts."""
        thoonk = self.make("embedded:")
        thoonk.startService()
        await until(lambda: os.path.exists(thoonk._server.log))  # type: ignore[union-attr]
        await thoonk.close()
        self.assertFalse(os.path.exists(thoonk._server.folder))  # type: ignore[union-attr]

    async def test_no_server_to_start(self) -> None:
        """A missing redis-server is the reason of the calls' failure."""
        self.patch(os, "environ", {**os.environ, "TXTHOONK_REDIS_SERVER": "/nowhere/redis"})
        thoonk = self.make("embedded:", wait=0.2)
        thoonk.startService()
        error = await self.assertFailure(thoonk.redis.ping(), NotSent)
        self.assertIn("/nowhere/redis", str(error))


class CredentialTests(LeakTestCase):
    async def setUp(self) -> None:
        super().setUp()
        rules = f"on >{SECRET} ~* &* +@all"
        options = ("--user", USER, *rules.split(), "--user", "default", "off")
        self.redis_server = await self.server(port=0, arguments=options).start()
        self.place = self.redis_server.url.removeprefix("redis://").partition("/")[0]
        self.logged: list[Any] = []
        observe_log(self, self.logged.append)
        self.addCleanup(self.nothing_logged)

    def nothing_logged(self) -> None:
        """Check that no log event contains the password."""
        for event in self.logged:
            self.assertNotIn(SECRET, eventAsText(event))
            self.assertNotIn(SECRET, repr(event))

    def check_shown(self, *values: object) -> None:
        for value in values:
            self.assertNotIn(SECRET, f"{value} {value!r}")

    async def test_accepted(self) -> None:
        """User, password and database can be given in the URL or as keywords."""
        given = {"username": USER, "password": SECRET}
        for url, words in (
            (f"redis://{USER}:{SECRET}@{self.place}/1", {}),
            (f"redis://{USER}@{self.place}/1", {"password": SECRET}),
            (f"redis://{self.place}/1", given),
            (f"tcp:{self.place}", {"db": 1, **given}),
        ):
            thoonk = await self.connect(url, **words)
            await self.works(thoonk)
            self.assertEqual(await thoonk.redis.send("ACL", "WHOAMI"), USER)
            listed = await thoonk.redis.send("CLIENT", "LIST")
            self.assertEqual(set(map(_user_and_db, listed.split("\n")[:-1])), {(USER, "1")})
            parts = (
                thoonk,
                thoonk.redis,
                thoonk._connections.publisher,
                thoonk._sub,
                thoonk._target,
            )
            self.check_shown(*parts, thoonk.waiting_room, vars(thoonk))
            await thoonk.close()

    async def test_refused(self) -> None:
        """Refused credentials or databases fail ``connect`` at once, and stop the service."""
        for url in (
            f"redis://{USER}:{SECRET}x@{self.place}/0",
            f"redis://nobody:{SECRET}@{self.place}/0",
            f"redis://:{SECRET}@{self.place}/0",
            f"redis://{self.place}/0",
            f"redis://{USER}:{SECRET}@{self.place}/99",
        ):
            self.states.clear()
            thoonk = self.make(url)
            error = await self.assertFailure(thoonk.connect(), ResponseError)
            self.assertEqual(isinstance(error, AuthenticationError), not url.endswith("/99"))
            self.assertEqual(self.states, ["connecting", "stopping", "stopped"])
            self.check_shown(error, thoonk)
            await self.nothing_left_of(thoonk)

    async def nothing_left_of(self, thoonk: Thoonk) -> None:
        call = await self.assertFailure(thoonk.redis.ping(), ConnectionLost)
        self.check_shown(call, call.__context__, call.__cause__)

    async def test_failures(self) -> None:
        """No error and no log event contains the password."""
        thoonk = await self.connect(f"redis://{USER}:{SECRET}@{self.place}/0", wait=0.3, limit=2)
        queue = await thoonk.queue("q")
        get = queue.get()
        flying = thoonk.redis.send("BLPOP", "nothing", 0)
        await self.redis_server.kill()
        self.check_shown(await self.assertFailure(flying, ConnectionLost))
        late = [thoonk.redis.ping(), thoonk.redis.ping()]
        await self.refused(thoonk.redis.ping(), "2 calls wait")
        await self.refused(thoonk.register_handler("create", print), "waited 0.3 seconds")
        for call in late:
            await self.refused(call, "waited 0.3 seconds")
        await thoonk.close()
        self.check_shown(await self.assertFailure(get, ConnectionLost))

    async def refused(self, call: Deferred[Any], why: str) -> None:
        error = await self.assertFailure(call, NotSent)
        self.assertIn(why, str(error))
        self.check_shown(error, error.__cause__, error.__context__)

    async def test_changed(self) -> None:
        """A password that changes while the service runs causes only an outage."""
        thoonk = await self.connect(f"redis://{USER}:{SECRET}@{self.place}/0")
        admin = await self.connect(f"redis://{USER}:{SECRET}@{self.place}/0")
        await admin.redis.send("ACL", "SETUSER", USER, "resetpass", ">other")
        await admin.redis.send("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await until(lambda: thoonk._connections.publisher.failures > 0)
        self.check_shown(thoonk._connections.publisher.last_error)
        call = thoonk.redis.ping()
        # The connection of admin was made before the change, and stays.
        await admin.redis.send("ACL", "SETUSER", USER, "resetpass", f">{SECRET}")
        self.assertEqual(await call, "PONG")


def _user_and_db(line: str) -> tuple[str, str]:
    words = dict(word.partition("=")[::2] for word in line.split())
    return words["user"], words["db"]


class OfferTests(RedisTestCase):
    """The methods of a service that publishers and subscribers have."""

    async def setUp(self) -> None:
        await super().setUp()
        words = {name: self.arguments()[name] for name in ("username", "password")}
        self.thoonk = Thoonk(self.target.text, reactor, **words)
        await self.thoonk.connect()
        self.addCleanup(self.thoonk.close)

    def test_all_methods(self) -> None:
        """A service has every public method of ThoonkPub and ThoonkSub."""
        for cls in (ThoonkPub, ThoonkSub):
            own = {"connectionLost", "makeConnection", "messageReceived", "channelSubscribed"}
            for name in {name for name in vars(cls) if not name.startswith("_")} - own:
                if callable(getattr(cls, name)) and name != "set_redis":
                    self.assertTrue(callable(getattr(self.thoonk, name)), name)

    async def test_feed_types(self) -> None:
        """The feeds of a service work like those of a publisher."""
        sorted_feed = await self.thoonk.sorted_feed("s")
        id_ = await sorted_feed.append("item")
        self.assertEqual(await sorted_feed.get_ids(), [id_])
        job = await self.thoonk.job("j")
        wanted = self.thoonk.redis  # a result is awaited on a connection of its own
        self.assertIs(wanted, self.thoonk.redis)
        number = await job.put("query")
        result = job.get_result(number)
        claim, _, _ = await job.get()
        await job.finish(claim, "answer")
        self.assertEqual(await result, ("query", "answer"))
        self.assertEqual(await self.thoonk.get_feed_names(), {"s", "j"})
        await self.thoonk.create_feed("made", {"type": "queue"})
        queue = await self.thoonk.queue("made")
        await queue.put("a")
        self.assertEqual(await queue.get(1), "a")

    async def test_handlers(self) -> None:
        """Handlers can be registered for channels and for the events of feeds."""
        heard = Recorder()
        id_ = await self.thoonk.register_handler("feed.publish:x", heard.named("item"))
        await self.thoonk.register_handler("create", heard.named("create"))
        feed = await self.thoonk.feed("x")
        await feed.publish("item", "1")
        created, item = await heard.wait(2)
        self.assertEqual((created[:2], item), (("create", "x"), ("item", "1", "item")))
        self.thoonk.remove_handler(id_)
        await self.numsub("feed.publish:x", 0)

    async def test_application(self) -> None:
        """A service starts and stops with its parent application."""
        application = Application("app")
        thoonk = Thoonk(
            self.target.text,
            **{name: self.arguments()[name] for name in ("username", "password")},
        )
        thoonk.setServiceParent(application)
        service = IService(application)
        service.privilegedStartService()
        service.startService()
        self.assertIs(await thoonk.whenConnected(), thoonk)
        self.assertEqual(await thoonk.redis.ping(), "PONG")
        await service.stopService()
        self.assertEqual((thoonk.state, thoonk.running), ("stopped", 0))

    async def test_connect_cancelled(self) -> None:
        """Cancelling ``connect`` stops the service."""
        thoonk = Thoonk(self.target.text, reactor)
        connecting = thoonk.connect()
        connecting.cancel()
        await self.assertFailure(connecting, CancelledError)
        self.assertEqual(thoonk.state, "stopped")
