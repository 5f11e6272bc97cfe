"""`llm-mux doctor`: is everything in place, and what to do where it is not."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click
from msgspec import to_builtins

from llm_mux.cli.invocation import Failure, Invocation, open_secrets, pass_invocation, with_database
from llm_mux.cli.said import clean

if TYPE_CHECKING:
    from llm_mux.cli.diagnosis import Finding
    from llm_mux.config import Loaded
    from llm_mux.ledger.account_table import AccountRow
    from llm_mux.routing.accounts import Account

_MARKS = {"ok": "ok      ", "doubtful": "doubtful", "fault": "FAULT   "}


@click.command()
@click.option("--offline", is_flag=True, help="Ask nobody over the network.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_invocation
def doctor(invocation: Invocation, offline: bool, as_json: bool) -> int:
    """Find what commonly goes wrong, and say the fix.

    Exit code 0: no fault (doubts may be there); 1: at least one fault.
    """
    found: list[Finding] = []
    for finding in _findings(invocation, offline=offline):
        found.append(finding)
        if not as_json:
            click.echo(clean(f"{_MARKS[finding.verdict]}  {finding.what}: {finding.said}"))
            if finding.advice:
                click.echo(clean(f"          -> {finding.advice}"))
    faults = [finding for finding in found if finding.verdict == "fault"]
    if as_json:
        click.echo(json.dumps(to_builtins(found), indent=2))
    elif not faults:
        doubts = sum(finding.verdict == "doubtful" for finding in found)
        click.echo(f"No faults, {doubts} doubtful." if doubts else "Everything that was looked at is in place.")
    return 1 if faults else 0


def _findings(invocation: Invocation, *, offline: bool) -> Iterator[Finding]:
    from llm_mux import paths
    from llm_mux.auth.store import StoreError
    from llm_mux.cli import diagnosis, mistakes, surroundings
    from llm_mux.cli.accounts import present
    from llm_mux.config import ConfigError

    yield diagnosis.version()
    yield from mistakes.other_installation(mistakes.on_the_path())
    try:
        loaded = invocation.load()
        yield diagnosis.Finding("configuration", "ok", str(loaded.path or "defaults, no file"))
    except ConfigError as error:
        yield diagnosis.Finding("configuration", "fault", str(error), "llm-mux config edit")
        return
    yield from _places(loaded)
    if not mistakes.usable(paths.data_dir()):
        return
    accounts: list[Account] = []
    try:
        store = open_secrets()
        yield diagnosis.secrets_store(store)
        accounts = present(invocation, store)
    except (StoreError, ConfigError) as error:
        advice = "unlock the keyring and try again, or set LLM_MUX_KEYRING=file and log in again"
        yield diagnosis.Finding("secrets", "fault", str(error), advice)
    health = diagnosis.health()
    yield from diagnosis.daemon(answers=health is not None)
    yield from diagnosis.ports(loaded)
    yield from diagnosis.proxies(loaded, os.environ)
    yield from _around(invocation, loaded, health)
    rows, trouble = _noted(invocation)
    yield surroundings.books(trouble)
    yield from diagnosis.tokens(accounts, {name: row.state for name, row in rows.items()}, time.time())
    yield from diagnosis.held_up(accounts, rows)
    if not accounts:
        demo = mistakes.has_demo(health or {})
        said = "there are none but the demo's" if demo else "there are none"
        advice = "llm-mux login PROVIDER" if demo else "llm-mux login PROVIDER, or llm-mux serve --demo"
        yield diagnosis.Finding("accounts", "doubtful", said, advice)
    elif not offline:
        yield from _beyond(accounts)


def _beyond(accounts: list[Account]) -> Iterator[Finding]:
    from llm_mux.cli import diagnosis

    knocks = asyncio.run(diagnosis.knocks(accounts))
    yield from diagnosis.reachability(knocks)
    yield diagnosis.clock(knocks)


def _places(loaded: Loaded) -> Iterator[Finding]:
    """Folders and files of this user."""
    from llm_mux import paths
    from llm_mux.cli import diagnosis, mistakes

    folders = {"data": paths.data_dir(), "state": paths.state_dir(), "log": paths.log_dir()}
    yield from mistakes.owners(folders)
    yield from mistakes.readable_keys(loaded.path, loaded.config)
    yield from diagnosis.files()


def _around(invocation: Invocation, loaded: Loaded, health: Mapping[str, object] | None) -> Iterator[Finding]:
    from pathlib import Path

    from llm_mux import paths
    from llm_mux.cli import mistakes, surroundings, tool_checks
    from llm_mux.cli.client import running
    from llm_mux.cli.connect import wanted_of

    yield from surroundings.own_addresses(os.environ)
    yield surroundings.disk(paths.data_dir())
    yield surroundings.open_files()
    record = running()
    yield from surroundings.configuration_in_effect(health or {})
    yield from surroundings.started_by_the_system()
    config, wanted = loaded.config, wanted_of(invocation, url=None, key=None, model=None)
    port = config.port if record is None else record.port
    yield from mistakes.variables(os.environ, port)
    yield from mistakes.localhost(config.host, port)
    yield from mistakes.confinement(Path("/"), config.host, runs=record is not None)
    yield from tool_checks.connected_tools(wanted, runs=health is not None, keys_wanted=not config.disable_auth)


def _noted(invocation: Invocation) -> tuple[Mapping[tuple[str, str], AccountRow], str | None]:
    """What the daemon last noted of each account, and why the books cannot be asked."""

    async def read(database: object) -> Mapping[tuple[str, str], AccountRow]:
        from llm_mux.ledger.account_table import read as noted
        from llm_mux.ledger.database import Database

        assert isinstance(database, Database)
        return await database.look(noted)

    try:
        return with_database(invocation, read), None
    except Failure as error:
        return {}, error.message
