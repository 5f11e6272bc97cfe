"""`llm-mux run TOOL -- ...`: a coding tool started with the environment that points it here; its settings stay."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from llm_mux.cli.connect import wanted_of, with_model
from llm_mux.cli.invocation import Failure, Invocation, pass_invocation

_NAMES = ("aider", "claude-code", "codex", "gemini-cli", "open-webui", "opencode", "qwen-code")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("tool", type=click.Choice(_NAMES))
@click.option("--model", metavar="NAME", help="The model that the tool is to use.")
@click.option("--url", metavar="URL", help="Where the daemon is, when it is not the one of this machine.")
@click.option("--key", metavar="KEY", help="The client key to send (default: one of `api-keys`, else any).")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_invocation
def run(
    invocation: Invocation,
    tool: str,
    model: str | None,
    url: str | None,
    key: str | None,
    arguments: tuple[str, ...],
) -> None:
    """Start a coding tool with the daemon behind it; its own settings stay as they are."""
    from llm_mux.cli.tools.table import BY_NAME

    chosen = BY_NAME[tool]
    assert chosen.command is not None
    assert chosen.env is not None
    program = shutil.which(chosen.command)
    if program is None:
        raise Failure(f"`{chosen.command}` is not on the PATH; install {chosen.title} first")
    wanted = with_model(chosen, wanted_of(invocation, url=url, key=key, model=model), ask=False)
    environment = {**os.environ, **chosen.env(wanted)}
    if chosen.given is not None:
        name, text = chosen.given
        environment[name] = str(_given(chosen.name, text(wanted)))
    more = chosen.arguments(wanted) if chosen.arguments is not None else ()
    sys.stdout.flush()
    os.execve(program, [program, *more, *arguments], environment)  # noqa: S606 - the user named the program


def _given(tool: str, text: str) -> Path:
    """A settings file of ours for a tool that takes no variable in its place."""
    from llm_mux import paths

    file = paths.state_dir(os.environ) / "run" / f"{tool}.json"
    paths.write_private(file, text.encode())
    return file
