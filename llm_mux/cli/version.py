"""`llm-mux version`: the versions that a bug report needs."""

from __future__ import annotations

import json
import platform

import click

from llm_mux import __version__


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def version(as_json: bool) -> None:
    """Print the versions of llm-mux, Python and the system."""
    facts = {"version": __version__, "python": platform.python_version(), "platform": platform.platform()}
    if as_json:
        click.echo(json.dumps(facts))
    else:
        click.echo(f"llm-mux {facts['version']} (Python {facts['python']}, {facts['platform']})")
