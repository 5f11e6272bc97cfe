"""`llm-mux cooldown list|clear`: which accounts rest after failures, and ending it by hand."""

from __future__ import annotations

import json

import click

from llm_mux.cli import management
from llm_mux.cli.said import clean


@click.group()
def cooldown() -> None:
    """See and end the rests of accounts."""


@cooldown.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List what is not asked at present, why, and until when."""
    found = management.get("/cooldowns")["cooldowns"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("no account rests")
    for each in found:
        left, again = each["seconds_left"], each["next_try_s"]
        until = "until it is logged in again" if left is None else f"for {left:.0f} s"
        tried = f", tried again in {again:.0f} s" if again and left and again < left else ""
        model = f" {each['model']}" if each["model"] else ""
        click.echo(clean(f"{each['account']}{model}: {each['state']} {until}{tried} ({each['reason']})"))


@cooldown.command()
@click.argument("account", required=False)
@click.option("--model", metavar="NAME", help="Only that of this model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def clear(account: str | None, model: str | None, as_json: bool) -> None:
    """End the rests of ACCOUNT, or all of them.

    ACCOUNT is `provider/label`, or a provider.
    """
    cleared = management.delete("/cooldowns", account=account, model=model)["cleared"]
    if as_json:
        click.echo(json.dumps(cleared, indent=2))
        return
    for each in cleared:
        click.echo(f"cleared: {clean(each)}")
    if not cleared:
        click.echo("nothing to clear")
