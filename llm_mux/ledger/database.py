"""The database behind the books: SQLite in the data folder, or PostgreSQL by DSN, behind the same two calls.

Rule: making a `Database` costs nothing. The first use connects in a thread and brings the tables up to date, so the
listening socket waits for none of it; SQLite's rows need no SQLAlchemy (`run`), which the first other use loads. No
message of this module holds a password or a value of a row. SQLite has one writer at a time: `write` takes its turn in
here first, then its lock on the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from llm_mux.ledger.revision import up_to_date
from llm_mux.ledger.statements import OfPostgres, OfSqlite, Statements
from llm_mux.paths import private_dir

if TYPE_CHECKING:
    from sqlite3 import Connection as SqliteConnection

    from sqlalchemy import URL, Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

BUSY_S = 2.0
"""How long SQLite waits for another process's lock before the caller hears of it."""

CONNECT_S = 5.0
"""How long PostgreSQL may take to let us in."""

T = TypeVar("T")
_GOODBYE_S = 2.0
"""A server that does not answer is not waited for."""
_POSTGRES = ("postgresql", "postgres", "postgresql+asyncpg")


def located(setting: str | None, data_dir: Path) -> Path | str:
    """Where `usage.database` says that the books are; null: in the data folder."""
    return setting or data_dir / "llm-mux.sqlite"


class DatabaseSettingError(Exception):
    """`usage.database` names no database this program can use."""


class _NoView(BaseException):
    """SQLAlchemy's first look at a connection undoes what that has begun, so it comes before; then all is done anew."""


class Database:
    """`location` is a file for SQLite, or a DSN: postgresql://user:password@host/name, sqlite:///file."""

    def __init__(self, location: Path | str, *, busy_s: float = BUSY_S) -> None:
        self._dsn, self._file = _place(location)
        self._busy_s = busy_s
        self._opened = False
        # SQLite's engines are made when asked for: what rows need is lighter by a fifth of the daemon's memory.
        self._engine: AsyncEngine | None = None
        self._threaded: Engine | None = None
        self._plain: SqliteConnection | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._reading: _Readers | None = None
        self._opening = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._inode: tuple[int, int] | None = None

    @property
    def description(self) -> str:
        """Where the books are, for a person; without user and password."""
        if self._file is not None:
            return f"SQLite at {self._file}"
        parts = urlsplit(self._dsn or "")
        return f"PostgreSQL at {parts.hostname or 'the local socket'}{parts.path}"

    @property
    def shared(self) -> bool:
        """Whether daemons of other machines may use it too."""
        return self._file is None

    @property
    def opened(self) -> bool:
        """Whether somebody has used it."""
        return self._opened

    async def open(self) -> None:
        """Connect and bring the tables up to date; nothing to do when that is done and the file is still there."""
        if self._opened and not self._vanished():
            return
        async with self._opening:
            if self._opened:
                if not self._vanished():
                    return
                await self.close()
            await (self._connect() if self._file is None else self._open_file(self._file))
            self._opened = True

    async def close(self) -> None:
        """Let go of the connections; the next call opens it again."""
        self._opened = False
        engine, self._engine = self._engine, None
        if engine is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await engine.dispose()
        thread, self._thread = self._thread, None
        if thread is not None:
            threaded, self._threaded, plain, self._plain = self._threaded, None, self._plain, None
            thread.submit(_dispose, threaded, plain)
            await asyncio.to_thread(thread.shutdown)
        reading, self._reading = self._reading, None
        if reading is not None:
            await asyncio.to_thread(reading.close)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection inside a transaction that sees one state of the books."""
        async with (await self._asked()).begin() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A connection inside a transaction that may write; committed at the end, undone by an exception."""
        engine = (await self._asked()).execution_options(writes=True)
        async with self._turn if self._file else contextlib.nullcontext(), engine.begin() as connection:
            yield connection

    async def run(self, work: Callable[[Statements], T]) -> T:
        """What `work` makes of plain SQL inside a transaction that may write. For much at once: SQLite's part of it
        runs in one thread from begin to commit, where `write` comes back to the event loop for every statement."""
        await self.open()
        if self._thread is None:
            async with self.write() as connection:
                return await connection.run_sync(lambda each: work(OfPostgres(each)))
        async with self._turn:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._plainly, work)

    async def look(self, work: Callable[[Statements], T]) -> T:
        """As `run`, for reading: no writer waits for it, and it waits for none."""
        await self.open()
        if self._file is None:
            async with self.read() as connection:
                return await connection.run_sync(lambda each: work(OfPostgres(each)))
        if self._reading is None:
            self._reading = _Readers(self._file, self._busy_s)
        return await asyncio.get_running_loop().run_in_executor(self._reading.threads, self._reading.look, work)

    def _in_thread(self, work: Callable[[Connection], T]) -> T:
        with self._engine_in_thread().begin() as connection:
            return work(connection)

    def _plainly(self, work: Callable[[Statements], T]) -> T:
        try:
            return self._in_plain_transaction(work)
        except _NoView:
            self._engine_in_thread().connect().close()
            return self._in_plain_transaction(work)

    def _in_plain_transaction(self, work: Callable[[Statements], T]) -> T:
        assert self._plain is not None
        views: list[Connection] = []

        def sqlalchemy() -> Connection:
            if self._threaded is None:
                raise _NoView
            if not views:
                views.append(self._threaded.connect())
            return views[0]

        self._plain.execute("BEGIN IMMEDIATE")
        try:
            done = work(OfSqlite(self._plain, sqlalchemy))
            self._plain.commit()
        except BaseException:
            self._plain.rollback()
            raise
        finally:
            for view in views:
                view.close()
        return done

    def _engine_in_thread(self) -> Engine:
        if self._threaded is None:
            assert self._plain is not None
            self._threaded = _threaded(self._plain)
        return self._threaded

    async def _asked(self) -> AsyncEngine:
        """What is asked from the event loop."""
        await self.open()
        while (engine := self._engine) is None:
            async with self._opening:
                if self._engine is None and self._file is not None:
                    self._engine = await asyncio.to_thread(_sqlite, self._file, self._busy_s)
            await self.open()
        return engine

    async def _connect(self) -> None:
        engine = await asyncio.to_thread(self._make_engine)
        try:
            async with engine.execution_options(writes=True).begin() as connection:
                await connection.run_sync(_to_newest)
        except BaseException:
            await engine.dispose()
            raise
        self._engine = engine

    async def _open_file(self, file: Path) -> None:
        thread = self._thread = ThreadPoolExecutor(1, "ledger")
        try:
            await asyncio.get_running_loop().run_in_executor(thread, self._prepare, file)
        except BaseException:
            await self.close()
            raise
        self._inode = _inode(file)

    def _prepare(self, file: Path) -> None:
        _prepare_file(file, self._busy_s)
        plain = self._plain = _connected(file, self._busy_s)
        if not self._plainly(lambda _: up_to_date(plain)):
            self._in_thread(_to_newest)

    def _vanished(self) -> bool:
        """Whether the file was deleted or replaced: SQLite would go on writing into what nobody can open any more."""
        return self._file is not None and self._inode != _inode(self._file)

    def _make_engine(self) -> AsyncEngine:
        import_module("llm_mux.ledger.upgrade")  # so that the event loop does not wait for it
        return _postgres(self._dsn or "")


def _to_newest(connection: Connection) -> None:
    from llm_mux.ledger import upgrade

    upgrade.to_newest(connection)


def _place(location: Path | str) -> tuple[str | None, Path | None]:
    """(DSN, None) for PostgreSQL, (None, file) for SQLite."""
    if isinstance(location, Path):
        return None, location
    scheme, separator, rest = location.partition("://")
    if not separator and scheme:
        return None, Path(location).expanduser()
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return None, Path(rest[1:])
    if scheme in _POSTGRES and rest:
        return location, None
    raise DatabaseSettingError(
        f"usage.database: cannot use {scheme or 'an empty value'}; "
        "give postgresql://user:password@host/name, a file, or null for SQLite in the data folder"
    )


def _inode(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _sqlite(file: Path, busy_s: float) -> AsyncEngine:
    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(file)),
        hide_parameters=True,
        pool_size=3,
        max_overflow=0,
        connect_args={"timeout": busy_s},
    )
    _set_up_sqlite(engine.sync_engine)
    return engine


def _connected(file: Path, busy_s: float, *, own_thread: bool = True) -> SqliteConnection:
    """For the thread that makes it, and whoever comes after it; it begins no transaction by itself."""
    import sqlite3

    connection = sqlite3.connect(file, timeout=busy_s, isolation_level=None, check_same_thread=own_thread)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _threaded(plain: SqliteConnection) -> Engine:
    """SQLAlchemy's view of the connection, also amid a transaction of it; for the same thread."""
    from sqlalchemy import StaticPool, create_engine

    engine = create_engine(
        "sqlite://", creator=lambda: plain, hide_parameters=True, poolclass=StaticPool, pool_reset_on_return=None
    )
    _set_up_sqlite(engine)
    return engine.execution_options(writes=True)


class _Readers:
    """A few threads, each with a connection; as many as look at once."""

    def __init__(self, file: Path, busy_s: float) -> None:
        self._file = file
        self._busy_s = busy_s
        self._own = threading.local()
        self._all: list[SqliteConnection] = []
        self.threads = ThreadPoolExecutor(3, "ledger-reader")

    def look(self, work: Callable[[Statements], T]) -> T:
        if (connection := getattr(self._own, "connection", None)) is None:
            connection = self._own.connection = _connected(self._file, self._busy_s, own_thread=False)
            self._all.append(connection)
        connection.execute("BEGIN")
        try:
            return work(OfSqlite(connection, _no_view))
        finally:
            connection.rollback()

    def close(self) -> None:
        """Those that look are broken off."""
        for connection in self._all:
            connection.interrupt()
        self.threads.shutdown()
        for connection in self._all:
            connection.close()


def _no_view() -> Connection:
    raise NotImplementedError("whoever only looks does without SQLAlchemy")


def _dispose(engine: Engine | None, plain: SqliteConnection | None) -> None:
    if engine is not None:
        engine.dispose()
    if plain is not None:
        plain.close()


def _prepare_file(file: Path, busy_s: float) -> None:
    """Make the file, its owner's alone, and have it keep a write-ahead log, which it remembers. Blocks."""
    import sqlite3

    private_dir(file.parent)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    deadline = time.monotonic() + busy_s
    with contextlib.closing(sqlite3.connect(file, timeout=busy_s)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                # Two processes that switch a new file at once: SQLite refuses one at once, whatever its timeout.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


def _set_up_sqlite(engine: Engine) -> None:
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: object) -> None:
        # Python's sqlite3 starts transactions late and not around DDL; without it, `begin` below does it properly.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        plain: Any = connection.connection.driver_connection
        if not plain.in_transaction:  # it may have begun before (`OfSqlite`)
            writes = connection.get_execution_options().get("writes")
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgres(dsn: str) -> AsyncEngine:
    from sqlalchemy.ext.asyncio import create_async_engine

    try:
        return create_async_engine(
            _postgres_url(dsn),
            hide_parameters=True,
            pool_size=4,
            pool_pre_ping=True,
            connect_args={"timeout": CONNECT_S},
        )
    except ModuleNotFoundError as error:
        raise DatabaseSettingError(
            "usage.database: PostgreSQL needs asyncpg; install it with: pip install 'llm-mux[postgres]'"
        ) from error


def _postgres_url(dsn: str) -> URL:
    """The DSN for asyncpg, which calls libpq's `sslmode` just `ssl`."""
    from sqlalchemy import make_url

    url = make_url(dsn).set(drivername="postgresql+asyncpg")
    mode = url.query.get("sslmode")
    return url if mode is None else url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})


def reason(error: BaseException) -> str:
    """One line on what went wrong, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return (lines[0] if lines else type(cause).__name__)[:200]
