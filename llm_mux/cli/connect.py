"""`llm-mux connect`: a coding tool pointed at the daemon, its settings changed as shown, and put back by `--undo`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_mux.cli.invocation import Failure, Invocation, pass_invocation, warn

if TYPE_CHECKING:
    from llm_mux.cli.tools.table import Settings, Tool, Wanted
    from llm_mux.cli.tools.undo import Change

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


@click.command(
    epilog="\b\nExamples:\n  llm-mux connect claude-code\n"
    "  llm-mux connect codex --model gemini-2.5-pro\n"
    "  llm-mux connect opencode --print\n"
    "  llm-mux connect claude-code --undo"
)
@click.argument("tool", metavar="TOOL", type=click.Choice(_NAMES))
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
    """Point a coding tool at the daemon.

    TOOL is aider, claude-code, cline, codex, continue, cursor, gemini-cli, open-webui, opencode, qwen-code or zed. The
    change in its settings is shown before it is written, and --undo takes it back.
    """
    from llm_mux.cli.tools.table import BY_NAME

    chosen = BY_NAME[tool]
    if undo:
        _undo(chosen)
        return
    wanted = wanted_of(invocation, url=url, key=key, model=model)
    wanted = with_model(chosen, wanted, ask=not yes and not only_print)
    if chosen.settings:
        _change(chosen, wanted, only_print=only_print, yes=yes)
    if chosen.words is not None:
        click.echo(chosen.words(wanted))
    if said := in_the_way(chosen, wanted, os.environ):
        warn(said)


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


def with_model(tool: Tool, wanted: Wanted, *, ask: bool) -> Wanted:
    """`wanted` with what the daemon offers, and with a model of it where the tool has to be told one."""
    from msgspec.structs import replace

    from llm_mux.cli.tools import choosing

    try:
        models = choosing.offered(wanted.url, wanted.key)
    except choosing.NeedsKey:
        raise
    except Failure as error:
        if tool.needs_model and wanted.model is None:
            raise Failure(
                f"{error.message}, and {tool.title} has to be told a model: start it with `llm-mux serve`, or name one "
                "with --model"
            ) from error
        warn(f"{error.message}; start it with: llm-mux serve")
        return wanted
    if not models:
        warn("the daemon has no model yet; add an account with: llm-mux login PROVIDER")
    elif wanted.model is None:
        wanted = replace(wanted, model=choosing.chosen(tool.title, tool.own, tuple(models), ask=ask))
    if wanted.model is None and tool.needs_model:
        raise Failure(f"{tool.title} has to be told a model; name one with --model")
    contexts = {name: context for name, context in models.items() if context is not None}
    return replace(wanted, models=tuple(models), contexts=contexts)


def in_the_way(tool: Tool, wanted: Wanted, env: Mapping[str, str]) -> str | None:
    """What in the environment a tool may go by in place of its settings files, in words."""
    told = tool.env(wanted) if tool.env is not None and tool.env_first else {}
    if wanted.key == ANY_KEY:  # which key is sent does not matter
        told = {name: value for name, value in told.items() if value != ANY_KEY}
    others = [name for name, value in told.items() if env.get(name, value) != value]
    names = [f"${name}" for name in (*(name for name in tool.rivals if env.get(name)), *others)]
    if not names:
        return None
    verb = "are" if len(names) > 1 else "is"
    return (
        f"{' and '.join(names)} {verb} set here, and {tool.title} may go by that in place of its settings: "
        f"unset {' '.join(name[1:] for name in names)}"
    )


def file_of(settings: Settings) -> Path:
    """Where a settings file of a tool is."""
    moved = os.environ.get(settings.home_env, "") if settings.home_env else ""
    if moved:
        return Path(moved).expanduser() / (settings.file if settings.whole_home else settings.file.partition("/")[2])
    names = (*settings.instead, settings.file)
    return next((Path.home() / name for name in names if (Path.home() / name).exists()), Path.home() / settings.file)


def _change(tool: Tool, wanted: Wanted, *, only_print: bool, yes: bool) -> None:
    from llm_mux import paths
    from llm_mux.cli.tools import undo

    changes = [change for change in _changes(tool, wanted) if change.written != change.before]
    if not changes:
        click.echo(f"{tool.title} is connected already ({', '.join(str(file_of(each)) for each in tool.settings)}).")
        return
    for change in changes:
        _show(Path(change.file), change.before or "", change.written)
    if only_print:
        return
    places = " and ".join(change.file for change in changes)
    if not yes and not click.confirm(f"Write this to {places}?", default=True):
        raise Failure("nothing was changed")
    for change in changes:
        if change.before is not None:
            _backup(Path(change.file)).write_text(change.before, encoding="utf-8")
    undo.remember(paths.state_dir(os.environ), tool.name, changes)
    for change in changes:
        _write(Path(change.file), change.written)
    click.echo(f"{tool.title} now talks to {wanted.url}. Back: llm-mux connect {tool.name} --undo")


def _changes(tool: Tool, wanted: Wanted) -> Iterator[Change]:
    from llm_mux.cli.tools.edits import Unreadable
    from llm_mux.cli.tools.undo import Change

    for settings in tool.settings:
        file = file_of(settings)
        before = _read(file)
        try:
            yield Change(str(file), before, settings.change(wanted)(before or ""), wanted.model)
        except Unreadable as error:
            other = f"`llm-mux run {tool.name}` needs no file" if tool.runs else "see what to write with --print"
            raise Failure(f"{file} is left as it is: {error}. {other}.") from error


def _backup(file: Path) -> Path:
    return file.with_name(file.name + ".before-llm-mux")


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
    changes = undo.recall(folder, tool.name)
    if not changes:
        raise Failure(f"{tool.title} was not connected from here; there is nothing to put back")
    # All or nothing: what cannot be put back is found out before anything is written.
    texts = [(change, _put_back(change)) for change in changes]
    for change, text in texts:
        file = Path(change.file)
        if text is None:
            file.unlink(missing_ok=True)
        else:
            _write(file, text)
        _backup(file).unlink(missing_ok=True)
        click.echo(f"{file} is as it was{'' if text == change.before else ', and keeps what was changed since'}.")
    undo.forget(folder, tool.name)


def _put_back(change: Change) -> str | None:
    """What the file has to hold; None when it has to go."""
    from llm_mux.cli.tools.reversal import taken_back

    file = Path(change.file)
    now = _read(file)
    if now is None:
        return change.before
    text = taken_back(file.name, change.before or "", change.written, now)
    if text is None:
        kept = f"it was {_backup(file)}" if change.before is not None else "there was no file before"
        raise Failure(f"{file} was changed since at the same place; put it back by hand ({kept})")
    return None if change.before is None and text.strip() in ("", "{}") else text
