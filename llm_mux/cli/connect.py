"""`llm-mux connect`: a coding tool pointed at the daemon, its settings changed as shown, and put back by `--undo`."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_mux.cli.invocation import Failure, Invocation, pass_invocation

if TYPE_CHECKING:
    from llm_mux.cli.tools.table import Tool, Wanted

_NAMES = (
    "aider",
    "claude-code",
    "cline",
    "codex",
    "continue",
    "cursor",
    "gemini-cli",
    "open-webui",
    "opencode",
    "qwen-code",
    "zed",
)
ANY_KEY = "llm-mux"
"""What tools get as a key where the daemon asks for none."""


@click.command()
@click.argument("tool", type=click.Choice(_NAMES))
@click.option("--model", metavar="NAME", help="The model that the tool is to use, as `llm-mux models` names it.")
@click.option("--url", metavar="URL", help="Where the daemon is, when it is not the one of this machine.")
@click.option("--key", metavar="KEY", help="The client key to send (default: one of `api-keys`, else any).")
@click.option("--print", "only_print", is_flag=True, help="Show the change and write nothing.")
@click.option("--undo", is_flag=True, help="Put the tool's settings back as they were.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_invocation
def connect(
    invocation: Invocation,
    tool: str,
    model: str | None,
    url: str | None,
    key: str | None,
    only_print: bool,
    undo: bool,
    yes: bool,
) -> None:
    """Point a coding tool at the daemon."""
    from llm_mux.cli.tools.table import BY_NAME

    chosen = BY_NAME[tool]
    if undo:
        _undo(chosen)
        return
    wanted = wanted_of(invocation, url=url, key=key, model=model)
    if chosen.change is not None:
        _change(chosen, wanted, only_print=only_print, yes=yes)
    if chosen.words is not None:
        click.echo(chosen.words(wanted))


def wanted_of(invocation: Invocation, *, url: str | None, key: str | None, model: str | None) -> Wanted:
    """What to tell the tool: the running daemon, or the one that the configuration describes."""
    from llm_mux import paths
    from llm_mux.cli.tools.table import Wanted
    from llm_mux.config import from_env

    config = invocation.load().config
    if url is None:
        record = paths.read_daemon(os.environ)
        url = record.url if record is not None else f"http://{_reached(config.host)}:{config.port}"
    if key is None:
        key = (from_env(config.api_keys[0], os.environ) if config.api_keys else None) or ANY_KEY
    return Wanted(url.rstrip("/"), key, model)


def _reached(host: str) -> str:
    """The host by which this machine reaches a daemon that listens on `host`."""
    import ipaddress

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1"
    return f"[{host}]" if address.version == 6 else host


def file_of(tool: Tool) -> Path:
    """Where the tool's settings are."""
    assert tool.file is not None
    moved = os.environ.get(tool.home_env, "") if tool.home_env else ""
    if moved:
        return Path(moved).expanduser() / tool.file.partition("/")[2]
    return Path.home() / tool.file


def _change(tool: Tool, wanted: Wanted, *, only_print: bool, yes: bool) -> None:
    from llm_mux import paths
    from llm_mux.cli.tools import undo
    from llm_mux.cli.tools.edits import Unreadable

    assert tool.change is not None
    file = file_of(tool)
    before = _read(file)
    try:
        after = tool.change(wanted)(before or "")
    except Unreadable as error:
        raise Failure(f"{file} is left as it is: {error}. `llm-mux run {tool.name}` needs no file.") from error
    if after == before:
        click.echo(f"{tool.title} is connected already ({file}).")
        return
    _show(file, before or "", after)
    if only_print:
        return
    if not yes and not click.confirm(f"Write this to {file}?", default=True):
        raise Failure("nothing was changed")
    if before is not None:
        file.with_name(file.name + ".before-llm-mux").write_text(before, encoding="utf-8")
    undo.remember(paths.state_dir(os.environ), tool.name, undo.Change(str(file), before, undo.digest(after)))
    _write(file, after)
    click.echo(f"{tool.title} now talks to {wanted.url}. Back: llm-mux connect {tool.name} --undo")


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file} cannot be read ({type(error).__name__}); nothing was changed") from error


def _write(file: Path, text: str) -> None:
    """Replaces the file in one step with the rights that it had; a link stays one."""
    real = file.resolve()
    real.parent.mkdir(parents=True, exist_ok=True)
    partial = real.with_name(f".{real.name}.{os.getpid()}.tmp")
    mode = real.stat().st_mode & 0o777 if real.exists() else 0o600
    try:
        partial.touch(mode=mode)
        partial.write_text(text, encoding="utf-8")
        partial.replace(real)
    except OSError as error:
        raise Failure(f"{file} cannot be written ({type(error).__name__}); nothing was changed") from error
    finally:
        partial.unlink(missing_ok=True)


def _show(file: Path, before: str, after: str) -> None:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), str(file), str(file), lineterm="", n=2)
    for line in lines:
        colour = {"+": "green", "-": "red"}.get(line[:1])
        click.secho(line, fg=colour)


def _undo(tool: Tool) -> None:
    from llm_mux import paths
    from llm_mux.cli.tools import undo

    folder = paths.state_dir(os.environ)
    change = undo.recall(folder, tool.name)
    if change is None:
        raise Failure(f"{tool.title} was not connected from here; there is nothing to put back")
    file = Path(change.file)
    now = _read(file)
    if now is not None and undo.digest(now) != change.written:
        kept = f"{file}.before-llm-mux" if change.before is not None else "no earlier file"
        raise Failure(f"{file} was changed since; put it back by hand ({kept})")
    if change.before is None:
        file.unlink(missing_ok=True)
    else:
        _write(file, change.before)
        file.with_name(file.name + ".before-llm-mux").unlink(missing_ok=True)
    undo.forget(folder, tool.name)
    click.echo(f"{file} is as it was.")
