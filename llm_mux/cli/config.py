"""`llm-mux config`: show, validate, path, edit."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_mux.cli.invocation import Failure, Invocation, known_types, pass_invocation, warn

if TYPE_CHECKING:
    from llm_mux.config import ConfigError


@click.group()
def config() -> None:
    """Show, check or change the configuration."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_invocation
def show(invocation: Invocation, as_json: bool) -> None:
    """Print what is in effect, with secrets masked.

    Defaults and environment included.
    """
    import yaml

    from llm_mux.config import masked

    values = masked(invocation.load().config)
    if as_json:
        click.echo(json.dumps(values, indent=2))
    else:
        click.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), nl=False)


@config.command()
@pass_invocation
def validate(invocation: Invocation) -> None:
    """Check the file and the environment.

    Problems are shown with line and column.
    """
    loaded = invocation.load()
    for warning in loaded.warnings:
        warn(warning)
    where = invocation.path()
    click.echo(f"{where}: valid" if where.exists() else f"{where}: no such file; the defaults hold")


@config.command()
@pass_invocation
def path(invocation: Invocation) -> None:
    """Print which file is read."""
    click.echo(str(invocation.path()))


@config.command()
@pass_invocation
def edit(invocation: Invocation) -> None:
    """Open the file in $EDITOR and save it once it is valid."""
    from llm_mux.paths import write_private

    where = invocation.path()
    before = _text(where)
    text = before
    while True:
        changed = click.edit(text, extension=".yaml")
        if changed is None or changed == before:
            click.echo("Nothing changed.")
            return
        problem = _problem(changed, where)
        if problem is None:
            break
        for each in (problem, *problem.more):
            click.echo(str(each), err=True)
        if not click.confirm("Edit again?", default=True):
            raise Failure(f"{where} is unchanged")
        text = changed
    write_private(where, changed.encode())
    click.echo(f"{where}: saved")


def _text(where: Path) -> str:
    from llm_mux.config import example

    return where.read_text(encoding="utf-8") if where.exists() else example()


def _problem(text: str, where: Path) -> ConfigError | None:
    from llm_mux.config import ConfigError, parse

    try:
        parse(text, where, os.environ, known_types=known_types())
    except ConfigError as error:
        return error
    return None
