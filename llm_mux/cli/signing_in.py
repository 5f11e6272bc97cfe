"""A login flow driven from the command line: which way, with which facts, and what is stored in the end."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from msgspec import Struct, field

from llm_mux.cli.invocation import Failure
from llm_mux.cli.said import clean

if TYPE_CHECKING:
    from llm_mux.auth.base import Credential, Flow, OAuth, Wish
    from llm_mux.auth.logins import StoredLogin
    from llm_mux.auth.store import SecretStore
    from llm_mux.config import Loaded
    from llm_mux.providers.base import Login, Provider

FLAGS = {"browser": "--oauth", "device": "--device", "code-assist": "--code-assist"}
_MOST_FILE_BYTES = 1 << 20


class Wanted(Struct, frozen=True):
    """What the command line said. `way` None: nothing; `import_from` "": the usual place."""

    way: str | None = None
    import_from: str | None = None
    client_file: Path | None = None
    label: str | None = None
    base_url: str | None = None
    port: int | None = None
    browser: bool = True
    yes: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)


def login_for(provider: Provider, wanted: Wanted) -> Login | None:
    """The way that was asked for; None: with an API key. Asks the person where several will do."""
    if wanted.import_from is not None:
        able = [login for login in provider.logins if login.imports and wanted.way in (None, login.way)]
        if not able:
            raise click.UsageError(f"{provider.name} has nothing to import; {ways_of(provider)}")
        return able[0]
    if wanted.way is not None:
        found = next((login for login in provider.logins if login.way == wanted.way and login.start), None)
        if found is None:
            raise click.UsageError(f"{provider.name} has no {FLAGS[wanted.way]}; {ways_of(provider)}")
        return found
    able = [login for login in provider.logins if login.start]
    if wanted.client_file is not None and able:
        return able[0]
    if not provider.takes_keys and able:
        return able[0]
    if not able or not sys.stdin.isatty():
        return None
    return _picked(provider, able)


def ways_of(provider: Provider) -> str:
    """The options that lead in, in words."""
    ways = ["--api-key"] if provider.takes_keys else []
    ways += [FLAGS[login.way] for login in provider.logins if login.way in FLAGS and login.start]
    ways += ["--import"] if any(login.imports for login in provider.logins) else []
    return f"it has: {', '.join(ways)}"


def _picked(provider: Provider, able: list[Login]) -> Login | None:
    """The API key stands first: it is what vendors mean for programs like this one."""
    click.echo(f"How do you want to use {provider.title}?\n  1) with an API key", err=True)
    for number, login in enumerate(able, 2):
        click.echo(f"  {number}) {login.title}", err=True)
    number = click.prompt("Number", type=click.IntRange(1, len(able) + 1), default=1, err=True)
    return None if number == 1 else able[number - 2]


def sign_in(name: str, loaded: Loaded, login: Login, wanted: Wanted, store: SecretStore) -> StoredLogin:
    """Goes the way to its end and stores what came of it, with the account's own label."""
    from llm_mux import paths
    from llm_mux.auth.logins import StoredLogin, label_for
    from llm_mux.server.signing import keep, provider_of

    provider, settings, proxy = provider_of(name, loaded.config)
    if not (provider.base_url or wanted.base_url):
        raise click.UsageError(f"{name} has no usual place: say where it is with base-url in the configuration")
    with _explained():
        login, oauth, text = _begun(provider, login, settings, wanted)
        credential = asyncio.run(_driven(login, oauth, wanted, proxy, text))
    if credential.way not in {each.way for each in provider.logins}:
        credential = msgspec.structs.replace(credential, way=login.way)
    label = wanted.label or label_for(store, name, credential)
    stored = StoredLogin(name, label, credential, wanted.base_url)
    keep(store, paths.data_dir(), stored)
    return stored


def _begun(
    provider: Provider, login: Login, settings: Mapping[str, object], wanted: Wanted
) -> tuple[Login, OAuth, str | None]:
    """The login that is gone through, its facts, and the text that it begins with. An OAuth client that is imported is
    signed in with."""
    from llm_mux.auth.base import overridden
    from llm_mux.auth.imports import client_of_file, is_client_file

    text = None if wanted.import_from is None else _import_text(login, wanted.import_from)
    client = None if wanted.client_file is None else _text(wanted.client_file)
    starting = next((each for each in provider.logins if each.start), None)
    if text is not None and starting is not None and is_client_file(text):
        login, client, text = starting, text, None
    oauth = overridden(login.oauth, settings)
    return login, oauth if client is None else client_of_file(oauth, client), text


async def _driven(login: Login, oauth: OAuth, wanted: Wanted, proxy: str | None, text: str | None) -> Credential:
    from llm_mux.auth.base import Confirm, LoginError, Show, Wish
    from llm_mux.cli.terminal import Terminal
    from llm_mux.gateway.steps import drive, performer
    from llm_mux.gateway.upstream import open_upstream

    person, upstream = Terminal(browser=wanted.browser, yes=wanted.yes), open_upstream()
    try:
        if login.warning:
            await person.perform(Show(login.warning))
            if not await person.perform(Confirm("Go on all the same?")):
                raise LoginError("nothing was done")
        wish = Wish(now=time.time(), token=secrets.token_urlsafe, port=wanted.port, extra=wanted.extra)
        return await drive(_flow(login, oauth, wish, text), performer(upstream, proxy=proxy, person=person))
    finally:
        await person.close()
        await upstream.close()


def _flow(login: Login, oauth: OAuth, wish: Wish, text: str | None) -> Flow:
    if text is None:
        assert login.start is not None
        return login.start(oauth, wish)
    assert login.imports is not None
    return login.imports(oauth, wish, text)


def _import_text(login: Login, source: str) -> str:
    """What is imported: a file, standard input, the usual place, or what the person types."""
    if source == "-":
        return sys.stdin.read(_MOST_FILE_BYTES)
    if source or login.import_path:
        return _text(Path(source or login.import_path).expanduser())
    if not sys.stdin.isatty():
        raise Failure("say what to import: --import FILE, or - for standard input")
    typed: str = click.prompt("Token to import", hide_input=True, err=True)
    return typed


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_FILE_BYTES).decode()
    except UnicodeDecodeError as error:
        raise Failure(f"{path}: is not text") from error
    except OSError as error:
        raise Failure(f"{path}: cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """A login that does not work is one line."""
    from llm_mux.auth.base import LoginError
    from llm_mux.log import redact_text

    try:
        yield
    except LoginError as error:
        said = redact_text(clean(str(error)))
        if "\n" in said:
            click.echo(said, err=True)
            said = "the lines above say what is missing"
        raise Failure(f"not logged in: {said}") from error
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def revoked(login: StoredLogin, loaded: Loaded) -> str | None:
    """Tells the provider that a login is over; what went wrong, if it did."""
    from llm_mux.gateway.upstream import open_upstream
    from llm_mux.server.signing import revoke

    async def tell() -> str | None:
        upstream = open_upstream()
        try:
            return await revoke(login, loaded.config, upstream)
        finally:
            await upstream.close()

    return asyncio.run(tell())
