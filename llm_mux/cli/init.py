"""`llm-mux init` (= `--init`): everything a fresh machine needs before `serve`."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import click

from llm_mux.cli.invocation import Invocation, open_secrets, pass_invocation


@click.command()
@click.option(
    "--force", is_flag=True, help="Start over: a new file (the old one is kept as .bak), a new management key."
)
@pass_invocation
def init(invocation: Invocation, force: bool) -> None:
    """Make the configuration, folders and management key.

    Run again, it keeps what exists, says where it is, and shows the key again.
    """
    from llm_mux import paths
    from llm_mux.auth.keys import create_management_key, management_key

    path = invocation.path()
    made = _configuration(path, force=force)
    for folder in (paths.data_dir(), paths.state_dir(), paths.cache_dir(), paths.log_dir()):
        paths.private_dir(folder)
    store = open_secrets()
    key = None if force else management_key(store)
    click.echo(f"Configuration:  {path}{'' if made else ' (kept)'}")
    click.echo(f"Data:           {paths.data_dir()}")
    click.echo(f"Secrets:        {store.description}")
    click.echo(f"Management key: {key or create_management_key(store)}")
    click.echo(_NEXT)
    if shutil.which("llm-mux") is None:
        here = Path(sys.executable).parent
        click.echo(f"`llm-mux` is not on the PATH yet:\n  export PATH={shlex.quote(str(here))}:$PATH")


_NEXT = """
Next:
  llm-mux login gemini --api-key   store a key (or openai, anthropic, openrouter...)
  llm-mux serve                    listen on http://127.0.0.1:8317; --demo needs no key
  llm-mux connect claude-code      point a tool at it (or codex, gemini-cli, opencode...)
  llm-mux demo                     see all five protocols answer"""


def _configuration(path: Path, *, force: bool) -> bool:
    """Write the example as the configuration; an existing one is kept, or with `force` moved to .bak."""
    from llm_mux.config import example
    from llm_mux.paths import write_private

    if path.exists():
        if not force:
            return False
        path.replace(path.with_name(f"{path.name}.bak"))
    write_private(path, example().encode())
    return True
