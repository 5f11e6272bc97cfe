"""`llm-mux doctor`: is everything in place, and what to do where it is not."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from llm_mux.cli.invocation import Failure, Invocation, open_secrets, pass_invocation, with_database
from llm_mux.cli.said import clean

if TYPE_CHECKING:
    from llm_mux.cli.diagnosis import Finding
    from llm_mux.config import Loaded
    from llm_mux.routing.accounts import Account

_MARKS = {"ok": "ok      ", "doubtful": "doubtful", "fault": "FAULT   "}


@click.command()
@click.option("--offline", is_flag=True, help="Ask nobody over the network.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_invocation
def doctor(invocation: Invocation, offline: bool, as_json: bool) -> int:
    """Look at everything that commonly goes wrong, and say what to do about each fault.

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
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    elif not faults:
        doubts = sum(finding.verdict == "doubtful" for finding in found)
        click.echo(f"No faults, {doubts} doubtful." if doubts else "Everything that was looked at is in place.")
    return 1 if faults else 0


def _findings(invocation: Invocation, *, offline: bool) -> Iterator[Finding]:
    from llm_mux.auth.store import StoreError
    from llm_mux.cli import diagnosis, surroundings
    from llm_mux.cli.accounts import present
    from llm_mux.config import ConfigError

    yield diagnosis.version()
    try:
        loaded = invocation.load()
        yield diagnosis.Finding("configuration", "ok", str(loaded.path or "defaults, no file"))
    except ConfigError as error:
        yield diagnosis.Finding("configuration", "fault", str(error), "llm-mux config edit")
        return
    yield from diagnosis.files()
    accounts: list[Account] = []
    try:
        store = open_secrets()
        yield diagnosis.secrets_store(store)
        accounts = present(invocation, store)
    except (StoreError, ConfigError) as error:
        yield diagnosis.Finding("secrets", "fault", str(error), "unlock the keyring, or log in again")
    yield diagnosis.daemon()
    yield from diagnosis.ports(loaded)
    yield from diagnosis.proxies(loaded, os.environ)
    yield from _around(loaded)
    states, trouble = _states(invocation)
    yield surroundings.books(trouble)
    yield from diagnosis.tokens(accounts, states, time.time())
    if not accounts:
        yield diagnosis.Finding(
            "accounts", "doubtful", "there are none", "llm-mux login PROVIDER, or llm-mux serve --demo"
        )
    elif not offline:
        yield from _beyond(accounts)


def _beyond(accounts: list[Account]) -> Iterator[Finding]:
    from llm_mux.cli import diagnosis

    knocks = asyncio.run(diagnosis.knocks(accounts))
    yield from diagnosis.reachability(knocks)
    yield diagnosis.clock(knocks)


def _around(loaded: Loaded) -> Iterator[Finding]:
    from llm_mux import paths
    from llm_mux.cli import surroundings
    from llm_mux.cli.client import Client, running
    from llm_mux.cli.status import health_of

    yield from surroundings.own_addresses(os.environ)
    yield surroundings.disk(paths.data_dir())
    yield surroundings.open_files()
    record = running()
    if record is not None:
        yield from surroundings.configuration_in_effect(health_of(Client(record.url)))
    yield from surroundings.started_by_the_system()
    yield from surroundings.connected_tools(loaded, None if record is None else record.url)


def _states(invocation: Invocation) -> tuple[dict[tuple[str, str], str], str | None]:
    """What the daemon last noted of each account, and why the books cannot be asked."""

    async def read(database: object) -> dict[tuple[str, str], str]:
        from llm_mux.ledger.account_table import read as noted
        from llm_mux.ledger.database import Database

        assert isinstance(database, Database)
        return {name: row.state for name, row in (await database.transact(noted)).items()}

    try:
        return with_database(invocation, read), None
    except Failure as error:
        return {}, error.message
