"""A private redis-server trusts only what no other user of the machine can have put there."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from unittest import skipUnless

from tests.support.server import ServerTestCase, ask
from txthoonk.embedded import _supervisor

STRANGER = 65534  # "nobody"

as_root = skipUnless(os.geteuid() == 0, "only root can give files to another user")


class TrustTests(ServerTestCase):
    def folder(self, mode: int = 0o700) -> Path:
        folder = Path(os.path.abspath(self.mktemp()))
        folder.mkdir()
        folder.chmod(mode)
        return folder

    def give_away(self, path: Path) -> None:
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)

    async def refuses(self, folder: Path, named: Path | None = None) -> str:
        """Start in vain; the error names what is wrong, and nothing has been started."""
        server = self.server(folder)
        error = await self.fails_to_start(server)
        self.assertIn(f"{named or folder} ", error)
        self.assertFalse(server.is_up)
        return error

    async def test_made(self) -> None:
        """What it makes is for this user only, the folders above included, whatever the umask."""
        folder = self.folder() / "above" / "data"
        self.addCleanup(os.umask, os.umask(0))
        server = self.server(folder)
        await server.start()
        made = [folder.parent, folder, *(folder / n for n in ("server.lock", "server.json"))]
        self.assertEqual([path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077], [])

    async def test_writable(self) -> None:
        """A folder, a lock or a state file that others can write is refused, and says its mode."""
        for mode in (0o720, 0o702, 0o1777):
            folder = self.folder(mode)
            error = await self.refuses(folder)
            self.assertIn(f"mode {mode:04o}", error)
            self.assertIn("chmod go-w", error)
            self.assertEqual(list(folder.iterdir()), [])
        for name in (_supervisor.LOCK_FILE, _supervisor.STATE_FILE):
            folder = self.folder()
            (folder / name).touch()
            (folder / name).chmod(0o666)
            await self.refuses(folder, folder / name)

    async def test_links(self) -> None:
        """A lock or a state file that is a link is refused; its target stays as it is."""
        for name in (_supervisor.LOCK_FILE, _supervisor.STATE_FILE):
            folder, target = self.folder(), Path(self.mktemp())
            target.write_text("mine")
            (folder / name).symlink_to(target.absolute())
            await self.refuses(folder, folder / name)
            self.assertEqual(target.read_text(), "mine")

    async def test_own_link(self) -> None:
        """A link of this user's to a folder of its own is as good as the folder."""
        folder = self.folder()
        link = Path(os.path.abspath(self.mktemp()))
        link.symlink_to(folder)
        first, second = self.server(link), self.server(link)
        await first.start()
        await second.start()
        self.assertEqual(second.pid, first.pid)

    async def test_above(self) -> None:
        """A folder that others can replace is refused; the sticky bit keeps them from it."""
        above = self.folder(0o777)
        await self.refuses(above / "data", above)
        above.chmod(0o1777)
        await self.server(above / "data").start()

    @as_root
    async def test_anothers_folder(self) -> None:
        """Another user's folder is refused, with its owner."""
        folder = self.folder()
        self.give_away(folder)
        error = await self.refuses(folder)
        self.assertIn(f"belongs to user {STRANGER}", error)

    @as_root
    async def test_anothers_parent(self) -> None:
        """So is a folder in another user's, which can be replaced at any time."""
        above = self.folder()
        (above / "data").mkdir(0o700)
        self.give_away(above)
        await self.refuses(above / "data", above)

    @as_root
    async def test_anothers_link(self) -> None:
        """So is a link of another user, wherever it leads, and whatever it stands for."""
        folder = self.folder()
        link = Path(os.path.abspath(self.mktemp()))
        link.symlink_to(folder)
        self.give_away(link)
        await self.refuses(link)
        await self.refuses(link / "data", link)

    @as_root
    async def test_planted_files(self) -> None:
        """So is a folder with any file of another user: it must have been open to all once."""
        for name in (_supervisor.LOCK_FILE, _supervisor.STATE_FILE, "redis.log", "appendonlydir"):
            folder = self.folder()
            (folder / name).touch()
            self.give_away(folder / name)
            await self.refuses(folder, folder / name)

    @as_root
    async def test_planted_socket(self) -> None:
        """A running server's socket that another user has replaced is not joined."""
        folder, elsewhere = self.folder(), Path(tempfile.mkdtemp())  # a short path
        self.addCleanup(shutil.rmtree, elsewhere)
        server = self.server(folder)
        await server.start()
        state = _supervisor.read_state(str(folder))
        assert state is not None
        path = elsewhere / "redis.sock"
        with socket.socket(socket.AF_UNIX) as planted:
            planted.bind(str(path))
            planted.listen()
            self.give_away(path)
            (folder / "server.json").write_text(
                json.dumps(state._replace(socket=str(path))._asdict())
            )
            await self.refuses(folder, path)
        self.assertEqual(await ask(server, "PING"), "PONG")
