"""`llm-mux login`: add an account, with an API key that is tried once first or by a way that the provider has.

Rule: a secret is never taken from the command line itself, where the shell's history and other users would see it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_mux.cli.invocation import Failure, Invocation, full_name, known_types, open_secrets, pass_invocation
from llm_mux.cli.said import clean

if TYPE_CHECKING:
    from llm_mux.auth.logins import StoredLogin
    from llm_mux.config import Loaded


@click.command(
    epilog="\b\nExamples:\n  llm-mux login gemini --api-key   asks for the key\n"
    "  pass show openai | llm-mux login openai --api-key -\n"
    "  llm-mux login codex              a ChatGPT plan, in the browser\n"
    "  llm-mux login codex --device --name work"
)
@click.argument("provider")
@click.argument("source", required=False)
@click.option("--api-key", "api_key", is_flag=True, help="With an API key: asked for without echo, or `-` reads stdin.")
@click.option("--oauth", is_flag=True, help="Sign in with a browser.")
@click.option("--device", is_flag=True, help="Sign in with a code that is typed on any device.")
@click.option("--code-assist", is_flag=True, help="Gemini Code Assist of an organisation, with --project.")
@click.option(
    "--import",
    "import_from",
    metavar="[FILE]",
    is_flag=False,
    flag_value="",
    help="From what is there already: a file, `-` for standard input, or the usual place.",
)
@click.option("--client-file", type=click.Path(path_type=Path), metavar="FILE", help="Your own OAuth client (Google).")
@click.option("--project", metavar="ID", help="The cloud project that the account belongs to.")
@click.option("--no-browser", is_flag=True, help="Only show the address to open.")
@click.option("--port", type=click.IntRange(1, 65535), help="Where the browser comes back to on this machine.")
@click.option("--yes", "-y", is_flag=True, help="Agree to what is asked.")
@click.option("--name", "label", metavar="LABEL", help="Name of the account: PROVIDER/LABEL.")
@click.option("--base-url", metavar="URL", help="Where the provider is, when it is not at its usual place.")
@click.option("--no-check", is_flag=True, help="Store the key without trying it.")
@pass_invocation
def login(
    invocation: Invocation,
    provider: str,
    source: str | None,
    api_key: bool,
    oauth: bool,
    device: bool,
    code_assist: bool,
    import_from: str | None,
    client_file: Path | None,
    project: str | None,
    no_browser: bool,
    port: int | None,
    yes: bool,
    label: str | None,
    base_url: str | None,
    no_check: bool,
) -> None:
    """Add an account of PROVIDER, with an API key or by signing in.

    A key is tried once against the provider's model list. Keys and logins are kept in the keyring. SOURCE may be `-`:
    the key is read from standard input.
    """
    from llm_mux.cli.signing_in import Wanted, login_for, sign_in, ways_of
    from llm_mux.server.signing import provider_of

    if source not in (None, "-"):
        raise click.UsageError(
            "a key on the command line ends up in the shell's history: leave it out, or pipe it to -"
        )
    chosen = [way for way, said in (("browser", oauth), ("device", device), ("code-assist", code_assist)) if said]
    if len(chosen) + api_key > 1 or (api_key and import_from is not None):
        raise click.UsageError("--api-key, --oauth, --device and --code-assist exclude each other")
    wanted = Wanted(
        way=chosen[0] if chosen else None,
        import_from=import_from,
        client_file=client_file,
        label=label,
        base_url=base_url,
        port=port,
        browser=not no_browser,
        yes=yes,
        extra={"project": project} if project else {},
    )
    loaded = invocation.load()
    provider = full_name(provider, loaded)
    kind, usual_url = _known(provider, loaded)
    _check(label, base_url)
    record = provider_of(provider, loaded.config)[0]
    way = None if api_key or source == "-" else login_for(record, wanted)
    if way is not None:
        stored = sign_in(provider, loaded, way, wanted, store := open_secrets())
        click.echo(f"Logged in to {clean(stored.account)}{_plan(stored)}; kept in the {store.description}.")
        return
    if not record.takes_keys:
        raise click.UsageError(f"{provider} has no API keys; {ways_of(record)}")
    _check_place(kind, base_url or usual_url, loaded)
    _with_key(provider, kind, loaded, source, label, base_url, base_url or usual_url, no_check=no_check)


def _plan(stored: StoredLogin) -> str:
    return f" (plan: {clean(stored.credential.plan)})" if stored.credential.plan else ""


def _with_key(
    provider: str,
    kind: str,
    loaded: Loaded,
    source: str | None,
    label: str | None,
    base_url: str | None,
    place: str | None,
    *,
    no_check: bool,
) -> None:
    from llm_mux.auth.keys import add_key, free_label

    store = open_secrets()
    key = _key(provider, piped=source == "-")
    if not no_check:
        _try(kind, key, place, loaded, piped=source == "-")
    stored = add_key(store, provider, label or free_label(store, provider, key), key, base_url=base_url)
    click.echo(f"Stored {stored.account} in the {store.description}.")


def _known(provider: str, loaded: Loaded) -> tuple[str, str | None]:
    """Type and configured URL of a provider: an id of the configuration, or a registered type."""
    from llm_mux.config import nearest

    for entry in loaded.config.providers:
        if entry.id == provider:
            return entry.type, entry.base_url
    types = known_types()
    if provider not in types:
        near = nearest(provider, [*types, *(entry.id for entry in loaded.config.providers)])
        hint = f'; did you mean "{near}"?' if near else ""
        raise click.UsageError(f'there is no provider "{provider}"{hint}')
    return provider, None


def _check(label: str | None, base_url: str | None) -> None:
    from llm_mux.config import base_url_problem

    problem = base_url_problem(base_url) if base_url is not None else None
    if problem is not None:
        raise click.UsageError(f"--base-url: {problem}; a provider of the configuration may use http")
    if label is not None and (not label.strip() or not label.isprintable() or "/" in label):
        raise click.UsageError("--name must be printable and without a slash")


def _check_place(kind: str, base_url: str | None, loaded: Loaded) -> None:
    """Refuses what no key helps, before one is asked for."""
    from llm_mux.providers import registry

    if kind == "demo":
        raise Failure("the demo provider needs no key; start it with: llm-mux serve --demo")
    found = registry.get(kind)
    if not (found.base_url or base_url or any(entry.type == kind for entry in loaded.config.providers)):
        raise click.UsageError(f"{kind} has no usual place: say where it is with --base-url")


def _key(provider: str, *, piped: bool) -> str:
    if piped:
        text = sys.stdin.read()
    elif sys.stdin.isatty():
        text = click.prompt(f"API key of {provider}", hide_input=True, default="", show_default=False)
    else:
        raise Failure(f"no terminal to ask on; pipe the key: llm-mux login {provider} --api-key -")
    key = text.strip()
    if not key:
        raise Failure("no key was given")
    if len(key.split()) > 1 or not key.isprintable() or not key.isascii():
        raise Failure("that is not a key: it has spaces, line breaks or characters that no header can carry")
    return key


def _try(kind: str, key: str, base_url: str | None, loaded: Loaded, *, piped: bool) -> None:
    """Ask the provider's model list with the key; a refused key is not stored."""
    from llm_mux.gateway.probe import try_key

    click.echo(f"Trying the key with {kind}...", err=True)
    check = asyncio.run(try_key(kind, key, base_url=base_url, config=loaded.config))
    # Some providers repeat the key that they refuse.
    said = clean(check.message.replace(key, "***"))
    if check.ok:
        click.echo(f"{said} {check.models} models." if check.models else said)
        return
    if check.reached:
        raise Failure(f"the key was not stored: {said}")
    click.echo(f"{kind} could not be reached at {_address(kind, base_url)}: {said}", err=True)
    if piped or not click.confirm("Store the key untried?", default=False):
        raise Failure("the key was not stored; --no-check stores it untried")


def _address(kind: str, base_url: str | None) -> str:
    from llm_mux.providers import registry

    return base_url or registry.get(kind).base_url
