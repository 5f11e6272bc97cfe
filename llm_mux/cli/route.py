"""`llm-mux route explain MODEL`: where a request for a model would go, and why."""

from __future__ import annotations

import json
from typing import Any

import click

from llm_mux.cli import management
from llm_mux.cli.said import clean


@click.group()
def route() -> None:
    """Look at how requests are routed."""


@route.command()
@click.argument("model")
@click.option("--conversation", metavar="ID", help="As a request of this conversation (its session id).")
@click.option("--size", metavar="BYTES", type=click.IntRange(min=0), help="As a request of this many bytes.")
@click.option("--key", metavar="KEY", help="As a request with this client key (its name or id).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(model: str, conversation: str | None, size: int | None, key: str | None, as_json: bool) -> None:
    """Say where a request for MODEL would go, and why.

    Which accounts, in which order, and why others are passed over.
    """
    found = management.get(
        "/routes/explain",
        model=model,
        conversation=conversation,
        size=None if size is None else str(size),
        key=key,
    )
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for each in found["chain"]:
        if each["problem"]:
            click.echo(clean(f"{each['name']}: {each['problem']}"))
    if found["targets"]:
        _show(found["targets"])
    else:
        click.echo(f"nobody has {clean(model)}; add an account with: llm-mux login PROVIDER")


def _show(targets: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right")
    for name in ("account", "model"):
        table.add_column(name, overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("busy", justify="right")
    table.add_column("why", overflow="fold")
    for each in targets:
        cells = (
            str(each.get("order") or "-"),
            f"{each['provider']}/{each['account']}",
            str(each["model"]),
            _number(each.get("score")),
            str(each["inflight"]),
            each["why"] + _details(each),
        )
        table.add_row(*(Text(clean(cell)) for cell in cells))
    Console().print(table)


def _details(target: dict[str, Any]) -> str:
    """What else may have had a say: when it is back, its quotas, its speed."""
    found = []
    if (back := target.get("back_in_s")) is not None:
        found.append(f"back in {_duration(back)}")
    found.extend(
        f"{quota['name']} {quota['used']:.0%} used" for quota in target.get("quotas", ()) if quota["used"] is not None
    )
    if (speed := target.get("first_content_s")) is not None:
        found.append(f"first content after {speed:.2g} s")
    return "".join(f"; {each}" for each in found)


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:.3g}"


def _duration(seconds: float) -> str:
    for size, letter in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {letter}"
    return f"{seconds:.0f} s"
