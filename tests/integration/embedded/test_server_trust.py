"""A private redis-server refuses files and folders that another user may control."""

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
        """Check that a start fails, names the bad path, and starts nothing."""
        server = self.server(folder)
        error = await self.fails_to_start(server)
        self.assertIn(f"{named or folder} ", error)
        self.assertFalse(server.is_up)
        return error

    async def test_made(self) -> None:
        """All files and folders that the server creates are private, whatever the umask."""
        folder = self.folder() / "above" / "data"
        self.addCleanup(os.umask, os.umask(0))
        server = self.server(folder)
        await server.start()
        made = [folder.parent, folder, *(folder / n for n in ("server.lock", "server.json"))]
        self.assertEqual([path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077], [])

    async def test_writable(self) -> None:
        """A folder, lock file or state file that other users can write is refused."""
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
        """A lock file or state file that is a link is refused, and its target is not changed."""
        for name in (_supervisor.LOCK_FILE, _supervisor.STATE_FILE):
            folder, target = self.folder(), Path(self.mktemp())
            target.write_text("mine")
            (folder / name).symlink_to(target.absolute())
            await self.refuses(folder, folder / name)
            self.assertEqual(target.read_text(), "mine")

    async def test_own_link(self) -> None:
        """A link of this user to a folder of this user works like the folder itself."""
        folder = self.folder()
        link = Path(os.path.abspath(self.mktemp()))
        link.symlink_to(folder)
        first, second = self.server(link), self.server(link)
        await first.start()
        await second.start()
        self.assertEqual(second.pid, first.pid)

    async def test_above(self) -> None:
        """A folder is refused if others can write its parent, unless that has the sticky bit."""
        above = self.folder(0o777)
        await self.refuses(above / "data", above)
        above.chmod(0o1777)
        await self.server(above / "data").start()

    @as_root
    async def test_anothers_folder(self) -> None:
        """A folder of another user is refused, and the error names the owner."""
        folder = self.folder()
        self.give_away(folder)
        error = await self.refuses(folder)
        self.assertIn(f"belongs to user {STRANGER}", error)

    @as_root
    async def test_anothers_parent(self) -> None:
        """A folder inside another user's folder is refused, because that user can replace it."""
        above = self.folder()
        (above / "data").mkdir(0o700)
        self.give_away(above)
        await self.refuses(above / "data", above)

    @as_root
    async def test_anothers_link(self) -> None:
        """A link of another user is refused, as the folder or as a part of its path."""
        folder = self.folder()
        link = Path(os.path.abspath(self.mktemp()))
        link.symlink_to(folder)
        self.give_away(link)
        await self.refuses(link)
        await self.refuses(link / "data", link)

    @as_root
    async def test_planted_files(self) -> None:
        """A folder with a file of another user is refused: others could write there once."""
        for name in (_supervisor.LOCK_FILE, _supervisor.STATE_FILE, "redis.log", "appendonlydir"):
            folder = self.folder()
            (folder / name).touch()
            self.give_away(folder / name)
            await self.refuses(folder, folder / name)

    @as_root
    async def test_planted_socket(self) -> None:
        """A running server is not joined if another user has replaced its socket."""
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
