"""`llm-mux run TOOL -- ...`: a coding tool started with the environment that points it here; its settings stay."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_mux.cli.connect import file_of, wanted_of, with_model
from llm_mux.cli.invocation import Failure, Invocation, pass_invocation

if TYPE_CHECKING:
    from llm_mux.cli.tools.table import Settings, Tool, Wanted

_NAMES = ("aider", "claude-code", "codex", "gemini-cli", "open-webui", "opencode", "qwen-code")


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="\b\nExamples:\n  llm-mux run claude-code\n"
    '  llm-mux run claude-code -- -p "explain this repository"\n'
    '  llm-mux run codex --model gemini-2.5-pro -- exec "run the tests"',
)
@click.argument("tool", metavar="TOOL", type=click.Choice(_NAMES))
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
    """Start a coding tool with the daemon behind it.

    TOOL is aider, claude-code, codex, gemini-cli, open-webui, opencode or qwen-code. Its own settings stay as they are;
    what stands behind -- goes to it.
    """
    from llm_mux.cli.tools.table import BY_NAME

    chosen = BY_NAME[tool]
    assert chosen.command is not None
    assert chosen.env is not None
    program = shutil.which(chosen.command)
    if program is None:
        raise Failure(f"`{chosen.command}` is not on the PATH; install {chosen.title} first")
    wanted = with_model(chosen, wanted_of(invocation, url=url, key=key, model=model), ask=False)
    environment = {name: value for name, value in os.environ.items() if name not in chosen.rivals}
    environment |= chosen.env(wanted)
    if chosen.borrowed is not None:
        assert chosen.borrowed.home_env is not None
        environment[chosen.borrowed.home_env] = str(_home(chosen, chosen.borrowed, wanted))
    more = chosen.arguments(wanted) if chosen.arguments is not None else ()
    sys.stdout.flush()
    os.execve(program, [program, *more, *arguments], environment)  # noqa: S606 - the user named the program


def _home(tool: Tool, borrowed: Settings, wanted: Wanted) -> Path:
    """A home for one run: the tool's folder in it leads to the user's own, except for its settings files."""
    from llm_mux import paths
    from llm_mux.cli.tools.edits import Unreadable

    file = file_of(borrowed)
    ours = {file_of(settings).name for settings in tool.settings}
    home = paths.state_dir(os.environ) / "run" / tool.name
    folder = paths.private_dir(home / Path(borrowed.file).parent)
    for left in folder.iterdir():
        if left.is_symlink():
            left.unlink()
    for each in file.parent.iterdir() if file.parent.is_dir() else ():
        if each.name not in ours and not (folder / each.name).exists():
            (folder / each.name).symlink_to(each)
    try:
        text = borrowed.change(wanted)(file.read_text(encoding="utf-8") if file.exists() else "")
    except (Unreadable, OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file} cannot be used: {error}. Mend it, or move it away.") from error
    paths.write_private(folder / file.name, text.encode())
    return home
