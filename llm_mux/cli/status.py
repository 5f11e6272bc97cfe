"""`llm-mux status`: whether a daemon runs, where, how it is, and which configuration it serves by."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from llm_mux.cli.client import NOT_RUNNING, Client, running
from llm_mux.cli.invocation import Failure
from llm_mux.cli.said import clean


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> int:
    """Say whether a daemon runs, where, and how it is. Exit code 1 when none runs."""
    record = running()
    if record is None:
        click.echo(json.dumps({"running": False}) if as_json else NOT_RUNNING)
        return 1
    health = health_of(Client(record.url))
    if as_json:
        click.echo(json.dumps({"running": True, **record._asdict(), "health": health}, indent=2))
    else:
        up = _duration(time.time() - record.started)
        state = str(health.get("status", "unknown"))
        click.echo(clean(f"{state}: {record.url} (llm-mux {record.version}, process {record.pid}, up {up})"))
        parts = (_components, "components"), (_configuration, "config"), (_accounts, "accounts")
        for line in (line for said, name in parts for line in said(health.get(name))):
            click.echo(clean(line))
    return 0 if health.get("status") in ("healthy", "degraded") else 1


def health_of(client: Client) -> dict[str, Any]:
    """What the daemon says of itself; that it does not answer is an answer too."""
    try:
        found = client.get("/health").json()
    except Failure as error:
        return {"status": "not answering", "detail": error.message}
    return found if isinstance(found, dict) else {}


def _components(components: object) -> Iterator[str]:
    """What the daemon stands on and is not as it should be; accounts tell more of themselves."""
    known = components if isinstance(components, Mapping) else {}
    for name, state in known.items():
        if name != "llm_services" and state != "healthy":
            yield f"{name}: {state}"


def _configuration(config: object) -> Iterator[str]:
    """What is in effect, and why something newer is not."""
    if not isinstance(config, Mapping):
        return
    read = config.get("loaded_at")
    since = f", read {_duration(time.time() - read)} ago" if isinstance(read, (int, float)) else ""
    yield f"configuration: {config.get('file') or 'defaults'}{since}"
    if config.get("error"):
        yield f"  not in effect: {config['error']}"
    if config.get("secrets_error"):
        yield f"  stored accounts not in effect: {config['secrets_error']}"
    if config.get("needs_restart"):
        yield f"  takes a restart: {', '.join(map(str, config['needs_restart']))}"


def _accounts(accounts: object) -> Iterator[str]:
    found = [each for each in accounts if isinstance(each, Mapping)] if isinstance(accounts, list) else []
    if not found:
        return
    yield f"accounts: {len(found)}"
    for each in found:
        why = f" ({each['last_error']})" if each.get("last_error") else ""
        yield f"  {each.get('name')}: {each.get('state')}{why}"


def _duration(seconds: float) -> str:
    whole = max(0, int(seconds))
    for size, letter in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {letter}"
    return f"{whole} s"
