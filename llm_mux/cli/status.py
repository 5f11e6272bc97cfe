"""`llm-mux status`: whether a daemon runs, where, and how it is."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
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
    health = _health(Client(record.url))
    if as_json:
        click.echo(json.dumps({"running": True, **asdict(record), "health": health}, indent=2))
    else:
        up = _duration(time.time() - record.started)
        state = clean(str(health.get("status", "unknown")))
        click.echo(f"{state}: {record.url} (llm-mux {record.version}, process {record.pid}, up {up})")
    return 0 if health.get("status") in ("healthy", "degraded") else 1


def _health(client: Client) -> dict[str, Any]:
    try:
        found = client.get("/health").json()
    except Failure as error:
        return {"status": "not answering", "detail": error.message}
    return found if isinstance(found, dict) else {}


def _duration(seconds: float) -> str:
    whole = max(0, int(seconds))
    for size, letter in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {letter}"
    return f"{whole} s"
