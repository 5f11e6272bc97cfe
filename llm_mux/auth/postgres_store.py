"""Secrets in PostgreSQL, for fleets without a keyring: every daemon sees the same accounts and logins.

Rule: the database never has what opens it. Each secret has a random key of its own (AES-256-GCM); that key is sealed
under the one of `LLM_MUX_SECRETS_KEY`. A lock on an account is a lock of the database: it ends with its holder's
connection. Everything here blocks; the work is done by one thread with its own event loop.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import secrets
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from llm_mux.auth.sealed import StoreError
from llm_mux.paths import write_private

T = TypeVar("T")
KEY = "LLM_MUX_SECRETS_KEY"
DATABASE = "LLM_MUX_SECRETS_DATABASE"
_TABLE = "llm_mux_secrets"
_TIMEOUT_S = 10.0
_MAKING = 7_305_808_869_232_668_012
"""The lock under which the table is made."""
_CREATE = f"""
CREATE TABLE IF NOT EXISTS {_TABLE} (
  name text PRIMARY KEY, sealed_key bytea NOT NULL, data bytea NOT NULL, revision bigserial NOT NULL)
"""
_PUT = f"""
INSERT INTO {_TABLE} (name, sealed_key, data) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE
SET sealed_key = excluded.sealed_key, data = excluded.data, revision = nextval('{_TABLE}_revision_seq')
"""  # noqa: S608  # our own name


def from_environment(env: Mapping[str, str], mark: Path | None = None) -> PostgresStore:
    """The store that the environment names; `mark` is written anew at each change. Raises StoreError."""
    dsn = env.get(DATABASE) or env.get("LLM_MUX_USAGE_DATABASE", "")
    if not dsn.startswith(("postgresql://", "postgres://")):
        raise StoreError(
            f"LLM_MUX_KEYRING=postgresql needs {DATABASE} (or LLM_MUX_USAGE_DATABASE) in the environment, such as "
            "postgresql://user:password@host/name: the commands read no configuration to find secrets"
        )
    try:
        keys = [base64.b64decode(word, validate=True) for word in env.get(KEY, "").split()]
    except ValueError:
        keys = []
    if not keys or any(len(key) != 32 for key in keys):
        raise StoreError(f"{KEY} must be 32 random bytes in base64 (openssl rand -base64 32); old keys may follow it")
    return PostgresStore(dsn, keys, mark)


class PostgresStore:
    """`keys`: the first one seals, all of them open. `mark` is a file by which this machine's daemon sees changes."""

    def __init__(self, dsn: str, keys: Sequence[bytes], mark: Path | None = None) -> None:
        self._mark = mark
        self._dsn = dsn
        self._keys = list(keys)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._connection: Any = None
        self._turn = asyncio.Lock()

    @property
    def description(self) -> str:
        return f"PostgreSQL (opened by {KEY})"

    def get(self, name: str) -> str | None:
        query = f"SELECT sealed_key, data FROM {_TABLE} WHERE name = $1"  # noqa: S608  # our own name
        row = self._run(self._asked("fetchrow", query, name))
        return None if row is None else self._opened(name, bytes(row[0]), bytes(row[1]))

    def set(self, name: str, value: str) -> None:
        if not name or name.startswith(".") or not name.isprintable():
            raise StoreError("the name of a secret must be printable and must not start with a dot")
        self._run(self._asked("execute", _PUT, name, *self._sealed(name, value)))
        self.changed()

    def renew(self, name: str, value: str) -> None:
        renewed = f"UPDATE {_TABLE} SET sealed_key = $2, data = $3 WHERE name = $1"  # noqa: S608  # our own name
        if self._run(self._asked("execute", renewed, name, *self._sealed(name, value))) == "UPDATE 0":
            self.set(name, value)

    def delete(self, name: str) -> None:
        gone = f"DELETE FROM {_TABLE} WHERE name = $1"  # noqa: S608  # our own name
        self._run(self._asked("execute", gone, name))
        self.changed()

    def names(self) -> list[str]:
        rows = self._run(self._asked("fetch", f"SELECT name FROM {_TABLE} ORDER BY name"))  # noqa: S608  # our own name
        return [row[0] for row in rows]

    def state(self) -> tuple[int, int]:
        """Changes whenever a secret does."""
        query = f"SELECT count(*), coalesce(max(revision), 0) FROM {_TABLE}"  # noqa: S608  # our own name
        row = self._run(self._asked("fetchrow", query))
        return int(row[0]), int(row[1])

    @contextlib.contextmanager
    def holding(self, account: str) -> Iterator[None]:
        """Hold the lock of one account's login among all daemons; one that is taken raises BlockingIOError."""
        number = int.from_bytes(hashlib.sha256(f"llm-mux login {account}".encode()).digest()[:8], signed=True)
        connection = self._run(self._connected())
        try:
            if not self._run(_bounded(connection.fetchval("SELECT pg_try_advisory_lock($1)", number))):
                raise BlockingIOError
            yield
        finally:
            # The lock ends with the connection.
            self._run(_closed(connection))

    def changed(self) -> None:
        """Have this machine's daemon read the secrets again."""
        if self._mark is not None:
            write_private(self._mark, b"postgresql\n")

    def close(self) -> None:
        if self._loop is not None:
            if self._connection is not None:
                self._run(_closed(self._connection))
            self._loop.call_soon_threadsafe(self._loop.stop)
            if self._thread is not None:
                self._thread.join()
            self._loop.close()
            self._loop = self._thread = None

    def _sealed(self, name: str, value: str) -> tuple[bytes, bytes]:
        own = secrets.token_bytes(32)
        return _seal(self._keys[0], own, name), _seal(own, value.encode(), name)

    def _opened(self, name: str, sealed_key: bytes, data: bytes) -> str:
        for key in self._keys:
            if (own := _open(key, sealed_key, name)) is not None and (value := _open(own, data, name)) is not None:
                return value.decode()
        raise StoreError(f"a secret in PostgreSQL cannot be opened: {KEY} is another one than it was sealed with")

    async def _asked(self, how: str, query: str, *values: object) -> Any:
        """One after the other: a connection does one thing at a time."""
        async with self._turn:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._prepared()
            return await getattr(self._connection, how)(query, *values, timeout=_TIMEOUT_S)

    async def _prepared(self) -> Any:
        connection = await self._connected()
        # Of two that make the table at once one is refused, also where it says IF NOT EXISTS.
        await connection.execute(f"SELECT pg_advisory_lock({_MAKING})")
        try:
            await connection.execute(_CREATE)
        finally:
            await connection.execute(f"SELECT pg_advisory_unlock({_MAKING})")
        return connection

    async def _connected(self) -> Any:
        try:
            import asyncpg
        except ModuleNotFoundError as error:
            message = "LLM_MUX_KEYRING=postgresql needs asyncpg; install it with: pip install 'llm-mux[postgres]'"
            raise StoreError(message) from error
        return await asyncpg.connect(self._dsn, timeout=_TIMEOUT_S, command_timeout=_TIMEOUT_S)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        with self._starting:
            if self._loop is None:
                self._loop, self._turn = asyncio.new_event_loop(), asyncio.Lock()
                self._thread = threading.Thread(target=self._loop.run_forever, name="llm-mux secrets", daemon=True)
                self._thread.start()
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(3 * _TIMEOUT_S)
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"secrets in PostgreSQL: it does not answer ({type(error).__name__})") from error


async def _bounded(work: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(_TIMEOUT_S):
        return await work


async def _closed(connection: Any) -> None:
    with contextlib.suppress(Exception):
        await connection.close(timeout=1)


def _seal(key: bytes, content: bytes, name: str) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(12)
    return nonce + AESGCM(key).encrypt(nonce, content, name.encode())


def _open(key: bytes, sealed: bytes, name: str) -> bytes | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:12], sealed[12:], name.encode())
    except InvalidTag:
        return None
