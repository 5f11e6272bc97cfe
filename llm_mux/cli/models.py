"""`llm-mux models`: what the running daemon offers."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import urlencode

import click

from llm_mux.cli.client import Client, error_text, require
from llm_mux.cli.invocation import Failure, Invocation, pass_invocation
from llm_mux.cli.said import clean


@click.command()
@click.option("--provider", metavar="NAME", help="Only the models of this provider.")
@click.option("--refresh", is_flag=True, help="Ask the providers again instead of using cached lists.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_invocation
def models(invocation: Invocation, provider: str | None, refresh: bool, as_json: bool) -> None:
    """List the models of the running daemon."""
    client = client_of(invocation)
    found = listed(client, provider=provider, refresh=refresh)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif not found:
        click.echo(f"no models; {_why_none(client, provider)}")
    else:
        _show(found)


def client_of(invocation: Invocation) -> Client:
    """A client for the running daemon, with a fixed client key where the configuration has one."""
    from llm_mux.config import from_env

    url = require().url
    keys = invocation.load().config.api_keys
    key = from_env(keys[0], os.environ) if keys else None
    return Client(url, {"authorization": f"Bearer {key}"} if key else {})


def listed(client: Client, *, provider: str | None = None, refresh: bool = False) -> list[dict[str, Any]]:
    """The entries of GET /v1/models."""
    query = {"provider": provider, "refresh": "true" if refresh else None}
    asked = urlencode({name: value for name, value in query.items() if value is not None})
    answer = client.get(f"/v1/models?{asked}" if asked else "/v1/models", timeout_s=60)
    if answer.status != 200:
        raise Failure(f"the daemon answered: {clean(error_text(answer))}")
    body = answer.json()
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, list):
        raise Failure("the daemon answered with something that is not a model list")
    return [entry for entry in data if isinstance(entry, dict)]


def _why_none(client: Client, provider: str | None) -> str:
    """What keeps the accounts from telling their models; without an account, how to add one."""
    health = client.get("/health").json()
    accounts = health.get("accounts") if isinstance(health, dict) else None
    mine = [each for each in accounts or () if provider in (None, str(each.get("name")).partition("/")[0])]
    errors = {str(each["last_error"]) for each in mine if each.get("last_error")}
    if not errors:
        return "add an account with: llm-mux login PROVIDER --api-key"
    return clean("; ".join(sorted(errors)))


def _show(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("provider")
    table.add_column("context", justify="right")
    table.add_column("output", justify="right")
    for entry in found:
        cells = [str(entry.get("id", "")), str(entry.get("provider") or entry.get("owned_by") or "")]
        sizes = [_tokens(entry.get("context_window")), _tokens(entry.get("max_output_tokens"))]
        table.add_row(*(Text(clean(cell)) for cell in cells + sizes))
    Console().print(table)


def _tokens(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else ""
