"""A database for each test, SQLite always and PostgreSQL where `LLM_MUX_TEST_POSTGRES` names a server."""

import pathlib
import secrets
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from llm_mux.ledger.database import Database
from tests.services import named


@pytest.fixture(params=["sqlite", "postgresql"])
async def location(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> AsyncIterator[pathlib.Path | str]:
    """What `Database` is given: nothing is there yet."""
    if request.param == "sqlite":
        yield tmp_path / "data" / "ledger.db"
        return
    server = named("LLM_MUX_TEST_POSTGRES", "PostgreSQL")
    name = f"llm_mux_test_{secrets.token_hex(6)}"
    await _administer(server, f"CREATE DATABASE {name}")
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    await _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _administer(server: str, statement: str) -> None:
    url = make_url(server).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@pytest.fixture
async def database(location: pathlib.Path | str) -> AsyncIterator[Database]:
    database = Database(location)
    yield database
    await database.close()


@pytest.fixture
async def sqlite(tmp_path: pathlib.Path) -> AsyncIterator[Database]:
    """For what only a file can do; a short wait for locks."""
    database = Database(tmp_path / "data" / "ledger.db", busy_s=0.01)
    yield database
    await database.close()
