"""What commands share: the configuration that was asked for, the secret store, the known providers.

Rule: nothing is imported before a command asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click

from llm_mux.cli.said import clean

if TYPE_CHECKING:
    from llm_mux.auth.store import SecretStore
    from llm_mux.config import Loaded
    from llm_mux.ledger.database import Database

T = TypeVar("T")


class Failure(click.ClickException):
    """A command that could not do its work: one line that says what to do, exit code 1."""


class Invocation(NamedTuple):
    """One call of `llm-mux`. `config_option` is what `--config` named."""

    config_option: Path | None = None

    def path(self) -> Path:
        from llm_mux import paths

        return self.config_option.expanduser().absolute() if self.config_option else paths.config_file()

    def load(self, overrides: Mapping[str, object] | None = None) -> Loaded:
        """The configuration in effect. A file that was named must exist."""
        from llm_mux.config import load

        named = self.config_option is not None or bool(os.environ.get("LLM_MUX_CONFIG"))
        return load(self.path(), os.environ, overrides, known_types=known_types(), required=named)


pass_invocation = click.make_pass_decorator(Invocation, ensure=True)


def known_types() -> Collection[str]:
    """The types that a provider of the configuration may have, short names included."""
    from llm_mux.providers import registry

    return [*registry.names(), *registry.ALIASES]


def full_name(provider: str, loaded: Loaded) -> str:
    """The name that accounts of a provider are kept under: `anthropic` for `claude`; ids of the configuration stay."""
    from llm_mux.providers import registry

    if any(entry.id == provider for entry in loaded.config.providers):
        return provider
    return registry.ALIASES.get(provider, provider)


def open_secrets() -> SecretStore:
    from llm_mux import paths
    from llm_mux.auth.store import open_store

    return open_store(env=os.environ, data_dir=paths.data_dir())


def with_database(invocation: Invocation, use: Callable[[Database], Awaitable[T]]) -> T:
    """What `use` makes of the books' database, the same that a daemon of this configuration has."""
    import asyncio

    from llm_mux import paths
    from llm_mux.ledger.database import Database, DatabaseSettingError, located, reason

    async def run(location: Path | str) -> T:
        database = Database(location)
        try:
            return await use(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run(located(invocation.load().config.usage.database, paths.data_dir())))
    except DatabaseSettingError as error:
        raise Failure(str(error)) from error
    except Exception as error:
        if not type(error).__module__.startswith(("sqlalchemy", "asyncpg", "sqlite3")):
            raise
        raise Failure(f"the database cannot be used: {clean(reason(error))}") from error


def warn(text: str) -> None:
    click.echo(f"llm-mux: warning: {clean(text)}", err=True)
