"""A PostgreSQL and a Redis of a test's own, to be killed, paused, made slow and filled up; the shared ones are nobody's
to stop. And the addresses to reach them at: straight, or by a relay that takes its time."""

import asyncio
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator

import asyncpg
import psutil

from tests.services import missing

NOBODY = 65534
START_S = 30
_PROGRAMS = "/usr/lib/postgresql"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def listening(port: int, host: str) -> None:
    async with asyncio.timeout(START_S):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                return
            await asyncio.sleep(0.02)


class Own:
    """A server in processes of its own, all of which hear what is done to one of them."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    async def start(self) -> None:
        self.process = subprocess.Popen(self.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await self.up()

    async def up(self) -> None:
        await listening(self.port, self.host)

    def send(self, number: int) -> None:
        assert self.process is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.process.pid)
            for each in (first, *first.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.send_signal(number)

    def kill(self) -> None:
        """As a machine that loses power would."""
        if self.process is not None:
            self.send(signal.SIGKILL)
            self.process.wait()
            self.process = None

    @contextlib.asynccontextmanager
    async def killed(self) -> AsyncIterator[None]:
        self.kill()
        yield
        await self.start()

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)


class OwnRedis(Own):
    """`durable`: it knows after a kill what it had confirmed before."""

    def __init__(self, folder: pathlib.Path, *, host: str = "127.0.0.1", durable: bool = False) -> None:
        super().__init__(host)
        self._program = shutil.which("redis-server") or missing("there is no redis-server here")
        self._folder, self._durable = folder, durable
        self.url = f"redis://{host}:{self.port}/0"

    def command(self) -> list[str]:
        durable = ["--appendonly", "yes", "--appendfsync", "always"] if self._durable else []
        where = ["--port", str(self.port), "--bind", self.host, "--protected-mode", "no"]
        return [self._program, *where, "--save", "", "--dir", str(self._folder), *durable]

    @contextlib.asynccontextmanager
    async def full(self) -> AsyncIterator[None]:
        """It takes nothing new."""
        await self.say(b"CONFIG SET maxmemory 1\r\n")
        yield
        await self.say(b"CONFIG SET maxmemory 0\r\n")

    async def say(self, line: bytes) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(line)
        assert await reader.readline() == b"+OK\r\n"
        writer.close()


class OwnPostgres(Own):
    """`made` is how to get one: it needs a folder that its own user may enter."""

    def __init__(self, folder: pathlib.Path, *, host: str = "127.0.0.1") -> None:
        super().__init__(host)
        found = sorted(pathlib.Path(_PROGRAMS).glob("*/bin/postgres"))
        here = shutil.which("postgres") or (str(found[-1]) if found else missing("there is no PostgreSQL here"))
        self._programs = pathlib.Path(here).parent
        self.data = folder / "data"
        self.data.mkdir()
        # It refuses to be root.
        self._as: list[str] = []
        if os.geteuid() == 0:
            os.chown(self.data, NOBODY, NOBODY)
            self._as = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]

    @classmethod
    @contextlib.contextmanager
    def made(cls, *, host: str = "127.0.0.1") -> "Iterator[OwnPostgres]":
        with tempfile.TemporaryDirectory(prefix="llm-mux-test-") as name:
            folder = pathlib.Path(name)
            folder.chmod(0o711)
            server = cls(folder, host=host)
            options = ["-D", str(server.data), "-U", "tests", "--auth=trust", "--no-sync", "--no-instructions"]
            command = [*server._as, str(server._programs / "initdb"), *options]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")
            with (server.data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all 198.18.0.0/15 trust\n")
            try:
                yield server
            finally:
                server.kill()

    def command(self) -> list[str]:
        settings = [f"listen_addresses={self.host}", "unix_socket_directories=", "fsync=off", "shared_buffers=16MB"]
        options = [word for setting in settings for word in ("-c", setting)]
        return [*self._as, str(self._programs / "postgres"), "-D", str(self.data), "-p", str(self.port), *options]

    async def up(self) -> None:
        async with asyncio.timeout(START_S):
            while True:
                with contextlib.suppress(OSError, asyncpg.PostgresError):
                    await self.run("SELECT 1")
                    return
                await asyncio.sleep(0.05)

    def dsn(self, database: str = "postgres", *, port: int | None = None) -> str:
        return f"postgresql://tests@{self.host}:{port or self.port}/{database}"

    async def run(self, statement: str, database: str = "postgres") -> "list[asyncpg.Record]":
        connection = await asyncpg.connect(self.dsn(database), timeout=10)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()


class Relay:
    """Passes bytes on to a port, each piece `delay_s` later, both ways."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.delay_s = 0.0
        self.port = 0

    @contextlib.contextmanager
    def running(self) -> "Iterator[Relay]":
        """In a thread of its own: it goes on while a test waits for a daemon to end."""
        there = threading.Event()

        async def serve() -> None:
            self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
            async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
                self.port = server.sockets[0].getsockname()[1]
                there.set()
                await self._over.wait()

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        assert there.wait(START_S)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._over.set)
            thread.join()

    @contextlib.asynccontextmanager
    async def slow(self, delay_s: float) -> AsyncIterator[None]:
        self.delay_s = delay_s
        yield
        self.delay_s = 0.0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, forth))
                group.create_task(self._pass(back, writer))
        finally:
            forth.close()
            writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
        writer.close()
